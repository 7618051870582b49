/*-------------------------------------------------------------------------
 *
 * src/wait.c
 *		The SQL function wait_for and the procedures that request and wait.
 *
 * Called in client backends.  The worker wakes the condition variable of an
 * event when it is final; since that can be lost (another server, a worker
 * that ended) the row is looked at every second too.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "argument.h"
#include "clock.h"
#include "event_store.h"
#include "request.h"
#include "request_target.h"
#include "shared_state.h"
#include "wait.h"

#define RECHECK_MS 1000

PG_FUNCTION_INFO_V1(pa_wait_for);
PG_FUNCTION_INFO_V1(pa_wait_power_on);
PG_FUNCTION_INFO_V1(pa_wait_power_off);

/*
 * Looks at the event until it is final or the time is over; "event" is as it
 * was seen last.  false: it is not visible (any more).
 *
 * between: what to do between a look and the sleep, NULL for nothing.
 */
static bool
wait_until_final(int64 event_id, PaInstant deadline, void (*between) (void),
				 PaEventState *event)
{
	bool		found;

	/* before the first look, so that no wake-up is lost after it */
	pa_shared_event_prepare(event_id);
	for (;;)
	{
		long		left;

		CHECK_FOR_INTERRUPTS();
		found = pa_event_store_read(event_id, event);
		if (!found || event->final)
			break;
		if (between)
			between();
		left = pa_clock_left(deadline);
		if (left <= 0)
			break;
		pa_shared_event_sleep(event_id, Min(left, RECHECK_MS));
	}
	pa_shared_event_end();
	return found;
}

Datum
pa_wait_for(PG_FUNCTION_ARGS)
{
	int64		event_id;
	PaInstant	deadline;
	PaEventState event;
	bool		found;
	Datum		row;

	if (!pa_shared_available())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("wait_for() needs power_action to be preloaded"),
				 errhint("Add power_action to shared_preload_libraries and restart the server.")));

	pa_argument_check_not_null("event_id", PG_ARGISNULL(0));
	pa_argument_check_not_null("timeout", PG_ARGISNULL(1));
	event_id = PG_GETARG_INT64(0);
	deadline = pa_clock_after(
		pa_clock_now(),
		pa_argument_milliseconds("timeout", PG_GETARG_INTERVAL_P(1)));

	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("wait_for() cannot see the end of an event in this isolation level"),
				 errhint("Use READ COMMITTED.")));

	found = pa_event_store_read(event_id, &event);
	if (found && event.own && !event.final)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("event " INT64_FORMAT " was requested in this transaction",
						event_id),
				 errdetail("Nothing is sent before it commits."),
				 errhint("Commit first, or use power_on_and_wait() or power_off_and_wait().")));

	if (found && !event.final)
		found = wait_until_final(event_id, deadline, NULL, &event);
	row = found ? pa_event_store_row(event_id) : (Datum) 0;
	if (row == (Datum) 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("event " INT64_FORMAT " does not exist", event_id)));
	PG_RETURN_DATUM(row);
}

/* A procedure that commits must be called outside of everything else. */
static void
check_may_commit(FunctionCallInfo fcinfo, const char *procedure)
{
	CallContext *call = (CallContext *) fcinfo->context;

	if (call == NULL || !IsA(call, CallContext) || call->atomic ||
		IsSubTransaction())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("%s() cannot run in a transaction block or a function",
						procedure),
				 errdetail("It commits the request before it waits."),
				 errhint("CALL it on its own, or request with %.*s(), commit, and wait with wait_for().",
						 (int) (strlen(procedure) - strlen("_and_wait")),
						 procedure)));
}

