/*-------------------------------------------------------------------------
 *
 * src/courier/call.c
 *		The life of the calls that the worker orders.
 *
 * See call.h.  Structures of finished calls are kept for the next ones.  The
 * table of calls in flight is what Cancel looks into; a call is put in before
 * it is started and taken out by the completion thread, so that the one who
 * finds it there may use its grpc_call under the mutex.  One without a
 * grpc_call waits for its turn (pace.h), and is the reader's.
 *
 *-------------------------------------------------------------------------
 */
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <grpc/byte_buffer_reader.h>
#include <grpc/support/alloc.h>

#include "agent.pb-c.h"
#include "arena.h"
#include "call.h"
#include "channel.h"
#include "delivery.h"
#include "log.h"
#include "output.h"
#include "pace.h"
#include "program/clock.h"
#include "reply.h"
#include "server.h"
#include "text.h"
#include "unary.h"

#define BUCKETS			4096	/* a power of two */
#define HIGHEST_STATUS	16
#define POOL_LIMIT		4096	/* idle structures that are kept */

/*
 * A reply of a few megabytes can hold millions of empty instances; what would
 * unpack to more than this is refused.
 */
#define REPLY_ARENA_LIMIT	((size_t) 512 * 1024 * 1024)

typedef struct PaCall
{
	PaTag		tag;
	struct PaCall *next;		/* in its bucket, or in the pool */
	uint64_t	call_id;
	int64_t		ordered_us;
	int64_t		started_us;
	int64_t		timeout_us;
	PaChannel  *channel;
	PaUnary		unary;			/* has no call before it is started */

	/* what it is started with */
	PaPaced		paced;
	Courier__Method method;
	uint32_t	attempt;
	grpc_slice	request_id;
	grpc_slice	request;
} PaCall;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static PaCall *in_flight[BUCKETS];
static PaCall *pool;
static size_t pool_size;

static PaArena arena;			/* of the completion thread */

static void call_done(PaTag *tag, bool success);

static PaCall **
bucket_of(uint64_t call_id)
{
	return &in_flight[call_id & (BUCKETS - 1)];
}

void
pa_call_begin(void)
{
	pa_arena_init(&arena, REPLY_ARENA_LIMIT);
}

static void
add_result(const Courier__Result *result)
{
	Courier__Frame frame = COURIER__FRAME__INIT;

	frame.body_case = COURIER__FRAME__BODY_RESULT;
	frame.result = (Courier__Result *) result;
	pa_output_add(&frame);
}

static void reject(uint64_t call_id, grpc_status_code status, int64_t waited_us,
				   const char *format,...)
			__attribute__((format(printf, 4, 5)));

/* the Result of a call that was never started */
static void
reject(uint64_t call_id, grpc_status_code status, int64_t waited_us,
	   const char *format,...)
{
	Courier__Result result = COURIER__RESULT__INIT;
	char		text[512];
	char		clean[512];
	va_list		arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	pa_text_clean(clean, sizeof(clean) - 1, text, strlen(text));
	result.call_id = call_id;
	result.status_code = status;
	result.status_message = clean;
	result.not_delivered = true;
	result.duration_us = (uint64_t) waited_us;
	add_result(&result);
}

static PaCall *
take_structure(void)
{
	PaCall	   *call;

	pthread_mutex_lock(&mutex);
	call = pool;
	if (call != NULL)
	{
		pool = call->next;
		pool_size--;
	}
	pthread_mutex_unlock(&mutex);

	if (call == NULL)
		call = calloc(1, sizeof(*call));
	return call;
}

static void
give_structure(PaCall *call)
{
	pthread_mutex_lock(&mutex);
	if (pool_size < POOL_LIMIT)
	{
		call->next = pool;
		pool = call;
		pool_size++;
		call = NULL;
	}
	pthread_mutex_unlock(&mutex);

	if (call != NULL)
	{
		pa_unary_destroy(&call->unary);
		free(call);
	}
}

static void
insert(PaCall *call)
{
	PaCall	  **bucket = bucket_of(call->call_id);

	pthread_mutex_lock(&mutex);
	call->next = *bucket;
	*bucket = call;
	pthread_mutex_unlock(&mutex);
}

