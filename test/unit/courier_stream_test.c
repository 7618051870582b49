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
#include "courier_worker.h"

#define CROWD	32

static const char *listening = "a"; /* the agent's address */

/* so many calls of their own are under way from here on, until the release */
static uint64_t crowd[CROWD];

static void
gather(Client *client, Agent *agent, const char *server, int count)
{
	for (int i = 0; i < count; i++)
		crowd[i] = call(client, server, "hold", 60000);
	ok(agent_await(agent, &agent->held_count, count), "%d calls are under way",
	   count);
}

static void
scatter(Client *client, Agent *agent, int count)
{
	int			answered = 0;

	agent_release(agent);
	for (int i = 0; i < count; i++)
	{
		Courier__Frame *frame = client_await_result(client, crowd[i]);

		if (frame == NULL)
			break;
		answered += frame->result->status_code == 0;
		courier__frame__free_unpacked(frame, NULL);
	}
	is_number(answered, count, "the calls of their own are answered");
}

/* the agent's first message */
static void
welcome(Agent *agent, uint32_t max_message_size)
{
	Agent__StreamResponse response = AGENT__STREAM_RESPONSE__INIT;

	response.max_message_size = max_message_size;
	agent_stream_send(agent, &response);
}

static void
answer(Agent *agent, uint64_t call_id, uint32_t status, const char *message,
	   int error, bool not_started)
{
	Agent__StreamResponse response = AGENT__STREAM_RESPONSE__INIT;
	Agent__StreamAnswer body = AGENT__STREAM_ANSWER__INIT;
	Agent__StreamAnswer *bodies = &body;
	Agent__ClusterStatusChangeResponse reply =
		AGENT__CLUSTER_STATUS_CHANGE_RESPONSE__INIT;
	uint8_t		packed[64];

	reply.error = error;
	reply.message = "as told";
	body.call_id = call_id;
	body.status_code = status;
	body.status_message = (char *) message;
	body.not_started = not_started;
	if (status == 0)
	{
		body.response.data = packed;
		body.response.len =
			agent__cluster_status_change_response__pack(&reply, packed);
	}
	response.n_answers = 1;
	response.answers = &bodies;
	agent_stream_send(agent, &response);
}

static void
is_reply(Client *client, uint64_t call_id, int error, const char *name)
{
	Courier__Frame *frame = client_await_result(client, call_id);

	if (!ok(frame != NULL, "%s: a result", name))
		return;
	is_number(frame->result->status_code, 0, "... OK");
	is_number(frame->result->reply_error, error, "... with the reply's error");
	is_string(frame->result->reply_message, "as told", "... and its message");
	courier__frame__free_unpacked(frame, NULL);
}

/*
 * A server with a stream that takes calls; returns the last call before it,
 * which is held as well.  Ends with scatter and the server's removal.
 */
static uint64_t
open_stream(Client *client, Agent *agent, const char *server,
			uint32_t max_message_size)
{
	int			streams = agent_count(agent, &agent->streams);
	int			taken = agent_count(agent, &agent->stream_calls);
	uint64_t	last;
	uint64_t	first = 0;

	streaming = true;
	configure(client, server, 1, address(listening));
	streaming = false;
	ok(reaches(client, server, 1, READY, NULL, 0), "the agent is ready");
	gather(client, agent, server, CROWD);
	last = call(client, server, "hold", 60000);
	ok(agent_await(agent, &agent->streams, streams + 1), "a stream is opened");
	ok(agent_await(agent, &agent->held_count, CROWD + 1),
	   "... but the call goes out before that is of use");
	welcome(agent, max_message_size);

	/* the courier may see the welcome later than the next call */
	while (agent_count(agent, &agent->stream_calls) == taken)
	{
		int			received = agent_count(agent, &agent->received);

		first = call(client, server, "ok", 60000);
		while (agent_count(agent, &agent->stream_calls) == taken &&
			   agent_count(agent, &agent->received) == received)
			usleep(100);
	}
	answer(agent, first, 0, "", 0, false);
	is_reply(client, first, 0, "the first call over the stream");
	return last;
}

