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
#include "stream_queue.h"
#include "text.h"
#include "unary.h"

/* when so much waits, the agent does not read, or is slow to */
#define WAITING_LIMIT		((size_t) 256 * 1024)

/* so much is sent even though more may come at once */
#define HASTY_SIZE			((size_t) 8 * 1024)

/* of what a message of answers unpacks to */
#define ANSWERS_LIMIT		((size_t) 1024 * 1024 * 1024)

/*
 * us: how long an agent may take for its first message, to read one, and for
 * the end
 */
#define PATIENCE			INT64_C(10000000)

/* us without another stream */
#define PAUSE_LOST			INT64_C(1000000)
#define PAUSE_BROKEN		INT64_C(10000000)
#define PAUSE_UNKNOWN		INT64_C(60000000)

struct PaStream
{
	atomic_uint references;
	PaStreamState state;
	pthread_mutex_t mutex;
	grpc_call  *call;
	void		(*released) (void *data);
	void	   *data;

	/* what goes out */
	PaStreamQueue queue;
	uint64_t	done;			/* of the calls that were added */
	int64_t		sending_since;
	int64_t		closed_since;
	PaTag		opened_tag;
	PaTag		sent_tag;
	PaTag		closed_tag;

	/* what comes in */
	grpc_byte_buffer *received;
	grpc_metadata_array initial_metadata;
	PaTag		received_tag;

	/* the end */
	grpc_metadata_array trailing_metadata;
	grpc_slice	details;
	PaTag		over_tag;
	const char *why;			/* we have ended it */
	int64_t		pause;
	grpc_status_code status;

	bool		sending;
	bool		deaf;			/* nothing reaches the agent any more */
	bool		closed;			/* our side */
	bool		receiving;
	bool		broken;			/* we have ended it */
	bool		over;			/* the status is known */

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
	pa_stream_queue_clear(&self->queue);
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
		self->sending || self->queue.first != NULL ||
		self->done < self->queue.added)
		return;
	self->closed = true;
	self->closed_since = pa_clock_now();
	start(self, &op, 1, &self->closed_tag, closed);
}

/* the mutex is held */
static void
send_next(PaStream *self)
{
	grpc_op		op = operation(GRPC_OP_SEND_MESSAGE);
	uint8_t    *data;
	size_t		size;
	grpc_byte_buffer *buffer;
	grpc_slice	slice;

	if (self->sending || self->closed || self->deaf || self->broken ||
		self->state == PA_STREAM_ENDED)
		return;
	data = pa_stream_queue_take(&self->queue, &size);
	if (data == NULL)
		return;
	slice = grpc_slice_new_with_user_data(data, size, free, data);
	buffer = grpc_raw_byte_buffer_create(&slice, 1);
	grpc_slice_unref(slice);
	op.data.send_message.send_message = buffer;
	self->sending_since = pa_clock_now();
	self->sending = start(self, &op, 1, &self->sent_tag, sent);
	grpc_byte_buffer_destroy(buffer);
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
	self->queue.limit = PA_STREAM_MESSAGE;
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
	self->sending_since = pa_clock_now();
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
	uint64_t	place = 0;

	pthread_mutex_lock(&self->mutex);
	if (self->state == PA_STREAM_OPEN && self->queue.waiting < WAITING_LIMIT)
		place = pa_stream_queue_add(&self->queue, call);
	if (self->queue.waiting >= HASTY_SIZE)
		send_next(self);
	pthread_mutex_unlock(&self->mutex);
	return place;
}

bool
pa_stream_cancel(PaStream *self, uint64_t call_id, uint64_t place)
{
	bool		taken_back;

	pthread_mutex_lock(&self->mutex);
	taken_back = pa_stream_queue_cancel(&self->queue, call_id, place);
	pthread_mutex_unlock(&self->mutex);
	return taken_back;
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
	int64_t		due = now + PATIENCE;

	if (self->state == PA_STREAM_OPENING)
	{
		self->pause = PAUSE_UNKNOWN;
		break_off(self, "the agent sent no first message");
	}
	else if (self->state == PA_STREAM_OPEN && now >= self->kept_until)
		close_stream(self);
	else if (self->state == PA_STREAM_OPEN)
		due = self->kept_until;

	if (self->sending && now - self->sending_since >= PATIENCE)
		break_off(self, "the agent does not read");
	else if (self->sending && self->sending_since + PATIENCE < due)
		due = self->sending_since + PATIENCE;
	if (self->closed && now - self->closed_since >= PATIENCE)
		break_off(self, "the agent did not end the stream");
	else if (self->closed && self->closed_since + PATIENCE < due)
		due = self->closed_since + PATIENCE;
	self->look_at = due;
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

/* what cannot be sent any more stays where it is; the status comes, too */
static void
sent_one(PaStream *self, bool success)
{
	pthread_mutex_lock(&self->mutex);
	self->sending = false;
	self->deaf = self->deaf || !success;
	send_next(self);
	close_if_done(self);
	pthread_mutex_unlock(&self->mutex);
	pa_stream_release(self);
}

static void
opened(PaTag *tag, bool success)
{
	sent_one(STREAM_OF(tag, opened_tag), success);
}

static void
sent(PaTag *tag, bool success)
{
	sent_one(STREAM_OF(tag, sent_tag), success);
}

static void
closed(PaTag *tag, bool success)
{
	pa_stream_release(STREAM_OF(tag, closed_tag));
}

static void
describe_end(const PaStream *self, char *text, size_t size)
{
	char		details[PA_TEXT_MESSAGE_LIMIT + 1];

	if (self->broken)
	{
		snprintf(text, size, "the stream of calls was broken off: %s",
				 self->why);
		return;
	}
	pa_text_clean(details, PA_TEXT_MESSAGE_LIMIT,
				  (const char *) GRPC_SLICE_START_PTR(self->details),
				  GRPC_SLICE_LENGTH(self->details));
	snprintf(text, size, "the stream of calls ended with status %d%s%s",
			 (int) self->status, details[0] != '\0' ? ": " : "", details);
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
	handed = self->queue.taken;
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
		if (response->max_message_size > 0 &&
			response->max_message_size < self->queue.limit)
			self->queue.limit = response->max_message_size;
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
