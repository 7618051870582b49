/*-------------------------------------------------------------------------
 *
 * src/agent/units.h
 *		Numbers, times and sizes as people write them.  Pure.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_UNITS_H
#define PA_AGENT_UNITS_H

#include <stdbool.h>
#include <stdint.h>

/* what to tell someone whose value was refused */
#define PA_UNITS_DURATION \
	"a time with a unit of us, ms, s, min or h, such as 50ms or 1.5s; without a unit it is milliseconds"
#define PA_UNITS_SIZE \
	"a number of bytes, optionally with a unit of B, kB or MB, such as 5MB"

/* all return false, and leave the result alone, if the text is not valid */
extern bool pa_units_number(const char *text, int64_t low, int64_t high,
							int64_t *number);

/* microseconds; up to 366 days */
extern bool pa_units_duration(const char *text, int64_t *microseconds);

/* bytes; up to 1 GB */
extern bool pa_units_size(const char *text, int64_t *bytes);

#endif							/* PA_AGENT_UNITS_H */
