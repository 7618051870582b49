/*-------------------------------------------------------------------------
 *
 * test/unit/courier_agent.h
 *		An agent for the tests of the courier: a gRPC server with one thread
 *		in the test program.
 *
 * The cluster id of a request says how it is answered:
 *		ok				error 0, message "done", two instance states
 *		status:N:TEXT	gRPC status N with that text
 *		error:N			reply with that error
 *		hold			answered as "ok" when the test calls agent_release
 *		garbage			bytes that are no message
 *		silent			status OK without a message
 *		large:N			a reply with a message of N bytes
 *
 * PowerStream is UNIMPLEMENTED unless the test sets "streaming"; then the test
 * answers for the agent, one stream at a time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_COURIER_AGENT_H
#define PA_COURIER_AGENT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/support/alloc.h>

#include "agent.pb-c.h"

/* what the last call of AgentService looked like; strings are malloc'd */
typedef struct AgentSeen
{
	char	   *method;
	char	   *request_id;		/* metadata */
	char	   *attempt;		/* metadata */
	char	   *user_agent;		/* metadata */
	char	   *authorization;	/* metadata, NULL: none */
	char	   *authority;		/* the host that the call is meant for */
	char	   *peer;			/* the connection that it came over */
	Agent__ClusterStatusChangeRequest *request;
} AgentSeen;

typedef struct AgentCall AgentCall;

typedef struct Agent
{
	grpc_server *server;
	grpc_completion_queue *queue;
	pthread_t	thread;
	int			port;			/* of an address that has one */

	pthread_mutex_t mutex;
	pthread_cond_t changed;
	AgentSeen	seen;
	int			received;		/* calls of AgentService */
	int			others;			/* calls of anything else */
	int			cancelled;
	int			held_count;
	AgentCall  *held;

	bool		streaming;
	bool		deaf;			/* does not read what comes over a stream */
	AgentCall  *stream;			/* the last */
	int			streams;		/* opened */
	int			streams_ended;
	int			streams_closed; /* by the client, its side */
	bool		stream_sending;
	int			stream_calls;	/* that came over streams */
	int			stream_cancels;
	uint64_t	last_cancelled;
	uint32_t	largest_message;	/* as the client said first */
	char		last_streamed[64];	/* its cluster */
} Agent;

typedef enum AgentEvent
{
	AGENT_NEW, AGENT_READ, AGENT_CLOSED, AGENT_SENT, AGENT_EVENTS
} AgentEvent;

typedef struct AgentTag
{
	AgentCall  *call;
	AgentEvent	event;
} AgentTag;

struct AgentCall
{
	Agent	   *agent;
	AgentCall  *next;			/* held */
	bool		is_held;
	AgentTag	tags[AGENT_EVENTS];
	int			pending;		/* batches */
	grpc_call  *call;
	grpc_call_details details;
	grpc_metadata_array metadata;
	grpc_byte_buffer *request;
	int			cancelled;
	bool		is_stream;
};

static AgentTag agent_shutdown_tag;

static void
agent_expect_call(Agent *agent)
{
	AgentCall  *call = calloc(1, sizeof(*call));

	call->agent = agent;
	for (int i = 0; i < AGENT_EVENTS; i++)
	{
		call->tags[i].call = call;
		call->tags[i].event = (AgentEvent) i;
	}
	grpc_call_details_init(&call->details);
	grpc_metadata_array_init(&call->metadata);
	if (grpc_server_request_call(agent->server, &call->call, &call->details,
								 &call->metadata, agent->queue, agent->queue,
								 &call->tags[AGENT_NEW]) != GRPC_CALL_OK)
		abort();
}

static void
agent_free_call(AgentCall *call)
{
	grpc_byte_buffer_destroy(call->request);
	grpc_call_details_destroy(&call->details);
	grpc_metadata_array_destroy(&call->metadata);
	if (call->call != NULL)
		grpc_call_unref(call->call);
	free(call);
}

static void
agent_start_batch(AgentCall *call, grpc_op *ops, size_t count,
				  AgentEvent event)
{
	call->pending++;
	if (grpc_call_start_batch(call->call, ops, count, &call->tags[event],
							  NULL) != GRPC_CALL_OK)
		abort();
}

