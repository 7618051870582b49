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
#include "wire.h"

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
	PaWire		wire = {bytes, bytes + length};
	size_t		instances = 0;

	while (wire.at < wire.end)
	{
		PaWireField field;
		const char *problem;

		if (!pa_wire_field(&wire, &field))
			return "the request is not a valid protobuf message";
		if (field.type != PA_WIRE_BYTES)
			continue;
		problem = check_text(arena, field.number, field.bytes,
							 (size_t) field.value);
		if (problem != NULL)
			return problem;
		if (field.number == FIELD_INSTANCES && ++instances > PA_MAX_INSTANCES)
			return pa_arena_format(arena, "instances_id_list has more than %d entries",
								   PA_MAX_INSTANCES);
		if (field.number == FIELD_INSTANCES && field.value == 0)
			return "instances_id_list contains an empty id";
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
