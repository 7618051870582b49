/*-------------------------------------------------------------------------
 *
 * src/request_store.c
 *		Inserting events and jobs of requests.  See request_store.h.
 *
 * Every name and operator is qualified: the waiting procedures cannot pin
 * the search path (SET forbids COMMIT), and much of this runs as the owner.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "event_rule.h"
#include "inventory.h"
#include "request_store.h"
#include "row_writer.h"
#include "store_plan.h"
#include "table_layout.h"

/*
 * The plans here depend neither on the values nor on the statistics.  Those
 * made anew for each call would take longer to make than to run; those made
 * while a table is empty would read all of it later.
 */

static bool
text_equal(const text *one, const text *other)
{
	if (one == NULL || other == NULL)
		return one == other;
	return VARSIZE_ANY_EXHDR(one) == VARSIZE_ANY_EXHDR(other) &&
		memcmp(VARDATA_ANY(one), VARDATA_ANY(other),
			   VARSIZE_ANY_EXHDR(one)) == 0;
}

/* Address of the client; it does not change while the session lives. */
static Datum
client_address(bool *isnull)
{
	static bool known = false;
	static bool none;
	static Datum address;

	if (!known)
	{
		LOCAL_FCINFO(fcinfo, 0);
		Datum		value;

		InitFunctionCallInfoData(*fcinfo, NULL, 0, InvalidOid, NULL, NULL);
		value = inet_client_addr(fcinfo);
		none = fcinfo->isnull;
		if (!none)
		{
			MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);

			address = datumCopy(value, false, -1);
			MemoryContextSwitchTo(caller);
		}
		known = true;
	}
	*isnull = none;
	return address;
}

static Datum
session_user_name(void)
{
	return CStringGetTextDatum(GetUserNameFromId(GetSessionUserId(), false));
}

static Datum
optional_text(const text *value, char *null)
{
	*null = value ? ' ' : 'n';
	return PointerGetDatum(value);
}

/*
 * $1 to $14 are of the request.  The clusters are rows that are given; a
 * single one comes as $15 to $21.  The ids of the events come in the order of
 * the rows.
 */
#define INSERT_EVENTS(items) \
	"WITH e AS (INSERT INTO power_action.event AS n (action, cluster_id, " \
	"cluster_name, account_name, server_name, triggered_by, description, " \
	"status, error_source, error_code, error_message, requested_by, " \
	"client_addr, application_name, requested_at, not_before, expires_at, " \
	"finished_at, priority, request_key, instances_total) " \
	"SELECT $1, i.cluster_id, i.cluster_name, i.account_name, " \
	"i.server_name, $2, $3, " \
	"CASE WHEN i.error_code IS NULL THEN 'pending' ELSE 'failed' END, " \
	"CASE WHEN i.error_code IS NULL THEN NULL ELSE 'request' END, " \
	"i.error_code, i.error_message, $4, $5, $6, $7, $8, $9, " \
	"CASE WHEN i.error_code IS NULL THEN NULL ELSE $7 END, $10, $11, " \
	"i.instances_total FROM " items " AS i (cluster_id, cluster_name, " \
	"account_name, server_name, error_code, error_message, " \
	"instances_total) "
#define ONE_ITEM \
	"(SELECT $15, $16, $17, $18, $19, $20, $21)"
#define MANY_ITEMS "given"
/* waits for another session that is inserting the same key */
#define UNLESS_REPEATED \
	"ON CONFLICT (requested_by, request_key, cluster_id, " \
	"(account_name IS NULL)) " \
	"WHERE request_key IS NOT NULL DO NOTHING "