static void
agent_send(AgentCall *call, const void *reply, size_t size, int status,
		   const char *text)
{
	grpc_slice	slice = grpc_slice_from_copied_buffer(reply != NULL ? reply : "",
													  size);
	grpc_slice	details = grpc_slice_from_copied_string(text);
	grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&slice, 1);
	grpc_op		ops[2];
	size_t		count = 0;

	memset(ops, 0, sizeof(ops));
	if (reply != NULL)
	{
		ops[count].op = GRPC_OP_SEND_MESSAGE;
		ops[count++].data.send_message.send_message = buffer;
	}
	ops[count].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
	ops[count].data.send_status_from_server.status = (grpc_status_code) status;
	ops[count++].data.send_status_from_server.status_details = &details;
	agent_start_batch(call, ops, count, AGENT_SENT);
	grpc_byte_buffer_destroy(buffer);
	grpc_slice_unref(slice);
	grpc_slice_unref(details);
}

static void
agent_send_reply(AgentCall *call, int error, const char *message)
{
	Agent__ClusterStatusChangeResponse reply =
		AGENT__CLUSTER_STATUS_CHANGE_RESPONSE__INIT;
	Agent__InstanceState states[2] = {
		AGENT__INSTANCE_STATE__INIT, AGENT__INSTANCE_STATE__INIT
	};
	Agent__InstanceState *pointers[2] = {&states[0], &states[1]};
	uint8_t    *data;
	size_t		size;

	states[0].instance_id = "i-1";
	states[0].state = AGENT__POWER_STATE__POWER_STATE_RUNNING;
	states[1].instance_id = "i-2";
	states[1].state = AGENT__POWER_STATE__POWER_STATE_STARTING;
	states[1].message = "boots";
	reply.error = error;
	reply.message = (char *) message;
	reply.n_instance_states = 2;
	reply.instance_states = pointers;
	size = agent__cluster_status_change_response__get_packed_size(&reply);
	data = malloc(size);
	agent__cluster_status_change_response__pack(&reply, data);
	agent_send(call, data, size, 0, "");
	free(data);
}

static char *
agent_metadata(AgentCall *call, const char *key)
{
	for (size_t i = 0; i < call->metadata.count; i++)
	{
		if (grpc_slice_str_cmp(call->metadata.metadata[i].key, key) == 0)
		{
			grpc_slice	value = call->metadata.metadata[i].value;

			return strndup((const char *) GRPC_SLICE_START_PTR(value),
						   GRPC_SLICE_LENGTH(value));
		}
	}
	return NULL;
}

static char *
agent_method(AgentCall *call)
{
	return strndup((const char *) GRPC_SLICE_START_PTR(call->details.method),
				   GRPC_SLICE_LENGTH(call->details.method));
}

static void
agent_forget_seen(AgentSeen *seen)
{
	free(seen->method);
	free(seen->request_id);
	free(seen->attempt);
	free(seen->user_agent);
	free(seen->authorization);
	free(seen->authority);
	gpr_free(seen->peer);
	if (seen->request != NULL)
		agent__cluster_status_change_request__free_unpacked(seen->request,
															NULL);
	memset(seen, 0, sizeof(*seen));
}

