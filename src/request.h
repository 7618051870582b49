/*-------------------------------------------------------------------------
 *
 * src/request.h
 *		Requests from C: what the waiting procedures share with the SQL
 *		functions power_on, power_off and refresh.
 *
 * Called in client backends, inside a transaction with an active snapshot.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_REQUEST_H
#define PA_REQUEST_H

#include "request_store.h"

/*
 * Raises what forbids every request: not preloaded (55000), a standby or a
 * read-only transaction (25006).  "function" as the user calls it.
 */
extern void pa_request_check_possible(const char *function);

/*
 * Requests one action for one cluster: checks the request, inserts event and
 * job, arranges that the worker is woken at commit.  Returns the event id.
 * warn: tell the user with a WARNING if it fails at once.
 */
extern int64 pa_request_one(const PaRequest *request, text *cluster_id,
							bool warn);

#endif							/* PA_REQUEST_H */
