/*-------------------------------------------------------------------------
 *
 * src/agent/stream_request.h
 *		Reading a StreamRequest from the network without trusting it.
 *
 * Not by protobuf-c: it would copy each request once more, and allocate a
 * hundred times what some messages have bytes.  Pure; allocates nothing.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_STREAM_REQUEST_H
#define PA_AGENT_STREAM_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire.h"

/* in one message: calls, and those cancelled, together */
#define PA_STREAM_MAX_ITEMS	100000

/* a StreamCall; the request is a part of the message */
typedef struct PaStreamCall
{
	uint64_t	call_id;
	uint32_t	method;			/* any number */
	uint32_t	timeout;		/* ms; 0: no limit */
	uint32_t	attempt;		/* 0: not told */
	const uint8_t *request;		/* never NULL */
	size_t		length;
} PaStreamCall;

typedef struct PaStreamItem
{
	bool		cancelled;		/* only the call_id counts */
	PaStreamCall call;
} PaStreamItem;

typedef struct PaStreamReader
{
	PaWire		message;
	PaWire		cancelled;		/* what is left of a packed list */
} PaStreamReader;

/*
 * Looks through the whole message.  Returns what is wrong with it, a constant,
 * or NULL if a reader can read it to its end; max_message_size is set if the
 * message tells one that is not 0.
 */
extern const char *pa_stream_request_check(const uint8_t *bytes, size_t length,
										   uint32_t *max_message_size);

extern void pa_stream_request_begin(PaStreamReader *reader,
									const uint8_t *bytes, size_t length);

/*
 * The next item of a message that was checked, in the order of the message;
 * false: no more.
 */
extern bool pa_stream_request_next(PaStreamReader *reader, PaStreamItem *item);

#endif							/* PA_AGENT_STREAM_REQUEST_H */
