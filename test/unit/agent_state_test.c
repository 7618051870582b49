/* objects: */
/* needs: power_agent */
/*-------------------------------------------------------------------------
 *
 * test/unit/agent_state_test.c
 *		The agent with --state: what it knows after it was killed, and what it
 *		does while it cannot write.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE 1

#include <sys/resource.h>

#include "agent_client.h"

#define START_LINE	"\"event\":\"start\""

static char common[512];

/* starts it with a state and a log, which both stay */
static void
start_with(const char *more)
{
	char		arguments[1024];

	snprintf(arguments, sizeof(arguments), "%s %s", common, more);
	start_agent(arguments);
}

static void
crash_agent(void)
{
	grpc_channel_destroy(channel);
	channel = NULL;
	kill(agent_pid, SIGKILL);
	await_agent();
}

static void
forget_all(void)
{
	unlink(path_of("state"));
	unlink(path_of("state-wal"));
	unlink(path_of("log"));
}

static int
count_orders(const char *request_id)
{
	char		text[64];

	snprintf(text, sizeof(text), "\"request_id\":\"%s\"", request_id);
	return count_lines("log", START_LINE, text);
}

static bool
await_order(const char *request_id)
{
	char		text[64];

	snprintf(text, sizeof(text), "\"request_id\":\"%s\"", request_id);
	return await_lines("log", START_LINE, text, 1);
}

static bool
same_reply(const Call *one, const Call *other)
{
	return one->status == GRPC_STATUS_OK && other->status == GRPC_STATUS_OK &&
		one->reply_length > 0 && one->reply_length == other->reply_length &&
		memcmp(one->reply_bytes, other->reply_bytes, one->reply_length) == 0;
}

/* no file of the agent may grow beyond what its log of the state has now */
static void
limit_files(void)
{
	struct stat status;
	struct rlimit limit;

	if (stat(path_of("state-wal"), &status) != 0 ||
		prlimit(agent_pid, RLIMIT_FSIZE, NULL, &limit) != 0)
		give_up("no state");
	limit.rlim_cur = (rlim_t) status.st_size;
	prlimit(agent_pid, RLIMIT_FSIZE, &limit, NULL);
}

static void
unlimit_files(void)
{
	struct rlimit limit;

	prlimit(agent_pid, RLIMIT_FSIZE, NULL, &limit);
	limit.rlim_cur = limit.rlim_max;
	prlimit(agent_pid, RLIMIT_FSIZE, &limit, NULL);
}

/* the order, again with higher numbers until it is not refused for the disk */
static Call *
make_call_when_it_works(const char *method, Order order)
{
	for (int64_t end = now_ms() + PATIENCE * 1000;; order.counter++)
	{
		Call	   *call = make_call(method, order);

		if (call->status != GRPC_STATUS_RESOURCE_EXHAUSTED || now_ms() > end)
			return call;
		free_call(call);
	}
}

static void
test_crash(void)
{
	Call	   *first;
	Call	   *again;
	Call	   *lost;

	forget_all();
	write_file("rules", "c4 hang when=after\n");
	start_with("--transition-time 1h");
	first = make_call(POWER_ON, (Order)
					  {
						  .cluster = "c1", .request_id = "r1", .counter = 10
					  });
	expect_state(make_call(POWER_ON, (Order)
						   {
							   .cluster = "c2", .request_id = "r2", .counter = 10
						   }), STARTING, "an order that takes long");
	lost = begin_call(POWER_ON, (Order)
					  {
						  .cluster = "c4", .request_id = "r4", .counter = 10
					  });
	ok(await_order("r4"), "an order whose answer is lost");
	crash_agent();
	end_call(lost);
	free_call(lost);

	start_with("");
	again = make_call(POWER_ON, (Order)
					  {
						  .cluster = "c1", .request_id = "r1", .counter = 11
					  });
	ok(same_reply(first, again), "after a crash the same answer");
	free_call(again);
	is_number(count_orders("r1"), 1, "and no second order");
	expect_status(make_call(POWER_OFF, (Order)
							{
								.cluster = "c1", .request_id = "r9", .counter = 10
							}), GRPC_STATUS_FAILED_PRECONDITION,
				  "stale order: 1/1/10 came after 1/1/11", "an older order is stale");
	expect_state(make_call(GET_STATE, (Order) {.cluster = "c1"}), RUNNING,
				 "the simulated cloud has not forgotten");
	expect_status(make_call(POWER_OFF, (Order)
							{
								.cluster = "c1", .request_id = "r1", .counter = 12
							}), GRPC_STATUS_INVALID_ARGUMENT, "request_id",
				  "nor the agent what the request was");
	crash_agent();

	start_with("");
	again = make_call(POWER_ON, (Order)
					  {
						  .cluster = "c1", .request_id = "r1", .counter = 13
					  });
	ok(same_reply(first, again), "and the same after another one");
	free_call(again);
	free_call(first);
	expect_status(make_call(POWER_OFF, (Order)
							{
								.cluster = "c1", .request_id = "r9", .counter = 11
							}), GRPC_STATUS_FAILED_PRECONDITION, "stale order",
				  "the number of a repetition was kept");
	stop_agent();
}

