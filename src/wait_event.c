/*-------------------------------------------------------------------------
 *
 * src/wait_event.c
 *		The names of everything that power_action waits for.
 *
 * A name is registered when its event is first waited for: that needs shared
 * memory, which _PG_init does not have yet.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "wait_event.h"

static const char *const event_names[PA_WAIT_EVENT_COUNT] = {
	[PA_WAIT_LAUNCHER] = "PowerActionLauncher",
	[PA_WAIT_WORKER] = "PowerActionWorker",
	[PA_WAIT_WORKER_BACKOFF] = "PowerActionWorkerBackoff",
	[PA_WAIT_WORKER_EXIT] = "PowerActionWorkerExit",
	[PA_WAIT_EVENT_FINISH] = "PowerActionEventFinish",
	[PA_WAIT_COURIER_EXIT] = "PowerActionCourierExit",
};

uint32
pa_wait_event(PaWaitEvent event)
{
	static uint32 known[PA_WAIT_EVENT_COUNT];

	Assert(event < PA_WAIT_EVENT_COUNT);

	if (known[event] == 0)
		known[event] = pa_compat_new_wait_event(event_names[event]);

	return known[event];
}
