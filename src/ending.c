/*-------------------------------------------------------------------------
 *
 * src/ending.c
 *		Jobs that end without a call.  See ending.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "ending.h"
#include "settings.h"
#include "status_code.h"

#define SWEEP_LIMIT			500
#define CANCELLATION_LIMIT	500
#define GIVE_UP_INTERVAL_MS	1000
#define GIVE_UP_GRACE_S		60

static TimestampTz next_expiry = DT_NOBEGIN;	/* of the jobs in the table */
static PaInstant next_give_up = PA_INSTANT_PAST;

void
pa_ending_note_expiry(TimestampTz expires_at)
{
	next_expiry = Min(next_expiry, expires_at);
}

PaAgentResult
pa_ending_result(const PaJob *job)
{
	if (job->maybe_sent && job->agent_result != PA_RESULT_ACCEPTED)
		return PA_RESULT_UNKNOWN;
	return job->agent_result;
}

void
pa_ending_leave_unknown(PaUnit *unit, const PaJob *job,
						const PaCluster *cluster)
{
	const PaServer *server = pa_queue_find_server(job->server_name);
	const PaOutcome *unknown = NULL;
	int			left = cluster ? cluster->job_count : 0;

	for (int i = 0; i < unit->outcome_count; i++)
	{
		const PaOutcome *outcome = unit->outcomes[i];

		if (outcome->status < PA_EVENT_SUCCESS)
			continue;			/* it goes on */
		/* those of a cluster's turn stay with it until they are written */
		if (unit->cluster)
			left--;
		if (unknown == NULL && outcome->action != PA_ACTION_REFRESH &&
			outcome->agent_result == PA_RESULT_UNKNOWN)
			unknown = outcome;
	}
	if (unknown == NULL)
		return;

	unit->change = MemoryContextAllocZero(unit->context,
										  sizeof(PaClusterChange));
	unit->change->cluster_id = pa_unit_strdup(unit, job->cluster_id);
	unit->change->status = PA_POWER_UNKNOWN;
	unit->change->from_agent = true;
	if (pa_resolve_unknown && left == 0 && server != NULL &&
		server->defined && !server->lacks_states)
	{
		unit->unresolved = unknown->event_id;
		unit->unresolved_cluster = unit->change->cluster_id;
	}
}

/* The outcome of a job that ends without a call. */
static PaOutcome *
end_job(PaUnit *unit, PaJob *job, PaEventStatus status)
{
	PaCluster  *cluster = job->cluster;
	PaOutcome  *outcome = pa_unit_add(unit, job, status);

	outcome->agent_result = pa_ending_result(job);
	pa_ending_leave_unknown(unit, job, cluster);
	return outcome;
}

void
pa_ending_supersede(PaJob *job, const PaJob *by)
{
	PaUnit	   *unit = pa_unit_make(NULL);
	PaOutcome  *outcome = end_job(unit, job, PA_EVENT_CANCELLED);

	pa_unit_cancel(unit, outcome, by->event_id, NULL, NULL);
	pa_unit_submit(unit);
}

void
pa_ending_cancel(PaJob *job, const char *by, const char *reason)
{
	PaUnit	   *unit = pa_unit_make(NULL);
	PaOutcome  *outcome = end_job(unit, job, PA_EVENT_CANCELLED);

	outcome->cancellation_done = true;
	pa_unit_cancel(unit, outcome, 0, by, reason);
	pa_unit_submit(unit);
}

/* What an agent has taken is not too late: only its end is waited for. */
bool
pa_ending_has_expired(const PaJob *job, TimestampTz now)
{
	return job->expires_at <= now && job->agent_result != PA_RESULT_ACCEPTED;
}

void
pa_ending_expire(PaJob *job)
{
	PaUnit	   *unit = pa_unit_make(NULL);
	PaOutcome  *outcome = end_job(unit, job, PA_EVENT_FAILED);

	pa_unit_fail(unit, outcome, PA_ERROR_REQUEST,
				 pa_status_name(PA_STATUS_DEADLINE_EXCEEDED),
				 psprintf("expired at %s before it could be executed",
						  timestamptz_to_str(job->expires_at)));
	pa_unit_submit(unit);
}

