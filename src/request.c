/*-------------------------------------------------------------------------
 *
 * src/request.c
 *		The SQL functions power_on, power_off, refresh, cancel and adopt:
 *		arguments are checked, events and jobs inserted, the worker woken at
 *		commit.
 *
 * Called in client backends.  One cluster and many take the same way: many
 * in chunks, so that memory does not grow with their number.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "agent_server.h"
#include "argument.h"
#include "event_store.h"
#include "inventory.h"
#include "request.h"
#include "request_target.h"
#include "settings.h"
#include "shared_state.h"

#define MAX_CLUSTERS			1000000
#define CHUNK_SIZE				5000

#define MAX_CLUSTER_ID			255 /* bytes, as the table has it */
#define MAX_TRIGGERED_BY		255 /* characters, as all below */
#define MAX_DESCRIPTION			1000
#define MAX_REQUEST_KEY			255

PG_FUNCTION_INFO_V1(pa_request_power_on);
PG_FUNCTION_INFO_V1(pa_request_power_off);
PG_FUNCTION_INFO_V1(pa_request_refresh);
PG_FUNCTION_INFO_V1(pa_request_power_on_set);
PG_FUNCTION_INFO_V1(pa_request_power_off_set);
PG_FUNCTION_INFO_V1(pa_request_refresh_set);
PG_FUNCTION_INFO_V1(pa_request_cancel);
PG_FUNCTION_INFO_V1(pa_request_adopt);

/*
 * What the worker is told if the transaction commits.  A savepoint that is
 * rolled back may leave ids here that do not exist: it will not find them.
 */
static struct
{
	int64		low;			/* 0: no event */
	int64		high;
	bool		cancellations;
} at_commit;

/* How the events of a call failed that never became jobs. */
typedef struct Failures
{
	int64		events;
	int64		failed;
	int64		first_event;
	char	   *first_code;
	char	   *first_message;
	text	   *not_found;		/* the first cluster id of that kind */
} Failures;

/* ----------------------------------------------------------------------
 * At the end of the transaction
 * ----------------------------------------------------------------------
 */
static void
transaction_ends(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
			/* first: what is both requested and cancelled is not to be sent */
			if (at_commit.cancellations)
				pa_shared_notify_cancellation(MyDatabaseId);
			if (at_commit.low != 0)
				pa_shared_notify_requests(MyDatabaseId, at_commit.low,
										  at_commit.high);
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			/* the worker finds what was prepared by looking now and then */
			break;
		default:
			return;
	}
	memset(&at_commit, 0, sizeof(at_commit));
}

/*
 * What is visible must be durable before the worker acts on it, whatever
 * synchronous_commit says.
 */
static void
expect_commit(void)
{
	static bool registered = false;

	if (!registered)
	{
		RegisterXactCallback(transaction_ends, NULL);
		registered = true;
	}
	ForceSyncCommit();
}

static void
wake_for_event(int64 event_id)
{
	if (at_commit.low == 0 || event_id < at_commit.low)
		at_commit.low = event_id;
	if (event_id > at_commit.high)
		at_commit.high = event_id;
}

/* ----------------------------------------------------------------------
 * Arguments
 * ----------------------------------------------------------------------
 */
void
pa_request_check_possible(const char *function)
{
	if (!pa_shared_available())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s needs power_action to be preloaded", function),
				 errhint("Add power_action to shared_preload_libraries and restart the server.")));

	PreventCommandDuringRecovery(function);
	PreventCommandIfReadOnly(function);
}

static void
check_cluster_id(const char *argument, const text *cluster_id)
{
	pa_argument_check_text(argument, cluster_id, MAX_CLUSTER_ID, true);
	pa_argument_check_not_empty(argument, cluster_id);
}

/*
 * A request that comes too late.  One that is repeated safely is not: its
 * event was requested in time.  So with a request_key this is known only when
 * the event was looked for; "missing" is a cluster for which there is none.
 */
static void
check_in_time(const PaRequest *request, const text *missing)
{
	if (request->expires_at > request->requested_at)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("argument \"expires_at\" must be later than now: %s",
					timestamptz_to_str(request->expires_at)),
			 missing ?
			 errdetail("There is no event with this request_key for cluster \"%s\".",
					   text_to_cstring(missing)) : 0));
}

