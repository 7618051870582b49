/*-------------------------------------------------------------------------
 *
 * src/courier/call.c
 *		The life of the calls that the worker orders.  See call.h.
 *
 *-------------------------------------------------------------------------
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <grpc/support/alloc.h>

#include "agent.pb-c.h"
#include "call.h"
#include "call_table.h"
#include "channel.h"
#include "delivery.h"
#include "output.h"
#include "pace.h"
#include "program/clock.h"
#include "result.h"
#include "server.h"
#include "stream.h"
#include "streamed.h"
#include "text.h"
#include "unary.h"

static void call_done(PaTag *tag, bool success);

void
pa_call_begin(void)
{
	pa_result_begin();
	pa_streamed_begin();
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
	pa_result_add(&result);
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

/* ends a call that waited for its turn */
static void
refuse(PaCall *call, grpc_status_code status, const char *message)
{
	uint64_t	call_id = call->call_id;
	int64_t		waited_us = pa_clock_now() - call->ordered_us;

	pa_call_table_delete(call);
	grpc_slice_unref(call->request_id);
	grpc_slice_unref(call->request);
	pa_call_table_drop(call);
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
	bool		streamed;

	call->started_us = pa_clock_now();
	streamed = pa_streamed_start(call);
	pa_pace_set_light(pace, streamed);
	if (streamed)
		return;
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
		pa_call_table_delete(call);
		pa_call_table_drop(call);
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

	call = pa_call_table_create();
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
	pa_call_table_insert(call);

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

static void
start_waiting(void)
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
pa_call_attend(void)
{
	int64_t		now;

	start_waiting();
	now = pa_clock_now();
	pa_streamed_attend(now);
	pa_stream_attend(now);
}

int64_t
pa_call_due(void)
{
	int64_t		due = pa_pace_due();

	if (pa_streamed_due() < due)
		due = pa_streamed_due();
	if (pa_stream_due() < due)
		due = pa_stream_due();
	return due;
}

void
pa_call_cancel(uint64_t call_id)
{
	PaCallFound found = pa_call_table_find(call_id);

	if (found.streamed != NULL)
		pa_streamed_give_up(found.streamed, GRPC_STATUS_CANCELLED,
							"cancelled by the worker");
	if (found.unstarted != NULL)
	{
		pa_pace_withdraw(&found.unstarted->paced);
		refuse(found.unstarted, GRPC_STATUS_CANCELLED,
			   "cancelled by the worker before it started");
	}
	if (found.grpc != NULL)
	{
		grpc_call_cancel_with_status(found.grpc, GRPC_STATUS_CANCELLED,
									 "cancelled by the worker", NULL);
		grpc_call_unref(found.grpc);
	}
}

void
pa_call_cancel_all(void)
{
	PaPaced    *paced;

	while ((paced = pa_pace_overdue(INT64_MAX)) != NULL)
		refuse(paced_call(paced), GRPC_STATUS_CANCELLED, "the courier ends");
	pa_stream_cancel_all();
	pa_call_table_cancel();
}

static void
fill_reply(PaCall *call, Courier__Result *result)
{
	grpc_slice	copy;
	const uint8_t *data;
	size_t		size;

	if (call->unary.reply == NULL)
	{
		result->status_code = GRPC_STATUS_INTERNAL;
		result->status_message = (char *) "the agent answered OK without a reply";
		return;
	}
	data = pa_unary_bytes(call->unary.reply, &size, &copy);
	if (data == NULL)
	{
		result->status_code = GRPC_STATUS_INTERNAL;
		result->status_message = (char *) "the reply of the agent cannot be read";
	}
	else
		pa_result_reply(result, data, size);
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

	pa_result_failure(result, (uint32_t) unary->status, details, length);
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

	pa_call_table_delete(call);
	if (pa_pace_end(pa_channel_pace(call->channel), now,
					ok ? now - call->started_us : -1))
		pa_output_wake();

	result.call_id = call->call_id;
	if (ok)
		fill_reply(call, &result);
	else
		fill_failure(call, &result);
	result.duration_us = (uint64_t) (now - call->ordered_us);
	pa_result_add(&result);

	pa_result_forget();
	pa_call_table_drop(call);
}

void
pa_call_end(void)
{
	pa_stream_end();
	pa_call_table_end();
	pa_result_end();
}
