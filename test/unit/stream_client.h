/*-------------------------------------------------------------------------
 *
 * test/unit/stream_client.h
 *		A client of the agent's PowerStream, beside those of agent_client.h.
 *
 * One thread.  What is waited for comes, or the test program ends.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_STREAM_CLIENT_H
#define PA_STREAM_CLIENT_H

#include "agent_client.h"

#define POWER_STREAM	"/agent.AgentService/PowerStream"
#define MAX_CALLS		4096		/* ids are below */

#define ON				AGENT__STREAM_METHOD__STREAM_METHOD_POWER_ON
#define OFF				AGENT__STREAM_METHOD__STREAM_METHOD_POWER_OFF
#define STATE			AGENT__STREAM_METHOD__STREAM_METHOD_GET_POWER_STATE

typedef struct Answer
{
	int			count;			/* of answers with this id */
	int			status;
	bool		not_started;
	char		message[256];	/* of the status */
	size_t		length;			/* of the reply */
	int			error;			/* of the reply; -1: it is none */
	int			state;			/* of i-1, as replied; -1: none */
} Answer;

typedef struct Stream
{
	grpc_call  *call;
	grpc_completion_queue *queue;
	grpc_metadata_array initial;
	grpc_metadata_array trailing;
	grpc_status_code status;
	grpc_slice	details;
	char		message[256];	/* of the status */
	grpc_byte_buffer *buffer;
	bool		receiving;
	bool		over;			/* no more messages */
	int			messages;
	size_t		largest;		/* bytes of a message */
	uint32_t	max_message_size;	/* as the agent says */
	int			answer_count;
	Answer		answers[MAX_CALLS];
	Agent__StreamRequest request;	/* that is built */
} Stream;

/* tags: places in the stream */
static void
pluck(Stream *stream, void *tag)
{
	grpc_event	event =
		grpc_completion_queue_pluck(stream->queue, tag,
									deadline_after(PATIENCE * 1000), NULL);

	if (event.type != GRPC_OP_COMPLETE)
		give_up("nothing comes of the stream");
}

/* a token: NULL: none */
static Stream *
open_stream(const char *token)
{
	Stream	   *stream = calloc(1, sizeof(*stream));
	grpc_op		ops[2];
	grpc_metadata metadata;

	memset(ops, 0, sizeof(ops));
	agent__stream_request__init(&stream->request);
	stream->queue = grpc_completion_queue_create_for_pluck(NULL);
	grpc_metadata_array_init(&stream->initial);
	grpc_metadata_array_init(&stream->trailing);
	stream->details = grpc_empty_slice();
	stream->call =
		grpc_channel_create_call(channel, NULL, 0, stream->queue,
								 grpc_slice_from_static_string(POWER_STREAM),
								 NULL, deadline_after(2 * PATIENCE * 1000), NULL);
	ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
	if (token != NULL)
	{
		memset(&metadata, 0, sizeof(metadata));
		metadata.key = grpc_slice_from_static_string("authorization");
		metadata.value = grpc_slice_from_copied_string(token);
		ops[0].data.send_initial_metadata.count = 1;
		ops[0].data.send_initial_metadata.metadata = &metadata;
	}
	ops[1].op = GRPC_OP_RECV_INITIAL_METADATA;
	ops[1].data.recv_initial_metadata.recv_initial_metadata = &stream->initial;
	if (grpc_call_start_batch(stream->call, ops, 2, &stream->initial, NULL) !=
		GRPC_CALL_OK)
		give_up("could not start a stream");
	if (token != NULL)
		grpc_slice_unref(metadata.value);
	memset(ops, 0, sizeof(ops));
	ops[0].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
	ops[0].data.recv_status_on_client.trailing_metadata = &stream->trailing;
	ops[0].data.recv_status_on_client.status = &stream->status;
	ops[0].data.recv_status_on_client.status_details = &stream->details;
	if (grpc_call_start_batch(stream->call, ops, 1, &stream->trailing, NULL) !=
		GRPC_CALL_OK)
		give_up("could not start a stream");
	return stream;
}

static void
begin_receiving(Stream *stream)
{
	grpc_op		op;

	if (stream->receiving || stream->over)
		return;
	memset(&op, 0, sizeof(op));
	op.op = GRPC_OP_RECV_MESSAGE;
	op.data.recv_message.recv_message = &stream->buffer;
	stream->receiving = true;
	if (grpc_call_start_batch(stream->call, &op, 1, &stream->buffer, NULL) !=
		GRPC_CALL_OK)
		give_up("could not receive");
}

