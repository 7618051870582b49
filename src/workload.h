/*-------------------------------------------------------------------------
 *
 * src/workload.h
 *		What a worker does: takes jobs, sends calls through the courier,
 *		writes outcomes.  The process around it is worker.c.
 *
 * Called in the worker process only, by worker.c.  Every function manages
 * its own transactions and returns with none open.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_WORKLOAD_H
#define PA_WORKLOAD_H

/* once, after the extension was found */
extern void pa_workload_begin(void);

/*
 * Does everything there is to do now.  Returns the milliseconds after which
 * it wants to be called again even if nothing happens, -1 for no limit.
 * Raises an ERROR only if it could not do its work; the caller aborts the
 * transaction, calls recover, and comes back later.
 */
extern long pa_workload_cycle(void);
extern void pa_workload_recover(void);

/* the socket to wait for besides the latch, PGINVALID_SOCKET if none */
extern pgsocket pa_workload_socket(uint32 *events);

/* at process exit: ends the courier; no SQL */
extern void pa_workload_end(void);

#endif							/* PA_WORKLOAD_H */
