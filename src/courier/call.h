/*-------------------------------------------------------------------------
 *
 * src/courier/call.h
 *		The life of the calls that the worker orders: from the Call frame to
 *		its Result.
 *
 * Started and cancelled by the reader thread, finished by the completion
 * thread.  Every Call gets exactly one Result, added to the output, which the
 * thread concerned sends.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_COURIER_CALL_H
#define PA_COURIER_CALL_H

#include <stdint.h>

#include "courier.pb-c.h"

extern void pa_call_begin(void);

/* after the completion thread has ended */
extern void pa_call_end(void);

/* starts it, or lets it wait until it may (pace.h) */
extern void pa_call_start(const Courier__Call *order);

/*
 * Of those that wait, starts what may start now and ends what could not start
 * in time; ends those of streams whose time is over; sends what has started.
 * To be called after every change and when pa_call_due says.
 */
extern void pa_call_attend(void);
extern int64_t pa_call_due(void);

/* its Result still comes; nothing happens if there is no such call */
extern void pa_call_cancel(uint64_t call_id);
extern void pa_call_cancel_all(void);

#endif							/* PA_COURIER_CALL_H */
