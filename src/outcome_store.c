/*-------------------------------------------------------------------------
 *
 * src/outcome_store.c
 *		Writing outcomes.  See outcome_store.h.
 *
 * Values travel as arrays and are unnested: one statement for all rows, the
 * same plan for any number of them.
 *
 * The tables may be empty when a plan is made and huge when it is used.  A
 * join on equality would then be planned as a scan of the whole inner table,
 * which costs nothing while that is empty.  So rows are found by a range of
 * one value: no join method but the look-up in the index, once for each row,
 * can do that.  Rows that are locked already are found by their ctid.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "inventory.h"
#include "outcome_store.h"
#include "store_plan.h"

/* Columns of values that become array parameters. */
typedef struct Columns
{
	int			count;			/* columns */
	int			rows;
	Datum	   *values[PA_PLAN_MAX_ARGUMENTS];
	bool	   *nulls[PA_PLAN_MAX_ARGUMENTS];
} Columns;

static void
columns_init(Columns *columns, int count, int rows)
{
	columns->count = count;
	columns->rows = rows;
	for (int c = 0; c < count; c++)
	{
		columns->values[c] = palloc(sizeof(Datum) * Max(rows, 1));
		columns->nulls[c] = palloc0(sizeof(bool) * Max(rows, 1));
	}
}

static void
set_text(Columns *columns, int column, int row, const char *value)
{
	columns->nulls[column][row] = value == NULL;
	columns->values[column][row] = value ? CStringGetTextDatum(value) : 0;
}

static void
set_int64(Columns *columns, int column, int row, int64 value, bool isnull)
{
	columns->nulls[column][row] = isnull;
	columns->values[column][row] = isnull ? 0 : Int64GetDatum(value);
}

static void
set_int32(Columns *columns, int column, int row, int32 value, bool isnull)
{
	columns->nulls[column][row] = isnull;
	columns->values[column][row] = isnull ? 0 : Int32GetDatum(value);
}

static void
set_timestamp(Columns *columns, int column, int row, TimestampTz value)
{
	set_int64(columns, column, row, value, TIMESTAMP_NOT_FINITE(value));
}

/* Runs a plan whose parameters are these columns, in order. */
static uint64
run_with_columns(PaPlan *plan, const Columns *columns)
{
	Datum		arrays[PA_PLAN_MAX_ARGUMENTS];

	for (int c = 0; c < columns->count; c++)
	{
		Oid			element;

		switch (plan->types[c])
		{
			case TEXTARRAYOID:
				element = TEXTOID;
				break;
			case INT4ARRAYOID:
				element = INT4OID;
				break;
			case INT8ARRAYOID:
				element = INT8OID;
				break;
			case TIDARRAYOID:
				element = TIDOID;
				break;
			default:
				element = TIMESTAMPTZOID;
				break;
		}
		arrays[c] = pa_array(columns->values[c], columns->nulls[c],
							 columns->rows, element);
	}
	return pa_plan_run(plan, arrays, NULL);
}

static Datum
id_array(const int64 *ids, int count)
{
	Datum	   *values = palloc(sizeof(Datum) * Max(count, 1));

	for (int i = 0; i < count; i++)
		values[i] = Int64GetDatum(ids[i]);
	return pa_array(values, NULL, count, INT8OID);
}

static Datum
text_array(const char **texts, int count)
{
	Datum	   *values = palloc(sizeof(Datum) * Max(count, 1));

	for (int i = 0; i < count; i++)
		values[i] = CStringGetTextDatum(texts[i]);
	return pa_array(values, NULL, count, TEXTOID);
}

