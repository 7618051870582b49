/*-------------------------------------------------------------------------
 *
 * src/outcome_store.c
 *		Writing outcomes.  See outcome_store.h.
 *
 * A few statements for all rows, the same plans for any number of them.
 *
 * The tables may be empty when a plan is made and huge when it is used.  A
 * join on equality would then be planned as a scan of the whole inner table,
 * which costs nothing while that is empty.  So rows are found by a range of
 * one value: no join method but the look-up in the index, once for each row,
 * can do that.  The first of two columns is compared with an array of one
 * value, which no join method can do either: after a range, the index would be
 * read over all rows that share the first.
 *
 * What was read a moment ago is usually where it was: there it is written
 * without a statement (row_writer.h).  A statement looks by key for what is
 * not there, or for all if the table is not as it was made.  A place may
 * belong to another row by then, so the key is compared, too.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/timestamp.h"

#include "event_rule.h"
#include "inventory.h"
#include "outcome_store.h"
#include "row_writer.h"
#include "store_plan.h"
#include "table_layout.h"

static void
write_attempts(PaOutcome **outcomes, int count)
{
	static const PaColumn columns[] = {
		{"event_id", INT8OID}, {"attempt", INT4OID},
		{"started_at", TIMESTAMPTZOID}, {"finished_at", TIMESTAMPTZOID},
		{"status_code", TEXTOID}, {"message", TEXTOID}
	};
	static PaPlan plan = {
		"INSERT INTO power_action.attempt (event_id, attempt, started_at, "
		"finished_at, status_code, message) "
		"SELECT v.event_id, v.attempt, v.started_at, v.finished_at, "
		"v.status_code, v.message FROM given v",
	};
	PaGiven		given;

	pa_given_begin(&given, columns, lengthof(columns));
	for (int i = 0; i < count; i++)
	{
		const PaOutcome *outcome = outcomes[i];

		if (!outcome->attempt_failed)
			continue;
		pa_given_int64(&given, 0, outcome->event_id, false);
		pa_given_int32(&given, 1, outcome->attempts, false);
		pa_given_time(&given, 2, outcome->attempt_started);
		pa_given_time(&given, 3, outcome->attempt_finished);
		pa_given_text(&given, 4, outcome->attempt_code);
		pa_given_text(&given, 5, outcome->attempt_message);
		pa_given_add(&given);
	}
	pa_plan_run_given(&plan, &given);
	pa_given_end(&given);
}

/*
 * Jobs of final events that are where they were; returns how many others there
 * are, and their ids.
 */
static int
delete_jobs_in_place(PaOutcome **outcomes, int count, int64 *others)
{
	static PaTable table = {
		.name = "job",
		.columns = pa_job_columns,
		.column_count = PA_JOB_COLUMNS,
		.command = CMD_DELETE
	};
	PaRowWriter writer;
	bool		begun = pa_writer_begin(&writer, &table);
	int			left = 0;

	for (int i = 0; i < count; i++)
	{
		const PaOutcome *outcome = outcomes[i];

		if (outcome->status < PA_EVENT_SUCCESS)
			continue;
		if (!begun || !pa_writer_fetch(&writer, &outcome->job_row) ||
			!pa_writer_has_int64(&writer, PA_JOB_EVENT_ID,
								 outcome->event_id) ||
			!pa_writer_delete(&writer))
			others[left++] = outcome->event_id;
	}
	if (begun)
		pa_writer_end(&writer);
	return left;
}

static void
delete_jobs(PaOutcome **outcomes, int count)
{
	static PaPlan plan = {
		"DELETE FROM power_action.job j "
		"WHERE j.event_id OPERATOR(pg_catalog.=) ANY ($1)",
		1, {INT8ARRAYOID}
	};
	int64	   *others = palloc(sizeof(int64) * count);
	int			left = delete_jobs_in_place(outcomes, count, others);

	if (left > 0)
	{
		Datum		argument = pa_id_array(others, left);

		pa_plan_run(&plan, &argument, NULL);
	}
}

