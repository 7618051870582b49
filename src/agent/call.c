/*-------------------------------------------------------------------------
 *
 * src/agent/call.c
 *		What can be done with one call.  Contract in call.h.
 *
 *-------------------------------------------------------------------------
 */
#include "call.h"

#include <grpc/support/alloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "connection.h"
#include "metric.h"
#include "program/clock.h"
#include "program/memory.h"
#include "status_name.h"
#include "stream.h"
#include "units.h"

#define POOL_LIMIT			4096	/* free calls that are kept */

PaCall *
pa_call_take(PaCallPool *pool)
{
	PaCall	   *call = pool->free;

	if (call != NULL)
	{
		pool->free = call->next_free;
		pool->free_count--;
	}
	else
	{
		call = pa_memory_allocate_zeroed(sizeof(*call));
		call->pool = pool;
		call->received = (PaTag) {PA_TAG_RECEIVED, call};
		call->closed = (PaTag) {PA_TAG_CLOSED, call};
		call->sent = (PaTag) {PA_TAG_SENT, call};
		grpc_metadata_array_init(&call->metadata);
	}
	call->references = 1;
	call->core_references = 0;
	call->call = NULL;
	call->payload = NULL;
	call->metadata.count = 0;
	call->watched = false;
	call->answered = false;
	call->stream = NULL;
	call->streamed = false;
	return call;
}

static void
free_call(PaCall *call)
{
	grpc_metadata_array_destroy(&call->metadata);
	pa_arena_empty(&call->arena);
	pa_arena_empty(&call->work_arena);
	free(call);
}

void
pa_call_empty_pool(PaCallPool *pool)
{
	while (pool->free != NULL)
	{
		PaCall	   *call = pool->free;

		pool->free = call->next_free;
		free_call(call);
	}
	pool->free_count = 0;
}

void
pa_call_begin(PaCall *call)
{
	call->core_references = 1;
	call->pool->live++;
}

void
pa_call_retain(PaCall *call)
{
	call->references++;
}

void
pa_call_release(PaCall *call)
{
	PaCallPool *pool = call->pool;

	if (--call->references > 0)
		return;
	pa_arena_empty(&call->arena);
	pa_arena_empty(&call->work_arena);
	if (call->method == PA_METHOD_UNKNOWN)
		grpc_call_details_destroy(&call->details);
	if (pool->free_count >= POOL_LIMIT)
	{
		free_call(call);
		return;
	}
	call->next_free = pool->free;
	pool->free = call;
	pool->free_count++;
}

void
pa_call_start_batch(PaCall *call, const grpc_op *ops, size_t count, PaTag *tag)
{
	grpc_call_error error;

	pa_call_retain(call);
	call->core_references++;
	error = grpc_call_start_batch(call->call, ops, count, tag, NULL);
	if (error != GRPC_CALL_OK)
	{
		fprintf(stderr, "power_agent: could not start a batch: %s\n",
				grpc_call_error_to_string(error));
		abort();
	}
}

/*
 * Core's call goes as soon as nothing is on its way any more, even if an
 * action still needs the request: or an order that takes hours would keep
 * the server from shutting down.
 */
void
pa_call_end_batch(PaCall *call)
{
	if (--call->core_references == 0)
	{
		if (call->payload != NULL)
			grpc_byte_buffer_destroy(call->payload);
		call->payload = NULL;
		grpc_call_unref(call->call);
		call->call = NULL;
		call->pool->live--;
	}
	pa_call_release(call);
}

void
pa_call_close(PaCall *call)
{
	if (call->streamed)
		pa_stream_close_call(call);
	else
		pa_call_end_batch(call);
}

void
pa_call_answer(PaCall *call, int status, const char *details,
			   const uint8_t *reply, size_t length)
{
	grpc_op		ops[4];
	grpc_op    *op = ops;
	grpc_byte_buffer *message = NULL;
	grpc_slice	details_slice;

	if (call->streamed)
	{
		pa_stream_answer(call, status, details, reply, length);
		return;
	}
	memset(ops, 0, sizeof(ops));
	op->op = GRPC_OP_SEND_INITIAL_METADATA;
	op++;
	if (status == PA_STATUS_OK)
	{
		grpc_slice	slice = grpc_slice_from_copied_buffer((const char *) reply,
														  length);

		message = grpc_raw_byte_buffer_create(&slice, 1);
		grpc_slice_unref(slice);
		op->op = GRPC_OP_SEND_MESSAGE;
		op->data.send_message.send_message = message;
		op++;
	}
	details_slice = grpc_slice_from_copied_string(details ? details : "");
	op->op = GRPC_OP_SEND_STATUS_FROM_SERVER;
	op->data.send_status_from_server.status = (grpc_status_code) status;
	op->data.send_status_from_server.status_details = &details_slice;
	op++;
	if (!call->watched)
	{
		call->watched = true;
		op->op = GRPC_OP_RECV_CLOSE_ON_SERVER;
		op->data.recv_close_on_server.cancelled = &call->closed_cancelled;
		op++;
	}
	call->answered = true;
	pa_metric_call_end(call->method, status,
					   pa_clock_now() - call->received_at);
	pa_call_start_batch(call, ops, (size_t) (op - ops), &call->sent);
	grpc_slice_unref(details_slice);
	if (message != NULL)
		grpc_byte_buffer_destroy(message);
}

/* the call that core knows */
static const PaCall *
gone_by(const PaCall *call)
{
	return call->streamed ? pa_stream_call(call->stream) : call;
}

void
pa_call_peer(const PaCall *call, char *text, size_t size)
{
	char	   *peer = grpc_call_get_peer(gone_by(call)->call);

	snprintf(text, size, "%s", peer);
	gpr_free(peer);
}

void
pa_call_drop_connection(PaCall *call)
{
	char		peer[256];

	pa_call_peer(call, peer, sizeof(peer));
	pa_connection_drop(peer);
}

const char *
pa_call_metadata(const PaCall *call, const char *key, size_t *length, int *count)
{
	const grpc_metadata_array *metadata = &gone_by(call)->metadata;
	const char *value = NULL;

	*count = 0;
	*length = 0;
	for (size_t i = 0; i < metadata->count; i++)
	{
		const grpc_metadata *item = &metadata->metadata[i];

		if (grpc_slice_str_cmp(item->key, key) != 0)
			continue;
		if ((*count)++ > 0)
			continue;
		value = (const char *) GRPC_SLICE_START_PTR(item->value);
		*length = GRPC_SLICE_LENGTH(item->value);
	}
	return value;
}

int
pa_call_attempt(const PaCall *call)
{
	char		digits[12];
	int64_t		number;
	size_t		length;
	int			count;
	const char *value;

	if (call->streamed)
		return call->told_attempt > 0 && call->told_attempt <= INT32_MAX ?
			(int) call->told_attempt : -1;
	value = pa_call_metadata(call, "x-attempt", &length, &count);
	if (value == NULL || length >= sizeof(digits))
		return -1;
	memcpy(digits, value, length);
	digits[length] = '\0';
	return pa_units_number(digits, 0, INT32_MAX, &number) ? (int) number : -1;
}

void
pa_call_watch(PaCall *call)
{
	grpc_op		op;

	memset(&op, 0, sizeof(op));
	op.op = GRPC_OP_RECV_CLOSE_ON_SERVER;
	op.data.recv_close_on_server.cancelled = &call->closed_cancelled;
	call->watched = true;
	pa_call_start_batch(call, &op, 1, &call->closed);
}
