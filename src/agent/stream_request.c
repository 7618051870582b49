/*-------------------------------------------------------------------------
 *
 * src/agent/stream_request.c
 *		Reading a StreamRequest from the network.  Contract in
 *		stream_request.h.
 *
 * As in every protobuf message, of a single field that comes several times
 * the last one counts, and fields that are not known are skipped.
 *
 *-------------------------------------------------------------------------
 */
#include "stream_request.h"

#include <string.h>

/* fields of proto/agent.proto: of StreamRequest, ... */
#define FIELD_CALLS				1
#define FIELD_CANCELLED			2
#define FIELD_MAX_MESSAGE_SIZE	3

/* ... and of StreamCall */
#define FIELD_CALL_ID			1
#define FIELD_METHOD			2
#define FIELD_TIMEOUT			3
#define FIELD_ATTEMPT			4
#define FIELD_REQUEST			5

typedef enum Found
{
	FOUND_ITEM,
	FOUND_END,
	FOUND_GARBAGE
} Found;

static bool
read_call(const PaWireField *message, PaStreamCall *call)
{
	PaWire		wire = {message->bytes, message->bytes + message->value};

	memset(call, 0, sizeof(*call));
	call->request = message->bytes;
	while (wire.at < wire.end)
	{
		PaWireField field;

		if (!pa_wire_field(&wire, &field))
			return false;
		if (field.number > FIELD_REQUEST)
			continue;
		if (field.type != (field.number == FIELD_REQUEST ? PA_WIRE_BYTES :
						   PA_WIRE_VARINT))
			return false;
		switch (field.number)
		{
			case FIELD_CALL_ID:
				call->call_id = field.value;
				break;
			case FIELD_METHOD:
				call->method = (uint32_t) field.value;
				break;
			case FIELD_TIMEOUT:
				call->timeout = (uint32_t) field.value;
				break;
			case FIELD_ATTEMPT:
				call->attempt = (uint32_t) field.value;
				break;
			case FIELD_REQUEST:
				call->request = field.bytes;
				call->length = (size_t) field.value;
				break;
		}
	}
	return true;
}

/* max_message_size is set if the message tells one on the way */
static Found
read_item(PaStreamReader *reader, PaStreamItem *item, uint32_t *max_message_size)
{
	PaWireField field;

	for (;;)
	{
		if (reader->cancelled.at < reader->cancelled.end)
		{
			item->cancelled = true;
			return pa_wire_varint(&reader->cancelled, &item->call.call_id) ?
				FOUND_ITEM : FOUND_GARBAGE;
		}
		if (reader->message.at == reader->message.end)
			return FOUND_END;
		if (!pa_wire_field(&reader->message, &field))
			return FOUND_GARBAGE;
		switch (field.number)
		{
			case FIELD_CALLS:
				item->cancelled = false;
				return field.type == PA_WIRE_BYTES &&
					read_call(&field, &item->call) ? FOUND_ITEM : FOUND_GARBAGE;
			case FIELD_CANCELLED:
				if (field.type == PA_WIRE_VARINT)
				{
					item->cancelled = true;
					item->call.call_id = field.value;
					return FOUND_ITEM;
				}
				if (field.type != PA_WIRE_BYTES)
					return FOUND_GARBAGE;
				reader->cancelled = (PaWire) {field.bytes,
				field.bytes + field.value};
				break;
			case FIELD_MAX_MESSAGE_SIZE:
				if (field.type != PA_WIRE_VARINT)
					return FOUND_GARBAGE;
				if ((uint32_t) field.value != 0)
					*max_message_size = (uint32_t) field.value;
				break;
			default:
				break;
		}
	}
}

const char *
pa_stream_request_check(const uint8_t *bytes, size_t length,
						uint32_t *max_message_size)
{
	PaStreamReader reader;
	PaStreamItem item;
	int			count = 0;

	pa_stream_request_begin(&reader, bytes, length);
	for (;;)
	{
		switch (read_item(&reader, &item, max_message_size))
		{
			case FOUND_ITEM:
				if (++count > PA_STREAM_MAX_ITEMS)
					return "a StreamRequest has more than 100000 calls";
				break;
			case FOUND_END:
				return NULL;
			case FOUND_GARBAGE:
				return "a message is not a valid StreamRequest";
		}
	}
}

void
pa_stream_request_begin(PaStreamReader *reader, const uint8_t *bytes,
						size_t length)
{
	reader->message = (PaWire) {bytes, bytes + length};
	reader->cancelled = (PaWire) {NULL, NULL};
}

bool
pa_stream_request_next(PaStreamReader *reader, PaStreamItem *item)
{
	uint32_t	ignored;

	return read_item(reader, item, &ignored) == FOUND_ITEM;
}