/* Jobs that stay are told when to be tried again. */
static void
write_retries(PaOutcome **outcomes, int count)
{
	static const PaColumn columns[] = {
		{"event_id", INT8OID}, {"retry_at", TIMESTAMPTZOID}
	};
	static PaPlan plan = {
		"UPDATE power_action.job j SET retry_at = v.retry_at FROM given v "
		"WHERE j.event_id OPERATOR(pg_catalog.>=) v.event_id "
		"AND j.event_id OPERATOR(pg_catalog.<=) v.event_id",
	};
	PaGiven		given;

	pa_given_begin(&given, columns, lengthof(columns));
	for (int i = 0; i < count; i++)
	{
		const PaOutcome *outcome = outcomes[i];

		if (outcome->status >= PA_EVENT_SUCCESS ||
			outcome->retry_at == DT_NOBEGIN)
			continue;
		pa_given_int64(&given, 0, outcome->event_id, false);
		pa_given_time(&given, 1, outcome->retry_at);
		pa_given_add(&given);
	}
	pa_plan_run_given(&plan, &given);
	pa_given_end(&given);
}

/* what is written of an event */
#define EVENT_OUTCOME_COLUMNS \
	(PA_COLUMN(PA_EVENT_STATUS) | PA_COLUMN(PA_EVENT_AGENT_RESULT) | \
	 PA_COLUMN(PA_EVENT_ERROR_SOURCE) | PA_COLUMN(PA_EVENT_ERROR_CODE) | \
	 PA_COLUMN(PA_EVENT_ERROR_MESSAGE) | PA_COLUMN(PA_EVENT_ATTEMPTS) | \
	 PA_COLUMN(PA_EVENT_STARTED_AT) | PA_COLUMN(PA_EVENT_FINISHED_AT) | \
	 PA_COLUMN(PA_EVENT_SUPERSEDED_BY) | PA_COLUMN(PA_EVENT_CANCELLED_BY) | \
	 PA_COLUMN(PA_EVENT_CANCEL_REASON) | \
	 PA_COLUMN(PA_EVENT_INSTANCES_TOTAL) | \
	 PA_COLUMN(PA_EVENT_INSTANCES_DONE) | PA_COLUMN(PA_EVENT_INSTANCES_FAILED))

static PaTable event_table = {
	.name = "event",
	.columns = pa_event_columns,
	.column_count = PA_EVENT_COLUMNS,
	.command = CMD_UPDATE,
	.written = EVENT_OUTCOME_COLUMNS,
	.idle_triggers = {pa_inventory_cancel_restored},
	.check = pa_event_rule_check,
	.check_columns = pa_event_rule_require
};

/* The values of an outcome as columns have them. */
static const char *
error_source_of(const PaOutcome *o)
{
	return o->status == PA_EVENT_FAILED ?
		pa_error_source_name(o->error_source) : NULL;
}

static const char *
if_failed(const PaOutcome *o, const char *text)
{
	return o->status == PA_EVENT_FAILED ? text : NULL;
}

static TimestampTz
finished_at_of(const PaOutcome *o)
{
	return o->status >= PA_EVENT_SUCCESS ? o->finished_at : DT_NOBEGIN;
}

static void
set_event(PaRowWriter *row, const PaOutcome *o)
{
	pa_writer_set_text(row, PA_EVENT_STATUS, pa_event_status_name(o->status));
	pa_writer_set_text(row, PA_EVENT_AGENT_RESULT,
					   pa_agent_result_name(o->agent_result));
	pa_writer_set_text(row, PA_EVENT_ERROR_SOURCE, error_source_of(o));
	pa_writer_set_text(row, PA_EVENT_ERROR_CODE, if_failed(o, o->error_code));
	pa_writer_set_text(row, PA_EVENT_ERROR_MESSAGE,
					   if_failed(o, o->error_message));
	pa_writer_set(row, PA_EVENT_ATTEMPTS, Int32GetDatum(o->attempts));
	pa_writer_set_time(row, PA_EVENT_STARTED_AT, o->started_at);
	pa_writer_set_time(row, PA_EVENT_FINISHED_AT, finished_at_of(o));
	pa_writer_set_null(row, PA_EVENT_SUPERSEDED_BY);
	if (o->superseded_by != 0)
		pa_writer_set(row, PA_EVENT_SUPERSEDED_BY,
					  Int64GetDatum(o->superseded_by));
	pa_writer_set_text(row, PA_EVENT_CANCELLED_BY, o->cancelled_by);
	pa_writer_set_text(row, PA_EVENT_CANCEL_REASON, o->cancel_reason);
	if (o->instances_total >= 0)
		pa_writer_set(row, PA_EVENT_INSTANCES_TOTAL,
					  Int32GetDatum(o->instances_total));
	if (o->instances_done >= 0)
		pa_writer_set(row, PA_EVENT_INSTANCES_DONE,
					  Int32GetDatum(o->instances_done));
	pa_writer_set_null(row, PA_EVENT_INSTANCES_FAILED);
	if (o->instances_failed)
	{
		char	   *array = unconstify(char *, o->instances_failed);

		pa_writer_set(row, PA_EVENT_INSTANCES_FAILED,
					  OidInputFunctionCall(F_ARRAY_IN, array, TEXTOID, -1));
	}
}

