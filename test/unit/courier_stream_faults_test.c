/* objects: courier/frame */
/* needs: power_action_courier */
/*-------------------------------------------------------------------------
 *
 * test/unit/courier_stream_faults_test.c
 *		Streams that end, get stuck or are left, between a worker (this
 *		program) and an agent (a gRPC server in this program).
 *
 * argv[1] is the path of power_action_courier.
 *
 *-------------------------------------------------------------------------
 */
#include "courier_crowd.h"

static void
test_end(Client *client, Agent *agent, const char *name, uint64_t last,
		 uint64_t first, uint64_t second, const char *text)
{
	int			streams = agent_count(agent, &agent->streams);
	uint64_t	after;

	check_result(client, first, 14, false, text, name);
	check_result(client, second, 14, false, text, name);
	after = call(client, "s", "ok", 60000);
	check_result(client, after, 0, false, "", "a call after it");
	is_number(agent_count(agent, &agent->streams), streams,
			  "no stream is opened at once");
	close_stream(client, agent, "s", last);
}

static void
test_ends(Client *client, Agent *agent)
{
	uint64_t	last = open_stream(client, agent, "s", 0);
	uint64_t	first = streamed(client, agent, "s", "c", 60000);
	uint64_t	second = streamed(client, agent, "s", "c", 60000);

	agent_stream_end(agent, 14, "gone away");
	test_end(client, agent, "a call of a stream that ends", last, first, second,
			 "gone away");

	last = open_stream(client, agent, "s", 0);
	first = streamed(client, agent, "s", "c", 60000);
	second = streamed(client, agent, "s", "c", 60000);
	agent_stream_end(agent, 0, "");
	test_end(client, agent, "a call of one that ends with OK", last, first,
			 second, "ended with status 0");

	last = open_stream(client, agent, "s", 0);
	first = streamed(client, agent, "s", "c", 60000);
	second = streamed(client, agent, "s", "c", 60000);
	agent_stream_send_bytes(agent, "\xFF\xFF\xFF\xFF", 4);
	test_end(client, agent, "a call of one with garbage", last, first, second,
			 "no message of answers");
}

/* what has not left when it is given up never does */
static void
test_taken_back(Client *client, Agent *agent)
{
	uint64_t	last = open_stream(client, agent, "s", 0);
	int			taken = agent_count(agent, &agent->stream_calls);
	int			cancels = agent_count(agent, &agent->stream_cancels);
	uint64_t	first;
	uint64_t	large[MANY];
	uint64_t	waiting[3];

	agent->deaf = true;
	first = streamed(client, agent, "s", "c", 60000);
	for (int i = 0; i < MANY; i++)
		large[i] = large_call(client, LARGE);
	waiting[0] = call(client, "s", "c-0", 60000);
	waiting[1] = call(client, "s", "c-1", 60);
	waiting[2] = call(client, "s", "c-2", 60000);
	check_result(client, waiting[1], 4, true, "Deadline Exceeded",
				 "one that waits and whose time is over");
	cancel(client, waiting[0]);
	check_result(client, waiting[0], 1, true, "cancelled by the worker",
				 "one that waits and is cancelled");
	cancel(client, large[0]);
	check_result(client, large[0], 1, false, "", "one that was sent");
	agent_stream_resume(agent);
	ok(agent_await(agent, &agent->stream_cancels, cancels + 1),
	   "the agent reads again, and is told");
	is_number((int64_t) agent->last_cancelled, (int64_t) large[0],
			  "... of the one that was sent");
	is_number(agent_count(agent, &agent->stream_calls), taken + 1 + MANY + 1,
			  "... and gets all but those that had not left");
	answer(agent, first, 0, "", 0, false);
	is_reply(client, first, 0, "the first");
	for (int i = 1; i < MANY; i++)
	{
		answer(agent, large[i], 0, "", 0, false);
		is_reply(client, large[i], 0, "a large one");
	}
	answer(agent, waiting[2], 0, "", 0, false);
	is_reply(client, waiting[2], 0, "the last");
	close_stream(client, agent, "s", last);
	agent_stream_end(agent, 0, "");
}

