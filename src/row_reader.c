/*-------------------------------------------------------------------------
 *
 * src/row_reader.c
 *		Rows read without a statement.  See row_reader.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "row_reader.h"

bool
pa_reader_begin(PaRowReader *reader, PaTable *table)
{
	reader->table = table;
	reader->relation = pa_table_open(table);
	if (reader->relation == NULL)
		return false;
	reader->index = index_open(table->index_relation, AccessShareLock);
	/* made while there were rows that it has in another state than we see */
	if (reader->index->rd_index->indcheckxmin)
	{
		index_close(reader->index, NoLock);
		table_close(reader->relation, NoLock);
		return false;
	}
	reader->slot = table_slot_create(reader->relation, NULL);
	reader->values = reader->slot->tts_values;
	reader->nulls = reader->slot->tts_isnull;
	reader->scan = pa_compat_index_beginscan(reader->relation, reader->index,
											 GetActiveSnapshot(), 1);
	return true;
}

void
pa_reader_end(PaRowReader *reader)
{
	index_endscan(reader->scan);
	ExecDropSingleTupleTableSlot(reader->slot);
	index_close(reader->index, NoLock);
	table_close(reader->relation, NoLock);
}

void
pa_reader_seek(PaRowReader *reader, Datum key)
{
	const PaTable *table = reader->table;
	bool		is_text =
		table->columns[table->index_columns[0].column].type == TEXTOID;
	ScanKeyData scan_key;

	ScanKeyEntryInitialize(&scan_key, 0, 1, BTEqualStrategyNumber, InvalidOid,
						   is_text ? C_COLLATION_OID : InvalidOid,
						   is_text ? F_TEXTEQ : F_INT8EQ, key);
	index_rescan(reader->scan, &scan_key, 1, NULL, 0);
}

bool
pa_reader_next(PaRowReader *reader)
{
	CHECK_FOR_INTERRUPTS();
	if (!index_getnext_slot(reader->scan, ForwardScanDirection, reader->slot))
		return false;
	slot_getallattrs(reader->slot);
	return true;
}
