/*-------------------------------------------------------------------------
 *
 * src/courier/sharing.c
 *		When the calls of a channel share a stream.  See sharing.h.
 *
 *-------------------------------------------------------------------------
 */
#include <stddef.h>

#include "sharing.h"

/* us: a stream that has lasted so long was a good one */
#define LASTING			INT64_C(60000000)

#define LONGEST_PAUSE	INT64_C(600000000)

/* the stream takes no more calls, or there is none any more */
static void
lose(PaSharing *sharing, int64_t now)
{
	int64_t		pause = pa_stream_pause_us(sharing->stream);

	if (pause == 0 || now - sharing->since >= LASTING)
		sharing->failures = 0;
	for (unsigned i = 0; i < sharing->failures && pause < LONGEST_PAUSE; i++)
		pause *= 4;
	if (pause > LONGEST_PAUSE)
		pause = LONGEST_PAUSE;
	if (pause > 0)
		sharing->failures++;
	sharing->not_before = now + pause;
	pa_sharing_leave(sharing);
}

PaStream *
pa_sharing_stream(PaSharing *sharing, unsigned under_way, int64_t now,
				  bool *wanted)
{
	bool		crowded = under_way >= PA_SHARING_CROWD;

	*wanted = false;
	if (sharing->stream != NULL)
	{
		switch (pa_stream_state(sharing->stream))
		{
			case PA_STREAM_OPEN:
				if (crowded)
					pa_stream_keep(sharing->stream, now);
				return sharing->stream;
			case PA_STREAM_OPENING:
				return NULL;
			case PA_STREAM_CLOSING:
			case PA_STREAM_ENDED:
				lose(sharing, now);
				break;
		}
	}
	*wanted = crowded && now >= sharing->not_before;
	return NULL;
}

void
pa_sharing_opened(PaSharing *sharing, PaStream *stream, int64_t now)
{
	sharing->stream = stream;
	sharing->since = now;
}

void
pa_sharing_leave(PaSharing *sharing)
{
	if (sharing->stream == NULL)
		return;
	pa_stream_close(sharing->stream);
	pa_stream_release(sharing->stream);
	sharing->stream = NULL;
}