/* Events that are where they were; returns how many others there are. */
static int
write_events_in_place(PaOutcome **outcomes, int count, PaOutcome **others)
{
	PaRowWriter row;
	bool		begun = pa_writer_begin(&row, &event_table);
	int			left = 0;

	for (int i = 0; i < count; i++)
	{
		bool		found = begun &&
			pa_writer_fetch(&row, &outcomes[i]->event_row) &&
			pa_writer_has_int64(&row, PA_EVENT_ID, outcomes[i]->event_id);

		if (found)
			set_event(&row, outcomes[i]);
		if (!found || !pa_writer_update(&row))
			others[left++] = outcomes[i];
	}
	if (begun)
		pa_writer_end(&row);
	return left;
}

static void
give_event(PaGiven *given, const PaOutcome *o)
{
	pa_given_int64(given, 0, o->event_id, false);
	pa_given_text(given, 1, pa_event_status_name(o->status));
	pa_given_text(given, 2, pa_agent_result_name(o->agent_result));
	pa_given_text(given, 3, error_source_of(o));
	pa_given_text(given, 4, if_failed(o, o->error_code));
	pa_given_text(given, 5, if_failed(o, o->error_message));
	pa_given_int32(given, 6, o->attempts, false);
	pa_given_time(given, 7, o->started_at);
	pa_given_time(given, 8, finished_at_of(o));
	pa_given_int64(given, 9, o->superseded_by, o->superseded_by == 0);
	pa_given_text(given, 10, o->cancelled_by);
	pa_given_text(given, 11, o->cancel_reason);
	pa_given_int32(given, 12, o->instances_total, o->instances_total < 0);
	pa_given_int32(given, 13, o->instances_done, o->instances_done < 0);
	pa_given_text(given, 14, o->instances_failed);
	pa_given_add(given);
}

/* The same by a statement. */
static void
write_events_by_id(PaOutcome **outcomes, int count)
{
	static const PaColumn columns[] = {
		{"event_id", INT8OID}, {"status", TEXTOID}, {"agent_result", TEXTOID},
		{"error_source", TEXTOID}, {"error_code", TEXTOID},
		{"error_message", TEXTOID}, {"attempts", INT4OID},
		{"started_at", TIMESTAMPTZOID}, {"finished_at", TIMESTAMPTZOID},
		{"superseded_by", INT8OID}, {"cancelled_by", TEXTOID},
		{"cancel_reason", TEXTOID}, {"instances_total", INT4OID},
		{"instances_done", INT4OID}, {"instances_failed", TEXTOID}
	};
	static PaPlan plan = {
		"UPDATE power_action.event e SET status = v.status, "
		"agent_result = v.agent_result, error_source = v.error_source, "
		"error_code = v.error_code, error_message = v.error_message, "
		"attempts = v.attempts, started_at = v.started_at, "
		"finished_at = v.finished_at, superseded_by = v.superseded_by, "
		"cancelled_by = v.cancelled_by, cancel_reason = v.cancel_reason, "
		"instances_total = COALESCE(v.instances_total, e.instances_total), "
		"instances_done = COALESCE(v.instances_done, e.instances_done), "
		"instances_failed = v.instances_failed::pg_catalog.text[] "
		"FROM given v "
		"WHERE e.event_id OPERATOR(pg_catalog.>=) v.event_id "
		"AND e.event_id OPERATOR(pg_catalog.<=) v.event_id"
	};
	PaGiven		given;

	pa_given_begin(&given, columns, lengthof(columns));
	for (int i = 0; i < count; i++)
		give_event(&given, outcomes[i]);
	pa_plan_run_given(&plan, &given);
	pa_given_end(&given);
}

