/* objects: courier/pace program/memory */
/*-------------------------------------------------------------------------
 *
 * test/unit/courier_pace_test.c
 *		When calls may start: limits, gaps, and who is next.
 *
 *-------------------------------------------------------------------------
 */
#include <stddef.h>
#include <stdint.h>

#include "courier/pace.h"
#include "unit.h"

#define MANY	1000
#define FAR		INT64_C(1000000000000)

static PaPaced paced[MANY];

/* how many of "count" are let start at once */
static int
admitted(PaPace *pace, int64_t now, int count)
{
	int			number = 0;

	while (number < count && pa_pace_admit(pace, now))
		number++;
	return number;
}

static void
end_all(PaPace *pace, int64_t now, int count)
{
	for (int i = 0; i < count; i++)
		pa_pace_end(pace, now, -1);
}

/* a call that starts by itself and takes so long */
static void
one_call(PaPace *pace, int64_t now, int64_t duration)
{
	if (!pa_pace_admit(pace, now))
		ok(false, "a single call starts at once");
	else
		pa_pace_end(pace, now, duration);
}

static void
test_limit(void)
{
	PaPace	   *pace = pa_pace_create();
	PaPace	   *other = pa_pace_create();

	is_number(admitted(pace, 1, MANY), MANY, "no limit: all start");
	end_all(pace, 2, MANY);

	pa_pace_set_limit(pace, 2);
	is_number(admitted(pace, 3, MANY), 2, "no more than the limit");
	for (int i = 0; i < 3; i++)
		pa_pace_wait(pace, &paced[i], FAR);
	ok(pa_pace_take(4) == NULL, "while it is reached none has its turn");
	ok(pa_pace_due() == FAR, "... until its time is over");

	pa_pace_set_limit(other, 1);
	is_number(admitted(other, 4, 2), 1, "another server has its own");
	pa_pace_wait(other, &paced[3], FAR);
	pa_pace_end(pace, 5, -1);
	ok(pa_pace_due() <= 5, "then there is something to do");
	ok(pa_pace_take(5) == &paced[0], "... for the one that waited longest");
	ok(pa_pace_take(5) == NULL, "... and no other");
	ok(pa_pace_end(other, 6, -1), "the reader is told of an end");
	ok(pa_pace_take(6) == &paced[3], "... and finds who waited for it");
	ok(!pa_pace_end(other, 7, -1), "nobody waits: nothing is told");

	ok(!pa_pace_admit(pace, 8), "none overtakes those that wait");
	ok(pa_pace_end(pace, 9, -1), "told");
	ok(!pa_pace_end(pace, 9, -1), "... once, until the reader looks");
	ok(pa_pace_take(10) == &paced[1] && pa_pace_take(10) == &paced[2] &&
	   pa_pace_take(10) == NULL, "both start, in their order");
	ok(!pa_pace_end(pace, 11, -1) && !pa_pace_end(pace, 11, -1),
	   "the last ends tell nothing");

	is_number(admitted(pace, 12, 2), 2, "two again");
	pa_pace_wait(pace, &paced[0], FAR);
	pa_pace_set_limit(pace, 1);
	ok(pa_pace_end(pace, 13, -1), "a lower limit: an end is told");
	ok(pa_pace_take(13) == NULL, "... but one is still under way");
	pa_pace_set_limit(pace, 3);
	ok(pa_pace_take(14) == &paced[0], "a higher one lets it start");
	pa_pace_release(pace);
	pa_pace_release(other);
}

static void
test_withdrawn(void)
{
	PaPace	   *pace = pa_pace_create();

	pa_pace_set_limit(pace, 1);
	is_number(admitted(pace, 1, 2), 1, "one under way");
	for (int i = 0; i < 5; i++)
		pa_pace_wait(pace, &paced[i], FAR);
	pa_pace_withdraw(&paced[0]);
	pa_pace_withdraw(&paced[2]);
	pa_pace_withdraw(&paced[4]);
	pa_pace_set_limit(pace, 0);
	ok(pa_pace_take(2) == &paced[1] && pa_pace_take(2) == &paced[3] &&
	   pa_pace_take(2) == NULL, "withdrawn from either end and from between");
	pa_pace_set_limit(pace, 1);
	pa_pace_wait(pace, &paced[0], FAR);
	pa_pace_withdraw(&paced[0]);
	ok(pa_pace_due() == INT64_MAX, "the only one withdrawn");
	pa_pace_wait(pace, &paced[1], FAR);
	pa_pace_wait(pace, &paced[2], FAR);
	ok(pa_pace_overdue(INT64_MAX) == &paced[1] &&
	   pa_pace_overdue(INT64_MAX) == &paced[2] &&
	   pa_pace_overdue(INT64_MAX) == NULL, "all are given up at the end");
	pa_pace_release(pace);
}