#define INSERT_JOBS \
	"RETURNING n.event_id, n.cluster_id, n.server_name, n.account_name, " \
	"n.status), j AS (INSERT INTO power_action.job (event_id, cluster_id, " \
	"server_name, account_name, priority, due_at, not_before, expires_at, " \
	"origin_system, origin_database) " \
	"SELECT e.event_id, e.cluster_id, e.server_name, e.account_name, " \
	"$10, $12, $8, $9, $13, $14 " \
	"FROM e WHERE e.status OPERATOR(pg_catalog.=) 'pending') " \
	"SELECT e.event_id, e.cluster_id FROM e"

#define REQUEST_TYPES \
	TEXTOID, TEXTOID, TEXTOID, TEXTOID, INETOID, TEXTOID, TIMESTAMPTZOID, \
	TIMESTAMPTZOID, TIMESTAMPTZOID, INT2OID, TEXTOID, TIMESTAMPTZOID, \
	INT8OID, OIDOID
#define ONE_TYPES \
	TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT4OID

/* where those that jobs have, too, are among the arguments, from 0 */
enum
{
	REQUESTED_AT = 6, NOT_BEFORE, EXPIRES_AT, PRIORITY, REQUEST_KEY, DUE_AT,
	ORIGIN_SYSTEM, ORIGIN_DATABASE,
	REQUEST_ARGUMENTS
};

#define ITEM_ARGUMENTS		7

#define ARGUMENTS			(REQUEST_ARGUMENTS + ITEM_ARGUMENTS)

static PaPlan insert_one = {
	INSERT_EVENTS(ONE_ITEM) INSERT_JOBS,
	ARGUMENTS, {REQUEST_TYPES, ONE_TYPES}, PA_PLANNER_LOOK_UPS
};

static PaPlan insert_one_keyed = {
	INSERT_EVENTS(ONE_ITEM) UNLESS_REPEATED INSERT_JOBS,
	ARGUMENTS, {REQUEST_TYPES, ONE_TYPES}, PA_PLANNER_LOOK_UPS
};

static PaPlan insert_many = {
	INSERT_EVENTS(MANY_ITEMS) INSERT_JOBS,
	REQUEST_ARGUMENTS, {REQUEST_TYPES}, PA_PLANNER_LOOK_UPS
};

static PaPlan insert_many_keyed = {
	INSERT_EVENTS(MANY_ITEMS) UNLESS_REPEATED INSERT_JOBS,
	REQUEST_ARGUMENTS, {REQUEST_TYPES}, PA_PLANNER_LOOK_UPS
};

static void
request_arguments(const PaRequest *request, Datum *values, char *nulls)
{
	bool		isnull;

	/*
	 * One that has expired is inserted, too, for nothing else waits for
	 * another session with the same key.  It does not last; until then it must
	 * pass the CHECKs of event.
	 */
	TimestampTz requested_at = Min(request->requested_at,
								   request->expires_at - 1);

	memset(nulls, ' ', REQUEST_ARGUMENTS);
	values[0] = CStringGetTextDatum(pa_action_name(request->action));
	values[1] = PointerGetDatum(request->triggered_by);
	values[2] = optional_text(request->description, &nulls[2]);
	values[3] = session_user_name();
	values[4] = client_address(&isnull);
	nulls[4] = isnull ? 'n' : ' ';
	values[5] = CStringGetTextDatum(application_name ? application_name : "");
	values[REQUESTED_AT] = TimestampTzGetDatum(requested_at);
	values[NOT_BEFORE] = TimestampTzGetDatum(request->not_before);
	nulls[NOT_BEFORE] = TIMESTAMP_NOT_FINITE(request->not_before) ? 'n' : ' ';
	values[EXPIRES_AT] = TimestampTzGetDatum(request->expires_at);
	nulls[EXPIRES_AT] = TIMESTAMP_NOT_FINITE(request->expires_at) ? 'n' : ' ';
	values[PRIORITY] = Int16GetDatum(request->priority);
	values[REQUEST_KEY] = optional_text(request->request_key,
										&nulls[REQUEST_KEY]);
	values[DUE_AT] = TimestampTzGetDatum(Max(requested_at,
											 request->not_before));
	values[ORIGIN_SYSTEM] = Int64GetDatum((int64) GetSystemIdentifier());
	values[ORIGIN_DATABASE] = ObjectIdGetDatum(MyDatabaseId);
}

