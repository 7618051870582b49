/*-------------------------------------------------------------------------
 *
 * src/row_reader.h
 *		Rows read by an index without a statement.
 *
 * Only in tables that are as they were made (plain_table.h).  Else
 * pa_reader_begin says no, and the store uses the statement that it has
 * besides.
 *
 * Called by the stores only, as the owner of the tables, inside a transaction.
 * What is visible is what the active snapshot sees.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_ROW_READER_H
#define PA_ROW_READER_H

#include "access/genam.h"
#include "access/stratnum.h"
#include "executor/tuptable.h"

#include "plain_table.h"

/* A table while some of its rows are read. */
typedef struct PaRowReader
{
	PaTable    *table;
	Relation	relation;
	Relation	index;
	IndexScanDesc scan;
	TupleTableSlot *slot;
	Datum	   *values;			/* of the row that was read last, */
	bool	   *nulls;			/* valid until the next one is */

	bool		is_text;		/* the key, else it is a bigint */
	const Datum *keys;			/* of pa_reader_set_keys */
	Datum		key;			/* whose rows are read */
	bool		going_on;		/* entries are read one after the other */
	bool		at_entry;		/* one that belongs to a later key */
	bool		at_end;			/* no more entries */
	int			run;			/* keys sought since there was a gap */

	ScanKeyData conditions[PA_TABLE_INDEX_COLUMNS];
	ScanKeyData after[2];
	int			condition_count;
} PaRowReader;

/* False: nothing was begun, because the table is not as it was made. */
extern bool pa_reader_begin(PaRowReader *reader, PaTable *table);
extern void pa_reader_end(PaRowReader *reader);

/* From now on the rows with this key, in the order of the index. */
extern void pa_reader_seek(PaRowReader *reader, Datum key);

/*
 * Keys, one at least, that will be sought one after the other.  They are all
 * different, in ascending order (texts bytewise), and stay until then.  With
 * "together" what lies between them in the index may be passed over.
 */
extern void pa_reader_set_keys(PaRowReader *reader, const Datum *keys,
							   int count, bool together);

/* The same as pa_reader_seek; "position" only grows. */
extern void pa_reader_seek_key(PaRowReader *reader, int position);

/*
 * The same with other conditions than one key: begins with their number.  Then
 * all of them are set, in the order of the index's columns, which are counted
 * from 0: a column compares with a value as a btree strategy says, or comes,
 * together with the one behind it, after two values.
 */
extern bool pa_reader_begin_scan(PaRowReader *reader, PaTable *table,
								 int condition_count);
extern void pa_reader_set_condition(PaRowReader *reader, int condition,
									int column, StrategyNumber strategy,
									Datum value);
extern void pa_reader_set_after(PaRowReader *reader, int condition, int column,
								Datum value, Datum next_value);

/* From now on the rows that meet the conditions, in the order of the index. */
extern void pa_reader_scan(PaRowReader *reader);

/* The next of them; false if there is none. */
extern bool pa_reader_next(PaRowReader *reader);

#endif							/* PA_ROW_READER_H */
