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

extern void pa_call_start(const Courier__Call *order);

/* its Result still comes; nothing happens if no such call is in flight */
extern void pa_call_cancel(uint64_t call_id);
extern void pa_call_cancel_all(void);

#endif							/* PA_COURIER_CALL_H */
