/*-------------------------------------------------------------------------
 *
 * src/courier/result.h
 *		The Results of calls: what the worker is told of their end.
 *
 * What is not said to be any thread's is the completion thread's: what a
 * Result points to is in its arena, until pa_result_forget.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_COURIER_RESULT_H
#define PA_COURIER_RESULT_H

#include <stddef.h>
#include <stdint.h>

#include "courier.pb-c.h"

extern void pa_result_begin(void);
extern void pa_result_end(void);

/* adds it to the output; any thread */
extern void pa_result_add(const Courier__Result *result);

/* the agent has answered with this reply, or with this status, not OK */
extern void pa_result_reply(Courier__Result *result, const uint8_t *reply,
							size_t size);
extern void pa_result_failure(Courier__Result *result, uint32_t status,
							  const char *details, size_t length);

/* after it has been added */
extern void pa_result_forget(void);

#endif							/* PA_COURIER_RESULT_H */
