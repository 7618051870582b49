/* objects: agent/ledger agent/store agent/store_file agent/metric agent/table */
/*-------------------------------------------------------------------------
 *
 * test/unit/agent_ledger_test.c
 *		What the agent remembers of requests and their order.
 *
 *-------------------------------------------------------------------------
 */
#include "agent/ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/store.h"
#include "unit.h"

static PaLedger *ledger;
static PaLedgerEntry *entry;
static PaOrder newest;

static PaLedgerVerdict
admit_as(PaMethod method, const char *request_id, const char *cluster_id,
		 const char *source, const PaOrder *order)
{
	PaLedgerRequest request = {
		.request_id = request_id,
		.method = method,
		.cluster_id = cluster_id,
		.source = source,
		.order = order
	};

	return pa_ledger_admit(ledger, &request, &entry, &newest);
}

/* a PowerOnCluster of one source */
static PaLedgerVerdict
admit(const char *request_id, const char *cluster_id, uint64_t timeline,
	  uint64_t epoch, uint64_t counter)
{
	PaOrder		order = {timeline, epoch, counter};

	return admit_as(PA_METHOD_POWER_ON, request_id, cluster_id, "s", &order);
}

static void
finish(const char *reply)
{
	pa_ledger_finish(ledger, entry, (const uint8_t *) reply, strlen(reply));
}

static bool
replies(const char *expected)
{
	size_t		length;
	const uint8_t *reply = pa_ledger_reply(entry, &length);

	return length == strlen(expected) && memcmp(reply, expected, length) == 0;
}

static void
test_repetition(void)
{
	int			mark;

	ledger = pa_ledger_create(10, 1000, 10, NULL);
	is_number(admit("r1", "c", 1, 1, 1), PA_LEDGER_NEW, "a new request");
	pa_ledger_set_owner(entry, &mark);
	is_number(admit("r1", "c", 1, 1, 2), PA_LEDGER_RUNNING,
			  "its repetition, with a higher order, while it runs");
	ok(pa_ledger_owner(entry) == &mark, "finds the owner");
	is_number(admit("r1", "c", 1, 1, 2), PA_LEDGER_RUNNING,
			  "the same order of the same request is no offence");
	finish("answer");
	is_number(admit("r1", "c", 1, 1, 3), PA_LEDGER_DONE, "when it is done");
	ok(replies("answer"), "the reply is there");
	is_number(admit("r2", "c", 1, 1, 4), PA_LEDGER_NEW, "another request");
	pa_ledger_forget(ledger, entry);
	is_number(admit("r2", "c", 1, 1, 5), PA_LEDGER_NEW,
			  "what was forgotten is new again");
	finish("");
	is_number(admit("r2", "c", 1, 1, 6), PA_LEDGER_DONE, "an empty reply");
	ok(replies(""), "is a reply");
	is_number(admit_as(PA_METHOD_POWER_OFF, "r2", "c", "s", NULL),
			  PA_LEDGER_CONFLICT, "the request id of another method");
	is_number(admit_as(PA_METHOD_POWER_ON, "r2", "d", "s", NULL),
			  PA_LEDGER_CONFLICT, "and of another cluster");
	pa_ledger_free(ledger);
}

