/*-------------------------------------------------------------------------
 *
 * src/agent/store.h
 *		What of the agent's memory outlives it: an SQLite database.
 *
 * The memory itself is the ledger's and the simulated provider's: they read
 * the store once, at the start, and write each change to it.  A write only
 * puts a record into a queue and never waits.  One thread takes whatever is
 * in the queue, writes it as one transaction, flushes it to disk, and tells
 * that it has: the slower the disk, the more calls share a flush.
 *
 * Records are numbered, by tickets from 1 up, and become durable in that
 * order.  If a transaction fails (the disk is full, say), what it would have
 * written has "failed" so far; the thread keeps it and tries again until it
 * succeeds, so that memory and file never differ for good.
 *
 * Opening, reading and closing are the main thread's.  Everything that takes
 * a ticket or looks at one may be called by any thread, with any lock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_STORE_H
#define PA_AGENT_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store_record.h"

typedef struct PaStore PaStore;

typedef struct PaStoreProgress
{
	uint64_t	durable;		/* tickets up to this are on disk */
	uint64_t	failed;			/* up to this, they were tried at least */
} PaStoreProgress;

/*
 * Opens the file, or makes it, with mode 0600, and locks it for as long as
 * the process lives.  Returns NULL, with the reason, if it is damaged, not a
 * state file, of a newer version, used by another agent, or open to others.
 */
extern PaStore *pa_store_open(const char *path, char *problem, size_t size);

/*
 * Read what is there, before the store is started: orders by "used", answers
 * by "id".  Return false, with the reason, if the file cannot be read.
 */
extern bool pa_store_each_order(PaStore *store, PaTakeOrder take,
								void *data, char *problem, size_t size);
extern bool pa_store_each_answer(PaStore *store, PaTakeAnswer take,
								 void *data, char *problem, size_t size);
extern bool pa_store_each_instance(PaStore *store, PaTakeInstance take,
								   void *data, char *problem, size_t size);

/*
 * Starts the thread, without which the process ends.  It calls "wake"
 * whenever the progress has changed.
 */
extern void pa_store_start(PaStore *store, void (*wake) (void *), void *data);

/* writes the queue, if it can, and ends the thread; "wake" is done with */
extern void pa_store_stop(PaStore *store);
extern void pa_store_close(PaStore *store);

/* What is given is copied; putting replaces what has the same id, or names. */
extern void pa_store_put_order(PaStore *store, const PaStoredOrder *order);
extern void pa_store_drop_order(PaStore *store, uint64_t id);
extern void pa_store_put_answer(PaStore *store, const PaStoredAnswer *answer);
extern void pa_store_drop_answer(PaStore *store, uint64_t id);
extern void pa_store_put_instance(PaStore *store,
								  const PaStoredInstance *instance);

/* the ticket of the last record put */
extern uint64_t pa_store_last_ticket(PaStore *store);
extern PaStoreProgress pa_store_progress(PaStore *store);

/*
 * False, with the reason: the last transaction failed, or the disk is so slow
 * that the queue has no room.  Nothing should be begun then that has to be
 * written.
 */
extern bool pa_store_works(PaStore *store, char *problem, size_t size);

#endif							/* PA_AGENT_STORE_H */
