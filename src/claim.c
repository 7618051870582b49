/*-------------------------------------------------------------------------
 *
 * src/claim.c
 *		From the table into memory.  See claim.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "claim.h"
#include "ending.h"
#include "settings.h"

#define SMALL_ARRIVAL		1000	/* ids that are looked at one by one */
#define WAITING_LIMIT		10000	/* clusters WAITING for one server */

/*
 * Jobs up to complete_to are known, all of them: they had been committed, or
 * rolled back, when the transactions that were running at the look before had
 * ended.  The request functions take a transaction id before they take an
 * event id, so every lower id belongs to one of those.
 */
static int64 complete_to;
static int64 look_highest;
static FullTransactionId look_xmax;

static bool found_ahead;
static TimestampTz ahead_until = DT_NOBEGIN;

/* Lanes in the table, from the beginning. */
static void
discover_lanes(void)
{
	List	   *lanes = pa_job_store_lanes();
	ListCell   *cell;

	foreach(cell, lanes)
	{
		PaLane	   *lane = pa_queue_lane((PaLaneKey *) lfirst(cell));

		lane->exhausted = false;
	}
	pa_ending_note_expiry(pa_job_store_next_expiry(DT_NOBEGIN));
}

void
pa_claim_start(TimestampTz until)
{
	pa_queue_set_start(pa_job_store_highest(), until);
	complete_to = 0;
	look_highest = 0;
	look_xmax = InvalidFullTransactionId;
	discover_lanes();
}

/* What was taken to memory is held now, or waits, or is forgotten. */
static void
end_taking(void)
{
	List	   *servers = pa_queue_servers();
	ListCell   *cell;

	foreach(cell, servers)
		((PaServer *) lfirst(cell))->taken = 0;
}

void
pa_claim_restart(void)
{
	end_taking();
	pa_queue_forget_unsent();
	discover_lanes();
}

void
pa_claim_expect_ahead(TimestampTz until)
{
	ahead_until = Max(ahead_until, until);
}

bool
pa_claim_found_ahead(void)
{
	bool		found = found_ahead;

	found_ahead = false;
	return found;
}

/* true if clusters of this server are wanted in memory at all */
static bool
server_takes(const PaServer *server)
{
	return server->state == PA_AGENT_READY && pa_enabled &&
		server->waiting < WAITING_LIMIT;
}

/*
 * Room in memory for clusters of this server and priority.  What is there
 * with a lower priority takes none away: it goes later anyway.  What is being
 * taken takes it from all.
 */
static int
priority_room(PaServer *server, int16 priority)
{
	if (!server_takes(server))
		return 0;
	return server->options.max_concurrent_calls -
		pa_queue_held_before(server, priority) - server->taken;
}

static bool
lane_has_room(const PaLane *lane)
{
	PaServer   *server = lane->server;

	if (!server_takes(server))
		return false;
	return server->held + server->taken <
		server->options.max_concurrent_calls ||
		priority_room(server, lane->priority) > 0;
}

/* A job is in the table that the worker may not know of. */
static void
note_place(const PaJobPlace *place, TimestampTz now)
{
	PaLane	   *lane;

	if (pa_queue_find_job(place->event_id) != NULL)
		return;
	pa_ending_note_expiry(place->expires_at);
	lane = pa_queue_lane(&place->lane);
	if (place->due_at > now)
	{
		lane->next_due = Min(lane->next_due, place->due_at);
		/* it may well have been requested since "now" */
		if (place->not_before < place->due_at &&
			place->due_at > GetCurrentTimestamp())
			found_ahead = true;
	}
	else if (lane_has_room(lane))
	{
		pa_queue_cluster_due(place->cluster_id);
		lane->server->taken++;
	}
	else
		pa_queue_read_lane_from(lane, place->due_at);
}

/*
 * Too many to look at one by one: all lanes are read from their beginning.
 * What is in memory already is passed over.
 */
static void
note_many(TimestampTz now)
{
	pa_queue_read_lanes_again(NULL);
	discover_lanes();
	if (now < ahead_until && pa_job_store_any_ahead(GetCurrentTimestamp()))
		found_ahead = true;
}

void
pa_claim_arrivals(const PaEventRange *ranges, int count, TimestampTz now)
{
	for (int i = 0; i < count; i++)
	{
		List	   *places;
		ListCell   *cell;

		if (ranges[i].high - ranges[i].low >= SMALL_ARRIVAL)
		{
			note_many(now);
			return;
		}
		places = pa_job_store_places(ranges[i], SMALL_ARRIVAL);
		foreach(cell, places)
			note_place(lfirst(cell), now);
	}
}