/* the mutex is held */
static void
agent_answer(AgentCall *call)
{
	Agent	   *agent = call->agent;
	Agent__ClusterStatusChangeRequest *request = NULL;
	const char *how;
	int			number;
	int			offset = 0;

	if (call->request != NULL)
	{
		grpc_byte_buffer_reader reader;
		grpc_slice	slice;

		grpc_byte_buffer_reader_init(&reader, call->request);
		slice = grpc_byte_buffer_reader_readall(&reader);
		grpc_byte_buffer_reader_destroy(&reader);
		request = agent__cluster_status_change_request__unpack(NULL,
															   GRPC_SLICE_LENGTH(slice),
															   GRPC_SLICE_START_PTR(slice));
		grpc_slice_unref(slice);
	}
	if (request == NULL)
	{
		agent_send(call, NULL, 0, GRPC_STATUS_INVALID_ARGUMENT, "no request");
		return;
	}

	how = request->cluster_id;
	if (sscanf(how, "status:%d:%n", &number, &offset) == 1)
		agent_send(call, NULL, 0, number, how + offset);
	else if (sscanf(how, "error:%d", &number) == 1)
		agent_send_reply(call, number, "refused");
	else if (strcmp(how, "hold") == 0)
	{
		call->is_held = true;
		call->next = agent->held;
		agent->held = call;
		agent->held_count++;
	}
	else if (strcmp(how, "garbage") == 0)
		agent_send(call, "\xFF\xFF\xFF\xFF\xFF", 5, 0, "");
	else if (strcmp(how, "silent") == 0)
		agent_send(call, NULL, 0, 0, "");
	else if (sscanf(how, "large:%d", &number) == 1)
	{
		char	   *message = malloc((size_t) number + 1);

		memset(message, 'x', (size_t) number);
		message[number] = '\0';
		agent_send_reply(call, 0, message);
		free(message);
	}
	else
		agent_send_reply(call, 0, "done");

	agent_forget_seen(&agent->seen);
	agent->seen.method = agent_method(call);
	agent->seen.request_id = agent_metadata(call, "x-request-id");
	agent->seen.attempt = agent_metadata(call, "x-attempt");
	agent->seen.user_agent = agent_metadata(call, "user-agent");
	agent->seen.authorization = agent_metadata(call, "authorization");
	agent->seen.authority =
		strndup((const char *) GRPC_SLICE_START_PTR(call->details.host),
				GRPC_SLICE_LENGTH(call->details.host));
	agent->seen.peer = grpc_call_get_peer(call->call);
	agent->seen.request = request;
	agent->received++;
}

static void
agent_stream_read_next(AgentCall *call)
{
	grpc_op		op = {.op = GRPC_OP_RECV_MESSAGE};

	call->request = NULL;
	op.data.recv_message.recv_message = &call->request;
	agent_start_batch(call, &op, 1, AGENT_READ);
}

/* the mutex is held */
static void
agent_stream_read(AgentCall *call)
{
	Agent	   *agent = call->agent;
	Agent__StreamRequest *request;
	grpc_byte_buffer_reader reader;
	grpc_slice	slice;

	if (call->request == NULL)
	{
		agent->streams_closed += call->cancelled ? 0 : 1;
		return;
	}
	grpc_byte_buffer_reader_init(&reader, call->request);
	slice = grpc_byte_buffer_reader_readall(&reader);
	grpc_byte_buffer_reader_destroy(&reader);
	request = agent__stream_request__unpack(NULL, GRPC_SLICE_LENGTH(slice),
											GRPC_SLICE_START_PTR(slice));
	grpc_slice_unref(slice);
	grpc_byte_buffer_destroy(call->request);
	call->request = NULL;
	if (request == NULL)
		abort();
	if (request->max_message_size > 0)
		agent->largest_message = request->max_message_size;
	agent->stream_calls += (int) request->n_calls;
	for (size_t i = 0; i < request->n_calls; i++)
	{
		ProtobufCBinaryData *bytes = &request->calls[i]->request;
		Agent__ClusterStatusChangeRequest *order =
			agent__cluster_status_change_request__unpack(NULL, bytes->len,
														 bytes->data);

		snprintf(agent->last_streamed, sizeof(agent->last_streamed), "%s %d %u",
				 order != NULL ? order->cluster_id : "(unreadable)",
				 (int) request->calls[i]->method, request->calls[i]->attempt);
		if (order != NULL)
			agent__cluster_status_change_request__free_unpacked(order, NULL);
	}
	agent->stream_cancels += (int) request->n_cancelled;
	if (request->n_cancelled > 0)
		agent->last_cancelled = request->cancelled[request->n_cancelled - 1];
	agent__stream_request__free_unpacked(request, NULL);
	if (!agent->deaf)
		agent_stream_read_next(call);
}

/* reads again, after it was deaf */
static void
agent_stream_resume(Agent *agent)
{
	pthread_mutex_lock(&agent->mutex);
	agent->deaf = false;
	agent_stream_read_next(agent->stream);
	pthread_mutex_unlock(&agent->mutex);
}