static void
test_overdue(void)
{
	PaPace	   *pace = pa_pace_create();
	PaPace	   *other = pa_pace_create();

	pa_pace_set_limit(pace, 1);
	pa_pace_set_limit(other, 1);
	is_number(admitted(pace, 1, 2) + admitted(other, 1, 2), 2, "both full");
	pa_pace_wait(pace, &paced[0], 100);
	pa_pace_wait(pace, &paced[1], 120);
	pa_pace_wait(other, &paced[2], 110);
	is_number(pa_pace_due(), 100, "the first time that is over");
	ok(pa_pace_overdue(99) == NULL, "nothing is over before");
	ok(pa_pace_overdue(100) == &paced[0], "the first");
	ok(pa_pace_overdue(100) == NULL, "... only");
	is_number(pa_pace_due(), 110, "then that of another server");
	ok(pa_pace_overdue(110) == &paced[2], "the second");
	is_number(pa_pace_due(), 120, "and the last");
	pa_pace_end(pace, 115, -1);
	ok(pa_pace_due() <= 115, "it has room before its time is over");
	ok(pa_pace_take(115) == &paced[1], "and starts");
	ok(pa_pace_overdue(1000) == NULL && pa_pace_due() == INT64_MAX,
	   "nothing waits");
	pa_pace_release(pace);
	pa_pace_release(other);
}

/*
 * Lets "count" wait and start as the reader does, from "now" on; returns how
 * long that takes, and says how many start at once at most.
 */
static int64_t
spread(PaPace *pace, int64_t now, int count, int *crowd)
{
	int64_t		start = now;
	int			begun = 0;

	*crowd = 0;
	for (int i = 0; i < count; i++)
		pa_pace_wait(pace, &paced[i], FAR);
	while (begun < count)
	{
		int			together = 0;

		while (pa_pace_take(now) != NULL)
			together++;
		if (together > *crowd)
			*crowd = together;
		begun += together;
		if (begun < count)
		{
			int64_t		due = pa_pace_due();

			if (due <= now || due > now + 1000000)
			{
				ok(false, "due at %lld, and now is %lld", (long long) due,
				   (long long) now);
				break;
			}
			now = due;
		}
	}
	return now - start;
}

static void
test_gaps(void)
{
	PaPace	   *pace = pa_pace_create();
	int64_t		now = 5000000;
	int64_t		took;
	int			crowd;

	/* 50 ms: they must be through long before the first is answered */
	one_call(pace, now, 50000);
	one_call(pace, now, -1);
	took = spread(pace, now, MANY, &crowd);
	ok(took > 5000 && took <= 25000,
	   "a thousand are spread over half the time of a call at most: %lld us",
	   (long long) took);
	ok(crowd < 32, "... no more than a few start together: %d", crowd);
	end_all(pace, now, MANY);

	/* over a stream they cost less */
	pa_pace_set_light(pace, true);
	now += 100000;
	took = spread(pace, now, MANY, &crowd);
	ok(took > 5000 && took <= 10000, "light ones follow sooner: %lld us",
	   (long long) took);
	end_all(pace, now, MANY);
	pa_pace_set_light(pace, false);
	now += 100000;
	ok(spread(pace, now, MANY, &crowd) > 12000, "... and only these");
	end_all(pace, now, MANY);

	now += 100000;
	ok(admitted(pace, now, 10) == 10, "a few start together");
	end_all(pace, now, 10);

	/* failures say nothing of the agent's time */
	one_call(pace, now, -1);
	now += 100000;
	ok(spread(pace, now, MANY, &crowd) > 5000, "as before after a failure");
	end_all(pace, now, MANY);

	/* calls that take next to no time */
	now += 100000;
	one_call(pace, now, 400);
	is_number(spread(pace, now, MANY, &crowd), 0, "short calls need no gaps");
	is_number(crowd, MANY, "... they start together");
	end_all(pace, now, MANY);

	/* the short one is forgotten */
	for (int i = 0; i < 3; i++)
	{
		now += 1100000;
		one_call(pace, now, 60000000);
		one_call(pace, now + 1000, 50000);
	}
	took = spread(pace, now, MANY, &crowd);
	ok(took > 5000 && took <= 25000,
	   "what was short long ago does not count: %lld us", (long long) took);
	end_all(pace, now, MANY);

	/* a minute: gaps remain small */
	now += 10000000;
	one_call(pace, now, 60000000);
	now += 1100000;
	one_call(pace, now, 60000000);
	ok(spread(pace, now, 100, &crowd) < 10000,
	   "nobody waits for long because calls are long");
	end_all(pace, now, 100);
	pa_pace_release(pace);
}

int
main(void)
{
	test_limit();
	test_withdrawn();
	test_overdue();
	test_gaps();
	return unit_done();
}
