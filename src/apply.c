/*-------------------------------------------------------------------------
 *
 * src/apply.c
 *		Units and their way into the tables.  See apply.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/async.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "apply.h"
#include "backoff.h"
#include "extension_info.h"
#include "settings.h"
#include "worker_transaction.h"

#define UNITS_AT_ONCE		512
#define STATEMENT_LIMIT_MS	5000	/* of the transaction that writes a batch */
#define INSTANCES_PER_MS	10		/* that it is longer, if there are many */
#define ALONE_LIMIT_MS		300		/* for units that go alone, in one cycle */
#define DEFER_INITIAL_MS	50
#define DEFER_MAX_MS		30000
#define NOTIFY_CHANNEL		"power_action"
#define NOTIFY_QUEUE_FULL	0.9

static dlist_head pending;
static int	pending_count;
static int64 finished_events;
static int	deferred_units;
static int	troubled_units;		/* of those that are pending */
static int	logged_trouble;		/* SQLSTATE of their last error; 0: none */
static int64 failed_transactions;
static bool notify_skipped;		/* of the present streak, one was logged */
static bool notify_suspended;	/* in the next transaction */

void
pa_apply_init(void)
{
	dlist_init(&pending);
	pending_count = 0;
}

/*
 * Making units
 */

PaUnit *
pa_unit_make(PaCluster *cluster)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext,
												  "power_action unit",
												  ALLOCSET_SMALL_SIZES);
	PaUnit	   *unit = MemoryContextAllocZero(context, sizeof(PaUnit));

	unit->context = context;
	unit->cluster = cluster;
	unit->wait_until = PA_INSTANT_NEVER;
	unit->next_try = PA_INSTANT_PAST;
	return unit;
}

PaOutcome *
pa_unit_add(PaUnit *unit, PaJob *job, PaEventStatus status)
{
	MemoryContext old = MemoryContextSwitchTo(unit->context);
	PaOutcome  *outcome = palloc0(sizeof(PaOutcome));

	if (unit->outcome_count == unit->outcome_room)
	{
		unit->outcome_room = Max(4, unit->outcome_room * 2);
		if (unit->outcomes == NULL)
			unit->outcomes = palloc(sizeof(PaOutcome *) * unit->outcome_room);
		else
			unit->outcomes = repalloc(unit->outcomes, sizeof(PaOutcome *) *
									  unit->outcome_room);
	}
	unit->outcomes[unit->outcome_count++] = outcome;

	outcome->event_id = job->event_id;
	outcome->event_row = job->event_row;
	outcome->job_row = job->job_row;
	outcome->action = job->action;
	outcome->status = status;
	outcome->agent_result = job->agent_result;
	outcome->attempts = job->attempts;
	outcome->requested_at = job->requested_at;
	outcome->started_at = job->started_at;
	outcome->finished_at = pa_unit_time(outcome, GetCurrentTimestamp());
	outcome->instances_total = -1;
	outcome->instances_done = -1;
	outcome->retry_at = DT_NOBEGIN;
	outcome->cancellation_done = job->cancelled_by != NULL;
	/* an outcome without a call is not part of its cluster's turn */
	if (unit->cluster == NULL)
		pa_queue_detach_job(job);
	MemoryContextSwitchTo(old);
	return outcome;
}

TimestampTz
pa_unit_time(const PaOutcome *outcome, TimestampTz time)
{
	return Max(time, Max(outcome->requested_at, outcome->started_at));
}

char *
pa_unit_strdup(PaUnit *unit, const char *text)
{
	return text ? MemoryContextStrdup(unit->context, text) : NULL;
}

void
pa_unit_fail(PaUnit *unit, PaOutcome *outcome, PaErrorSource source,
			 const char *code, const char *message)
{
	outcome->status = PA_EVENT_FAILED;
	outcome->error_source = source;
	outcome->error_code = pa_unit_strdup(unit, code);
	outcome->error_message = pa_unit_strdup(unit, message);
}

void
pa_unit_cancel(PaUnit *unit, PaOutcome *outcome, int64 superseded_by,
			   const char *cancelled_by, const char *reason)
{
	outcome->status = PA_EVENT_CANCELLED;
	outcome->superseded_by = superseded_by;
	outcome->cancelled_by = pa_unit_strdup(unit, cancelled_by);
	outcome->cancel_reason = pa_unit_strdup(unit, reason);
}

