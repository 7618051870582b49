/*-------------------------------------------------------------------------
 *
 * src/agent/process_usage.h
 *		What this process uses of the machine, from the kernel.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_PROCESS_USAGE_H
#define PA_AGENT_PROCESS_USAGE_H

#include <stdint.h>

/* -1 is not known, as all of /proc is where it is not mounted */
typedef struct PaProcessUsage
{
	int64_t		start_time;		/* us since 1970 */
	int64_t		cpu;			/* us, all threads */
	int64_t		resident;		/* bytes */
	int64_t		virtual;		/* bytes of addresses */
	int64_t		open_fds;
	int64_t		max_fds;
} PaProcessUsage;

/*
 * When the process began.  To be asked for once: the answer depends on the
 * clock, which may be set.
 */
extern int64_t pa_process_start_time(void);

/* all but start_time */
extern void pa_process_usage_read(PaProcessUsage *usage);

#endif							/* PA_AGENT_PROCESS_USAGE_H */