void
pa_claim_look(TimestampTz now)
{
	Snapshot	snapshot = GetActiveSnapshot();
	FullTransactionId next = ReadNextFullTransactionId();
	uint32		behind = XidFromFullTransactionId(next) - snapshot->xmin;
	int64		complete = complete_to;
	PaEventRange range;
	List	   *places;
	ListCell   *cell;

	/* all that were running at the last look have ended */
	if (FullTransactionIdIsValid(look_xmax) &&
		U64FromFullTransactionId(next) - behind >=
		U64FromFullTransactionId(look_xmax))
		complete = look_highest;

	look_highest = Max(complete, pa_job_store_highest());
	look_xmax = next;

	range.low = complete_to + 1;
	range.high = PG_INT64_MAX;
	places = pa_job_store_places(range, SMALL_ARRIVAL + 1);
	if (list_length(places) > SMALL_ARRIVAL)
		note_many(now);
	else
		foreach(cell, places)
			note_place(lfirst(cell), now);

	pa_queue_drop_idle_lanes();

	/* only now: what ended since the last look was looked at here */
	complete_to = complete;
}

/*
 * Claiming
 */

/*
 * Reads the lanes of one server and priority that may have more, as far as
 * there is room, each the same share of it.  Returns the number of jobs.
 */
static int
read_priority(PaServer *server, int16 priority, int room, TimestampTz now)
{
	int			lane_count = 0;
	int			n = 0;
	int			own = 0;
	PaLane	  **lanes;
	PaLaneRequest *requests;
	List	   *places;
	ListCell   *cell;
	dlist_iter	iter;

	dlist_foreach(iter, pa_queue_lanes())
	{
		PaLane	   *lane = dlist_container(PaLane, node, iter.cur);

		if (lane->server == server && lane->priority == priority &&
			!lane->exhausted)
			lane_count++;
	}
	if (lane_count == 0)
		return 0;

	lanes = palloc(sizeof(PaLane *) * lane_count);
	requests = palloc0(sizeof(PaLaneRequest) * lane_count);
	dlist_foreach(iter, pa_queue_lanes())
	{
		PaLane	   *lane = dlist_container(PaLane, node, iter.cur);

		if (lane->server != server || lane->priority != priority ||
			lane->exhausted)
			continue;
		lanes[n] = lane;
		requests[n].key.server_name = server->name;
		requests[n].key.account_name = lane->account_name;
		requests[n].key.priority = lane->priority;
		requests[n].due_at = lane->read_due_at;
		requests[n].event_id = lane->read_event_id;
		requests[n].limit = Max(1, room / lane_count);
		n++;
	}

	places = pa_job_store_claim(requests, lane_count, now);
	for (int i = 0; i < lane_count; i++)
	{
		lanes[i]->read_due_at = requests[i].due_at;
		lanes[i]->read_event_id = requests[i].event_id;
		if (requests[i].count < requests[i].limit)
		{
			lanes[i]->exhausted = true;
			lanes[i]->next_due = requests[i].next_due;
		}
	}
	foreach(cell, places)
	{
		PaJobPlace *place = lfirst(cell);

		/* of other names with the same hash: it takes room elsewhere */
		if (strcmp(place->lane.server_name, server->name) != 0)
		{
			note_place(place, now);
			continue;
		}
		if (pa_queue_find_job(place->event_id) == NULL)
			pa_queue_cluster_due(place->cluster_id);
		own++;
	}
	return own;
}

/*
 * The highest priority below "below" that a server has lanes of that may have
 * more; false if there is none.
 */
static bool
next_priority(const PaServer *server, int below, TimestampTz now,
			  int16 *priority)
{
	bool		found = false;
	dlist_iter	iter;

	dlist_foreach(iter, pa_queue_lanes())
	{
		PaLane	   *lane = dlist_container(PaLane, node, iter.cur);

		if (lane->server != server || lane->priority >= below)
			continue;
		if (lane->next_due <= now)
			lane->exhausted = false;
		if (lane->exhausted || (found && lane->priority <= *priority))
			continue;
		found = true;
		*priority = lane->priority;
	}
	return found;
}

/* Reads lanes that may have more, the highest priority first. */
static void
read_lanes(TimestampTz now)
{
	List	   *servers = pa_queue_servers();
	ListCell   *cell;

	foreach(cell, servers)
	{
		PaServer   *server = lfirst(cell);
		int			below = PG_INT16_MAX + 1;
		int16		priority = 0;

		while (server_takes(server) &&
			   next_priority(server, below, now, &priority))
		{
			int			room = priority_room(server, priority);

			/* the lower ones have no more of it */
			if (room <= 0)
				break;
			server->taken += read_priority(server, priority, room, now);
			below = priority;
		}
	}
}

