/*-------------------------------------------------------------------------
 *
 * src/store_plan.c
 *		Kept plans, and reading what they return.  See store_plan.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "optimizer/cost.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/plancache.h"
#include "utils/queryenvironment.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "store_plan.h"

#define MAX_PLANNINGS	10		/* of one plan that becomes invalid meanwhile */
#define GIVEN_MEMORY_KB	65536	/* the rows of a statement stay in memory */

static void
prepare(PaPlan *plan)
{
	SPIPlanPtr	prepared;

	prepared = SPI_prepare_cursor(plan->sql, plan->nargs, plan->types,
								  CURSOR_OPT_GENERIC_PLAN);
	if (prepared == NULL)
		elog(ERROR, "could not prepare statement: %s",
			 SPI_result_code_string(SPI_result));
	SPI_keepplan(prepared);
	plan->plan = prepared;
}

/* Makes the rows known to the statements of this SPI connection. */
static void
register_given(const PaGiven *given)
{
	EphemeralNamedRelation relation = palloc0(sizeof(EphemeralNamedRelationData));

	relation->md.name = pstrdup("given");
	relation->md.reliddesc = InvalidOid;
	relation->md.tupdesc = given->descriptor;
	relation->md.enrtype = ENR_NAMED_TUPLESTORE;
	/* the same for any number of rows, as the plan is */
	relation->md.enrtuples = 100;
	relation->reldata = given->store;
	if (SPI_register_relation(relation) != SPI_OK_REL_REGISTER)
		elog(ERROR, "could not register rows for a statement");
}

/* All columns at once: finding them one by one takes longer. */
static PaRow *
read_rows(const SPITupleTable *table, uint64 count)
{
	int			width = table->tupdesc->natts;
	PaRow	   *rows = palloc_extended(sizeof(PaRow) * (count + 1),
									   MCXT_ALLOC_HUGE);
	Datum	   *values;
	bool	   *nulls;

	if (count == 0)
		return rows;
	values = palloc_extended(sizeof(Datum) * count * width, MCXT_ALLOC_HUGE);
	nulls = palloc_extended(sizeof(bool) * count * width, MCXT_ALLOC_HUGE);
	for (uint64 i = 0; i < count; i++)
	{
		rows[i].values = values + i * width;
		rows[i].nulls = nulls + i * width;
		rows[i].descriptor = table->tupdesc;
		heap_deform_tuple(table->vals[i], table->tupdesc, rows[i].values,
						  rows[i].nulls);
	}
	return rows;
}

/*
 * Makes the plan, if there is none that is valid, from what it may consist of.
 * Its tables stay locked then, so nothing is learnt that makes it invalid
 * before it is executed; what was learnt while it was made is planned for.
 */
static void
make_plan(PaPlan *plan)
{
	const struct
	{
		bool	   *setting;
		bool		value;
	}			wanted[] = {
		{&enable_seqscan, false}, {&enable_bitmapscan, false},
		{&enable_indexscan, true}, {&enable_indexonlyscan, true},
		{&enable_tidscan, false}, {&enable_nestloop, true},
		{&enable_hashjoin, false}, {&enable_mergejoin, false},
		{&enable_memoize, false}
	};
	bool		callers[lengthof(wanted)];

	if (plan->plan == NULL)
		prepare(plan);
	if (plan->planner == PA_PLANNER_AS_SET)
		return;

	/* nothing but the planner runs meanwhile */
	for (size_t i = 0; i < lengthof(wanted); i++)
	{
		callers[i] = *wanted[i].setting;
		*wanted[i].setting = wanted[i].value;
	}
	PG_TRY();
	{
		int			tries = 0;

		do
		{
			CachedPlan *made = SPI_plan_get_cached_plan(plan->plan);

			if (made)
				ReleaseCachedPlan(made, CurrentResourceOwner);
		} while (!SPI_plan_is_valid(plan->plan) && ++tries < MAX_PLANNINGS);
	}
	PG_FINALLY();
	{
		for (size_t i = 0; i < lengthof(wanted); i++)
			*wanted[i].setting = callers[i];
	}
	PG_END_TRY();
}

