/*-------------------------------------------------------------------------
 *
 * src/agent/request.c
 *		Reading a request from the network without trusting it, and writing
 *		replies.  Contract in request.h.
 *
 *-------------------------------------------------------------------------
 */
#include "request.h"

#include <string.h>

#include "program/utf8.h"

/* the text fields of a ClusterStatusChangeRequest in proto/agent.proto */
typedef struct TextField
{
	uint32_t	number;
	const char *name;
	size_t		limit;
} TextField;

static const TextField text_fields[] = {
	{1, "account_name", PA_MAX_ID},
	{2, "region", PA_MAX_ID},
	{3, "cluster_id", PA_MAX_ID},
	{4, "instances_id_list", PA_MAX_ID},
	{5, "requester", PA_MAX_TEXT},
	{6, "description", PA_MAX_TEXT},
	{101, "request_id", PA_MAX_ID},
	{103, "source", PA_MAX_ID},
	{0, NULL, 0}
};

#define FIELD_INSTANCES	4

static bool
read_varint(const uint8_t **at, const uint8_t *end, uint64_t *value)
{
	*value = 0;
	for (int shift = 0; shift < 70 && *at < end; shift += 7)
	{
		uint8_t		byte = *(*at)++;

		*value |= (uint64_t) (byte & 0x7f) << (shift < 64 ? shift : 63);
		if ((byte & 0x80) == 0)
			return true;
	}
	return false;
}

static const char *
check_text(PaArena *arena, uint32_t number, const uint8_t *bytes, size_t length)
{
	const TextField *field;

	for (field = text_fields; field->name != NULL && field->number != number; field++)
		;
	if (field->name == NULL)
		return NULL;
	if (length > field->limit)
		return pa_arena_format(arena, "%s is longer than %zu bytes",
							   field->name, field->limit);
	if (memchr(bytes, '\0', length) != NULL)
		return pa_arena_format(arena, "%s contains a NUL byte", field->name);
	if (pa_utf8_valid_length((const char *) bytes, length) != length)
		return pa_arena_format(arena, "%s is not valid UTF-8", field->name);
	return NULL;
}

/* walks the fields of the message; returns what is wrong, NULL if nothing */
static const char *
check_bytes(PaArena *arena, const uint8_t *bytes, size_t length)
{
	static const char malformed[] = "the request is not a valid protobuf message";
	const uint8_t *at = bytes;
	const uint8_t *end = bytes + length;
	size_t		instances = 0;

	while (at < end)
	{
		const char *problem;
		uint64_t	key;
		uint64_t	value;

		if (!read_varint(&at, end, &key) || key >> 3 == 0 || key >> 32 != 0)
			return malformed;
		switch (key & 7)
		{
			case 0:
				if (!read_varint(&at, end, &value))
					return malformed;
				break;
			case 1:
				if (end - at < 8)
					return malformed;
				at += 8;
				break;
			case 2:
				if (!read_varint(&at, end, &value) ||
					value > (uint64_t) (end - at))
					return malformed;
				problem = check_text(arena, (uint32_t) (key >> 3), at,
									 (size_t) value);
				if (problem != NULL)
					return problem;
				if (key >> 3 == FIELD_INSTANCES && ++instances > PA_MAX_INSTANCES)
					return pa_arena_format(arena, "instances_id_list has more than %d entries",
										   PA_MAX_INSTANCES);
				if (key >> 3 == FIELD_INSTANCES && value == 0)
					return "instances_id_list contains an empty id";
				at += value;
				break;
			case 5:
				if (end - at < 4)
					return malformed;
				at += 4;
				break;
			default:
				return malformed;
		}
	}
	return instances > 0 ? NULL : "instances_id_list is empty";
}

static void *
allocate_in_arena(void *arena, size_t size)
{
	return pa_arena_allocate(arena, size);
}

static void
leave_to_arena(void *arena, void *memory)
{
}

Agent__ClusterStatusChangeRequest *
pa_request_read(PaArena *arena, const uint8_t *bytes, size_t length,
				const char **problem)
{
	ProtobufCAllocator allocator = {allocate_in_arena, leave_to_arena, arena};
	Agent__ClusterStatusChangeRequest *request;

	*problem = check_bytes(arena, bytes, length);
	if (*problem != NULL)
		return NULL;
	request = agent__cluster_status_change_request__unpack(&allocator, length,
														   bytes);
	if (request == NULL)
		*problem = "the request is not a valid protobuf message";
	else if (request->cluster_id[0] == '\0')
	{
		*problem = "cluster_id is empty";
		request = NULL;
	}
	return request;
}

uint8_t *
pa_reply_write(PaArena *arena, const Agent__ClusterStatusChangeResponse *reply,
			   size_t *length)
{
	uint8_t    *bytes;

	*length = agent__cluster_status_change_response__get_packed_size(reply);
	bytes = pa_arena_allocate(arena, *length);
	agent__cluster_status_change_response__pack(reply, bytes);
	return bytes;
}
