/*-------------------------------------------------------------------------
 *
 * test/unit/courier_crowd.h
 *		For tests of the courier: so many calls that they share a stream, and
 *		what the agent (courier_agent.h) says over it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_COURIER_CROWD_H
#define PA_COURIER_CROWD_H

#include "courier_worker.h"

#define CROWD	32

static const char *listening = "a"; /* the agent's address */
static uint64_t generation;		/* of the last server; news of others are old */

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
 * Calls until one goes over the stream, which is returned: the courier may see
 * the agent's first message later than the next call.
 */
static uint64_t
first_streamed(Client *client, Agent *agent, const char *server)
{
	int			taken = agent_count(agent, &agent->stream_calls);
	uint64_t	id;

	do
	{
		int			received = agent_count(agent, &agent->received);

		id = call(client, server, "ok", 60000);
		while (agent_count(agent, &agent->stream_calls) == taken &&
			   agent_count(agent, &agent->received) == received)
			usleep(100);
	} while (agent_count(agent, &agent->stream_calls) == taken);
	return id;
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
	uint64_t	last;
	uint64_t	first;

	streaming = true;
	configure(client, server, ++generation, address(listening));
	streaming = false;
	ok(reaches(client, server, generation, READY, NULL, 0),
	   "the agent is ready");
	gather(client, agent, server, CROWD);
	last = call(client, server, "hold", 60000);
	ok(agent_await(agent, &agent->streams, streams + 1), "a stream is opened");
	ok(agent_await(agent, &agent->held_count, CROWD + 1),
	   "... but the call goes out before that is of use");
	welcome(agent, max_message_size);

	first = first_streamed(client, agent, server);
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

/* so many of that size do not fit into what gRPC sends, or keeps, unasked */
#define LARGE	60000
#define MANY	4

#endif							/* PA_COURIER_CROWD_H */