void
pa_unit_submit(PaUnit *unit)
{
	if (unit->cluster)
		pa_queue_write(unit->cluster);
	dlist_push_tail(&pending, &unit->node);
	pending_count++;
}

/*
 * Writing
 */

/* A notification for everybody who listens: no more than that it is done. */
static void
notify_finished(PaUnit **units, int count)
{
	double		usage;

	if (notify_suspended)
		return;
	usage = DatumGetFloat8(OidFunctionCall0(F_PG_NOTIFICATION_QUEUE_USAGE));
	if (usage >= NOTIFY_QUEUE_FULL)
	{
		if (!notify_skipped)
			ereport(LOG,
					(errmsg("power_action finishes events without NOTIFY: the notification queue is nearly full"),
					 errhint("A session listens in a transaction that is open for a long time.")));
		notify_skipped = true;
		return;
	}
	notify_skipped = false;

	for (int u = 0; u < count; u++)
	{
		for (int i = 0; i < units[u]->outcome_count; i++)
		{
			const PaOutcome *outcome = units[u]->outcomes[i];
			char		payload[128];

			if (outcome->status < PA_EVENT_SUCCESS)
				continue;
			snprintf(payload, sizeof(payload),
					 "{\"event_id\":" INT64_FORMAT ",\"action\":\"%s\",\"status\":\"%s\"}",
					 outcome->event_id, pa_action_name(outcome->action),
					 pa_event_status_name(outcome->status));
			Async_Notify(NOTIFY_CHANNEL, payload);
		}
	}
}

/*
 * Locks the clusters that are to be changed, or writes them at once.  Units
 * whose cluster is locked by others are moved to the end of the array; returns
 * how many are left.  A cluster that is gone has nothing to be changed.
 */
static int
lock_clusters(PaUnit **units, int count)
{
	PaClusterChange **changes = palloc(sizeof(PaClusterChange *) * count);
	PaUnit	  **changed = palloc(sizeof(PaUnit *) * count);
	const char **ids = palloc(sizeof(char *) * count);
	bool	   *found = palloc(sizeof(bool) * count);
	int			wanted = 0;
	int			open = 0;
	int			missed = 0;
	int			kept = 0;
	bool		at_once = true;
	PaUnit	  **deferred = palloc(sizeof(PaUnit *) * count);
	int			deferred_count = 0;

	for (int i = 0; i < count; i++)
	{
		units[i]->lock_wait = false;
		if (units[i]->change == NULL)
			continue;
		changed[wanted] = units[i];
		changes[wanted++] = units[i]->change;
		units[i]->change->written = false;
		/* several changes of one cluster are settled once it is locked */
		at_once &= !units[i]->alone && units[i]->cluster != NULL;
	}
	if (wanted == 0)
		return count;

	if (at_once)
		pa_cluster_store_write_unlocked(changes, wanted);
	for (int w = 0; w < wanted; w++)
	{
		if (changes[w]->written)
			continue;
		changed[open] = changed[w];
		changes[open++] = changes[w];
	}
	if (open == 0)
		return count;
	pa_cluster_store_lock(changes, open);
	for (int w = 0; w < open; w++)
		if (!changes[w]->locked)
		{
			ids[missed] = changes[w]->cluster_id;
			changed[missed++] = changed[w];
		}
	if (missed == 0)
		return count;

	pa_cluster_store_find(ids, missed, found);
	for (int m = 0; m < missed; m++)
	{
		/*
		 * What is nobody's turn must not come after what is known later; the
		 * agent is asked all the same.
		 */
		changed[m]->lock_wait = found[m] && changed[m]->cluster != NULL;
		if (!changed[m]->lock_wait)
			changed[m]->change = NULL;
	}

	for (int i = 0; i < count; i++)
	{
		if (units[i]->lock_wait)
			deferred[deferred_count++] = units[i];
		else
			units[kept++] = units[i];
	}
	memcpy(units + kept, deferred, sizeof(PaUnit *) * deferred_count);
	return kept;
}

/*
 * Requests to refresh the clusters of which nobody knows what they are now.
 * They go through the queue like those of users, so they outlive the worker
 * and wait for an agent that cannot be reached.
 */