static void
item_values(const PaRequestItem *item, Datum *values, bool *nulls)
{
	values[0] = PointerGetDatum(item->cluster_id);
	values[1] = PointerGetDatum(item->cluster_name);
	values[2] = PointerGetDatum(item->account_name);
	values[3] = PointerGetDatum(item->server_name);
	values[4] = values[5] = (Datum) 0;
	if (item->error_code)
	{
		values[4] = CStringGetTextDatum(item->error_code);
		values[5] = CStringGetTextDatum(item->error_message);
	}
	for (int c = 0; c < 6; c++)
		nulls[c] = values[c] == (Datum) 0;
	values[6] = Int32GetDatum(item->instances_live);
	nulls[6] = !item->found;
}

/* The rows "given" of many clusters. */
static void
give_items(PaGiven *given, PaRequestItem **items, int count)
{
	static const PaColumn columns[ITEM_ARGUMENTS] = {
		{"cluster_id", TEXTOID}, {"cluster_name", TEXTOID},
		{"account_name", TEXTOID}, {"server_name", TEXTOID},
		{"error_code", TEXTOID}, {"error_message", TEXTOID},
		{"instances_total", INT4OID}
	};

	pa_given_begin(given, columns, ITEM_ARGUMENTS);
	for (int i = 0; i < count; i++)
	{
		item_values(items[i], given->values, given->nulls);
		pa_given_add(given);
	}
}

/*
 * Without statements, as long as the tables are as they were made
 */

/* words that events have which are not those of an argument */
typedef struct EventWords
{
	Datum		pending;
	Datum		failed;
	Datum		no_result;
} EventWords;

/* What the arguments of the request are in a row of event. */
static void
set_event(PaRowWriter *row, const Datum *request, const char *nulls,
		  const PaRequestItem *item, const EventWords *words)
{
	static const int request_columns[] = {
		PA_EVENT_ACTION, PA_EVENT_TRIGGERED_BY, PA_EVENT_DESCRIPTION,
		PA_EVENT_REQUESTED_BY, PA_EVENT_CLIENT_ADDR,
		PA_EVENT_APPLICATION_NAME, PA_EVENT_REQUESTED_AT,
		PA_EVENT_NOT_BEFORE, PA_EVENT_EXPIRES_AT, PA_EVENT_PRIORITY,
		PA_EVENT_REQUEST_KEY
	};
	static const int item_columns[ITEM_ARGUMENTS] = {
		PA_EVENT_CLUSTER_ID, PA_EVENT_CLUSTER_NAME, PA_EVENT_ACCOUNT_NAME,
		PA_EVENT_SERVER_NAME, PA_EVENT_ERROR_CODE, PA_EVENT_ERROR_MESSAGE,
		PA_EVENT_INSTANCES_TOTAL
	};
	Datum		values[ITEM_ARGUMENTS];
	bool		item_nulls[ITEM_ARGUMENTS];

	for (int c = 0; c < PA_EVENT_COLUMNS; c++)
		pa_writer_set_null(row, c);
	for (size_t c = 0; c < lengthof(request_columns); c++)
		if (nulls[c] != 'n')
			pa_writer_set(row, request_columns[c], request[c]);
	item_values(item, values, item_nulls);
	for (int c = 0; c < ITEM_ARGUMENTS; c++)
		if (!item_nulls[c])
			pa_writer_set(row, item_columns[c], values[c]);

	pa_writer_set(row, PA_EVENT_STATUS,
				  item->error_code ? words->failed : words->pending);
	pa_writer_set(row, PA_EVENT_AGENT_RESULT, words->no_result);
	pa_writer_set(row, PA_EVENT_ATTEMPTS, Int32GetDatum(0));
	if (item->error_code)
	{
		pa_writer_set_text(row, PA_EVENT_ERROR_SOURCE,
						   pa_error_source_name(PA_ERROR_REQUEST));
		pa_writer_set(row, PA_EVENT_FINISHED_AT, request[REQUESTED_AT]);
	}
}

