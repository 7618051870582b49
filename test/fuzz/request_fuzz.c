/* objects: agent/request agent/arena agent/wire */
/*-------------------------------------------------------------------------
 *
 * test/fuzz/request_fuzz.c
 *		A request as the agent reads it: refused with a reason, or complete,
 *		bounded, valid UTF-8, and the same again when it is written and read.
 *
 *-------------------------------------------------------------------------
 */
#include "agent/request.h"
#include "fuzz.h"
#include "program/utf8.h"

static void
check_text(const char *text, size_t limit)
{
	must(text != NULL);
	must(strlen(text) <= limit);
	must(fuzz_is_utf8(text, strlen(text)));
}

static void
check_request(const Agent__ClusterStatusChangeRequest *request)
{
	check_text(request->account_name, PA_MAX_ID);
	check_text(request->region, PA_MAX_ID);
	check_text(request->cluster_id, PA_MAX_ID);
	check_text(request->requester, PA_MAX_TEXT);
	check_text(request->description, PA_MAX_TEXT);
	check_text(request->request_id, PA_MAX_ID);
	check_text(request->source, PA_MAX_ID);
	must(request->cluster_id[0] != '\0');
	must(request->n_instances_id_list >= 1 &&
		 request->n_instances_id_list <= PA_MAX_INSTANCES);
	for (size_t i = 0; i < request->n_instances_id_list; i++)
	{
		check_text(request->instances_id_list[i], PA_MAX_ID);
		must(request->instances_id_list[i][0] != '\0');
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	PaArena		arena = {0};
	PaArena		second = {0};
	const char *problem = NULL;
	uint8_t    *bytes = fuzz_bytes(data, size);
	Agent__ClusterStatusChangeRequest *request;
	Agent__ClusterStatusChangeRequest *again;
	size_t		length;
	uint8_t    *packed;

	must(pa_utf8_valid_length((char *) bytes, size) <= size);
	must((pa_utf8_valid_length((char *) bytes, size) == size) ==
		 fuzz_is_utf8((char *) bytes, size));

	request = pa_request_read(&arena, bytes, size, &problem);
	if (request == NULL)
	{
		must(problem != NULL && problem[0] != '\0');
		must(fuzz_is_clean(problem, strlen(problem), 200));
	}
	else
	{
		must(problem == NULL);
		check_request(request);

		length = agent__cluster_status_change_request__get_packed_size(request);
		packed = malloc(length + 1);
		agent__cluster_status_change_request__pack(request, packed);
		again = pa_request_read(&second, packed, length, &problem);
		must(again != NULL);
		must(strcmp(again->cluster_id, request->cluster_id) == 0);
		must(again->n_instances_id_list == request->n_instances_id_list);
		must((again->order != NULL) == (request->order != NULL));
		if (again->order != NULL)
			must(again->order->epoch == request->order->epoch &&
				 again->order->counter == request->order->counter);
		must(agent__cluster_status_change_request__get_packed_size(again) ==
			 length);
		free(packed);
	}
	pa_arena_empty(&arena);
	pa_arena_empty(&second);
	free(bytes);
	return 0;
}
