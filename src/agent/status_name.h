/*-------------------------------------------------------------------------
 *
 * src/agent/status_name.h
 *		The names of the gRPC status codes.  Pure.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_STATUS_NAME_H
#define PA_AGENT_STATUS_NAME_H

/* the codes that the agent itself gives; all of them have names below */
enum
{
	PA_STATUS_OK = 0,
	PA_STATUS_CANCELLED = 1,
	PA_STATUS_UNKNOWN = 2,
	PA_STATUS_INVALID_ARGUMENT = 3,
	PA_STATUS_NOT_FOUND = 5,
	PA_STATUS_PERMISSION_DENIED = 7,
	PA_STATUS_RESOURCE_EXHAUSTED = 8,
	PA_STATUS_FAILED_PRECONDITION = 9,
	PA_STATUS_ABORTED = 10,
	PA_STATUS_UNIMPLEMENTED = 12,
	PA_STATUS_INTERNAL = 13,
	PA_STATUS_UNAVAILABLE = 14,
	PA_STATUS_UNAUTHENTICATED = 16
};

/* the name in capitals, "UNKNOWN" for a code that does not exist */
extern const char *pa_status_name(int code);

/* the code of a name in any case, or of a number; -1: there is none */
extern int	pa_status_code(const char *name);

#endif							/* PA_AGENT_STATUS_NAME_H */