static void
delete(PaCall *call)
{
	PaCall	  **link = bucket_of(call->call_id);

	pthread_mutex_lock(&mutex);
	while (*link != call)
		link = &(*link)->next;
	*link = call->next;
	pthread_mutex_unlock(&mutex);
}

static grpc_slice
pack_request(const Courier__Call *order)
{
	Agent__ClusterStatusChangeRequest request =
		AGENT__CLUSTER_STATUS_CHANGE_REQUEST__INIT;
	Agent__Order position = AGENT__ORDER__INIT;
	size_t		size;
	grpc_slice	slice;

	request.account_name = order->account;
	request.region = order->region;
	request.cluster_id = order->cluster_id;
	request.n_instances_id_list = order->n_instance_ids;
	request.instances_id_list = order->instance_ids;
	request.requester = order->requester;
	request.description = order->description;
	request.request_id = order->request_id;
	request.source = order->source;
	if (order->order_timeline != 0 || order->order_epoch != 0 ||
		order->order_counter != 0)
	{
		position.timeline = order->order_timeline;
		position.epoch = order->order_epoch;
		position.counter = order->order_counter;
		request.order = &position;
	}

	size = agent__cluster_status_change_request__get_packed_size(&request);
	slice = grpc_slice_malloc(size);
	agent__cluster_status_change_request__pack(&request,
											   GRPC_SLICE_START_PTR(slice));
	return slice;
}

/* it is nobody's any more */
static void
drop(PaCall *call)
{
	pa_unary_clear(&call->unary);
	pa_channel_release(call->channel);
	give_structure(call);
}

/* ends a call that waited for its turn */
static void
refuse(PaCall *call, grpc_status_code status, const char *message)
{
	uint64_t	call_id = call->call_id;
	int64_t		waited_us = pa_clock_now() - call->ordered_us;

	delete(call);
	grpc_slice_unref(call->request_id);
	grpc_slice_unref(call->request);
	drop(call);
	reject(call_id, status, waited_us, "%s", message);
}

static gpr_timespec
after_us(int64_t us)
{
	return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
						gpr_time_from_micros(us, GPR_TIMESPAN));
}

/* A call that the pace has let start. */
static void
begin(PaCall *call)
{
	PaPace	   *pace = pa_channel_pace(call->channel);
	grpc_metadata metadata[3];
	size_t		metadata_count = 2;
	uint64_t	call_id = call->call_id;
	char		attempt[16];
	char	   *request_id;

	call->started_us = pa_clock_now();
	pa_unary_prepare(&call->unary,
					 pa_channel_create_call(call->channel, call->method,
											after_us(call->timeout_us)),
					 call->request);

	snprintf(attempt, sizeof(attempt), "%u", call->attempt);
	metadata[0].key = grpc_slice_from_static_string("x-request-id");
	metadata[0].value = call->request_id;
	metadata[1].key = grpc_slice_from_static_string("x-attempt");
	metadata[1].value = grpc_slice_from_copied_string(attempt);
	metadata_count += pa_channel_authorize(call->channel, &metadata[2]);

	if (!pa_unary_start(&call->unary, metadata, metadata_count, &call->tag,
						call_done))
	{
		pa_pace_end(pace, call->started_us, -1);
		delete(call);
		drop(call);
		request_id = grpc_slice_to_c_string(metadata[0].value);
		reject(call_id, GRPC_STATUS_INVALID_ARGUMENT, 0,
			   "gRPC refuses the request id \"%s\" as metadata", request_id);
		gpr_free(request_id);
	}
	/* else the completion thread owns the call from here on */
	for (size_t i = 0; i < metadata_count; i++)
		grpc_slice_unref(metadata[i].value);
}

