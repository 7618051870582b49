/*-------------------------------------------------------------------------
 *
 * src/agent/notify.h
 *		Telling the service manager, such as systemd, how the agent is.
 *
 * The protocol is that of sd_notify(3).  Without a service manager
 * (NOTIFY_SOCKET is not set) nothing is told and nothing fails.  Any thread.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_NOTIFY_H
#define PA_AGENT_NOTIFY_H

#include <stdint.h>

/*
 * It serves, at the start and again after a reload.  "status" is one line for
 * people.
 */
extern void pa_notify_ready(const char *status);

/* it reads its files again; until it is told to be ready */
extern void pa_notify_reloading(void);

/* it ends, and wants that many us before it is killed */
extern void pa_notify_stopping(int64_t patience);

/*
 * Whether the service manager wants signs of life: the us within which it
 * waits for one, or 0.
 */
extern int64_t pa_notify_watchdog(void);

extern void pa_notify_alive(void);

#endif							/* PA_AGENT_NOTIFY_H */