void
pa_outcome_store_lock_clusters(PaClusterChange **changes, int count)
{
	static PaPlan plan = {
		"SELECT n.n, c.ctid FROM pg_catalog.unnest($1) WITH ORDINALITY "
		"AS n(cluster_id, n) "
		"CROSS JOIN LATERAL (SELECT c.ctid FROM power_action.cluster c "
		"WHERE c.cluster_id OPERATOR(pg_catalog.=) n.cluster_id "
		"FOR NO KEY UPDATE SKIP LOCKED) c",
		1, {TEXTARRAYOID}
	};
	const char **ids = palloc(sizeof(char *) * Max(count, 1));
	Datum		argument;
	PaResult	result;

	for (int i = 0; i < count; i++)
	{
		ids[i] = changes[i]->cluster_id;
		ItemPointerSetInvalid(&changes[i]->row);
	}
	argument = text_array(ids, count);
	pa_plan_execute(&plan, &argument, NULL, false, 0, &result);
	for (uint64 i = 0; i < result.count; i++)
		changes[pa_row_int64(&result.rows[i], 1) - 1]->row =
			pa_row_tid(&result.rows[i], 2);
	pa_plan_finish(&result);
}

void
pa_outcome_store_find_clusters(const char **cluster_ids, int count,
							   bool *found)
{
	static PaPlan plan = {
		"SELECT n.n FROM pg_catalog.unnest($1) WITH ORDINALITY "
		"AS n(cluster_id, n) "
		"CROSS JOIN LATERAL (SELECT FROM power_action.cluster c "
		"WHERE c.cluster_id OPERATOR(pg_catalog.=) n.cluster_id LIMIT 1) c",
		1, {TEXTARRAYOID}
	};
	Datum		argument = text_array(cluster_ids, count);
	PaResult	result;

	memset(found, 0, sizeof(bool) * count);
	pa_plan_execute(&plan, &argument, NULL, true, 0, &result);
	for (uint64 i = 0; i < result.count; i++)
		found[pa_row_int64(&result.rows[i], 1) - 1] = true;
	pa_plan_finish(&result);
}

static void
write_instances(PaClusterChange **changes, int count)
{
	static PaPlan plan = {
		"UPDATE power_action.instance i SET status = v.status "
		"FROM unnest($1, $2, $3) "
		"AS v(cluster_id, instance_id, status) "
		"WHERE i.cluster_id OPERATOR(pg_catalog.>=) v.cluster_id "
		"AND i.cluster_id OPERATOR(pg_catalog.<=) v.cluster_id "
		"AND i.instance_id OPERATOR(pg_catalog.>=) v.instance_id "
		"AND i.instance_id OPERATOR(pg_catalog.<=) v.instance_id "
		"AND i.status OPERATOR(pg_catalog.<>) v.status",
		3, {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID}
	};
	Columns		columns;
	int			rows = 0;

	for (int i = 0; i < count; i++)
		rows += changes[i]->instance_count;
	columns_init(&columns, 3, rows);

	rows = 0;
	for (int i = 0; i < count; i++)
	{
		const PaClusterChange *change = changes[i];
		Datum		cluster_id;

		if (change->instance_count == 0)
			continue;
		cluster_id = CStringGetTextDatum(change->cluster_id);
		for (int n = 0; n < change->instance_count; n++)
		{
			if (change->instance_states[n] < 0)
				continue;
			columns.values[0][rows] = cluster_id;
			set_text(&columns, 1, rows, change->instance_ids[n]);
			set_text(&columns, 2, rows,
					 pa_power_state_name(change->instance_states[n]));
			rows++;
		}
	}
	columns.rows = rows;
	if (rows > 0)
		run_with_columns(&plan, &columns);
}

void
pa_outcome_store_write_clusters(PaClusterChange **changes, int count)
{
	static PaPlan plan = {
		"UPDATE power_action.cluster c "
		"SET status = v.status, status_source = v.source, "
		"status_changed_at = CASE "
		"WHEN c.status OPERATOR(pg_catalog.=) v.status "
		"THEN c.status_changed_at ELSE pg_catalog.clock_timestamp() END "
		"FROM unnest($1, $2, $3) AS v(row_id, status, source) "
		"WHERE c.ctid OPERATOR(pg_catalog.=) v.row_id "
		"AND (c.status OPERATOR(pg_catalog.<>) v.status "
		"OR c.status_source OPERATOR(pg_catalog.<>) v.source)",
		3, {TIDARRAYOID, TEXTARRAYOID, TEXTARRAYOID}
	};
	Columns		columns;

	if (count == 0)
		return;
	columns_init(&columns, 3, count);
	for (int i = 0; i < count; i++)
	{
		columns.values[0][i] = PointerGetDatum(&changes[i]->row);
		set_text(&columns, 1, i, pa_power_state_name(changes[i]->status));
		set_text(&columns, 2, i,
				 changes[i]->from_agent ? "agent" : "accepted");
	}

	/* tells the triggers of the inventory that these are the agent's words */
	pa_inventory_writing_outcome = true;
	PG_TRY();
	{
		write_instances(changes, count);
		run_with_columns(&plan, &columns);
	}
	PG_FINALLY();
	{
		pa_inventory_writing_outcome = false;
	}
	PG_END_TRY();
}

