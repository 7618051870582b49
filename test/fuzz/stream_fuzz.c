/* objects: agent/stream_request agent/wire */
/*-------------------------------------------------------------------------
 *
 * test/fuzz/stream_fuzz.c
 *		A message of a stream as the agent reads it: refused, or as protobuf-c
 *		reads it.
 *
 *-------------------------------------------------------------------------
 */
#include "agent.pb-c.h"
#include "agent/stream_request.h"
#include "fuzz.h"

static void
compare_call(const PaStreamCall *call, const Agent__StreamCall *expected)
{
	must(call->call_id == expected->call_id);
	must(call->method == (uint32_t) expected->method);
	must(call->timeout == expected->timeout_ms);
	must(call->attempt == expected->attempt);
	must(call->length == expected->request.len);
	must(call->length == 0 ||
		 memcmp(call->request, expected->request.data, call->length) == 0);
}

static void
compare(const uint8_t *bytes, size_t size, const Agent__StreamRequest *expected)
{
	PaStreamReader reader;
	PaStreamItem item;
	size_t		calls = 0;
	size_t		cancelled = 0;

	pa_stream_request_begin(&reader, bytes, size);
	while (pa_stream_request_next(&reader, &item))
	{
		if (item.cancelled)
		{
			must(cancelled < expected->n_cancelled);
			must(item.call.call_id == expected->cancelled[cancelled++]);
		}
		else
		{
			must(item.call.request >= bytes &&
				 item.call.request + item.call.length <= bytes + size);
			must(calls < expected->n_calls);
			compare_call(&item.call, expected->calls[calls++]);
		}
	}
	must(calls == expected->n_calls);
	must(cancelled == expected->n_cancelled);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t    *bytes = fuzz_bytes(data, size);
	uint32_t	max_message_size = 0;
	const char *problem = pa_stream_request_check(bytes, size, &max_message_size);
	Agent__StreamRequest *expected = agent__stream_request__unpack(NULL, size, bytes);

	must(problem == NULL || fuzz_is_clean(problem, strlen(problem), 200));
	if (problem == NULL && expected != NULL)
		compare(bytes, size, expected);
	if (expected != NULL)
		agent__stream_request__free_unpacked(expected, NULL);
	free(bytes);
	return 0;
}
