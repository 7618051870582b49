/*-------------------------------------------------------------------------
 *
 * src/job_store.c
 *		Reading the queue.  See job_store.h.
 *
 * A queue is empty when its plans are made and huge when they are used.  So
 * every statement is written such that one index scan is the only sensible
 * plan, and the worker switches off the alternatives (worker.c): plans are
 * kept and do not depend on statistics.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "job_reader.h"
#include "job_store.h"
#include "store_plan.h"

/* parameters 1 and 2 of every statement that reads jobs */
static Datum origin_system;
static Datum origin_database;

#define OWN_ORIGIN \
	"j.origin_system OPERATOR(pg_catalog.=) $1 " \
	"AND j.origin_database OPERATOR(pg_catalog.=) $2 "

#define PLACE_COLUMNS \
	"j.event_id, j.cluster_id, j.server_name, j.account_name, j.priority, " \
	"j.due_at, j.not_before, j.expires_at "

#define DETAIL_COLUMNS \
	PLACE_COLUMNS ", j.retry_at, e.action, e.agent_result, e.attempts, " \
	"e.started_at, e.triggered_by, e.description, e.requested_at, " \
	"j.row_id, e.row_id "

/* what DETAIL_COLUMNS are taken from */
#define JOB_AND_PLACE "SELECT j.*, j.ctid AS row_id FROM power_action.job j "

/* event_id as all indexes but the primary key have it ... */
#define ID_IN_INDEX "(j.event_id OPERATOR(pg_catalog.+) 0)"

/* the names of a lane in its index, as pa_job_reader_hash_lane has them */
#define NAMES_IN_INDEX \
	"pg_catalog.hashtextextended(j.server_name, " \
	"pg_catalog.hashtextextended(j.account_name, 0))"

/* ... and due_at as all but that of the lanes (see the install script) */
#define DUE_OF_CLUSTER \
	"GREATEST(j.due_at, '-infinity'::pg_catalog.timestamptz)"

/* the limit keeps the planner from joining with what may look empty */
#define EVENT_OF_JOB \
	"LEFT JOIN LATERAL (SELECT e.action, e.agent_result, e.attempts, " \
	"e.started_at, e.triggered_by, e.description, e.requested_at, " \
	"e.ctid AS row_id FROM power_action.event e " \
	"WHERE e.event_id OPERATOR(pg_catalog.=) j.event_id LIMIT 1) e ON true "

void
pa_job_store_set_origin(uint64 system_identifier, Oid database)
{
	origin_system = Int64GetDatum((int64) system_identifier);
	origin_database = ObjectIdGetDatum(database);
	pa_job_reader_set_origin(system_identifier, database);
}

static void
read_place(const PaRow *row, int first, PaJobPlace *place)
{
	place->event_id = pa_row_int64(row, first);
	place->cluster_id = pa_row_text(row, first + 1);
	place->lane.server_name = pa_row_text(row, first + 2);
	place->lane.account_name = pa_row_text(row, first + 3);
	place->lane.priority = pa_row_int16(row, first + 4);
	place->due_at = pa_row_timestamp(row, first + 5, DT_NOBEGIN);
	place->not_before = pa_row_timestamp(row, first + 6, DT_NOBEGIN);
	place->expires_at = pa_row_timestamp(row, first + 7, DT_NOEND);
}

#define PLACE_WIDTH 8

static void
read_detail(const PaRow *row, int first, PaJobDetail *job)
{
	char	   *action;
	char	   *result;

	read_place(row, first, &job->place);
	first += PLACE_WIDTH;
	job->retry_at = pa_row_timestamp(row, first, DT_NOBEGIN);
	pa_job_reader_clear_event(job);
	action = pa_row_text(row, first + 1);
	if (action)
	{
		job->action = pa_action_from_name(action);
		job->attempts = pa_row_int32(row, first + 3);
	}
	result = pa_row_text(row, first + 2);
	if (result)
		job->agent_result = pa_agent_result_from_name(result);
	job->started_at = pa_row_timestamp(row, first + 4, DT_NOBEGIN);
	job->triggered_by = pa_row_text(row, first + 5);
	job->description = pa_row_text(row, first + 6);
	job->requested_at = pa_row_timestamp(row, first + 7, DT_NOBEGIN);
	job->job_row = pa_row_tid(row, first + 8);
	job->event_row = pa_row_tid(row, first + 9);
	if (job->triggered_by == NULL)
		job->triggered_by = pstrdup("");
	if (job->description == NULL)
		job->description = pstrdup("");
}

/* collectors: one row to one element of the list */
static void *
collect_place(const PaRow *row)
{
	PaJobPlace *place = palloc(sizeof(PaJobPlace));

	read_place(row, 1, place);
	return place;
}

