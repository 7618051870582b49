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
	size_t		unread = reader->end - reader->start;
	const uint8_t *p;
	size_t		length;

	if (unread < PA_FRAME_HEADER)
		return PA_FRAME_PARTIAL;

	p = reader->data + reader->start;
	length = ((size_t) p[0] << 24) | ((size_t) p[1] << 16) |
		((size_t) p[2] << 8) | (size_t) p[3];
	if (length == 0 || length > PA_FRAME_LIMIT)
		return PA_FRAME_INVALID;
	if (unread - PA_FRAME_HEADER < length)
		return PA_FRAME_PARTIAL;

	*body = p + PA_FRAME_HEADER;
	*size = length;
	reader->start += PA_FRAME_HEADER + length;
	return PA_FRAME_COMPLETE;
}

void
pa_frame_put_header(uint8_t *header, size_t size)
{
	header[0] = (uint8_t) (size >> 24);
	header[1] = (uint8_t) (size >> 16);
	header[2] = (uint8_t) (size >> 8);
	header[3] = (uint8_t) size;
}
