/*-------------------------------------------------------------------------
 *
 * src/courier/sharing.h
 *		When the calls of a channel share a stream.
 *
 * From so many calls under way on: few are as fast by themselves, and a
 * stream between them would only be one more thing that can break.  One that
 * is there is used for all, and is given up ten seconds after they were that
 * many for the last time.
 *
 * After a stream that the agent, or something on the way to it, has ended,
 * there is none for a while (pa_stream_pause_us): four times as long with each
 * that does not last a minute, up to ten minutes.  So whatever puts an end to
 * calls that take their time cuts off only a few.
 *
 * All is the reader thread's.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_COURIER_SHARING_H
#define PA_COURIER_SHARING_H

#include <stdbool.h>
#include <stdint.h>

#include "stream.h"

#define PA_SHARING_CROWD	32

/* all zero: no stream so far */
typedef struct PaSharing
{
	PaStream   *stream;
	int64_t		since;			/* when it was opened */
	unsigned	failures;		/* streams in a row that did not last */
	int64_t		not_before;
} PaSharing;

/*
 * The stream to be used for a call, when so many are under way with it, until
 * this is called again; NULL: none.  *wanted: one is to be opened, for those
 * that follow.
 */
extern PaStream *pa_sharing_stream(PaSharing *sharing, unsigned under_way,
								   int64_t now, bool *wanted);

/* the stream is the sharing's now */
extern void pa_sharing_opened(PaSharing *sharing, PaStream *stream,
							  int64_t now);

/* what is under way ends on the stream, new calls need another one */
extern void pa_sharing_leave(PaSharing *sharing);

#endif							/* PA_COURIER_SHARING_H */