static PaEventRange
ask_for_unresolved(PaUnit **units, int count)
{
	const char **ids = palloc(sizeof(char *) * Max(count, 1));
	int64	   *events = palloc(sizeof(int64) * Max(count, 1));
	PaEventRange range = {0, 0};
	int			wanted = 0;

	for (int u = 0; u < count; u++)
	{
		if (units[u]->unresolved == 0)
			continue;
		ids[wanted] = units[u]->unresolved_cluster;
		events[wanted++] = units[u]->unresolved;
	}
	if (wanted > 0)
		pa_outcome_store_request_refreshes(ids, events, wanted, &range.low,
										   &range.high);
	return range;
}

/*
 * How long the transaction that writes these units may take, in ms.  A cluster
 * may have so many instances that its unit never came through otherwise.
 */
static int
time_limit(PaUnit **units, int count)
{
	int64		instances = 0;

	for (int i = 0; i < count; i++)
		if (units[i]->change)
			instances += units[i]->change->instance_count;
	return STATEMENT_LIMIT_MS +
		(int) Min(instances / INSTANCES_PER_MS, PG_INT32_MAX / 2);
}

/*
 * One transaction for these units.  Returns how many of them were written:
 * those at the front of the array.
 */
static int
write_units(PaUnit **units, int count)
{
	int			kept;
	int			outcome_count = 0;
	int			change_count = 0;
	bool		may_repeat = false;
	int			answered = 0;
	PaOutcome **outcomes;
	PaClusterChange **changes;
	int64	   *cancellations;
	PaEventRange asked;

	pa_worker_begin_transaction();
	enable_timeout_after(STATEMENT_TIMEOUT, time_limit(units, count));

	kept = lock_clusters(units, count);
	for (int i = 0; i < kept; i++)
		outcome_count += units[i]->outcome_count;
	outcomes = palloc(sizeof(PaOutcome *) * Max(outcome_count, 1));
	cancellations = palloc(sizeof(int64) * Max(outcome_count, 1));
	changes = palloc(sizeof(PaClusterChange *) * Max(kept, 1));

	outcome_count = 0;
	for (int u = 0; u < kept; u++)
	{
		if (units[u]->change)
		{
			changes[change_count++] = units[u]->change;
			may_repeat |= units[u]->cluster == NULL;
		}
		for (int i = 0; i < units[u]->outcome_count; i++)
		{
			PaOutcome  *outcome = units[u]->outcomes[i];

			outcomes[outcome_count++] = outcome;
			if (outcome->cancellation_done &&
				outcome->status >= PA_EVENT_SUCCESS)
				cancellations[answered++] = outcome->event_id;
		}
	}

	if (may_repeat)
		change_count = pa_cluster_store_drop_earlier(changes, change_count);
	pa_cluster_store_write(changes, change_count);
	pa_outcome_store_write_events(outcomes, outcome_count);
	if (answered > 0)
		pa_outcome_store_forget_cancellations(cancellations, answered);
	asked = ask_for_unresolved(units, kept);
	if (outcome_count > 0)
		notify_finished(units, kept);

	disable_timeout(STATEMENT_TIMEOUT, false);
	pa_worker_commit_transaction();
	if (asked.low != 0)
		pa_shared_notify_requests(MyDatabaseId, asked.low, asked.high);
	return kept;
}

/* The queue after a unit was written; the unit is freed. */
static void
finish_unit(PaUnit *unit)
{
	PaCluster  *cluster = unit->cluster;

	for (int i = 0; i < unit->outcome_count; i++)
	{
		const PaOutcome *outcome = unit->outcomes[i];
		PaJob	   *job = pa_queue_find_job(outcome->event_id);

		if (outcome->status >= PA_EVENT_SUCCESS)
		{
			finished_events++;
			pa_shared_event_broadcast(outcome->event_id);
			if (job)
				pa_queue_drop_job(job);
		}
		else if (job)
		{
			job->attempts = outcome->attempts;
			job->started_at = outcome->started_at;
			job->agent_result = outcome->agent_result;
			ItemPointerSetInvalid(&job->event_row);
			ItemPointerSetInvalid(&job->job_row);
			pa_queue_set_retry(job, outcome->retry_at);
		}
	}

	if (cluster == NULL)
		 /* nobody's turn ends with it */ ;
	else if (unit->wait_until != PA_INSTANT_NEVER && cluster->confirming &&
			 !dlist_is_empty(&cluster->jobs) &&
			 pa_queue_first_job(cluster)->in_call)
		pa_queue_wait(cluster, unit->wait_until);
	else
	{
		/* what is left, and when it may go on, is decided by loading */
		pa_queue_drop_call_data(cluster);
		if (cluster->reload || !dlist_is_empty(&cluster->jobs))
			pa_queue_load(cluster);
		else
			pa_queue_drop_cluster(cluster);
	}
	MemoryContextDelete(unit->context);
}

