/*-------------------------------------------------------------------------
 *
 * src/program/scheduling.h
 *		How the kernel schedules a program that works through many calls.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_PROGRAM_SCHEDULING_H
#define PA_PROGRAM_SCHEDULING_H

/*
 * SCHED_BATCH for this thread, and those and the processes that it starts
 * later: waking one up does not take the processor from whoever did it.  So a
 * peer that sends many messages sends them in one go, instead of being stopped
 * after each for its reader.  The share of the processor stays what the nice
 * value says.  A policy that somebody chose remains, and where it is not
 * allowed nothing happens.
 */
extern void pa_scheduling_batch(void);

#endif							/* PA_PROGRAM_SCHEDULING_H */
