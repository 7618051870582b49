/*-------------------------------------------------------------------------
 *
 * src/inventory_reader.c
 *		Clusters, read without statements.  See inventory_reader.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "inventory_reader.h"

static PaTable cluster_table = {
	.name = "cluster",
	.columns = pa_cluster_columns,
	.column_count = PA_CLUSTER_COLUMNS,
	.command = CMD_SELECT,
	.index_columns = {{PA_CLUSTER_ID}},
	.index_column_count = 1,
	.key_columns = 1
};

static PaTable account_table = {
	.name = "account",
	.columns = pa_account_columns,
	.column_count = PA_ACCOUNT_COLUMNS,
	.command = CMD_SELECT,
	.index_columns = {{PA_ACCOUNT_NAME}},
	.index_column_count = 1,
	.key_columns = 1
};

static PaTable instance_table = {
	.name = "instance",
	.columns = pa_instance_columns,
	.column_count = PA_INSTANCE_COLUMNS,
	.command = CMD_SELECT,
	.index_columns = {{PA_INSTANCE_CLUSTER_ID}, {PA_INSTANCE_ID}},
	.index_column_count = 2,
	.key_columns = 1
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

static bool
text_equal(Datum one, Datum other)
{
	const text *a = DatumGetTextPP(one);
	const text *b = DatumGetTextPP(other);

	return VARSIZE_ANY_EXHDR(a) == VARSIZE_ANY_EXHDR(b) &&
		memcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a)) == 0;
}

bool
pa_inventory_reader_find(PaInventoryReader *reader, const text *cluster_id)
{
	Datum		key = PointerGetDatum(cluster_id);
	Datum		account_name;

	pa_reader_seek(&reader->clusters, &key);
	if (!pa_reader_next(&reader->clusters))
		return false;

	account_name = reader->clusters.values[PA_CLUSTER_ACCOUNT_NAME];
	if (!reader->account_read ||
		!text_equal(reader->accounts.values[PA_ACCOUNT_NAME], account_name))
	{
		pa_reader_seek(&reader->accounts, &account_name);
		reader->account_read = pa_reader_next(&reader->accounts);
	}
	if (!reader->account_read)
		return false;
	pa_reader_seek(&reader->instances, &key);
	return true;
}
