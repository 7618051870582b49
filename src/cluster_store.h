/*-------------------------------------------------------------------------
 *
 * src/cluster_store.h
 *		Writing what clusters and their instances are by the word of an agent.
 *
 * Called in the worker only, in the transaction that writes the outcomes.
 * Raises whatever the statements raise, among it errors of triggers that users
 * have put on these tables.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_CLUSTER_STORE_H
#define PA_CLUSTER_STORE_H

#include "storage/itemptr.h"

#include "words.h"

/* What is to be written about one cluster and its instances. */
typedef struct PaClusterChange
{
	const char *cluster_id;
	PaPowerState status;
	bool		from_agent;		/* else merely accepted */
	int			instance_count;
	char	  **instance_ids;
	int		   *instance_states;	/* < 0: leave as it is */
	ItemPointerData *instance_rows; /* where their rows were; may be NULL */
	ItemPointerData row;		/* where the cluster's row was when it was
								 * read; where it is, once it is locked */
	bool		locked;
	bool		written;		/* the cluster, not its instances */
} PaClusterChange;

/*
 * Writes clusters whose rows are where they were when they were read, and are
 * locked by nobody, and sets "written" of each.  Does nothing for the others.
 * Waits only for a lock that is taken at this very moment, as long as the
 * transaction waits for any.
 */
extern void pa_cluster_store_write_unlocked(PaClusterChange **changes,
											int count);

/*
 * Locks the rows of clusters that nobody else has locked, until the end of
 * the transaction, and sets "locked" and "row" of each change.  It is not
 * locked if somebody else has locked the cluster, or if that does not exist.
 */
extern void pa_cluster_store_lock(PaClusterChange **changes, int count);

/*
 * Of several changes of one cluster, all locked, only the last counts: the
 * later one knows more.  There are several only if some of them say that it is
 * unknown.  Returns how many are left.
 */
extern int	pa_cluster_store_drop_earlier(PaClusterChange **changes,
										  int count);

/* Which of the clusters exist. */
extern void pa_cluster_store_find(const char **cluster_ids, int count,
								  bool *found);

/* Clusters that are locked and not written yet, and all instances. */
extern void pa_cluster_store_write(PaClusterChange **changes, int count);

#endif							/* PA_CLUSTER_STORE_H */
