/* objects: courier/frame courier/arena */
/*-------------------------------------------------------------------------
 *
 * test/fuzz/frame_fuzz.c
 *		The frame parser, at both ends: the worker looks for frames in all
 *		that it has, the courier reads piece by piece.  Both must find the
 *		same, and what a frame unpacks to must be fit to be used.
 *
 * The first two bytes say how the stream is cut into pieces and how much
 * memory a frame may take.
 *
 *-------------------------------------------------------------------------
 */
#include "courier/arena.h"
#include "courier/frame.h"
#include "courier.pb-c.h"
#include "fuzz.h"

/* every string and every part that the code relies on is there */
static void
check_frame(const Courier__Frame *frame)
{
	switch (frame->body_case)
	{
		case COURIER__FRAME__BODY_CONFIGURE:
			must(frame->configure != NULL);
			must(frame->configure->server_name != NULL);
			must(frame->configure->target != NULL);
			break;
		case COURIER__FRAME__BODY_REMOVE:
			must(frame->remove != NULL && frame->remove->server_name != NULL);
			break;
		case COURIER__FRAME__BODY_CALL:
			must(frame->call != NULL && frame->call->server_name != NULL);
			must(frame->call->cluster_id != NULL);
			must(frame->call->request_id != NULL);
			for (size_t i = 0; i < frame->call->n_instance_ids; i++)
				must(frame->call->instance_ids[i] != NULL);
			break;
		case COURIER__FRAME__BODY_CANCEL:
			must(frame->cancel != NULL);
			break;
		case COURIER__FRAME__BODY_HELLO:
			must(frame->hello != NULL && frame->hello->grpc_version != NULL);
			break;
		case COURIER__FRAME__BODY_RESULT:
			must(frame->result != NULL);
			must(frame->result->status_message != NULL);
			must(frame->result->reply_message != NULL);
			for (size_t i = 0; i < frame->result->n_instances; i++)
			{
				must(frame->result->instances[i] != NULL);
				must(frame->result->instances[i]->instance_id != NULL);
				must(frame->result->instances[i]->message != NULL);
			}
			break;
		case COURIER__FRAME__BODY_CONNECTIVITY:
			must(frame->connectivity != NULL);
			must(frame->connectivity->server_name != NULL);
			must(frame->connectivity->message != NULL);
			break;
		case COURIER__FRAME__BODY_LOG:
			must(frame->log != NULL && frame->log->message != NULL);
			break;
		default:
			must(frame->body_case == COURIER__FRAME__BODY__NOT_SET);
			break;
	}
}

/*
 * Drops what the code never looks at: fields without a meaning, of which
 * protobuf-c reads some that it would not read again.
 */
static void
drop_unknown(ProtobufCMessage *message)
{
	message->n_unknown_fields = 0;
	for (unsigned i = 0; i < message->descriptor->n_fields; i++)
	{
		const ProtobufCFieldDescriptor *field =
			&message->descriptor->fields[i];
		char	   *base = (char *) message;
		ProtobufCMessage **parts = (void *) (base + field->offset);
		size_t		count = 1;

		if (field->type != PROTOBUF_C_TYPE_MESSAGE)
			continue;
		if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF &&
			*(uint32_t *) (void *) (base + field->quantifier_offset) !=
			field->id)
			continue;
		if (field->label == PROTOBUF_C_LABEL_REPEATED)
		{
			count = *(size_t *) (void *) (base + field->quantifier_offset);
			parts = *(ProtobufCMessage ***) parts;
		}
		for (size_t k = 0; k < count; k++)
			if (parts[k] != NULL)
				drop_unknown(parts[k]);
	}
}

/* what is written is what was read */
static void
check_round_trip(const Courier__Frame *frame)
{
	size_t		size = courier__frame__get_packed_size(frame);
	uint8_t    *first = malloc(PA_FRAME_HEADER + size + 1);
	uint8_t    *second = malloc(size + 1);
	Courier__Frame *again;
	size_t		found;

	must(courier__frame__pack(frame, first + PA_FRAME_HEADER) == size);
	pa_frame_put_header(first, size);
	must(size == 0 ||
		 (pa_frame_find(first, PA_FRAME_HEADER + size, &found) ==
		  PA_FRAME_COMPLETE && found == size));

	again = courier__frame__unpack(NULL, size, first + PA_FRAME_HEADER);
	must(again != NULL);
	must(again->body_case == frame->body_case);
	must(courier__frame__get_packed_size(again) == size);
	courier__frame__pack(again, second);
	must(memcmp(first + PA_FRAME_HEADER, second, size) == 0);
	courier__frame__free_unpacked(again, NULL);
	free(first);
	free(second);
}

static void
check_body(PaArena *arena, const uint8_t *body, size_t size)
{
	Courier__Frame *frame = courier__frame__unpack(&arena->allocator, size,
												   body);

	must(arena->used <= arena->limit);
	if (frame != NULL)
	{
		check_frame(frame);
		drop_unknown(&frame->base);
		check_round_trip(frame);
	}
	pa_arena_reset(arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	PaFrameReader reader;
	PaArena		arena;
	PaFrameStatus status = PA_FRAME_PARTIAL;
	size_t		cursor = 0;		/* of the worker's way, over all the bytes */
	size_t		piece;
	uint8_t    *stream;

	if (size < 2)
		return 0;
	piece = (size_t) data[0] + 1;
	pa_frame_init(&reader);
	pa_arena_init(&arena, (size_t) 256 << data[1] % 16);
	data += 2;
	size -= 2;
	stream = fuzz_bytes(data, size);

	for (size_t fed = 0; fed < size && status != PA_FRAME_INVALID;)
	{
		size_t		room;
		uint8_t    *space = pa_frame_space(&reader, &room);
		size_t		part = piece;
		const uint8_t *body;
		size_t		length;

		must(space != NULL && room > 0);
		if (part > room)
			part = room;
		if (part > size - fed)
			part = size - fed;
		memcpy(space, data + fed, part);
		pa_frame_fill(&reader, part);
		fed += part;

		while ((status = pa_frame_next(&reader, &body, &length)) ==
			   PA_FRAME_COMPLETE)
		{
			size_t		found;

			must(pa_frame_find(stream + cursor, size - cursor, &found) ==
				 PA_FRAME_COMPLETE);
			must(found == length && length > 0 && length <= PA_FRAME_LIMIT);
			cursor += PA_FRAME_HEADER;
			must(length <= size - cursor);
			must(memcmp(body, stream + cursor, length) == 0);
			cursor += length;
			check_body(&arena, body, length);
		}
		must(reader.end - reader.start == fed - cursor);
	}
	{
		size_t		found;

		must(pa_frame_find(stream + cursor, size - cursor, &found) == status);
	}

	free(stream);
	pa_frame_destroy(&reader);
	pa_arena_destroy(&arena);
	return 0;
}
