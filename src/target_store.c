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

#include "store_plan.h"
#include "target_store.h"

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

typedef struct Instance
{
	char	   *instance_id;
	ItemPointerData row;
} Instance;

static int
compare_instances(const void *one, const void *other)
{
	return strcmp(((const Instance *) one)->instance_id,
				  ((const Instance *) other)->instance_id);
}

static void
read_instances(PaTarget *targets, int count, Datum cluster_ids)
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
	uint64		next = 0;
	Instance   *instances;

	pa_plan_execute(&plan, &cluster_ids, NULL, true, 0, &result);
	instances = palloc(sizeof(Instance) * (result.count + 1));
	while (next < result.count)
	{
		int64		n = pa_row_int64(&result.rows[next], 1);
		PaTarget   *target = &targets[n - 1];
		int			found = 0;

		for (; next < result.count &&
			 pa_row_int64(&result.rows[next], 1) == n; next++)
		{
			instances[found].instance_id = pa_row_text(&result.rows[next], 2);
			instances[found++].row = pa_row_tid(&result.rows[next], 3);
		}
		/* in order already, as a rule; the statement does not promise it */
		qsort(instances, found, sizeof(Instance), compare_instances);
		target->instance_count = found;
		target->instance_ids = palloc(sizeof(char *) * found);
		target->instance_rows = palloc(sizeof(ItemPointerData) * found);
		for (int i = 0; i < found; i++)
		{
			target->instance_ids[i] = instances[i].instance_id;
			target->instance_rows[i] = instances[i].row;
		}
	}
	pa_plan_finish(&result);
}

PaTarget *
pa_target_store_read(char **cluster_ids, int count)
{
	PaTarget   *targets = palloc0(sizeof(PaTarget) * count);
	Datum	   *ids = palloc(sizeof(Datum) * count);
	Datum		argument;

	for (int i = 0; i < count; i++)
		ids[i] = CStringGetTextDatum(cluster_ids[i]);
	argument = pa_array(ids, NULL, count, TEXTOID);
	read_clusters(targets, argument);
	read_instances(targets, count, argument);
	return targets;
}
