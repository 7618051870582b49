/*-------------------------------------------------------------------------
 *
 * src/worker_transaction.h
 *		The transactions of a worker: as the extension's owner, restricted.
 *
 * Called in the worker process only.
 *
 * What users attach to our tables (triggers, CHECKs, defaults) runs in these
 * transactions, so they never run as the worker's own superuser, and what
 * they set is set back.  Deferred triggers cannot be queued in them: they
 * would run at commit, outside of the restriction.
 *
 * After an ERROR, AbortCurrentTransaction() restores user and settings; there
 * is nothing of ours to undo.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_WORKER_TRANSACTION_H
#define PA_WORKER_TRANSACTION_H

/*
 * Starts a transaction and pushes a snapshot.  Raises undefined_object if the
 * extension is not there any more.  The current memory context becomes the
 * transaction's.
 */
extern void pa_worker_begin_transaction(void);

/* Pops the snapshot, commits, and goes back to begin's memory context. */
extern void pa_worker_commit_transaction(void);

#endif							/* PA_WORKER_TRANSACTION_H */
