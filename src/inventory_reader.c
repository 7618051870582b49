/*-------------------------------------------------------------------------
 *
 * src/inventory_reader.c
 *		Clusters, read without statements.  See inventory_reader.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "utils/fmgrprotos.h"

#include "inventory_reader.h"

static PaTable cluster_table = {
	.name = "cluster",
	.columns = pa_cluster_columns,
	.column_count = PA_CLUSTER_COLUMNS,
	.command = CMD_SELECT,
	.index_columns = {{PA_CLUSTER_ID}},
	.index_column_count = 1
};

static PaTable account_table = {
	.name = "account",
	.columns = pa_account_columns,
	.column_count = PA_ACCOUNT_COLUMNS,
	.command = CMD_SELECT,
	.index_columns = {{PA_ACCOUNT_NAME}},
	.index_column_count = 1
};

static PaTable instance_table = {
	.name = "instance",
	.columns = pa_instance_columns,
	.column_count = PA_INSTANCE_COLUMNS,
	.command = CMD_SELECT,
	.index_columns = {{PA_INSTANCE_CLUSTER_ID}, {PA_INSTANCE_ID}},
	.index_column_count = 2
};

bool
pa_inventory_reader_begin(PaInventoryReader *reader)
{
	reader->account_read = false;
	if (!pa_reader_begin(&reader->clusters, &cluster_table))
		return false;
	if (pa_reader_begin(&reader->accounts, &account_table))
	{
		if (pa_reader_begin(&reader->instances, &instance_table))
			return true;
		pa_reader_end(&reader->accounts);
	}
	pa_reader_end(&reader->clusters);
	return false;
}

void
pa_inventory_reader_end(PaInventoryReader *reader)
{
	pa_reader_end(&reader->instances);
	pa_reader_end(&reader->accounts);
	pa_reader_end(&reader->clusters);
}

/* Is this the account that was read last? */
static bool
is_account(const PaInventoryReader *reader, Datum account_name)
{
	Datum		last = reader->accounts.values[PA_ACCOUNT_NAME];

	return DatumGetBool(DirectFunctionCall2Coll(texteq, C_COLLATION_OID, last,
												account_name));
}

void
pa_inventory_reader_set_clusters(PaInventoryReader *reader,
								 const Datum *cluster_ids, int count,
								 bool secretly)
{
	pa_reader_set_keys(&reader->clusters, cluster_ids, count, !secretly);
	pa_reader_set_keys(&reader->instances, cluster_ids, count, !secretly);
}

bool
pa_inventory_reader_find(PaInventoryReader *reader, int position)
{
	Datum		account_name;

	pa_reader_seek_key(&reader->clusters, position);
	if (!pa_reader_next(&reader->clusters))
		return false;

	account_name = reader->clusters.values[PA_CLUSTER_ACCOUNT_NAME];
	if (!reader->account_read || !is_account(reader, account_name))
	{
		pa_reader_seek(&reader->accounts, account_name);
		reader->account_read = pa_reader_next(&reader->accounts);
	}
	if (!reader->account_read)
		return false;
	pa_reader_seek_key(&reader->instances, position);
	return true;
}