/* killed with the order in the cloud's hands: it may or may not be done */
static void
test_crash_in_order(void)
{
	Call	   *call;

	forget_all();
	start_with("--transition-time 1h --answer-when-done");
	call = begin_call(POWER_ON, (Order)
					  {
						  .cluster = "c1", .request_id = "r1", .counter = 5
					  });
	ok(await_order("r1"), "an order that is not answered yet");
	crash_agent();
	end_call(call);
	expect_status(call, GRPC_STATUS_UNAVAILABLE, NULL, "and will not be");

	start_with("");
	expect_status(make_call(POWER_OFF, (Order)
							{
								.cluster = "c1", .request_id = "r2", .counter = 4
							}), GRPC_STATUS_FAILED_PRECONDITION, "stale order",
				  "its number was kept before it was given");
	expect_state(make_call(POWER_ON, (Order)
						   {
							   .cluster = "c1", .request_id = "r1", .counter = 6
						   }), RUNNING, "its repetition is answered");
	is_number(count_orders("r1"), 2, "after it was carried out again");
	expect_state(make_call(POWER_OFF, (Order)
						   {
							   .cluster = "c1", .request_id = "r3", .counter = 7
						   }), STOPPED, "a later order");
	expect_status(make_call(POWER_ON, (Order)
							{
								.cluster = "c1", .request_id = "r1", .counter = 6
							}), GRPC_STATUS_FAILED_PRECONDITION, "stale order",
				  "and the repetition is stale");
	stop_agent();
}

static void
test_full_disk(void)
{
	Call	   *call;

	forget_all();
	start_with("");
	expect_state(make_call(POWER_ON, (Order)
						   {
							   .cluster = "c1", .request_id = "r1", .counter = 1
						   }), RUNNING, "an order");
	limit_files();
	expect_status(make_call(POWER_OFF, (Order)
							{
								.cluster = "c1", .request_id = "r2", .counter = 2
							}), GRPC_STATUS_RESOURCE_EXHAUSTED,
				  "the state file cannot be written: disk I/O error (File too large)",
				  "an order on a full disk is refused");
	expect_status(make_call(POWER_OFF, (Order)
							{
								.cluster = "c1", .request_id = "r2", .counter = 1000
							}), GRPC_STATUS_RESOURCE_EXHAUSTED, NULL,
				  "another one, when that is known, is not even noted");
	expect_state(make_call(GET_STATE, (Order) {.cluster = "c1"}), RUNNING,
				 "nothing was done, and questions are answered");
	is_number(count_orders("r2"), 0, "the log has no order");
	unlimit_files();
	call = make_call_when_it_works(POWER_OFF, (Order)
								   {
									   .cluster = "c1", .request_id = "r2",
									   .counter = 4
								   });
	expect_state(call, STOPPED, "with room again it is carried out");
	is_number(count_orders("r2"), 1, "once");
	ok(count_lines("errors", "cannot be written", "orders are refused") == 1 &&
	   count_lines("errors", "can be written again", "") == 1, "as it tells");
	crash_agent();
	start_with("");
	expect_status(make_call(POWER_ON, (Order)
							{
								.cluster = "c1", .request_id = "r3", .counter = 3
							}), GRPC_STATUS_FAILED_PRECONDITION, "stale order",
				  "and nothing was lost in between");
	stop_agent();
}

/* the number of a repetition is kept, or it is not answered */
static void
test_repetition_without_room(void)
{
	forget_all();
	start_with("");
	expect_state(make_call(POWER_ON, (Order)
						   {
							   .cluster = "c1", .request_id = "r1", .counter = 1
						   }), RUNNING, "an order");
	limit_files();
	expect_status(make_call(POWER_ON, (Order)
							{
								.cluster = "c1", .request_id = "r1", .counter = 2
							}), GRPC_STATUS_RESOURCE_EXHAUSTED, NULL,
				  "its repetition on a full disk is refused");
	unlimit_files();
	expect_state(make_call_when_it_works(POWER_ON, (Order)
										 {
											 .cluster = "c1", .request_id = "r1",
											 .counter = 3
										 }), RUNNING, "with room again it is not");
	is_number(count_orders("r1"), 1, "there was one order");
	stop_agent();
}

