/*-------------------------------------------------------------------------
 *
 * src/request_target.h
 *		Looking up the clusters that a request is for.
 *
 * Called in client backends, inside a transaction with an active snapshot.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_REQUEST_TARGET_H
#define PA_REQUEST_TARGET_H

#include "request_item.h"

/*
 * Looks up the clusters: as the caller which of them he may see, as the owner
 * the rest.  "sorted" is in bytewise order of cluster_id, each only once.
 */
extern void pa_request_target_find(PaRequestItem **sorted, int count);

/* Id of a visible cluster of that name, as the caller; NULL for none. */
extern char *pa_request_target_id_of_name(const text *name);

#endif							/* PA_REQUEST_TARGET_H */
