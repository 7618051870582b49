/*-------------------------------------------------------------------------
 *
 * src/row_writer.h
 *		Rows written without a statement, where they are known to be.
 *
 * Only in tables that are as they were made (plain_table.h).  Else
 * pa_writer_begin says no, and the store uses the statement that it has
 * besides.
 *
 * Called by the stores only, inside a transaction with an active snapshot, as
 * the owner of the tables.  Raises what the constraints and indexes raise.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_ROW_WRITER_H
#define PA_ROW_WRITER_H

#include "datatype/timestamp.h"
#include "nodes/execnodes.h"
#include "storage/itemptr.h"

#include "plain_table.h"

#define PA_WRITER_MAX_ROWS	500 /* that are inserted together */

/* A table while some of its rows are written. */
typedef struct PaRowWriter
{
	PaTable    *table;
	Relation	relation;
	EState	   *estate;
	ResultRelInfo *result;
	BlockNumber blocks;			/* of the table */
	bool		indexes_open;
	TupleTableSlot *old;		/* the row that was fetched */
	TupleTableSlot *new;		/* what is written, of one row */
	Datum	   *values;			/* its columns: set these ... */
	bool	   *nulls;			/* ... and these */
	TupleTableSlot **rows;		/* of CMD_INSERT: those not yet written */
	int			row_count;
} PaRowWriter;

/* False: nothing was begun, because the table is not as it was made. */
extern bool pa_writer_begin(PaRowWriter *writer, PaTable *table);

/* What is written can be seen from here on. */
extern void pa_writer_end(PaRowWriter *writer);

/* Values of the row to come. */
extern void pa_writer_set(PaRowWriter *writer, int column, Datum value);
extern void pa_writer_set_null(PaRowWriter *writer, int column);
/* NULL: null */
extern void pa_writer_set_text(PaRowWriter *writer, int column,
							   const char *value);
/* null if it is infinite */
extern void pa_writer_set_time(PaRowWriter *writer, int column,
							   TimestampTz value);

/*
 * CMD_UPDATE and CMD_DELETE: reads a row that is thought to be there, visible
 * to a snapshot that was taken by pa_writer_begin.  False if none is.  Whose
 * row it is has to be checked.  The row to come is set to the same values.
 */
extern bool pa_writer_fetch(PaRowWriter *writer,
							const ItemPointerData *row_id);
extern bool pa_writer_has_text(PaRowWriter *writer, int column,
							   const char *value);
extern bool pa_writer_has_int64(PaRowWriter *writer, int column, int64 value);

/* Has another transaction, which still runs, locked or changed that row? */
extern bool pa_writer_row_is_locked(PaRowWriter *writer);

/*
 * Updates or deletes the row that was fetched.  Waits for who has it locked.
 * False, and nothing is done, if it was changed meanwhile.
 */
extern bool pa_writer_update(PaRowWriter *writer);
extern bool pa_writer_delete(PaRowWriter *writer);

/*
 * CMD_INSERT: all columns of a new row are to be set but that of the identity,
 * which is returned (0 if there is none).  It is inserted by pa_writer_end at
 * the latest, and what it points to must stay until then.
 */
extern void pa_writer_start_row(PaRowWriter *writer);
extern int64 pa_writer_insert(PaRowWriter *writer);

#endif							/* PA_ROW_WRITER_H */
