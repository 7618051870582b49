/*-------------------------------------------------------------------------
 *
 * src/courier_link.h
 *		The worker's end of its courier: spawning it, frames to and from it.
 *
 * gRPC core runs threads and aborts on a failed assertion.  Neither may
 * happen in a process that is attached to shared memory: a background worker
 * that dies by a signal makes the postmaster restart every session.  So gRPC
 * lives in a child process, and all that this file shares with it is one
 * socket.
 *
 * Called in the worker process only, single-threaded.  There is at most one
 * courier.  Nothing here waits: writing is buffered, reading takes what is
 * there.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_COURIER_LINK_H
#define PA_COURIER_LINK_H

#include "courier.pb-c.h"

/*
 * Starts the courier.  Raises an ERROR if the process cannot be made; a
 * courier that ends at once is noticed by the next receive.
 */
extern void pa_courier_start(void);

/* Ends the courier, if there is one, and reaps it.  Does not raise. */
extern void pa_courier_stop(void);

/* process id of the courier, 0 if there is none */
extern pid_t pa_courier_pid(void);

/* the socket, PGINVALID_SOCKET if there is no courier */
extern pgsocket pa_courier_socket(void);

/* true while frames wait to be written: the socket is to be watched for it */
extern bool pa_courier_has_unsent(void);

/* Appends a frame to what is to be sent; flush sends what the socket takes. */
extern void pa_courier_send(const Courier__Frame *frame);
extern void pa_courier_flush(void);

/*
 * Reads what has arrived and calls the handler for each frame.  The frame
 * and all it points to is palloc'd in the current memory context, and is
 * freed by whoever resets that.  Returns false if the courier is gone: its
 * end has been logged and it has been reaped.
 */
typedef void (*PaFrameHandler) (const Courier__Frame *frame);

extern bool pa_courier_receive(PaFrameHandler handler);

#endif							/* PA_COURIER_LINK_H */
