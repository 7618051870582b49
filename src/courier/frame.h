/*-------------------------------------------------------------------------
 *
 * src/courier/frame.h
 *		Cuts a stream of bytes into the frames of proto/courier.proto.
 *
 * Pure: no socket, no gRPC.  A reader belongs to one thread.  Bytes are put
 * where pa_frame_space says, announced with pa_frame_fill, and taken out
 * frame by frame with pa_frame_next.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_COURIER_FRAME_H
#define PA_COURIER_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "frame_format.h"

typedef struct PaFrameReader
{
	uint8_t    *data;
	size_t		capacity;
	size_t		start;			/* first byte not taken yet */
	size_t		end;			/* behind the last byte read */
} PaFrameReader;

extern void pa_frame_init(PaFrameReader *reader);
extern void pa_frame_destroy(PaFrameReader *reader);

/*
 * Where the next bytes go; *room is set to how many fit, at least 1.  The
 * buffer grows with what has really arrived, not with what a length claims.
 * NULL when memory is exhausted.  Frames returned before become invalid.
 */
extern uint8_t *pa_frame_space(PaFrameReader *reader, size_t *room);
extern void pa_frame_fill(PaFrameReader *reader, size_t size);

/*
 * The next frame without its length, owned by the reader.  After
 * PA_FRAME_INVALID the stream cannot be understood any more.
 */
extern PaFrameStatus pa_frame_next(PaFrameReader *reader,
								   const uint8_t **body, size_t *size);

#endif							/* PA_COURIER_FRAME_H */
