/* objects: courier/frame */
/* needs: power_action_courier */
/*-------------------------------------------------------------------------
 *
 * test/unit/courier_stream_test.c
 *		Many calls over one stream, between a worker (this program) and an
 *		agent (a gRPC server in this program).
 *
 * argv[1] is the path of power_action_courier.
 *
 *-------------------------------------------------------------------------
 */
#include "courier_crowd.h"

static void
test_few(Client *client, Agent *agent)
{
	uint64_t	one;

	streaming = true;
	configure(client, "few", 1, address("a"));
	streaming = false;
	ok(reaches(client, "few", 1, READY, NULL, 0), "the agent is ready");
	gather(client, agent, "few", CROWD - 2);
	one = call(client, "few", "hold", 60000);
	ok(agent_await(agent, &agent->held_count, CROWD - 1), "one more");
	scatter(client, agent, CROWD - 2);
	check_result(client, one, 0, false, "", "it");
	is_number(agent_count(agent, &agent->streams), 0,
			  "few calls need no stream");
	remove_server(client, "few");
}

static void
test_answers(Client *client, Agent *agent)
{
	uint64_t	last = open_stream(client, agent, "s", 0);
	uint64_t	ids[4];

	is_number(agent->largest_message, 4 * 1024 * 1024,
			  "the agent is told how large its messages may be");
	ids[0] = streamed(client, agent, "s", "c-0", 60000);
	is_string(agent->last_streamed, "c-0 1 1",
			"request, method and attempt are those of the call");
	for (int i = 1; i < 4; i++)
		ids[i] = streamed(client, agent, "s", "c", 60000);

	answer(agent, ids[2], 0, "", 7, false);
	is_reply(client, ids[2], 7, "the third, answered first");
	answer(agent, ids[0], 8, "too\nmuch", 0, false);
	check_result(client, ids[0], 8, false, "too much",
				 "a status, with a clean text");
	answer(agent, ids[1], 99, "", 0, false);
	check_result(client, ids[1], 2, false, "", "a status that there is not");

	/* of calls that nobody knows, or no more */
	answer(agent, ids[0], 0, "", 0, false);
	answer(agent, 987654321, 0, "", 0, false);
	answer(agent, crowd[0], 0, "", 0, false);
	answer(agent, ids[3], 0, "", 0, false);
	is_reply(client, ids[3], 0, "one answered after some of no calls");
	close_stream(client, agent, "s", last);
	ok(agent_await(agent, &agent->streams_closed, 1),
	   "without its server, the stream is closed");
	agent_stream_end(agent, 0, "");
}

static void
test_given_up(Client *client, Agent *agent)
{
	uint64_t	last = open_stream(client, agent, "s", 0);
	int			cancels = agent_count(agent, &agent->stream_cancels);
	uint64_t	id = streamed(client, agent, "s", "c", 60000);
	int			taken;

	cancel(client, id);
	check_result(client, id, 1, false, "cancelled by the worker",
				 "a cancelled call");
	ok(agent_await(agent, &agent->stream_cancels, cancels + 1),
	   "the agent is told");
	is_number((int64_t) agent->last_cancelled, (int64_t) id, "... which one");
	answer(agent, id, 0, "", 0, false);

	id = streamed(client, agent, "s", "c", 60);
	check_result(client, id, 4, false, "Deadline Exceeded",
				 "a call whose time is over");
	ok(agent_await(agent, &agent->stream_cancels, cancels + 2),
	   "the agent is told");
	is_number((int64_t) agent->last_cancelled, (int64_t) id, "... which one");

	/* one with a longer time, before one with a shorter */
	id = streamed(client, agent, "s", "c", 60000);
	check_result(client, streamed(client, agent, "s", "c", 60), 4, false, "",
				 "a short call behind a long one");
	answer(agent, id, 0, "", 0, false);
	is_reply(client, id, 0, "the long one");

	/* what was given up does not count: there is room for one more */
	taken = agent_count(agent, &agent->stream_calls);
	id = limited_call(client, "s", "c", 60000, CROWD + 2);
	ok(agent_await(agent, &agent->stream_calls, taken + 1),
	   "one more than are held may start");
	answer(agent, id, 0, "", 0, false);
	is_reply(client, id, 0, "it");
	close_stream(client, agent, "s", last);
	ok(agent_await(agent, &agent->streams_closed, 2), "the stream is closed");
	agent_stream_end(agent, 0, "");
}

static void
test_leaving(Client *client, Agent *agent)
{
	uint64_t	last = open_stream(client, agent, "s", 0);
	int			closed = agent_count(agent, &agent->streams_closed);
	uint64_t	first = streamed(client, agent, "s", "c", 60000);
	uint64_t	second = streamed(client, agent, "s", "c", 60000);

	answer(agent, first, 14, "shutting down", 0, true);
	check_result(client, first, 14, true, "shutting down",
				 "a call that was not started");
	check_result(client, call(client, "s", "ok", 60000), 0, false, "",
				 "new calls do not go over such a stream");
	is_number(agent_count(agent, &agent->streams_closed), closed,
			  "which is not closed while a call is under way");
	answer(agent, second, 0, "", 0, false);
	is_reply(client, second, 0, "it");
	ok(agent_await(agent, &agent->streams_closed, closed + 1), "then it is");
	agent_stream_end(agent, 0, "");
	close_stream(client, agent, "s", last);
}

