/*-------------------------------------------------------------------------
 *
 * src/courier/streamed.c
 *		The life of calls that go out over a stream.  See streamed.h.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "agent.pb-c.h"
#include "output.h"
#include "program/clock.h"
#include "result.h"
#include "streamed.h"

/* no call of a stream has a deadline before this */
static int64_t earliest_deadline_us = INT64_MAX;

/* the Result of a call that was taken from the table, and the call's end */
static void
end_streamed(PaCall *call, Courier__Result *result, int64_t duration_us)
{
	int64_t		now = pa_clock_now();

	if (pa_pace_end(pa_channel_pace(call->channel), now, duration_us))
		pa_output_wake();
	result->call_id = call->call_id;
	result->duration_us = (uint64_t) (now - call->ordered_us);
	pa_result_add(result);
	pa_stream_done(call->stream);
	pa_stream_release(call->stream);
	call->stream = NULL;
	pa_call_table_drop(call);
}

/* in the completion thread */
static void
call_answered(PaStream *stream, const Agent__StreamAnswer *answer)
{
	PaCall	   *call = pa_call_table_take(answer->call_id, stream);
	Courier__Result result = COURIER__RESULT__INIT;
	int64_t		duration_us = -1;

	if (call == NULL)
		return;
	if (answer->status_code == GRPC_STATUS_OK)
	{
		duration_us = pa_clock_now() - call->started_us;
		pa_result_reply(&result, answer->response.data, answer->response.len);
	}
	else
	{
		pa_result_failure(&result, answer->status_code, answer->status_message,
						  strlen(answer->status_message));
		result.not_delivered = answer->not_started;
	}
	end_streamed(call, &result, duration_us);
	pa_result_forget();
}

/* in the completion thread */
static void
calls_lost(PaStream *stream, uint64_t handed, const char *why)
{
	int64_t		ignored;
	PaCall	   *call = pa_call_table_take_all(stream, INT64_MAX, &ignored);

	while (call != NULL)
	{
		PaCall	   *next = call->next;
		Courier__Result result = COURIER__RESULT__INIT;

		result.status_code = GRPC_STATUS_UNAVAILABLE;
		result.status_message = (char *) why;
		result.not_delivered = call->place > handed;
		end_streamed(call, &result, -1);
		call = next;
	}
}

void
pa_streamed_begin(void)
{
	static const PaStreamOwner owner = {
		.answered = call_answered,
		.lost = calls_lost
	};

	pa_stream_begin(&owner);
}

bool
pa_streamed_start(PaCall *call)
{
	PaStream   *stream = pa_channel_stream(call->channel, call->started_us);
	Agent__StreamCall streamed = AGENT__STREAM_CALL__INIT;
	int64_t		deadline_us = call->started_us + call->timeout_us;
	grpc_slice	request_id = call->request_id;
	grpc_slice	request = call->request;

	if (stream == NULL)
		return false;
	streamed.call_id = call->call_id;
	/* numbered alike */
	streamed.method = (Agent__StreamMethod) call->method;
	streamed.timeout_ms = (uint32_t) (call->timeout_us / 1000);
	streamed.attempt = call->attempt;
	streamed.request.data = GRPC_SLICE_START_PTR(request);
	streamed.request.len = GRPC_SLICE_LENGTH(request);
	if (!pa_call_table_stream(call, stream, &streamed, deadline_us))
		return false;
	if (deadline_us < earliest_deadline_us)
		earliest_deadline_us = deadline_us;
	grpc_slice_unref(request_id);
	grpc_slice_unref(request);
	return true;
}

void
pa_streamed_give_up(PaCall *call, grpc_status_code status,
					const char *message)
{
	Courier__Result result = COURIER__RESULT__INIT;

	result.status_code = status;
	result.status_message = (char *) message;
	result.not_delivered = pa_stream_cancel(call->stream, call->call_id,
											call->place);
	end_streamed(call, &result, -1);
}

void
pa_streamed_attend(int64_t now)
{
	PaCall	   *call;

	if (now < earliest_deadline_us)
		return;
	call = pa_call_table_take_all(NULL, now, &earliest_deadline_us);
	while (call != NULL)
	{
		PaCall	   *next = call->next;

		pa_streamed_give_up(call, GRPC_STATUS_DEADLINE_EXCEEDED,
							"Deadline Exceeded");
		call = next;
	}
}

int64_t
pa_streamed_due(void)
{
	return earliest_deadline_us;
}