static void
test_order(void)
{
	ledger = pa_ledger_create(10, 1000, 10, NULL);
	admit("r1", "c", 2, 5, 7);
	is_number(admit("r2", "c", 2, 5, 6), PA_LEDGER_STALE, "a lower counter");
	ok(newest.timeline == 2 && newest.epoch == 5 && newest.counter == 7,
	   "tells the newest order");
	is_number(admit("r2", "c", 2, 4, 99), PA_LEDGER_STALE,
			  "a lower epoch beats a higher counter");
	is_number(admit("r2", "c", 1, 99, 99), PA_LEDGER_STALE,
			  "a lower timeline beats a higher epoch");
	is_number(admit("r2", "c", 2, 5, 7), PA_LEDGER_STALE,
			  "the same order of another request");
	is_number(admit("r1", "c", 2, 5, 6), PA_LEDGER_STALE,
			  "a lower order is stale even of a known request");
	is_number(admit("r3", "c", 2, 6, 1), PA_LEDGER_NEW, "a higher epoch");
	is_number(admit("r4", "c", 3, 1, 1), PA_LEDGER_NEW, "a higher timeline");
	is_number(admit("r5", "d", 1, 1, 1), PA_LEDGER_NEW,
			  "another cluster has its own order");
	{
		PaOrder		low = {1, 1, 1};

		is_number(admit_as(PA_METHOD_POWER_ON, "r6", "c", "t", &low),
				  PA_LEDGER_NEW, "another source has its own order");
		is_number(admit_as(PA_METHOD_POWER_ON, "r7", "", "sc", &low),
				  PA_LEDGER_NEW, "source and cluster do not run together");
	}
	is_number(admit_as(PA_METHOD_POWER_ON, "r8", "c", "s", NULL), PA_LEDGER_NEW,
			  "without a number nothing is stale");
	is_number(admit("r9", "c", 3, 1, 0), PA_LEDGER_STALE,
			  "and nothing is forgotten by it");
	is_number(admit("r10", "e", UINT64_MAX, UINT64_MAX, UINT64_MAX),
			  PA_LEDGER_NEW, "the highest order");
	is_number(admit("r11", "e", 0, 0, 0), PA_LEDGER_STALE, "and the lowest");
	pa_ledger_free(ledger);
}

static void
test_without_id(void)
{
	ledger = pa_ledger_create(10, 1000, 10, NULL);
	is_number(admit("", "c", 1, 1, 1), PA_LEDGER_NEW, "a request without an id");
	ok(entry == NULL, "has no entry");
	is_number(admit("", "c", 1, 1, 2), PA_LEDGER_NEW, "and is new every time");
	is_number(admit("", "c", 1, 1, 1), PA_LEDGER_STALE, "unless it is stale");
	pa_ledger_free(ledger);
}

static void
test_limits(void)
{
	PaLedgerEntry *running;
	char		id[32];

	ledger = pa_ledger_create(3, 1000, 100, NULL);
	admit("running", "c", 1, 1, 1);
	running = entry;
	for (int i = 0; i < 4; i++)
	{
		snprintf(id, sizeof(id), "r%d", i);
		admit(id, "c", 1, 2, i);
		finish("x");
		admit_as(PA_METHOD_POWER_ON, "r0", "c", "s", NULL);
	}
	/* r0 was used again each time, so r1 is the one that had to go */
	is_number(admit_as(PA_METHOD_POWER_ON, "r0", "c", "s", NULL), PA_LEDGER_DONE,
			  "what was used lately is kept");
	is_number(admit_as(PA_METHOD_POWER_ON, "r1", "c", "s", NULL), PA_LEDGER_NEW,
			  "the least recently used answer is forgotten");
	pa_ledger_forget(ledger, entry);
	is_number(admit_as(PA_METHOD_POWER_ON, "running", "c", "s", NULL),
			  PA_LEDGER_RUNNING, "what runs is never forgotten");
	ok(entry == running, "and is the same");
	pa_ledger_free(ledger);

	ledger = pa_ledger_create(100, 20, 100, NULL);
	admit_as(PA_METHOD_POWER_ON, "a", "c", "s", NULL);
	finish("0123456789");
	admit_as(PA_METHOD_POWER_ON, "b", "c", "s", NULL);
	finish("0123456789");
	is_number(admit_as(PA_METHOD_POWER_ON, "a", "c", "s", NULL), PA_LEDGER_DONE,
			  "two replies fit");
	admit_as(PA_METHOD_POWER_ON, "d", "c", "s", NULL);
	finish("0123456789");
	is_number(admit_as(PA_METHOD_POWER_ON, "b", "c", "s", NULL), PA_LEDGER_NEW,
			  "a third pushes one out");
	pa_ledger_forget(ledger, entry);
	admit_as(PA_METHOD_POWER_ON, "e", "c", "s", NULL);
	finish("a reply that alone is over the limit");
	is_number(admit_as(PA_METHOD_POWER_ON, "e", "c", "s", NULL), PA_LEDGER_DONE,
			  "the newest reply is kept whatever its size");
	is_number(admit_as(PA_METHOD_POWER_ON, "d", "c", "s", NULL), PA_LEDGER_NEW,
			  "all others went");
	pa_ledger_free(ledger);

	ledger = pa_ledger_create(100, 1000, 2, NULL);
	admit("r1", "c1", 1, 1, 5);
	admit("r2", "c2", 1, 1, 5);
	admit("r3", "c1", 1, 1, 6);
	admit("r4", "c3", 1, 1, 5);
	is_number(admit("r5", "c1", 1, 1, 1), PA_LEDGER_STALE,
			  "the order of a busy cluster is kept");
	is_number(admit("r6", "c2", 1, 1, 1), PA_LEDGER_NEW,
			  "that of the quiet one is forgotten");
	pa_ledger_free(ledger);
}