static void
check_request(const PaRequest *request)
{
	pa_argument_check_text("triggered_by", request->triggered_by,
						  MAX_TRIGGERED_BY, false);
	pa_argument_check_not_empty("triggered_by", request->triggered_by);
	if (request->description)
		pa_argument_check_text("description", request->description,
							  MAX_DESCRIPTION, false);
	if (request->request_key)
	{
		pa_argument_check_text("request_key", request->request_key,
							  MAX_REQUEST_KEY, false);
		pa_argument_check_not_empty("request_key", request->request_key);
	}
	if (request->request_key == NULL)
		check_in_time(request, NULL);
	if (request->expires_at <= request->not_before)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"expires_at\" must be later than \"not_before\": %s",
						timestamptz_to_str(request->expires_at))));
}

/* ----------------------------------------------------------------------
 * Requests
 * ----------------------------------------------------------------------
 */
static const char *
verb(PaAction action)
{
	switch (action)
	{
		case PA_ACTION_POWER_ON:
			return "power on";
		case PA_ACTION_POWER_OFF:
			return "power off";
		default:
			return "refresh";
	}
}

/* "known": the name of a server that exists, or NULL. */
static bool
server_exists(const text *server_name, const text **known)
{
	if (*known != NULL &&
		pa_request_item_compare_texts(server_name, *known) == 0)
		return true;
	if (!pa_agent_server_exists(text_to_cstring(server_name)))
		return false;
	*known = server_name;
	return true;
}

/* Sets error_code and error_message of an item that cannot be done. */
static void
judge(const PaRequest *request, PaRequestItem *item, const text **known_server)
{
	if (!item->found)
	{
		item->error_code = "NOT_FOUND";
		item->error_message =
			psprintf("cluster \"%s\" does not exist",
					 text_to_cstring(item->cluster_id));
		return;
	}

	if (!item->may_operate)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to %s cluster \"%s\"",
						verb(request->action),
						text_to_cstring(item->cluster_id)),
				 errhint("It takes power_action.grant_operator for account \"%s\".",
						 text_to_cstring(item->account_name))));

	if (item->terminated)
		item->error_message = psprintf("cluster \"%s\" is terminated",
									   text_to_cstring(item->cluster_id));
	else if (item->instances_live == 0)
		item->error_message = psprintf("cluster \"%s\" has no instances, or only terminated ones",
									   text_to_cstring(item->cluster_id));
	else if (!server_exists(item->server_name, known_server))
		item->error_message = psprintf("server \"%s\" of account \"%s\" is not a foreign server of power_agent",
									   text_to_cstring(item->server_name),
									   text_to_cstring(item->account_name));
	if (item->error_message)
		item->error_code = "FAILED_PRECONDITION";
}

/* In the transaction that finishes an event, its end is notified. */
static void
notify_failed(const PaRequest *request, int64 event_id)
{
	char		payload[128];

	snprintf(payload, sizeof(payload),
			 "{\"event_id\":" INT64_FORMAT ",\"action\":\"%s\",\"status\":\"failed\"}",
			 event_id, pa_action_name(request->action));
	Async_Notify("power_action", payload);
}

static int
compare_items(const void *one, const void *other)
{
	return pa_request_item_compare_texts(
		(*(PaRequestItem *const *) one)->cluster_id,
		(*(PaRequestItem *const *) other)->cluster_id);
}

/*
 * Requests an action for some clusters, each of which is there only once.
 * The items have nothing but their cluster_id.  "failures" is added to; what
 * it points to is allocated in "lasting".
 */