void
pa_call_start(const Courier__Call *order)
{
	int64_t		now = pa_clock_now();
	int64_t		start_by;
	PaChannel  *channel;
	PaPace	   *pace;
	PaCall	   *call;
	char		problem[512];

	channel = pa_server_channel(order->server_name, problem, sizeof(problem));
	if (channel == NULL)
	{
		reject(order->call_id, GRPC_STATUS_UNAVAILABLE, 0, "%s", problem);
		return;
	}
	if (!pa_channel_has_method(channel, order->method))
	{
		pa_channel_release(channel);
		reject(order->call_id, GRPC_STATUS_UNAVAILABLE, 0,
			   "no known method was named for the call to server \"%s\"",
			   order->server_name);
		return;
	}

	call = take_structure();
	if (call == NULL)
	{
		pa_channel_release(channel);
		reject(order->call_id, GRPC_STATUS_RESOURCE_EXHAUSTED, 0,
			   "the courier is out of memory");
		return;
	}
	call->call_id = order->call_id;
	call->ordered_us = now;
	call->timeout_us = (int64_t) order->timeout_ms * 1000;
	start_by = now + (order->start_within_ms == 0 ? call->timeout_us :
					  (int64_t) order->start_within_ms * 1000);
	call->channel = channel;
	call->method = order->method;
	call->attempt = order->attempt;
	call->request_id = grpc_slice_from_copied_string(order->request_id);
	call->request = pack_request(order);
	insert(call);

	pace = pa_channel_pace(channel);
	pa_pace_set_limit(pace, order->max_concurrent_calls);
	if (pa_pace_admit(pace, now))
		begin(call);
	else
		pa_pace_wait(pace, &call->paced, start_by);
}

static PaCall *
paced_call(PaPaced *paced)
{
	return (PaCall *) ((char *) paced - offsetof(PaCall, paced));
}

void
pa_call_attend(void)
{
	for (;;)
	{
		int64_t		now = pa_clock_now();
		PaPaced    *paced;

		if ((paced = pa_pace_overdue(now)) != NULL)
			refuse(paced_call(paced), GRPC_STATUS_DEADLINE_EXCEEDED,
				   "the call could not start in time");
		else if ((paced = pa_pace_take(now)) != NULL)
			begin(paced_call(paced));
		else
			break;
	}
}

void
pa_call_cancel(uint64_t call_id)
{
	PaCall	   *call;
	PaCall	   *unstarted = NULL;
	grpc_call  *grpc = NULL;

	pthread_mutex_lock(&mutex);
	for (call = *bucket_of(call_id); call != NULL; call = call->next)
	{
		if (call->call_id == call_id)
		{
			grpc = call->unary.call;
			if (grpc != NULL)
				grpc_call_ref(grpc);
			else
				unstarted = call;
			break;
		}
	}
	pthread_mutex_unlock(&mutex);

	if (unstarted != NULL)
	{
		pa_pace_withdraw(&unstarted->paced);
		refuse(unstarted, GRPC_STATUS_CANCELLED,
			   "cancelled by the worker before it started");
	}
	if (grpc != NULL)
	{
		grpc_call_cancel_with_status(grpc, GRPC_STATUS_CANCELLED,
									 "cancelled by the worker", NULL);
		grpc_call_unref(grpc);
	}
}

void
pa_call_cancel_all(void)
{
	PaPaced    *paced;

	while ((paced = pa_pace_overdue(INT64_MAX)) != NULL)
		refuse(paced_call(paced), GRPC_STATUS_CANCELLED, "the courier ends");
	for (int i = 0; i < BUCKETS; i++)
	{
		size_t		count = 0;
		grpc_call **calls;
		PaCall	   *call;

		pthread_mutex_lock(&mutex);
		for (call = in_flight[i]; call != NULL; call = call->next)
			count++;
		calls = count > 0 ? malloc(count * sizeof(*calls)) : NULL;
		count = 0;
		for (call = in_flight[i]; call != NULL && calls != NULL;
			 call = call->next)
		{
			calls[count++] = call->unary.call;
			grpc_call_ref(call->unary.call);
		}
		pthread_mutex_unlock(&mutex);

		for (size_t j = 0; calls != NULL && j < count; j++)
		{
			grpc_call_cancel(calls[j], NULL);
			grpc_call_unref(calls[j]);
		}
		free(calls);
	}
}