/* many ids, so that the tables grow and entries come and go */
static void
test_many(void)
{
	int			wrong = 0;
	char		id[32];
	char		cluster[32];

	ledger = pa_ledger_create(1000, 1000000, 1000, NULL);
	for (int i = 0; i < 20000; i++)
	{
		snprintf(id, sizeof(id), "r%d", i);
		snprintf(cluster, sizeof(cluster), "c%d", i % 3000);
		if (admit(id, cluster, 1, 1, i) != PA_LEDGER_NEW)
			wrong++;
		finish(id);
		/* looking at one makes it new again: half of the memory is for these */
		if (i >= 400)
		{
			snprintf(id, sizeof(id), "r%d", i - 400);
			snprintf(cluster, sizeof(cluster), "c%d", (i - 400) % 3000);
			if (admit_as(PA_METHOD_POWER_ON, id, cluster, "s", NULL) !=
				PA_LEDGER_DONE || !replies(id))
				wrong++;
		}
	}
	is_number(wrong, 0, "20000 requests with a memory for 1000");
	pa_ledger_free(ledger);
}

/*
 * The store, and a ledger that has loaded it.  Each time it is another
 * process's, as far as the ledger can tell.
 */
static PaStore *store;
static char state[64];

static void
wake(void *data)
{
}

static void
open_ledger(size_t max_requests, size_t max_bytes, size_t max_orders)
{
	char		problem[512] = "";

	store = pa_store_open(state, problem, sizeof(problem));
	if (store == NULL)
	{
		printf("Bail out! %s\n", problem);
		exit(1);
	}
	ledger = pa_ledger_create(max_requests, max_bytes, max_orders, store);
	if (!pa_ledger_load(ledger, problem, sizeof(problem)))
		ok(false, "the store is read: %s", problem);
	pa_store_start(store, wake, NULL);
}

static void
close_ledger(void)
{
	pa_ledger_free(ledger);
	pa_store_close(store);
}

