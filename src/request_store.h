/*-------------------------------------------------------------------------
 *
 * src/request_store.h
 *		Inserting the events and jobs of a request.
 *
 * Called in client backends, inside a transaction with an active snapshot.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_REQUEST_STORE_H
#define PA_REQUEST_STORE_H

#include "request_item.h"

/*
 * Inserts events in the order of "items", and jobs for those that do not
 * fail.  With a request_key, an event that is there already is taken if it
 * was requested with the same arguments; else ERROR 23505.  "sorted" as
 * above, the same items.  If the request has expired, the caller has to raise
 * an error unless all events were there already.
 */
extern void pa_request_store_insert(const PaRequest *request,
									PaRequestItem **items,
									PaRequestItem **sorted, int count);

#endif							/* PA_REQUEST_STORE_H */