static void
request_chunk(const PaRequest *request, PaRequestItem **items, int count,
			  Failures *failures, MemoryContext lasting)
{
	PaRequestItem **sorted = palloc(sizeof(PaRequestItem *) * count);
	const text *known_server = NULL;

	memcpy(sorted, items, sizeof(PaRequestItem *) * count);
	if (count > 1)
		qsort(sorted, count, sizeof(PaRequestItem *), compare_items);

	pa_request_target_find(sorted, count);
	for (int i = 0; i < count; i++)
		judge(request, items[i], &known_server);
	pa_request_store_insert(request, items, sorted, count);

	for (int i = 0; i < count; i++)
	{
		const PaRequestItem *item = items[i];

		failures->events++;
		if (item->repeated)
			continue;
		/* all that was inserted goes with the error */
		check_in_time(request, item->cluster_id);
		if (item->error_code == NULL)
		{
			wake_for_event(item->event_id);
			continue;
		}
		notify_failed(request, item->event_id);
		if (failures->failed++ == 0)
		{
			failures->first_event = item->event_id;
			failures->first_code = MemoryContextStrdup(lasting,
													   item->error_code);
			failures->first_message = MemoryContextStrdup(lasting,
														  item->error_message);
		}
		if (!item->found && failures->not_found == NULL)
		{
			MemoryContext chunk = MemoryContextSwitchTo(lasting);

			failures->not_found = (text *)
				PG_DETOAST_DATUM_COPY(PointerGetDatum(item->cluster_id));
			MemoryContextSwitchTo(chunk);
		}
	}
}

/* Before the first event of a transaction gets its id. */
static void
begin_request(void)
{
	/*
	 * A transaction id first, then the event ids: whoever has a snapshot in
	 * which this transaction is over has seen all ids below its own.
	 */
	(void) GetTopTransactionId();
	expect_commit();
}

/* One WARNING for all that failed, one for what has to wait. */
static void
warn_of(const Failures *failures)
{
	char	   *meant = NULL;

	if (failures->failed > 0 && failures->not_found)
		meant = pa_request_target_id_of_name(failures->not_found);

	if (failures->failed > 0 && failures->events == 1)
		ereport(WARNING,
				(errmsg("event " INT64_FORMAT " failed: %s",
						failures->first_event, failures->first_message),
				 meant ? errhint("Did you mean cluster id \"%s\"?", meant) : 0));
	else if (failures->failed > 0)
		ereport(WARNING,
				(errmsg(INT64_FORMAT " of " INT64_FORMAT " events failed",
						failures->failed, failures->events),
				 errdetail("The first is event " INT64_FORMAT ": %s.",
						   failures->first_event, failures->first_message),
				 meant ? errhint("Did you mean cluster id \"%s\"?", meant) : 0));
}

static void
warn_if_disabled(int64 waiting)
{
	if (!pa_enabled && waiting > 0)
		ereport(WARNING,
				(errmsg_plural("power_action.enabled is off: the action waits until it is on",
							   "power_action.enabled is off: the actions wait until it is on",
							   (unsigned long) waiting)));
}

int64
pa_request_one(const PaRequest *request, text *cluster_id, bool warn)
{
	PaRequestItem item = {.cluster_id = cluster_id};
	PaRequestItem *items = &item;
	Failures	failures = {0};

	check_cluster_id("cluster_id", cluster_id);
	check_request(request);

	begin_request();
	request_chunk(request, &items, 1, &failures, CurrentMemoryContext);
	if (warn)
		warn_of(&failures);
	warn_if_disabled(item.repeated ? 0 : 1 - failures.failed);
	return item.event_id;
}

/* Reads the arguments from the second on, which all forms have in common. */
static void
read_arguments(FunctionCallInfo fcinfo, PaAction action, PaRequest *request)
{
	request->action = action;
	request->requested_at = GetCurrentTimestamp();
	request->triggered_by = PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_PP(1);
	request->description = PG_ARGISNULL(2) ? NULL : PG_GETARG_TEXT_PP(2);
	request->not_before = DT_NOBEGIN;
	request->expires_at = DT_NOEND;
	if (!PG_ARGISNULL(3))
	{
		request->not_before = PG_GETARG_TIMESTAMPTZ(3);
		pa_argument_check_time("not_before", request->not_before);
	}
	if (!PG_ARGISNULL(4))
	{
		request->expires_at = PG_GETARG_TIMESTAMPTZ(4);
		pa_argument_check_time("expires_at", request->expires_at);
	}
	pa_argument_check_not_null("priority", PG_ARGISNULL(5));
	request->priority = pa_argument_small("priority", PG_GETARG_INT32(5));
	request->request_key = PG_ARGISNULL(6) ? NULL : PG_GETARG_TEXT_PP(6);
}