/* Adds what was read to a cluster that is LOADING. */
static void
add_detail(const PaJobDetail *detail)
{
	PaCluster  *cluster = pa_queue_find_cluster(detail->place.cluster_id);

	if (cluster == NULL || cluster->state != PA_CLUSTER_LOADING ||
		pa_queue_find_job(detail->place.event_id) != NULL)
		return;
	pa_queue_add_job(cluster, detail);
}

/* The power orders before this one are superseded by it. */
static void
supersede_earlier(PaCluster *cluster, PaJob *by)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &cluster->jobs)
	{
		PaJob	   *job = dlist_container(PaJob, node, iter.cur);

		if (job == by)
			return;
		if (job->action != PA_ACTION_REFRESH)
			pa_ending_supersede(job, by);
	}
}

/*
 * Decides what of a cluster's due jobs is still to be done: a later opposite
 * order makes an earlier one superfluous.  What is first then is sent, or
 * waits for its next attempt.
 */
static void
resolve_cluster(PaCluster *cluster, TimestampTz now)
{
	PaAction	standing = PA_ACTION_INVALID;
	dlist_mutable_iter iter;
	PaJob	   *first;

	dlist_foreach_modify(iter, &cluster->jobs)
	{
		PaJob	   *job = dlist_container(PaJob, node, iter.cur);

		if (pa_ending_has_expired(job, now))
		{
			pa_ending_expire(job);
			continue;
		}
		/* asked for while the outcome of an attempt was being written */
		if (job->cancelled_by != NULL)
		{
			pa_ending_cancel(job, job->cancelled_by, job->cancel_reason);
			continue;
		}
		if (job->action != PA_ACTION_POWER_ON &&
			job->action != PA_ACTION_POWER_OFF)
			continue;
		if (standing != PA_ACTION_INVALID && job->action != standing)
			supersede_earlier(cluster, job);
		standing = job->action;
	}

	if (dlist_is_empty(&cluster->jobs))
	{
		if (cluster->reload)
			return;				/* the next claim reads on */
		pa_queue_drop_cluster(cluster);
		return;
	}

	first = pa_queue_first_job(cluster);
	if (first->retry_at > pa_clock_now())
		pa_queue_wait(cluster, first->retry_at);
	else
		pa_queue_make_ready(cluster);
}

/* Reads the due jobs of all clusters that are LOADING. */
static void
load_clusters(TimestampTz now)
{
	int			count = pa_queue_loading_count();
	char	  **ids;
	PaCluster **batch;
	List	   *details;
	ListCell   *cell;
	dlist_iter	iter;
	int			n = 0;

	if (count == 0)
		return;
	ids = palloc(sizeof(char *) * count);
	batch = palloc(sizeof(PaCluster *) * count);
	dlist_foreach(iter, pa_queue_loading())
	{
		PaCluster  *cluster = dlist_container(PaCluster, node, iter.cur);

		batch[n] = cluster;
		ids[n++] = cluster->cluster_id;
		cluster->reload = false;
	}

	/* rows whose outcome is still to be written take no room from the others */
	details = pa_job_store_of_clusters(ids, count, now, PA_JOBS_OF_CLUSTER +
									   pa_queue_detached_count());
	foreach(cell, details)
		add_detail(lfirst(cell));
	for (int i = 0; i < count; i++)
	{
		if (batch[i]->job_count >= PA_JOBS_OF_CLUSTER)
			batch[i]->reload = true;
		resolve_cluster(batch[i], now);
	}
}

void
pa_claim_jobs(TimestampTz now)
{
	read_lanes(now);
	load_clusters(now);
	end_taking();
}

bool
pa_claim_has_work(TimestampTz now)
{
	dlist_iter	iter;

	if (pa_queue_loading_count() > 0)
		return true;
	dlist_foreach(iter, pa_queue_lanes())
	{
		PaLane	   *lane = dlist_container(PaLane, node, iter.cur);

		if ((!lane->exhausted || lane->next_due <= now) &&
			lane_has_room(lane))
			return true;
	}
	return false;
}

TimestampTz
pa_claim_next_time(void)
{
	TimestampTz next = DT_NOEND;
	dlist_iter	iter;

	dlist_foreach(iter, pa_queue_lanes())
	{
		PaLane	   *lane = dlist_container(PaLane, node, iter.cur);

		if (lane_has_room(lane))
			next = Min(next, lane->exhausted ? lane->next_due : DT_NOBEGIN);
	}
	return next;
}
