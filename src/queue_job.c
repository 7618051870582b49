/*-------------------------------------------------------------------------
 *
 * src/queue_job.c
 *		The jobs that the worker holds in memory.  See queue.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "queue.h"
#include "settings.h"

static MemoryContext job_context;	/* of the texts of jobs */
static HTAB *jobs;				/* of PaJob by event_id */
static int	detached_count;		/* jobs that are in no cluster */
static int64 start_event_id;
static TimestampTz start_time;

void
pa_queue_init_jobs(MemoryContext context)
{
	HASHCTL		control = {0};

	job_context = context;
	control.keysize = sizeof(int64);
	control.entrysize = sizeof(PaJob);
	control.hcxt = context;
	jobs = hash_create("power_action jobs", 256, &control,
					   HASH_ELEM | HASH_CONTEXT | HASH_BLOBS);
	detached_count = 0;
}

void
pa_queue_set_start(int64 highest_event_id, TimestampTz now)
{
	start_event_id = highest_event_id;
	start_time = now;
}

PaJob *
pa_queue_find_job(int64 event_id)
{
	return hash_search(jobs, &event_id, HASH_FIND, NULL);
}

/* Is a job due because it was requested, and not because a time has come? */
static bool
is_immediate(const PaJob *job)
{
	return job->not_before < job->due_at;
}

/*
 * Where a job belongs in its cluster: behind the returned node.  The order is
 * (due_at, event_id).  But ids are taken in sequence, whatever the clock
 * says: what is immediate never goes before what was requested earlier and is
 * immediate, too.
 */
static dlist_node *
find_turn(PaCluster *cluster, const PaJob *job)
{
	dlist_node *after = &cluster->jobs.head;
	dlist_iter	iter;

	dlist_foreach(iter, &cluster->jobs)
	{
		PaJob	   *other = dlist_container(PaJob, node, iter.cur);

		if (is_immediate(other) && is_immediate(job))
		{
			if (other->event_id > job->event_id)
				break;
			after = &other->node;
		}
		else if (other->due_at < job->due_at ||
				 (other->due_at == job->due_at &&
				  other->event_id < job->event_id))
			after = &other->node;
	}
	return after;
}

/*
 * Adds a job to a cluster, at its place in the order of the cluster's actions;
 * cluster is NULL: only its outcome is to be written.
 */
PaJob *
pa_queue_add_job(PaCluster *cluster, const PaJobDetail *detail)
{
	bool		found;
	PaJob	   *job = hash_search(jobs, &detail->place.event_id, HASH_ENTER,
								  &found);
	MemoryContext old = MemoryContextSwitchTo(job_context);

	Assert(!found);
	MemSet((char *) job + sizeof(int64), 0, sizeof(PaJob) - sizeof(int64));
	job->action = detail->action;
	job->cluster_id = pstrdup(detail->place.cluster_id);
	job->server_name = pstrdup(detail->place.lane.server_name);
	job->account_name = pstrdup(detail->place.lane.account_name);
	job->priority = detail->place.lane.priority;
	job->requested_at = detail->requested_at;
	job->due_at = detail->place.due_at;
	job->not_before = detail->place.not_before;
	job->expires_at = detail->place.expires_at;
	pa_queue_set_retry(job, detail->retry_at);
	job->started_at = detail->started_at;
	job->attempts = detail->attempts;
	job->agent_result = detail->agent_result;
	job->job_row = detail->job_row;
	job->event_row = detail->event_row;
	job->maybe_sent = job->event_id <= start_event_id &&
		job->due_at <= start_time;
	job->triggered_by = pstrdup(detail->triggered_by);
	job->description = pstrdup(detail->description);
	MemoryContextSwitchTo(old);

	job->cluster = cluster;
	if (cluster == NULL)
		detached_count++;
	else
	{
		if (cluster->jobs.head.next == NULL)
			dlist_init(&cluster->jobs);
		dlist_insert_after(find_turn(cluster, job), &job->node);
		cluster->job_count++;
	}
	return job;
}

void
pa_queue_set_retry(PaJob *job, TimestampTz retry_at)
{
	TimestampTz now = GetCurrentTimestamp();

	/* a longer one than any there is: the clock was set back meanwhile */
	job->retry_at = retry_at <= now ? PA_INSTANT_PAST :
		pa_clock_after(pa_clock_now(),
					   Min(TimestampDifferenceMilliseconds(now, retry_at),
						   pa_max_backoff));
}

void
pa_queue_move_jobs_back(TimestampTz now)
{
	HASH_SEQ_STATUS scan;
	PaJob	   *job;

	hash_seq_init(&scan, jobs);
	while ((job = hash_seq_search(&scan)) != NULL)
		if (is_immediate(job) && job->due_at > now)
			job->due_at = Max(now, job->not_before);
}

void
pa_queue_note_cancellation(PaJob *job, const char *by, const char *reason)
{
	job->cancelled_by = MemoryContextStrdup(job_context, by);
	if (reason)
		job->cancel_reason = MemoryContextStrdup(job_context, reason);
}

void
pa_queue_detach_job(PaJob *job)
{
	if (job->cluster)
	{
		dlist_delete(&job->node);
		job->cluster->job_count--;
		job->cluster = NULL;
		detached_count++;
	}
}

void
pa_queue_drop_job(PaJob *job)
{
	pa_queue_detach_job(job);
	detached_count--;
	pfree(job->cluster_id);
	pfree(job->server_name);
	pfree(job->account_name);
	pfree(job->triggered_by);
	pfree(job->description);
	if (job->cancelled_by)
		pfree(job->cancelled_by);
	if (job->cancel_reason)
		pfree(job->cancel_reason);
	hash_search(jobs, &job->event_id, HASH_REMOVE, NULL);
}

int
pa_queue_detached_count(void)
{
	return detached_count;
}

PaJob *
pa_queue_first_job(PaCluster *cluster)
{
	return dlist_container(PaJob, node, dlist_head_node(&cluster->jobs));
}
