/*-------------------------------------------------------------------------
 *
 * src/request_item.h
 *		A request, and each of the clusters that it is for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_REQUEST_ITEM_H
#define PA_REQUEST_ITEM_H

#include "datatype/timestamp.h"
#include "store_plan.h"
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

	/* set by pa_request_target_find */
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

/* Order of texts such as cluster ids: bytewise, less than 0, 0 or greater. */
extern int	pa_request_item_compare_texts(const text *one, const text *other);

/*
 * The item of the cluster whose id is in a column of a row; they are in that
 * order.  It must be there.
 */
extern PaRequestItem *pa_request_item_of_row(const PaRow *row, int column,
											 PaRequestItem **sorted,
											 int count);

/* text[] of the cluster ids */
extern Datum pa_request_item_ids(PaRequestItem **items, int count);

#endif							/* PA_REQUEST_ITEM_H */
