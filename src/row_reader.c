/*-------------------------------------------------------------------------
 *
 * src/row_reader.c
 *		Rows read without a statement.  See row_reader.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/nbtree.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "row_reader.h"

/*
 * Keys that are neighbours in the index, as those of a whole account often
 * are, are found by going on to the next entry, which costs far less than a
 * look-up.  But to begin with it all of a page is read, so there must be
 * neighbours to make up for that: if there are not, each key is looked up.
 */
#define FEWEST_KEYS		32		/* for which it is tried */
#define LONGEST_GAP		16		/* entries between two keys */
#define SHORTEST_RUN	16		/* keys without a longer gap between them */

static Oid
type_of_column(const PaRowReader *reader, int column)
{
	return TupleDescAttr(RelationGetDescr(reader->index), column)->atttypid;
}

bool
pa_reader_begin_scan(PaRowReader *reader, PaTable *table, int condition_count)
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
	reader->is_text = type_of_column(reader, 0) == TEXTOID;
	reader->slot = table_slot_create(reader->relation, NULL);
	reader->values = reader->slot->tts_values;
	reader->nulls = reader->slot->tts_isnull;
	reader->scan = pa_compat_index_beginscan(reader->relation, reader->index,
											 GetActiveSnapshot(),
											 condition_count);
	reader->condition_count = condition_count;
	reader->going_on = false;
	return true;
}

bool
pa_reader_begin(PaRowReader *reader, PaTable *table)
{
	return pa_reader_begin_scan(reader, table, 1);
}

void
pa_reader_end(PaRowReader *reader)
{
	index_endscan(reader->scan);
	ExecDropSingleTupleTableSlot(reader->slot);
	index_close(reader->index, NoLock);
	table_close(reader->relation, NoLock);
}

/* The scan begins anew, at the key or what follows, or for nothing else. */
static void
scan_from(PaRowReader *reader, StrategyNumber strategy)
{
	bool		going_on = strategy == BTGreaterEqualStrategyNumber;
	RegProcedure procedure;
	ScanKeyData scan_key;

	if (going_on)
		procedure = reader->is_text ? F_TEXT_GE : F_INT8GE;
	else
		procedure = reader->is_text ? F_TEXTEQ : F_INT8EQ;
	ScanKeyEntryInitialize(&scan_key, 0, 1, strategy, InvalidOid,
						   reader->is_text ? C_COLLATION_OID : InvalidOid,
						   procedure, reader->key);
	reader->going_on = going_on;
	reader->at_entry = reader->at_end = false;
	reader->run = 0;
	/* what compare_entry looks at */
	reader->scan->xs_want_itup = going_on;
	index_rescan(reader->scan, &scan_key, 1, NULL, 0);
}

void
pa_reader_seek(PaRowReader *reader, Datum key)
{
	reader->key = key;
	scan_from(reader, BTEqualStrategyNumber);
}

void
pa_reader_set_keys(PaRowReader *reader, const Datum *keys, int count,
				   bool together)
{
	reader->keys = keys;
	reader->key = keys[0];
	reader->going_on = false;
	if (together && count >= FEWEST_KEYS)
		scan_from(reader, BTGreaterEqualStrategyNumber);
}

void
pa_reader_seek_key(PaRowReader *reader, int position)
{
	reader->key = reader->keys[position];
	reader->run++;
	if (!reader->going_on)
		scan_from(reader, BTEqualStrategyNumber);
}

void
pa_reader_set_condition(PaRowReader *reader, int condition, int column,
						StrategyNumber strategy, Datum value)
{
	Oid			type = type_of_column(reader, column);
	Oid			operator = get_opfamily_member(
		reader->index->rd_opfamily[column], type, type, strategy);

	ScanKeyEntryInitialize(&reader->conditions[condition], 0, column + 1,
						   strategy, type,
						   reader->index->rd_indcollation[column],
						   get_opcode(operator), value);
}

/* one of two that are compared as a row */
static void
set_member(PaRowReader *reader, int member, int column, Datum value)
{
	Oid			type = type_of_column(reader, column);

	ScanKeyEntryInitialize(&reader->after[member],
						   SK_ROW_MEMBER | (member == 1 ? SK_ROW_END : 0),
						   column + 1, BTGreaterStrategyNumber, type,
						   reader->index->rd_indcollation[column],
						   get_opfamily_proc(reader->index->rd_opfamily[column],
											 type, type, BTORDER_PROC), value);
}

void
pa_reader_set_after(PaRowReader *reader, int condition, int column,
					Datum value, Datum next_value)
{
	ScanKey		key = &reader->conditions[condition];

	set_member(reader, 0, column, value);
	set_member(reader, 1, column + 1, next_value);
	MemSet(key, 0, sizeof(ScanKeyData));
	key->sk_flags = SK_ROW_HEADER;
	key->sk_attno = column + 1;
	key->sk_strategy = BTGreaterStrategyNumber;
	key->sk_argument = PointerGetDatum(reader->after);
}

void
pa_reader_scan(PaRowReader *reader)
{
	index_rescan(reader->scan, reader->conditions, reader->condition_count,
				 NULL, 0);
}

/* Where the entry that the scan is at lies: before the key, or behind it. */
static int
compare_entry(const PaRowReader *reader)
{
	const IndexScanDescData *scan = reader->scan;
	bool		isnull;
	Datum		value = index_getattr(scan->xs_itup, 1, scan->xs_itupdesc,
									  &isnull);

	Assert(!isnull);
	return DatumGetInt32(reader->is_text ?
						 DirectFunctionCall2Coll(bttextcmp, C_COLLATION_OID,
												 value, reader->key) :
						 DirectFunctionCall2(btint8cmp, value, reader->key));
}

/*
 * Goes on to the next entry that has the key.  False: there is none, or it is
 * to be looked up, since the keys are too far from each other.
 */
static bool
go_on(PaRowReader *reader)
{
	int			passed = 0;

	while (!reader->at_end)
	{
		int			order;

		if (!reader->at_entry &&
			index_getnext_tid(reader->scan, ForwardScanDirection) == NULL)
		{
			reader->at_end = true;
			break;
		}
		order = compare_entry(reader);
		reader->at_entry = order > 0;
		if (order == 0)
			return true;
		if (order > 0)
			break;
		if (++passed > LONGEST_GAP)
		{
			bool		worth_it = reader->run > SHORTEST_RUN;

			scan_from(reader, worth_it ? BTGreaterEqualStrategyNumber :
					  BTEqualStrategyNumber);
			if (!worth_it)
				break;
			passed = 0;
		}
	}
	return false;
}

static bool
next_row(PaRowReader *reader)
{
	while (reader->going_on && go_on(reader))
		if (index_fetch_heap(reader->scan, reader->slot))
			return true;
	return !reader->going_on &&
		index_getnext_slot(reader->scan, ForwardScanDirection, reader->slot);
}

bool
pa_reader_next(PaRowReader *reader)
{
	CHECK_FOR_INTERRUPTS();
	if (!next_row(reader))
		return false;
	slot_getallattrs(reader->slot);
	return true;
}
