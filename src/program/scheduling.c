/*-------------------------------------------------------------------------
 *
 * src/program/scheduling.c
 *		How the kernel schedules a program.  Contract in scheduling.h.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE 1				/* SCHED_BATCH */

#include "scheduling.h"

#include <sched.h>

void
pa_scheduling_batch(void)
{
	struct sched_param parameters = {0};

	if (sched_getscheduler(0) == SCHED_OTHER)
		(void) sched_setscheduler(0, SCHED_BATCH, &parameters);
}
