/*-------------------------------------------------------------------------
 *
 * src/status_code.h
 *		gRPC status codes: their names, and what each means for an action.
 *
 * Pure.  The one table that says which status is retried and which leaves it
 * open whether the agent has acted.  Codes and names are those of
 * https://grpc.github.io/grpc/core/md_doc_statuscodes.html
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_STATUS_CODE_H
#define PA_STATUS_CODE_H

#include <stdbool.h>

#define PA_STATUS_OK					0
#define PA_STATUS_CANCELLED				1
#define PA_STATUS_UNKNOWN				2
#define PA_STATUS_INVALID_ARGUMENT		3
#define PA_STATUS_DEADLINE_EXCEEDED		4
#define PA_STATUS_NOT_FOUND				5
#define PA_STATUS_ALREADY_EXISTS		6
#define PA_STATUS_PERMISSION_DENIED		7
#define PA_STATUS_RESOURCE_EXHAUSTED	8
#define PA_STATUS_FAILED_PRECONDITION	9
#define PA_STATUS_ABORTED				10
#define PA_STATUS_OUT_OF_RANGE			11
#define PA_STATUS_UNIMPLEMENTED			12
#define PA_STATUS_INTERNAL				13
#define PA_STATUS_UNAVAILABLE			14
#define PA_STATUS_DATA_LOSS				15
#define PA_STATUS_UNAUTHENTICATED		16

/* the name; "UNKNOWN" for a code that gRPC does not define */
extern const char *pa_status_name(int code);

/* true: another attempt may succeed */
extern bool pa_status_retryable(int code);

/*
 * true: the agent may have acted although the call did not succeed.  The
 * message is that of the status: RESOURCE_EXHAUSTED is a refusal, unless it
 * is gRPC's own word for a reply that was too large to be received.
 */
extern bool pa_status_may_have_acted(int code, const char *message);

/* true: the agent refused an order older than one that it has seen */
extern bool pa_status_stale_order(int code, const char *message);

#endif							/* PA_STATUS_CODE_H */