static void
take_answer(Stream *stream, const Agent__StreamAnswer *told)
{
	Answer	   *answer;
	Agent__ClusterStatusChangeResponse *reply = NULL;

	stream->answer_count++;
	if (told->call_id >= MAX_CALLS)
		give_up("an answer to no call");
	answer = &stream->answers[told->call_id];
	answer->count++;
	answer->status = (int) told->status_code;
	answer->not_started = told->not_started;
	answer->length = told->response.len;
	answer->error = answer->state = -1;
	snprintf(answer->message, sizeof(answer->message), "%s", told->status_message);
	if (told->status_code == 0)
		reply = agent__cluster_status_change_response__unpack(NULL,
															  told->response.len,
															  told->response.data);
	if (reply == NULL)
		return;
	answer->error = reply->error;
	for (size_t i = 0; i < reply->n_instance_states; i++)
	{
		if (strcmp(reply->instance_states[i]->instance_id, "i-1") == 0)
			answer->state = reply->instance_states[i]->state;
	}
	agent__cluster_status_change_response__free_unpacked(reply, NULL);
}

/* waits for a message; false: there are no more */
static bool
receive_message(Stream *stream)
{
	grpc_byte_buffer_reader reader;
	grpc_slice	slice;
	Agent__StreamResponse *response;

	begin_receiving(stream);
	if (stream->over)
		return false;
	pluck(stream, &stream->buffer);
	stream->receiving = false;
	if (stream->buffer == NULL)
	{
		stream->over = true;
		return false;
	}
	grpc_byte_buffer_reader_init(&reader, stream->buffer);
	slice = grpc_byte_buffer_reader_readall(&reader);
	grpc_byte_buffer_reader_destroy(&reader);
	response = agent__stream_response__unpack(NULL, GRPC_SLICE_LENGTH(slice),
											  GRPC_SLICE_START_PTR(slice));
	if (response == NULL)
		give_up("the agent sends garbage");
	stream->messages++;
	if (GRPC_SLICE_LENGTH(slice) > stream->largest)
		stream->largest = GRPC_SLICE_LENGTH(slice);
	if (response->max_message_size > 0)
		stream->max_message_size = response->max_message_size;
	for (size_t i = 0; i < response->n_answers; i++)
		take_answer(stream, response->answers[i]);
	agent__stream_response__free_unpacked(response, NULL);
	grpc_slice_unref(slice);
	grpc_byte_buffer_destroy(stream->buffer);
	stream->buffer = NULL;
	return true;
}

/* waits until so many answers have come in all, or the stream ends */
__attribute__((unused))
static void
await_answers(Stream *stream, int count)
{
	while (stream->answer_count < count && receive_message(stream))
		;
}

/* waits for the answer to one call */
static const Answer *
await_answer(Stream *stream, uint64_t call_id)
{
	while (stream->answers[call_id].count == 0 && receive_message(stream))
		;
	return &stream->answers[call_id];
}

/* starts to send bytes, which it takes; may go on when it has returned */
static void
begin_sending(Stream *stream, uint8_t *bytes, size_t length)
{
	grpc_byte_buffer *buffer = buffer_of(bytes, length);
	grpc_op		op;

	memset(&op, 0, sizeof(op));
	op.op = GRPC_OP_SEND_MESSAGE;
	op.data.send_message.send_message = buffer;
	if (grpc_call_start_batch(stream->call, &op, 1, &stream->request, NULL) !=
		GRPC_CALL_OK)
		give_up("could not send");
	grpc_byte_buffer_destroy(buffer);
}

static void
send_bytes(Stream *stream, uint8_t *bytes, size_t length)
{
	begin_sending(stream, bytes, length);
	pluck(stream, &stream->request);
}

/* bytes of the request that was built, to be freed; empties it */
static uint8_t *
take_request_bytes(Stream *stream, size_t *length)
{
	Agent__StreamRequest *request = &stream->request;
	uint8_t    *bytes;

	*length = agent__stream_request__get_packed_size(request);
	bytes = malloc(*length + 1);
	agent__stream_request__pack(request, bytes);
	for (size_t i = 0; i < request->n_calls; i++)
	{
		free(request->calls[i]->request.data);
		free(request->calls[i]);
	}
	free(request->calls);
	free(request->cancelled);
	agent__stream_request__init(request);
	return bytes;
}

