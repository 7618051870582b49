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

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "storage/itemptr.h"

#include "words.h"

#include "shared_state.h"

typedef struct PaLaneKey
{
	char	   *server_name;
	char	   *account_name;
	int16		priority;
} PaLaneKey;

/* where a job is, without what is to be done */
typedef struct PaJobPlace
{
	int64		event_id;
	char	   *cluster_id;
	PaLaneKey	lane;
	TimestampTz due_at;
	TimestampTz not_before;		/* DT_NOBEGIN: none was given */
	TimestampTz expires_at;		/* DT_NOEND: never */
} PaJobPlace;

/* a job with what its event says */
typedef struct PaJobDetail
{
	PaJobPlace	place;
	TimestampTz retry_at;		/* DT_NOBEGIN: no attempt failed */
	PaAction	action;			/* PA_ACTION_INVALID: there is no event */
	PaAgentResult agent_result;
	int			attempts;
	TimestampTz started_at;		/* DT_NOBEGIN: not yet */
	char	   *triggered_by;
	char	   *description;	/* "" for none */
	TimestampTz requested_at;
	/* where the rows were; invalid if there is no event */
	ItemPointerData job_row;
	ItemPointerData event_row;
} PaJobDetail;

/* one lane of a claim: where to read on, and how many at most */
typedef struct PaLaneRequest
{
	PaLaneKey	key;
	TimestampTz due_at;			/* read after this position ... */
	int64		event_id;
	int			limit;
	/* set by the claim */
	int			count;
	TimestampTz next_due;		/* if count < limit: DT_NOEND, or later */
} PaLaneRequest;

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

/* The due jobs of several lanes, in turn, lane after lane: PaJobPlace. */
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

/* Jobs of a server that were due before a time, at most "limit". */
extern List *pa_job_store_due_before(const char *server_name,
									 TimestampTz due_before, int limit);

/* Requests to cancel with ids above "after", oldest first. */
extern List *pa_job_store_cancellations(int64 after, int limit);

#endif							/* PA_JOB_STORE_H */
