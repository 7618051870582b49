/*-------------------------------------------------------------------------
 *
 * src/courier/pace.c
 *		When the calls of a server may start.  See pace.h.
 *
 *-------------------------------------------------------------------------
 */
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#include "pace.h"
#include "program/memory.h"

#define PERIOD			1000000 /* in which the shortest call is sought */
#define LONGEST_CALL	1000000 /* that counts; so that nothing overflows */
#define NO_CALL			INT64_MAX

/*
 * Calls are spread over half of the shortest time, so that they never hold
 * those back that follow.  Gaps in nanoseconds: gRPC needs some ten
 * microseconds for a call on either side, so wider ones bring nothing, and
 * with narrower ones than the shortest, calls come in crowds anyway.
 */
#define SPREAD			2
#define LONGEST_GAP		20000
#define LIGHT_GAP		10000	/* of calls that share a stream */
#define SHORTEST_GAP	4000
#define FEW				16		/* that start together nevertheless */

struct PaPace
{
	atomic_uint owners;

	/* of the reader */
	PaPace	   *next;			/* that has something waiting */
	PaPaced    *first;			/* waiting, oldest first */
	PaPaced    *last;
	int64_t		due_ns;			/* of the next call */
	int64_t		longest_gap;

	/* of both threads */
	atomic_uint limit;
	atomic_uint started;		/* and not ended */
	atomic_uint waiting;
	atomic_bool told;			/* the reader has yet to look */

	/* the shortest calls of this and the last period; ended by one thread */
	atomic_int_least64_t current;
	atomic_int_least64_t previous;
	int64_t		period_end;
};

static PaPace *crowded;			/* that have something waiting */

PaPace *
pa_pace_create(void)
{
	PaPace	   *pace = pa_memory_allocate_zeroed(sizeof(*pace));

	pace->longest_gap = LONGEST_GAP;
	atomic_init(&pace->owners, 1);
	atomic_init(&pace->current, NO_CALL);
	atomic_init(&pace->previous, NO_CALL);
	return pace;
}

PaPace *
pa_pace_share(PaPace *pace)
{
	atomic_fetch_add(&pace->owners, 1);
	return pace;
}

void
pa_pace_release(PaPace *pace)
{
	if (atomic_fetch_sub(&pace->owners, 1) == 1)
		free(pace);
}

void
pa_pace_set_limit(PaPace *pace, unsigned limit)
{
	atomic_store(&pace->limit, limit);
}

static bool
is_full(PaPace *pace)
{
	unsigned	limit = atomic_load(&pace->limit);

	return limit > 0 && atomic_load(&pace->started) >= limit;
}

static int64_t
gap_of(PaPace *pace)
{
	int64_t		current = atomic_load(&pace->current);
	int64_t		previous = atomic_load(&pace->previous);
	int64_t		shortest = current < previous ? current : previous;
	int64_t		calls = atomic_load(&pace->started) +
		atomic_load(&pace->waiting);
	int64_t		gap;

	if (shortest == NO_CALL || calls == 0)
		return 0;
	if (shortest > LONGEST_CALL)
		shortest = LONGEST_CALL;
	gap = shortest * 1000 / SPREAD / calls;
	return gap < SHORTEST_GAP ? 0 :
		gap > pace->longest_gap ? pace->longest_gap : gap;
}

static bool
may_start(PaPace *pace, int64_t now)
{
	int64_t		now_ns = now * 1000;
	int64_t		gap = gap_of(pace);

	if (is_full(pace))
		return false;
	if (gap > 0)
	{
		if (pace->due_ns > now_ns)
			return false;
		if (pace->due_ns < now_ns - FEW * gap)
			pace->due_ns = now_ns - FEW * gap;
		pace->due_ns += gap;
	}
	atomic_fetch_add(&pace->started, 1);
	return true;
}

void
pa_pace_set_light(PaPace *pace, bool light)
{
	pace->longest_gap = light ? LIGHT_GAP : LONGEST_GAP;
}

unsigned
pa_pace_started(PaPace *pace)
{
	return atomic_load(&pace->started);
}

bool
pa_pace_admit(PaPace *pace, int64_t now)
{
	return pace->first == NULL && may_start(pace, now);
}

void
pa_pace_wait(PaPace *pace, PaPaced *paced, int64_t start_by)
{
	paced->next = NULL;
	paced->pace = pace;
	paced->start_by = start_by;
	if (pace->first == NULL)
	{
		pace->first = paced;
		pace->next = crowded;
		crowded = pace;
	}
	else
		pace->last->next = paced;
	pace->last = paced;
	atomic_fetch_add(&pace->waiting, 1);
}

void
pa_pace_withdraw(PaPaced *paced)
{
	PaPace	   *pace = paced->pace;
	PaPaced    *before = NULL;

	if (pace->first == paced)
		pace->first = paced->next;
	else
	{
		for (before = pace->first; before->next != paced;
			 before = before->next)
			;
		before->next = paced->next;
	}
	if (pace->last == paced)
		pace->last = before;
	atomic_fetch_sub(&pace->waiting, 1);

	if (pace->first == NULL)
	{
		PaPace	  **link = &crowded;

		while (*link != pace)
			link = &(*link)->next;
		*link = pace->next;
	}
}

PaPaced *
pa_pace_take(int64_t now)
{
	for (PaPace *pace = crowded; pace != NULL; pace = pace->next)
	{
		/* before the look, so that whatever ends after it is told */
		atomic_store(&pace->told, false);
		if (may_start(pace, now))
		{
			PaPaced    *paced = pace->first;

			pa_pace_withdraw(paced);
			return paced;
		}
	}
	return NULL;
}

PaPaced *
pa_pace_overdue(int64_t now)
{
	for (PaPace *pace = crowded; pace != NULL; pace = pace->next)
	{
		PaPaced    *paced = pace->first;

		if (paced->start_by <= now)
		{
			pa_pace_withdraw(paced);
			return paced;
		}
	}
	return NULL;
}

int64_t
pa_pace_due(void)
{
	int64_t		due = INT64_MAX;

	for (PaPace *pace = crowded; pace != NULL; pace = pace->next)
	{
		/* rounded up: not before it is due */
		int64_t		turn = (pace->due_ns + 999) / 1000;

		if (is_full(pace) || pace->first->start_by < turn)
			turn = pace->first->start_by;
		if (turn < due)
			due = turn;
	}
	return due;
}

static void
note_duration(PaPace *pace, int64_t now, int64_t duration)
{
	int64_t		current = atomic_load(&pace->current);

	if (now >= pace->period_end)
	{
		bool		stale = now >= pace->period_end + PERIOD;

		atomic_store(&pace->previous, stale ? NO_CALL : current);
		pace->period_end = now + PERIOD;
		atomic_store(&pace->current, duration);
	}
	else if (duration < current)
		atomic_store(&pace->current, duration);
}

bool
pa_pace_end(PaPace *pace, int64_t now, int64_t duration)
{
	unsigned	started;
	unsigned	limit;

	if (duration >= 0)
		note_duration(pace, now, duration);
	started = atomic_fetch_sub(&pace->started, 1);
	/* only now: a reader that looks before has set the one it looks at */
	limit = atomic_load(&pace->limit);
	return limit > 0 && started >= limit &&
		atomic_load(&pace->waiting) > 0 && !atomic_exchange(&pace->told, true);
}
