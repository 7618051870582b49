/*-------------------------------------------------------------------------
 *
 * src/frame_format.h
 *		How the frames of proto/courier.proto follow each other in a stream:
 *		a length of 4 bytes, big-endian, then as many bytes.
 *
 * Pure; both ends of the stream go by it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_FRAME_FORMAT_H
#define PA_FRAME_FORMAT_H

#include <stddef.h>
#include <stdint.h>

/* Hello tells it: both ends are of the same make */
#define PA_FRAME_PROTOCOL	1

#define PA_FRAME_HEADER		4
#define PA_FRAME_LIMIT		((size_t) 64 * 1024 * 1024)

typedef enum PaFrameStatus
{
	PA_FRAME_COMPLETE,
	PA_FRAME_PARTIAL,			/* more bytes are needed */
	PA_FRAME_INVALID			/* a length of 0 or above the limit */
} PaFrameStatus;

/*
 * Looks for a frame at the start of the bytes.  PA_FRAME_COMPLETE: *size is
 * that of its body, which begins behind the header.
 */
extern PaFrameStatus pa_frame_find(const uint8_t *bytes, size_t length,
								   size_t *size);

/* writes the length that goes before a body of "size" bytes */
extern void pa_frame_put_header(uint8_t *header, size_t size);

#endif							/* PA_FRAME_FORMAT_H */
