/*-------------------------------------------------------------------------
 *
 * src/agent/store_record.h
 *		What the store keeps, and the changes that are made to it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_STORE_RECORD_H
#define PA_AGENT_STORE_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "method.h"
#include "order.h"

/* the newest order of a source for a cluster */
typedef struct PaStoredOrder
{
	uint64_t	id;				/* of this source and cluster, from 1 */
	uint64_t	used;			/* grows from order to order, whatever it is of */
	const char *source;
	const char *cluster_id;
	PaOrder		order;
	const char *request_id;		/* that came with it */
} PaStoredOrder;

typedef struct PaStoredAnswer
{
	uint64_t	id;				/* from 1, grows from answer to answer */
	const char *request_id;
	PaMethod	method;			/* on or off */
	const char *cluster_id;
	const uint8_t *reply;
	size_t		length;
} PaStoredAnswer;

/* the state of a simulated instance, numbered as in proto/agent.proto */
typedef struct PaStoredInstance
{
	const char *cluster_id;
	const char *instance_id;
	int			state;
} PaStoredInstance;

/* takes what is read; it is valid during the call */
typedef void (*PaTakeOrder) (void *data, const PaStoredOrder *order);
typedef void (*PaTakeAnswer) (void *data, const PaStoredAnswer *answer);
typedef void (*PaTakeInstance) (void *data, const PaStoredInstance *instance);

typedef enum PaRecordKind
{
	PA_RECORD_PUT_ORDER,
	PA_RECORD_DROP_ORDER,
	PA_RECORD_PUT_ANSWER,
	PA_RECORD_DROP_ANSWER,
	PA_RECORD_PUT_INSTANCE,
	PA_RECORD_KINDS
} PaRecordKind;

#define PA_RECORD_TEXTS		3

/* a change; made twice, it is as if it was made once */
typedef struct PaRecord
{
	struct PaRecord *next;
	PaRecordKind kind;
	uint64_t	id;
	uint64_t	used;
	PaOrder		order;
	int			word;			/* method, or state */
	const char *texts[PA_RECORD_TEXTS]; /* as above, in that order, up to NULL */
	const uint8_t *reply;
	size_t		length;
	char		rest[];			/* room for texts and reply */
} PaRecord;

#endif							/* PA_AGENT_STORE_RECORD_H */
