/*-------------------------------------------------------------------------
 *
 * src/target_store.c
 *		Reading what a call needs to know of a cluster.  See target_store.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "store_plan.h"
#include "target_store.h"

/*
 * The limits keep the planner from joining: it may believe that the tables
 * are empty, and there is to be one look-up for each cluster.
 */
PaTarget *
pa_target_store_read(char **cluster_ids, int count)
{
	static PaPlan plan = {
		"SELECT n.n, c.status OPERATOR(pg_catalog.=) 'terminated', "
		"c.region, a.account_name, a.account_id, "
		"ARRAY(SELECT i.instance_id FROM power_action.instance i "
		"WHERE i.cluster_id OPERATOR(pg_catalog.=) c.cluster_id "
		"AND i.status OPERATOR(pg_catalog.<>) 'terminated' "
		"ORDER BY i.instance_id) "
		"FROM pg_catalog.unnest($1) WITH ORDINALITY AS n(cluster_id, n) "
		"CROSS JOIN LATERAL (SELECT c.cluster_id, c.status, c.region, "
		"c.account_name FROM power_action.cluster c "
		"WHERE c.cluster_id OPERATOR(pg_catalog.=) n.cluster_id LIMIT 1) c "
		"CROSS JOIN LATERAL (SELECT a.account_name, a.account_id "
		"FROM power_action.account a "
		"WHERE a.account_name OPERATOR(pg_catalog.=) c.account_name "
		"LIMIT 1) a",
		1, {TEXTARRAYOID}
	};
	PaTarget   *targets = palloc0(sizeof(PaTarget) * count);
	Datum	   *ids = palloc(sizeof(Datum) * count);
	Datum		argument;
	PaResult	result;

	for (int i = 0; i < count; i++)
		ids[i] = CStringGetTextDatum(cluster_ids[i]);
	argument = pa_array(ids, NULL, count, TEXTOID);
	pa_plan_execute(&plan, &argument, NULL, true, 0, &result);
	for (uint64 i = 0; i < result.count; i++)
	{
		const PaRow *row = &result.rows[i];
		PaTarget   *target = &targets[pa_row_int64(row, 1) - 1];

		target->found = true;
		target->terminated = pa_row_bool(row, 2);
		target->region = pa_row_text(row, 3);
		target->account_name = pa_row_text(row, 4);
		target->account_id = pa_row_text(row, 5);
		target->instance_ids = pa_row_text_array(row, 6,
												 &target->instance_count);
	}
	pa_plan_finish(&result);
	return targets;
}