static void
execute(PaPlan *plan, const Datum *values, const char *nulls,
		const PaGiven *given, bool read_only, long limit, PaResult *result)
{
	MemoryContext caller = CurrentMemoryContext;
	int			code;

	SPI_connect();
	if (given)
		register_given(given);
	make_plan(plan);

	code = SPI_execute_plan(plan->plan, (Datum *) values, nulls, read_only,
							limit);
	if (code < 0)
		elog(ERROR, "could not execute statement: %s",
			 SPI_result_code_string(code));
	/* what is read from the rows belongs to the caller */
	MemoryContextSwitchTo(caller);

	result->count = SPI_processed;
	result->rows = NULL;
	if (SPI_tuptable != NULL)
	{
		result->rows = read_rows(SPI_tuptable, SPI_processed);
	}
}

void
pa_plan_execute(PaPlan *plan, const Datum *values, const char *nulls,
				bool read_only, long limit, PaResult *result)
{
	execute(plan, values, nulls, NULL, read_only, limit, result);
}

void
pa_plan_execute_given(PaPlan *plan, const Datum *values, const char *nulls,
					  const PaGiven *given, PaResult *result)
{
	execute(plan, values, nulls, given, false, 0, result);
}

void
pa_plan_finish(PaResult *result)
{
	if (result->rows)
	{
		if (result->count > 0)
		{
			pfree(result->rows[0].values);
			pfree(result->rows[0].nulls);
		}
		pfree(result->rows);
	}
	result->rows = NULL;
	SPI_finish();
}

List *
pa_plan_list(PaPlan *plan, const Datum *values, const char *nulls,
			 PaCollector collect)
{
	PaResult	result;
	List	   *list = NIL;

	pa_plan_execute(plan, values, nulls, true, 0, &result);
	for (uint64 i = 0; i < result.count; i++)
		list = lappend(list, collect(&result.rows[i]));
	pa_plan_finish(&result);
	return list;
}

uint64
pa_plan_run(PaPlan *plan, const Datum *values, const char *nulls)
{
	PaResult	result;
	uint64		count;

	pa_plan_execute(plan, values, nulls, false, 0, &result);
	count = result.count;
	pa_plan_finish(&result);
	return count;
}

void
pa_plan_run_given(PaPlan *plan, const PaGiven *given)
{
	PaResult	result;

	if (given->count == 0)
		return;
	execute(plan, NULL, NULL, given, false, 0, &result);
	pa_plan_finish(&result);
}

void
pa_given_begin(PaGiven *given, const PaColumn *columns, int count)
{
	given->descriptor = CreateTemplateTupleDesc(count);
	for (int c = 0; c < count; c++)
		TupleDescInitEntry(given->descriptor, (AttrNumber) (c + 1),
						   columns[c].name, columns[c].type, -1, 0);
	given->store = tuplestore_begin_heap(false, false, GIVEN_MEMORY_KB);
	given->count = 0;
}

void
pa_given_text(PaGiven *given, int column, const char *value)
{
	given->nulls[column] = value == NULL;
	given->values[column] = value ? CStringGetTextDatum(value) : (Datum) 0;
}

void
pa_given_int32(PaGiven *given, int column, int32 value, bool isnull)
{
	given->nulls[column] = isnull;
	given->values[column] = Int32GetDatum(value);
}

void
pa_given_int64(PaGiven *given, int column, int64 value, bool isnull)
{
	given->nulls[column] = isnull;
	given->values[column] = Int64GetDatum(value);
}

/* null if it is infinite */
void
pa_given_time(PaGiven *given, int column, TimestampTz value)
{
	pa_given_int64(given, column, value, TIMESTAMP_NOT_FINITE(value));
}

void
pa_given_add(PaGiven *given)
{
	tuplestore_putvalues(given->store, given->descriptor, given->values,
						 given->nulls);
	given->count++;
}

void
pa_given_end(PaGiven *given)
{
	tuplestore_end(given->store);
	FreeTupleDesc(given->descriptor);
}

