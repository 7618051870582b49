/*-------------------------------------------------------------------------
 *
 * src/courier/stream.c
 *		Many calls to one agent over one call of gRPC.  See stream.h.
 *
 * Everything of a stream is under its mutex, but for what is said to be of
 * one thread.  Batches are started under it, too, so that none is after
 * pa_stream_cancel_all, when the queue is about to shut down.
 *
 *-------------------------------------------------------------------------
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <grpc/byte_buffer.h>
#include <grpc/support/alloc.h>

#include "arena.h"
#include "program/clock.h"
#include "program/memory.h"
#include "stream.h"
#include "text.h"
#include "unary.h"

/* a message is not made larger than this, unless one call is */
#define MESSAGE_SIZE		((size_t) 64 * 1024)

/* so much is sent even though more may come at once */
#define HASTY_SIZE			((size_t) 8 * 1024)

/* what an agent takes that does not say */
#define USUAL_LIMIT			((size_t) 4 * 1024 * 1024)

/* of what a message of answers unpacks to */
#define ANSWERS_LIMIT		((size_t) 1024 * 1024 * 1024)

/* us: how long an agent may take for its first message, and for the end */
#define PATIENCE			INT64_C(10000000)

/* us without another stream */
#define PAUSE_LOST			INT64_C(1000000)
#define PAUSE_BROKEN		INT64_C(10000000)
#define PAUSE_UNKNOWN		INT64_C(60000000)

typedef struct Message
{
	struct Message *next;
	uint8_t    *data;
	size_t		size;
	size_t		capacity;
	uint64_t	last;			/* place of its last call */
} Message;

struct PaStream
{
	atomic_uint references;
	pthread_mutex_t mutex;
	PaStreamState state;
	grpc_call  *call;
	void		(*released) (void *data);
	void	   *data;

	/* what goes out */
	Message    *first;
	Message    *last;
	size_t		limit;			/* bytes of a message that the agent takes */
	bool		sending;
	bool		closed;			/* our side */
	uint64_t	added;			/* calls */
	uint64_t	handed;			/* of them, to gRPC */
	uint64_t	done;
	PaTag		opened_tag;
	PaTag		sent_tag;
	PaTag		closed_tag;

	/* what comes in */
	bool		receiving;
	grpc_byte_buffer *received;
	grpc_metadata_array initial_metadata;
	PaTag		received_tag;

	/* the end */
	bool		broken;			/* we have ended it, for "why" */
	bool		over;			/* the status is known */
	grpc_metadata_array trailing_metadata;
	grpc_status_code status;
	grpc_slice	details;
	PaTag		over_tag;
	const char *why;
	int64_t		pause;

	/* of the reader */
	PaStream   *next;
	int64_t		kept_until;		/* if there is not more to do for it */
	int64_t		look_at;
};

static const PaStreamOwner *owner;
static PaArena arena;			/* of the completion thread */

/* of the reader: those that have not ended */
static PaStream *streams;

/* under each stream's mutex: nothing is started any more */
static atomic_bool ended;

static void opened(PaTag *tag, bool success);
static void sent(PaTag *tag, bool success);
static void closed(PaTag *tag, bool success);
static void received(PaTag *tag, bool success);
static void over(PaTag *tag, bool success);

#define STREAM_OF(tag, member) \
	((PaStream *) ((char *) (tag) - offsetof(PaStream, member)))

void
pa_stream_begin(const PaStreamOwner *of_calls)
{
	owner = of_calls;
	pa_arena_init(&arena, ANSWERS_LIMIT);
}

PaStream *
pa_stream_share(PaStream *self)
{
	atomic_fetch_add(&self->references, 1);
	return self;
}

void
pa_stream_release(PaStream *self)
{
	if (atomic_fetch_sub(&self->references, 1) != 1)
		return;
	while (self->first != NULL)
	{
		Message    *message = self->first;

		self->first = message->next;
		free(message->data);
		free(message);
	}
	grpc_call_unref(self->call);
	self->released(self->data);
	grpc_metadata_array_destroy(&self->initial_metadata);
	grpc_metadata_array_destroy(&self->trailing_metadata);
	grpc_slice_unref(self->details);
	pthread_mutex_destroy(&self->mutex);
	free(self);
}

