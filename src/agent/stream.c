/*-------------------------------------------------------------------------
 *
 * src/agent/stream.c
 *		Many calls over one gRPC call that stays open.  Contract in stream.h.
 *
 * At most one message is on its way to the client.  Meanwhile answers gather
 * in the next ones: several messages in serialized form, one behind the other,
 * are one with the answers of all, so each is packed only once, into the
 * memory that core sends.
 *
 *-------------------------------------------------------------------------
 */
#include "stream.h"

#include <grpc/byte_buffer_reader.h>
#include <grpc/support/time.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metric.h"
#include "plain_text.h"
#include "program/clock.h"
#include "program/memory.h"
#include "program/utf8.h"
#include "service.h"
#include "status_name.h"
#include "stream_request.h"

/* what gRPC takes if nothing is said */
#define DEFAULT_MESSAGE_SIZE	(4 * 1024 * 1024)

/* of answers that fit, or one slow message would hold up many */
#define MESSAGE_GOAL			(64 * 1024)

/* bytes that wait when nothing more is taken from the client */
#define WAITING_LIMIT			(1024 * 1024)

#define ENDING	"the agent is shutting down"

typedef struct Message
{
	struct Message *next;
	size_t		used;
	size_t		size;
	uint8_t		bytes[];
} Message;

struct PaStream
{
	PaStreams  *streams;
	PaCall	   *call;
	PaStream   *previous;		/* of all that are open */
	PaStream   *next;
	PaStream   *next_waiting;
	bool		waiting;		/* for pa_streams_flush */

	int			operations;		/* that core has */
	bool		receiving;
	bool		sending;
	bool		begun;			/* initial metadata is sent */
	bool		half_closed;	/* the client sends no more calls */
	bool		deaf;			/* nothing can be sent any more */
	bool		ended;			/* the status was sent */
	bool		closed;			/* the stream is no more */
	int			status;			/* that it ended with */
	int			cancelled;		/* of no interest, but core tells it */
	PaTag		received;
	PaTag		sent;
	PaTag		closed_tag;
	PaTag		ended_tag;

	grpc_byte_buffer *message;	/* that was received */
	uint32_t	max_message_size;	/* that the client takes */
	Message    *first;			/* to be sent */
	Message    *last;
	size_t		waiting_size;	/* of these, and of the one on its way */
	size_t		sent_size;		/* of that */

	PaTable		calls;			/* that are open, by their ids; */
	PaCall	   *newest;			/* a list of the same */
};

const PaCall *
pa_stream_call(const PaStream *stream)
{
	return stream->call;
}

/* something has changed that may be gone on with, in a while */
static void
touch(PaStream *stream)
{
	if (stream->waiting)
		return;
	stream->waiting = true;
	stream->next_waiting = stream->streams->first_waiting;
	stream->streams->first_waiting = stream;
}

/* room for so many bytes behind the answers that wait */
static uint8_t *
make_room(PaStream *stream, size_t length)
{
	Message    *message = stream->last;
	size_t		size = stream->max_message_size < MESSAGE_GOAL ?
		stream->max_message_size : MESSAGE_GOAL;

	if (message == NULL || message->size - message->used < length)
	{
		if (size < length)
			size = length;
		message = pa_memory_allocate(sizeof(*message) + size);
		message->next = NULL;
		message->used = 0;
		message->size = size;
		if (stream->last != NULL)
			stream->last->next = message;
		else
			stream->first = message;
		stream->last = message;
	}
	stream->waiting_size += length;
	message->used += length;
	return message->bytes + message->used - length;
}

static void
drop_messages(PaStream *stream)
{
	while (stream->first != NULL)
	{
		Message    *message = stream->first;

		stream->first = message->next;
		stream->waiting_size -= message->used;
		free(message);
	}
	stream->last = NULL;
}

/* nothing that is sent would reach the client */
static bool
is_over(const PaStream *stream)
{
	return stream->deaf || stream->ended || stream->closed;
}

static void
put(PaStream *stream, const Agent__StreamResponse *response)
{
	size_t		length = agent__stream_response__get_packed_size(response);

	agent__stream_response__pack(response, make_room(stream, length));
	touch(stream);
}

/*
 * The reply counts with status OK, the details with any other.  Returns the
 * status that the client is told: not OK if the reply is too large for it.
 */