static void
test_replaced(Client *client, Agent *agent)
{
	uint64_t	last = open_stream(client, agent, "s", 0);
	int			closed = agent_count(agent, &agent->streams_closed);
	uint64_t	first = streamed(client, agent, "s", "c", 60000);

	configure(client, "s", ++generation, address("a"));
	ok(reaches(client, "s", generation, READY, NULL, 0), "the server is altered");
	check_result(client, call(client, "s", "ok", 60000), 0, false, "",
				 "a call after that");
	is_number(agent_count(agent, &agent->streams_closed), closed,
			  "the old stream stays for its calls");
	answer(agent, first, 0, "", 0, false);
	is_reply(client, first, 0, "one of them");
	ok(agent_await(agent, &agent->streams_closed, closed + 1), "then it ends");
	agent_stream_end(agent, 0, "");
	close_stream(client, agent, "s", last);
}

static void
test_large(Client *client, Agent *agent)
{
	uint64_t	last = open_stream(client, agent, "s", 10000);
	int			taken = agent_count(agent, &agent->stream_calls);
	uint64_t	small;

	check_result(client, large_call(client, 20000), 0, false, "",
				 "a call that is too large for a message");
	is_number(agent_count(agent, &agent->stream_calls), taken,
			  "... does not go over the stream");
	small = large_call(client, 5000);
	ok(agent_await(agent, &agent->stream_calls, taken + 1), "a smaller one does");
	answer(agent, small, 0, "", 0, false);
	is_reply(client, small, 0, "it");
	close_stream(client, agent, "s", last);
	agent_stream_end(agent, 0, "");
}

/* an answer counts only if it comes over the stream of its call */
static void
test_other_stream(Client *client, Agent *agent)
{
	uint64_t	last = open_stream(client, agent, "s", 0);
	uint64_t	id = streamed(client, agent, "s", "c", 60000);
	uint64_t	other;

	/* its crowd is the first one's, too: they are all held */
	streaming = true;
	configure(client, "t", 1, address("a"));
	streaming = false;
	ok(reaches(client, "t", 1, READY, NULL, 0), "another server");
	for (int i = 0; i < CROWD; i++)
		call(client, "t", "hold", 60000);
	ok(agent_await(agent, &agent->held_count, 2 * CROWD + 1), "its crowd");
	welcome(agent, 0);
	other = first_streamed(client, agent, "t");
	answer(agent, id, 0, "", 0, false);
	answer(agent, other, 0, "", 0, false);
	is_reply(client, other, 0, "a call of the other stream");
	cancel(client, id);
	check_result(client, id, 1, false, "cancelled by the worker",
				 "one that was answered over the wrong stream");
	remove_server(client, "t");
	close_stream(client, agent, "s", last);
}

/* calls that wait for their turn are the old channel's, which has no stream */
static void
test_waiting(Client *client, Agent *agent)
{
	int			streams = agent_count(agent, &agent->streams);
	uint64_t	ids[9];
	uint64_t	after;

	streaming = true;
	configure(client, "s", ++generation, address("a"));
	streaming = false;
	ok(reaches(client, "s", generation, READY, NULL, 0), "the agent is ready");
	for (int i = 0; i < CROWD - 1; i++)
		crowd[i] = limited_call(client, "s", "hold", 60000, CROWD - 1);
	ok(agent_await(agent, &agent->held_count, CROWD - 1),
	   "as many calls as may be are under way");
	for (int i = 0; i < 9; i++)
		ids[i] = limited_call(client, "s", "hold", 60000, CROWD - 1);
	configure(client, "s", ++generation, address("a"));
	ok(reaches(client, "s", generation, READY, NULL, 0), "the server is altered");
	after = limited_call(client, "s", "hold", 60000, 0);
	ok(agent_await(agent, &agent->held_count, CROWD - 1 + 9 + 1),
	   "now all may be");
	scatter(client, agent, CROWD - 1);
	for (int i = 0; i < 9; i++)
		check_result(client, ids[i], 0, false, "", "one that has waited");
	check_result(client, after, 0, false, "", "one that came after that");
	is_number(agent_count(agent, &agent->streams), streams,
			  "none of them wants a stream");
	remove_server(client, "s");
}

static void
test_unimplemented(Client *client, Agent *agent)
{
	int			others = agent_count(agent, &agent->others);

	agent->streaming = false;
	streaming = true;
	configure(client, "old", 1, address("a"));
	streaming = false;
	ok(reaches(client, "old", 1, READY, NULL, 0), "the agent is ready");
	gather(client, agent, "old", CROWD);
	for (int i = 0; i < 20; i++)
	{
		Courier__Frame *frame =
			client_await_result(client, call(client, "old", "ok", 20000));

		if (!ok(frame != NULL && frame->result->status_code == 0,
				"a call to an agent without streams"))
			break;
		courier__frame__free_unpacked(frame, NULL);
	}
	is_number(agent_count(agent, &agent->others), others + 1,
			  "it is asked for one once");
	scatter(client, agent, CROWD);
	remove_server(client, "old");
	agent->streaming = true;
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
	test_few(&client, agent);
	test_answers(&client, agent);
	test_given_up(&client, agent);
	test_leaving(&client, agent);
	test_replaced(&client, agent);
	test_large(&client, agent);
	test_other_stream(&client, agent);
	test_waiting(&client, agent);
	test_unimplemented(&client, agent);

	/* the worker goes away while calls are under way */
	open_stream(&client, agent, "s", 0);
	streamed(&client, agent, "s", "c", 60000);
	client_close(&client);
	check_end(&client, 0, "the worker ends");

	agent_stop(agent);
	grpc_shutdown_blocking();
	return end_tests();
}