static grpc_op
operation(grpc_op_type type)
{
	grpc_op		op;

	memset(&op, 0, sizeof(op));
	op.op = type;
	return op;
}

/* the mutex is held; false: no event will come */
static bool
start(PaStream *self, const grpc_op *ops, size_t count, PaTag *tag,
	  PaTagDone done)
{
	if (atomic_load(&ended))
		return false;
	pa_stream_share(self);
	pa_tag_arm(tag, done);
	if (grpc_call_start_batch(self->call, ops, count, tag, NULL) == GRPC_CALL_OK)
		return true;
	/* metadata that gRPC refuses, or what it has never been seen to refuse */
	atomic_fetch_sub(&self->references, 1);
	return false;
}

/* the mutex is held; the end comes with the status */
static void
break_off(PaStream *self, const char *why)
{
	if (self->broken || self->state == PA_STREAM_ENDED)
		return;
	self->broken = true;
	self->why = why;
	if (self->pause == 0)
		self->pause = PAUSE_BROKEN;
	if (self->state == PA_STREAM_OPENING || self->state == PA_STREAM_OPEN)
		self->state = PA_STREAM_CLOSING;
	grpc_call_cancel_with_status(self->call, GRPC_STATUS_CANCELLED, why, NULL);
}

/* the mutex is held */
static void
receive(PaStream *self)
{
	grpc_op		op = operation(GRPC_OP_RECV_MESSAGE);

	self->received = NULL;
	op.data.recv_message.recv_message = &self->received;
	self->receiving = start(self, &op, 1, &self->received_tag, received);
}

/* the mutex is held; closes our side when there is nothing more to say */
static void
close_if_done(PaStream *self)
{
	grpc_op		op = operation(GRPC_OP_SEND_CLOSE_FROM_CLIENT);

	if (self->state != PA_STREAM_CLOSING || self->closed || self->broken ||
		self->sending || self->first != NULL || self->done < self->added)
		return;
	self->closed = true;
	start(self, &op, 1, &self->closed_tag, closed);
}

/* the mutex is held */
static void
send_next(PaStream *self)
{
	grpc_op		op = operation(GRPC_OP_SEND_MESSAGE);
	Message    *message = self->first;
	grpc_byte_buffer *buffer;
	grpc_slice	slice;

	if (self->sending || message == NULL || self->closed || self->broken ||
		self->state == PA_STREAM_ENDED)
		return;
	self->first = message->next;
	if (self->first == NULL)
		self->last = NULL;
	if (message->last > self->handed)
		self->handed = message->last;
	slice = grpc_slice_new_with_user_data(message->data, message->size,
										  free, message->data);
	free(message);
	buffer = grpc_raw_byte_buffer_create(&slice, 1);
	grpc_slice_unref(slice);
	op.data.send_message.send_message = buffer;
	self->sending = start(self, &op, 1, &self->sent_tag, sent);
	grpc_byte_buffer_destroy(buffer);
}

/* the mutex is held; appended messages are one, with the fields of both */
static void
append(PaStream *self, const Agent__StreamRequest *request, size_t size,
	   uint64_t place)
{
	Message    *message = self->last;

	if (message == NULL || message->size + size > MESSAGE_SIZE ||
		message->size + size > self->limit)
	{
		message = pa_memory_allocate_zeroed(sizeof(*message));
		if (self->last == NULL)
			self->first = message;
		else
			self->last->next = message;
		self->last = message;
	}
	if (message->capacity - message->size < size)
	{
		size_t		capacity = message->capacity == 0 ? 1024 :
			message->capacity * 2;

		if (capacity < message->size + size)
			capacity = message->size + size;
		message->data = pa_memory_resize(message->data, capacity);
		message->capacity = capacity;
	}
	agent__stream_request__pack(request, message->data + message->size);
	message->size += size;
	if (place > 0)
		message->last = place;
	if (message->size >= HASTY_SIZE)
		send_next(self);
}