static void
write_attempts(PaOutcome **outcomes, int count)
{
	static PaPlan plan = {
		"INSERT INTO power_action.attempt (event_id, attempt, started_at, "
		"finished_at, status_code, message) "
		"SELECT v.event_id, v.attempt, v.started_at, v.finished_at, "
		"v.status_code, v.message "
		"FROM unnest($1, $2, $3, $4, $5, $6) "
		"AS v(event_id, attempt, started_at, finished_at, status_code, "
		"message)",
		6, {INT8ARRAYOID, INT4ARRAYOID, TIMESTAMPTZARRAYOID,
		TIMESTAMPTZARRAYOID, TEXTARRAYOID, TEXTARRAYOID}
	};
	Columns		columns;
	int			rows = 0;

	columns_init(&columns, 6, count);
	for (int i = 0; i < count; i++)
	{
		const PaOutcome *outcome = outcomes[i];

		if (!outcome->attempt_failed)
			continue;
		set_int64(&columns, 0, rows, outcome->event_id, false);
		set_int32(&columns, 1, rows, outcome->attempts, false);
		set_timestamp(&columns, 2, rows, outcome->attempt_started);
		set_timestamp(&columns, 3, rows, outcome->attempt_finished);
		set_text(&columns, 4, rows, outcome->attempt_code);
		set_text(&columns, 5, rows, outcome->attempt_message);
		rows++;
	}
	columns.rows = rows;
	if (rows > 0)
		run_with_columns(&plan, &columns);
}

/* Jobs of final events go; the others are told when to be tried again. */
static void
write_jobs(PaOutcome **outcomes, int count)
{
	static PaPlan delete_plan = {
		"DELETE FROM power_action.job j "
		"WHERE j.event_id OPERATOR(pg_catalog.=) ANY ($1)",
		1, {INT8ARRAYOID}
	};
	static PaPlan retry_plan = {
		"UPDATE power_action.job j SET retry_at = v.retry_at "
		"FROM unnest($1, $2) AS v(event_id, retry_at) "
		"WHERE j.event_id OPERATOR(pg_catalog.>=) v.event_id "
		"AND j.event_id OPERATOR(pg_catalog.<=) v.event_id",
		2, {INT8ARRAYOID, TIMESTAMPTZARRAYOID}
	};
	Columns		done;
	Columns		retries;

	columns_init(&done, 1, count);
	columns_init(&retries, 2, count);
	done.rows = retries.rows = 0;
	for (int i = 0; i < count; i++)
	{
		const PaOutcome *outcome = outcomes[i];

		if (outcome->status >= PA_EVENT_SUCCESS)
			set_int64(&done, 0, done.rows++, outcome->event_id, false);
		else if (outcome->retry_at != DT_NOBEGIN)
		{
			set_int64(&retries, 0, retries.rows, outcome->event_id, false);
			set_timestamp(&retries, 1, retries.rows++, outcome->retry_at);
		}
	}
	if (done.rows > 0)
		run_with_columns(&delete_plan, &done);
	if (retries.rows > 0)
		run_with_columns(&retry_plan, &retries);
}

