/* objects: courier/reply courier/text courier/arena */
/*-------------------------------------------------------------------------
 *
 * test/unit/courier_reply_test.c
 *		Decoding of what agents answer, hostile answers included.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

#include "agent.pb-c.h"
#include "courier/frame.h"
#include "courier/reply.h"
#include "courier/text.h"
#include "unit.h"

#define INTERNAL	13

static PaArena arena;

static size_t
decode(const void *data, size_t size, Courier__Result *result)
{
	/* exact, for the sanitizer */
	uint8_t    *copy = malloc(size + (size == 0));
	size_t		left_out;

	memcpy(copy, data, size);
	courier__result__init(result);
	pa_arena_reset(&arena);
	left_out = pa_reply_decode(&arena, copy, size, result);
	free(copy);
	return left_out;
}

static void
test_small(void)
{
	Courier__Result result;
	/* error 7, message "no", {101: {instance_id "i", state 3, message "m"}} */
	static const char reply[] = "\x08\x07\x12\x02no"
		"\xAA\x06\x08\x0A\x01i\x10\x03\x1A\x01m";

	decode("", 0, &result);
	is_number(result.status_code, 0, "an empty reply is success");
	is_number(result.reply_error, 0, "without an error");
	is_string(result.reply_message, "", "or a message");

	decode(reply, sizeof(reply) - 1, &result);
	is_number(result.reply_error, 7, "the error");
	is_string(result.reply_message, "no", "the message");
	if (is_number(result.n_instances, 1, "one instance"))
	{
		is_string(result.instances[0]->instance_id, "i", "its id");
		is_number(result.instances[0]->state, 3, "its state");
		is_string(result.instances[0]->message, "m", "its message");
	}

	decode("\xAA\x06\x02\x10\x63", 5, &result);
	is_number(result.n_instances, 1, "an instance in a strange state");
	is_number(result.instances[0]->state, 0, "is in state 0");
	decode("\xAA\x06\x0B\x10\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 14,
		   &result);
	is_number(result.instances[0]->state, 0, "so with a negative one");
}

static void
test_dirty(void)
{
	Courier__Result result;

	decode("\x12\x05" "a\xFF\nb\x1B", 7, &result);
	is_string(result.reply_message, "a\xEF\xBF\xBD b", "text is cleaned");
}

static void
test_undecodable(void)
{
	Courier__Result result;

	decode("\xFF\xFF\xFF\xFF\xFF", 5, &result);
	is_number(result.status_code, INTERNAL, "garbage is INTERNAL");
	is_string(result.status_message,
			  "the reply of the agent cannot be decoded (5 bytes)",
			  "and says so");
	decode("\x12\x7Fx", 3, &result);
	is_number(result.status_code, INTERNAL, "so is a reply cut short");
}

static void
test_many(void)
{
	enum
	{
		SENT = PA_REPLY_MAX_INSTANCES + 5,
		ID = 300,
		MESSAGE = 2500
	};
	Agent__ClusterStatusChangeResponse reply =
		AGENT__CLUSTER_STATUS_CHANGE_RESPONSE__INIT;
	Agent__InstanceState state = AGENT__INSTANCE_STATE__INIT;
	Agent__InstanceState **states = malloc(SENT * sizeof(*states));
	char		id[ID + 1];
	char		message[MESSAGE + 1];
	Courier__Result result;
	uint8_t    *data;
	size_t		size;

	memset(id, 'i', ID);
	id[ID] = '\0';
	memset(message, 'm', MESSAGE);
	message[MESSAGE] = '\0';
	state.instance_id = id;
	state.message = message;
	state.state = AGENT__POWER_STATE__POWER_STATE_RUNNING;
	for (int i = 0; i < SENT; i++)
		states[i] = &state;
	reply.n_instance_states = SENT;
	reply.instance_states = states;
	size = agent__cluster_status_change_response__get_packed_size(&reply);
	data = malloc(size);
	agent__cluster_status_change_response__pack(&reply, data);

	is_number(decode(data, size, &result), 5, "instances are counted");
	is_number(result.status_code, 0, "a reply with very many is taken");
	is_number(result.n_instances, PA_REPLY_MAX_INSTANCES, "up to the limit");
	is_number(strlen(result.instances[0]->instance_id), PA_TEXT_ID_LIMIT,
			  "ids are bounded");
	is_number(strlen(result.instances[0]->message), PA_TEXT_MESSAGE_LIMIT,
			  "messages are bounded");
	is_number(result.instances[PA_REPLY_MAX_INSTANCES - 1]->state, 1,
			  "the last one has its state");
	ok(courier__result__get_packed_size(&result) < PA_FRAME_LIMIT / 8 * 7,
	   "the result fits into a frame");
	free(data);
	free(states);
}

/* millions of instances in a few bytes each do not take all the memory */
static void
test_bomb(void)
{
	enum
	{
		COUNT = 4 * 1024 * 1024
	};
	uint8_t    *data = malloc(COUNT * 3);
	Courier__Result result;

	for (size_t i = 0; i < COUNT; i++)
		memcpy(data + i * 3, "\xAA\x06\x00", 3);
	pa_arena_destroy(&arena);
	pa_arena_init(&arena, 32 * 1024 * 1024);
	decode(data, COUNT * 3, &result);
	is_number(result.status_code, INTERNAL, "what unpacks to too much is INTERNAL");
	ok(arena.used <= 32 * 1024 * 1024, "the arena kept its limit");
	free(data);
}

/* found by fuzzing: the reason had no memory either */
static void
test_no_memory(void)
{
	Courier__Result result;

	pa_arena_destroy(&arena);
	pa_arena_init(&arena, 16);
	decode((const uint8_t *) "\x08\x01", 2, &result);
	is_number(result.status_code, INTERNAL, "no memory at all is INTERNAL");
	ok(result.status_message[0] != '\0', "with a message: %s",
	   result.status_message);
}

int
main(void)
{
	pa_arena_init(&arena, (size_t) 1024 * 1024 * 1024);
	test_small();
	test_dirty();
	test_undecodable();
	test_many();
	test_bomb();
	test_no_memory();
	pa_arena_destroy(&arena);
	return unit_done();
}
