/* objects: agent/stream_request agent/wire */
/*-------------------------------------------------------------------------
 *
 * test/unit/agent_stream_request_test.c
 *		Messages of a stream: what is read of them, and which are refused.
 *
 *-------------------------------------------------------------------------
 */
#include "agent/stream_request.h"

#include <stdlib.h>

#include "agent.pb-c.h"
#include "unit.h"

static uint8_t bytes[1024];
static uint32_t max_message_size;

/* checks memory of exactly that size, so that sanitizers see overruns */
static const char *
checked(const void *message, size_t length)
{
	uint8_t    *copy = malloc(length > 0 ? length : 1);
	const char *problem;

	memcpy(copy, message, length);
	max_message_size = 7;
	problem = pa_stream_request_check(copy, length, &max_message_size);
	free(copy);
	return problem;
}

static void
refused(const void *message, size_t length, const char *name)
{
	const char *problem = checked(message, length);

	ok(problem != NULL && strstr(problem, "not a valid StreamRequest") != NULL,
	   "refused: %s", name);
}

static void
test_good(void)
{
	Agent__StreamRequest request = AGENT__STREAM_REQUEST__INIT;
	Agent__StreamCall calls[2] = {AGENT__STREAM_CALL__INIT, AGENT__STREAM_CALL__INIT};
	Agent__StreamCall *list[2] = {&calls[0], &calls[1]};
	uint64_t	cancelled[2] = {300, UINT64_MAX};
	PaStreamReader reader;
	PaStreamItem item;
	size_t		length;

	request.n_calls = 2;
	request.calls = list;
	calls[0].call_id = UINT64_MAX;
	calls[0].method = AGENT__STREAM_METHOD__STREAM_METHOD_POWER_OFF;
	calls[0].timeout_ms = UINT32_MAX;
	calls[0].attempt = 3;
	calls[0].request.data = (uint8_t *) "request";
	calls[0].request.len = 7;
	request.n_cancelled = 2;
	request.cancelled = cancelled;
	request.max_message_size = 5000;
	length = agent__stream_request__pack(&request, bytes);
	if (!ok(checked(bytes, length) == NULL, "a whole message"))
		return;
	is_number(max_message_size, 5000, "what the client takes");
	pa_stream_request_begin(&reader, bytes, length);
	ok(pa_stream_request_next(&reader, &item) && !item.cancelled &&
	   item.call.call_id == UINT64_MAX && item.call.method == 2 &&
	   item.call.timeout == UINT32_MAX && item.call.attempt == 3 &&
	   item.call.length == 7 && memcmp(item.call.request, "request", 7) == 0,
	   "a call");
	ok(pa_stream_request_next(&reader, &item) && !item.cancelled &&
	   item.call.call_id == 0 && item.call.method == 0 && item.call.timeout == 0 &&
	   item.call.attempt == 0 && item.call.length == 0 && item.call.request != NULL,
	   "one with nothing in it");
	ok(pa_stream_request_next(&reader, &item) && item.cancelled &&
	   item.call.call_id == 300, "one that is cancelled");
	ok(pa_stream_request_next(&reader, &item) && item.cancelled &&
	   item.call.call_id == UINT64_MAX, "another");
	ok(!pa_stream_request_next(&reader, &item), "the end");

	/* fields that are not packed, or of newer clients, or come twice */
	ok(checked("\x10\x05\x10\x06", 4) == NULL, "ids that are not packed");
	ok(checked("\x7a\x02xy\x0a\x05\x7a\x01z\x08\x01", 11) == NULL,
	   "fields that are not known");
	ok(checked("\x18\x09\x18\x0a", 4) == NULL && max_message_size == 10,
	   "the last one counts");
	ok(checked("\x18\x00", 2) == NULL && max_message_size == 7,
	   "0 says nothing");
	ok(checked("", 0) == NULL && max_message_size == 7, "an empty message");

	for (size_t i = 0; i < length; i++)
		checked(bytes, i);
	ok(true, "no shortened form is read beyond its end");
}

static void
test_refused(void)
{
	refused("\xff", 1, "a key cut off");
	refused("\x0a", 1, "a call without its length");
	refused("\x0a\x02\x08", 3, "a call cut off");
	refused("\x0a\x01\x08", 3, "a call with a field cut off");
	refused("\x0a\x02\x0a\x00", 4, "a call_id that is text");
	refused("\x0a\x02\x28\x00", 4, "a request that is a number");
	refused("\x0a\x02\x02\x00", 4, "a field 0");
	refused("\x08\x01", 2, "a call that is a number");
	refused("\x12\x01\x80", 3, "a packed id cut off");
	refused("\x15\x00\x00\x00\x00", 5, "an id of four bytes");
	refused("\x1a\x00", 2, "a size that is text");
	refused("\x0b", 1, "a group");
}

static void
test_limit(void)
{
	size_t		length = 2 * (PA_STREAM_MAX_ITEMS + 1);
	uint8_t    *many = malloc(length);
	const char *problem;

	for (size_t i = 0; i < length; i += 2)
		memcpy(many + i, i % 4 == 0 ? "\x0a\x00" : "\x10\x00", 2);
	ok(checked(many, length - 2) == NULL, "as many calls as there may be");
	problem = checked(many, length);
	ok(problem != NULL && strstr(problem, "more than 100000") != NULL,
	   "one more is refused");
	free(many);
}

int
main(void)
{
	test_good();
	test_refused();
	test_limit();
	return unit_done();
}