static void
set_job(PaRowWriter *row, const Datum *request, const char *nulls,
		const PaRequestItem *item)
{
	static const int columns[][2] = {
		{PA_JOB_PRIORITY, PRIORITY}, {PA_JOB_DUE_AT, DUE_AT},
		{PA_JOB_NOT_BEFORE, NOT_BEFORE}, {PA_JOB_EXPIRES_AT, EXPIRES_AT},
		{PA_JOB_ORIGIN_SYSTEM, ORIGIN_SYSTEM},
		{PA_JOB_ORIGIN_DATABASE, ORIGIN_DATABASE}
	};

	pa_writer_set(row, PA_JOB_EVENT_ID, Int64GetDatum(item->event_id));
	pa_writer_set(row, PA_JOB_CLUSTER_ID, PointerGetDatum(item->cluster_id));
	pa_writer_set(row, PA_JOB_SERVER_NAME, PointerGetDatum(item->server_name));
	pa_writer_set(row, PA_JOB_ACCOUNT_NAME,
				  PointerGetDatum(item->account_name));
	pa_writer_set_null(row, PA_JOB_RETRY_AT);
	for (size_t c = 0; c < lengthof(columns); c++)
	{
		pa_writer_set(row, columns[c][0], request[columns[c][1]]);
		if (nulls[columns[c][1]] == 'n')
			pa_writer_set_null(row, columns[c][0]);
	}
}

/* False, and nothing is done, if a table is not as it was made. */
static bool
insert_rows(const Datum *request, const char *nulls, PaRequestItem **items,
			int count)
{
	static PaTable event_table = {
		.name = "event",
		.columns = pa_event_columns,
		.column_count = PA_EVENT_COLUMNS,
		.command = CMD_INSERT,
		.identity = PA_EVENT_ID,
		.idle_triggers = {pa_inventory_cancel_restored},
		.check = pa_event_rule_check,
		.check_columns = pa_event_rule_require
	};
	static PaTable job_table = {
		.name = "job",
		.columns = pa_job_columns,
		.column_count = PA_JOB_COLUMNS,
		.command = CMD_INSERT,
		.identity = -1
	};
	const EventWords words = {
		CStringGetTextDatum(pa_event_status_name(PA_EVENT_PENDING)),
		CStringGetTextDatum(pa_event_status_name(PA_EVENT_FAILED)),
		CStringGetTextDatum(pa_agent_result_name(PA_RESULT_NONE))
	};
	PaRowWriter events;
	PaRowWriter jobs;

	if (!pa_writer_begin(&events, &event_table))
		return false;
	if (!pa_writer_begin(&jobs, &job_table))
	{
		pa_writer_end(&events);
		return false;
	}
	for (int i = 0; i < count; i++)
	{
		pa_writer_start_row(&events);
		set_event(&events, request, nulls, items[i], &words);
		items[i]->event_id = pa_writer_insert(&events);
		if (items[i]->error_code)
			continue;
		pa_writer_start_row(&jobs);
		set_job(&jobs, request, nulls, items[i]);
		pa_writer_insert(&jobs);
	}
	pa_writer_end(&jobs);
	pa_writer_end(&events);
	return true;
}

