/*-------------------------------------------------------------------------
 *
 * src/event_store.c
 *		The SQL of sessions about events that exist.  See event_store.h.
 *
 * Every name and operator is qualified, as in request_store.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/timestamp.h"

#include "event_store.h"
#include "inventory.h"
#include "store_plan.h"

bool
pa_event_store_read(int64 event_id, PaEventState *state)
{
	static PaPlan plan = {
		"SELECT e.status, e.account_name, e.agent_result, e.error_code, "
		"e.error_message, e.finished_at IS NOT NULL, e.xmin "
		"FROM power_action.event e "
		"WHERE e.event_id OPERATOR(pg_catalog.=) $1",
		1, {INT8OID}
	};
	Datum		argument = Int64GetDatum(event_id);
	PaResult	result;
	bool		found;

	pa_plan_execute(&plan, &argument, NULL, false, 0, &result);
	found = result.count > 0;
	if (found)
	{
		const PaRow *row = &result.rows[0];
		bool		isnull;
		Datum		account_name = pa_row_value(row, 2, &isnull);

		state->status = pa_row_text(row, 1);
		state->account_name = isnull ? NULL : DatumGetTextPCopy(account_name);
		state->agent_result = pa_row_text(row, 3);
		state->error_code = pa_row_text(row, 4);
		state->error_message = pa_row_text(row, 5);
		state->final = pa_row_bool(row, 6);
		state->own = TransactionIdIsCurrentTransactionId(
			DatumGetTransactionId(pa_row_value(row, 7, &isnull)));
	}
	pa_plan_finish(&result);
	return found;
}

char *
pa_event_store_outcome(int64 event_id)
{
	static PaPlan plan = {
		"SELECT h.outcome FROM power_action.history h "
		"WHERE h.event_id OPERATOR(pg_catalog.=) $1",
		1, {INT8OID}
	};
	Datum		argument = Int64GetDatum(event_id);
	PaResult	result;
	char	   *outcome = NULL;

	pa_plan_execute(&plan, &argument, NULL, false, 0, &result);
	if (result.count > 0)
		outcome = pa_row_text(&result.rows[0], 1);
	pa_plan_finish(&result);
	return outcome;
}

Datum
pa_event_store_row(int64 event_id)
{
	static PaPlan plan = {
		"SELECT e FROM power_action.event e "
		"WHERE e.event_id OPERATOR(pg_catalog.=) $1",
		1, {INT8OID}
	};
	Datum		argument = Int64GetDatum(event_id);
	PaResult	result;
	Datum		event = (Datum) 0;

	pa_plan_execute(&plan, &argument, NULL, false, 0, &result);
	if (result.count > 0)
	{
		bool		isnull;

		event = datumCopy(pa_row_value(&result.rows[0], 1, &isnull), false, -1);
	}
	pa_plan_finish(&result);
	return event;
}

void
pa_event_store_cancel(int64 event_id, const text *cancelled_by,
					  const text *reason)
{
	static PaPlan plan = {
		"INSERT INTO power_action.cancellation "
		"(event_id, cancelled_by, reason, requested_at) "
		"VALUES ($1, $2, $3, $4)",
		4, {INT8OID, TEXTOID, TEXTOID, TIMESTAMPTZOID}
	};
	Datum		values[4];
	char		nulls[4] = {' ', ' ', reason ? ' ' : 'n', ' '};
	Oid			user;
	int			context;

	values[0] = Int64GetDatum(event_id);
	values[1] = PointerGetDatum(cancelled_by);
	values[2] = PointerGetDatum(reason);
	values[3] = TimestampTzGetDatum(GetCurrentTimestamp());

	pa_inventory_become_owner(&user, &context);
	pa_plan_run(&plan, values, nulls);
	pa_inventory_become_caller(user, context);
}

int64
pa_event_store_adopt(int64 *low, int64 *high)
{
	static PaPlan plan = {
		"WITH a AS (UPDATE power_action.job j "
		"SET origin_system = $1, origin_database = $2, "
		/* the clock of the original may have been ahead */
		"due_at = LEAST(j.due_at, GREATEST(j.not_before, "
		"pg_catalog.clock_timestamp())) "
		"WHERE j.origin_system OPERATOR(pg_catalog.<>) $1 "
		"OR j.origin_database OPERATOR(pg_catalog.<>) $2 "
		"RETURNING j.event_id) "
		"SELECT pg_catalog.count(*), COALESCE(pg_catalog.min(a.event_id), 0), "
		"COALESCE(pg_catalog.max(a.event_id), 0) FROM a",
		2, {INT8OID, OIDOID}
	};
	Datum		values[2];
	PaResult	result;
	int64		count;

	values[0] = Int64GetDatum((int64) GetSystemIdentifier());
	values[1] = ObjectIdGetDatum(MyDatabaseId);
	pa_plan_execute(&plan, values, NULL, false, 0, &result);
	count = pa_row_int64(&result.rows[0], 1);
	*low = pa_row_int64(&result.rows[0], 2);
	*high = pa_row_int64(&result.rows[0], 3);
	pa_plan_finish(&result);
	return count;
}

void
pa_event_store_begin_procedure(void)
{
	SPI_connect_ext(SPI_OPT_NONATOMIC);
}

void
pa_event_store_commit(void)
{
	SPI_commit();
}

void
pa_event_store_end_procedure(void)
{
	SPI_finish();
}