static void
give_up(PaJob *job, const PaServer *server)
{
	PaUnit	   *unit = pa_unit_make(NULL);
	PaOutcome  *outcome = end_job(unit, job, PA_EVENT_FAILED);

	pa_unit_fail(unit, outcome, PA_ERROR_TRANSPORT,
				 pa_status_name(PA_STATUS_UNAVAILABLE),
				 server->defined ?
				 psprintf("agent \"%s\" could not be reached for %d s: %s",
						  server->name, pa_give_up_after,
						  server->last_error ? server->last_error :
						  "no connection") :
				 psprintf("foreign server \"%s\" does not exist",
						  server->name));
	pa_unit_submit(unit);
}

/* true if nothing of this job is under way */
static bool
can_end_now(const PaJob *job)
{
	const PaCluster *cluster = job->cluster;

	if (cluster == NULL)
		return false;			/* its outcome waits to be written */
	switch (cluster->state)
	{
		case PA_CLUSTER_LOADING:
			return true;
		case PA_CLUSTER_READY:
		case PA_CLUSTER_WAITING:
			return !job->in_call || !cluster->confirming;
		default:
			return !job->in_call;
	}
}

/*
 * After a job was taken out of its cluster by an outcome without a call:
 * what is left may have another order, or there is nothing left.
 */
static void
settle_cluster(PaCluster *cluster)
{
	if (cluster == NULL || cluster->state == PA_CLUSTER_CALLING ||
		cluster->state == PA_CLUSTER_WRITING)
		return;
	if (cluster->confirming && !dlist_is_empty(&cluster->jobs))
		return;
	if (cluster->state != PA_CLUSTER_LOADING)
		pa_queue_load(cluster);
}

/*
 * Sweeps
 */

static void
sweep_expired(TimestampTz now)
{
	/* a pass may take several calls: those that cannot end now stay */
	static TimestampTz read_time = DT_NOBEGIN;
	static int64 read_id = 0;
	List	   *expired = pa_job_store_expired(read_time, read_id, now,
											   SWEEP_LIMIT);
	ListCell   *cell;

	foreach(cell, expired)
	{
		PaJobDetail *detail = lfirst(cell);
		PaJob	   *job = pa_queue_find_job(detail->place.event_id);
		PaCluster  *cluster = job ? job->cluster : NULL;

		read_time = detail->place.expires_at;
		read_id = detail->place.event_id;
		if (detail->agent_result == PA_RESULT_ACCEPTED ||
			(job && !can_end_now(job)))
			continue;
		pa_ending_expire(job ? job : pa_queue_add_job(NULL, detail));
		settle_cluster(cluster);
	}
	if (list_length(expired) == SWEEP_LIMIT)
		return;					/* the next cycle reads on */

	read_time = DT_NOBEGIN;
	read_id = 0;
	next_expiry = pa_job_store_next_expiry(now);
}

/*
 * true if this agent is away.  Jobs may be old because the worker was: after
 * its start, as after every loss, an agent is given some time to appear.
 */
static bool
is_away(const PaServer *server)
{
	int			grace = Min(pa_give_up_after, GIVE_UP_GRACE_S);

	return server->state != PA_AGENT_READY &&
		server->state != PA_AGENT_STOPPED &&
		pa_clock_now() >= pa_clock_after(server->away_since,
										 grace * INT64CONST(1000));
}

/* true if jobs of this lane may have waited too long for their agent */
static bool
may_give_up(const PaLane *lane)
{
	return lane->server->state != PA_AGENT_READY &&
		lane->server->state != PA_AGENT_STOPPED &&
		(!lane->exhausted || lane->next_due != DT_NOEND) &&
		pa_give_up_after > 0 && pa_enabled;
}

