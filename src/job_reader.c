/*-------------------------------------------------------------------------
 *
 * src/job_reader.c
 *		Reading the queue without statements.  See job_reader.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "job_reader.h"
#include "row_reader.h"

static int64 origin_system;
static Oid	origin_database;

void
pa_job_reader_set_origin(uint64 system_identifier, Oid database)
{
	origin_system = (int64) system_identifier;
	origin_database = database;
}

void
pa_job_reader_clear_event(PaJobDetail *job)
{
	job->action = PA_ACTION_INVALID;
	job->agent_result = PA_RESULT_NONE;
	job->attempts = 0;
	job->started_at = DT_NOBEGIN;
	job->requested_at = DT_NOBEGIN;
	ItemPointerSetInvalid(&job->event_row);
}

static char *
text_or_empty(const PaRowReader *reader, int column)
{
	return reader->nulls[column] ? pstrdup("") :
		TextDatumGetCString(reader->values[column]);
}

static TimestampTz
time_or(const PaRowReader *reader, int column, TimestampTz null_value)
{
	return reader->nulls[column] ? null_value :
		DatumGetTimestampTz(reader->values[column]);
}

static bool
is_own(const Datum *job)
{
	return DatumGetInt64(job[PA_JOB_ORIGIN_SYSTEM]) == origin_system &&
		DatumGetObjectId(job[PA_JOB_ORIGIN_DATABASE]) == origin_database;
}

/* The row that was read last. */
static void
take_place(PaJobPlace *place, const PaRowReader *reader)
{
	const Datum *values = reader->values;

	place->event_id = DatumGetInt64(values[PA_JOB_EVENT_ID]);
	place->cluster_id = TextDatumGetCString(values[PA_JOB_CLUSTER_ID]);
	place->lane.server_name = TextDatumGetCString(values[PA_JOB_SERVER_NAME]);
	place->lane.account_name =
		TextDatumGetCString(values[PA_JOB_ACCOUNT_NAME]);
	place->lane.priority = DatumGetInt16(values[PA_JOB_PRIORITY]);
	place->due_at = DatumGetTimestampTz(values[PA_JOB_DUE_AT]);
	place->not_before = time_or(reader, PA_JOB_NOT_BEFORE, DT_NOBEGIN);
	place->expires_at = time_or(reader, PA_JOB_EXPIRES_AT, DT_NOEND);
}

/* The next that is ours; NULL if there is none. */
static PaJobPlace *
next_place(PaRowReader *jobs)
{
	while (pa_reader_next(jobs))
	{
		PaJobPlace *place;

		if (!is_own(jobs->values))
			continue;
		place = palloc(sizeof(PaJobPlace));
		take_place(place, jobs);
		return place;
	}
	return NULL;
}

bool
pa_job_reader_places(PaEventRange range, int limit, List **list)
{
	static PaTable table = {
		.name = "job",
		.columns = pa_job_columns,
		.column_count = PA_JOB_COLUMNS,
		.command = CMD_SELECT,
		.index_columns = {{PA_JOB_EVENT_ID}},
		.index_column_count = 1
	};
	PaRowReader jobs;
	PaJobPlace *place;

	if (!pa_reader_begin_scan(&jobs, &table, 2))
		return false;
	pa_reader_set_condition(&jobs, 0, 0, BTGreaterEqualStrategyNumber,
							Int64GetDatum(range.low));
	pa_reader_set_condition(&jobs, 1, 0, BTLessEqualStrategyNumber,
							Int64GetDatum(range.high));
	pa_reader_scan(&jobs);
	*list = NIL;
	while (list_length(*list) < limit && (place = next_place(&jobs)) != NULL)
		*list = lappend(*list, place);
	pa_reader_end(&jobs);
	return true;
}

/* the columns of the index of the lanes */
enum
{
	LANE_NAMES, LANE_PRIORITY, LANE_DUE_AT, LANE_EVENT
};

static Datum
hash_text(const char *string, Datum seed)
{
	return DirectFunctionCall2Coll(hashtextextended, C_COLLATION_OID,
								   CStringGetTextDatum(string), seed);
}

Datum
pa_job_reader_hash_lane(const PaLaneKey *lane)
{
	return hash_text(lane->server_name,
					 hash_text(lane->account_name, Int64GetDatum(0)));
}

