/*-------------------------------------------------------------------------
 *
 * src/agent/status_name.c
 *		The names of the gRPC status codes.  Contract in status_name.h.
 *
 *-------------------------------------------------------------------------
 */
#include "status_name.h"

#include <stdlib.h>
#include <strings.h>

static const char *const names[] = {
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED",
	"NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED",
	"FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
	"INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"
};

#define STATUS_COUNT	((int) (sizeof(names) / sizeof(names[0])))

const char *
pa_status_name(int code)
{
	return code >= 0 && code < STATUS_COUNT ? names[code] : "UNKNOWN";
}

int
pa_status_code(const char *name)
{
	char	   *end;
	long		number;

	for (int code = 0; code < STATUS_COUNT; code++)
	{
		if (strcasecmp(name, names[code]) == 0)
			return code;
	}
	number = strtol(name, &end, 10);
	if (*name == '\0' || *end != '\0' || number < 0 || number >= STATUS_COUNT)
		return -1;
	return (int) number;
}
