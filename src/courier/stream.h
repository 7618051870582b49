/*-------------------------------------------------------------------------
 *
 * src/courier/stream.h
 *		Many calls to one agent over one call of gRPC that stays open:
 *		PowerStream of proto/agent.proto.
 *
 * A stream is opened on behalf of a channel, and can be used from the first
 * message of the agent on.  Calls that are added go out in messages together,
 * as many as there are when the one before has left.  It knows no more of a
 * call than its number: which calls there are, and when they end, is known by
 * their owner (call.h), who is told of answers and of the stream's end.
 *
 * Opened, used and closed by the reader thread; the completion thread calls
 * the owner.  Counted: whoever has got a stream releases it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_COURIER_STREAM_H
#define PA_COURIER_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include <grpc/grpc.h>

#include "agent.pb-c.h"

typedef struct PaStream PaStream;

/* of the owner of the calls; both run in the completion thread */
typedef struct PaStreamOwner
{
	/* an answer, of whatever call: it may be one that nobody knows */
	void		(*answered) (PaStream *stream, const Agent__StreamAnswer *answer);

	/*
	 * There will be no answers any more; none is added from here on.  Calls
	 * whose place is beyond "handed" surely never left.  The text is clean and
	 * says why.
	 */
	void		(*lost) (PaStream *stream, uint64_t handed, const char *why);
} PaStreamOwner;

/* how a stream stands with those who want to use it */
typedef enum PaStreamState
{
	PA_STREAM_OPENING,			/* the agent has said nothing yet */
	PA_STREAM_OPEN,
	PA_STREAM_CLOSING,			/* for calls that were added before */
	PA_STREAM_ENDED
} PaStreamState;

extern void pa_stream_begin(const PaStreamOwner *owner);

/*
 * Takes the call over, and opens a stream on it.  "released", which may run in
 * either thread, is called with the data when gRPC is done with the call;
 * metadata is copied.  largest: bytes of a message that may come.  Never NULL.
 */
extern PaStream *pa_stream_open(grpc_call *call, grpc_metadata *metadata,
								size_t metadata_count, uint32_t largest,
								void (*released) (void *data), void *data);

extern PaStream *pa_stream_share(PaStream *stream);
extern void pa_stream_release(PaStream *stream);

extern PaStreamState pa_stream_state(PaStream *stream);

/*
 * Once it has ended, or is closing: how long to do without another one; 0: it
 * ended as it should.
 */
extern int64_t pa_stream_pause_us(PaStream *stream);

/*
 * Adds a call and returns its place in the order of all, from 1; 0: the
 * stream takes no more, or none that large.  It may be answered at once.
 */
extern uint64_t pa_stream_add(PaStream *stream, const Agent__StreamCall *call);

/* Nobody waits for the call any more, and no answer to it counts. */
extern void pa_stream_cancel(PaStream *stream, uint64_t call_id);

/* An added call has its answer, or got another end. */
extern void pa_stream_done(PaStream *stream);

/* No call will be added; it ends when all are done. */
extern void pa_stream_close(PaStream *stream);

/* without this, time and again, it closes by itself after ten seconds */
extern void pa_stream_keep(PaStream *stream, int64_t now);

/* Sends what was added to any stream, and looks after old ones. */
extern void pa_stream_attend(int64_t now);

/* when to look again at the latest; INT64_MAX: not before something happens */
extern int64_t pa_stream_due(void);

/* ends all of them, and starts nothing any more */
extern void pa_stream_cancel_all(void);

/* after the completion thread has ended */
extern void pa_stream_end(void);

#endif							/* PA_COURIER_STREAM_H */
