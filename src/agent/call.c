/*-------------------------------------------------------------------------
 *
 * src/agent/call.c
 *		What can be done with one gRPC call.  Contract in call.h; the lives of
 *		calls are in server.c.
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
#include "status_name.h"
#include "units.h"

static void
start_batch(PaCall *call, const grpc_op *ops, size_t count, PaTag *tag)
{
	grpc_call_error error;

	pa_call_retain(call);
	call->core_references++;
	error = grpc_call_start_batch(call->call, ops, count, tag, NULL);
	if (error != GRPC_CALL_OK)
	{
		/* the batches of this file are always allowed: a bug, not a fault */
		fprintf(stderr, "power_agent: could not start a batch: %s\n",
				grpc_call_error_to_string(error));
		abort();
	}
}

void
pa_call_answer(PaCall *call, int status, const char *details,
			   const uint8_t *reply, size_t length)
{
	grpc_op		ops[4];
	grpc_op    *op = ops;
	grpc_byte_buffer *message = NULL;
	grpc_slice	details_slice;

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
	start_batch(call, ops, (size_t) (op - ops), &call->sent);
	grpc_slice_unref(details_slice);
	if (message != NULL)
		grpc_byte_buffer_destroy(message);
}

void
pa_call_peer(const PaCall *call, char *text, size_t size)
{
	char	   *peer = grpc_call_get_peer(call->call);

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
	const char *value = NULL;

	*count = 0;
	*length = 0;
	for (size_t i = 0; i < call->metadata.count; i++)
	{
		const grpc_metadata *item = &call->metadata.metadata[i];

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
pa_call_metadata_number(const PaCall *call, const char *key)
{
	char		digits[12];
	int64_t		number;
	size_t		length;
	int			count;
	const char *value = pa_call_metadata(call, key, &length, &count);

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
	start_batch(call, &op, 1, &call->closed);
}