/* an answer that could be given once only is not given */
static void
test_answer_without_room(void)
{
	Call	   *call;

	forget_all();
	start_with("--transition-time 500ms --answer-when-done");
	call = begin_call(POWER_ON, (Order)
					  {
						  .cluster = "c1", .request_id = "r1", .counter = 1,
						  .deadline = 2000
					  });
	ok(await_order("r1"), "an order is under way");
	limit_files();
	end_call(call);
	expect_status(call, GRPC_STATUS_DEADLINE_EXCEEDED, NULL,
				  "its answer cannot be stored, and is not given");
	unlimit_files();
	call = make_call_when_it_works(POWER_ON, (Order)
								   {
									   .cluster = "c1", .request_id = "r1",
									   .counter = 2
								   });
	expect_state(call, RUNNING, "with room again it is");
	is_number(count_orders("r1"), 1, "without another order");
	crash_agent();
	start_with("");
	expect_state(make_call(POWER_ON, (Order)
						   {
							   .cluster = "c1", .request_id = "r1", .counter = 1000000
						   }), RUNNING, "and again after a crash");
	is_number(count_orders("r1"), 1, "still without another order");
	stop_agent();
}

/* what waits for the disk can be given up, and can be drained */
static void
test_patience(void)
{
	Call	   *call;

	forget_all();
	start_with("--transition-time 100ms --answer-when-done --drain-timeout 300ms");
	call = begin_call(POWER_ON, (Order)
					  {
						  .cluster = "c1", .request_id = "r1", .counter = 1
					  });
	ok(await_order("r1"), "an order is under way");
	limit_files();
	ok(await_lines("errors", "cannot be written", "orders are refused", 1),
	   "and its answer waits for the disk");
	is_number(stop_agent(), 0, "an end does not");
	end_call(call);
	ok(call->status != GRPC_STATUS_OK, "it was not answered");
	free_call(call);
}

/* one thread a call would not do: many at a time, and none is forgotten */
static void
test_many(void)
{
	enum
	{
		COUNT = 300
	};
	static Call *calls[COUNT];
	char		names[COUNT][2][16];
	int			good = 0;

	forget_all();
	start_with("--threads 4 --drain-timeout 60s");
	for (int round = 0; round < 2; round++)
	{
		for (int i = 0; i < COUNT; i++)
		{
			snprintf(names[i][0], sizeof(names[i][0]), "c%d", i);
			snprintf(names[i][1], sizeof(names[i][1]), "r%d", i);
			calls[i] = begin_call(i % 2 ? POWER_ON : POWER_OFF, (Order)
								  {
									  .cluster = names[i][0],
									  .request_id = names[i][1],
									  .counter = round * COUNT + i + 1
								  });
		}
		for (int i = 0; i < COUNT; i++)
		{
			end_call(calls[i]);
			good += calls[i]->status == GRPC_STATUS_OK;
			free_call(calls[i]);
		}
		if (round == 0)
		{
			crash_agent();
			start_with("--threads 4");
		}
	}
	is_number(good, 2 * COUNT, "300 orders, and again after a crash");
	is_number(count_lines("log", START_LINE, ""), COUNT, "are 300 orders");
	is_number(stop_agent(), 0, "a proper end");
	ok(access(path_of("state-wal"), F_OK) != 0, "leaves one file");
}

/* runs another agent to its end; checks its exit status and its message */
static void
fails(const char *arguments, int status, const char *message)
{
	pid_t		other = agent_pid;
	int			output = spawn_agent(arguments);
	int			result = await_agent();
	char	   *errors = read_file("errors");

	agent_pid = other;
	close(output);
	if (!ok(result == status && strstr(errors, message) != NULL,
			"refused: %s", message))
		printf("# got: %d %s\n", result, errors);
	free(errors);
}

static void
test_refusals(void)
{
	char		arguments[1024];

	forget_all();
	start_with("");
	snprintf(arguments, sizeof(arguments), "--listen unix:%s --state %s",
			 path_of("other"), path_of("state"));
	fails(arguments, 1, "is used by another process");
	stop_agent();
	forget_all();
	write_file("state", "no database at all, but some text that is long enough");
	chmod(path_of("state"), 0600);
	fails(arguments, 1, "not a state file of power_agent");
	chmod(path_of("state"), 0644);
	fails(arguments, 1, "its mode must be 0600");
	strcat(arguments, " --legacy");
	fails(arguments, 2, "--state and --legacy contradict each other");
	forget_all();
}

int
main(int argc, char **argv)
{
	begin_tests(argc, argv);
	snprintf(common, sizeof(common),
			 "--state %s --log %s --log-sync --behaviour %s", path_of("state"),
			 path_of("log"), path_of("rules"));
	write_file("rules", "");
	test_crash();
	write_file("rules", "");
	test_crash_in_order();
	test_full_disk();
	test_repetition_without_room();
	test_answer_without_room();
	test_patience();
	test_many();
	test_refusals();
	return end_tests();
}
