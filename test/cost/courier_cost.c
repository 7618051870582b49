/* objects: courier/frame courier/reply courier/text courier/arena courier/output */
/*-------------------------------------------------------------------------
 *
 * test/cost/courier_cost.c
 *		What the courier does for every call apart from gRPC: cutting the
 *		stream, reading the reply, writing results.
 *
 *-------------------------------------------------------------------------
 */
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent.pb-c.h"
#include "cost.h"
#include "courier/frame.h"
#include "courier/output.h"
#include "courier/reply.h"

#define BATCH	64

static PaArena arena;
static PaFrameReader reader;
static int	sockets[2];
static uint8_t calls[BATCH * 256];
static size_t calls_length;
static uint8_t reply[256];
static size_t reply_length;
static uint8_t answers[BATCH * 256];
static size_t answers_length;

static void
make_calls(void)
{
	Courier__Frame whole = COURIER__FRAME__INIT;
	Courier__Call call = COURIER__CALL__INIT;
	char	   *instances[] = {"i-0123456789abcdef0", "i-0123456789abcdef1"};
	size_t		size;

	call.call_id = 1000;
	call.server_name = "agent";
	call.method = COURIER__METHOD__METHOD_POWER_ON;
	call.timeout_ms = 30000;
	call.account = "production";
	call.cluster_id = "cluster-0001";
	call.n_instance_ids = 2;
	call.instance_ids = instances;
	call.requester = "scheduler";
	call.request_id = "7300000000000000001/16384/1000/0";
	call.order_counter = 1000;
	whole.body_case = COURIER__FRAME__BODY_CALL;
	whole.call = &call;
	size = courier__frame__get_packed_size(&whole);
	must((PA_FRAME_HEADER + size) * BATCH <= sizeof(calls));
	for (int i = 0; i < BATCH; i++)
	{
		pa_frame_put_header(calls + calls_length, size);
		courier__frame__pack(&whole, calls + calls_length + PA_FRAME_HEADER);
		calls_length += PA_FRAME_HEADER + size;
	}
}

static void
make_reply(void)
{
	Agent__ClusterStatusChangeResponse whole =
		AGENT__CLUSTER_STATUS_CHANGE_RESPONSE__INIT;
	Agent__InstanceState states[2] = {
		AGENT__INSTANCE_STATE__INIT, AGENT__INSTANCE_STATE__INIT
	};
	Agent__InstanceState *pointers[] = {&states[0], &states[1]};

	states[0].instance_id = "i-0123456789abcdef0";
	states[1].instance_id = "i-0123456789abcdef1";
	states[0].state = AGENT__POWER_STATE__POWER_STATE_RUNNING;
	states[1].state = AGENT__POWER_STATE__POWER_STATE_RUNNING;
	whole.message = "2 instances started";
	whole.n_instance_states = 2;
	whole.instance_states = pointers;
	must(agent__cluster_status_change_response__get_packed_size(&whole) <=
		 sizeof(reply));
	reply_length = agent__cluster_status_change_response__pack(&whole, reply);
}

/* as the agent does it: one message behind the other is a message of all */
static void
make_answers(void)
{
	Agent__StreamResponse whole = AGENT__STREAM_RESPONSE__INIT;
	Agent__StreamAnswer answer = AGENT__STREAM_ANSWER__INIT;
	Agent__StreamAnswer *pointers[] = {&answer};

	answer.call_id = 1000;
	answer.response.data = reply;
	answer.response.len = reply_length;
	whole.n_answers = 1;
	whole.answers = pointers;
	must(agent__stream_response__get_packed_size(&whole) * BATCH <=
		 sizeof(answers));
	for (int i = 0; i < BATCH; i++)
		answers_length += agent__stream_response__pack(&whole,
													   answers + answers_length);
}

static void
read_answers(int n)
{
	Agent__StreamResponse *whole;

	pa_arena_reset(&arena);
	whole = agent__stream_response__unpack(&arena.allocator, answers_length,
										   answers);
	must(whole != NULL && whole->n_answers == BATCH);
}

/* a batch of calls, in pieces as large as there is room */
static void
read_calls(int n)
{
	const uint8_t *body;
	size_t		size;
	int			found = 0;

	for (size_t at = 0; at < calls_length;)
	{
		size_t		room;
		uint8_t    *space = pa_frame_space(&reader, &room);

		must(space != NULL);
		if (room > calls_length - at)
			room = calls_length - at;
		memcpy(space, calls + at, room);
		pa_frame_fill(&reader, room);
		at += room;
	}
	while (pa_frame_next(&reader, &body, &size) == PA_FRAME_COMPLETE)
	{
		Courier__Frame *call;

		pa_arena_reset(&arena);
		call = courier__frame__unpack(&arena.allocator, size, body);
		must(call != NULL && call->call->n_instance_ids == 2);
		found++;
	}
	must(found == BATCH);
}

static void
decode_reply(int n)
{
	Courier__Result result;

	courier__result__init(&result);
	pa_arena_reset(&arena);
	pa_reply_decode(&arena, reply, reply_length, &result);
	must(result.n_instances == 2 && result.status_code == 0);
}

static void
write_results(int n)
{
	static uint8_t taken[BATCH * 256];
	Courier__Frame whole = COURIER__FRAME__INIT;
	Courier__Result result;
	size_t		size;

	courier__result__init(&result);
	pa_arena_reset(&arena);
	pa_reply_decode(&arena, reply, reply_length, &result);
	result.call_id = 1000;
	result.duration_us = 700;
	whole.body_case = COURIER__FRAME__BODY_RESULT;
	whole.result = &result;
	for (int i = 0; i < BATCH; i++)
		must(pa_output_add(&whole));
	pa_output_flush();
	size = BATCH * (PA_FRAME_HEADER + courier__frame__get_packed_size(&whole));
	must(size <= sizeof(taken));
	must(recv(sockets[1], taken, sizeof(taken), MSG_DONTWAIT) ==
		 (ssize_t) size);
}

int
main(void)
{
	pa_arena_init(&arena, 1024 * 1024);
	pa_frame_init(&reader);
	make_calls();
	make_reply();
	make_answers();
	must(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0);
	pa_output_begin(sockets[0], eventfd(0, 0));

	cost_count("64 calls read", read_calls);
	cost_count("64 answers of a stream read", read_answers);
	cost_count("reply decoded", decode_reply);
	cost_count("64 results written", write_results);
	return 0;
}
