/*-------------------------------------------------------------------------
 *
 * src/apply.h
 *		Units: what is written together or not at all, and their way into
 *		the tables.
 *
 * Called in the worker only.  A unit is made and filled when something is
 * decided (claim, dispatch, outcome) and submitted; pa_apply_pending writes
 * all that are pending in one transaction.  If that fails, each goes alone:
 * one that cannot be written now (a lock, no space, a time limit) waits and
 * is tried again; one that can never be written (a trigger of a user that
 * raises, a CHECK) becomes a failure of its events, of source "database".
 *
 * A unit owns its memory context; texts given to it are copied there.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_APPLY_H
#define PA_APPLY_H

#include "cluster_store.h"
#include "outcome_store.h"
#include "queue.h"

typedef struct PaUnit
{
	dlist_node	node;
	MemoryContext context;
	PaCluster  *cluster;		/* whose turn it is; NULL: nobody's */
	PaOutcome **outcomes;
	int			outcome_count;
	int			outcome_room;
	PaClusterChange *change;	/* NULL: none */
	/* an event that leaves it open what the cluster is: ask; 0: none */
	int64		unresolved;
	const char *unresolved_cluster;
	/* once written: when to ask how far the order has come, or never */
	PaInstant	wait_until;
	/* how often it could not be written, and when to try again */
	bool		alone;
	bool		lock_wait;
	bool		troubled;		/* by an error that passes */
	int			failures;
	PaInstant	next_try;		/* PA_INSTANT_PAST: it was never deferred */
} PaUnit;

/*
 * Makes a unit.  With a cluster: from its submission until it is written the
 * cluster is in state WRITING.
 */
extern PaUnit *pa_unit_make(PaCluster *cluster);

/*
 * Adds the outcome of a job to a unit: its event gets this status and what
 * the caller sets in the result; the rest is filled in from the job.
 */
extern PaOutcome *pa_unit_add(PaUnit *unit, PaJob *job, PaEventStatus status);

/*
 * A time for the tables at which something happened after the request and, if
 * there was a call, after that began: the clock may have been set back.
 */
extern TimestampTz pa_unit_time(const PaOutcome *outcome, TimestampTz time);

extern char *pa_unit_strdup(PaUnit *unit, const char *text);

/* Sets the outcome to failed; code and message are copied. */
extern void pa_unit_fail(PaUnit *unit, PaOutcome *outcome,
						 PaErrorSource source, const char *code,
						 const char *message);

/* Sets the outcome to cancelled; NULL where there is nothing to say. */
extern void pa_unit_cancel(PaUnit *unit, PaOutcome *outcome,
						   int64 superseded_by, const char *cancelled_by,
						   const char *reason);

extern void pa_unit_submit(PaUnit *unit);

/*
 * Writes what is pending and due.  Manages its own transactions; raises only
 * if the worker cannot go on at all.  Returns the number of units written.
 */
extern int	pa_apply_pending(void);

/* When pa_apply_pending has something to do. */
extern PaInstant pa_apply_next_try(void);

/* for the status of the worker */
extern int64 pa_apply_finished_events(void);
extern int	pa_apply_deferred_units(void);
extern int64 pa_apply_errors(void);	/* transactions that failed */

extern void pa_apply_init(void);

#endif							/* PA_APPLY_H */
