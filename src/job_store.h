/*-------------------------------------------------------------------------
 *
 * src/job_store.h
 *		Reading the queue: all SQL by which the worker finds jobs.
 *
 * Called in the worker only, inside a transaction with an active snapshot.
 * Everything here only reads.  What is returned is palloc'd in the memory
 * context that is current at the call.  Only jobs of this database's own
 * origin are ever returned, except by the look-up for a cancellation.
 *
 * A lane is what shares its turn: the jobs of one server, account and
 * priority.  A lane is read in the order (due_at, event_id) from a position
 * that the worker remembers, so that neither jobs that it has already taken
 * nor rows that are deleted but not yet removed are read again.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_JOB_STORE_H
#define PA_JOB_STORE_H

#include "job_reader.h"

typedef struct PaCancellation
{
	int64		cancellation_id;
	int64		event_id;
	char	   *cancelled_by;
	char	   *reason;			/* NULL: none given */
	bool		has_job;		/* false: already final, or never committed */
	PaJobDetail job;
} PaCancellation;

/* Which database this is; to be called once before the rest. */
extern void pa_job_store_set_origin(uint64 system_identifier, Oid database);

/* Highest event id in the queue, 0 if it is empty. */
extern int64 pa_job_store_highest(void);

/* All lanes, by skipping through the index. */
extern List *pa_job_store_lanes(void);	/* of PaLaneKey pointers */

/* The jobs in a range of ids, at most "limit". */
extern List *pa_job_store_places(PaEventRange range, int limit);

/*
 * The due jobs of several lanes, in turn, lane after lane: PaJobPlace.  With
 * them come those of lanes whose names have the same hash.
 */
extern List *pa_job_store_claim(PaLaneRequest *lanes, int count,
								TimestampTz now);

/*
 * The due jobs of each cluster, the first "limit" of it in the order of its
 * actions, but returned in any order: PaJobDetail.
 */
extern List *pa_job_store_of_clusters(char **cluster_ids, int count,
									  TimestampTz now, int limit);

/*
 * Jobs that have expired, earliest first, after a position; and when the next
 * one will.
 */
extern List *pa_job_store_expired(TimestampTz after_time, int64 after_id,
								  TimestampTz now, int limit);
extern TimestampTz pa_job_store_next_expiry(TimestampTz now);

/*
 * Is a job, due when it was requested, due only after "now"?  Then the clock
 * was set back.
 */
extern bool pa_job_store_any_ahead(TimestampTz now);

/* Jobs of some servers that were due before a time, at most "limit". */
extern List *pa_job_store_due_before(char **server_names, int count,
									 TimestampTz due_before, int limit);

/* Requests to cancel with ids above "after", oldest first. */
extern List *pa_job_store_cancellations(int64 after, int limit);

#endif							/* PA_JOB_STORE_H */
