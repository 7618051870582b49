/*-------------------------------------------------------------------------
 *
 * src/worker.h
 *		The worker process of one database.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_WORKER_H
#define PA_WORKER_H

#include "postmaster/bgworker.h"

/*
 * Registers the process for a slot that was reserved for the database.
 * database_name is for the eye.  Returns false if max_worker_processes are in
 * use.  The handle is palloc'd in the current memory context.  The caller is
 * signalled when the process starts or ends.
 */
extern bool pa_worker_register(Oid database, const char *database_name,
							   int slot, uint64 generation,
							   BackgroundWorkerHandle **handle);

extern PGDLLEXPORT void pa_worker_main(Datum argument);

#endif							/* PA_WORKER_H */