static void
set_lane(PaRowReader *jobs, Datum names, int16 priority)
{
	pa_reader_set_condition(jobs, 0, LANE_NAMES, BTEqualStrategyNumber, names);
	pa_reader_set_condition(jobs, 1, LANE_PRIORITY, BTEqualStrategyNumber,
							Int16GetDatum(priority));
}

static List *
read_lane(List *places, PaRowReader *jobs, Datum names, PaLaneRequest *lane,
		  TimestampTz now)
{
	PaJobPlace *place;

	set_lane(jobs, names, lane->key.priority);
	pa_reader_set_after(jobs, 2, LANE_DUE_AT, TimestampTzGetDatum(lane->due_at),
						Int64GetDatum(lane->event_id));
	pa_reader_set_condition(jobs, 3, LANE_DUE_AT, BTLessEqualStrategyNumber,
							TimestampTzGetDatum(now));
	pa_reader_scan(jobs);
	lane->count = 0;
	while (lane->count < lane->limit && (place = next_place(jobs)) != NULL)
	{
		lane->count++;
		lane->due_at = place->due_at;
		lane->event_id = place->event_id;
		places = lappend(places, place);
	}
	return places;
}

/* When a lane that was read to its end has its next job. */
static void
read_next_due(PaRowReader *jobs, Datum names, PaLaneRequest *lane,
			  TimestampTz now)
{
	set_lane(jobs, names, lane->key.priority);
	pa_reader_set_condition(jobs, 2, LANE_DUE_AT, BTGreaterStrategyNumber,
							TimestampTzGetDatum(now));
	pa_reader_scan(jobs);
	lane->next_due = pa_reader_next(jobs) ?
		DatumGetTimestampTz(jobs->values[PA_JOB_DUE_AT]) : DT_NOEND;
}

bool
pa_job_reader_lanes(PaLaneRequest *lanes, int count, TimestampTz now,
					List **places)
{
	static PaTable table = {
		.name = "job",
		.columns = pa_job_columns,
		.column_count = PA_JOB_COLUMNS,
		.command = CMD_SELECT,
		.index = "job_lane_idx",
		.index_columns = {
			[LANE_NAMES] = {.expression = "hashtextextended(server_name, "
			"hashtextextended(account_name, '0'::bigint))"},
			[LANE_PRIORITY] = {PA_JOB_PRIORITY},
			[LANE_DUE_AT] = {PA_JOB_DUE_AT},
			[LANE_EVENT] = {.expression = "(event_id + 0)"}
		},
		.index_column_count = 4
	};
	PaRowReader due;
	PaRowReader later;

	if (!pa_reader_begin_scan(&due, &table, 4))
		return false;
	if (!pa_reader_begin_scan(&later, &table, 3))
	{
		pa_reader_end(&due);
		return false;
	}
	*places = NIL;
	for (int i = 0; i < count; i++)
	{
		Datum		names = pa_job_reader_hash_lane(&lanes[i].key);

		*places = read_lane(*places, &due, names, &lanes[i], now);
		if (lanes[i].count < lanes[i].limit)
			read_next_due(&later, names, &lanes[i], now);
	}
	pa_reader_end(&later);
	pa_reader_end(&due);
	return true;
}

static void
take_job(PaJobDetail *job, const PaRowReader *reader)
{
	take_place(&job->place, reader);
	job->retry_at = time_or(reader, PA_JOB_RETRY_AT, DT_NOBEGIN);
	job->job_row = reader->slot->tts_tid;
}

static void
take_event(PaJobDetail *job, const PaRowReader *reader)
{
	const Datum *values = reader->values;
	char		word[32];

	text_to_cstring_buffer(DatumGetTextPP(values[PA_EVENT_ACTION]), word,
						   sizeof(word));
	job->action = pa_action_from_name(word);
	text_to_cstring_buffer(DatumGetTextPP(values[PA_EVENT_AGENT_RESULT]),
						   word, sizeof(word));
	job->agent_result = pa_agent_result_from_name(word);
	job->attempts = DatumGetInt32(values[PA_EVENT_ATTEMPTS]);
	job->started_at = time_or(reader, PA_EVENT_STARTED_AT, DT_NOBEGIN);
	job->triggered_by = text_or_empty(reader, PA_EVENT_TRIGGERED_BY);
	job->description = text_or_empty(reader, PA_EVENT_DESCRIPTION);
	job->requested_at = time_or(reader, PA_EVENT_REQUESTED_AT, DT_NOBEGIN);
	job->event_row = reader->slot->tts_tid;
}