static int
put_answer(PaStream *stream, uint64_t call_id, int status, const char *details,
		   const uint8_t *reply, size_t length, bool not_started)
{
	Agent__StreamAnswer answer = AGENT__STREAM_ANSWER__INIT;
	Agent__StreamAnswer *answers = &answer;
	Agent__StreamResponse response = AGENT__STREAM_RESPONSE__INIT;
	char		text[1024];

	if (is_over(stream))
		return status;
	response.n_answers = 1;
	response.answers = &answers;
	answer.call_id = call_id;
	if (status == PA_STATUS_OK)
	{
		size_t		size;

		answer.response.data = (uint8_t *) reply;
		answer.response.len = length;
		size = agent__stream_response__get_packed_size(&response);
		if (size > stream->max_message_size)
		{
			/* as gRPC has it, so that the client knows that we have acted */
			snprintf(text, sizeof(text),
					 "Received message larger than max (%zu vs. %u)",
					 size, stream->max_message_size);
			answer.response.len = 0;
			status = PA_STATUS_RESOURCE_EXHAUSTED;
			details = text;
		}
	}
	else if (details != NULL &&
			 (strlen(details) >= sizeof(text) ||
			  pa_utf8_valid_length(details, strlen(details)) != strlen(details)))
	{
		/* one that is not UTF-8 would spoil the whole message */
		pa_plain_text(text, sizeof(text), details, strlen(details));
		details = text;
	}
	answer.status_code = (uint32_t) status;
	answer.not_started = not_started;
	if (status != PA_STATUS_OK && details != NULL)
		answer.status_message = (char *) details;
	put(stream, &response);
	return status;
}

static void
start(PaStream *stream, const grpc_op *ops, size_t count, PaTag *tag)
{
	stream->operations++;
	pa_call_start_batch(stream->call, ops, count, tag);
}

/* the metadata that everything else comes behind; returns how many ops */
static size_t
begin_sending(PaStream *stream, grpc_op *ops)
{
	if (stream->begun)
		return 0;
	stream->begun = true;
	ops->op = GRPC_OP_SEND_INITIAL_METADATA;
	return 1;
}

static void
send_first(PaStream *stream)
{
	Message    *message = stream->first;
	grpc_op		ops[2];
	size_t		count;
	grpc_slice	slice;
	grpc_byte_buffer *buffer;

	stream->first = message->next;
	if (stream->first == NULL)
		stream->last = NULL;
	stream->sent_size = message->used;
	stream->sending = true;
	slice = grpc_slice_new_with_user_data(message->bytes, message->used, free,
										  message);
	buffer = grpc_raw_byte_buffer_create(&slice, 1);
	grpc_slice_unref(slice);
	memset(ops, 0, sizeof(ops));
	count = begin_sending(stream, ops);
	ops[count].op = GRPC_OP_SEND_MESSAGE;
	ops[count].data.send_message.send_message = buffer;
	start(stream, ops, count + 1, &stream->sent);
	grpc_byte_buffer_destroy(buffer);
}

static void
end(PaStream *stream, int status, const char *details)
{
	grpc_op		ops[2];
	size_t		count;
	grpc_slice	slice = grpc_slice_from_static_string(details);

	stream->ended = true;
	stream->status = status;
	memset(ops, 0, sizeof(ops));
	count = begin_sending(stream, ops);
	ops[count].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
	ops[count].data.send_status_from_server.status = (grpc_status_code) status;
	ops[count].data.send_status_from_server.status_details = &slice;
	start(stream, ops, count + 1, &stream->ended_tag);
}

static void
receive_next(PaStream *stream)
{
	grpc_op		op;

	memset(&op, 0, sizeof(op));
	op.op = GRPC_OP_RECV_MESSAGE;
	op.data.recv_message.recv_message = &stream->message;
	stream->receiving = true;
	start(stream, &op, 1, &stream->received);
}

static void
advance(PaStream *stream)
{
	if (is_over(stream))
		return;
	if (!stream->sending && stream->first != NULL)
		send_first(stream);
	else if (!stream->sending && stream->newest == NULL)
	{
		if (stream->half_closed)
			end(stream, PA_STATUS_OK, "");
		else if (stream->streams->draining)
			end(stream, PA_STATUS_UNAVAILABLE, ENDING);
	}
	if (!stream->ended && !stream->receiving && !stream->half_closed &&
		stream->waiting_size <= WAITING_LIMIT)
		receive_next(stream);
}

void
pa_streams_flush(PaStreams *streams)
{
	while (streams->first_waiting != NULL)
	{
		PaStream   *stream = streams->first_waiting;

		streams->first_waiting = stream->next_waiting;
		stream->waiting = false;
		advance(stream);
	}
}

void
pa_streams_drain(PaStreams *streams)
{
	streams->draining = true;
	for (PaStream *stream = streams->first; stream; stream = stream->next)
		touch(stream);
	pa_streams_flush(streams);
}