/* Raises the error that belongs to an event without success. */
static void
raise_outcome(int64 event_id, const text *cluster_id,
			  const PaEventState *event, const char *outcome)
{
	char	   *meant = NULL;

	if (strcmp(event->status, "cancelled") == 0)
		ereport(ERROR,
				(errcode(PA_ERRCODE_CANCELLED),
				 errmsg("%s", outcome),
				 errdetail("Event " INT64_FORMAT " was cancelled.", event_id)));
	if (strcmp(event->agent_result, "unknown") == 0)
		ereport(ERROR,
				(errcode(PA_ERRCODE_UNKNOWN),
				 errmsg("%s", event->error_message),
				 errdetail("Event " INT64_FORMAT " failed with %s; the agent may have acted.",
						   event_id, event->error_code),
				 errhint("power_action.refresh() asks the agent for the true state.")));
	if (event->account_name == NULL)
		meant = pa_request_target_id_of_name(cluster_id);
	ereport(ERROR,
			(errcode(PA_ERRCODE_FAILED),
			 errmsg("%s", event->error_message),
			 errdetail("Event " INT64_FORMAT " failed with %s.", event_id,
					   event->error_code),
			 meant ? errhint("Did you mean cluster id \"%s\"?", meant) : 0));
}

static HeapTuple
result_tuple(FunctionCallInfo fcinfo, int64 event_id, const char *status,
			 const char *message)
{
	TupleDesc	descriptor;
	Datum		values[3];
	bool		nulls[3] = {false, false, false};

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = Int64GetDatum(event_id);
	values[1] = CStringGetTextDatum(status);
	values[2] = CStringGetTextDatum(message);
	return heap_form_tuple(BlessTupleDesc(descriptor), values, nulls);
}

static Datum
request_and_wait(FunctionCallInfo fcinfo, PaAction action,
				 const char *procedure)
{
	MemoryContext caller = CurrentMemoryContext;
	PaRequest	request = {.action = action};
	PaEventState event;
	text	   *cluster_id;
	Interval   *timeout;
	long		milliseconds;
	int64		event_id;
	char	   *outcome;
	HeapTuple	result;

	check_may_commit(fcinfo, procedure);
	pa_request_check_possible(psprintf("%s()", procedure));

	pa_event_store_begin_procedure();
	request.requested_at = GetCurrentTimestamp();
	request.not_before = DT_NOBEGIN;
	request.expires_at = DT_NOEND;
	request.triggered_by = PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_P_COPY(1);
	request.description = PG_ARGISNULL(2) ? NULL : PG_GETARG_TEXT_P_COPY(2);
	pa_argument_check_not_null("timeout", PG_ARGISNULL(3));
	timeout = PG_GETARG_INTERVAL_P(3);
	milliseconds = pa_argument_milliseconds("timeout", timeout);

	cluster_id = PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_P_COPY(0);

	event_id = pa_request_one(&request, cluster_id, false);
	pa_event_store_commit();

	/* each look commits, so that no snapshot is held while it sleeps */
	if (!wait_until_final(event_id,
						  pa_clock_after(pa_clock_now(), milliseconds),
						  pa_event_store_commit, &event))
		ereport(ERROR,
				(errcode(PA_ERRCODE_UNKNOWN),
				 errmsg("the outcome cannot be read any more"),
				 errdetail("Event " INT64_FORMAT " is gone or not visible.",
						   event_id)));
	if (!event.final)
		ereport(ERROR,
				(errcode(PA_ERRCODE_TIMED_OUT),
				 errmsg("no outcome after %s", pa_argument_interval(timeout)),
				 errdetail("Event " INT64_FORMAT " is %s and goes on.",
						   event_id, event.status),
				 errhint("Wait on with power_action.wait_for(" INT64_FORMAT "), or stop it with power_action.cancel(" INT64_FORMAT ").",
						 event_id, event_id)));

	outcome = pa_event_store_outcome(event_id);
	if (outcome == NULL)
		outcome = event.agent_result;
	if (strcmp(event.status, "success") != 0)
		raise_outcome(event_id, cluster_id, &event, outcome);

	MemoryContextSwitchTo(caller);
	result = result_tuple(fcinfo, event_id, event.status, outcome);
	pa_event_store_end_procedure();
	PG_RETURN_DATUM(HeapTupleGetDatum(result));
}

Datum
pa_wait_power_on(PG_FUNCTION_ARGS)
{
	return request_and_wait(fcinfo, PA_ACTION_POWER_ON, "power_on_and_wait");
}

Datum
pa_wait_power_off(PG_FUNCTION_ARGS)
{
	return request_and_wait(fcinfo, PA_ACTION_POWER_OFF,
							"power_off_and_wait");
}
