/*-------------------------------------------------------------------------
 *
 * src/program/clock.c
 *		Time that only passes.  Contract in clock.h.
 *
 *-------------------------------------------------------------------------
 */
#include "clock.h"

#include <time.h>

int64_t
pa_clock_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}
