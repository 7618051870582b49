/*-------------------------------------------------------------------------
 *
 * src/courier/delivery.c
 *		Tells whether a call that failed surely never reached its agent.
 *
 * See delivery.h.
 *
 *-------------------------------------------------------------------------
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "delivery.h"

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

bool
pa_delivery_excluded(uint32_t status, const char *channel_target,
					 const char *call_peer)
{
	if (status == 0 || channel_target == NULL || call_peer == NULL)
		return false;
	return is_distinct(channel_target) &&
		strcmp(channel_target, call_peer) == 0;
}