void
pa_outcome_store_write_events(PaOutcome **outcomes, int count)
{
	PaOutcome **others;

	if (count == 0)
		return;
	others = palloc(sizeof(PaOutcome *) * count);
	write_events_by_id(others, write_events_in_place(outcomes, count, others));

	write_attempts(outcomes, count);
	delete_jobs(outcomes, count);
	write_retries(outcomes, count);
}

void
pa_outcome_store_request_refreshes(const char **cluster_ids,
								   const int64 *event_ids, int count,
								   int64 *low, int64 *high)
{
	static PaPlan plan = {
		"WITH e AS (INSERT INTO power_action.event AS n (action, cluster_id, "
		"cluster_name, account_name, server_name, triggered_by, description, "
		"status, requested_by, application_name, requested_at, "
		"instances_total) "
		"SELECT 'refresh', c.cluster_id, c.cluster_name, c.account_name, "
		"a.server_name, 'power_action', 'the result of event ' "
		"OPERATOR(pg_catalog.||) u.event_id OPERATOR(pg_catalog.||) "
		"' is unknown', 'pending', current_user, "
		"pg_catalog.current_setting('application_name'), "
		"pg_catalog.clock_timestamp(), i.live "
		"FROM unnest($1, $2) AS u(cluster_id, event_id) "
		"CROSS JOIN LATERAL (SELECT c.cluster_id, c.cluster_name, "
		"c.account_name, c.status FROM power_action.cluster c "
		"WHERE c.cluster_id OPERATOR(pg_catalog.=) u.cluster_id LIMIT 1) c "
		"CROSS JOIN LATERAL (SELECT a.server_name "
		"FROM power_action.account a "
		"WHERE a.account_name OPERATOR(pg_catalog.=) c.account_name "
		"LIMIT 1) a "
		"CROSS JOIN LATERAL (SELECT pg_catalog.count(*) AS live "
		"FROM power_action.instance i "
		"WHERE i.cluster_id OPERATOR(pg_catalog.=) c.cluster_id "
		"AND i.status OPERATOR(pg_catalog.<>) 'terminated') i "
		"WHERE i.live OPERATOR(pg_catalog.>) 0 "
		"AND c.status OPERATOR(pg_catalog.<>) 'terminated' "
		"RETURNING n.event_id, n.cluster_id, n.server_name, n.account_name, "
		"n.priority, n.requested_at), "
		"j AS (INSERT INTO power_action.job (event_id, cluster_id, "
		"server_name, account_name, priority, due_at, origin_system, "
		"origin_database) "
		"SELECT e.event_id, e.cluster_id, e.server_name, e.account_name, "
		"e.priority, e.requested_at, $3, $4 FROM e) "
		"SELECT pg_catalog.min(e.event_id), pg_catalog.max(e.event_id) FROM e",
		4, {TEXTARRAYOID, INT8ARRAYOID, INT8OID, OIDOID}
	};
	Datum		values[] = {pa_text_array(cluster_ids, count),
		pa_id_array(event_ids, count),
		Int64GetDatum((int64) GetSystemIdentifier()),
	ObjectIdGetDatum(MyDatabaseId)};
	PaResult	result;

	/* a look at the queue relies on it: a transaction id before an event id */
	(void) GetTopTransactionId();
	pa_inventory_inserting_requests = true;
	PG_TRY();
	{
		pa_plan_execute(&plan, values, NULL, false, 0, &result);
		*low = *high = 0;
		if (!pa_row_is_null(&result.rows[0], 1))
		{
			*low = pa_row_int64(&result.rows[0], 1);
			*high = pa_row_int64(&result.rows[0], 2);
		}
		pa_plan_finish(&result);
	}
	PG_FINALLY();
	{
		pa_inventory_inserting_requests = false;
	}
	PG_END_TRY();
}

/* Events that are locked where they are.  False: the table is to be asked. */
static bool
start_events_in_place(PaStart **starts, int count)
{
	PaRowWriter row;

	if (!pa_writer_begin(&row, &event_table))
		return false;
	for (int i = 0; i < count; i++)
	{
		if (!pa_writer_fetch(&row, &starts[i]->event_row))
			continue;
		pa_writer_set_text(&row, PA_EVENT_STATUS, "running");
		if (row.nulls[PA_EVENT_STARTED_AT])
			pa_writer_set_time(&row, PA_EVENT_STARTED_AT,
							   starts[i]->started_at);
		if (pa_writer_update(&row))
			starts[i]->event_row = row.new->tts_tid;
	}
	pa_writer_end(&row);
	return true;
}