/* the agent reads nothing and is gone then */
static void
test_unsent(Client *client, Agent **agent)
{
	enum
	{
		COUNT = 20
	};
	uint64_t	ids[COUNT];
	uint64_t	last = open_stream(client, *agent, "s", 0);
	uint64_t	first;
	int			ended = 0;
	int			perhaps = 0;
	int			surely = 0;

	(*agent)->deaf = true;
	first = streamed(client, *agent, "s", "c", 60000);
	for (int i = 0; i < COUNT; i++)
		ids[i] = large_call(client, LARGE);
	check_result(client, call(client, "s", "ok", 60000), 0, false, "",
				 "where much waits, calls go by themselves");
	agent_stop(*agent);
	check_result(client, first, 14, false, NULL, "a call that was read");
	for (int i = 0; i < COUNT; i++)
	{
		Courier__Frame *frame = client_await_result(client, ids[i]);

		if (frame == NULL)
			break;
		ended++;
		if (frame->result->status_code == 14)
			(*(frame->result->not_delivered ? &surely : &perhaps))++;
		courier__frame__free_unpacked(frame, NULL);
	}
	is_number(ended, COUNT, "calls that were not read end with it");
	ok(perhaps > 0, "some may have been delivered (%d)", perhaps);
	ok(surely > 0, "some surely were not (%d)", surely);
	for (int i = 0; i < CROWD; i++)
		courier__frame__free_unpacked(client_await_result(client, crowd[i]),
									  NULL);
	check_result(client, last, 14, false, NULL, "a call of its own");
	remove_server(client, "s");
	*agent = agent_start(address("a"));
	if (*agent == NULL)
		exit(2);
	(*agent)->streaming = true;
}

/* the agent wants no new calls, and another one is there */
static void
test_moved(Client *client, Agent **agent)
{
	Agent	   *old = *agent;
	uint64_t	last = open_stream(client, old, "s", 0);
	uint64_t	id = streamed(client, old, "s", "c", 60000);

	agent_leave(old);
	*agent = agent_start(address("a"));
	if (*agent == NULL)
		exit(2);
	(*agent)->streaming = true;
	/* the courier may hear of it later than of some calls */
	for (int i = 0; i < 2000 && agent_count(*agent, &(*agent)->received) == 0;
		 i++)
	{
		uint64_t	other = call(client, "s", "ok", 60000);

		usleep(1000);
		cancel(client, other);
	}
	ok(agent_count(*agent, &(*agent)->received) > 0,
	   "calls go to the new agent");
	answer(old, id, 0, "", 0, false);
	is_reply(client, id, 0, "one that was under way");
	ok(agent_await(old, &old->streams_closed, 1), "then its stream is closed");
	agent_stream_end(old, 0, "");
	close_stream(client, old, "s", last);
	agent_finish(old);
}

/* agents that take their time, all at once, since that is ten seconds */
static void
test_patience(Client *client)
{
	Agent	   *silent = start_agent("silent");
	Agent	   *deaf;
	Agent	   *endless;
	Agent	   *idle;
	uint64_t	last[3];
	uint64_t	stuck[MANY];

	streaming = true;
	configure(client, "silent", 1, address("silent"));
	streaming = false;
	ok(reaches(client, "silent", 1, READY, NULL, 0), "an agent");
	gather(client, silent, "silent", CROWD);
	ok(agent_await(silent, &silent->streams, 1), "... with a stream");
	scatter(client, silent, CROWD);

	idle = start_agent("idle");
	last[0] = open_stream(client, idle, "idle", 0);
	scatter(client, idle, CROWD);
	check_result(client, last[0], 0, false, "", "the call before the stream");
	check_result(client, streamed(client, idle, "idle", "c", 60), 4, false, "",
				 "one call does not keep it");

	endless = start_agent("endless");
	last[1] = open_stream(client, endless, "endless", 0);
	close_stream(client, endless, "endless", last[1]);

	deaf = start_agent("deaf");
	last[2] = open_stream(client, deaf, "deaf", 0);
	deaf->deaf = true;
	streamed(client, deaf, "deaf", "c", 60);
	for (int i = 0; i < MANY; i++)
		stuck[i] = large_call_to(client, "deaf", LARGE);

	ok(agent_await(silent, &silent->streams_ended, 1),
	   "one without a first message is given up");
	ok(agent_await(endless, &endless->streams_closed, 1), "one is closed");
	ok(agent_await(endless, &endless->streams_ended, 1),
	   "... and given up if the agent does not end it");
	ok(agent_await(idle, &idle->streams_closed, 1), "one without a crowd is closed");
	for (int i = 0; i < MANY; i++)
		check_result(client, stuck[i], 14, i == MANY - 1, "does not read",
					 "a call of one whose agent does not read");
	check_result(client, call(client, "deaf", "ok", 20000), 0, false, "",
				 "then they go by themselves");
	agent_stream_end(idle, 0, "");
	scatter(client, deaf, CROWD);
	check_result(client, last[2], 0, false, "", "the call before the stream");
	remove_server(client, "silent");
	remove_server(client, "idle");
	remove_server(client, "deaf");
	agent_stop(silent);
	agent_stop(idle);
	agent_stop(endless);
	agent_stop(deaf);
	listening = "a";
}

int
main(int argc, char **argv)
{
	Client		client;
	Agent	   *agent;

	begin_tests(argc, argv);
	grpc_init();
	agent = start_agent("a");
	client_start(&client, courier);
	test_ends(&client, agent);
	test_taken_back(&client, agent);
	test_unsent(&client, &agent);
	test_moved(&client, &agent);
	test_patience(&client);
	client_close(&client);
	check_end(&client, 0, "the worker ends");

	agent_stop(agent);
	grpc_shutdown_blocking();
	return end_tests();
}
