/*-------------------------------------------------------------------------
 *
 * src/status_code.c
 *		gRPC status codes.  See status_code.h.
 *
 *-------------------------------------------------------------------------
 */
#include "status_code.h"

#include <string.h>

static const struct
{
	const char *name;
	bool		retryable;
	bool		may_have_acted;
}			status_codes[] =
{
	/* *INDENT-OFF* */
	[PA_STATUS_OK]                  = {"OK",                  false, true},
	[PA_STATUS_CANCELLED]           = {"CANCELLED",           false, true},
	[PA_STATUS_UNKNOWN]             = {"UNKNOWN",             true,  true},
	[PA_STATUS_INVALID_ARGUMENT]    = {"INVALID_ARGUMENT",    false, false},
	[PA_STATUS_DEADLINE_EXCEEDED]   = {"DEADLINE_EXCEEDED",   true,  true},
	[PA_STATUS_NOT_FOUND]           = {"NOT_FOUND",           false, false},
	[PA_STATUS_ALREADY_EXISTS]      = {"ALREADY_EXISTS",      false, false},
	[PA_STATUS_PERMISSION_DENIED]   = {"PERMISSION_DENIED",   false, false},
	[PA_STATUS_RESOURCE_EXHAUSTED]  = {"RESOURCE_EXHAUSTED",  true,  false},
	[PA_STATUS_FAILED_PRECONDITION] = {"FAILED_PRECONDITION", false, false},
	[PA_STATUS_ABORTED]             = {"ABORTED",             true,  false},
	[PA_STATUS_OUT_OF_RANGE]        = {"OUT_OF_RANGE",        false, false},
	[PA_STATUS_UNIMPLEMENTED]       = {"UNIMPLEMENTED",       false, false},
	[PA_STATUS_INTERNAL]            = {"INTERNAL",            true,  true},
	[PA_STATUS_UNAVAILABLE]         = {"UNAVAILABLE",         true,  true},
	[PA_STATUS_DATA_LOSS]           = {"DATA_LOSS",           false, true},
	[PA_STATUS_UNAUTHENTICATED]     = {"UNAUTHENTICATED",     false, false},
	/* *INDENT-ON* */
};

#define KNOWN(code) \
	((code) >= 0 && \
	 (code) < (int) (sizeof(status_codes) / sizeof(status_codes[0])))

/* gRPC: a code that is not defined is to be treated as UNKNOWN */
static int
defined_code(int code)
{
	return KNOWN(code) ? code : PA_STATUS_UNKNOWN;
}

const char *
pa_status_name(int code)
{
	return status_codes[defined_code(code)].name;
}

bool
pa_status_retryable(int code)
{
	return status_codes[defined_code(code)].retryable;
}

bool
pa_status_may_have_acted(int code, const char *message)
{
	if (code == PA_STATUS_RESOURCE_EXHAUSTED && message != NULL &&
		strstr(message, "eceived message larger than max") != NULL)
		return true;
	return status_codes[defined_code(code)].may_have_acted;
}

bool
pa_status_stale_order(int code, const char *message)
{
	static const char prefix[] = "stale order";

	return code == PA_STATUS_FAILED_PRECONDITION && message != NULL &&
		strncmp(message, prefix, sizeof(prefix) - 1) == 0;
}