Datum
pa_row_value(const PaRow *row, int column, bool *isnull)
{
	*isnull = row->nulls[column - 1];
	return row->values[column - 1];
}

bool
pa_row_is_null(const PaRow *row, int column)
{
	return row->nulls[column - 1];
}

bool
pa_row_bool(const PaRow *row, int column)
{
	bool		isnull;

	return DatumGetBool(pa_row_value(row, column, &isnull));
}

char *
pa_row_text(const PaRow *row, int column)
{
	bool		isnull;
	Datum		value = pa_row_value(row, column, &isnull);

	if (isnull)
		return NULL;
	return TextDatumGetCString(value);
}

text *
pa_row_copy_text(const PaRow *row, int column)
{
	bool		isnull;
	Datum		value = pa_row_value(row, column, &isnull);

	return isnull ? NULL : DatumGetTextPCopy(value);
}

int16
pa_row_int16(const PaRow *row, int column)
{
	bool		isnull;

	return DatumGetInt16(pa_row_value(row, column, &isnull));
}

int32
pa_row_int32(const PaRow *row, int column)
{
	bool		isnull;

	return DatumGetInt32(pa_row_value(row, column, &isnull));
}

int64
pa_row_int64(const PaRow *row, int column)
{
	bool		isnull;

	return DatumGetInt64(pa_row_value(row, column, &isnull));
}

ItemPointerData
pa_row_tid(const PaRow *row, int column)
{
	bool		isnull;
	Datum		value = pa_row_value(row, column, &isnull);

	ItemPointerData row_id;

	if (isnull)
		ItemPointerSetInvalid(&row_id);
	else
		row_id = *(ItemPointer) DatumGetPointer(value);
	return row_id;
}

TimestampTz
pa_row_timestamp(const PaRow *row, int column, TimestampTz null_value)
{
	bool		isnull;
	Datum		value = pa_row_value(row, column, &isnull);

	return isnull ? null_value : DatumGetTimestampTz(value);
}

Datum
pa_array(const Datum *values, const bool *isnull, int count, Oid element_type)
{
	int			dimension = count;
	int			lower_bound = 1;
	int16		length;
	bool		by_value;
	char		align;

	switch (element_type)
	{
		case TEXTOID:
			length = -1;
			by_value = false;
			align = TYPALIGN_INT;
			break;
		case INT2OID:
			length = 2;
			by_value = true;
			align = TYPALIGN_SHORT;
			break;
		case INT4OID:
			length = 4;
			by_value = true;
			align = TYPALIGN_INT;
			break;
		case INT8OID:
		case TIMESTAMPTZOID:
			length = 8;
			by_value = FLOAT8PASSBYVAL;
			align = TYPALIGN_DOUBLE;
			break;
		default:
			elog(ERROR, "no array of type %u", element_type);
	}

	return PointerGetDatum(construct_md_array((Datum *) values,
											  (bool *) isnull, 1, &dimension,
											  &lower_bound, element_type,
											  length, by_value, align));
}

Datum
pa_id_array(const int64 *ids, int count)
{
	Datum	   *values = palloc(sizeof(Datum) * Max(count, 1));

	for (int i = 0; i < count; i++)
		values[i] = Int64GetDatum(ids[i]);
	return pa_array(values, NULL, count, INT8OID);
}

Datum
pa_text_array(const char **texts, int count)
{
	Datum	   *values = palloc(sizeof(Datum) * Max(count, 1));

	for (int i = 0; i < count; i++)
		values[i] = CStringGetTextDatum(texts[i]);
	return pa_array(values, NULL, count, TEXTOID);
}

char **
pa_row_text_array(const PaRow *row, int column, int *count)
{
	bool		isnull;
	Datum		value = pa_row_value(row, column, &isnull);
	Datum	   *elements;
	char	  **texts;

	Assert(!isnull);
	deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false,
					  TYPALIGN_INT, &elements, NULL, count);
	texts = palloc(sizeof(char *) * (*count + 1));
	for (int i = 0; i < *count; i++)
		texts[i] = TextDatumGetCString(elements[i]);
	return texts;
}
