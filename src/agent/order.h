/*-------------------------------------------------------------------------
 *
 * src/agent/order.h
 *		The number of an order.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_ORDER_H
#define PA_AGENT_ORDER_H

#include <stdint.h>

/* compared field by field, first to last */
typedef struct PaOrder
{
	uint64_t	timeline;
	uint64_t	epoch;
	uint64_t	counter;
} PaOrder;

#endif							/* PA_AGENT_ORDER_H */