/*
 * An error that passes by itself, such as a full disk.  Said once for all the
 * units that meet it, until every one of them is written.  A lock is no error:
 * "activity" shows who waits for one.
 */
static void
note_trouble(PaUnit *unit, const ErrorData *error)
{
	if (unit->lock_wait)
		return;
	if (!unit->troubled)
		troubled_units++;
	unit->troubled = true;
	if (error->sqlerrcode == logged_trouble)
		return;
	logged_trouble = error->sqlerrcode;
	ereport(LOG,
			(errcode(error->sqlerrcode),
			 errmsg("power_action cannot write outcomes at present: %s",
					error->message),
			 errdetail("The first is that of event " INT64_FORMAT ".",
					   unit->outcome_count > 0 ?
					   unit->outcomes[0]->event_id : INT64CONST(0)),
			 errhint("They are kept and written later, tried at growing intervals of up to %d s; the same error is not logged again.",
					 DEFER_MAX_MS / 1000),
			 error->context ? errcontext("%s", error->context) : 0));
}

static void
forget_trouble(PaUnit *unit)
{
	if (!unit->troubled)
		return;
	unit->troubled = false;
	if (--troubled_units > 0)
		return;
	logged_trouble = 0;
	ereport(LOG,
			(errmsg("power_action has written all outcomes that could not be written")));
}

/* Not now: the unit comes again, later each time. */
static void
defer_unit(PaUnit *unit, PaInstant now)
{
	unit->failures++;
	unit->next_try = pa_clock_after(now, 1 +
		pa_backoff_delay(DEFER_INITIAL_MS, DEFER_MAX_MS, unit->failures, 1.0));
	dlist_push_tail(&pending, &unit->node);
	pending_count++;
}

/* Errors that pass by themselves: another try may succeed. */
static bool
error_is_transient(int sqlstate)
{
	int			category = ERRCODE_TO_CATEGORY(sqlstate);

	return category == ERRCODE_TRANSACTION_ROLLBACK ||	/* class 40 */
		category == ERRCODE_INSUFFICIENT_RESOURCES ||	/* class 53 */
		sqlstate == ERRCODE_LOCK_NOT_AVAILABLE ||
		sqlstate == ERRCODE_QUERY_CANCELED;
}

/*
 * A unit that the database refuses: its events fail with the error, and what
 * the agent said of the cluster is left to a later refresh.
 */
static void
give_up_writing(PaUnit *unit, const ErrorData *error)
{
	unit->change = NULL;
	unit->unresolved = 0;
	/* an event that does not fail is asked for again, not ordered again */
	if (unit->outcome_count > 0)
		unit->wait_until = PA_INSTANT_NEVER;
	for (int i = 0; i < unit->outcome_count; i++)
	{
		PaOutcome  *outcome = unit->outcomes[i];

		/* a call made is an attempt, written or not */
		outcome->attempt_failed = false;
		if (outcome->status == PA_EVENT_CANCELLED)
			continue;
		pa_unit_fail(unit, outcome, PA_ERROR_DATABASE,
					 unpack_sql_state(error->sqlerrcode), error->message);
	}
}

/*
 * Writes units and sees to those that could not be.  Never raises for what a
 * unit is to blame for.
 */