PaStream *
pa_stream_open(grpc_call *call, grpc_metadata *metadata, size_t metadata_count,
			   uint32_t largest, void (*released) (void *), void *data)
{
	PaStream   *self = pa_memory_allocate_zeroed(sizeof(*self));
	Agent__StreamRequest hello = AGENT__STREAM_REQUEST__INIT;
	uint8_t		packed[16];
	grpc_slice	slice;
	grpc_byte_buffer *buffer;
	grpc_op		ops[3] = {
		operation(GRPC_OP_SEND_INITIAL_METADATA),
		operation(GRPC_OP_SEND_MESSAGE),
		operation(GRPC_OP_RECV_INITIAL_METADATA)
	};
	grpc_op		status = operation(GRPC_OP_RECV_STATUS_ON_CLIENT);
	bool		started;

	atomic_init(&self->references, 2);	/* the caller's, and the list's */
	pthread_mutex_init(&self->mutex, NULL);
	self->state = PA_STREAM_OPENING;
	self->call = call;
	self->released = released;
	self->data = data;
	self->limit = USUAL_LIMIT;
	self->details = grpc_empty_slice();
	self->status = GRPC_STATUS_UNKNOWN;
	self->kept_until = self->look_at = pa_clock_now() + PATIENCE;
	self->next = streams;
	streams = self;

	hello.max_message_size = largest;
	slice = grpc_slice_from_copied_buffer((const char *) packed,
										  agent__stream_request__pack(&hello,
																	  packed));
	buffer = grpc_raw_byte_buffer_create(&slice, 1);
	grpc_slice_unref(slice);
	ops[0].data.send_initial_metadata.count = metadata_count;
	ops[0].data.send_initial_metadata.metadata = metadata;
	ops[1].data.send_message.send_message = buffer;
	ops[2].data.recv_initial_metadata.recv_initial_metadata =
		&self->initial_metadata;
	status.data.recv_status_on_client.trailing_metadata =
		&self->trailing_metadata;
	status.data.recv_status_on_client.status = &self->status;
	status.data.recv_status_on_client.status_details = &self->details;

	pthread_mutex_lock(&self->mutex);
	started = start(self, ops, 3, &self->opened_tag, opened);
	self->sending = started;
	if (started)
	{
		receive(self);
		started = start(self, &status, 1, &self->over_tag, over);
	}
	if (!started)
	{
		/* only metadata that gRPC does not take; calls say what is wrong */
		self->state = PA_STREAM_ENDED;
		self->pause = PAUSE_UNKNOWN;
	}
	pthread_mutex_unlock(&self->mutex);
	grpc_byte_buffer_destroy(buffer);
	return self;
}

PaStreamState
pa_stream_state(PaStream *self)
{
	PaStreamState state;

	pthread_mutex_lock(&self->mutex);
	state = self->state;
	pthread_mutex_unlock(&self->mutex);
	return state;
}

int64_t
pa_stream_pause_us(PaStream *self)
{
	int64_t		pause;

	pthread_mutex_lock(&self->mutex);
	pause = self->pause;
	pthread_mutex_unlock(&self->mutex);
	return pause;
}

uint64_t
pa_stream_add(PaStream *self, const Agent__StreamCall *call)
{
	Agent__StreamRequest request = AGENT__STREAM_REQUEST__INIT;
	Agent__StreamCall *calls = (Agent__StreamCall *) call;
	uint64_t	place = 0;
	size_t		size;

	request.n_calls = 1;
	request.calls = &calls;
	size = agent__stream_request__get_packed_size(&request);

	pthread_mutex_lock(&self->mutex);
	if (self->state == PA_STREAM_OPEN && size <= self->limit)
	{
		place = ++self->added;
		append(self, &request, size, place);
	}
	pthread_mutex_unlock(&self->mutex);
	return place;
}

