/*-------------------------------------------------------------------------
 *
 * src/program/mutexes.h
 *		What the mutexes of gRPC core do besides being locked.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_PROGRAM_MUTEXES_H
#define PA_PROGRAM_MUTEXES_H

#ifdef __cplusplus
extern "C"
{
#endif

/*
 * They are Abseil's.  Where those were built to look for deadlocks, as Debian's
 * are, every lock is noted in a graph of all mutexes, which is a twentieth of
 * what a call costs; and an order of locks that might end in a deadlock one
 * day ends the program at once.  Not from here on; to be called before there
 * are threads.
 */
extern void pa_mutexes_stay_plain(void);

#ifdef __cplusplus
}
#endif

#endif							/* PA_PROGRAM_MUTEXES_H */
