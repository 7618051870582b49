/*-------------------------------------------------------------------------
 *
 * src/target_store.h
 *		Reading what a call needs to know of a cluster: its account, region
 *		and instances.
 *
 * Called in the worker only, inside a transaction with an active snapshot,
 * just before the calls are sent.  What is returned is palloc'd in the
 * current memory context.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_TARGET_STORE_H
#define PA_TARGET_STORE_H

#include "storage/itemptr.h"

typedef struct PaTarget
{
	bool		found;			/* false: the rest is not set */
	bool		terminated;		/* the cluster's status */
	char	   *region;
	char	   *account_name;
	char	   *account_id;		/* NULL: none is known */
	ItemPointerData row;		/* where the cluster's row is now */
	int			instance_count; /* of those that are not terminated */
	char	  **instance_ids;	/* in bytewise order */
	ItemPointerData *instance_rows;	/* where their rows are now */
} PaTarget;

/* One element for each cluster, in the same order. */
extern PaTarget *pa_target_store_read(char **cluster_ids, int count);

#endif							/* PA_TARGET_STORE_H */