/* sends bytes over the last stream, when it has sent what was before */
static void
agent_stream_send_bytes(Agent *agent, const void *data, size_t size)
{
	grpc_slice	slice = grpc_slice_from_copied_buffer(data, size);
	grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&slice, 1);
	grpc_op		op = {.op = GRPC_OP_SEND_MESSAGE};

	op.data.send_message.send_message = buffer;
	pthread_mutex_lock(&agent->mutex);
	while (agent->stream_sending)
		pthread_cond_wait(&agent->changed, &agent->mutex);
	agent->stream_sending = true;
	agent_start_batch(agent->stream, &op, 1, AGENT_SENT);
	pthread_mutex_unlock(&agent->mutex);
	grpc_byte_buffer_destroy(buffer);
	grpc_slice_unref(slice);
}

static void
agent_stream_send(Agent *agent, const Agent__StreamResponse *response)
{
	size_t		size = agent__stream_response__get_packed_size(response);
	uint8_t    *data = malloc(size + 1);

	agent__stream_response__pack(response, data);
	agent_stream_send_bytes(agent, data, size);
	free(data);
}

static void
agent_stream_end(Agent *agent, int status, const char *text)
{
	grpc_slice	details = grpc_slice_from_copied_string(text);
	grpc_op		op = {.op = GRPC_OP_SEND_STATUS_FROM_SERVER};

	op.data.send_status_from_server.status = (grpc_status_code) status;
	op.data.send_status_from_server.status_details = &details;
	pthread_mutex_lock(&agent->mutex);
	while (agent->stream_sending)
		pthread_cond_wait(&agent->changed, &agent->mutex);
	agent_start_batch(agent->stream, &op, 1, AGENT_SENT);
	pthread_mutex_unlock(&agent->mutex);
	grpc_slice_unref(details);
}

/* the mutex is held */
static void
agent_accept_stream(AgentCall *call)
{
	Agent	   *agent = call->agent;
	grpc_op		op = {.op = GRPC_OP_SEND_INITIAL_METADATA};

	call->is_stream = true;
	agent->stream = call;
	agent->streams++;
	agent->stream_sending = true;
	agent_start_batch(call, &op, 1, AGENT_SENT);
	agent_stream_read_next(call);
}

static void
agent_accept(AgentCall *call)
{
	char	   *method = agent_method(call);
	bool		is_stream = strcmp(method,
								   "/agent.AgentService/PowerStream") == 0;
	grpc_op		ops[2];

	memset(ops, 0, sizeof(ops));
	ops[0].op = GRPC_OP_RECV_CLOSE_ON_SERVER;
	ops[0].data.recv_close_on_server.cancelled = &call->cancelled;
	agent_start_batch(call, ops, 1, AGENT_CLOSED);

	memset(ops, 0, sizeof(ops));
	ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
	if (is_stream && call->agent->streaming)
		agent_accept_stream(call);
	else if (strncmp(method, "/agent.AgentService/", 20) == 0 && !is_stream)
	{
		ops[1].op = GRPC_OP_RECV_MESSAGE;
		ops[1].data.recv_message.recv_message = &call->request;
		agent_start_batch(call, ops, 2, AGENT_READ);
	}
	else
	{
		grpc_slice	details = grpc_slice_from_static_string("no such service");

		call->agent->others++;
		ops[1].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
		ops[1].data.send_status_from_server.status = GRPC_STATUS_UNIMPLEMENTED;
		ops[1].data.send_status_from_server.status_details = &details;
		agent_start_batch(call, ops, 2, AGENT_SENT);
	}
	free(method);
}

static void
agent_unhold(AgentCall *call)
{
	AgentCall **link = &call->agent->held;

	while (*link != call)
		link = &(*link)->next;
	*link = call->next;
	call->is_held = false;
	call->agent->held_count--;
}

static void
agent_handle(Agent *agent, AgentTag *tag, bool success)
{
	AgentCall  *call = tag->call;

	if (tag->event == AGENT_NEW)
	{
		if (!success)
		{
			agent_free_call(call);
			return;
		}
		agent_expect_call(agent);
		agent_accept(call);
		return;
	}

	call->pending--;
	if (call->is_stream && tag->event == AGENT_READ)
	{
		/* of one that has failed, nothing came */
		if (success)
			agent_stream_read(call);
	}
	else if (call->is_stream && tag->event == AGENT_SENT)
		agent->stream_sending = false;
	else if (tag->event == AGENT_READ && success)
		agent_answer(call);
	else if (tag->event == AGENT_CLOSED)
	{
		if (call->is_stream)
			agent->streams_ended++;
		if (call->is_held)
			agent_unhold(call);
		if (call->cancelled && !call->is_stream)
			agent->cancelled++;
	}
	if (call->pending == 0)
	{
		if (agent->stream == call)
			agent->stream = NULL;
		agent_free_call(call);
	}
}

