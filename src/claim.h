/*-------------------------------------------------------------------------
 *
 * src/claim.h
 *		From the table into memory: which clusters have something due, and
 *		what of it is to be sent.
 *
 * Called in the worker only.  All but pa_claim_init and the questions run
 * inside a transaction of the caller that only reads.
 *
 * Nothing is written to claim a job: it is taken by being in memory.  So
 * there is no lease to run out and nothing to clear after a crash.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_CLAIM_H
#define PA_CLAIM_H

#include "queue.h"

/*
 * At the start of the worker: all lanes, from the beginning.  What is in the
 * table and was due by "until" may have been sent by a predecessor.
 */
extern void pa_claim_start(TimestampTz until);

/* After an error: what was read is read again. */
extern void pa_claim_restart(void);

/*
 * The clock was set back.  Until it is what it was, sessions may commit what
 * they requested before.
 */
extern void pa_claim_expect_ahead(TimestampTz until);

/*
 * true once after a job was seen that is due when it was requested, and yet
 * after the time that it is.
 */
extern bool pa_claim_found_ahead(void);

/* Jobs with ids in these ranges were committed. */
extern void pa_claim_arrivals(const PaEventRange *ranges, int count,
							  TimestampTz now);

/*
 * Looks for jobs whose commit was not notified (a prepared transaction, a
 * notification to a worker that had just ended).  Bounded by what was known
 * to be complete the last time.
 */
extern void pa_claim_look(TimestampTz now);

/* Takes due jobs of servers that have room, and reads what is to be loaded. */
extern void pa_claim_jobs(TimestampTz now);

/* true if pa_claim_jobs would read something */
extern bool pa_claim_has_work(TimestampTz now);

/* the next time at which there is something to claim */
extern TimestampTz pa_claim_next_time(void);

#endif							/* PA_CLAIM_H */
