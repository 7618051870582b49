/*-------------------------------------------------------------------------
 *
 * src/row_writer.c
 *		Rows written without a statement.  See row_writer.h.
 *
 * The steps are those of COPY and of the worker that applies a subscription;
 * what they do for triggers and generated columns is left out, because tables
 * that have any are not written here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/multixact.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "commands/sequence.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "row_writer.h"

/* ----------------------------------------------------------------------
 * Beginning and ending
 * ----------------------------------------------------------------------
 */
bool
pa_writer_begin(PaRowWriter *writer, PaTable *table)
{
	Relation	relation = pa_table_open(table);
	MemoryContext caller;

	if (relation == NULL)
		return false;

	memset(writer, 0, sizeof(PaRowWriter));
	writer->table = table;
	writer->relation = relation;
	writer->estate = CreateExecutorState();
	caller = MemoryContextSwitchTo(writer->estate->es_query_cxt);
	writer->result = makeNode(ResultRelInfo);
	InitResultRelInfo(writer->result, relation, 0, NULL, 0);

	pa_table_push_snapshot();
	writer->estate->es_output_cid = GetCurrentCommandId(true);
	if (table->command == CMD_INSERT)
		writer->rows = palloc0(sizeof(TupleTableSlot *) * PA_WRITER_MAX_ROWS);
	else
	{
		/* its end: it cannot become smaller while we have it open */
		writer->blocks = RelationGetNumberOfBlocks(relation);
		writer->old = table_slot_create(relation,
										&writer->estate->es_tupleTable);
		writer->new = ExecAllocTableSlot(&writer->estate->es_tupleTable,
										 RelationGetDescr(relation),
										 &TTSOpsVirtual);
		writer->values = writer->new->tts_values;
		writer->nulls = writer->new->tts_isnull;
	}
	MemoryContextSwitchTo(caller);
	return true;
}

/*
 * The constraints of a row that is to be written.  CHECKs of the table are
 * read and compiled anew each time that it is opened; if there is none but
 * ours, that can be spared.
 */
static void
check_row(PaRowWriter *writer, TupleTableSlot *row)
{
	const PaTable *table = writer->table;
	TupleDesc	descriptor = RelationGetDescr(writer->relation);
	bool		null_forbidden = false;

	row->tts_tableOid = RelationGetRelid(writer->relation);
	if (descriptor->constr == NULL)
		return;
	for (int c = 0; c < table->column_count && table->only_check; c++)
		null_forbidden |= row->tts_isnull[c] &&
			TupleDescAttr(descriptor, c)->attnotnull;
	if (!table->only_check || null_forbidden ||
		!table->check_columns(row->tts_values, row->tts_isnull))
		ExecConstraints(writer->result, row, writer->estate);
}

static void
open_indexes(PaRowWriter *writer)
{
	MemoryContext caller;

	if (writer->indexes_open)
		return;
	caller = MemoryContextSwitchTo(writer->estate->es_query_cxt);
	ExecOpenIndices(writer->result, false);
	MemoryContextSwitchTo(caller);
	writer->indexes_open = true;
}

/* Entries of a row that is where no index knows it. */
static void
insert_entries(PaRowWriter *writer, TupleTableSlot *row, PaIndexUpdate which)
{
	open_indexes(writer);
	if (writer->result->ri_NumIndices > 0)
		list_free(pa_compat_insert_index_entries(writer->result, row,
												 writer->estate, true, which));
}

/* Those of the new rows, one index after the other: its pages are at hand. */
static void
insert_all_entries(PaRowWriter *writer)
{
	ResultRelInfo one;

	open_indexes(writer);
	one = *writer->result;
	one.ri_NumIndices = 1;
	for (int i = 0; i < writer->result->ri_NumIndices; i++)
	{
		one.ri_IndexRelationDescs = &writer->result->ri_IndexRelationDescs[i];
		one.ri_IndexRelationInfo = &writer->result->ri_IndexRelationInfo[i];
		for (int r = 0; r < writer->row_count; r++)
		{
			list_free(pa_compat_insert_index_entries(&one, writer->rows[r],
													 writer->estate, false,
													 PA_INDEX_UPDATE_ALL));
			ResetPerTupleExprContext(writer->estate);
		}
	}
}

