/*-------------------------------------------------------------------------
 *
 * src/agent/stream.h
 *		Many calls over one gRPC call that stays open: PowerStream of
 *		proto/agent.proto.
 *
 * A stream begins with a gRPC call, which it keeps to its end.  Each call
 * that comes by it is a PaCall of the pool like any other, but for
 * "streamed": whoever has it answers and closes it as ever.  The stream ends
 *
 *	with OK		when the client has closed its side and all calls are answered
 *	UNAVAILABLE after pa_streams_drain, as soon as all calls are answered
 *	INVALID_ARGUMENT
 *				at once, when the client broke the contract
 *
 * or with its client, or its connection.  Calls that are not answered then have
 * lost theirs: they are cancelled, the newest first, so that none that waited
 * for the turn of another gets it.  So is a call whose time is up.
 *
 * Answers wait, and go out together: by pa_streams_flush.  While more than a
 * megabyte of them waits for a client that does not read, no other message is
 * taken from that client.
 *
 * Everything happens under the server's lock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_STREAM_H
#define PA_AGENT_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "call.h"

typedef struct PaStream PaStream;

/* those of a server; zeroed, but for the first four: none */
typedef struct PaStreams
{
	PaCallPool *pool;
	struct PaService *service;
	PaTimers   *timers;
	uint32_t	max_message_size;	/* bytes of a StreamRequest */
	bool		draining;
	PaStream   *first;			/* all that are open */
	PaStream   *first_waiting;	/* those that pa_streams_flush looks at */
} PaStreams;

/*
 * Makes a stream of a call of PA_METHOD_STREAM that was admitted, and tells
 * its client that it may begin.
 */
extern void pa_stream_begin(PaStreams *streams, PaCall *call);

/* something has become of a PA_TAG_STREAM_... */
extern void pa_stream_go_on(PaTag *tag, bool success);

/* sends what there is to send; after whatever may have made an answer */
extern void pa_streams_flush(PaStreams *streams);

/*
 * Starts no more calls: those that come are told so.  Each stream ends when
 * those under way are answered.
 */
extern void pa_streams_drain(PaStreams *streams);

/*
 * What call.h says, for calls that came by a stream.
 */
extern void pa_stream_answer(PaCall *call, int status, const char *details,
							 const uint8_t *reply, size_t length);
extern void pa_stream_close_call(PaCall *call);

/* the gRPC call that the stream is */
extern const PaCall *pa_stream_call(const PaStream *stream);

#endif							/* PA_AGENT_STREAM_H */
