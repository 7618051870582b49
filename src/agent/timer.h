/*-------------------------------------------------------------------------
 *
 * src/agent/timer.h
 *		Timers in a heap, by the clock of pa_clock_now.
 *
 * Nothing here waits: the server's loop asks when the next timer is due,
 * waits for its completion queue until then, and runs what is due.  Not
 * locked: everything happens under the server's lock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_TIMER_H
#define PA_AGENT_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct PaTimer			/* zeroed: not set */
{
	int64_t		due;			/* us on the clock of pa_clock_now */
	size_t		position;		/* in the heap, from 1; 0: not set */
	void		(*fire) (struct PaTimer *timer);
} PaTimer;

typedef struct PaTimers			/* zeroed: empty */
{
	PaTimer   **heap;
	size_t		count;
	size_t		capacity;
} PaTimers;

/* sets a timer, or sets it anew; the timer stays the caller's */
extern void pa_timer_set(PaTimers *timers, PaTimer *timer, int64_t due,
						 void (*fire) (PaTimer *timer));
extern void pa_timer_clear(PaTimers *timers, PaTimer *timer);

/* the earliest due time, INT64_MAX if there is none */
extern int64_t pa_timer_next(const PaTimers *timers);

/* fires what was due at "now"; what a timer sets meanwhile may fire too */
extern void pa_timer_run(PaTimers *timers, int64_t now);

extern void pa_timer_free(PaTimers *timers);

#endif							/* PA_AGENT_TIMER_H */
