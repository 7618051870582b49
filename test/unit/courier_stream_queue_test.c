/* objects: courier/stream_queue program/memory */
/*-------------------------------------------------------------------------
 *
 * test/unit/courier_stream_queue_test.c
 *		What waits to be sent over a stream: messages, and calls taken back.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

#include "courier/stream_queue.h"
#include "unit.h"

#define CALLS	500

static PaStreamQueue queue;

/* the calls and ids of all messages since the last time, as an agent reads them */
static uint64_t calls[2 * CALLS];
static size_t call_count;
static uint64_t cancelled[2 * CALLS];
static size_t cancelled_count;
static size_t largest;
static int	messages;

static void
read_all(void)
{
	uint8_t    *data;
	size_t		size;

	call_count = cancelled_count = largest = 0;
	messages = 0;
	while ((data = pa_stream_queue_take(&queue, &size)) != NULL)
	{
		Agent__StreamRequest *request =
			agent__stream_request__unpack(NULL, size, data);

		messages++;
		if (size > largest)
			largest = size;
		if (!ok(request != NULL, "a message of %zu bytes is read", size))
			exit(1);
		for (size_t i = 0; i < request->n_calls; i++)
			calls[call_count++] = request->calls[i]->call_id;
		for (size_t i = 0; i < request->n_cancelled; i++)
			cancelled[cancelled_count++] = request->cancelled[i];
		agent__stream_request__free_unpacked(request, NULL);
		free(data);
	}
}

static uint64_t
add(uint64_t call_id, size_t size)
{
	Agent__StreamCall call = AGENT__STREAM_CALL__INIT;
	uint8_t    *bytes = calloc(1, size + 1);
	uint64_t	place;

	/* bytes that look like the fields of a message */
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t) ("\x0A\x02\x12\x01\x7A"[i % 5]);
	call.call_id = call_id;
	call.method = AGENT__STREAM_METHOD__STREAM_METHOD_POWER_OFF;
	call.request.data = bytes;
	call.request.len = size;
	place = pa_stream_queue_add(&queue, &call);
	free(bytes);
	return place;
}

static void
test_order(void)
{
	is_number((int64_t) add(7, 10), 1, "the first place");
	is_number((int64_t) add(5, 10), 2, "the second");
	is_number((int64_t) add(6, 2000), 0, "one that is larger than a message");
	is_number((int64_t) add(9, 10), 3, "the third");
	read_all();
	is_number(messages, 1, "few calls are one message");
	ok(call_count == 3 && calls[0] == 7 && calls[1] == 5 && calls[2] == 9,
	   "in their order");
	is_number((int64_t) queue.taken, 3, "all are taken");
	is_number((int64_t) queue.waiting, 0, "nothing waits");

	ok(!pa_stream_queue_cancel(&queue, 5, 2), "one that was taken is not gone");
	add(11, 10);
	read_all();
	ok(cancelled_count == 1 && cancelled[0] == 5, "the agent is told of it");
	ok(call_count == 1 && calls[0] == 11, "... beside a new one");
}

static void
test_limit(void)
{
	size_t		waiting = 0;

	for (int i = 0; i < CALLS; i++)
	{
		add(1000 + i, i % 300);
		if (queue.waiting <= waiting)
			break;
		waiting = queue.waiting;
	}
	read_all();
	is_number((int64_t) call_count, CALLS, "many calls");
	ok(messages > CALLS * 150 / 1000, "... are several messages");
	ok(largest <= 1000, "... of which none is too large (%zu)", largest);
	for (size_t i = 0; i < call_count; i++)
	{
		if (calls[i] != 1000 + i)
			ok(false, "call %zu is in its place", i);
	}
}

/* whichever are taken back, the others come, each once */
static void
test_taken_back(unsigned seed)
{
	uint64_t	places[CALLS];
	bool		gone[CALLS] = {false};
	uint64_t	first_id = 100000;
	size_t		expected = 0;
	size_t		told = 0;

	srand(seed);
	for (int i = 0; i < CALLS; i++)
	{
		int			other;

		places[i] = add(first_id + (uint64_t) i, (size_t) rand() % 200);
		if (rand() % 3 != 0)
			continue;
		other = rand() % (i + 1);
		if (gone[other])
			continue;
		gone[other] = true;
		if (!pa_stream_queue_cancel(&queue, first_id + (uint64_t) other,
									places[other]))
			ok(false, "one that waits is gone at once");
		/* of some that were taken before, between them */
		if (rand() % 4 == 0)
		{
			pa_stream_queue_cancel(&queue, 1, 1);
			told++;
		}
	}
	read_all();
	for (int i = 0; i < CALLS; i++)
	{
		if (gone[i])
			continue;
		if (expected >= call_count ||
			calls[expected] != first_id + (uint64_t) i)
		{
			ok(false, "seed %u: call %d comes", seed, i);
			return;
		}
		expected++;
	}
	ok(call_count == expected,
	   "seed %u: those that were taken back do not come", seed);
	ok(cancelled_count == told, "... and ids do");
}

int
main(void)
{
	queue.limit = 1000;
	test_order();
	test_limit();
	for (unsigned seed = 0; seed < 20; seed++)
		test_taken_back(seed);
	add(1, 10);
	pa_stream_queue_clear(&queue);
	read_all();
	is_number(messages, 0, "nothing is left when it is cleared");
	return unit_done();
}