void
pa_stream_begin(PaStreams *streams, PaCall *call)
{
	PaStream   *stream = pa_memory_allocate_zeroed(sizeof(*stream));
	Agent__StreamResponse ready = AGENT__STREAM_RESPONSE__INIT;
	grpc_op		op;

	stream->streams = streams;
	stream->call = call;
	call->stream = stream;
	stream->next = streams->first;
	if (stream->next != NULL)
		stream->next->previous = stream;
	streams->first = stream;
	stream->received = (PaTag) {PA_TAG_STREAM_RECEIVED, call};
	stream->sent = (PaTag) {PA_TAG_STREAM_SENT, call};
	stream->closed_tag = (PaTag) {PA_TAG_STREAM_CLOSED, call};
	stream->ended_tag = (PaTag) {PA_TAG_STREAM_ENDED, call};
	stream->max_message_size = DEFAULT_MESSAGE_SIZE;
	stream->status = PA_STATUS_CANCELLED;

	memset(&op, 0, sizeof(op));
	op.op = GRPC_OP_RECV_CLOSE_ON_SERVER;
	op.data.recv_close_on_server.cancelled = &stream->cancelled;
	start(stream, &op, 1, &stream->closed_tag);
	if (streams->draining)
	{
		touch(stream);
		return;
	}
	ready.max_message_size = streams->max_message_size;
	put(stream, &ready);
	/* before any answer can join it */
	advance(stream);
}

static PaCall *
find_call(const PaStream *stream, uint64_t call_id, uint64_t *hash)
{
	*hash = pa_table_hash(&call_id, sizeof(call_id), 0);
	for (PaTableNode *node = pa_table_first(&stream->calls, *hash);
		 node != NULL; node = pa_table_next(node))
	{
		PaCall	   *call = PA_CONTAINER(node, PaCall, stream_node);

		if (call->call_id == call_id)
			return call;
	}
	return NULL;
}

/* its client has given up, whether or not it says so: it may not be there */
static void
run_out_of_time(PaTimer *timer)
{
	PaCall	   *call = PA_CONTAINER(timer, PaCall, stream_timer);

	pa_service_cancelled(call->stream->streams->service, call);
}

/* timeout: us; 0: none */
static void
open_call(PaStream *stream, PaCall *call, uint64_t hash, int64_t timeout)
{
	call->deadline = gpr_inf_future(GPR_CLOCK_MONOTONIC);
	if (timeout > 0)
	{
		call->deadline = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
									  gpr_time_from_micros(timeout, GPR_TIMESPAN));
		pa_timer_set(stream->streams->timers, &call->stream_timer,
					 call->received_at + timeout, run_out_of_time);
	}
	call->streamed = true;
	call->stream = stream;
	pa_table_insert(&stream->calls, &call->stream_node, hash);
	call->stream_previous = NULL;
	call->stream_next = stream->newest;
	if (call->stream_next != NULL)
		call->stream_next->stream_previous = call;
	stream->newest = call;
}

void
pa_stream_close_call(PaCall *call)
{
	PaStream   *stream = call->stream;

	pa_timer_clear(stream->streams->timers, &call->stream_timer);
	pa_table_remove(&stream->calls, &call->stream_node);
	if (call->stream_next != NULL)
		call->stream_next->stream_previous = call->stream_previous;
	if (call->stream_previous != NULL)
		call->stream_previous->stream_next = call->stream_next;
	else
		stream->newest = call->stream_next;
	call->stream = NULL;
	touch(stream);
	pa_call_release(call);
}

void
pa_stream_answer(PaCall *call, int status, const char *details,
				 const uint8_t *reply, size_t length)
{
	status = put_answer(call->stream, call->call_id, status, details, reply,
						length, false);
	call->answered = true;
	pa_metric_call_end(call->method, status,
					   pa_clock_now() - call->received_at);
}

static void
cancel_calls(PaStream *stream)
{
	while (stream->newest != NULL)
		pa_service_cancelled(stream->streams->service, stream->newest);
}

/*
 * The client has broken the contract.  It may not read, either: nothing waits
 * for what is on its way to it.
 */
static void
refuse(PaStream *stream, const char *problem)
{
	stream->deaf = true;
	stream->status = PA_STATUS_INVALID_ARGUMENT;
	drop_messages(stream);
	grpc_call_cancel_with_status(stream->call->call, GRPC_STATUS_INVALID_ARGUMENT,
								 problem, NULL);
	cancel_calls(stream);
}

static PaMethod
method_of(uint32_t number)
{
	switch (number)
	{
		case AGENT__STREAM_METHOD__STREAM_METHOD_POWER_ON:
			return PA_METHOD_POWER_ON;
		case AGENT__STREAM_METHOD__STREAM_METHOD_POWER_OFF:
			return PA_METHOD_POWER_OFF;
		case AGENT__STREAM_METHOD__STREAM_METHOD_GET_POWER_STATE:
			return PA_METHOD_GET_STATE;
		default:
			return PA_METHOD_UNKNOWN;
	}
}

