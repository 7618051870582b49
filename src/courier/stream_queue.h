/*-------------------------------------------------------------------------
 *
 * src/courier/stream_queue.h
 *		What waits to be sent over a stream: messages with calls, and with
 *		the ids of those for which nobody waits any more.
 *
 * Pure.  Calls are numbered in the order in which they were added, from 1:
 * their places.  As long as the message that it is in was not taken, a call can
 * be taken back.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_COURIER_STREAM_QUEUE_H
#define PA_COURIER_STREAM_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent.pb-c.h"

/* of a message: one that takes its time holds up all calls behind it */
#define PA_STREAM_MESSAGE	((size_t) 64 * 1024)

typedef struct PaStreamMessage PaStreamMessage;

/* all zero, but for the limit: nothing waits */
typedef struct PaStreamQueue
{
	PaStreamMessage *first;
	PaStreamMessage *last;
	size_t		limit;			/* bytes of a message */
	size_t		waiting;		/* bytes of all */
	uint64_t	added;			/* calls so far */
	uint64_t	taken;			/* of them, with their messages */
} PaStreamQueue;

/* Returns the place of the call; 0: it is larger than the limit. */
extern uint64_t pa_stream_queue_add(PaStreamQueue *queue,
									const Agent__StreamCall *call);

/*
 * Nobody waits for a call any more.  One that was not taken is gone (true); of
 * another the agent will be told.
 */
extern bool pa_stream_queue_cancel(PaStreamQueue *queue, uint64_t call_id,
								   uint64_t place);

/* Takes the next message, to be freed; NULL: nothing waits. */
extern uint8_t *pa_stream_queue_take(PaStreamQueue *queue, size_t *size);

extern void pa_stream_queue_clear(PaStreamQueue *queue);

#endif							/* PA_COURIER_STREAM_QUEUE_H */