/* the reply's bytes in one piece; *copy must be unreferenced afterwards */
static const uint8_t *
reply_bytes(grpc_byte_buffer *reply, size_t *size, grpc_slice *copy)
{
	grpc_byte_buffer_reader reader;
	grpc_slice *first;
	grpc_slice *second;

	*copy = grpc_empty_slice();
	*size = 0;
	if (!grpc_byte_buffer_reader_init(&reader, reply))
		return NULL;

	if (!grpc_byte_buffer_reader_peek(&reader, &first))
	{
		grpc_byte_buffer_reader_destroy(&reader);
		return (const uint8_t *) "";
	}
	if (!grpc_byte_buffer_reader_peek(&reader, &second))
	{
		/* the slice is the byte buffer's own, which outlives our use */
		grpc_byte_buffer_reader_destroy(&reader);
		*size = GRPC_SLICE_LENGTH(*first);
		return GRPC_SLICE_START_PTR(*first);
	}
	grpc_byte_buffer_reader_destroy(&reader);

	if (!grpc_byte_buffer_reader_init(&reader, reply))
		return NULL;
	*copy = grpc_byte_buffer_reader_readall(&reader);
	grpc_byte_buffer_reader_destroy(&reader);
	*size = GRPC_SLICE_LENGTH(*copy);
	return GRPC_SLICE_START_PTR(*copy);
}

static void
fill_reply(PaCall *call, Courier__Result *result)
{
	grpc_slice	copy;
	const uint8_t *data;
	size_t		size;
	size_t		left_out;

	if (call->unary.reply == NULL)
	{
		result->status_code = GRPC_STATUS_INTERNAL;
		result->status_message = (char *) "the agent answered OK without a reply";
		return;
	}
	data = reply_bytes(call->unary.reply, &size, &copy);
	if (data == NULL)
	{
		result->status_code = GRPC_STATUS_INTERNAL;
		result->status_message = (char *) "the reply of the agent cannot be read";
	}
	else
	{
		left_out = pa_reply_decode(&arena, data, size, result);
		if (left_out > 0)
			pa_log_send(COURIER__LOG_LEVEL__LOG_LEVEL_WARNING,
						"a reply tells of more than %d instances, %zu were left out",
						PA_REPLY_MAX_INSTANCES, left_out);
	}
	grpc_slice_unref(copy);
}

static void
fill_failure(PaCall *call, Courier__Result *result)
{
	PaUnary    *unary = &call->unary;
	const char *details =
		(const char *) GRPC_SLICE_START_PTR(unary->status_details);
	size_t		length = GRPC_SLICE_LENGTH(unary->status_details);
	char	   *peer = grpc_call_get_peer(unary->call);
	PaDeliverySigns signs = {
		.status = (uint32_t) unary->status,
		.details = details,
		.details_length = length,
		.error_string = unary->error_string,
		.peer = peer,
		.target = pa_channel_target(call->channel)
	};

	if (result->status_code > HIGHEST_STATUS)
		result->status_code = GRPC_STATUS_UNKNOWN;
	result->status_message = pa_reply_text(&arena, details, length,
										   PA_TEXT_MESSAGE_LIMIT);
	result->not_delivered = pa_delivery_excluded(&signs);
	gpr_free(peer);
}

static void
call_done(PaTag *tag, bool success)
{
	PaCall	   *call = (PaCall *) tag;
	Courier__Result result = COURIER__RESULT__INIT;
	bool		ok = call->unary.status == GRPC_STATUS_OK;
	int64_t		now = pa_clock_now();

	delete(call);
	if (pa_pace_end(pa_channel_pace(call->channel), now,
					ok ? now - call->started_us : -1))
		pa_output_wake();

	result.call_id = call->call_id;
	result.status_code = (uint32_t) call->unary.status;
	if (ok)
		fill_reply(call, &result);
	else
		fill_failure(call, &result);
	result.duration_us = (uint64_t) (now - call->ordered_us);
	add_result(&result);

	pa_arena_reset(&arena);
	drop(call);
}

void
pa_call_end(void)
{
	while (pool != NULL)
	{
		PaCall	   *call = pool;

		pool = call->next;
		pa_unary_destroy(&call->unary);
		free(call);
	}
	pool_size = 0;
	pa_arena_destroy(&arena);
}
