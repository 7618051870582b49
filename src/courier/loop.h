/*-------------------------------------------------------------------------
 *
 * src/courier/loop.h
 *		The two threads of the courier.
 *
 * The reader takes frames from the worker and starts calls; it also sends
 * what the socket did not take at once.  The completion thread finishes calls
 * and sends their results in batches.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_COURIER_LOOP_H
#define PA_COURIER_LOOP_H

#include <grpc/grpc.h>

/*
 * Serves the worker at "socket" until it hangs up.  "wakeup" is the eventfd
 * of the output.  Returns the exit status of the process: 0, or 1 after a
 * protocol error, which is told on standard error.
 */
extern int	pa_loop_read(int socket, int wakeup);

/* a thread's start routine; ends when the queue was shut down and is empty */
extern void *pa_loop_complete(void *queue);

#endif							/* PA_COURIER_LOOP_H */
