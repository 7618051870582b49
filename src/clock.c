/*-------------------------------------------------------------------------
 *
 * src/clock.c
 *		Time that only passes, and whether the calendar was set back.  See
 *		clock.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>
#include <time.h>

#include "utils/timestamp.h"

#include "clock.h"

/* Microseconds. */
#define TOLERANCE	1000		/* a smaller step is none */
#define MAX_TRIES	3			/* for a look at both clocks at one time */

PaInstant
pa_clock_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (PaInstant) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

long
pa_clock_left(PaInstant until)
{
	PaInstant	now = pa_clock_now();
	int64		left;

	if (until <= now)
		return 0;
	if (until == PA_INSTANT_NEVER)
		return INT_MAX;
	left = (until - now + 999) / 1000;
	return (long) Min(left, INT_MAX);
}

/*
 * The calendar is ahead of the instants by some amount, the same as long as
 * nobody sets it: slewing a clock changes the pace of both.  It is read
 * between two instants, so what is known of that amount is a range.  If all
 * of the range lies below what it surely was before, the clock was set back,
 * even if this process was held up in between.
 */
TimestampTz
pa_clock_watch(int64 *set_back)
{
	static bool known = false;
	static int64 ahead;			/* at least, at the most it has been */
	PaInstant	before;
	PaInstant	after;
	TimestampTz calendar;
	int			tries = 0;

	do
	{
		before = pa_clock_now();
		calendar = GetCurrentTimestamp();
		after = pa_clock_now();
	} while (after - before > TOLERANCE && ++tries < MAX_TRIES);

	*set_back = 0;
	if (!known || calendar - after > ahead)
		ahead = calendar - after;
	else if (calendar - before < ahead - TOLERANCE)
	{
		*set_back = ahead - (calendar - before);
		ahead = calendar - after;
	}
	known = true;
	return calendar;
}
