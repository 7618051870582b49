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
#include "request_target.h"
#include "row_reader.h"
#include "store_plan.h"
#include "table_layout.h"

static text *
copy_text(const PaRow *row, int column)
{
	bool		isnull;
	Datum		value = pa_row_value(row, column, &isnull);

	return isnull ? NULL : DatumGetTextPCopy(value);
}

/* The item of the cluster that a row begins with. */
static PaRequestItem *
item_of_row(const PaRow *row, PaRequestItem **sorted, int count)
{
	bool		isnull;

	return pa_request_item_find(DatumGetTextPP(pa_row_value(row, 1, &isnull)),
								sorted, count);
}

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
		item_of_row(&result.rows[i], sorted, count)->found = true;
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
		PaRequestItem *item = item_of_row(row, visible, count);

		item->cluster_name = copy_text(row, 2);
		item->account_name = copy_text(row, 3);
		item->server_name = copy_text(row, 4);
		item->terminated = pa_row_bool(row, 5);
		item->instances_live = (int) pa_row_int64(row, 6);
		item->may_operate = pa_inventory_operates(accounts,
												  item->account_name);
	}
	pa_plan_finish(&result);
}

/*
 * Without one, as long as the tables are as they were made
 */
static PaTable cluster_table = {
	.name = "cluster",
	.columns = pa_cluster_columns,
	.column_count = PA_CLUSTER_COLUMNS,
	.command = CMD_SELECT,
	.key_columns = 1
};

static PaTable account_table = {
	.name = "account",
	.columns = pa_account_columns,
	.column_count = PA_ACCOUNT_COLUMNS,
	.command = CMD_SELECT,
	.key_columns = 1
};

static PaTable instance_table = {
	.name = "instance",
	.columns = pa_instance_columns,
	.column_count = PA_INSTANCE_COLUMNS,
	.command = CMD_SELECT,
	.key_columns = 1
};

typedef struct Readers
{
	PaRowReader clusters;
	PaRowReader accounts;
	PaRowReader instances;

	/* the account that was read last: many clusters have the same */
	text	   *account_name;
	text	   *server_name;
} Readers;

static bool
begin_reading(Readers *readers)
{
	readers->account_name = NULL;
	if (!pa_reader_begin(&readers->clusters, &cluster_table))
		return false;
	if (pa_reader_begin(&readers->accounts, &account_table))
	{
		if (pa_reader_begin(&readers->instances, &instance_table))
			return true;
		pa_reader_end(&readers->accounts);
	}
	pa_reader_end(&readers->clusters);
	return false;
}

static void
end_reading(Readers *readers)
{
	pa_reader_end(&readers->instances);
	pa_reader_end(&readers->accounts);
	pa_reader_end(&readers->clusters);
}

static bool
is_terminated(const PaRowReader *reader, int column)
{
	static const char word[] = "terminated";
	const text *status = DatumGetTextPP(reader->values[column]);

	return VARSIZE_ANY_EXHDR(status) == sizeof(word) - 1 &&
		memcmp(VARDATA_ANY(status), word, sizeof(word) - 1) == 0;
}

/* The server of an account; NULL if there is no such account. */
static text *
read_server_name(Readers *readers, text *account_name)
{
	PaRowReader *reader = &readers->accounts;
	Datum		key = PointerGetDatum(account_name);

	if (readers->account_name != NULL &&
		pa_request_item_compare_ids(readers->account_name, account_name) == 0)
		return readers->server_name;

	readers->account_name = account_name;
	readers->server_name = NULL;
	pa_reader_seek(reader, &key);
	if (pa_reader_next(reader))
		readers->server_name =
			DatumGetTextPCopy(reader->values[PA_ACCOUNT_SERVER_NAME]);
	return readers->server_name;
}

static void
read_cluster(Readers *readers, PaRequestItem *item,
			 const PaOperatedAccounts *accounts)
{
	PaRowReader *cluster = &readers->clusters;
	Datum		key = PointerGetDatum(item->cluster_id);
	text	   *account_name;

	pa_reader_seek(cluster, &key);
	if (!pa_reader_next(cluster))
		return;
	account_name =
		DatumGetTextPCopy(cluster->values[PA_CLUSTER_ACCOUNT_NAME]);
	item->server_name = read_server_name(readers, account_name);
	if (item->server_name == NULL)
		return;
	item->account_name = account_name;
	item->cluster_name = DatumGetTextPCopy(cluster->values[PA_CLUSTER_NAME]);
	item->terminated = is_terminated(cluster, PA_CLUSTER_STATUS);
	item->may_operate = pa_inventory_operates(accounts, account_name);

	item->instances_live = 0;
	pa_reader_seek(&readers->instances, &key);
	while (pa_reader_next(&readers->instances))
		if (!is_terminated(&readers->instances, PA_INSTANCE_STATUS))
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
	Readers		readers;
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
	begun = begin_reading(&readers);
	for (int i = 0; i < visible_count && begun; i++)
		read_cluster(&readers, visible[i], accounts);
	if (begun)
		end_reading(&readers);
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