static void
flush_rows(PaRowWriter *writer)
{
	MemoryContext caller;

	if (writer->row_count == 0)
		return;
	/* the tuples are freed below */
	caller = MemoryContextSwitchTo(GetPerTupleMemoryContext(writer->estate));
	if (writer->row_count == 1)
		table_tuple_insert(writer->relation, writer->rows[0],
						   writer->estate->es_output_cid, 0, NULL);
	else
		table_multi_insert(writer->relation, writer->rows, writer->row_count,
						   writer->estate->es_output_cid, 0, NULL);
	MemoryContextSwitchTo(caller);
	ResetPerTupleExprContext(writer->estate);

	insert_all_entries(writer);
	for (int i = 0; i < writer->row_count; i++)
		ExecClearTuple(writer->rows[i]);
	writer->row_count = 0;
}

void
pa_writer_end(PaRowWriter *writer)
{
	flush_rows(writer);
	if (writer->indexes_open)
		ExecCloseIndices(writer->result);
	ExecResetTupleTable(writer->estate->es_tupleTable, false);
	table_close(writer->relation, NoLock);
	FreeExecutorState(writer->estate);
	PopActiveSnapshot();
	CommandCounterIncrement();
}

/* ----------------------------------------------------------------------
 * The row to come
 * ----------------------------------------------------------------------
 */
void
pa_writer_set(PaRowWriter *writer, int column, Datum value)
{
	writer->values[column] = value;
	writer->nulls[column] = false;
}

void
pa_writer_set_null(PaRowWriter *writer, int column)
{
	writer->values[column] = (Datum) 0;
	writer->nulls[column] = true;
}

void
pa_writer_set_text(PaRowWriter *writer, int column, const char *value)
{
	EState	   *estate = writer->estate;
	MemoryContext caller;

	if (value == NULL)
	{
		pa_writer_set_null(writer, column);
		return;
	}
	/* new rows wait for each other */
	caller = MemoryContextSwitchTo(writer->table->command == CMD_INSERT ?
								   estate->es_query_cxt :
								   GetPerTupleMemoryContext(estate));
	pa_writer_set(writer, column, CStringGetTextDatum(value));
	MemoryContextSwitchTo(caller);
}

void
pa_writer_set_time(PaRowWriter *writer, int column, TimestampTz value)
{
	if (TIMESTAMP_NOT_FINITE(value))
		pa_writer_set_null(writer, column);
	else
		pa_writer_set(writer, column, TimestampTzGetDatum(value));
}

/* ----------------------------------------------------------------------
 * Rows that are there
 * ----------------------------------------------------------------------
 */
bool
pa_writer_fetch(PaRowWriter *writer, const ItemPointerData *row_id)
{
	ItemPointerData place = *row_id;

	CHECK_FOR_INTERRUPTS();
	/* the values that were set for the row before */
	ResetPerTupleExprContext(writer->estate);

	if (!ItemPointerIsValid(&place) ||
		ItemPointerGetBlockNumber(&place) >= writer->blocks ||
		!table_tuple_fetch_row_version(writer->relation, &place,
									   GetActiveSnapshot(), writer->old))
		return false;

	slot_getallattrs(writer->old);
	ExecClearTuple(writer->new);
	memcpy(writer->values, writer->old->tts_values,
		   sizeof(Datum) * writer->table->column_count);
	memcpy(writer->nulls, writer->old->tts_isnull,
		   sizeof(bool) * writer->table->column_count);
	return true;
}

