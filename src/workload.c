/*-------------------------------------------------------------------------
 *
 * src/workload.c
 *		What a worker does in one cycle, and when it wants the next.
 *		See workload.h.
 *
 * The order within a cycle serves the overlap: first what the courier brought
 * is taken in, so that places are free; then the next calls are read and
 * sent; and while the agents work on those, the outcomes are written.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/twophase.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "apply.h"
#include "claim.h"
#include "clock.h"
#include "courier_link.h"
#include "dispatch.h"
#include "ending.h"
#include "outcome.h"
#include "phase.h"
#include "settings.h"
#include "wire_text.h"
#include "worker_transaction.h"
#include "workload.h"

/* All in milliseconds. */
#define LOOK_INTERVAL		1000	/* between looks for prepared transactions */
#define LOOK_INTERVAL_UNPREPARED 10000	/* where there can be none */
#define LOOK_SHARE			20	/* a look may take 1/20 of the time */
#define RUNNING_AFTER		100	/* calls that last longer are marked */
#define COURIER_GRACE		5000	/* after a deadline, before it is given up */
#define WATCH_INTERVAL		1000	/* between looks at the deadlines */
#define COURIER_BACKOFF		100
#define COURIER_BACKOFF_MAX 10000
#define COURIER_PROVEN		10000	/* a courier that lived so long is good */
#define PUBLISH_INTERVAL	100
#define PRUNE_INTERVAL		10000
#define PRUNE_BATCH			1000

static MemoryContext cycle_context;

static uint64 servers_version;	/* of what was read of the foreign servers */
static PaInstant next_look;
static bool cancellations_pending;	/* to be read */
static bool cancellations_fresh;	/* notified since they were read last */

static PaInstant next_watch;
static PaInstant next_courier_start;
static PaInstant courier_started;
static int	courier_failures;
static int64 courier_starts;

static int64 errors;			/* cycles that ended with an ERROR */
static PaInstant next_publish;
static PaInstant next_prune;
static int64 prune_bound;

static bool clock_set_back;		/* the jobs do not know of it yet */
static int64 set_back_by;		/* microseconds; 0: only jobs tell */

/* ms between two looks for what was not notified */
static int
look_interval(void)
{
	return max_prepared_xacts > 0 ? LOOK_INTERVAL : LOOK_INTERVAL_UNPREPARED;
}

static PaInstant
in_future(int64 ms)
{
	return pa_clock_after(pa_clock_now(), ms);
}

/*
 * The clock was set back, "by" microseconds, 0 if that was not seen.  What was
 * due stays due, in the order of the requests.  In a transaction of the
 * caller; returns until when something was due, "now" if nothing was moved.
 */
static TimestampTz
move_jobs_back(TimestampTz now, int64 by, int log_level)
{
	TimestampTz furthest;
	int64		moved = pa_outcome_store_move_back(now, &furthest);

	if (by > 0 || moved > 0)
		ereport(log_level,
				(errmsg("power_action found the clock set back by %.3f s",
						(by > 0 ? by : furthest - now) / 1000000.0),
				 errdetail("Actions that are due when they are requested stay due; moved back: " INT64_FORMAT ".",
						   moved)));
	return furthest;
}

