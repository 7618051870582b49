/*-------------------------------------------------------------------------
 *
 * src/request_target.c
 *		Looking up the clusters of a request.  See request_target.h.
 *
 * Every name and operator is qualified, as in request_store.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "inventory.h"
#include "inventory_reader.h"
#include "request_target.h"
#include "store_plan.h"

/* As the caller: which of the clusters row-level security lets him see. */
static void
find_visible(PaRequestItem **sorted, int count)
{
	static PaPlan plan = {
		"SELECT c.cluster_id FROM power_action.cluster c "
		"WHERE c.cluster_id OPERATOR(pg_catalog.=) ANY ($1)",
		1, {TEXTARRAYOID}, PA_PLANNER_LOOK_UPS
	};
	Datum		argument = pa_request_item_ids(sorted, count);
	PaResult	result;

	pa_plan_execute_given(&plan, &argument, NULL, NULL, &result);
	for (uint64 i = 0; i < result.count; i++)
		pa_request_item_of_row(&result.rows[i], 1, sorted,
							   count)->found = true;
	pa_plan_finish(&result);
}

/*
 * By statement.  The limits keep the planner from joining: it may believe that
 * the tables are empty.
 */
static void
query_clusters(PaRequestItem **visible, int count,
			   const PaOperatedAccounts *accounts)
{
	static PaPlan plan = {
		"SELECT c.cluster_id, c.cluster_name, c.account_name, a.server_name, "
		"c.status OPERATOR(pg_catalog.=) 'terminated', "
		"(SELECT pg_catalog.count(*) FROM power_action.instance i "
		"WHERE i.cluster_id OPERATOR(pg_catalog.=) c.cluster_id "
		"AND i.status OPERATOR(pg_catalog.<>) 'terminated') "
		"FROM pg_catalog.unnest($1) AS n(cluster_id) "
		"CROSS JOIN LATERAL (SELECT c.cluster_id, c.cluster_name, "
		"c.account_name, c.status FROM power_action.cluster c "
		"WHERE c.cluster_id OPERATOR(pg_catalog.=) n.cluster_id LIMIT 1) c "
		"CROSS JOIN LATERAL (SELECT a.server_name "
		"FROM power_action.account a "
		"WHERE a.account_name OPERATOR(pg_catalog.=) c.account_name "
		"LIMIT 1) a",
		1, {TEXTARRAYOID}, PA_PLANNER_LOOK_UPS
	};
	Datum		argument = pa_request_item_ids(visible, count);
	PaResult	result;

	pa_plan_execute_given(&plan, &argument, NULL, NULL, &result);
	for (uint64 i = 0; i < result.count; i++)
	{
		const PaRow *row = &result.rows[i];
		PaRequestItem *item = pa_request_item_of_row(row, 1, visible, count);

		item->cluster_name = pa_row_copy_text(row, 2);
		item->account_name = pa_row_copy_text(row, 3);
		item->server_name = pa_row_copy_text(row, 4);
		item->terminated = pa_row_bool(row, 5);
		item->instances_live = (int) pa_row_int64(row, 6);
		item->may_operate = pa_inventory_operates(accounts,
												  item->account_name);
	}
	pa_plan_finish(&result);
}

/* Without one: what the reader has found. */
static void
take_cluster(PaRequestItem *item, PaInventoryReader *reader,
			 const PaOperatedAccounts *accounts)
{
	const Datum *cluster = reader->clusters.values;

	item->cluster_name = DatumGetTextPCopy(cluster[PA_CLUSTER_NAME]);
	item->account_name = DatumGetTextPCopy(cluster[PA_CLUSTER_ACCOUNT_NAME]);
	item->server_name =
		DatumGetTextPCopy(reader->accounts.values[PA_ACCOUNT_SERVER_NAME]);
	item->terminated = pa_table_is_word(cluster[PA_CLUSTER_STATUS],
										"terminated");
	item->may_operate = pa_inventory_operates(accounts, item->account_name);
	item->instances_live = 0;
	while (pa_reader_next(&reader->instances))
		if (!pa_table_is_word(reader->instances.values[PA_INSTANCE_STATUS],
							  "terminated"))
			item->instances_live++;
}

/*
 * As the owner: what a request needs to know of clusters.  Only those that the
 * caller sees are looked up, or the time it takes would tell which of the
 * others exist.
 */
static void
read_clusters(PaRequestItem **sorted, int count,
			  const PaOperatedAccounts *accounts)
{
	PaRequestItem **visible = palloc(sizeof(PaRequestItem *) * count);
	int			visible_count = 0;
	Datum	   *cluster_ids;
	PaInventoryReader reader;
	Oid			user;
	int			context;
	bool		begun;

	for (int i = 0; i < count; i++)
		if (sorted[i]->found)
			visible[visible_count++] = sorted[i];
	if (visible_count == 0)
		return;

	pa_inventory_become_owner(&user, &context);
	pa_table_push_snapshot();
	begun = pa_inventory_reader_begin(&reader);
	if (begun)
	{
		cluster_ids = palloc(sizeof(Datum) * visible_count);
		for (int i = 0; i < visible_count; i++)
			cluster_ids[i] = PointerGetDatum(visible[i]->cluster_id);
		pa_inventory_reader_set_clusters(&reader, cluster_ids, visible_count,
										 !accounts->all);
		for (int i = 0; i < visible_count; i++)
			if (pa_inventory_reader_find(&reader, i))
				take_cluster(visible[i], &reader, accounts);
		pa_inventory_reader_end(&reader);
	}
	PopActiveSnapshot();
	if (!begun)
		query_clusters(visible, visible_count, accounts);
	pa_inventory_become_caller(user, context);
}

void
pa_request_target_find(PaRequestItem **sorted, int count)
{
	PaOperatedAccounts accounts;

	pa_inventory_read_operated(&accounts);
	if (pa_inventory_caller_is_owner())
		for (int i = 0; i < count; i++)
			sorted[i]->found = true;
	else
		find_visible(sorted, count);
	read_clusters(sorted, count, &accounts);

	/* does not exist, or visible and deleted in between */
	for (int i = 0; i < count; i++)
		if (sorted[i]->account_name == NULL)
			sorted[i]->found = false;
}

char *
pa_request_target_id_of_name(const text *name)
{
	static PaPlan plan = {
		"SELECT c.cluster_id FROM power_action.cluster c "
		"WHERE c.cluster_name OPERATOR(pg_catalog.=) $1 "
		"ORDER BY c.cluster_id",
		1, {TEXTOID}, PA_PLANNER_LOOK_UPS
	};
	Datum		argument = PointerGetDatum(name);
	PaResult	result;
	char	   *cluster_id = NULL;

	pa_plan_execute(&plan, &argument, NULL, false, 1, &result);
	if (result.count > 0)
		cluster_id = pa_row_text(&result.rows[0], 1);
	pa_plan_finish(&result);
	return cluster_id;
}
