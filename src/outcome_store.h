/*-------------------------------------------------------------------------
 *
 * src/outcome_store.h
 *		Writing outcomes: all SQL by which the worker changes events, jobs
 *		and attempts.
 *
 * Called in the worker only, inside a transaction with an active snapshot.
 * Each function does its work by a few statements, however many the rows are;
 * what belongs together is one transaction of the caller.  Raises whatever the statements raise, among it
 * errors of triggers that users have put on these tables.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_OUTCOME_STORE_H
#define PA_OUTCOME_STORE_H

#include "datatype/timestamp.h"
#include "storage/itemptr.h"

#include "words.h"

/* What is to be written about one event. */
typedef struct PaOutcome
{
	int64		event_id;
	ItemPointerData event_row;	/* where its row was when it was read, and */
	ItemPointerData job_row;	/* that of its job; invalid: not known */
	PaAction	action;
	PaEventStatus status;
	PaAgentResult agent_result;
	PaErrorSource error_source; /* with status failed only, as the next two */
	const char *error_code;
	const char *error_message;
	int			attempts;		/* calls made so far */
	TimestampTz requested_at;	/* only for comparison */
	TimestampTz started_at;		/* DT_NOBEGIN: not started */
	TimestampTz finished_at;	/* of a final status */
	int64		superseded_by;	/* 0: not */
	const char *cancelled_by;	/* NULL: not */
	const char *cancel_reason;	/* NULL: none */
	int			instances_total;	/* -1: as it is */
	int			instances_done;	/* -1: as it is, nobody has told */
	const char *instances_failed;	/* text of an array, NULL: none */

	/* an attempt that did not succeed: a row of its own */
	bool		attempt_failed;
	TimestampTz attempt_started;
	TimestampTz attempt_finished;
	const char *attempt_code;
	const char *attempt_message;

	/* of a job that stays: when it may be tried again, DT_NOBEGIN: unchanged */
	TimestampTz retry_at;

	/* a request to cancel this event is answered by this outcome */
	bool		cancellation_done;
} PaOutcome;

/*
 * The outcomes of different events: events, attempts and jobs.  Rows are looked
 * for where they were, and by their ids if they are not there.
 */
extern void pa_outcome_store_write_events(PaOutcome **outcomes, int count);

/*
 * Inserts a refresh, event and job, for each cluster; event_ids: the events
 * whose results are unknown.  Sets the lowest and highest id, 0 if there is
 * none (clusters that are gone, terminated or without instances).
 */
extern void pa_outcome_store_request_refreshes(const char **cluster_ids,
											   const int64 *event_ids,
											   int count, int64 *low,
											   int64 *high);

/* an event whose call lasts */
typedef struct PaStart
{
	int64		event_id;
	TimestampTz started_at;
	ItemPointerData event_row;	/* where the row was; set if it is moved */
} PaStart;

/*
 * Marks events as running; skips those that somebody has locked.  It informs;
 * nothing depends on it.
 */
extern void pa_outcome_store_mark_running(PaStart *starts, int count);

/*
 * The clock was set back: own jobs that were due when they were requested
 * become due at "now" at the latest, in the order of their ids, but not
 * before their not_before.  Returns how many were moved, and in *furthest to
 * which time one was due; "now" if there is none.
 */
extern int64 pa_outcome_store_move_back(TimestampTz now,
										TimestampTz *furthest);

/* Removes answered requests to cancel. */
extern void pa_outcome_store_forget_cancellations(const int64 *event_ids,
												  int count);

/*
 * Looks at the next "limit" events with ids above *bound and removes, with
 * their attempts, those that finished before "cutoff".  Moves *bound to where
 * the next call has to go on, 0 if there is nothing more to be found now.
 * Returns how many were removed.
 */
extern int64 pa_outcome_store_prune(TimestampTz cutoff, int limit,
									int64 *bound);

/*
 * Makes a new epoch of this database durable at the commit of the caller and
 * returns it.  *moved: the database is a copy of the one that wrote last.
 */
extern int64 pa_outcome_store_next_epoch(uint64 system_identifier,
										 Oid database, bool *moved);

#endif							/* PA_OUTCOME_STORE_H */
