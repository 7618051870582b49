/* objects: backoff */
/*-------------------------------------------------------------------------
 *
 * test/unit/backoff_test.c
 *		Delays between attempts: bounds, growth, jitter, no overflow.
 *
 *-------------------------------------------------------------------------
 */
#include <stdint.h>

#include "backoff.h"
#include "unit.h"

#define ALMOST_ONE 0.9999999

int
main(void)
{
	int64_t		previous = 0;

	is_number(pa_backoff_delay(1000, 60000, 1, 0.0), 0,
			  "full jitter begins at zero");
	is_number(pa_backoff_delay(1000, 60000, 1, 0.5), 500,
			  "the first delay is below the initial one");
	is_number(pa_backoff_delay(1000, 60000, 2, 0.5), 1000,
			  "the second ceiling is twice the first");
	is_number(pa_backoff_delay(1000, 60000, 4, 0.5), 4000,
			  "and so on");
	is_number(pa_backoff_delay(1000, 60000, 7, 0.5), 30000,
			  "the ceiling stops at the maximum");
	is_number(pa_backoff_delay(5000, 1000, 1, 0.5), 500,
			  "a maximum below the initial delay holds");
	is_number(pa_backoff_delay(1, INT64_MAX / 4, 2000000000, 0.5),
			  (INT64_MAX / 4) / 2 + 1,
			  "many attempts do not overflow");
	is_number(pa_backoff_delay(0, 60000, 5, 0.5), 0,
			  "no initial delay means none at all");

	for (int attempt = 1; attempt < 100; attempt++)
	{
		int64_t		delay = pa_backoff_delay(10, 60000, attempt, ALMOST_ONE);

		if (delay < previous || delay > 60000)
		{
			ok(false, "delay of attempt %d is in order", attempt);
			break;
		}
		previous = delay;
	}
	ok(previous > 59000, "delays grow up to the maximum and stay there");

	return unit_done();
}