static void
close_stream(Client *client, Agent *agent, const char *server, uint64_t last)
{
	scatter(client, agent, CROWD);
	check_result(client, last, 0, false, "", "the call before the stream");
	remove_server(client, server);
}

static uint64_t
streamed(Client *client, Agent *agent, const char *server, const char *cluster,
		 uint32_t timeout_ms)
{
	int			taken = agent_count(agent, &agent->stream_calls);
	uint64_t	id = call(client, server, cluster, timeout_ms);

	ok(agent_await(agent, &agent->stream_calls, taken + 1),
	   "a call goes over the stream");
	return id;
}

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

	configure(client, "s", 2, address("a"));
	ok(reaches(client, "s", 2, READY, NULL, 0), "the server is altered");
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

/* a call with a long description */
static uint64_t
large_call_to(Client *client, const char *server, size_t size)
{
	Courier__Frame frame = COURIER__FRAME__INIT;
	Courier__Call body = COURIER__CALL__INIT;
	char	   *text = malloc(size + 1);

	memset(text, 'x', size);
	text[size] = '\0';
	body.call_id = ++last_call;
	body.server_name = (char *) server;
	body.method = COURIER__METHOD__METHOD_POWER_OFF;
	body.timeout_ms = 60000;
	body.cluster_id = "ok";
	body.request_id = "1/2/3";
	body.attempt = 1;
	body.description = text;
	frame.body_case = COURIER__FRAME__BODY_CALL;
	frame.call = &body;
	client_send(client, &frame);
	free(text);
	return last_call;
}

static uint64_t
large_call(Client *client, size_t size)
{
	return large_call_to(client, "s", size);
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

/* so many of that size do not fit into what gRPC sends, or keeps, unasked */
#define LARGE	60000
#define MANY	4

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
	/* until it goes over the stream */
	do
	{
		int			taken = agent_count(agent, &agent->stream_calls);
		int			received = agent_count(agent, &agent->received);

		other = call(client, "t", "ok", 60000);
		while (agent_count(agent, &agent->stream_calls) == taken &&
			   agent_count(agent, &agent->received) == received)
			usleep(100);
		if (agent_count(agent, &agent->stream_calls) > taken)
			break;
	} while (true);
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
	configure(client, "s", 1, address("a"));
	streaming = false;
	ok(reaches(client, "s", 1, READY, NULL, 0), "the agent is ready");
	for (int i = 0; i < CROWD - 1; i++)
		crowd[i] = limited_call(client, "s", "hold", 60000, CROWD - 1);
	ok(agent_await(agent, &agent->held_count, CROWD - 1),
	   "as many calls as may be are under way");
	for (int i = 0; i < 9; i++)
		ids[i] = limited_call(client, "s", "hold", 60000, CROWD - 1);
	configure(client, "s", 2, address("a"));
	ok(reaches(client, "s", 2, READY, NULL, 0), "the server is altered");
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
	/* its connection is there when calls come by it */
	while (agent_count(*agent, &(*agent)->received) == 0)
	{
		Courier__Frame *frame =
			client_await_result(client, call(client, "s", "ok", 20000));

		if (frame == NULL)
			break;
		courier__frame__free_unpacked(frame, NULL);
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

static Agent *
start_agent(const char *name)
{
	Agent	   *agent = agent_start(address(name));

	if (agent == NULL)
		exit(2);
	agent->streaming = true;
	listening = name;
	return agent;
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
	test_few(&client, agent);
	test_answers(&client, agent);
	test_given_up(&client, agent);
	test_ends(&client, agent);
	test_leaving(&client, agent);
	test_replaced(&client, agent);
	test_large(&client, agent);
	test_taken_back(&client, agent);
	test_other_stream(&client, agent);
	test_waiting(&client, agent);
	test_unsent(&client, &agent);
	test_moved(&client, &agent);
	test_unimplemented(&client, agent);
	test_patience(&client);

	/* the worker goes away while calls are under way */
	open_stream(&client, agent, "s", 0);
	streamed(&client, agent, "s", "c", 60000);
	client_close(&client);
	check_end(&client, 0, "the worker ends");

	agent_stop(agent);
	grpc_shutdown_blocking();
	return end_tests();
}