static void *
collect_detail(const PaRow *row)
{
	PaJobDetail *job = palloc(sizeof(PaJobDetail));

	read_detail(row, 1, job);
	return job;
}

static void *
collect_lane(const PaRow *row)
{
	PaLaneKey  *lane = palloc(sizeof(PaLaneKey));

	lane->server_name = pa_row_text(row, 1);
	lane->account_name = pa_row_text(row, 2);
	lane->priority = pa_row_int16(row, 3);
	return lane;
}

int64
pa_job_store_highest(void)
{
	static PaPlan plan = {
		"SELECT j.event_id FROM power_action.job j WHERE " OWN_ORIGIN
		"ORDER BY j.event_id DESC LIMIT 1",
		2, {INT8OID, OIDOID}
	};
	Datum		values[] = {origin_system, origin_database};
	PaResult	result;
	int64		highest = 0;

	pa_plan_execute(&plan, values, NULL, true, 0, &result);
	if (result.count > 0)
		highest = pa_row_int64(&result.rows[0], 1);
	pa_plan_finish(&result);
	return highest;
}

#define LANE_COLUMNS \
	"SELECT " NAMES_IN_INDEX " AS names, j.server_name, j.account_name, " \
	"j.priority FROM power_action.job j "

/*
 * The index is read once for each lane, not once for each job.  Of lanes with
 * one hash, only that of the first job is found; the others come with it when
 * it is claimed, or as they arrive.  Who has such lanes had an account moved
 * between servers whose names were made up for it (account_lane_idx); their
 * older jobs wait while the first one's agent is away.
 */
#define LANES \
	"WITH RECURSIVE lane AS ( " \
	"(" LANE_COLUMNS "ORDER BY " NAMES_IN_INDEX ", j.priority LIMIT 1) " \
	"UNION ALL " \
	"SELECT n.names, n.server_name, n.account_name, n.priority FROM lane l " \
	"CROSS JOIN LATERAL (" LANE_COLUMNS \
	"WHERE (" NAMES_IN_INDEX ", j.priority) OPERATOR(pg_catalog.>) " \
	"(l.names, l.priority) " \
	"ORDER BY " NAMES_IN_INDEX ", j.priority LIMIT 1) n) "

/* what the index finds of a lane in the row or record "l" */
#define OF_LANE \
	NAMES_IN_INDEX " OPERATOR(pg_catalog.=) l.names " \
	"AND j.priority OPERATOR(pg_catalog.=) l.priority "

List *
pa_job_store_lanes(void)
{
	static PaPlan plan = {
		LANES
		"SELECT l.server_name, l.account_name, l.priority FROM lane l",
		0, {0}
	};

	return pa_plan_list(&plan, NULL, NULL, collect_lane);
}

List *
pa_job_store_places(PaEventRange range, int limit)
{
	static PaPlan plan = {
		"SELECT " PLACE_COLUMNS "FROM power_action.job j "
		"WHERE j.event_id OPERATOR(pg_catalog.>=) $3 "
		"AND j.event_id OPERATOR(pg_catalog.<=) $4 AND " OWN_ORIGIN
		"ORDER BY j.event_id LIMIT $5",
		5, {INT8OID, OIDOID, INT8OID, INT8OID, INT4OID}
	};
	Datum		values[] = {origin_system, origin_database,
		Int64GetDatum(range.low), Int64GetDatum(range.high),
	Int32GetDatum(limit)};
	List	   *list;

	if (pa_job_reader_places(range, limit, &list))
		return list;
	return pa_plan_list(&plan, values, NULL, collect_place);
}

/* When the lanes that were read to their end have their next job. */
static void
find_next_due(PaLaneRequest *lanes, int count, TimestampTz now)
{
	static PaPlan plan = {
		"SELECT (SELECT j.due_at FROM power_action.job j "
		"WHERE " NAMES_IN_INDEX " OPERATOR(pg_catalog.=) $1 "
		"AND j.priority OPERATOR(pg_catalog.=) $2 "
		"AND j.due_at OPERATOR(pg_catalog.>) $3 "
		"ORDER BY j.due_at LIMIT 1)",
		3, {INT8OID, INT2OID, TIMESTAMPTZOID}
	};

	for (int i = 0; i < count; i++)
	{
		PaLaneRequest *lane = &lanes[i];
		PaResult	result;

		if (lane->count >= lane->limit)
			continue;
		pa_plan_execute(&plan,
						(Datum[])
						{
							pa_job_reader_hash_lane(&lane->key),
							Int16GetDatum(lane->key.priority),
							TimestampTzGetDatum(now)
						}, NULL, true, 1, &result);
		lane->next_due = pa_row_timestamp(&result.rows[0], 1, DT_NOEND);
		pa_plan_finish(&result);
	}
}