static void *
agent_main(void *argument)
{
	Agent	   *agent = argument;

	for (;;)
	{
		grpc_event	event;

		event = grpc_completion_queue_next(agent->queue,
										   gpr_inf_future(GPR_CLOCK_REALTIME),
										   NULL);
		if (event.type == GRPC_QUEUE_SHUTDOWN)
			return NULL;
		if (event.tag == &agent_shutdown_tag)
		{
			grpc_completion_queue_shutdown(agent->queue);
			continue;
		}
		pthread_mutex_lock(&agent->mutex);
		agent_handle(agent, event.tag, event.success != 0);
		pthread_cond_broadcast(&agent->changed);
		pthread_mutex_unlock(&agent->mutex);
	}
}

/* NULL if the address cannot be listened on; takes the credentials */
static Agent *
agent_start_secure(const char *address, grpc_server_credentials *credentials)
{
	Agent	   *agent = calloc(1, sizeof(*agent));
	int			bound;

	/* what it takes without reading it stays as it is at the start: 64 kB */
	grpc_arg	no_probe = {
		.type = GRPC_ARG_INTEGER,
		.key = GRPC_ARG_HTTP2_BDP_PROBE,
		.value.integer = 0
	};
	const grpc_channel_args args = {1, &no_probe};

	agent->queue = grpc_completion_queue_create_for_next(NULL);
	agent->server = grpc_server_create(&args, NULL);
	grpc_server_register_completion_queue(agent->server, agent->queue, NULL);
	bound = grpc_server_add_http2_port(agent->server, address, credentials);
	grpc_server_credentials_release(credentials);
	if (bound == 0)
		return NULL;
	agent->port = bound;
	pthread_mutex_init(&agent->mutex, NULL);
	pthread_cond_init(&agent->changed, NULL);
	grpc_server_start(agent->server);
	for (int i = 0; i < 100; i++)
		agent_expect_call(agent);
	pthread_create(&agent->thread, NULL, agent_main, agent);
	return agent;
}

static Agent *
agent_start(const char *address)
{
	return agent_start_secure(address,
							  grpc_insecure_server_credentials_create());
}

/* wants no new calls any more: those under way go on */
static void
agent_leave(Agent *agent)
{
	grpc_server_shutdown_and_notify(agent->server, agent->queue,
									&agent_shutdown_tag);
}

/* when they have ended */
static void
agent_finish(Agent *agent)
{
	pthread_join(agent->thread, NULL);
	grpc_server_destroy(agent->server);
	grpc_completion_queue_destroy(agent->queue);
	agent_forget_seen(&agent->seen);
	free(agent);
}

/* closes all connections; calls that are held are lost */
static void
agent_stop(Agent *agent)
{
	agent_leave(agent);
	grpc_server_cancel_all_calls(agent->server);
	agent_finish(agent);
}

/* answers the calls that are held */
static void
agent_release(Agent *agent)
{
	pthread_mutex_lock(&agent->mutex);
	while (agent->held != NULL)
	{
		AgentCall  *call = agent->held;

		agent_unhold(call);
		agent_send_reply(call, 0, "done");
	}
	pthread_mutex_unlock(&agent->mutex);
}

/* a counter of the agent now */
static int
agent_count(Agent *agent, const int *counter)
{
	int			result;

	pthread_mutex_lock(&agent->mutex);
	result = *counter;
	pthread_mutex_unlock(&agent->mutex);
	return result;
}

/* waits until a counter of the agent has a value; false after 20 s */
static bool
agent_await(Agent *agent, const int *counter, int value)
{
	struct timespec limit;
	bool		result;

	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += 20;
	pthread_mutex_lock(&agent->mutex);
	while (*counter < value &&
		   pthread_cond_timedwait(&agent->changed, &agent->mutex, &limit) == 0)
		;
	result = *counter >= value;
	pthread_mutex_unlock(&agent->mutex);
	return result;
}

#endif							/* PA_COURIER_AGENT_H */
