/*-------------------------------------------------------------------------
 *
 * src/dispatch.h
 *		From a cluster that is ready to a call in flight, and what the
 *		courier is told of the agents.
 *
 * Called in the worker only.  pa_dispatch_servers and pa_dispatch_calls run
 * inside a transaction of the caller that only reads; frames are buffered and
 * leave with pa_courier_flush, when that transaction is over.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_DISPATCH_H
#define PA_DISPATCH_H

#include "courier.pb-c.h"
#include "queue.h"

/* Which database sends, and since when: part of every order. */
extern void pa_dispatch_set_source(uint64 system_identifier, Oid database,
								   uint64 epoch);

/* Reads the foreign servers; tells the courier of what is new or changed. */
extern void pa_dispatch_servers(TimestampTz now);

/* The courier is gone: nothing can be sent until there is a new one. */
extern void pa_dispatch_courier_lost(TimestampTz now);

/* A new courier: it knows nothing, and nothing is in flight with it. */
extern void pa_dispatch_tell_courier(void);

/* What the courier says about a connection. */
extern void pa_dispatch_connectivity(const Courier__Connectivity *word,
									 TimestampTz now);

/* true if there are ready clusters that can be sent now */
extern bool pa_dispatch_has_work(void);

/* Sends what is ready, as far as the servers take it. */
extern void pa_dispatch_calls(TimestampTz now);

/* After an error: what was about to be sent is read again. */
extern void pa_dispatch_recover(void);

/* Asks the courier to cancel the call of a cluster. */
extern void pa_dispatch_cancel(PaCluster *cluster);

extern int64 pa_dispatch_calls_sent(void);

#endif							/* PA_DISPATCH_H */