List *
pa_job_store_claim(PaLaneRequest *lanes, int count, TimestampTz now)
{
	static PaPlan plan = {
		"SELECT " PLACE_COLUMNS ", l.n "
		"FROM unnest($3, $4, $5, $6, $7) WITH ORDINALITY "
		"AS l(names, priority, due_at, event_id, room, n) "
		"CROSS JOIN LATERAL (SELECT j.* FROM power_action.job j "
		"WHERE " OF_LANE
		"AND (j.due_at, " ID_IN_INDEX ") OPERATOR(pg_catalog.>) "
		"(l.due_at, l.event_id) "
		"AND j.due_at OPERATOR(pg_catalog.<=) $8 AND " OWN_ORIGIN
		"ORDER BY j.due_at, " ID_IN_INDEX " LIMIT l.room) j",
		8, {INT8OID, OIDOID, INT8ARRAYOID, INT2ARRAYOID, TIMESTAMPTZARRAYOID,
		INT8ARRAYOID, INT4ARRAYOID, TIMESTAMPTZOID}
	};
	Datum	   *columns[5];
	Datum		values[8];
	PaResult	result;
	List	   *places = NIL;

	if (pa_job_reader_lanes(lanes, count, now, &places))
		return places;
	for (int c = 0; c < 5; c++)
		columns[c] = palloc(sizeof(Datum) * count);
	for (int i = 0; i < count; i++)
	{
		columns[0][i] = pa_job_reader_hash_lane(&lanes[i].key);
		columns[1][i] = Int16GetDatum(lanes[i].key.priority);
		columns[2][i] = TimestampTzGetDatum(lanes[i].due_at);
		columns[3][i] = Int64GetDatum(lanes[i].event_id);
		columns[4][i] = Int32GetDatum(lanes[i].limit);
		lanes[i].count = 0;
	}
	values[0] = origin_system;
	values[1] = origin_database;
	values[2] = pa_array(columns[0], NULL, count, INT8OID);
	values[3] = pa_array(columns[1], NULL, count, INT2OID);
	values[4] = pa_array(columns[2], NULL, count, TIMESTAMPTZOID);
	values[5] = pa_array(columns[3], NULL, count, INT8OID);
	values[6] = pa_array(columns[4], NULL, count, INT4OID);
	values[7] = TimestampTzGetDatum(now);

	pa_plan_execute(&plan, values, NULL, true, 0, &result);
	for (uint64 i = 0; i < result.count; i++)
	{
		const PaRow *row = &result.rows[i];
		PaLaneRequest *lane = &lanes[pa_row_int64(row, PLACE_WIDTH + 1) - 1];
		PaJobPlace *place = collect_place(row);

		lane->count++;
		lane->due_at = place->due_at;
		lane->event_id = place->event_id;
		places = lappend(places, place);
	}
	pa_plan_finish(&result);
	find_next_due(lanes, count, now);
	return places;
}

List *
pa_job_store_of_clusters(char **cluster_ids, int count, TimestampTz now,
						 int limit)
{
	static PaPlan plan = {
		"SELECT " DETAIL_COLUMNS
		"FROM pg_catalog.unnest($3) AS c(cluster_id) "
		"CROSS JOIN LATERAL (" JOB_AND_PLACE
		"WHERE j.cluster_id OPERATOR(pg_catalog.=) c.cluster_id "
		"AND " DUE_OF_CLUSTER " OPERATOR(pg_catalog.<=) $4 AND " OWN_ORIGIN
		"ORDER BY " DUE_OF_CLUSTER ", " ID_IN_INDEX " LIMIT $5) j "
		EVENT_OF_JOB,
		5, {INT8OID, OIDOID, TEXTARRAYOID, TIMESTAMPTZOID, INT4OID}
	};
	Datum		values[5];
	List	   *list;

	if (pa_job_reader_of_clusters(cluster_ids, count, now, limit, &list))
		return list;
	values[0] = origin_system;
	values[1] = origin_database;
	values[2] = pa_text_array((const char **) cluster_ids, count);
	values[3] = TimestampTzGetDatum(now);
	values[4] = Int32GetDatum(limit);
	return pa_plan_list(&plan, values, NULL, collect_detail);
}

List *
pa_job_store_expired(TimestampTz after_time, int64 after_id, TimestampTz now,
					 int limit)
{
	static PaPlan plan = {
		"SELECT " DETAIL_COLUMNS
		"FROM (" JOB_AND_PLACE
		"WHERE j.expires_at OPERATOR(pg_catalog.<=) $3 "
		"AND j.expires_at OPERATOR(pg_catalog.>=) $4 "
		"AND (j.expires_at, " ID_IN_INDEX ") OPERATOR(pg_catalog.>) ($4, $5) "
		"AND " OWN_ORIGIN
		"ORDER BY j.expires_at, " ID_IN_INDEX " LIMIT $6) j "
		EVENT_OF_JOB "ORDER BY j.expires_at, j.event_id",
		6, {INT8OID, OIDOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID, INT4OID}
	};
	Datum		values[] = {origin_system, origin_database,
		TimestampTzGetDatum(now), TimestampTzGetDatum(after_time),
	Int64GetDatum(after_id), Int32GetDatum(limit)};

	return pa_plan_list(&plan, values, NULL, collect_detail);
}

