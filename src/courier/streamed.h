/*-------------------------------------------------------------------------
 *
 * src/courier/streamed.h
 *		The life of calls that go out over a stream (stream.h), from their
 *		start to their Result.
 *
 * As calls of their own they have deadlines and can be cancelled; here the
 * courier keeps the time, and tells the agent for whom nobody waits any more.
 * When the stream ends before the answer, nobody knows whether the agent has
 * acted: the Result is UNAVAILABLE.
 *
 * All is the reader thread's.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_COURIER_STREAMED_H
#define PA_COURIER_STREAMED_H

#include <stdbool.h>
#include <stdint.h>

#include <grpc/grpc.h>

#include "call_table.h"

extern void pa_streamed_begin(void);

/* Starts a call that is in the table; false: there is no stream for it. */
extern bool pa_streamed_start(PaCall *call);

/* Ends a call that was taken from the table. */
extern void pa_streamed_give_up(PaCall *call, grpc_status_code status,
								const char *message);

/* Ends those whose time is over; and when the first will be, or earlier. */
extern void pa_streamed_attend(int64_t now);
extern int64_t pa_streamed_due(void);

#endif							/* PA_COURIER_STREAMED_H */