void
pa_outcome_store_write_events(PaOutcome **outcomes, int count)
{
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
		"FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, "
		"$11, $12, $13, $14, $15) AS v(event_id, status, agent_result, "
		"error_source, error_code, error_message, attempts, started_at, "
		"finished_at, superseded_by, cancelled_by, cancel_reason, "
		"instances_total, instances_done, instances_failed) "
		"WHERE e.event_id OPERATOR(pg_catalog.>=) v.event_id "
		"AND e.event_id OPERATOR(pg_catalog.<=) v.event_id",
		15, {INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
			TEXTARRAYOID, TEXTARRAYOID, INT4ARRAYOID, TIMESTAMPTZARRAYOID,
			TIMESTAMPTZARRAYOID, INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
		INT4ARRAYOID, INT4ARRAYOID, TEXTARRAYOID}
	};
	Columns		columns;

	if (count == 0)
		return;
	columns_init(&columns, 15, count);
	for (int i = 0; i < count; i++)
	{
		const PaOutcome *o = outcomes[i];
		bool		failed = o->status == PA_EVENT_FAILED;

		set_int64(&columns, 0, i, o->event_id, false);
		set_text(&columns, 1, i, pa_event_status_name(o->status));
		set_text(&columns, 2, i, pa_agent_result_name(o->agent_result));
		set_text(&columns, 3, i,
				 failed ? pa_error_source_name(o->error_source) : NULL);
		set_text(&columns, 4, i, failed ? o->error_code : NULL);
		set_text(&columns, 5, i, failed ? o->error_message : NULL);
		set_int32(&columns, 6, i, o->attempts, false);
		set_timestamp(&columns, 7, i, o->started_at);
		set_timestamp(&columns, 8, i, o->status >= PA_EVENT_SUCCESS ?
					  o->finished_at : DT_NOBEGIN);
		set_int64(&columns, 9, i, o->superseded_by, o->superseded_by == 0);
		set_text(&columns, 10, i, o->cancelled_by);
		set_text(&columns, 11, i, o->cancel_reason);
		set_int32(&columns, 12, i, o->instances_total,
				  o->instances_total < 0);
		set_int32(&columns, 13, i, o->instances_done,
				  o->instances_done < 0);
		set_text(&columns, 14, i, o->instances_failed);
	}
	run_with_columns(&plan, &columns);
	write_attempts(outcomes, count);
	write_jobs(outcomes, count);
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
		"pg_catalog.clock_timestamp(), "
		"(SELECT pg_catalog.count(*) FROM power_action.instance i "
		"WHERE i.cluster_id OPERATOR(pg_catalog.=) c.cluster_id "
		"AND i.status OPERATOR(pg_catalog.<>) 'terminated') "
		"FROM unnest($1, $2) AS u(cluster_id, event_id) "
		"CROSS JOIN LATERAL (SELECT c.cluster_id, c.cluster_name, "
		"c.account_name FROM power_action.cluster c "
		"WHERE c.cluster_id OPERATOR(pg_catalog.=) u.cluster_id LIMIT 1) c "
		"CROSS JOIN LATERAL (SELECT a.server_name "
		"FROM power_action.account a "
		"WHERE a.account_name OPERATOR(pg_catalog.=) c.account_name "
		"LIMIT 1) a "
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
	Datum		values[] = {text_array(cluster_ids, count),
		id_array(event_ids, count),
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

void
pa_outcome_store_mark_running(const int64 *event_ids,
							  const TimestampTz *started_at, int count)
{
	static PaPlan plan = {
		"UPDATE power_action.event e SET status = 'running', "
		"started_at = COALESCE(e.started_at, v.started_at) "
		"FROM unnest($1, $2) AS v(event_id, started_at) "
		"WHERE e.event_id OPERATOR(pg_catalog.>=) v.event_id "
		"AND e.event_id OPERATOR(pg_catalog.<=) v.event_id "
		"AND e.event_id OPERATOR(pg_catalog.=) ANY (ARRAY( "
		"SELECT l.event_id FROM power_action.event l "
		"WHERE l.event_id OPERATOR(pg_catalog.=) ANY ($1) "
		"AND l.status OPERATOR(pg_catalog.=) 'pending' "
		"FOR NO KEY UPDATE SKIP LOCKED))",
		2, {INT8ARRAYOID, TIMESTAMPTZARRAYOID}
	};
	Columns		columns;

	columns_init(&columns, 2, count);
	for (int i = 0; i < count; i++)
	{
		set_int64(&columns, 0, i, event_ids[i], false);
		set_timestamp(&columns, 1, i, started_at[i]);
	}
	run_with_columns(&plan, &columns);
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
	Datum		argument = id_array(event_ids, count);

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
