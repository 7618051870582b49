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

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/snapmgr.h"

#include "cluster_store.h"
#include "inventory.h"
#include "store_plan.h"

/*
 * Writes the clusters that are where it is known and, unless all are locked by
 * us, that nobody has locked.  What locked them last is told by xmax: ended,
 * if it is older than every transaction that may be running.  It may also be
 * several, as a MultiXactId, which has numbers of its own; what may be one of
 * those is left alone.
 */
static void
write_in_place(PaClusterChange **changes, int count, bool locked)
{
	static const PaColumn columns[] = {
		{"cluster_id", TEXTOID}, {"status", TEXTOID}, {"source", TEXTOID},
		{"place", INT4OID}
	};
	static PaPlan plan = {
		"UPDATE power_action.cluster c "
		"SET status = v.status, status_source = v.source, "
		"status_changed_at = CASE "
		"WHEN c.status OPERATOR(pg_catalog.=) v.status "
		"THEN c.status_changed_at ELSE pg_catalog.clock_timestamp() END "
		"FROM given v "
		"WHERE c.ctid OPERATOR(pg_catalog.=) ANY ($1) "
		"AND c.cluster_id OPERATOR(pg_catalog.=) v.cluster_id "
		"AND ($2 OR c.xmax OPERATOR(pg_catalog.=) '0'::pg_catalog.xid "
		"OR (pg_catalog.age(c.xmax) OPERATOR(pg_catalog.>) $3 "
		"AND pg_catalog.mxid_age(c.xmax) OPERATOR(pg_catalog.<) 0)) "
		/* what is gone for good does not become unknown */
		"AND NOT (c.status OPERATOR(pg_catalog.=) 'terminated' "
		"AND v.status OPERATOR(pg_catalog.=) 'unknown') "
		"AND (c.status OPERATOR(pg_catalog.<>) v.status "
		"OR c.status_source OPERATOR(pg_catalog.<>) v.source) "
		"RETURNING v.place",
		3, {TIDARRAYOID, BOOLOID, INT4OID}, PA_PLANNER_IN_PLACE
	};
	PaGiven		given;
	PaResult	result;
	Datum		values[3];

	pa_given_begin(&given, columns, lengthof(columns));
	for (int i = 0; i < count; i++)
	{
		const PaClusterChange *change = changes[i];

		if (change->written)
			continue;
		pa_given_row_id(&given, &change->row);
		pa_given_text(&given, 0, change->cluster_id);
		pa_given_text(&given, 1, pa_power_state_name(change->status));
		pa_given_text(&given, 2, change->from_agent ? "agent" : "accepted");
		pa_given_int32(&given, 3, i, false);
		pa_given_add(&given);
	}
	if (given.row_id_count > 0)
	{
		values[0] = pa_given_row_ids(&given);
		values[1] = BoolGetDatum(locked);
		values[2] = Int32GetDatum((int32) (GetStableLatestTransactionId() -
										   GetActiveSnapshot()->xmin));
		pa_plan_execute_given(&plan, values, NULL, &given, &result);
		for (uint64 i = 0; i < result.count; i++)
			changes[pa_row_int32(&result.rows[i], 1)]->written = true;
		pa_plan_finish(&result);
	}
	pa_given_end(&given);
}

void
pa_cluster_store_write_unlocked(PaClusterChange **changes, int count)
{
	/* tells the triggers of the inventory that these are the agent's words */
	pa_inventory_writing_outcome = true;
	PG_TRY();
	{
		write_in_place(changes, count, false);
	}
	PG_FINALLY();
	{
		pa_inventory_writing_outcome = false;
	}
	PG_END_TRY();
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

/* columns of what is written of an instance */
static const PaColumn instance_columns[] = {
	{"cluster_id", TEXTOID}, {"instance_id", TEXTOID}, {"status", TEXTOID},
	{"place", INT4OID}
};

/* an instance that is to be written */
typedef struct InstancePlace
{
	const PaClusterChange *change;
	int			number;
} InstancePlace;

static void
give_instance(PaGiven *given, const InstancePlace *instance, int place)
{
	const PaClusterChange *change = instance->change;
	int			n = instance->number;

	pa_given_text(given, 0, change->cluster_id);
	pa_given_text(given, 1, change->instance_ids[n]);
	pa_given_text(given, 2, pa_power_state_name(change->instance_states[n]));
	pa_given_int32(given, 3, place, false);
	pa_given_add(given);
}

/*
 * Writes the instances whose rows are where they were; returns how many others
 * there are, and in *others which.
 */
static int
write_instances_in_place(const InstancePlace *instances, int count,
						 int *others)
{
	static PaPlan plan = {
		"UPDATE power_action.instance i SET status = v.status "
		"FROM given v "
		"WHERE i.ctid OPERATOR(pg_catalog.=) ANY ($1) "
		"AND i.instance_id OPERATOR(pg_catalog.=) v.instance_id "
		"AND i.cluster_id OPERATOR(pg_catalog.=) v.cluster_id "
		"AND i.status OPERATOR(pg_catalog.<>) v.status "
		"RETURNING v.place",
		1, {TIDARRAYOID}, PA_PLANNER_IN_PLACE
	};
	PaGiven		given;
	int			left;

	pa_given_begin(&given, instance_columns, lengthof(instance_columns));
	for (int i = 0; i < count; i++)
	{
		const ItemPointerData *rows = instances[i].change->instance_rows;

		if (rows)
			pa_given_row_id(&given, &rows[instances[i].number]);
		give_instance(&given, &instances[i], i);
	}
	left = pa_plan_run_in_place(&plan, &given, others);
	pa_given_end(&given);
	return left;
}

static void
write_instances(PaClusterChange **changes, int count)
{
	static PaPlan plan = {
		"UPDATE power_action.instance i SET status = v.status "
		"FROM given v "
		"WHERE i.cluster_id OPERATOR(pg_catalog.=) ANY (ARRAY[v.cluster_id]) "
		"AND i.instance_id OPERATOR(pg_catalog.>=) v.instance_id "
		"AND i.instance_id OPERATOR(pg_catalog.<=) v.instance_id "
		"AND i.status OPERATOR(pg_catalog.<>) v.status",
	};
	int			total = 0;
	int			wanted = 0;
	InstancePlace *instances;
	int		   *others;
	int			left;
	PaGiven		given;

	for (int i = 0; i < count; i++)
		total += changes[i]->instance_count;
	if (total == 0)
		return;
	instances = palloc(sizeof(InstancePlace) * total);
	others = palloc(sizeof(int) * total);
	for (int i = 0; i < count; i++)
		for (int n = 0; n < changes[i]->instance_count; n++)
		{
			if (changes[i]->instance_states[n] < 0)
				continue;
			instances[wanted].change = changes[i];
			instances[wanted++].number = n;
		}

	if (wanted == 0)
		return;
	left = write_instances_in_place(instances, wanted, others);

	/* those that have it already are among them */
	pa_given_begin(&given, instance_columns, lengthof(instance_columns));
	for (int i = 0; i < left; i++)
		give_instance(&given, &instances[others[i]], i);
	pa_plan_run_given(&plan, &given);
	pa_given_end(&given);
}

void
pa_cluster_store_write(PaClusterChange **changes, int count)
{
	if (count == 0)
		return;
	pa_inventory_writing_outcome = true;
	PG_TRY();
	{
		write_in_place(changes, count, true);
		write_instances(changes, count);
	}
	PG_FINALLY();
	{
		pa_inventory_writing_outcome = false;
	}
	PG_END_TRY();
}
