/*-------------------------------------------------------------------------
 *
 * src/clock.h
 *		Time that only passes, and whether the calendar was set back.
 *
 * There are two kinds of time.  Calendar time (TimestampTz, the clock of the
 * machine) is what is in tables and what users speak of: not_before,
 * expires_at, when something happened.  Somebody may set it, forward or back.
 * Instants are for whoever merely waits, for so many milliseconds from now:
 * they are of the same clock for all processes of the machine, nobody can set
 * it, and they mean nothing to anybody else.
 *
 * Called in any process.  Raises nothing, takes no lock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_CLOCK_H
#define PA_CLOCK_H

#include "datatype/timestamp.h"

typedef int64 PaInstant;		/* microseconds of CLOCK_MONOTONIC, above 0 */

#define PA_INSTANT_PAST		PG_INT64_MIN
#define PA_INSTANT_NEVER	PG_INT64_MAX

extern PaInstant pa_clock_now(void);

/* "from" is neither of the two above; ms may be negative */
static inline PaInstant
pa_clock_after(PaInstant from, int64 ms)
{
	return from + ms * 1000;
}

/*
 * Milliseconds until an instant, rounded up as for a latch: 0 if it has
 * passed, INT_MAX if it is further away than that.
 */
extern long pa_clock_left(PaInstant until);

/*
 * The calendar clock.  *set_back: by how many microseconds it was set back
 * since this process called this before, 0 if it was not; less than a
 * millisecond counts only together with what follows.
 */
extern TimestampTz pa_clock_watch(int64 *set_back);

#endif							/* PA_CLOCK_H */
