/*-------------------------------------------------------------------------
 *
 * src/courier/delivery.c
 *		Tells whether a call that failed surely never reached its agent.
 *
 * See delivery.h.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "delivery.h"

#define STATUS_UNAVAILABLE	14

char *
pa_delivery_target(const char *target)
{
	const char *rest = target;
	const char *prefix = "";
	char	   *result;
	size_t		size;

	/* an empty authority may be written or left out before an absolute path */
	if (strncmp(target, "unix:/", 6) == 0 && target[6] != '/')
	{
		prefix = "unix://";
		rest = target + 5;
	}
	else if (strncmp(target, "ipv4:", 5) == 0 && target[5] != '/')
	{
		prefix = "ipv4:///";
		rest = target + 5;
	}
	else if (strncmp(target, "ipv6:", 5) == 0 && target[5] != '/')
	{
		prefix = "ipv6:///";
		rest = target + 5;
	}

	size = strlen(prefix) + strlen(rest) + 1;
	result = malloc(size);
	if (result != NULL)
		snprintf(result, size, "%s%s", prefix, rest);
	return result;
}

/*
 * True for a target that cannot be the name of a connection, which is always
 * scheme:address without an authority.
 */
static bool
is_distinct(const char *target)
{
	return strncmp(target, "dns:", 4) == 0 ||
		strncmp(target, "unix:///", 8) == 0 ||
		strncmp(target, "ipv4:///", 8) == 0 ||
		strncmp(target, "ipv6:///", 8) == 0;
}

/* how the statuses begin with which core fails a call without a connection */
static const char *const not_connected[] = {
	"failed to connect to all addresses",
	"connections to all backends failing",
	"selected subchannel failed; switching to pending update",
	"empty address list",
	"DNS resolution failed"
};

static bool
says_not_connected(const char *details, size_t length)
{
	for (size_t i = 0; i < sizeof(not_connected) / sizeof(not_connected[0]);
		 i++)
	{
		size_t		size = strlen(not_connected[i]);

		if (length >= size && memcmp(details, not_connected[i], size) == 0)
			return true;
	}
	return false;
}

bool
pa_delivery_excluded(const PaDeliverySigns *signs)
{
	if (signs->status != STATUS_UNAVAILABLE || signs->details == NULL ||
		signs->error_string == NULL || signs->peer == NULL ||
		signs->target == NULL)
		return false;
	return is_distinct(signs->target) &&
		strcmp(signs->target, signs->peer) == 0 &&
		strstr(signs->error_string, "received from peer") == NULL &&
		says_not_connected(signs->details, signs->details_length);
}
