/*-------------------------------------------------------------------------
 *
 * src/courier/frame.c
 *		Cuts a stream of bytes into frames.
 *
 * See frame.h.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "frame.h"

#define USUAL_CAPACITY	((size_t) 256 * 1024)

void
pa_frame_init(PaFrameReader *reader)
{
	memset(reader, 0, sizeof(*reader));
}

void
pa_frame_destroy(PaFrameReader *reader)
{
	free(reader->data);
	pa_frame_init(reader);
}

uint8_t *
pa_frame_space(PaFrameReader *reader, size_t *room)
{
	size_t		unread = reader->end - reader->start;

	if (unread == 0)
	{
		reader->start = reader->end = 0;
		/* do not sit on the memory of one huge frame */
		if (reader->capacity > USUAL_CAPACITY)
			pa_frame_destroy(reader);
	}

	/* moved while that is cheap, or before the buffer would have to grow */
	if (reader->start > 0 &&
		(unread <= reader->capacity / 4 || reader->end == reader->capacity))
	{
		memmove(reader->data, reader->data + reader->start, unread);
		reader->start = 0;
		reader->end = unread;
	}

	if (reader->end == reader->capacity)
	{
		size_t		capacity = reader->capacity == 0 ? USUAL_CAPACITY :
			reader->capacity * 2;
		uint8_t    *data = realloc(reader->data, capacity);

		if (data == NULL)
			return NULL;
		reader->data = data;
		reader->capacity = capacity;
	}

	*room = reader->capacity - reader->end;
	return reader->data + reader->end;
}

void
pa_frame_fill(PaFrameReader *reader, size_t size)
{
	reader->end += size;
}

PaFrameStatus
pa_frame_next(PaFrameReader *reader, const uint8_t **body, size_t *size)
{
	const uint8_t *bytes;
	PaFrameStatus status;

	/* a reader that has read nothing has no buffer */
	if (reader->end == reader->start)
		return PA_FRAME_PARTIAL;
	bytes = reader->data + reader->start;
	status = pa_frame_find(bytes, reader->end - reader->start, size);
	if (status == PA_FRAME_COMPLETE)
	{
		*body = bytes + PA_FRAME_HEADER;
		reader->start += PA_FRAME_HEADER + *size;
	}
	return status;
}
