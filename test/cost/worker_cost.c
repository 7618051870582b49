/* objects: */
/*-------------------------------------------------------------------------
 *
 * test/cost/worker_cost.c
 *		What the worker does for every action apart from SQL: frames, the
 *		verdict on an answer, words, delays.
 *
 *-------------------------------------------------------------------------
 */
#include "backoff.h"
#include "cost.h"
#include "courier.pb-c.h"
#include "frame_format.h"
#include "status_code.h"
#include "target.h"
#include "verdict.h"

#define FRAMES	64

/* what a compiler must not leave out */
static volatile int64_t kept;

static uint8_t stream[FRAMES * 256];
static size_t stream_length;

static size_t
put_frame(uint8_t *to, const Courier__Frame *frame)
{
	size_t		size = courier__frame__pack(frame, to + PA_FRAME_HEADER);

	pa_frame_put_header(to, size);
	return PA_FRAME_HEADER + size;
}

static void
encode_call(int n)
{
	static uint8_t bytes[512];
	Courier__Frame frame = COURIER__FRAME__INIT;
	Courier__Call call = COURIER__CALL__INIT;
	char	   *instances[] = {"i-0123456789abcdef0", "i-0123456789abcdef1"};

	call.call_id = (uint64_t) n + 1000;
	call.server_name = "agent";
	call.method = COURIER__METHOD__METHOD_POWER_ON;
	call.timeout_ms = 30000;
	call.account = "production";
	call.region = "eu-central-1";
	call.cluster_id = "cluster-0001";
	call.n_instance_ids = 2;
	call.instance_ids = instances;
	call.requester = "scheduler";
	call.description = "opening hours";
	call.request_id = "7300000000000000001/16384/1000/0";
	call.order_timeline = 1;
	call.order_epoch = 7;
	call.order_counter = (uint64_t) n + 1000;
	call.source = "7300000000000000001/16384";
	frame.body_case = COURIER__FRAME__BODY_CALL;
	frame.call = &call;
	kept = (int64_t) put_frame(bytes, &frame);
}

static void
make_results(void)
{
	Courier__Frame frame = COURIER__FRAME__INIT;
	Courier__Result result = COURIER__RESULT__INIT;
	Courier__InstanceReport reports[2] = {
		COURIER__INSTANCE_REPORT__INIT, COURIER__INSTANCE_REPORT__INIT
	};
	Courier__InstanceReport *pointers[] = {&reports[0], &reports[1]};

	reports[0].instance_id = "i-0123456789abcdef0";
	reports[1].instance_id = "i-0123456789abcdef1";
	reports[0].state = reports[1].state = PA_POWER_RUNNING;
	result.n_instances = 2;
	result.instances = pointers;
	result.duration_us = 700;
	frame.body_case = COURIER__FRAME__BODY_RESULT;
	frame.result = &result;
	for (int i = 0; i < FRAMES; i++)
	{
		result.call_id = 1000 + (uint64_t) i;
		stream_length += put_frame(stream + stream_length, &frame);
	}
	must(stream_length <= sizeof(stream));
}

static void
find_frames(int n)
{
	size_t		at = 0;
	size_t		size;

	while (pa_frame_find(stream + at, stream_length - at, &size) ==
		   PA_FRAME_COMPLETE)
		at += PA_FRAME_HEADER + size;
	must(at == stream_length);
}

static void
decode_result(int n)
{
	size_t		size;
	Courier__Frame *frame;

	must(pa_frame_find(stream, stream_length, &size) == PA_FRAME_COMPLETE);
	frame = courier__frame__unpack(NULL, size, stream + PA_FRAME_HEADER);
	must(frame != NULL && frame->result->n_instances == 2);
	courier__frame__free_unpacked(frame, NULL);
}

static void
judge_states(int n)
{
	int			states[4] = {PA_POWER_RUNNING, PA_POWER_RUNNING,
	PA_POWER_RUNNING, PA_POWER_RUNNING};
	int			done;

	kept = pa_verdict_of_states(PA_ACTION_POWER_ON, states, 4, &done);
	must(kept == PA_VERDICT_CONFIRMED && done == 4);
	kept = (int64_t) pa_verdict_cluster_state(states, 4);
}

static void
judge_status(int n)
{
	kept = pa_verdict_of_status(n % 17, "Socket closed", false, false);
}

static void
name_status(int n)
{
	kept = pa_status_name(n % 17)[0];
}

static void
name_words(int n)
{
	kept = pa_action_from_name("power_off");
	kept = pa_action_name(PA_ACTION_POWER_OFF)[0];
	kept = pa_event_status_name(PA_EVENT_SUCCESS)[0];
	kept = pa_agent_result_name(PA_RESULT_CONFIRMED)[0];
	kept = pa_power_state_name(PA_POWER_STOPPED)[0];
}

static void
delay(int n)
{
	kept = pa_backoff_delay(1000, 300000, 1 + n % 16, 0.5);
}

static void
parse_target(int n)
{
	PaTarget	target;
	const char *hint;

	must(pa_target_parse("dns:///agent.example.com:50051", &target, &hint));
}

int
main(void)
{
	make_results();
	cost_count("call into a frame", encode_call);
	cost_count("64 frames found", find_frames);
	cost_count("result from a frame", decode_result);
	cost_count("verdict on 4 states", judge_states);
	cost_count("verdict on a status", judge_status);
	cost_count("name of a status", name_status);
	cost_count("words", name_words);
	cost_count("backoff", delay);
	cost_count("target", parse_target);
	return 0;
}
