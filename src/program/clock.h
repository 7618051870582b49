/*-------------------------------------------------------------------------
 *
 * src/program/clock.h
 *		Time that only passes, for whoever waits or measures.
 *
 * Any thread.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_PROGRAM_CLOCK_H
#define PA_PROGRAM_CLOCK_H

#include <stdint.h>

/* microseconds on a clock that never goes back */
extern int64_t pa_clock_now(void);

#endif							/* PA_PROGRAM_CLOCK_H */
