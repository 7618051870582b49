/*-------------------------------------------------------------------------
 *
 * src/outcome.h
 *		From the result of a call to what is to be written.
 *
 * Called in the worker only, outside of transactions: it decides and makes
 * units (apply.h); nothing here reads or writes a table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_OUTCOME_H
#define PA_OUTCOME_H

#include "courier.pb-c.h"
#include "queue.h"

/* The result of a call; one of a call that is not known is ignored. */
extern void pa_outcome_of_result(const Courier__Result *result,
								 TimestampTz now);

/* The courier is gone, and with it what would have told of its calls. */
extern void pa_outcome_of_lost_courier(TimestampTz now);

/*
 * A cluster whose order was taken has not got there in time: true, and its
 * events are ended, if confirm_timeout has passed.
 */
extern bool pa_outcome_confirm_timeout(PaCluster *cluster, TimestampTz now);

#endif							/* PA_OUTCOME_H */