static void
sweep_given_up(TimestampTz now)
{
	List	   *servers = pa_queue_servers();
	char	  **away = palloc(sizeof(char *) * list_length(servers));
	int			away_count = 0;
	int			ended = 0;
	List	   *late;
	ListCell   *cell;

	next_give_up = pa_clock_after(pa_clock_now(), GIVE_UP_INTERVAL_MS);
	if (pa_give_up_after == 0 || !pa_enabled)
		return;
	foreach(cell, servers)
	{
		PaServer   *server = lfirst(cell);

		if (is_away(server))
			away[away_count++] = server->name;
	}
	if (away_count == 0)
		return;

	late = pa_job_store_due_before(
		away, away_count,
		TimestampTzPlusMilliseconds(now, -pa_give_up_after * INT64CONST(1000)),
		SWEEP_LIMIT);
	foreach(cell, late)
	{
		PaJobDetail *detail = lfirst(cell);
		PaServer   *server =
			pa_queue_find_server(detail->place.lane.server_name);
		PaJob	   *job = pa_queue_find_job(detail->place.event_id);
		PaCluster  *cluster = job ? job->cluster : NULL;

		if (job && !can_end_now(job))
			continue;
		give_up(job ? job : pa_queue_add_job(NULL, detail), server);
		settle_cluster(cluster);
		ended++;
	}
	if (list_length(late) == SWEEP_LIMIT && ended > 0)
		next_give_up = PA_INSTANT_PAST;
}

void
pa_ending_sweep(TimestampTz now)
{
	if (next_expiry <= now)
		sweep_expired(now);
	if (next_give_up <= pa_clock_now())
		sweep_given_up(now);
}

/* A request to cancel a job that is in memory. */
static void
cancel_job(PaJob *job, const PaCancellation *request,
		   void (*cancel_call) (PaCluster *cluster))
{
	PaCluster  *cluster = job->cluster;
	dlist_iter	iter;

	if (job->cancelled_by != NULL || cluster == NULL)
		return;					/* it is seen to already, or too late */

	if (can_end_now(job) ||
		cluster->state == PA_CLUSTER_READY ||
		cluster->state == PA_CLUSTER_WAITING)
	{
		pa_ending_cancel(job, request->cancelled_by, request->reason);
		if (dlist_is_empty(&cluster->jobs) ||
			!pa_queue_first_job(cluster)->in_call)
			cluster->confirming = false;
		settle_cluster(cluster);
		return;
	}

	/* in flight, or its outcome is being written: the outcome tells */
	pa_queue_note_cancellation(job, request->cancelled_by, request->reason);
	if (cluster->state != PA_CLUSTER_CALLING)
		return;
	/* others may want what the call does */
	dlist_foreach(iter, &cluster->jobs)
	{
		PaJob	   *other = dlist_container(PaJob, node, iter.cur);

		if (other->in_call && other->cancelled_by == NULL)
			return;
	}
	cancel_call(cluster);
}

bool
pa_ending_cancellations(bool fresh, void (*cancel_call) (PaCluster *cluster))
{
	/* how far this pass has come, and whether another has to follow */
	static int64 read_to = 0;
	static bool again = false;
	List	   *requests = pa_job_store_cancellations(read_to,
													  CANCELLATION_LIMIT);
	ListCell   *cell;
	int64	   *obsolete = palloc(sizeof(int64) * (list_length(requests) + 1));
	int			obsolete_count = 0;

	foreach(cell, requests)
	{
		PaCancellation *request = lfirst(cell);
		PaJob	   *job = pa_queue_find_job(request->event_id);

		if (job != NULL)
			cancel_job(job, request, cancel_call);
		else if (request->has_job)
			pa_ending_cancel(pa_queue_add_job(NULL, &request->job), request->cancelled_by,
				   request->reason);
		else
			obsolete[obsolete_count++] = request->event_id;
	}
	if (obsolete_count > 0)
		pa_outcome_store_forget_cancellations(obsolete, obsolete_count);

	if (fresh && read_to > 0)
		again = true;
	if (list_length(requests) == CANCELLATION_LIMIT)
	{
		PaCancellation *last = llast(requests);

		read_to = last->cancellation_id;
		return true;
	}
	read_to = 0;
	fresh = again;
	again = false;
	return fresh;
}

/* true if a lane has jobs that may have waited too long */
static bool
any_may_give_up(void)
{
	dlist_iter	iter;

	dlist_foreach(iter, pa_queue_lanes())
		if (may_give_up(dlist_container(PaLane, node, iter.cur)))
			return true;
	return false;
}

bool
pa_ending_has_work(TimestampTz now)
{
	return next_expiry <= now ||
		(next_give_up <= pa_clock_now() && any_may_give_up());
}

TimestampTz
pa_ending_next_expiry(void)
{
	return next_expiry;
}

PaInstant
pa_ending_next_give_up(void)
{
	return any_may_give_up() ? next_give_up : PA_INSTANT_NEVER;
}
