/*-------------------------------------------------------------------------
 *
 * src/target_store.c
 *		Reading what a call needs to know of a cluster.  See target_store.h.
 *
 * The limits and offsets keep the planner from joining: it may believe that
 * the tables are empty, and there is to be one look-up for each cluster.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "inventory_reader.h"
#include "store_plan.h"
#include "target_store.h"

/* Instances of a cluster, as they come. */
typedef struct Instance
{
	char	   *instance_id;
	ItemPointerData row;
} Instance;

typedef struct Instances
{
	Instance   *all;
	int			count;
	int			room;
} Instances;

static void
add_instance(Instances *instances, char *instance_id, ItemPointerData row)
{
	if (instances->count == instances->room)
	{
		instances->room = Max(64, instances->room * 2);
		instances->all = instances->all ?
			repalloc_huge(instances->all, sizeof(Instance) * instances->room) :
			palloc(sizeof(Instance) * instances->room);
	}
	instances->all[instances->count].instance_id = instance_id;
	instances->all[instances->count++].row = row;
}

static int
compare_instances(const void *one, const void *other)
{
	return strcmp(((const Instance *) one)->instance_id,
				  ((const Instance *) other)->instance_id);
}

/* Gives them to the target, in order; none are left. */
static void
take_instances(PaTarget *target, Instances *instances)
{
	int			count = instances->count;

	/* in order already, as a rule; nothing promises it */
	qsort(instances->all, count, sizeof(Instance), compare_instances);
	target->instance_count = count;
	target->instance_ids = palloc(sizeof(char *) * count);
	target->instance_rows = palloc(sizeof(ItemPointerData) * count);
	for (int i = 0; i < count; i++)
	{
		target->instance_ids[i] = instances->all[i].instance_id;
		target->instance_rows[i] = instances->all[i].row;
	}
	instances->count = 0;
}

/*
 * Without statements, as long as the tables are as they were made
 */
static void
read_target(PaTarget *target, PaInventoryReader *reader, Instances *instances)
{
	const PaRowReader *cluster = &reader->clusters;
	const PaRowReader *account = &reader->accounts;
	PaRowReader *instance = &reader->instances;

	target->found = true;
	target->terminated = pa_table_is_word(cluster->values[PA_CLUSTER_STATUS],
										  "terminated");
	target->region = TextDatumGetCString(cluster->values[PA_CLUSTER_REGION]);
	target->account_name =
		TextDatumGetCString(account->values[PA_ACCOUNT_NAME]);
	if (!account->nulls[PA_ACCOUNT_ID])
		target->account_id =
			TextDatumGetCString(account->values[PA_ACCOUNT_ID]);
	target->row = cluster->slot->tts_tid;

	while (pa_reader_next(instance))
		if (!pa_table_is_word(instance->values[PA_INSTANCE_STATUS],
							  "terminated"))
			add_instance(instances,
						 TextDatumGetCString(instance->values[PA_INSTANCE_ID]),
						 instance->slot->tts_tid);
	if (instances->count > 0)
		take_instances(target, instances);
}

/* A cluster id as it was given, and where. */
typedef struct Named
{
	const char *cluster_id;
	int			position;
} Named;

static int
compare_named(const void *one, const void *other)
{
	return strcmp(((const Named *) one)->cluster_id,
				  ((const Named *) other)->cluster_id);
}

static bool
read_in_place(PaTarget *targets, char **cluster_ids, int count)
{
	Named	   *named = palloc(sizeof(Named) * count);
	Datum	   *keys = palloc(sizeof(Datum) * count);
	PaInventoryReader reader;
	Instances	instances = {NULL, 0, 0};

	if (!pa_inventory_reader_begin(&reader))
		return false;
	for (int i = 0; i < count; i++)
	{
		named[i].cluster_id = cluster_ids[i];
		named[i].position = i;
	}
	qsort(named, count, sizeof(Named), compare_named);
	for (int i = 0; i < count; i++)
		keys[i] = CStringGetTextDatum(named[i].cluster_id);
	pa_inventory_reader_set_clusters(&reader, keys, count, false);
	for (int i = 0; i < count; i++)
		if (pa_inventory_reader_find(&reader, i))
			read_target(&targets[named[i].position], &reader, &instances);
	pa_inventory_reader_end(&reader);
	return true;
}

/*
 * With them
 */
static void
read_clusters(PaTarget *targets, Datum cluster_ids)
{
	static PaPlan plan = {
		"SELECT n.n, c.status OPERATOR(pg_catalog.=) 'terminated', "
		"c.region, a.account_name, a.account_id, c.row_id "
		"FROM pg_catalog.unnest($1) WITH ORDINALITY AS n(cluster_id, n) "
		"CROSS JOIN LATERAL (SELECT c.status, c.region, c.account_name, "
		"c.ctid AS row_id FROM power_action.cluster c "
		"WHERE c.cluster_id OPERATOR(pg_catalog.=) n.cluster_id LIMIT 1) c "
		"CROSS JOIN LATERAL (SELECT a.account_name, a.account_id "
		"FROM power_action.account a "
		"WHERE a.account_name OPERATOR(pg_catalog.=) c.account_name "
		"LIMIT 1) a",
		1, {TEXTARRAYOID}
	};
	PaResult	result;

	pa_plan_execute(&plan, &cluster_ids, NULL, true, 0, &result);
	for (uint64 i = 0; i < result.count; i++)
	{
		const PaRow *row = &result.rows[i];
		PaTarget   *target = &targets[pa_row_int64(row, 1) - 1];

		target->found = true;
		target->terminated = pa_row_bool(row, 2);
		target->region = pa_row_text(row, 3);
		target->account_name = pa_row_text(row, 4);
		target->account_id = pa_row_text(row, 5);
		target->row = pa_row_tid(row, 6);
	}
	pa_plan_finish(&result);
}

static void
read_instances(PaTarget *targets, Datum cluster_ids)
{
	static PaPlan plan = {
		"SELECT n.n, i.instance_id, i.row_id "
		"FROM pg_catalog.unnest($1) WITH ORDINALITY AS n(cluster_id, n) "
		"CROSS JOIN LATERAL (SELECT i.instance_id, i.ctid AS row_id "
		"FROM power_action.instance i "
		"WHERE i.cluster_id OPERATOR(pg_catalog.=) n.cluster_id "
		"AND i.status OPERATOR(pg_catalog.<>) 'terminated' "
		"ORDER BY i.instance_id OFFSET 0) i "
		/* without a sort: that is how the function returns them */
		"ORDER BY n.n",
		1, {TEXTARRAYOID}
	};
	PaResult	result;
	Instances	instances = {NULL, 0, 0};

	pa_plan_execute(&plan, &cluster_ids, NULL, true, 0, &result);
	for (uint64 i = 0; i < result.count;)
	{
		int64		n = pa_row_int64(&result.rows[i], 1);

		for (; i < result.count && pa_row_int64(&result.rows[i], 1) == n; i++)
			add_instance(&instances, pa_row_text(&result.rows[i], 2),
						 pa_row_tid(&result.rows[i], 3));
		take_instances(&targets[n - 1], &instances);
	}
	pa_plan_finish(&result);
}

PaTarget *
pa_target_store_read(char **cluster_ids, int count)
{
	PaTarget   *targets = palloc0(sizeof(PaTarget) * count);
	Datum		argument;

	if (read_in_place(targets, cluster_ids, count))
		return targets;
	argument = pa_text_array((const char **) cluster_ids, count);
	read_clusters(targets, argument);
	read_instances(targets, argument);
	return targets;
}