void
pa_stream_cancel(PaStream *self, uint64_t call_id)
{
	Agent__StreamRequest request = AGENT__STREAM_REQUEST__INIT;

	request.n_cancelled = 1;
	request.cancelled = &call_id;
	pthread_mutex_lock(&self->mutex);
	if (!self->closed && self->state != PA_STREAM_ENDED)
		append(self, &request, agent__stream_request__get_packed_size(&request),
			   0);
	pthread_mutex_unlock(&self->mutex);
}

void
pa_stream_done(PaStream *self)
{
	pthread_mutex_lock(&self->mutex);
	self->done++;
	close_if_done(self);
	pthread_mutex_unlock(&self->mutex);
}

/* the mutex is held */
static void
close_stream(PaStream *self)
{
	if (self->state == PA_STREAM_OPENING)
		break_off(self, "not needed any more");
	else if (self->state == PA_STREAM_OPEN)
	{
		self->state = PA_STREAM_CLOSING;
		self->look_at = pa_clock_now() + PATIENCE;
		close_if_done(self);
	}
}

void
pa_stream_close(PaStream *self)
{
	pthread_mutex_lock(&self->mutex);
	close_stream(self);
	pthread_mutex_unlock(&self->mutex);
}

void
pa_stream_keep(PaStream *self, int64_t now)
{
	self->kept_until = now + PATIENCE;
}

/* is it still wanted, and does its agent do its part?  The mutex is held. */
static void
look(PaStream *self, int64_t now)
{
	self->look_at = now + PATIENCE;
	switch (self->state)
	{
		case PA_STREAM_OPENING:
			self->pause = PAUSE_UNKNOWN;
			break_off(self, "the agent sent no first message");
			break;
		case PA_STREAM_OPEN:
			if (now >= self->kept_until)
				close_stream(self);
			else
				self->look_at = self->kept_until;
			break;
		case PA_STREAM_CLOSING:
			if (self->closed)
				break_off(self, "the agent did not end the stream");
			break;
		case PA_STREAM_ENDED:
			break;
	}
}

void
pa_stream_attend(int64_t now)
{
	PaStream  **link = &streams;

	while (*link != NULL)
	{
		PaStream   *self = *link;
		bool		gone;

		pthread_mutex_lock(&self->mutex);
		send_next(self);
		if (now >= self->look_at)
			look(self, now);
		gone = self->state == PA_STREAM_ENDED;
		pthread_mutex_unlock(&self->mutex);
		if (gone)
		{
			*link = self->next;
			pa_stream_release(self);
		}
		else
			link = &self->next;
	}
}

int64_t
pa_stream_due(void)
{
	int64_t		due = INT64_MAX;

	for (const PaStream *stream = streams; stream; stream = stream->next)
	{
		if (stream->look_at < due)
			due = stream->look_at;
	}
	return due;
}

void
pa_stream_cancel_all(void)
{
	atomic_store(&ended, true);
	while (streams != NULL)
	{
		PaStream   *self = streams;

		streams = self->next;
		/* whoever is starting something ends first */
		pthread_mutex_lock(&self->mutex);
		break_off(self, "the courier ends");
		pthread_mutex_unlock(&self->mutex);
		pa_stream_release(self);
	}
}

void
pa_stream_end(void)
{
	pa_arena_destroy(&arena);
}

/* The completion thread: */

/* the mutex is held; a failure comes again with the status */
static void
sent_one(PaStream *self)
{
	self->sending = false;
	send_next(self);
	close_if_done(self);
}

static void
opened(PaTag *tag, bool success)
{
	PaStream   *self = STREAM_OF(tag, opened_tag);

	pthread_mutex_lock(&self->mutex);
	sent_one(self);
	pthread_mutex_unlock(&self->mutex);
	pa_stream_release(self);
}

static void
sent(PaTag *tag, bool success)
{
	PaStream   *self = STREAM_OF(tag, sent_tag);

	pthread_mutex_lock(&self->mutex);
	sent_one(self);
	pthread_mutex_unlock(&self->mutex);
	pa_stream_release(self);
}

