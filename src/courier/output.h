/*-------------------------------------------------------------------------
 *
 * src/courier/output.h
 *		The way to the worker: frames are collected, then sent with as few
 *		system calls as possible.
 *
 * Frames may be added by any thread, even from within gRPC: adding never
 * touches the socket.  Sending never blocks either; what the socket does not
 * take is sent by the reader thread, which waits for the socket to become
 * writable and is woken through "wakeup" (an eventfd) when there is a reason.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_COURIER_OUTPUT_H
#define PA_COURIER_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

#include "courier.pb-c.h"

extern void pa_output_begin(int socket, int wakeup);
extern void pa_output_end(void);

/*
 * Adds one frame.  False if it was dropped: the worker has gone, memory is
 * exhausted, or the frame is above the limit.
 */
extern bool pa_output_add(const Courier__Frame *frame);

/* sends what was added; for the two working threads */
extern void pa_output_flush(void);

/* the reader: the socket is writable again */
extern void pa_output_resume(void);

/* makes the reader look again; any thread, even from within gRPC */
extern void pa_output_wake(void);

/* true: the socket is full; the reader waits until it is writable */
extern bool pa_output_blocked(void);

/*
 * true: so much waits for the worker that no new calls should be started (the
 * reader), or log messages be added
 */
extern bool pa_output_crowded(void);

/* true: sending failed, there is nobody to talk to */
extern bool pa_output_broken(void);

/*
 * The completion thread: waits until the worker has taken enough of what is
 * there for another batch of results, or until pa_output_close.
 */
extern void pa_output_await_room(void);

/* nothing is sent any more, and nobody waits */
extern void pa_output_close(void);

#endif							/* PA_COURIER_OUTPUT_H */