void
pa_workload_begin(void)
{
	uint64		system = GetSystemIdentifier();
	int64		epoch;
	bool		moved;
	int64		set_back;
	TimestampTz now = pa_clock_watch(&set_back);

	cycle_context = AllocSetContextCreate(TopMemoryContext,
										  "power_action cycle",
										  ALLOCSET_DEFAULT_SIZES);
	pa_queue_init();
	pa_apply_init();
	pa_job_store_set_origin(system, MyDatabaseId);

	/* nothing is sent before the epoch is durable: no async commit here */
	pa_worker_begin_transaction();
	ForceSyncCommit();
	epoch = pa_outcome_store_next_epoch(system, MyDatabaseId, &moved);
	pa_worker_commit_transaction();
	if (moved)
		ereport(LOG,
				(errmsg("this database is a copy: power_action holds the jobs of the original"),
				 errhint("SELECT power_action.adopt() makes them this database's own.")));

	pa_dispatch_set_source(system, MyDatabaseId, (uint64) epoch);
	SetConfigOption("lock_timeout", "100ms", PGC_SUSET, PGC_S_OVERRIDE);

	/* a predecessor, or another server, may have had another time */
	pa_worker_begin_transaction();
	if (pa_job_store_any_ahead(now))
		now = move_jobs_back(now, 0, LOG);
	pa_worker_commit_transaction();

	pa_worker_begin_transaction();
	pa_wire_text_init();
	pa_claim_start(now);
	pa_worker_commit_transaction();
	next_look = in_future(look_interval());
	cancellations_pending = true;
}

/*
 * Taking in what the courier says
 */

static void
handle_frame(const Courier__Frame *frame)
{
	TimestampTz now = GetCurrentTimestamp();

	switch (frame->body_case)
	{
		case COURIER__FRAME__BODY_RESULT:
			pa_outcome_of_result(frame->result, now);
			break;
		case COURIER__FRAME__BODY_CONNECTIVITY:
			pa_dispatch_connectivity(frame->connectivity, now);
			break;
		case COURIER__FRAME__BODY_LOG:
			ereport(frame->log->level >= COURIER__LOG_LEVEL__LOG_LEVEL_WARNING ?
					LOG : DEBUG1,
					(errmsg_internal("power_action courier: %s",
									 pa_wire_text_decode(frame->log->message))));
			break;
		default:
			break;
	}
}

static void
courier_ended(TimestampTz now)
{
	if (pa_clock_now() >= pa_clock_after(courier_started, COURIER_PROVEN))
		courier_failures = 0;
	courier_failures++;
	next_courier_start = courier_failures == 1 ? PA_INSTANT_PAST :
		in_future(Min(COURIER_BACKOFF << Min(courier_failures, 10),
					  COURIER_BACKOFF_MAX));
	pa_dispatch_courier_lost(now);
	pa_outcome_of_lost_courier(now);
}

/* A courier that does not even report that a deadline has passed hangs. */
static void
watch_courier(TimestampTz now)
{
	dlist_iter	iter;
	PaInstant	instant = pa_clock_now();
	bool		hangs = false;

	if (pa_courier_pid() == 0 || next_watch > instant)
		return;
	next_watch = pa_clock_after(instant, WATCH_INTERVAL);
	dlist_foreach(iter, pa_queue_calls())
	{
		PaCluster  *cluster = dlist_container(PaCluster, call_node, iter.cur);

		if (pa_clock_after(cluster->deadline, COURIER_GRACE) < instant)
			hangs = true;
	}
	if (!hangs)
		return;
	ereport(LOG,
			(errmsg("power_action courier does not answer: it is started again"),
			 errdetail("Calls in flight are sent again.")));
	pa_courier_stop();
	courier_ended(now);
}

static void
start_courier(void)
{
	PaInstant	instant = pa_clock_now();

	if (pa_courier_pid() != 0 || instant < next_courier_start)
		return;
	/* an error is reported by the caller of the cycle; then it waits */
	next_courier_start = pa_clock_after(instant, COURIER_BACKOFF_MAX);
	pa_courier_start();
	courier_started = instant;
	courier_starts++;
	pa_dispatch_tell_courier();
}

/* Clusters whose time has come: to try again, or to ask again. */
static void
wake_waiting(TimestampTz now)
{
	PaCluster  *cluster;
	PaInstant	instant = pa_clock_now();

	while ((cluster = pa_queue_first_waiting()) != NULL &&
		   cluster->wake_at <= instant)
	{
		if (!cluster->confirming)
			pa_queue_load(cluster);
		else if (pa_outcome_confirm_timeout(cluster, now))
			 /* its end is to be written */ ;
		else if (cluster->server->state == PA_AGENT_READY)
			pa_queue_make_ready(cluster);
		else
			pa_queue_wait(cluster, pa_clock_after(instant,
												  pa_confirm_interval));
	}
}

