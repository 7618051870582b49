/*-------------------------------------------------------------------------
 *
 * src/cluster_store.c
 *		Writing what clusters and their instances are.  See cluster_store.h.
 *
 * How rows are found is said in outcome_store.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/timestamp.h"

#include "cluster_store.h"
#include "inventory.h"
#include "row_writer.h"
#include "store_plan.h"
#include "table_layout.h"

static const char *
source_of(const PaClusterChange *change)
{
	return change->from_agent ? "agent" : "accepted";
}

/* Writes the cluster that was fetched, unless there is nothing to be said. */
static bool
write_cluster(PaRowWriter *row, const PaClusterChange *change)
{
	const char *status = pa_power_state_name(change->status);
	const char *source = source_of(change);
	bool		changes = !pa_writer_has_text(row, PA_CLUSTER_STATUS, status);

	if (!changes && pa_writer_has_text(row, PA_CLUSTER_STATUS_SOURCE, source))
		return false;
	/* what is gone for good does not become unknown */
	if (change->status == PA_POWER_UNKNOWN &&
		pa_writer_has_text(row, PA_CLUSTER_STATUS, "terminated"))
		return false;
	pa_writer_set_text(row, PA_CLUSTER_STATUS, status);
	pa_writer_set_text(row, PA_CLUSTER_STATUS_SOURCE, source);
	if (changes)
		pa_writer_set_time(row, PA_CLUSTER_STATUS_CHANGED_AT,
						   GetCurrentTimestamp());
	return pa_writer_update(row);
}

/*
 * Writes the clusters that are where it is known and, unless all are locked by
 * us, that nobody has locked.  False: the table is not as it was made.
 */
static bool
write_in_place(PaClusterChange **changes, int count, bool locked)
{
	static PaTable table = {
		.name = "cluster",
		.columns = pa_cluster_columns,
		.column_count = PA_CLUSTER_COLUMNS,
		.command = CMD_UPDATE,
		.written = PA_COLUMN(PA_CLUSTER_STATUS) |
		PA_COLUMN(PA_CLUSTER_STATUS_SOURCE) |
		PA_COLUMN(PA_CLUSTER_STATUS_CHANGED_AT),
		.idle_triggers = {pa_inventory_keep_cluster_status,
		pa_inventory_check_text}
	};
	PaRowWriter row;

	if (!pa_writer_begin(&row, &table))
		return false;
	for (int i = 0; i < count; i++)
		if (!changes[i]->written &&
			pa_writer_fetch(&row, &changes[i]->row) &&
			pa_writer_has_text(&row, PA_CLUSTER_ID, changes[i]->cluster_id) &&
			(locked || !pa_writer_row_is_locked(&row)))
			changes[i]->written = write_cluster(&row, changes[i]);
	pa_writer_end(&row);
	return true;
}

/* The same by a statement, of clusters that are locked by us. */
static void
write_by_id(PaClusterChange **changes, int count)
{
	static const PaColumn columns[] = {
		{"cluster_id", TEXTOID}, {"status", TEXTOID}, {"source", TEXTOID}
	};
	static PaPlan plan = {
		"UPDATE power_action.cluster c "
		"SET status = v.status, status_source = v.source, "
		"status_changed_at = CASE "
		"WHEN c.status OPERATOR(pg_catalog.=) v.status "
		"THEN c.status_changed_at ELSE pg_catalog.clock_timestamp() END "
		"FROM given v "
		"WHERE c.cluster_id OPERATOR(pg_catalog.>=) v.cluster_id "
		"AND c.cluster_id OPERATOR(pg_catalog.<=) v.cluster_id "
		"AND NOT (c.status OPERATOR(pg_catalog.=) 'terminated' "
		"AND v.status OPERATOR(pg_catalog.=) 'unknown') "
		"AND (c.status OPERATOR(pg_catalog.<>) v.status "
		"OR c.status_source OPERATOR(pg_catalog.<>) v.source)",
	};
	PaGiven		given;

	pa_given_begin(&given, columns, lengthof(columns));
	for (int i = 0; i < count; i++)
	{
		if (changes[i]->written)
			continue;
		pa_given_text(&given, 0, changes[i]->cluster_id);
		pa_given_text(&given, 1, pa_power_state_name(changes[i]->status));
		pa_given_text(&given, 2, source_of(changes[i]));
		pa_given_add(&given);
	}
	pa_plan_run_given(&plan, &given);
	pa_given_end(&given);
}

void
pa_cluster_store_write_unlocked(PaClusterChange **changes, int count)
{
	write_in_place(changes, count, false);
}

void
pa_cluster_store_lock(PaClusterChange **changes, int count)
{
	static PaPlan plan = {
		"SELECT n.n, c.ctid FROM pg_catalog.unnest($1) WITH ORDINALITY "
		"AS n(cluster_id, n) "
		"CROSS JOIN LATERAL (SELECT c.ctid FROM power_action.cluster c "
		"WHERE c.cluster_id OPERATOR(pg_catalog.=) n.cluster_id "
		"FOR NO KEY UPDATE SKIP LOCKED) c",
		1, {TEXTARRAYOID}
	};
	const char **ids = palloc(sizeof(char *) * Max(count, 1));
	Datum		argument;
	PaResult	result;

	for (int i = 0; i < count; i++)
	{
		ids[i] = changes[i]->cluster_id;
		changes[i]->locked = false;
	}
	argument = pa_text_array(ids, count);
	pa_plan_execute(&plan, &argument, NULL, false, 0, &result);
	for (uint64 i = 0; i < result.count; i++)
	{
		PaClusterChange *change =
			changes[pa_row_int64(&result.rows[i], 1) - 1];

		change->row = pa_row_tid(&result.rows[i], 2);
		change->locked = true;
	}
	pa_plan_finish(&result);
}

