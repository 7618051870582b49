/*-------------------------------------------------------------------------
 *
 * src/courier/sandbox.h
 *		Takes from the courier what it does not need, before anything from
 *		the network reaches it.
 *
 * Called by main, while the process has one thread: the threads that gRPC
 * starts later are confined with it.  What loads code, such as a provider of
 * OpenSSL, must have been loaded before.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_COURIER_SANDBOX_H
#define PA_COURIER_SANDBOX_H

#include <stdbool.h>

/*
 * How the process is watched, if it is.  A sanitizer traces its own process,
 * and writes its report to a file.
 */
typedef enum PaObserver
{
	PA_OBSERVER_NONE,
	PA_OBSERVER_SANITIZER
} PaObserver;

/* no core dumps, nobody of the same user may trace it, no gain of rights */
extern void pa_sandbox_harden(PaObserver observer);

/* closes all descriptors but 0, 1, 2 and fd */
extern void pa_sandbox_close_others(int fd);

/*
 * No file can be created, changed, removed or executed any more (Landlock).
 * False if the kernel does not offer it.
 */
extern bool pa_sandbox_restrict_files(void);

/*
 * Only the system calls that gRPC and we need (seccomp): files are opened to
 * be read, connections go out, threads are started.  No program is executed,
 * no process made, signalled or traced, no memory made executable, nothing
 * listened on.  All else fails with EPERM.  Needs pa_sandbox_harden before.
 * False if the kernel does not offer it, or the list is not made for this
 * processor.
 */
extern bool pa_sandbox_restrict_calls(PaObserver observer);

#endif							/* PA_COURIER_SANDBOX_H */
