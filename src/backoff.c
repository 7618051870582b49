/*-------------------------------------------------------------------------
 *
 * src/backoff.c
 *		How long to wait before the next attempt.  See backoff.h.
 *
 *-------------------------------------------------------------------------
 */
#include "backoff.h"

int64_t
pa_backoff_delay(int64_t initial_ms, int64_t max_ms, int attempt,
				 double random)
{
	int64_t		ceiling = initial_ms;

	/* doubling stops at the maximum, so it cannot overflow */
	for (int i = 1; i < attempt && ceiling < max_ms; i++)
		ceiling = ceiling > max_ms / 2 ? max_ms : ceiling * 2;

	if (ceiling > max_ms)
		ceiling = max_ms;

	return (int64_t) (random * (double) ceiling);
}