/*
 * Reading
 */

/* One transaction that reads: what is due, and what is needed to send it. */
static void
read_and_send(const PaEventRange *ranges, int range_count, TimestampTz now)
{
	PaInstant	begin = pa_clock_now();
	bool		look = next_look <= begin;
	bool		more = false;
	uint64		version;

	if (range_count == 0 && !look && !cancellations_pending &&
		pa_agent_server_version() == servers_version &&
		!pa_claim_has_work(now) && !pa_ending_has_work(now) &&
		!pa_dispatch_has_work())
		return;

	pa_worker_begin_transaction();
	/* only now is known what changed before the requests that are read here */
	version = pa_agent_server_version();
	if (version != servers_version)
		pa_dispatch_servers(now);
	if (look)
		pa_claim_look(now);
	pa_claim_arrivals(ranges, range_count, now);
	if (cancellations_pending || look)
		more = pa_ending_cancellations(cancellations_fresh || look,
									   pa_dispatch_cancel);
	pa_ending_sweep(now);
	pa_claim_jobs(now);
	pa_phase_enter(PA_PHASE_SEND);
	pa_dispatch_calls(now);
	pa_worker_commit_transaction();
	pa_courier_flush();

	servers_version = version;
	cancellations_pending = more;
	cancellations_fresh = false;
	if (look)
	{
		PaInstant	done = pa_clock_now();

		next_look = pa_clock_after(done, Max(look_interval(),
											 LOOK_SHARE *
											 (done - begin) / 1000));
	}
}

/*
 * Writing besides outcomes
 */

/* How an attempt at something that nothing depends on went the last time. */
typedef struct Aside
{
	const char *what;
	int			sqlstate;		/* of the error that was logged; 0: none */
} Aside;

/*
 * Does something in a transaction of its own.  If a trigger or a foreign key
 * of a user, or a lock, is in its way it is left undone: that is logged, once
 * for each kind in a row, and does not hold up the worker.
 */
static void
do_aside(Aside *aside, void (*work) (void *argument), void *argument)
{
	MemoryContext caller = CurrentMemoryContext;

	PG_TRY();
	{
		pa_worker_begin_transaction();
		work(argument);
		pa_worker_commit_transaction();
		aside->sqlstate = 0;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
		MemoryContextSwitchTo(caller);
		errors++;
		if (error->sqlerrcode != aside->sqlstate)
			ereport(LOG,
					(errmsg("power_action could not %s: %s",
							aside->what, error->message),
					 error->context ? errcontext("%s", error->context) : 0));
		aside->sqlstate = error->sqlerrcode;
	}
	PG_END_TRY();
}

typedef struct Running
{
	PaStart    *starts;
	int			count;
} Running;

static void
write_running(void *argument)
{
	const Running *running = argument;

	pa_outcome_store_mark_running(running->starts, running->count);
}

/*
 * Marks the events of calls that last.  Returns when the next call will have
 * lasted long enough.
 */
