/*-------------------------------------------------------------------------
 *
 * src/agent/timer.c
 *		Timers in a heap.  Contract in timer.h.
 *
 *-------------------------------------------------------------------------
 */
#include "timer.h"

#include <stdlib.h>
#include <string.h>

#include "program/memory.h"

static void
place(PaTimers *timers, PaTimer *timer, size_t position)
{
	timers->heap[position] = timer;
	timer->position = position;
}

static void
sift_up(PaTimers *timers, PaTimer *timer, size_t position)
{
	while (position > 1 && timers->heap[position / 2]->due > timer->due)
	{
		place(timers, timers->heap[position / 2], position);
		position /= 2;
	}
	place(timers, timer, position);
}

static void
sift_down(PaTimers *timers, PaTimer *timer, size_t position)
{
	for (;;)
	{
		size_t		child = position * 2;

		if (child > timers->count)
			break;
		if (child < timers->count &&
			timers->heap[child + 1]->due < timers->heap[child]->due)
			child++;
		if (timers->heap[child]->due >= timer->due)
			break;
		place(timers, timers->heap[child], position);
		position = child;
	}
	place(timers, timer, position);
}

void
pa_timer_set(PaTimers *timers, PaTimer *timer, int64_t due,
			 void (*fire) (PaTimer *timer))
{
	pa_timer_clear(timers, timer);
	timer->due = due;
	timer->fire = fire;
	if (timers->count + 2 > timers->capacity)
	{
		timers->capacity = timers->capacity ? timers->capacity * 2 : 64;
		timers->heap = pa_memory_resize(timers->heap, timers->capacity *
										sizeof(*timers->heap));
	}
	sift_up(timers, timer, ++timers->count);
}

void
pa_timer_clear(PaTimers *timers, PaTimer *timer)
{
	size_t		position = timer->position;
	PaTimer    *last;

	if (position == 0)
		return;
	timer->position = 0;
	last = timers->heap[timers->count--];
	if (last == timer)
		return;
	if (position > 1 && timers->heap[position / 2]->due > last->due)
		sift_up(timers, last, position);
	else
		sift_down(timers, last, position);
}

int64_t
pa_timer_next(const PaTimers *timers)
{
	return timers->count > 0 ? timers->heap[1]->due : INT64_MAX;
}

void
pa_timer_run(PaTimers *timers, int64_t now)
{
	while (timers->count > 0 && timers->heap[1]->due <= now)
	{
		PaTimer    *timer = timers->heap[1];

		pa_timer_clear(timers, timer);
		timer->fire(timer);
	}
}

void
pa_timer_free(PaTimers *timers)
{
	free(timers->heap);
	memset(timers, 0, sizeof(*timers));
}