bool
pa_writer_has_text(PaRowWriter *writer, int column, const char *value)
{
	return !writer->old->tts_isnull[column] &&
		pa_table_is_word(writer->old->tts_values[column], value);
}

bool
pa_writer_has_int64(PaRowWriter *writer, int column, int64 value)
{
	return !writer->old->tts_isnull[column] &&
		DatumGetInt64(writer->old->tts_values[column]) == value;
}

bool
pa_writer_row_is_locked(PaRowWriter *writer)
{
	BufferHeapTupleTableSlot *slot = (BufferHeapTupleTableSlot *) writer->old;
	HeapTupleHeader header = slot->base.tuple->t_data;
	uint16		flags;
	TransactionId locker;

	/* both of the same moment */
	LockBuffer(slot->buffer, BUFFER_LOCK_SHARE);
	flags = header->t_infomask;
	locker = HeapTupleHeaderGetRawXmax(header);
	LockBuffer(slot->buffer, BUFFER_LOCK_UNLOCK);

	if ((flags & HEAP_XMAX_INVALID) != 0 || !TransactionIdIsValid(locker))
		return false;
	if ((flags & HEAP_XMAX_IS_MULTI) != 0)
		return MultiXactIdIsRunning(locker, HEAP_XMAX_IS_LOCKED_ONLY(flags));
	return !TransactionIdIsCurrentTransactionId(locker) &&
		TransactionIdIsInProgress(locker);
}

bool
pa_writer_update(PaRowWriter *writer)
{
	ItemPointerData row_id = writer->old->tts_tid;
	TM_FailureData failure;
	LockTupleMode mode;
	PaIndexUpdate indexes;
	TM_Result	result;

	ExecStoreVirtualTuple(writer->new);
	check_row(writer, writer->new);

	result = table_tuple_update(writer->relation, &row_id, writer->new,
								writer->estate->es_output_cid,
								GetActiveSnapshot(), InvalidSnapshot, true,
								&failure, &mode, &indexes);
	if (result == TM_Ok && indexes != PA_INDEX_UPDATE_NONE)
		insert_entries(writer, writer->new, indexes);
	return result == TM_Ok;
}

bool
pa_writer_delete(PaRowWriter *writer)
{
	ItemPointerData row_id = writer->old->tts_tid;
	TM_FailureData failure;

	return table_tuple_delete(writer->relation, &row_id,
							  writer->estate->es_output_cid,
							  GetActiveSnapshot(), InvalidSnapshot, true,
							  &failure, false) == TM_Ok;
}

/* ----------------------------------------------------------------------
 * New rows
 * ----------------------------------------------------------------------
 */
void
pa_writer_start_row(PaRowWriter *writer)
{
	TupleTableSlot **row;

	CHECK_FOR_INTERRUPTS();
	if (writer->row_count == PA_WRITER_MAX_ROWS)
		flush_rows(writer);
	row = &writer->rows[writer->row_count];
	if (*row == NULL)
	{
		MemoryContext caller;

		caller = MemoryContextSwitchTo(writer->estate->es_query_cxt);
		*row = ExecAllocTableSlot(&writer->estate->es_tupleTable,
								  RelationGetDescr(writer->relation),
								  &TTSOpsVirtual);
		MemoryContextSwitchTo(caller);
	}
	writer->values = (*row)->tts_values;
	writer->nulls = (*row)->tts_isnull;
}

int64
pa_writer_insert(PaRowWriter *writer)
{
	TupleTableSlot *row = writer->rows[writer->row_count];
	int64		id = 0;

	if (writer->table->identity >= 0)
	{
		id = nextval_internal(writer->table->sequence, false);
		pa_writer_set(writer, writer->table->identity, Int64GetDatum(id));
	}
	ExecStoreVirtualTuple(row);
	check_row(writer, row);
	ResetPerTupleExprContext(writer->estate);
	writer->row_count++;
	return id;
}