static PaInstant
mark_running(void)
{
	PaInstant	now = pa_clock_now();
	PaInstant	next = PA_INSTANT_NEVER;
	PaStart    *starts = NULL;
	PaJob	  **jobs = NULL;
	int			count = 0;
	int			room = 0;
	dlist_iter	iter;

	dlist_foreach(iter, pa_queue_calls())
	{
		PaCluster  *cluster = dlist_container(PaCluster, call_node, iter.cur);
		dlist_iter	job_iter;

		if (cluster->marked || cluster->confirming)
			continue;
		if (pa_clock_after(cluster->call_began, RUNNING_AFTER) > now)
		{
			next = pa_clock_after(cluster->call_began, RUNNING_AFTER);
			break;
		}
		cluster->marked = true;
		dlist_foreach(job_iter, &cluster->jobs)
		{
			PaJob	   *job = dlist_container(PaJob, node, job_iter.cur);

			if (!job->in_call || job->started_at != DT_NOBEGIN)
				continue;
			if (count == room)
			{
				room = Max(64, room * 2);
				starts = starts ? repalloc(starts, room * sizeof(PaStart)) :
					palloc(room * sizeof(PaStart));
				jobs = jobs ? repalloc(jobs, room * sizeof(PaJob *)) :
					palloc(room * sizeof(PaJob *));
			}
			job->started_at = Max(cluster->sent_at, job->requested_at);
			starts[count].event_id = job->event_id;
			starts[count].started_at = job->started_at;
			starts[count].event_row = job->event_row;
			jobs[count++] = job;
		}
	}

	if (count > 0)
	{
		static Aside aside = {"mark events as running", 0};
		Running		running = {starts, count};

		do_aside(&aside, write_running, &running);
		for (int i = 0; i < count; i++)
			jobs[i]->event_row = starts[i].event_row;
	}
	return next;
}

static void
prune_batch(void *argument)
{
	TimestampTz now = *(TimestampTz *) argument;

	(void) pa_outcome_store_prune(
		TimestampTzPlusMilliseconds(now, -pa_event_retention *
									INT64CONST(1000)),
		PRUNE_BATCH, &prune_bound);
	if (prune_bound != 0)
		next_prune = PA_INSTANT_PAST;
}

/* Old events go in small batches, one batch a cycle. */
static void
prune(TimestampTz now)
{
	static Aside aside = {"remove old events", 0};

	if (pa_event_retention < 0 || next_prune > pa_clock_now())
		return;
	next_prune = in_future(PRUNE_INTERVAL);
	do_aside(&aside, prune_batch, &now);
}

static bool
same_counters(const PaWorkerCounters *one, const PaWorkerCounters *other)
{
	return one->calls == other->calls &&
		one->finished == other->finished &&
		one->in_flight == other->in_flight &&
		one->deferred == other->deferred &&
		one->errors == other->errors &&
		one->courier_pid == other->courier_pid &&
		one->courier_starts == other->courier_starts;
}

/*
 * What the views show of this worker and its agents.  Returns when there is
 * more to be shown.
 */
static PaInstant
publish(void)
{
	static PaWorkerCounters shown;
	PaWorkerCounters counters = {0};
	List	   *servers;
	ListCell   *cell;
	bool		changed;

	counters.calls = pa_dispatch_calls_sent();
	counters.finished = pa_apply_finished_events();
	counters.in_flight = pa_queue_calls_in_flight();
	counters.deferred = pa_apply_deferred_units();
	counters.errors = errors + pa_apply_errors();
	counters.courier_pid = (int) pa_courier_pid();
	counters.courier_starts = courier_starts;
	for (int p = 0; p < PA_PHASES; p++)
		counters.spent[p] = pa_phase_time(p);
	changed = !same_counters(&counters, &shown);
	servers = pa_queue_servers();
	foreach(cell, servers)
		changed |= ((PaServer *) lfirst(cell))->changed;
	if (!changed)
		return PA_INSTANT_NEVER;
	if (next_publish > pa_clock_now())
		return next_publish;

	next_publish = in_future(PUBLISH_INTERVAL);
	shown = counters;
	pa_shared_publish_counters(&counters);
	foreach(cell, servers)
	{
		PaServer   *server = lfirst(cell);

		if (!server->changed)
			continue;
		server->changed = false;
		if (!server->defined)
			continue;
		pa_shared_publish_agent(server->name, server->state, server->since,
								server->in_flight, server->last_error);
	}
	return PA_INSTANT_NEVER;
}

/*
 * The time of this cycle.  Requests that are older than this must not be
 * taken for later ones, so before anything is read the jobs learn if the
 * clock was set back.
 */
