/*-------------------------------------------------------------------------
 *
 * src/ending.h
 *		Jobs that end without a call: superseded, expired, given up because
 *		their agent is away for too long, or cancelled.
 *
 * Called in the worker only, inside a transaction that reads.  What is
 * decided becomes units (apply.h).  If a predecessor, or an attempt before,
 * may have sent the order, the event says that its result is unknown; what
 * that means for the cluster, here and after a call, is decided here, too.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_ENDING_H
#define PA_ENDING_H

#include "apply.h"
#include "queue.h"

/* What is known of an order for which no (other) call will be made. */
extern PaAgentResult pa_ending_result(const PaJob *job);

/*
 * If orders of this unit end with an unknown result, so is what their cluster
 * is now, and an agent that can be asked is asked.  Call it when all outcomes
 * have been added.  job: any of the unit's.  cluster: theirs, NULL if it is
 * not in memory; the agent is not asked if another of its jobs will tell.
 */
extern void pa_ending_leave_unknown(PaUnit *unit, const PaJob *job,
									const PaCluster *cluster);

/* A job that nothing is under way for; it leaves its cluster. */
extern void pa_ending_supersede(PaJob *job, const PaJob *by);
extern bool pa_ending_has_expired(const PaJob *job, TimestampTz now);
extern void pa_ending_expire(PaJob *job);
extern void pa_ending_cancel(PaJob *job, const char *by, const char *reason);

/* A job that expires then is in the table. */
extern void pa_ending_note_expiry(TimestampTz expires_at);

/* Jobs that are too late: expired, or their agent is away for too long. */
extern void pa_ending_sweep(TimestampTz now);
extern bool pa_ending_has_work(TimestampTz now);
extern TimestampTz pa_ending_next_expiry(void);
extern PaInstant pa_ending_next_give_up(void);

/*
 * Requests to cancel, a page of them.  cancel_call is called for each call in
 * flight that is to be cancelled.  fresh: there may be new ones.  Returns true
 * if there may be more.
 */
extern bool pa_ending_cancellations(bool fresh,
									void (*cancel_call) (PaCluster *cluster));

#endif							/* PA_ENDING_H */