static void
start_events_by_id(PaStart **starts, int count)
{
	static const PaColumn columns[] = {
		{"event_id", INT8OID}, {"started_at", TIMESTAMPTZOID},
		{"place", INT4OID}
	};
	static PaPlan plan = {
		"UPDATE power_action.event e SET status = 'running', "
		"started_at = COALESCE(e.started_at, v.started_at) FROM given v "
		"WHERE e.event_id OPERATOR(pg_catalog.>=) v.event_id "
		"AND e.event_id OPERATOR(pg_catalog.<=) v.event_id "
		"RETURNING v.place, e.ctid"
	};
	PaGiven		given;
	PaResult	result;

	pa_given_begin(&given, columns, lengthof(columns));
	for (int i = 0; i < count; i++)
	{
		pa_given_int64(&given, 0, starts[i]->event_id, false);
		pa_given_time(&given, 1, starts[i]->started_at);
		pa_given_int32(&given, 2, i, false);
		pa_given_add(&given);
	}
	pa_plan_execute_given(&plan, NULL, NULL, &given, &result);
	for (uint64 i = 0; i < result.count; i++)
		starts[pa_row_int32(&result.rows[i], 1)]->event_row =
			pa_row_tid(&result.rows[i], 2);
	pa_plan_finish(&result);
	pa_given_end(&given);
}

void
pa_outcome_store_mark_running(PaStart *starts, int count)
{
	static PaPlan lock_plan = {
		"SELECT n.n, e.ctid FROM pg_catalog.unnest($1) WITH ORDINALITY "
		"AS n(event_id, n) "
		"CROSS JOIN LATERAL (SELECT e.ctid FROM power_action.event e "
		"WHERE e.event_id OPERATOR(pg_catalog.>=) n.event_id "
		"AND e.event_id OPERATOR(pg_catalog.<=) n.event_id "
		"AND e.status OPERATOR(pg_catalog.=) 'pending' "
		"FOR NO KEY UPDATE SKIP LOCKED) e",
		1, {INT8ARRAYOID}
	};
	int64	   *ids = palloc(sizeof(int64) * Max(count, 1));
	PaStart   **locked = palloc(sizeof(PaStart *) * Max(count, 1));
	Datum		argument;
	PaResult	result;
	int			locked_count;

	for (int i = 0; i < count; i++)
		ids[i] = starts[i].event_id;
	argument = pa_id_array(ids, count);
	pa_plan_execute(&lock_plan, &argument, NULL, false, 0, &result);
	locked_count = (int) result.count;
	for (int i = 0; i < locked_count; i++)
	{
		locked[i] = &starts[pa_row_int64(&result.rows[i], 1) - 1];
		locked[i]->event_row = pa_row_tid(&result.rows[i], 2);
	}
	pa_plan_finish(&result);

	if (!start_events_in_place(locked, locked_count))
		start_events_by_id(locked, locked_count);
}

int64
pa_outcome_store_move_back(TimestampTz now, TimestampTz *furthest)
{
	/* none is due later than one that was requested after it */
	static PaPlan plan = {
		"WITH turn AS MATERIALIZED ( "
		"SELECT j.ctid AS row_id, j.due_at, GREATEST(j.not_before, "
		"pg_catalog.min(LEAST(j.due_at, $3)) OVER (ORDER BY j.event_id DESC "
		"ROWS UNBOUNDED PRECEDING)) AS moved_to "
		"FROM power_action.job j "
		"WHERE j.origin_system OPERATOR(pg_catalog.=) $1 "
		"AND j.origin_database OPERATOR(pg_catalog.=) $2 "
		"AND (j.not_before IS NULL "
		"OR j.not_before OPERATOR(pg_catalog.<) j.due_at)), "
		"moved AS (UPDATE power_action.job j SET due_at = t.moved_to "
		"FROM turn t WHERE j.ctid OPERATOR(pg_catalog.=) t.row_id "
		"AND t.moved_to OPERATOR(pg_catalog.<) t.due_at "
		"RETURNING t.due_at) "
		"SELECT pg_catalog.count(*), "
		"GREATEST(pg_catalog.max(m.due_at), $3) FROM moved m",
		3, {INT8OID, OIDOID, TIMESTAMPTZOID}
	};
	Datum		values[] = {Int64GetDatum((int64) GetSystemIdentifier()),
		ObjectIdGetDatum(MyDatabaseId), TimestampTzGetDatum(now)};
	PaResult	result;
	int64		moved;

	pa_plan_execute(&plan, values, NULL, false, 0, &result);
	moved = pa_row_int64(&result.rows[0], 1);
	*furthest = pa_row_timestamp(&result.rows[0], 2, now);
	pa_plan_finish(&result);
	return moved;
}