static TimestampTz
watch_clock(void)
{
	int64		set_back;
	TimestampTz now = pa_clock_watch(&set_back);

	if (set_back > 0)
	{
		clock_set_back = true;
		set_back_by += set_back;
		pa_claim_expect_ahead(now + set_back);
	}
	return now;
}

static void
follow_clock(TimestampTz now)
{
	if (!clock_set_back)
		return;
	pa_worker_begin_transaction();
	/* of what was under way then each is found by itself: no news */
	(void) move_jobs_back(now, set_back_by, set_back_by > 0 ? LOG : DEBUG1);
	pa_worker_commit_transaction();

	pa_queue_move_jobs_back(now);
	pa_worker_begin_transaction();
	pa_claim_restart();
	pa_worker_commit_transaction();
	clock_set_back = false;
	set_back_by = 0;
}

long
pa_workload_cycle(void)
{
	TimestampTz now = watch_clock();
	TimestampTz due;
	PaInstant	next;
	PaEventRange ranges[PA_MAX_RANGES];
	int			range_count;
	bool		cancellations = false;
	MemoryContext old;

	MemoryContextReset(cycle_context);
	old = MemoryContextSwitchTo(cycle_context);

	pa_phase_enter(PA_PHASE_RECEIVE);
	if (pa_courier_pid() != 0 && !pa_courier_receive(handle_frame))
		courier_ended(now);
	watch_courier(now);
	start_courier();
	wake_waiting(now);

	range_count = pa_shared_take_requests(ranges, &cancellations);
	cancellations_pending |= cancellations;
	cancellations_fresh |= cancellations;
	PG_TRY();
	{
		follow_clock(now);
		pa_phase_enter(PA_PHASE_READ);
		read_and_send(ranges, range_count, now);
	}
	PG_CATCH();
	{
		/* what was taken must not be lost */
		next_look = PA_INSTANT_PAST;
		cancellations_pending = true;
		PG_RE_THROW();
	}
	PG_END_TRY();

	clock_set_back |= pa_claim_found_ahead();

	pa_phase_enter(PA_PHASE_WRITE);
	if (pa_apply_next_try() <= pa_clock_now())
		pa_apply_pending();
	next = mark_running();
	prune(now);
	next = Min(next, publish());
	pa_courier_flush();

	next = Min(next, pa_apply_next_try());
	next = Min(next, pa_ending_next_give_up());
	next = Min(next, next_look);
	if (pa_courier_pid() == 0)
		next = Min(next, next_courier_start);
	if (pa_queue_first_waiting() != NULL)
		next = Min(next, pa_queue_first_waiting()->wake_at);
	if (pa_queue_loading_count() > 0 || pa_dispatch_has_work() ||
		cancellations_pending || clock_set_back)
		next = PA_INSTANT_PAST;
	if (!dlist_is_empty(pa_queue_calls()))
		next = Min(next, next_watch);
	if (pa_event_retention >= 0)
		next = Min(next, next_prune);

	MemoryContextSwitchTo(old);

	due = Min(pa_claim_next_time(), pa_ending_next_expiry());
	now = GetCurrentTimestamp();
	if (due <= now)
		return 0;
	if (due == DT_NOEND)
		return next == PA_INSTANT_NEVER ? -1 : pa_clock_left(next);
	return Min(TimestampDifferenceMilliseconds(now, due), pa_clock_left(next));
}

void
pa_workload_recover(void)
{
	MemoryContext old = MemoryContextSwitchTo(cycle_context);

	errors++;
	pa_dispatch_recover();
	pa_worker_begin_transaction();
	pa_claim_restart();
	pa_worker_commit_transaction();
	MemoryContextSwitchTo(old);
}

pgsocket
pa_workload_socket(uint32 *events)
{
	*events = WL_SOCKET_READABLE;
	if (pa_courier_has_unsent())
		*events |= WL_SOCKET_WRITEABLE;
	return pa_courier_socket();
}

void
pa_workload_end(void)
{
	pa_courier_stop();
}
