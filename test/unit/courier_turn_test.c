/* objects: courier/frame */
/* needs: power_action_courier */
/*-------------------------------------------------------------------------
 *
 * test/unit/courier_turn_test.c
 *		Calls that wait in the courier until they may start, between a worker
 *		(this program) and an agent (a gRPC server in this program).
 *
 * argv[1] is the path of power_action_courier.
 *
 *-------------------------------------------------------------------------
 */
#include "courier_worker.h"

static uint64_t
hold(Client *client, uint32_t timeout_ms, uint32_t limit)
{
	return limited_call(client, "a", "hold", timeout_ms, limit);
}

static void
test_limit(Client *client, Agent *agent)
{
	uint64_t	ids[5];

	for (int i = 0; i < 5; i++)
		ids[i] = hold(client, 60000, 2);
	ok(agent_await(agent, &agent->held_count, 2), "two of five calls start");

	/* a limit of its own, so it has overtaken all that were to start */
	check_result(client, call(client, "b", "ok", 20000), 0, false, "",
				 "another server");
	is_number(agent_count(agent, &agent->held_count), 2, "the others wait");

	agent_release(agent);
	check_result(client, ids[0], 0, false, "", "the first");
	check_result(client, ids[1], 0, false, "", "the second");
	ok(agent_await(agent, &agent->held_count, 2), "then two more start");
	agent_release(agent);
	check_result(client, ids[2], 0, false, "", "the third");
	check_result(client, ids[3], 0, false, "", "the fourth");
	ok(agent_await(agent, &agent->held_count, 1), "and the last");
	agent_release(agent);
	check_result(client, ids[4], 0, false, "", "the fifth");
}

static void
test_cancelled(Client *client, Agent *agent)
{
	int			cancelled = agent_count(agent, &agent->cancelled);
	uint64_t	first = hold(client, 60000, 1);
	uint64_t	second = hold(client, 60000, 1);
	uint64_t	third = hold(client, 60000, 1);

	ok(agent_await(agent, &agent->held_count, 1), "one of three starts");
	cancel(client, second);
	check_result(client, second, 1, true, "before it started",
				 "one that waits is cancelled");
	cancel(client, second);
	agent_release(agent);
	check_result(client, first, 0, false, "", "the first");
	ok(agent_await(agent, &agent->held_count, 1), "the third follows it");
	agent_release(agent);
	check_result(client, third, 0, false, "", "the third");
	is_number(agent_count(agent, &agent->cancelled), cancelled,
			  "the agent has never heard of the second");
}

static void
test_overdue(Client *client, Agent *agent)
{
	uint64_t	first = hold(client, 60000, 2);
	uint64_t	other = hold(client, 60000, 2);
	uint64_t	second = hold(client, 100, 2);
	uint64_t	third = hold(client, 60000, 2);
	uint64_t	fourth = hold(client, 100, 2);
	Courier__Frame *frame = client_await_result(client, second);

	if (!ok(frame != NULL, "one that waits outlives its time"))
		return;
	is_number(frame->result->status_code, 4, "... DEADLINE_EXCEEDED");
	is_number(frame->result->not_delivered, true, "... surely not delivered");
	ok(frame->result->duration_us >= 99000, "... not before it was over");
	courier__frame__free_unpacked(frame, NULL);

	/* when this is over, so is the fourth, which is not the next */
	check_result(client, limited_call(client, "b", "hold", 150, 0), 4, false,
				 NULL, "some time passes");
	agent_release(agent);
	check_result(client, first, 0, false, "", "the first");
	check_result(client, other, 0, false, "", "and the one beside it");
	check_result(client, fourth, 4, true, NULL,
				 "one whose time was over behind another does not start");
	ok(agent_await(agent, &agent->held_count, 1), "the third starts");
	agent_release(agent);
	check_result(client, third, 0, false, "", "the third");
}

static void
test_removed(Client *client, Agent *agent)
{
	uint64_t	first = hold(client, 60000, 1);
	uint64_t	second = hold(client, 60000, 1);

	ok(agent_await(agent, &agent->held_count, 1), "one of two starts");
	remove_server(client, "a");
	check_result(client, call(client, "a", "ok", 20000), 14, true, NULL,
				 "the server is gone");
	agent_release(agent);
	check_result(client, first, 0, false, "", "a call in flight goes on");
	ok(agent_await(agent, &agent->held_count, 1), "one that waited, too");
	agent_release(agent);
	check_result(client, second, 0, false, "", "and is answered");
}

/* more than the courier lets start together, of calls that take their time */
static void
test_spread(Client *client, Agent *agent)
{
	enum
	{
		COUNT = 300
	};
	uint64_t	ids[COUNT];
	int			answered = 0;

	ids[0] = hold(client, 60000, 0);
	ok(agent_await(agent, &agent->held_count, 1), "a call that takes a while");
	check_result(client, limited_call(client, "b", "hold", 20, 0), 4, false,
				 NULL, "some time passes");
	agent_release(agent);
	check_result(client, ids[0], 0, false, "", "it");

	for (int i = 0; i < COUNT; i++)
		ids[i] = hold(client, 60000, 0);
	ok(agent_await(agent, &agent->held_count, COUNT),
	   "after it many start, which have to wait for each other");
	agent_release(agent);
	for (int i = 0; i < COUNT; i++)
	{
		Courier__Frame *frame = client_await_result(client, ids[i]);

		if (frame == NULL)
			break;
		answered += frame->result->status_code == 0;
		courier__frame__free_unpacked(frame, NULL);
	}
	is_number(answered, COUNT, "... and are answered");
}

int
main(int argc, char **argv)
{
	Client		client;
	Agent	   *agent;

	begin_tests(argc, argv);
	grpc_init();
	agent = agent_start(address("a"));
	if (agent == NULL)
		return 2;

	client_start(&client, courier);
	configure(&client, "a", 1, address("a"));
	configure(&client, "b", 1, address("a"));
	ok(reaches(&client, "a", 1, READY, NULL, 0), "the agent is ready");
	test_limit(&client, agent);
	test_cancelled(&client, agent);
	test_overdue(&client, agent);
	test_spread(&client, agent);
	test_removed(&client, agent);

	/* the worker goes away while calls wait */
	configure(&client, "a", 2, address("a"));
	for (int i = 0; i < 5; i++)
		hold(&client, 60000, 1);
	ok(agent_await(agent, &agent->held_count, 1), "one of five starts");
	client_close(&client);
	check_end(&client, 0, "the worker ends");

	agent_stop(agent);
	grpc_shutdown_blocking();
	return end_tests();
}