static void
begin_call(PaStream *stream, const PaStreamCall *told, int64_t now)
{
	PaStreams  *streams = stream->streams;
	PaMethod	method = method_of(told->method);
	PaCall	   *call;
	uint64_t	hash;

	if (find_call(stream, told->call_id, &hash) != NULL)
	{
		refuse(stream, "a call_id is used again while its call is under way");
		return;
	}
	if (streams->draining)
	{
		put_answer(stream, told->call_id, PA_STATUS_UNAVAILABLE, ENDING, NULL, 0,
				   true);
		return;
	}
	pa_metric_call_begin(method);
	if (method == PA_METHOD_UNKNOWN)
	{
		put_answer(stream, told->call_id, PA_STATUS_UNIMPLEMENTED,
				   "unknown method", NULL, 0, false);
		pa_metric_call_end(method, PA_STATUS_UNIMPLEMENTED, 0);
		return;
	}
	call = pa_call_take(streams->pool);
	call->method = method;
	call->call_id = told->call_id;
	call->told_attempt = told->attempt;
	call->received_at = now;
	open_call(stream, call, hash, (int64_t) told->timeout * 1000);
	/* the call may be no more when these return */
	if (pa_service_admit(streams->service, call))
		pa_service_receive(streams->service, call, told->request, told->length);
}

static void
take_message(PaStream *stream, const uint8_t *bytes, size_t length)
{
	const char *problem = pa_stream_request_check(bytes, length,
												  &stream->max_message_size);
	int64_t		now = pa_clock_now();
	PaStreamReader reader;
	PaStreamItem item;

	if (problem != NULL)
	{
		refuse(stream, problem);
		return;
	}
	pa_stream_request_begin(&reader, bytes, length);
	while (!is_over(stream) && pa_stream_request_next(&reader, &item))
	{
		PaCall	   *call;
		uint64_t	hash;

		if (!item.cancelled)
			begin_call(stream, &item.call, now);
		else if ((call = find_call(stream, item.call.call_id, &hash)) != NULL)
			pa_service_cancelled(stream->streams->service, call);
	}
}

static void
receive(PaStream *stream, bool success)
{
	grpc_byte_buffer *message = stream->message;
	grpc_byte_buffer_reader reader;
	grpc_slice	slice;

	stream->receiving = false;
	stream->message = NULL;
	if (message == NULL)
	{
		/* of a message that is too large core tells the client */
		stream->half_closed = true;
		stream->deaf = stream->deaf || !success;
		return;
	}
	if (!is_over(stream) && grpc_byte_buffer_reader_init(&reader, message))
	{
		slice = grpc_byte_buffer_reader_readall(&reader);
		grpc_byte_buffer_reader_destroy(&reader);
		take_message(stream, GRPC_SLICE_START_PTR(slice),
					 GRPC_SLICE_LENGTH(slice));
		grpc_slice_unref(slice);
	}
	grpc_byte_buffer_destroy(message);
}

static void
close_stream(PaStream *stream)
{
	stream->closed = true;
	drop_messages(stream);
	cancel_calls(stream);
	pa_metric_call_end(PA_METHOD_STREAM, stream->status,
					   pa_clock_now() - stream->call->received_at);
}

/* closed, and nothing is on its way any more: there are no calls */
static void
free_stream(PaStream *stream)
{
	PaStreams  *streams = stream->streams;
	PaStream  **link = &streams->first_waiting;

	while (stream->waiting && *link != stream)
		link = &(*link)->next_waiting;
	if (stream->waiting)
		*link = stream->next_waiting;
	if (stream->next != NULL)
		stream->next->previous = stream->previous;
	if (stream->previous != NULL)
		stream->previous->next = stream->next;
	else
		streams->first = stream->next;
	pa_table_free(&stream->calls);
	stream->call->stream = NULL;
	pa_call_close(stream->call);
	free(stream);
}

void
pa_stream_go_on(PaTag *tag, bool success)
{
	PaCall	   *call = tag->call;
	PaStream   *stream = call->stream;

	switch (tag->kind)
	{
		case PA_TAG_STREAM_RECEIVED:
			receive(stream, success);
			break;
		case PA_TAG_STREAM_SENT:
			stream->sending = false;
			stream->waiting_size -= stream->sent_size;
			stream->deaf = stream->deaf || !success;
			break;
		case PA_TAG_STREAM_CLOSED:
			close_stream(stream);
			break;
		default:				/* PA_TAG_STREAM_ENDED */
			break;
	}
	touch(stream);
	stream->operations--;
	if (stream->closed && stream->operations == 0)
		free_stream(stream);
	pa_call_end_batch(call);
}