static Datum
request_one(FunctionCallInfo fcinfo, PaAction action)
{
	PaRequest	request;

	pa_request_check_possible(psprintf("%s()", pa_action_name(action)));
	read_arguments(fcinfo, action, &request);
	PG_RETURN_INT64(pa_request_one(&request,
								   PG_ARGISNULL(0) ? NULL :
								   PG_GETARG_TEXT_PP(0), true));
}

/* ----------------------------------------------------------------------
 * Many clusters
 * ----------------------------------------------------------------------
 */
typedef struct ListedId
{
	text	   *cluster_id;
	int			position;
} ListedId;

static int
compare_ids(const void *one, const void *other)
{
	const ListedId *a = one;
	const ListedId *b = other;
	int			order = pa_request_item_compare_texts(a->cluster_id,
													 b->cluster_id);

	return order != 0 ? order : (a->position > b->position) -
		(a->position < b->position);
}

static int
compare_positions(const void *one, const void *other)
{
	const ListedId *a = one;
	const ListedId *b = other;

	return (a->position > b->position) - (a->position < b->position);
}

/*
 * The ids of an array, checked, each once.  In the order of the array, or
 * sorted: then two sessions that use the same keys wait for each other in the
 * same order and never in a circle.
 */
static ListedId *
read_ids(ArrayType *array, bool sorted, int *count)
{
	Datum	   *elements;
	bool	   *nulls;
	int			length;
	int			unique = 0;
	ListedId   *ids;

	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"cluster_ids\" must have one dimension, not %d",
						ARR_NDIM(array))));
	length = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	if (length > MAX_CLUSTERS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"cluster_ids\" has too many elements: %d",
						length),
				 errdetail("%d are allowed.", MAX_CLUSTERS)));

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements,
					  &nulls, &length);
	ids = palloc(sizeof(ListedId) * Max(length, 1));
	for (int i = 0; i < length; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("argument \"cluster_ids\" must not have null elements: element %d",
							i + 1)));
		ids[i].cluster_id = DatumGetTextPP(elements[i]);
		ids[i].position = i;
		check_cluster_id("cluster_ids", ids[i].cluster_id);
	}

	qsort(ids, length, sizeof(ListedId), compare_ids);
	for (int i = 0; i < length; i++)
		if (i == 0 ||
			pa_request_item_compare_texts(ids[unique - 1].cluster_id,
										 ids[i].cluster_id) != 0)
			ids[unique++] = ids[i];
	if (!sorted)
		qsort(ids, unique, sizeof(ListedId), compare_positions);

	*count = unique;
	return ids;
}

static void
return_items(ReturnSetInfo *rows, PaRequestItem **items, int count)
{
	for (int i = 0; i < count; i++)
	{
		const PaRequestItem *item = items[i];
		const char *status = item->status;
		Datum		values[4];
		bool		nulls[4] = {false, false, false, item->error_code == NULL};

		if (status == NULL)
			status = item->error_code ? "failed" : "pending";
		values[0] = PointerGetDatum(item->cluster_id);
		values[1] = Int64GetDatum(item->event_id);
		values[2] = CStringGetTextDatum(status);
		values[3] = nulls[3] ? 0 : CStringGetTextDatum(item->error_code);
		tuplestore_putvalues(rows->setResult, rows->setDesc, values, nulls);
	}
}

