/*-------------------------------------------------------------------------
 *
 * src/frame_format.c
 *		How frames follow each other in a stream.  See frame_format.h.
 *
 *-------------------------------------------------------------------------
 */
#include "frame_format.h"

PaFrameStatus
pa_frame_find(const uint8_t *bytes, size_t length, size_t *size)
{
	size_t		body;

	if (length < PA_FRAME_HEADER)
		return PA_FRAME_PARTIAL;
	body = ((size_t) bytes[0] << 24) | ((size_t) bytes[1] << 16) |
		((size_t) bytes[2] << 8) | (size_t) bytes[3];
	if (body == 0 || body > PA_FRAME_LIMIT)
		return PA_FRAME_INVALID;
	if (length - PA_FRAME_HEADER < body)
		return PA_FRAME_PARTIAL;
	*size = body;
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