/* Those of one cluster, as far as they are due. */
static List *
take_cluster(List *list, PaRowReader *jobs, TimestampTz now, int limit)
{
	while (limit > 0 && pa_reader_next(jobs))
	{
		PaJobDetail *job;

		/* in the order of due_at */
		if (DatumGetTimestampTz(jobs->values[PA_JOB_DUE_AT]) > now)
			break;
		if (!is_own(jobs->values))
			continue;
		job = palloc(sizeof(PaJobDetail));
		take_job(job, jobs);
		list = lappend(list, job);
		limit--;
	}
	return list;
}

static int
compare_event_ids(const ListCell *one, const ListCell *other)
{
	int64		id = ((PaJobDetail *) lfirst(one))->place.event_id;
	int64		other_id = ((PaJobDetail *) lfirst(other))->place.event_id;

	return id < other_id ? -1 : id > other_id;
}

/* Sorts the jobs by their events and adds what is read of these. */
static void
take_events(List *jobs, PaRowReader *events)
{
	Datum	   *ids = palloc(sizeof(Datum) * list_length(jobs));
	ListCell   *cell;

	if (jobs == NIL)
		return;
	list_sort(jobs, compare_event_ids);
	foreach(cell, jobs)
		ids[foreach_current_index(cell)] =
			Int64GetDatum(((PaJobDetail *) lfirst(cell))->place.event_id);
	pa_reader_set_keys(events, ids, list_length(jobs), true);
	foreach(cell, jobs)
	{
		PaJobDetail *job = lfirst(cell);

		pa_job_reader_clear_event(job);
		pa_reader_seek_key(events, foreach_current_index(cell));
		if (pa_reader_next(events))
			take_event(job, events);
		else
			job->triggered_by = job->description = pstrdup("");
	}
}

static int
compare_texts(const void *one, const void *other)
{
	return strcmp(*(char *const *) one, *(char *const *) other);
}

bool
pa_job_reader_of_clusters(char **cluster_ids, int count, TimestampTz now,
						  int limit, List **list)
{
	static PaTable job_table = {
		.name = "job",
		.columns = pa_job_columns,
		.column_count = PA_JOB_COLUMNS,
		.command = CMD_SELECT,
		.index = "job_cluster_idx",
		.index_columns = {
			{PA_JOB_CLUSTER_ID},
			{.expression =
			"GREATEST(due_at, '-infinity'::timestamp with time zone)"},
			{.expression = "(event_id + 0)"}
		},
		.index_column_count = 3
	};
	static PaTable event_table = {
		.name = "event",
		.columns = pa_event_columns,
		.column_count = PA_EVENT_COLUMNS,
		.command = CMD_SELECT,
		.index_columns = {{PA_EVENT_ID}},
		.index_column_count = 1
	};
	PaRowReader jobs;
	PaRowReader events;
	char	  **sorted = palloc(sizeof(char *) * count);
	Datum	   *keys = palloc(sizeof(Datum) * count);

	if (!pa_reader_begin(&jobs, &job_table))
		return false;
	if (!pa_reader_begin(&events, &event_table))
	{
		pa_reader_end(&jobs);
		return false;
	}
	*list = NIL;
	memcpy(sorted, cluster_ids, sizeof(char *) * count);
	qsort(sorted, count, sizeof(char *), compare_texts);
	for (int i = 0; i < count; i++)
		keys[i] = CStringGetTextDatum(sorted[i]);
	pa_reader_set_keys(&jobs, keys, count, true);
	for (int i = 0; i < count; i++)
	{
		pa_reader_seek_key(&jobs, i);
		*list = take_cluster(*list, &jobs, now, limit);
	}
	take_events(*list, &events);
	pa_reader_end(&events);
	pa_reader_end(&jobs);
	return true;
}

