/*-------------------------------------------------------------------------
 *
 * src/agent/ledger.h
 *		What the agent remembers so that no order is carried out twice, and
 *		none that is out of date.
 *
 * No clock, no gRPC.  It is kept in memory; with a store each change is also
 * put there, and waits for nothing: who needs it to be durable waits for the
 * store's last ticket.  Not locked.
 *
 * Its memory is bounded.  Of answered requests the least recently used are
 * forgotten first, when there are too many or their replies take too much
 * room; requests under way are never forgotten.  Of the orders seen, those
 * of the cluster that was quiet for longest are forgotten first.  What is
 * forgotten counts as never seen.  The store has what the memory has, except
 * for requests under way: one that was, when the agent died, is new again,
 * since nobody knows how far it came; but its order is known.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_LEDGER_H
#define PA_AGENT_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "method.h"
#include "order.h"

struct PaStore;

typedef struct PaLedger PaLedger;
typedef struct PaLedgerEntry PaLedgerEntry;

typedef struct PaLedgerRequest
{
	const char *request_id;		/* "": one that cannot be recognised again */
	PaMethod	method;
	const char *cluster_id;
	const char *source;
	const PaOrder *order;		/* NULL: the sender does not number its orders */
} PaLedgerRequest;

typedef enum PaLedgerVerdict
{
	PA_LEDGER_NEW,				/* to be carried out */
	PA_LEDGER_RUNNING,			/* a repetition of one that is under way */
	PA_LEDGER_DONE,				/* a repetition of one that was answered */
	PA_LEDGER_STALE,			/* a later order was seen */
	PA_LEDGER_CONFLICT			/* the request id belongs to another request */
} PaLedgerVerdict;

/* the store (NULL: none) must outlive the ledger */
extern PaLedger *pa_ledger_create(size_t max_requests, size_t max_bytes,
								  size_t max_orders, struct PaStore *store);
extern void pa_ledger_free(PaLedger *ledger);

/*
 * Takes over what the store has, once, before anything else; what is beyond
 * the limits is forgotten.  Returns false, with the reason, if it cannot be
 * read.
 */
extern bool pa_ledger_load(PaLedger *ledger, char *problem, size_t size);

/*
 * Judges a request and takes note of its order.
 *
 * Stale is first of all: an order lower than the highest seen for the same
 * source and cluster, or equal to it and of another request.  "*newest" is
 * then the one seen.  A repetition normally comes with a higher order.
 *
 * "*entry" is set for NEW (unless the request has no id: NULL, nothing is
 * remembered), RUNNING and DONE.  A NEW entry is the caller's to finish or
 * to forget; until then its repetitions are RUNNING.  A DONE one is valid
 * until the next call of any function here.
 */
extern PaLedgerVerdict pa_ledger_admit(PaLedger *ledger,
									   const PaLedgerRequest *request,
									   PaLedgerEntry **entry, PaOrder *newest);

/* the caller's own mark on a request that is under way */
extern void pa_ledger_set_owner(PaLedgerEntry *entry, void *owner);
extern void *pa_ledger_owner(const PaLedgerEntry *entry);

/* remembers the reply, which is copied */
extern void pa_ledger_finish(PaLedger *ledger, PaLedgerEntry *entry,
							 const uint8_t *reply, size_t length);

/*
 * Nothing was done: the request may come again as a new one.  Its order
 * stays the highest seen all the same.  It is the sender's latest, carried
 * out or not: with an older one let in again, a delayed call could do what
 * the sender has given up; and whatever the sender sends from now on, this
 * request once more or another, has a later one.
 */
extern void pa_ledger_forget(PaLedger *ledger, PaLedgerEntry *entry);

/* the reply of a DONE entry; never NULL */
extern const uint8_t *pa_ledger_reply(const PaLedgerEntry *entry, size_t *length);

#endif							/* PA_AGENT_LEDGER_H */