static void
closed(PaTag *tag, bool success)
{
	pa_stream_release(STREAM_OF(tag, closed_tag));
}

static const char *
describe_end(PaStream *self, char *text, size_t size)
{
	char		details[PA_TEXT_MESSAGE_LIMIT + 1];

	if (self->broken)
	{
		snprintf(text, size, "the stream of calls was broken off: %s",
				 self->why);
		return text;
	}
	pa_text_clean(details, PA_TEXT_MESSAGE_LIMIT,
				  (const char *) GRPC_SLICE_START_PTR(self->details),
				  GRPC_SLICE_LENGTH(self->details));
	snprintf(text, size, "the stream of calls ended with status %d%s%s",
			 (int) self->status, details[0] != '\0' ? ": " : "", details);
	return text;
}

/* when there are neither answers nor a status to come */
static void
end_if_over(PaStream *self)
{
	char		text[PA_TEXT_MESSAGE_LIMIT + 128];
	char		why[PA_TEXT_MESSAGE_LIMIT + 1];
	uint64_t	handed;

	pthread_mutex_lock(&self->mutex);
	if (!self->over || self->receiving || self->state == PA_STREAM_ENDED)
	{
		pthread_mutex_unlock(&self->mutex);
		return;
	}
	if (self->pause == 0 && !self->closed)
		self->pause = self->status == GRPC_STATUS_UNIMPLEMENTED ? PAUSE_UNKNOWN :
			self->status == GRPC_STATUS_UNAVAILABLE ? PAUSE_LOST : PAUSE_BROKEN;
	self->state = PA_STREAM_ENDED;
	handed = self->handed;
	describe_end(self, text, sizeof(text));
	pthread_mutex_unlock(&self->mutex);
	pa_text_clean(why, PA_TEXT_MESSAGE_LIMIT, text, strlen(text));
	owner->lost(self, handed, why);
}

static void
over(PaTag *tag, bool success)
{
	PaStream   *self = STREAM_OF(tag, over_tag);

	pthread_mutex_lock(&self->mutex);
	self->over = true;
	pthread_mutex_unlock(&self->mutex);
	end_if_over(self);
	pa_stream_release(self);
}

/* false: it is not what the contract says */
static bool
take_answers(PaStream *self, grpc_byte_buffer *message)
{
	Agent__StreamResponse *response;
	grpc_slice	copy;
	const uint8_t *data;
	size_t		size;
	bool		leaving = false;

	data = pa_unary_bytes(message, &size, &copy);
	response = data == NULL ? NULL :
		agent__stream_response__unpack(&arena.allocator, size, data);
	grpc_slice_unref(copy);
	if (response == NULL)
	{
		pa_arena_reset(&arena);
		return false;
	}

	for (size_t i = 0; i < response->n_answers; i++)
	{
		leaving = leaving || response->answers[i]->not_started;
		owner->answered(self, response->answers[i]);
	}

	pthread_mutex_lock(&self->mutex);
	if (self->state == PA_STREAM_OPENING)
	{
		self->state = PA_STREAM_OPEN;
		if (response->max_message_size > 0)
			self->limit = response->max_message_size;
	}
	else if (self->state == PA_STREAM_OPEN && leaving)
	{
		self->state = PA_STREAM_CLOSING;
		self->pause = PAUSE_LOST;
		close_if_done(self);
	}
	pthread_mutex_unlock(&self->mutex);
	pa_arena_reset(&arena);
	return true;
}

static void
received(PaTag *tag, bool success)
{
	PaStream   *self = STREAM_OF(tag, received_tag);
	grpc_byte_buffer *message = self->received;
	bool		understood = message == NULL || take_answers(self, message);

	grpc_byte_buffer_destroy(message);
	pthread_mutex_lock(&self->mutex);
	self->receiving = false;
	if (!understood)
		break_off(self, "the agent sent what is no message of answers");
	else if (message != NULL)
		receive(self);
	pthread_mutex_unlock(&self->mutex);
	end_if_over(self);
	pa_stream_release(self);
}