static void
test_restart(void)
{
	open_ledger(10, 1000, 10);
	admit("done", "c", 2, 5, 7);
	finish("answer");
	admit("empty", "d", 1, 1, 1);
	finish("");
	admit("forgotten", "e", 1, 1, 1);
	pa_ledger_forget(ledger, entry);
	admit("running", "f", 1, 1, 3);
	admit("running", "f", 1, 1, 4);
	admit("top", "g", UINT64_MAX, UINT64_MAX, UINT64_MAX);
	close_ledger();

	open_ledger(10, 1000, 10);
	is_number(admit("done", "c", 2, 5, 7), PA_LEDGER_DONE,
			  "after a restart: a request that was answered");
	ok(replies("answer"), "has its reply");
	is_number(admit("other", "c", 2, 5, 6), PA_LEDGER_STALE,
			  "a lower order is stale");
	ok(newest.timeline == 2 && newest.epoch == 5 && newest.counter == 7,
	   "and told the newest");
	is_number(admit("other", "c", 2, 5, 7), PA_LEDGER_STALE,
			  "the same order of another request is stale");
	is_number(admit_as(PA_METHOD_POWER_OFF, "done", "c", "s", NULL),
			  PA_LEDGER_CONFLICT, "the method was kept");
	is_number(admit("empty", "d", 1, 1, 1), PA_LEDGER_DONE, "an empty reply");
	ok(replies(""), "is one still");
	is_number(admit("forgotten", "e", 1, 1, 1), PA_LEDGER_NEW,
			  "what was forgotten is new");
	is_number(admit("running", "f", 1, 1, 3), PA_LEDGER_STALE,
			  "the number of a repetition counts");
	is_number(admit("running", "f", 1, 1, 4), PA_LEDGER_NEW,
			  "what was under way is new, if it is not stale");
	is_number(admit("late", "g", UINT64_MAX, UINT64_MAX, UINT64_MAX - 1),
			  PA_LEDGER_STALE, "numbers of 64 bits");
	is_number(admit("new", "c", 2, 5, 8), PA_LEDGER_NEW, "a new request");
	finish("second life");
	close_ledger();

	open_ledger(10, 1000, 10);
	is_number(admit("new", "c", 2, 5, 8), PA_LEDGER_DONE, "of the second life");
	ok(replies("second life"), "with its own reply");
	is_number(admit("done", "c", 2, 5, 9), PA_LEDGER_DONE,
			  "and that of the first is there still");
	ok(replies("answer"), "with its own");
	close_ledger();
	unlink(state);
}

/* the store has what the memory has, and a smaller memory takes the newest */
static void
test_restart_limits(void)
{
	char		id[32];

	open_ledger(4, 1000, 4);
	for (int i = 0; i < 20; i++)
	{
		char		cluster[32];

		snprintf(id, sizeof(id), "r%d", i);
		snprintf(cluster, sizeof(cluster), "c%d", i);
		admit(id, cluster, 1, 1, 5);
		finish(id);
		admit("busy", "c0", 1, 1, 10 + i);
		pa_ledger_forget(ledger, entry);
	}
	close_ledger();

	open_ledger(1000, 100000, 1000);
	is_number(admit_as(PA_METHOD_POWER_ON, "r15", "c15", "s", NULL),
			  PA_LEDGER_NEW, "what was forgotten is not in the store");
	is_number(admit_as(PA_METHOD_POWER_ON, "r16", "c16", "s", NULL),
			  PA_LEDGER_DONE, "what was not, is");
	is_number(admit("x1", "c16", 1, 1, 1), PA_LEDGER_NEW,
			  "the order of a quiet cluster is not");
	is_number(admit("x2", "c17", 1, 1, 1), PA_LEDGER_STALE,
			  "those of the last ones are");
	is_number(admit("x3", "c0", 1, 1, 28), PA_LEDGER_STALE,
			  "and so is that of the busy one");
	close_ledger();

	open_ledger(2, 1000, 2);
	is_number(admit("x4", "c0", 1, 1, 1), PA_LEDGER_STALE,
			  "a smaller memory keeps the orders used last");
	is_number(admit_as(PA_METHOD_POWER_ON, "r17", "c17", "s", NULL),
			  PA_LEDGER_NEW, "and forgets older answers");
	pa_ledger_forget(ledger, entry);
	is_number(admit_as(PA_METHOD_POWER_ON, "r19", "c19", "s", NULL),
			  PA_LEDGER_DONE, "not the newest");
	close_ledger();

	open_ledger(1000, 100000, 1000);
	is_number(admit_as(PA_METHOD_POWER_ON, "r17", "c17", "s", NULL),
			  PA_LEDGER_NEW, "which the store has then forgotten, too");
	close_ledger();
	unlink(state);
}

int
main(void)
{
	char		directory[] = "/tmp/ledger-test-XXXXXX";

	if (mkdtemp(directory) == NULL)
		return 1;
	snprintf(state, sizeof(state), "%s/state", directory);
	test_repetition();
	test_order();
	test_without_id();
	test_limits();
	test_many();
	test_restart();
	test_restart_limits();
	rmdir(directory);
	return unit_done();
}