static int
write_or_defer(PaUnit **units, int count, PaInstant now)
{
	MemoryContext caller = CurrentMemoryContext;
	volatile int written = 0;
	ErrorData  *volatile error = NULL;

	PG_TRY();
	{
		written = write_units(units, count);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		disable_timeout(STATEMENT_TIMEOUT, false);
		AbortCurrentTransaction();
		MemoryContextSwitchTo(caller);
	}
	PG_END_TRY();

	/* at commit, the queue of NOTIFY may turn out to be full */
	if (error != NULL && !notify_suspended &&
		error->sqlerrcode == ERRCODE_PROGRAM_LIMIT_EXCEEDED)
	{
		notify_suspended = true;
		error->sqlerrcode = ERRCODE_INSUFFICIENT_RESOURCES;
	}
	else
		notify_suspended = false;

	if (error == NULL)
	{
		for (int i = 0; i < written; i++)
		{
			forget_trouble(units[i]);
			finish_unit(units[i]);
		}
		for (int i = written; i < count; i++)
			defer_unit(units[i], now);
		return written;
	}

	failed_transactions++;

	/* the blame is found by writing each alone */
	if (count > 1)
	{
		for (int i = 0; i < count; i++)
		{
			units[i]->alone = true;
			dlist_push_tail(&pending, &units[i]->node);
			pending_count++;
		}
		return 0;
	}

	units[0]->lock_wait = error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE;
	if (error_is_transient(error->sqlerrcode))
		note_trouble(units[0], error);
	else
	{
		bool		refused_before = units[0]->change == NULL &&
			units[0]->failures > 0;

		if (!refused_before)
			ereport(LOG,
					(errmsg("power_action could not write the outcome of event " INT64_FORMAT ": %s",
							units[0]->outcome_count > 0 ?
							units[0]->outcomes[0]->event_id : INT64CONST(0),
							error->message),
					 error->context ? errcontext("%s", error->context) : 0));
		give_up_writing(units[0], error);
		if (!refused_before)
			units[0]->failures = 0;
	}
	defer_unit(units[0], now);
	return 0;
}

int
pa_apply_pending(void)
{
	PaInstant	now = pa_clock_now();
	PaUnit	  **batch = palloc(sizeof(PaUnit *) * UNITS_AT_ONCE);
	PaUnit	  **alone = palloc(sizeof(PaUnit *) * UNITS_AT_ONCE);
	int			batch_count = 0;
	int			alone_count = 0;
	int			written = 0;
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &pending)
	{
		PaUnit	   *unit = dlist_container(PaUnit, node, iter.cur);

		if (unit->next_try > now)
			continue;
		if (unit->alone ? alone_count == UNITS_AT_ONCE :
			batch_count == UNITS_AT_ONCE)
			continue;
		dlist_delete(&unit->node);
		pending_count--;
		if (unit->alone)
			alone[alone_count++] = unit;
		else
			batch[batch_count++] = unit;
	}

	if (batch_count > 0)
		written += write_or_defer(batch, batch_count, now);
	/*
	 * Nothing here may raise: what was taken out of the list would be lost.
	 * Units that wait for a lock each must not keep everything else waiting.
	 */
	for (int i = 0; i < alone_count; i++)
	{
		if (i > 0 && pa_clock_now() >= pa_clock_after(now, ALONE_LIMIT_MS))
		{
			dlist_push_tail(&pending, &alone[i]->node);
			pending_count++;
			continue;
		}
		written += write_or_defer(&alone[i], 1, now);
	}
	pfree(batch);
	pfree(alone);
	return written;
}

PaInstant
pa_apply_next_try(void)
{
	PaInstant	next = PA_INSTANT_NEVER;
	int64		lock_waits[PA_MAX_LOCK_WAITS];
	int			lock_wait_count = 0;
	dlist_iter	iter;

	deferred_units = 0;
	dlist_foreach(iter, &pending)
	{
		PaUnit	   *unit = dlist_container(PaUnit, node, iter.cur);

		next = Min(next, unit->next_try);
		if (unit->next_try == PA_INSTANT_PAST)
			continue;
		deferred_units++;
		for (int i = 0; unit->lock_wait && i < unit->outcome_count &&
			 lock_wait_count < PA_MAX_LOCK_WAITS; i++)
			lock_waits[lock_wait_count++] = unit->outcomes[i]->event_id;
	}
	pa_shared_publish_lock_waits(lock_waits, lock_wait_count);
	return next;
}

int64
pa_apply_finished_events(void)
{
	return finished_events;
}

int64
pa_apply_errors(void)
{
	return failed_transactions;
}

int
pa_apply_deferred_units(void)
{
	return deferred_units;
}
