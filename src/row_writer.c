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
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "commands/sequence.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "storage/bufmgr.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "row_writer.h"

/* tables about which something is known */
static PaTable *known_tables;

/* ----------------------------------------------------------------------
 * Is the table as it was made?
 * ----------------------------------------------------------------------
 */

/* Something about a table has changed, or about all. */
static void
forget_table(Datum arg, Oid relation)
{
	for (PaTable *table = known_tables; table; table = table->next_known)
		if (relation == InvalidOid || relation == table->relation)
			table->relation = InvalidOid;
}

static void
register_table(PaTable *table)
{
	static bool registered = false;

	for (PaTable *known = known_tables; known; known = known->next_known)
		if (known == table)
			return;
	if (!registered)
		CacheRegisterRelcacheCallback(forget_table, (Datum) 0);
	registered = true;
	table->next_known = known_tables;
	known_tables = table;
}

static bool
has_our_columns(const PaTable *table, TupleDesc descriptor)
{
	if (descriptor->natts != table->column_count)
		return false;
	for (int c = 0; c < table->column_count; c++)
	{
		Form_pg_attribute attribute = TupleDescAttr(descriptor, c);

		if (attribute->attisdropped || attribute->attgenerated != '\0' ||
			attribute->atttypid != table->columns[c].type ||
			strcmp(NameStr(attribute->attname), table->columns[c].name) != 0)
			return false;
	}
	return true;
}

/* Our own triggers have nothing to do, and those of foreign keys are below. */
static bool
trigger_is_idle(const PaTable *table, const Trigger *trigger)
{
	FmgrInfo	function;

	if (trigger->tgisinternal)
		switch (RI_FKey_trigger_type(trigger->tgfoid))
		{
			case RI_TRIGGER_PK:
				return table->command != CMD_DELETE;
			case RI_TRIGGER_FK:
				return table->command != CMD_INSERT;
			default:
				return false;
		}

	fmgr_info(trigger->tgfoid, &function);
	for (int i = 0; table->idle_triggers[i]; i++)
		if (function.fn_addr == table->idle_triggers[i])
			return true;
	return false;
}

static bool
has_idle_triggers(const PaTable *table, const TriggerDesc *triggers)
{
	for (int i = 0; triggers && i < triggers->numtriggers; i++)
		if (!trigger_is_idle(table, &triggers->triggers[i]))
			return false;
	return true;
}

/* Is what is updated part of a foreign key, or may one refer to it? */
static bool
updates_keys(const PaTable *table, Relation relation)
{
	Bitmapset  *keys;
	ListCell   *cell;
	bool		found = false;

	keys = RelationGetIndexAttrBitmap(relation, INDEX_ATTR_BITMAP_KEY);
	foreach(cell, RelationGetFKeyList(relation))
	{
		const ForeignKeyCacheInfo *key = lfirst(cell);

		for (int i = 0; i < key->nkeys; i++)
			keys = bms_add_member(keys, key->conkey[i] -
								  FirstLowInvalidHeapAttributeNumber);
	}
	for (int c = 0; c < table->column_count; c++)
		if ((table->written & PA_COLUMN(c)) != 0 &&
			bms_is_member(c + 1 - FirstLowInvalidHeapAttributeNumber, keys))
			found = true;
	bms_free(keys);
	return found;
}

static bool
is_plain(const PaTable *table, Relation relation)
{
	const FormData_pg_class *class = relation->rd_rel;

	return class->relkind == RELKIND_RELATION &&
		class->relam == HEAP_TABLE_AM_OID &&
		!class->relispartition && !class->relhassubclass &&
		!class->relforcerowsecurity && relation->rd_rules == NULL &&
		has_our_columns(table, RelationGetDescr(relation)) &&
		has_idle_triggers(table, relation->trigdesc) &&
		(table->command != CMD_UPDATE || !updates_keys(table, relation));
}

static void
examine(PaTable *table, Relation relation)
{
	register_table(table);
	table->plain = is_plain(table, relation);
	if (table->plain && table->command == CMD_INSERT && table->identity >= 0)
	{
		table->sequence =
			pa_compat_identity_sequence(relation, table->identity + 1);
		table->plain = OidIsValid(table->sequence);
	}
	table->relation = RelationGetRelid(relation);
}

/* The table, locked for writing; NULL if it is not as it was made. */
static Relation
open_table(PaTable *table)
{
	Oid			schema = get_namespace_oid("power_action", true);
	Oid			oid = get_relname_relid(table->name, schema);
	Relation	relation;

	/* a statement says what is missing */
	if (!OidIsValid(oid))
		return NULL;

	/* what was changed before it could be locked is learnt here */
	relation = table_open(oid, RowExclusiveLock);
	if (table->relation != oid)
		examine(table, relation);
	if (!table->plain)
	{
		table_close(relation, NoLock);
		return NULL;
	}
	/* what is published must be told apart */
	CheckCmdReplicaIdentity(relation, table->command);
	return relation;
}

/* ----------------------------------------------------------------------
 * Beginning and ending
 * ----------------------------------------------------------------------
 */
bool
pa_writer_begin(PaRowWriter *writer, PaTable *table)
{
	Relation	relation = open_table(table);
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
	writer->estate->es_output_cid = GetCurrentCommandId(true);

	PushActiveSnapshot(GetTransactionSnapshot());
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

/* Entries of a row that is where no index knows it. */
static void
insert_index_entries(PaRowWriter *writer, TupleTableSlot *row,
					 PaIndexUpdate which)
{
	MemoryContext caller;

	if (!writer->indexes_open)
	{
		caller = MemoryContextSwitchTo(writer->estate->es_query_cxt);
		ExecOpenIndices(writer->result, false);
		MemoryContextSwitchTo(caller);
		writer->indexes_open = true;
	}
	if (writer->result->ri_NumIndices > 0)
		list_free(pa_compat_insert_index_entries(writer->result, row,
												 writer->estate,
												 writer->table->command ==
												 CMD_UPDATE, which));
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

	for (int i = 0; i < writer->row_count; i++)
	{
		insert_index_entries(writer, writer->rows[i], PA_INDEX_UPDATE_ALL);
		ResetPerTupleExprContext(writer->estate);
		ExecClearTuple(writer->rows[i]);
	}
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
	size_t		length = strlen(value);
	const text *has;

	if (writer->old->tts_isnull[column])
		return false;
	has = DatumGetTextPP(writer->old->tts_values[column]);
	return VARSIZE_ANY_EXHDR(has) == length &&
		memcmp(VARDATA_ANY(has), value, length) == 0;
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
	writer->new->tts_tableOid = RelationGetRelid(writer->relation);
	if (RelationGetDescr(writer->relation)->constr)
		ExecConstraints(writer->result, writer->new, writer->estate);

	result = table_tuple_update(writer->relation, &row_id, writer->new,
								writer->estate->es_output_cid,
								GetActiveSnapshot(), InvalidSnapshot, true,
								&failure, &mode, &indexes);
	if (result == TM_Ok && indexes != PA_INDEX_UPDATE_NONE)
		insert_index_entries(writer, writer->new, indexes);
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
	row->tts_tableOid = RelationGetRelid(writer->relation);
	if (RelationGetDescr(writer->relation)->constr)
		ExecConstraints(writer->result, row, writer->estate);
	ResetPerTupleExprContext(writer->estate);
	writer->row_count++;
	return id;
}
