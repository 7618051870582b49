/* objects: agent/request agent/arena agent/wire */
/*-------------------------------------------------------------------------
 *
 * test/unit/agent_request_test.c
 *		Requests from the network: what the agent takes, and what it refuses
 *		before it is unpacked.
 *
 *-------------------------------------------------------------------------
 */
#include "agent/request.h"

#include <stdio.h>
#include <stdlib.h>

#include "unit.h"

static PaArena arena;
static const char *problem;
static uint8_t bytes[200000];

/* appends a field of text to the bytes; returns the new length */
static size_t
add(size_t length, unsigned int field, const void *text, size_t text_length)
{
	uint64_t	numbers[2] = {(uint64_t) field << 3 | 2, text_length};

	for (int i = 0; i < 2; i++)
	{
		for (; numbers[i] >= 0x80; numbers[i] >>= 7)
			bytes[length++] = (uint8_t) (numbers[i] | 0x80);
		bytes[length++] = (uint8_t) numbers[i];
	}
	memcpy(bytes + length, text, text_length);
	return length + text_length;
}

static size_t
add_text(size_t length, unsigned int field, const char *text)
{
	return add(length, field, text, strlen(text));
}

/* a request that is good as it is */
static size_t
begin(void)
{
	return add_text(add_text(0, 3, "cluster"), 4, "i-1");
}

/* reads from memory of exactly that size, so that sanitizers see overruns */
static Agent__ClusterStatusChangeRequest *
read_bytes(size_t length)
{
	uint8_t    *copy = malloc(length > 0 ? length : 1);
	Agent__ClusterStatusChangeRequest *request;

	memcpy(copy, bytes, length);
	pa_arena_empty(&arena);
	request = pa_request_read(&arena, copy, length, &problem);
	free(copy);
	return request;
}

static void
refused(size_t length, const char *expected)
{
	if (!ok(read_bytes(length) == NULL && strstr(problem, expected) != NULL,
			"refused: %s", expected))
		printf("# got: %s\n", problem ? problem : "a request");
}

static void
test_good(void)
{
	Agent__ClusterStatusChangeRequest request =
	AGENT__CLUSTER_STATUS_CHANGE_REQUEST__INIT;
	Agent__ClusterStatusChangeRequest *result;
	Agent__Order order = AGENT__ORDER__INIT;
	char	   *ids[] = {"i-1", "i-\xc3\xa9"};

	request.account_name = "prod";
	request.region = "eu";
	request.cluster_id = "c1";
	request.n_instances_id_list = 2;
	request.instances_id_list = ids;
	request.requester = "alice";
	request.request_id = "1/2/3";
	request.order = &order;
	order.counter = UINT64_MAX;
	request.source = "1/2";
	result = read_bytes(agent__cluster_status_change_request__pack(&request, bytes));
	if (!ok(result != NULL, "a whole request"))
		return;
	is_string(result->cluster_id, "c1", "its cluster");
	is_string(result->instances_id_list[1], "i-\xc3\xa9", "its second instance");
	is_string(result->source, "1/2", "its source");
	ok(result->order->counter == UINT64_MAX, "its order");
	is_string(result->description, "", "a field that is not there");
	ok(read_bytes(add_text(begin(), 99, "new")) != NULL, "an unknown field");
	ok(read_bytes(add(begin(), 99, "\xff\0", 2)) != NULL, "whatever it holds");
}

static void
test_refused(void)
{
	static char long_text[PA_MAX_TEXT + 2];
	size_t		length;

	memset(long_text, 'x', sizeof(long_text) - 1);
	refused(0, "instances_id_list is empty");
	refused(add_text(0, 3, "c"), "instances_id_list is empty");
	refused(add_text(0, 4, "i"), "cluster_id is empty");
	refused(add_text(begin(), 4, ""), "instances_id_list contains an empty id");
	refused(add(begin(), 3, "a\0b", 3), "cluster_id contains a NUL byte");
	refused(add(begin(), 4, "a\0b", 3), "instances_id_list contains a NUL byte");
	refused(add_text(begin(), 101, "\xff"), "request_id is not valid UTF-8");
	refused(add(begin(), 1, long_text, 256), "account_name is longer than 255");
	refused(add(begin(), 103, long_text, 256), "source is longer than 255");
	refused(add(begin(), 6, long_text, PA_MAX_TEXT + 1), "description is longer");
	ok(read_bytes(add(begin(), 6, long_text, PA_MAX_TEXT)) != NULL,
	   "a description as long as allowed");

	length = begin();
	bytes[length] = 4 << 3 | 2;
	bytes[length + 1] = 5;
	refused(length + 2, "not a valid protobuf message");
	bytes[length] = 0xff;
	refused(length + 1, "not a valid protobuf message");
	bytes[length] = 9 << 3 | 7;
	refused(length + 1, "not a valid protobuf message");
	bytes[length] = 9 << 3 | 1;
	refused(length + 1, "not a valid protobuf message");
	bytes[length] = 0;
	refused(length + 1, "not a valid protobuf message");
	memset(bytes + length, 0xff, 20);
	refused(length + 20, "not a valid protobuf message");
	refused(add(begin(), 102, "\xff", 1), "not a valid protobuf message");
}

/* every shortened form is either a request or refused, never an overrun */
static void
test_truncated(void)
{
	size_t		length = add_text(add_text(begin(), 101, "1/2/3"), 5, "alice");
	int			taken = 0;

	for (size_t i = 0; i <= length; i++)
		taken += read_bytes(i) != NULL;
	is_number(taken, 3, "a request cut off is one only between two fields");
}

static void
test_many_instances(void)
{
	size_t		size = PA_MAX_INSTANCES * 3 + 32;
	uint8_t    *many = malloc(size);
	size_t		length = begin();

	memcpy(many, bytes, length);
	for (int i = 1; i < PA_MAX_INSTANCES; i++)
	{
		memcpy(many + length, "\x22\x01i", 3);
		length += 3;
	}
	pa_arena_empty(&arena);
	ok(pa_request_read(&arena, many, length, &problem) != NULL,
	   "as many instances as allowed");
	memcpy(many + length, "\x22\x01i", 3);
	pa_arena_empty(&arena);
	ok(pa_request_read(&arena, many, length + 3, &problem) == NULL &&
	   strstr(problem, "more than 100000") != NULL, "one more is refused");
	free(many);
}

int
main(void)
{
	test_good();
	test_refused();
	test_truncated();
	test_many_instances();
	pa_arena_empty(&arena);
	return unit_done();
}
