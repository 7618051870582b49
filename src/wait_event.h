/*-------------------------------------------------------------------------
 *
 * src/wait_event.h
 *		The names of everything that power_action waits for.
 *
 * Called in any process that is attached to shared memory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_WAIT_EVENT_H
#define PA_WAIT_EVENT_H

typedef enum PaWaitEvent
{
	PA_WAIT_LAUNCHER = 0,		/* the launcher: for something to do */
	PA_WAIT_WORKER,				/* a worker: for requests and replies */
	PA_WAIT_WORKER_BACKOFF,		/* a worker: after an error */
	PA_WAIT_WORKER_EXIT,		/* a session: for a worker to leave a database */
	PA_WAIT_EVENT_FINISH,		/* a session: for an event to finish */
	PA_WAIT_COURIER_EXIT		/* a worker: for its courier to end */
} PaWaitEvent;

#define PA_WAIT_EVENT_COUNT		(PA_WAIT_COURIER_EXIT + 1)

/* what WaitLatch and its like want as wait_event_info */
extern uint32 pa_wait_event(PaWaitEvent event);

#endif							/* PA_WAIT_EVENT_H */