/* Inserts what can be inserted and sets event_id of just that. */
static void
insert_events(const PaRequest *request, PaRequestItem **items,
			  PaRequestItem **sorted, int count, int sorted_count)
{
	Datum		values[ARGUMENTS];
	char		nulls[ARGUMENTS];
	bool		item_nulls[ITEM_ARGUMENTS];
	bool		one = count == 1;
	PaGiven		given;
	PaPlan	   *plan;
	PaResult	result;

	request_arguments(request, values, nulls);
	/* a key may be there already */
	if (request->request_key == NULL &&
		insert_rows(values, nulls, items, count))
		return;
	if (one)
	{
		item_values(items[0], values + REQUEST_ARGUMENTS, item_nulls);
		for (int c = 0; c < ITEM_ARGUMENTS; c++)
			nulls[REQUEST_ARGUMENTS + c] = item_nulls[c] ? 'n' : ' ';
	}
	else
		give_items(&given, items, count);
	if (request->request_key)
		plan = one ? &insert_one_keyed : &insert_many_keyed;
	else
		plan = one ? &insert_one : &insert_many;

	/* tells the trigger on event that these have jobs */
	pa_inventory_inserting_requests = true;
	PG_TRY();
	{
		pa_plan_execute_given(plan, values, nulls, one ? NULL : &given,
							  &result);
	}
	PG_FINALLY();
	{
		pa_inventory_inserting_requests = false;
	}
	PG_END_TRY();

	for (uint64 i = 0; i < result.count; i++)
	{
		const PaRow *row = &result.rows[i];

		pa_request_item_of_row(row, 2, sorted, sorted_count)->event_id =
			pa_row_int64(row, 1);
	}
	pa_plan_finish(&result);
	if (!one)
		pa_given_end(&given);
}

/* Raises an error if an event was not requested with these arguments. */
static void
check_same_arguments(const PaRequest *request, const PaRow *row,
					 const PaRequestItem *item)
{
	const char *differs = NULL;

	if (strcmp(pa_row_text(row, 4), pa_action_name(request->action)) != 0)
		differs = "action";
	else if (!text_equal(pa_row_copy_text(row, 5), request->triggered_by))
		differs = "triggered_by";
	else if (!text_equal(pa_row_copy_text(row, 6), request->description))
		differs = "description";
	else if (pa_row_timestamp(row, 7, DT_NOBEGIN) != request->not_before)
		differs = "not_before";
	else if (pa_row_timestamp(row, 8, DT_NOEND) != request->expires_at)
		differs = "expires_at";
	else if (pa_row_int16(row, 9) != request->priority)
		differs = "priority";

	if (differs)
		ereport(ERROR,
				(errcode(ERRCODE_UNIQUE_VIOLATION),
				 errmsg("request_key \"%s\" was used with other arguments for cluster \"%s\"",
						text_to_cstring(request->request_key),
						text_to_cstring(item->cluster_id)),
				 errdetail("Event " INT64_FORMAT " has it and differs in \"%s\".",
						   item->event_id, differs),
				 errhint("Repeat a request with exactly the same arguments, or use a new request_key.")));
}

#define REPEATED_EVENTS \
	"SELECT e.event_id, e.cluster_id, e.status, e.action, " \
	"e.triggered_by, e.description, e.not_before, e.expires_at, " \
	"e.priority, e.error_code FROM power_action.event e " \
	"WHERE e.requested_by OPERATOR(pg_catalog.=) $1 " \
	"AND e.request_key OPERATOR(pg_catalog.=) $2 " \
	"AND e.cluster_id OPERATOR(pg_catalog.=) ANY ($3) " \
	"AND (e.account_name IS NOT NULL) OPERATOR(pg_catalog.=) $4"
#define REPEATED_TYPES \
	4, {TEXTOID, TEXTOID, TEXTARRAYOID, BOOLOID}, PA_PLANNER_LOOK_UPS

/* a plan for each user who runs it: what row-level security adds is kept */
static PaPlan repeated_as_caller = {REPEATED_EVENTS, REPEATED_TYPES};
static PaPlan repeated_as_owner = {REPEATED_EVENTS, REPEATED_TYPES};

/*
 * Takes the events that are there already with this request_key: of clusters
 * that existed, or of those that did not.
 */