TimestampTz
pa_job_store_next_expiry(TimestampTz now)
{
	static PaPlan plan = {
		"SELECT (SELECT j.expires_at FROM power_action.job j "
		"WHERE j.expires_at OPERATOR(pg_catalog.>) $3 AND " OWN_ORIGIN
		"ORDER BY j.expires_at LIMIT 1)",
		3, {INT8OID, OIDOID, TIMESTAMPTZOID}
	};
	Datum		values[] = {origin_system, origin_database,
		TimestampTzGetDatum(now)};
	PaResult	result;
	TimestampTz next;

	pa_plan_execute(&plan, values, NULL, true, 1, &result);
	next = pa_row_timestamp(&result.rows[0], 1, DT_NOEND);
	pa_plan_finish(&result);
	return next;
}

bool
pa_job_store_any_ahead(TimestampTz now)
{
	static PaPlan plan = {
		LANES
		"SELECT 1 FROM lane l "
		"CROSS JOIN LATERAL (SELECT FROM power_action.job j "
		"WHERE " OF_LANE
		"AND j.due_at OPERATOR(pg_catalog.>) $3 AND " OWN_ORIGIN
		"AND (j.not_before IS NULL "
		"OR j.not_before OPERATOR(pg_catalog.<) j.due_at) LIMIT 1) j LIMIT 1",
		3, {INT8OID, OIDOID, TIMESTAMPTZOID}
	};
	Datum		values[] = {origin_system, origin_database,
		TimestampTzGetDatum(now)};
	PaResult	result;
	bool		found;

	pa_plan_execute(&plan, values, NULL, true, 1, &result);
	found = result.count > 0;
	pa_plan_finish(&result);
	return found;
}

List *
pa_job_store_due_before(char **server_names, int count,
						TimestampTz due_before, int limit)
{
	/* all lanes are skipped through, since names have no order in the index */
	static PaPlan plan = {
		LANES
		"SELECT " DETAIL_COLUMNS "FROM lane l "
		"CROSS JOIN LATERAL (" JOB_AND_PLACE
		"WHERE " OF_LANE
		"AND j.server_name OPERATOR(pg_catalog.=) l.server_name "
		"AND j.due_at OPERATOR(pg_catalog.<=) $4 AND " OWN_ORIGIN
		"ORDER BY j.due_at, " ID_IN_INDEX " LIMIT $5) j "
		EVENT_OF_JOB
		"WHERE l.server_name OPERATOR(pg_catalog.=) ANY ($3) LIMIT $5",
		5, {INT8OID, OIDOID, TEXTARRAYOID, TIMESTAMPTZOID, INT4OID}
	};
	Datum		values[] = {origin_system, origin_database,
		pa_text_array((const char **) server_names, count),
	TimestampTzGetDatum(due_before), Int32GetDatum(limit)};

	return pa_plan_list(&plan, values, NULL, collect_detail);
}

static void *
collect_cancellation(const PaRow *row)
{
	PaCancellation *cancellation = palloc0(sizeof(PaCancellation));

	cancellation->cancellation_id = pa_row_int64(row, 1);
	cancellation->event_id = pa_row_int64(row, 2);
	cancellation->cancelled_by = pa_row_text(row, 3);
	cancellation->reason = pa_row_text(row, 4);
	cancellation->has_job = !pa_row_is_null(row, 5);
	if (cancellation->has_job)
		read_detail(row, 5, &cancellation->job);
	return cancellation;
}

List *
pa_job_store_cancellations(int64 after, int limit)
{
	/* of any origin: what is held here may be cancelled here */
	static PaPlan plan = {
		"SELECT c.cancellation_id, c.event_id, c.cancelled_by, c.reason, "
		DETAIL_COLUMNS
		"FROM (SELECT c.event_id, c.cancelled_by, c.reason, "
		"c.cancellation_id FROM power_action.cancellation c "
		"WHERE c.cancellation_id OPERATOR(pg_catalog.>) $1 "
		"ORDER BY c.cancellation_id LIMIT $2) c "
		"LEFT JOIN LATERAL (" JOB_AND_PLACE
		"WHERE j.event_id OPERATOR(pg_catalog.=) c.event_id LIMIT 1) j "
		"ON true " EVENT_OF_JOB,
		2, {INT8OID, INT4OID}
	};
	Datum		values[] = {Int64GetDatum(after), Int32GetDatum(limit)};

	return pa_plan_list(&plan, values, NULL, collect_cancellation);
}
