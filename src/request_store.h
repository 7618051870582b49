/*-------------------------------------------------------------------------
 *
 * src/request_store.h
 *		All SQL of requests: looking up clusters, inserting events and jobs.
 *
 * Called in client backends, inside a transaction with an active snapshot.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_REQUEST_STORE_H
#define PA_REQUEST_STORE_H

#include "datatype/timestamp.h"
#include "words.h"

/* What all clusters of one call have in common. */
typedef struct PaRequest
{
	PaAction	action;
	text	   *triggered_by;
	text	   *description;	/* NULL: none */
	text	   *request_key;	/* NULL: none */
	TimestampTz not_before;		/* DT_NOBEGIN: none */
	TimestampTz expires_at;		/* DT_NOEND: never */
	int16		priority;
	TimestampTz requested_at;
} PaRequest;

/* One cluster of a call.  The texts belong to the caller's context. */
typedef struct PaRequestItem
{
	text	   *cluster_id;

	/* set by pa_request_store_find */
	bool		found;			/* exists, and the caller may see it */
	bool		may_operate;
	bool		terminated;
	text	   *cluster_name;
	text	   *account_name;
	text	   *server_name;
	int			instances_live; /* not terminated */

	/* set before pa_request_store_insert: NULL, or the event fails at once */
	const char *error_code;
	char	   *error_message;

	/* set by pa_request_store_insert */
	int64		event_id;
	bool		repeated;		/* of an earlier call with this request_key */
	char	   *status;			/* of a repeated one */
} PaRequestItem;

/* Order of cluster ids: bytewise, less than 0, 0 or greater. */
extern int	pa_request_store_compare_ids(const text *one, const text *other);

/*
 * Looks up the clusters: as the caller which of them he may see, as the owner
 * the rest.  "sorted" is in bytewise order of cluster_id, each only once.
 */
extern void pa_request_store_find(PaRequestItem **sorted, int count);

/* Id of a visible cluster of that name, as the caller; NULL if there is none. */
extern char *pa_request_store_id_of_name(const text *name);

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