static Datum
request_set(FunctionCallInfo fcinfo, PaAction action)
{
	ReturnSetInfo *rows = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext lasting = CurrentMemoryContext;
	MemoryContext chunk_context;
	PaRequest	request;
	Failures	failures = {0};
	ListedId   *ids;
	int			count;
	int64		waiting = 0;

	pa_request_check_possible(psprintf("%s()", pa_action_name(action)));
	InitMaterializedSRF(fcinfo, 0);
	read_arguments(fcinfo, action, &request);
	pa_argument_check_not_null("cluster_ids", PG_ARGISNULL(0));
	ids = read_ids(PG_GETARG_ARRAYTYPE_P(0), request.request_key != NULL,
				   &count);
	check_request(&request);
	if (count == 0)
		return (Datum) 0;

	begin_request();
	chunk_context = AllocSetContextCreate(lasting, "power_action requests",
										  ALLOCSET_DEFAULT_SIZES);
	for (int first = 0; first < count; first += CHUNK_SIZE)
	{
		int			length = Min(CHUNK_SIZE, count - first);
		PaRequestItem *items;
		PaRequestItem **pointers;

		MemoryContextSwitchTo(chunk_context);
		items = palloc0(sizeof(PaRequestItem) * length);
		pointers = palloc(sizeof(PaRequestItem *) * length);
		for (int i = 0; i < length; i++)
		{
			items[i].cluster_id = ids[first + i].cluster_id;
			pointers[i] = &items[i];
		}
		request_chunk(&request, pointers, length, &failures, lasting);
		return_items(rows, pointers, length);
		for (int i = 0; i < length; i++)
			if (!items[i].repeated && items[i].error_code == NULL)
				waiting++;
		MemoryContextSwitchTo(lasting);
		MemoryContextReset(chunk_context);
	}
	warn_of(&failures);
	warn_if_disabled(waiting);
	return (Datum) 0;
}

Datum
pa_request_power_on(PG_FUNCTION_ARGS)
{
	return request_one(fcinfo, PA_ACTION_POWER_ON);
}

Datum
pa_request_power_off(PG_FUNCTION_ARGS)
{
	return request_one(fcinfo, PA_ACTION_POWER_OFF);
}

Datum
pa_request_refresh(PG_FUNCTION_ARGS)
{
	return request_one(fcinfo, PA_ACTION_REFRESH);
}

Datum
pa_request_power_on_set(PG_FUNCTION_ARGS)
{
	return request_set(fcinfo, PA_ACTION_POWER_ON);
}

Datum
pa_request_power_off_set(PG_FUNCTION_ARGS)
{
	return request_set(fcinfo, PA_ACTION_POWER_OFF);
}

Datum
pa_request_refresh_set(PG_FUNCTION_ARGS)
{
	return request_set(fcinfo, PA_ACTION_REFRESH);
}

/* ----------------------------------------------------------------------
 * cancel and adopt
 * ----------------------------------------------------------------------
 */
Datum
pa_request_cancel(PG_FUNCTION_ARGS)
{
	int64		event_id;
	text	   *cancelled_by = PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_PP(1);
	text	   *reason = PG_ARGISNULL(2) ? NULL : PG_GETARG_TEXT_PP(2);
	PaEventState event;

	pa_request_check_possible("cancel()");
	pa_argument_check_not_null("event_id", PG_ARGISNULL(0));
	event_id = PG_GETARG_INT64(0);
	pa_argument_check_text("cancelled_by", cancelled_by, MAX_TRIGGERED_BY,
						  false);
	pa_argument_check_not_empty("cancelled_by", cancelled_by);
	if (reason)
		pa_argument_check_text("reason", reason, MAX_DESCRIPTION, false);

	if (!pa_event_store_read(event_id, &event))
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("event " INT64_FORMAT " does not exist", event_id)));
	if (!event.final)
	{
		if (!pa_inventory_may_operate(event.account_name))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied to cancel event " INT64_FORMAT,
							event_id),
					 errhint("It takes power_action.grant_operator for account \"%s\".",
							 text_to_cstring(event.account_name))));
		pa_event_store_cancel(event_id, cancelled_by, reason);
		expect_commit();
		at_commit.cancellations = true;
	}
	PG_RETURN_TEXT_P(cstring_to_text(event.status));
}

Datum
pa_request_adopt(PG_FUNCTION_ARGS)
{
	int64		low;
	int64		high;
	int64		count;

	pa_request_check_possible("adopt()");
	if (!pa_inventory_caller_is_owner())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to adopt jobs"),
				 errhint("Only the owner of the extension and superusers may.")));

	count = pa_event_store_adopt(&low, &high);
	if (count > 0)
	{
		expect_commit();
		wake_for_event(low);
		wake_for_event(high);
	}
	PG_RETURN_INT64(count);
}
