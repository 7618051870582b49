/*-------------------------------------------------------------------------
 *
 * src/agent/notify.c
 *		Telling the service manager how the agent is.  Contract in notify.h.
 *
 *-------------------------------------------------------------------------
 */
#include "notify.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "program/clock.h"

static void
tell(const char *state)
{
	int			result = sd_notify(0, state);

	if (result < 0)
		fprintf(stderr, "power_agent: could not tell the service manager: %s\n",
				strerror(-result));
}

void
pa_notify_ready(const char *status)
{
	char		state[640];

	snprintf(state, sizeof(state), "READY=1\nSTATUS=%s", status);
	tell(state);
}

void
pa_notify_reloading(void)
{
	char		state[128];

	/* the time tells systemd that this is the answer to its own signal */
	snprintf(state, sizeof(state),
			 "RELOADING=1\nMONOTONIC_USEC=%" PRId64 "\nSTATUS=Reading its files again",
			 pa_clock_now());
	tell(state);
}

void
pa_notify_stopping(int64_t patience)
{
	char		state[128];

	tell("STOPPING=1\nSTATUS=Finishing the calls in progress");
	/* by itself: it extends the time of the state that we are in by now */
	snprintf(state, sizeof(state), "EXTEND_TIMEOUT_USEC=%" PRId64, patience);
	tell(state);
}

int64_t
pa_notify_watchdog(void)
{
	uint64_t	limit = 0;

	return sd_watchdog_enabled(0, &limit) > 0 ? (int64_t) limit : 0;
}

void
pa_notify_alive(void)
{
	tell("WATCHDOG=1");
}
