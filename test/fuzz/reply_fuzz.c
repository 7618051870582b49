/* objects: courier/reply courier/text courier/arena */
/*-------------------------------------------------------------------------
 *
 * test/fuzz/reply_fuzz.c
 *		The reply of an agent: whatever it is, the worker gets a result that
 *		is bounded and clean; a reply that was clean comes through unchanged.
 *
 * The first byte says how much memory the reply may take.
 *
 *-------------------------------------------------------------------------
 */
#include "agent.pb-c.h"
#include "courier/reply.h"
#include "courier/text.h"
#include "fuzz.h"

static void
check_text(const char *text, size_t limit)
{
	must(text != NULL);
	must(fuzz_is_clean(text, strlen(text), limit));
}

static void
check_result(const Courier__Result *result, size_t left_out)
{
	check_text(result->status_message, PA_TEXT_MESSAGE_LIMIT);
	check_text(result->reply_message, PA_TEXT_MESSAGE_LIMIT);
	must(result->n_instances <= PA_REPLY_MAX_INSTANCES);
	must(left_out == 0 || result->n_instances == PA_REPLY_MAX_INSTANCES);
	for (size_t i = 0; i < result->n_instances; i++)
	{
		check_text(result->instances[i]->instance_id, PA_TEXT_ID_LIMIT);
		check_text(result->instances[i]->message, PA_TEXT_MESSAGE_LIMIT);
		must(result->instances[i]->state <= 5);
	}
	if (result->status_code != 0)
	{
		must(result->status_code == 13 && result->status_message[0] != '\0');
		must(result->reply_error == 0 && result->n_instances == 0);
	}
}

/* the same as a reply; decoded, it must be the same again */
static void
check_round_trip(const Courier__Result *result)
{
	Agent__ClusterStatusChangeResponse reply =
		AGENT__CLUSTER_STATUS_CHANGE_RESPONSE__INIT;
	Agent__InstanceState *states = calloc(result->n_instances + 1,
										  sizeof(*states));
	Agent__InstanceState **pointers = calloc(result->n_instances + 1,
											 sizeof(*pointers));
	Courier__Result again = COURIER__RESULT__INIT;
	PaArena		arena;
	uint8_t    *bytes;
	size_t		size;

	reply.error = result->reply_error;
	reply.message = result->reply_message;
	reply.n_instance_states = result->n_instances;
	reply.instance_states = pointers;
	for (size_t i = 0; i < result->n_instances; i++)
	{
		agent__instance_state__init(&states[i]);
		states[i].instance_id = result->instances[i]->instance_id;
		states[i].state = (Agent__PowerState) result->instances[i]->state;
		states[i].message = result->instances[i]->message;
		pointers[i] = &states[i];
	}
	size = agent__cluster_status_change_response__get_packed_size(&reply);
	bytes = malloc(size + 1);
	agent__cluster_status_change_response__pack(&reply, bytes);

	pa_arena_init(&arena, (size_t) 1024 * 1024 * 1024);
	must(pa_reply_decode(&arena, bytes, size, &again) == 0);
	must(again.status_code == 0);
	must(again.reply_error == result->reply_error);
	must(strcmp(again.reply_message, result->reply_message) == 0);
	must(again.n_instances == result->n_instances);
	for (size_t i = 0; i < again.n_instances; i++)
	{
		must(strcmp(again.instances[i]->instance_id,
					result->instances[i]->instance_id) == 0);
		must(again.instances[i]->state == result->instances[i]->state);
		must(strcmp(again.instances[i]->message,
					result->instances[i]->message) == 0);
	}
	pa_arena_destroy(&arena);
	free(bytes);
	free(states);
	free(pointers);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Courier__Result result = COURIER__RESULT__INIT;
	PaArena		arena;
	size_t		left_out;
	uint8_t    *bytes;

	if (size < 1)
		return 0;
	pa_arena_init(&arena, (size_t) 64 << data[0] % 20);
	bytes = fuzz_bytes(data + 1, size - 1);
	left_out = pa_reply_decode(&arena, bytes, size - 1, &result);

	must(arena.used <= arena.limit);
	check_result(&result, left_out);
	if (result.status_code == 0)
		check_round_trip(&result);
	free(bytes);
	pa_arena_destroy(&arena);
	return 0;
}
