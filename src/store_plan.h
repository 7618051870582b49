/*-------------------------------------------------------------------------
 *
 * src/store_plan.h
 *		Kept plans, and reading what they return: what the stores share.
 *
 * Called by the stores only, inside a transaction with an active snapshot.
 * A plan is a static variable of the function that uses it; it is prepared
 * at its first use, as a generic one, and kept for the life of the process.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_STORE_PLAN_H
#define PA_STORE_PLAN_H

#include "access/tupdesc.h"
#include "datatype/timestamp.h"
#include "executor/spi.h"
#include "nodes/pg_list.h"
#include "utils/tuplestore.h"

#include "table_layout.h"

#define PA_PLAN_MAX_ARGUMENTS 24
#define PA_GIVEN_MAX_COLUMNS 20

/*
 * What the planner may choose from.  A plan is made at its first execution, and
 * again whenever a table was analyzed since, be it empty or not.
 */
typedef enum PaPlanner
{
	PA_PLANNER_AS_SET,			/* what the settings say: the worker's own */
	PA_PLANNER_LOOK_UPS			/* each row is looked up in an index */
} PaPlanner;

typedef struct PaPlan
{
	const char *sql;
	int			nargs;
	Oid			types[PA_PLAN_MAX_ARGUMENTS];
	PaPlanner	planner;
	SPIPlanPtr	plan;			/* NULL until the first use */
} PaPlan;

typedef struct PaRow
{
	Datum	   *values;
	bool	   *nulls;
	TupleDesc	descriptor;
} PaRow;

typedef struct PaResult
{
	uint64		count;			/* rows processed */
	PaRow	   *rows;			/* NULL if the statement returns none */
} PaResult;

/*
 * Rows that travel to a statement: in its SQL they are the relation "given"
 * with these columns.  One tuplestore is scanned as it is, whereas arrays
 * would have to be made, unnested and stored, one for each column.
 */
typedef struct PaGiven
{
	TupleDesc	descriptor;
	Tuplestorestate *store;
	uint64		count;
	Datum		values[PA_GIVEN_MAX_COLUMNS];
	bool		nulls[PA_GIVEN_MAX_COLUMNS];
} PaGiven;

/*
 * No rows yet, in the current memory context.  Then, for each row, set its
 * columns, counted from 0, and add it.  pa_given_end frees.
 */
extern void pa_given_begin(PaGiven *given, const PaColumn *columns,
						   int count);
extern void pa_given_text(PaGiven *given, int column, const char *value);
extern void pa_given_int32(PaGiven *given, int column, int32 value,
						   bool isnull);
extern void pa_given_int64(PaGiven *given, int column, int64 value,
						   bool isnull);
extern void pa_given_time(PaGiven *given, int column, TimestampTz value);
extern void pa_given_add(PaGiven *given);

extern void pa_given_end(PaGiven *given);

/*
 * Runs a plan.  nulls: as SPI_execute_plan, NULL for none.  read_only: use
 * the active snapshot; else a new one that sees earlier changes.  limit: as
 * SPI, 0 for all.  The result is valid until pa_plan_finish, which every
 * execute needs; what pa_row_text returned stays.  Raises what the statement
 * raises.
 */
extern void pa_plan_execute(PaPlan *plan, const Datum *values,
							const char *nulls, bool read_only, long limit,
							PaResult *result);
extern void pa_plan_finish(PaResult *result);

/* The same with rows that the statement reads; NULL for none. */
extern void pa_plan_execute_given(PaPlan *plan, const Datum *values,
								  const char *nulls, const PaGiven *given,
								  PaResult *result);

/* Runs a read-only plan and makes a List of what "collect" makes of a row. */
typedef void *(*PaCollector) (const PaRow *row);

extern List *pa_plan_list(PaPlan *plan, const Datum *values,
						  const char *nulls, PaCollector collect);

/* Runs a plan that writes; returns the number of rows. */
extern uint64 pa_plan_run(PaPlan *plan, const Datum *values,
						  const char *nulls);

/* Runs a plan without parameters that writes, unless there are no rows. */
extern void pa_plan_run_given(PaPlan *plan, const PaGiven *given);

/*
 * Columns are counted from 1.  Text is palloc'd in the current context, NULL
 * for a null.  A ctid that is null is invalid.  The others raise no error and
 * must not be null, except where a value for null is given.
 */
extern Datum pa_row_value(const PaRow *row, int column, bool *isnull);
extern bool pa_row_is_null(const PaRow *row, int column);
extern bool pa_row_bool(const PaRow *row, int column);
extern char *pa_row_text(const PaRow *row, int column);
extern text *pa_row_copy_text(const PaRow *row, int column);
extern int16 pa_row_int16(const PaRow *row, int column);
extern int32 pa_row_int32(const PaRow *row, int column);
extern int64 pa_row_int64(const PaRow *row, int column);
extern ItemPointerData pa_row_tid(const PaRow *row, int column);
extern TimestampTz pa_row_timestamp(const PaRow *row, int column,
									TimestampTz null_value);

/* An array value of one of the types that the stores use; isnull may be NULL. */
extern Datum pa_array(const Datum *values, const bool *isnull, int count,
					  Oid element_type);

/* The same of ids, and of texts that are not null. */
extern Datum pa_id_array(const int64 *ids, int count);
extern Datum pa_text_array(const char **texts, int count);

/* The elements of a text[] that is not null, as C strings. */
extern char **pa_row_text_array(const PaRow *row, int column, int *count);

#endif							/* PA_STORE_PLAN_H */