/* sends the request that was built */
static void
send_request(Stream *stream)
{
	size_t		length;
	uint8_t    *bytes = take_request_bytes(stream, &length);

	send_bytes(stream, bytes, length);
}

/* adds a call to the request; method and order as told */
static Agent__StreamCall *
add_call(Stream *stream, uint64_t call_id, int method, Order order)
{
	Agent__StreamRequest *request = &stream->request;
	Agent__StreamCall *call = malloc(sizeof(*call));

	agent__stream_call__init(call);
	call->call_id = call_id;
	call->method = (Agent__StreamMethod) method;
	call->request.data = order_bytes(&order, &call->request.len);
	if (order.attempt != NULL)
		call->attempt = (uint32_t) atoi(order.attempt);
	call->timeout_ms = (uint32_t) order.deadline;
	request->calls = realloc(request->calls, (request->n_calls + 1) *
							 sizeof(*request->calls));
	request->calls[request->n_calls++] = call;
	return call;
}

static void
add_cancelled(Stream *stream, uint64_t call_id)
{
	Agent__StreamRequest *request = &stream->request;

	request->cancelled = realloc(request->cancelled, (request->n_cancelled + 1) *
								 sizeof(*request->cancelled));
	request->cancelled[request->n_cancelled++] = call_id;
}

/* sends one call */
static void
call_by(Stream *stream, uint64_t call_id, int method, Order order)
{
	add_call(stream, call_id, method, order);
	send_request(stream);
}

static void
half_close(Stream *stream)
{
	grpc_op		op;

	memset(&op, 0, sizeof(op));
	op.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
	if (grpc_call_start_batch(stream->call, &op, 1, &stream->over, NULL) !=
		GRPC_CALL_OK)
		give_up("could not close");
	pluck(stream, &stream->over);
}

/* waits for the end of the stream, with all answers */
static void
await_end(Stream *stream)
{
	while (receive_message(stream))
		;
	pluck(stream, &stream->initial);
	pluck(stream, &stream->trailing);
	snprintf(stream->message, sizeof(stream->message), "%.*s",
			 (int) GRPC_SLICE_LENGTH(stream->details),
			 (const char *) GRPC_SLICE_START_PTR(stream->details));
}

/* after await_end */
static void
free_stream(Stream *stream)
{
	size_t		length;

	free(take_request_bytes(stream, &length));
	grpc_metadata_array_destroy(&stream->initial);
	grpc_metadata_array_destroy(&stream->trailing);
	grpc_slice_unref(stream->details);
	grpc_call_unref(stream->call);
	grpc_completion_queue_shutdown(stream->queue);
	grpc_completion_queue_destroy(stream->queue);
	free(stream);
}

/* the client has no more calls, and the stream ends well */
static void
finish_stream(Stream *stream, const char *name)
{
	half_close(stream);
	await_end(stream);
	if (!ok(stream->status == GRPC_STATUS_OK, "%s", name))
		printf("# got: %d %s\n", stream->status, stream->message);
	free_stream(stream);
}

/* cancels the stream as a whole, and frees it */
__attribute__((unused))
static void
cancel_stream(Stream *stream)
{
	grpc_call_cancel(stream->call, NULL);
	await_end(stream);
	free_stream(stream);
}

/* checks how the stream ends, and frees it */
static void
expect_end(Stream *stream, grpc_status_code status, const char *message,
		   const char *name)
{
	await_end(stream);
	if (!ok(stream->status == status && strstr(stream->message, message) != NULL,
			"%s", name))
		printf("# got: %d %s\n", stream->status, stream->message);
	free_stream(stream);
}

/* checks the one answer to a call */
static void
expect_answer(Stream *stream, uint64_t call_id, int status, const char *message,
			  const char *name)
{
	const Answer *answer = await_answer(stream, call_id);

	if (!ok(answer->count == 1 && answer->status == status &&
			strstr(answer->message, message) != NULL, "%s", name))
		printf("# got: %d times %d %s\n", answer->count, answer->status,
			   answer->message);
}

static void
expect_state_of(Stream *stream, uint64_t call_id, int state, const char *name)
{
	const Answer *answer = await_answer(stream, call_id);

	if (!ok(answer->count == 1 && answer->status == 0 && answer->error == 0 &&
			answer->state == state, "%s", name))
		printf("# got: %d times %d %s, error %d, state %d\n", answer->count,
			   answer->status, answer->message, answer->error, answer->state);
}

#endif							/* PA_STREAM_CLIENT_H */