static void
take_repeated(PaPlan *plan, const PaRequest *request, PaRequestItem **items,
			  int count, bool existed, PaRequestItem **sorted,
			  int sorted_count)
{
	Datum		values[4];
	PaResult	result;

	if (count == 0)
		return;
	values[0] = session_user_name();
	values[1] = PointerGetDatum(request->request_key);
	values[2] = pa_request_item_ids(items, count);
	values[3] = BoolGetDatum(existed);
	pa_plan_execute_given(plan, values, NULL, NULL, &result);
	for (uint64 i = 0; i < result.count; i++)
	{
		const PaRow *row = &result.rows[i];
		PaRequestItem *item = pa_request_item_of_row(row, 2, sorted,
													 sorted_count);

		item->event_id = pa_row_int64(row, 1);
		item->repeated = true;
		item->status = pa_row_text(row, 3);
		item->error_code = pa_row_text(row, 10);
		check_same_arguments(request, row, item);
	}
	pa_plan_finish(&result);
}

/* Moves the items that have no event yet to the front, returns their number. */
static int
keep_open(PaRequestItem **items, int count)
{
	int			left = 0;

	for (int i = 0; i < count; i++)
		if (items[i]->event_id == 0)
			items[left++] = items[i];
	return left;
}

/* Moves those that were found before those that were not; their number. */
static int
partition_found(PaRequestItem **items, int count)
{
	PaRequestItem **others = palloc(sizeof(PaRequestItem *) * Max(count, 1));
	int			found = 0;
	int			other_count = 0;

	for (int i = 0; i < count; i++)
	{
		if (items[i]->found)
			items[found++] = items[i];
		else
			others[other_count++] = items[i];
	}
	memcpy(items + found, others, sizeof(PaRequestItem *) * other_count);
	pfree(others);
	return found;
}

void
pa_request_store_insert(const PaRequest *request, PaRequestItem **items,
						PaRequestItem **sorted, int count)
{
	PaRequestItem **open = palloc(sizeof(PaRequestItem *) * count);
	PaRequestItem **probe = palloc(sizeof(PaRequestItem *) * count);
	int			open_count = count;
	Oid			user;
	int			context;

	memcpy(open, items, sizeof(PaRequestItem *) * count);
	if (request->request_key)
	{
		/*
		 * A cluster that is gone was there, perhaps, when this was requested
		 * first.  As the caller: what he does not see he has not requested.
		 */
		int			found;

		memcpy(probe, items, sizeof(PaRequestItem *) * count);
		found = partition_found(probe, count);
		take_repeated(&repeated_as_caller, request, probe + found,
					  count - found, true, sorted, count);
		open_count = keep_open(open, count);
	}

	pa_inventory_become_owner(&user, &context);
	for (int round = 0; open_count > 0; round++)
	{
		/*
		 * A second round is needed only if an event with this key is removed
		 * between the attempt to insert and the look at what is there.  What
		 * is neither inserted nor there has been dropped by somebody's
		 * trigger on event.
		 */
		if (round == 10 || (round == 1 && request->request_key == NULL))
			ereport(ERROR,
					(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
					 errmsg("the event for cluster \"%s\" was not inserted",
							text_to_cstring(open[0]->cluster_id)),
					 errhint("Look for a trigger on power_action.event that returns null.")));

		CHECK_FOR_INTERRUPTS();
		insert_events(request, open, sorted, open_count, count);
		open_count = keep_open(open, open_count);
		if (open_count > 0 && request->request_key)
		{
			int			found;

			memcpy(probe, open, sizeof(PaRequestItem *) * open_count);
			found = partition_found(probe, open_count);
			take_repeated(&repeated_as_owner, request, probe, found, true,
						  sorted, count);
			take_repeated(&repeated_as_owner, request, probe + found,
						  open_count - found, false, sorted, count);
			open_count = keep_open(open, open_count);
		}
	}
	pa_inventory_become_caller(user, context);
}