int
pa_cluster_store_drop_earlier(PaClusterChange **changes, int count)
{
	int			kept = 0;

	for (int i = 0; i < count; i++)
	{
		bool		last = true;

		for (int n = i + 1; n < count && last; n++)
			last = !ItemPointerEquals(&changes[i]->row, &changes[n]->row);
		if (last)
			changes[kept++] = changes[i];
	}
	return kept;
}

void
pa_cluster_store_find(const char **cluster_ids, int count, bool *found)
{
	static PaPlan plan = {
		"SELECT n.n FROM pg_catalog.unnest($1) WITH ORDINALITY "
		"AS n(cluster_id, n) "
		"CROSS JOIN LATERAL (SELECT FROM power_action.cluster c "
		"WHERE c.cluster_id OPERATOR(pg_catalog.=) n.cluster_id LIMIT 1) c",
		1, {TEXTARRAYOID}
	};
	Datum		argument = pa_text_array(cluster_ids, count);
	PaResult	result;

	memset(found, 0, sizeof(bool) * count);
	pa_plan_execute(&plan, &argument, NULL, true, 0, &result);
	for (uint64 i = 0; i < result.count; i++)
		found[pa_row_int64(&result.rows[i], 1) - 1] = true;
	pa_plan_finish(&result);
}

/* an instance that is to be written */
typedef struct InstancePlace
{
	const PaClusterChange *change;
	int			number;
} InstancePlace;

static const char *
status_of(const InstancePlace *instance)
{
	const int  *states = instance->change->instance_states;

	return pa_power_state_name(states[instance->number]);
}

/* False if the instance is not where it was. */
static bool
write_instance(PaRowWriter *row, const InstancePlace *instance)
{
	const PaClusterChange *change = instance->change;

	if (change->instance_rows == NULL ||
		!pa_writer_fetch(row, &change->instance_rows[instance->number]) ||
		!pa_writer_has_text(row, PA_INSTANCE_ID,
							change->instance_ids[instance->number]) ||
		!pa_writer_has_text(row, PA_INSTANCE_CLUSTER_ID, change->cluster_id))
		return false;
	if (pa_writer_has_text(row, PA_INSTANCE_STATUS, status_of(instance)))
		return true;
	pa_writer_set_text(row, PA_INSTANCE_STATUS, status_of(instance));
	return pa_writer_update(row);
}

/* Moves those that could not be written to the front; their number. */
static int
write_instances_in_place(InstancePlace *instances, int count)
{
	static PaTable table = {
		.name = "instance",
		.columns = pa_instance_columns,
		.column_count = PA_INSTANCE_COLUMNS,
		.command = CMD_UPDATE,
		.written = PA_COLUMN(PA_INSTANCE_STATUS),
		.idle_triggers = {pa_inventory_keep_instance_status,
		pa_inventory_check_text}
	};
	PaRowWriter row;
	int			left = 0;

	if (!pa_writer_begin(&row, &table))
		return count;
	for (int i = 0; i < count; i++)
		if (!write_instance(&row, &instances[i]))
			instances[left++] = instances[i];
	pa_writer_end(&row);
	return left;
}

static void
write_instances_by_id(const InstancePlace *instances, int count)
{
	static const PaColumn columns[] = {
		{"cluster_id", TEXTOID}, {"instance_id", TEXTOID}, {"status", TEXTOID}
	};
	static PaPlan plan = {
		"UPDATE power_action.instance i SET status = v.status "
		"FROM given v "
		"WHERE i.cluster_id OPERATOR(pg_catalog.=) ANY (ARRAY[v.cluster_id]) "
		"AND i.instance_id OPERATOR(pg_catalog.>=) v.instance_id "
		"AND i.instance_id OPERATOR(pg_catalog.<=) v.instance_id "
		"AND i.status OPERATOR(pg_catalog.<>) v.status",
	};
	PaGiven		given;

	pa_given_begin(&given, columns, lengthof(columns));
	for (int i = 0; i < count; i++)
	{
		pa_given_text(&given, 0, instances[i].change->cluster_id);
		pa_given_text(&given, 1,
					  instances[i].change->instance_ids[instances[i].number]);
		pa_given_text(&given, 2, status_of(&instances[i]));
		pa_given_add(&given);
	}
	pa_plan_run_given(&plan, &given);
	pa_given_end(&given);
}

static void
write_instances(PaClusterChange **changes, int count)
{
	int			total = 0;
	int			wanted = 0;
	InstancePlace *instances;

	for (int i = 0; i < count; i++)
		total += changes[i]->instance_count;
	instances = palloc(sizeof(InstancePlace) * Max(total, 1));
	for (int i = 0; i < count; i++)
		for (int n = 0; n < changes[i]->instance_count; n++)
		{
			if (changes[i]->instance_states[n] < 0)
				continue;
			instances[wanted].change = changes[i];
			instances[wanted++].number = n;
		}
	if (wanted > 0)
		write_instances_by_id(instances,
							  write_instances_in_place(instances, wanted));
}

void
pa_cluster_store_write(PaClusterChange **changes, int count)
{
	if (count == 0)
		return;
	/* tells the triggers of the inventory that these are the agent's words */
	pa_inventory_writing_outcome = true;
	PG_TRY();
	{
		if (!write_in_place(changes, count, true))
			write_by_id(changes, count);
		write_instances(changes, count);
	}
	PG_FINALLY();
	{
		pa_inventory_writing_outcome = false;
	}
	PG_END_TRY();
}
