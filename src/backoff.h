/*-------------------------------------------------------------------------
 *
 * src/backoff.h
 *		How long to wait before the next attempt.
 *
 * Pure: no state, no clock, no source of randomness of its own.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_BACKOFF_H
#define PA_BACKOFF_H

#include <stdint.h>

/*
 * Exponential backoff with full jitter: a delay between 0 and
 * min(max_ms, initial_ms * 2^(attempt - 1)) milliseconds.
 *
 * attempt: the number of attempts that failed, from 1.
 * random: a uniform number, 0 <= random < 1.
 */
extern int64_t pa_backoff_delay(int64_t initial_ms, int64_t max_ms,
								int attempt, double random);

#endif							/* PA_BACKOFF_H */