void
pa_outcome_store_forget_cancellations(const int64 *event_ids, int count)
{
	static PaPlan plan = {
		"DELETE FROM power_action.cancellation c "
		"WHERE c.cancellation_id OPERATOR(pg_catalog.=) ANY (ARRAY( "
		"SELECT l.cancellation_id FROM power_action.cancellation l "
		"WHERE l.event_id OPERATOR(pg_catalog.=) ANY ($1)))",
		1, {INT8ARRAYOID}
	};
	Datum		argument = pa_id_array(event_ids, count);

	pa_plan_run(&plan, &argument, NULL);
}

int64
pa_outcome_store_prune(TimestampTz cutoff, int limit, int64 *bound)
{
	static PaPlan plan = {
		"WITH batch AS MATERIALIZED ( "
		"SELECT e.event_id, e.finished_at, e.requested_at "
		"FROM power_action.event e "
		"WHERE e.event_id OPERATOR(pg_catalog.>) $1 "
		"ORDER BY e.event_id LIMIT $2), "
		"gone AS (DELETE FROM power_action.event d "
		"WHERE d.event_id OPERATOR(pg_catalog.=) ANY (ARRAY( "
		"SELECT b.event_id FROM batch b "
		"WHERE b.finished_at OPERATOR(pg_catalog.<) $3)) "
		"RETURNING d.event_id) "
		"SELECT (SELECT pg_catalog.count(*) FROM gone), "
		"(SELECT pg_catalog.count(*) FROM batch), "
		"(SELECT pg_catalog.max(b.event_id) FROM batch b), "
		"(SELECT pg_catalog.max(b.requested_at) FROM batch b)",
		3, {INT8OID, INT4OID, TIMESTAMPTZOID}
	};
	Datum		values[] = {Int64GetDatum(*bound), Int32GetDatum(limit),
		TimestampTzGetDatum(cutoff)};
	PaResult	result;
	int64		removed;

	pa_plan_execute(&plan, values, NULL, false, 0, &result);
	removed = pa_row_int64(&result.rows[0], 1);
	/* at the end, or where events are too young: from the start next time */
	if (pa_row_int64(&result.rows[0], 2) < limit ||
		pa_row_timestamp(&result.rows[0], 4, DT_NOEND) >= cutoff)
		*bound = 0;
	else
		*bound = pa_row_int64(&result.rows[0], 3);
	pa_plan_finish(&result);
	return removed;
}

int64
pa_outcome_store_next_epoch(uint64 system_identifier, Oid database,
							bool *moved)
{
	static PaPlan plan = {
		"INSERT INTO power_action.worker_epoch AS w "
		"(system_identifier, database_oid, epoch) VALUES ($1, $2, "
		/* not 1: agents may know the epochs of an extension that was dropped */
		"(EXTRACT(epoch FROM pg_catalog.clock_timestamp()) "
		"OPERATOR(pg_catalog.*) 1000)::pg_catalog.int8) "
		"ON CONFLICT (only_row) DO UPDATE SET "
		"system_identifier = EXCLUDED.system_identifier, "
		"database_oid = EXCLUDED.database_oid, "
		"epoch = w.epoch OPERATOR(pg_catalog.+) 1 "
		"RETURNING w.epoch, (SELECT o.system_identifier "
		"OPERATOR(pg_catalog.<>) $1 OR o.database_oid "
		"OPERATOR(pg_catalog.<>) $2 FROM power_action.worker_epoch o)",
		2, {INT8OID, OIDOID}
	};
	Datum		values[] = {Int64GetDatum((int64) system_identifier),
		ObjectIdGetDatum(database)};
	PaResult	result;
	int64		epoch;

	pa_plan_execute(&plan, values, NULL, false, 0, &result);
	epoch = pa_row_int64(&result.rows[0], 1);
	*moved = !pa_row_is_null(&result.rows[0], 2) &&
		pa_row_bool(&result.rows[0], 2);
	pa_plan_finish(&result);
	return epoch;
}
