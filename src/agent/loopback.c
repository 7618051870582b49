/*-------------------------------------------------------------------------
 *
 * src/agent/loopback.c
 *		Addresses that nobody but this machine's own processes can reach.
 *		Contract in loopback.h.
 *
 *-------------------------------------------------------------------------
 */
#include "loopback.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "units.h"

static bool
read_v4(const char *host, int64_t port, PaLoopback *loopback)
{
	struct sockaddr_in *address = (struct sockaddr_in *) (void *) &loopback->address;

	if (inet_pton(AF_INET, host, &address->sin_addr) != 1 ||
		ntohl(address->sin_addr.s_addr) >> 24 != IN_LOOPBACKNET)
		return false;
	address->sin_family = AF_INET;
	address->sin_port = htons((uint16_t) port);
	loopback->length = sizeof(*address);
	return true;
}

/* the host has its brackets */
static bool
read_v6(const char *host, int64_t port, PaLoopback *loopback)
{
	struct sockaddr_in6 *address = (struct sockaddr_in6 *) (void *) &loopback->address;
	char		inner[INET6_ADDRSTRLEN];
	size_t		length = strlen(host);

	if (host[0] != '[' || host[length - 1] != ']' ||
		length - 2 >= sizeof(inner))
		return false;
	memcpy(inner, host + 1, length - 2);
	inner[length - 2] = '\0';
	if (inet_pton(AF_INET6, inner, &address->sin6_addr) != 1 ||
		!IN6_IS_ADDR_LOOPBACK(&address->sin6_addr))
		return false;
	address->sin6_family = AF_INET6;
	address->sin6_port = htons((uint16_t) port);
	loopback->length = sizeof(*address);
	return true;
}

bool
pa_loopback_read(const char *text, PaLoopback *loopback, char *problem,
				 size_t size)
{
	const char *colon = strrchr(text, ':');
	size_t		length = colon ? (size_t) (colon - text) : 0;
	int64_t		port;

	memset(loopback, 0, sizeof(*loopback));
	if (length < 2 || length >= sizeof(loopback->host))
	{
		snprintf(problem, size,
				 "invalid address \"%.80s\": valid is ADDRESS:PORT, the address in 127.0.0.0/8 or [::1]",
				 text);
		return false;
	}
	if (!pa_units_number(colon + 1, 0, 65535, &port))
	{
		snprintf(problem, size,
				 "invalid port \"%.80s\": valid is ADDRESS:PORT, the address in 127.0.0.0/8 or [::1], the port from 0 to 65535",
				 colon + 1);
		return false;
	}
	memcpy(loopback->host, text, length);
	if (read_v4(loopback->host, port, loopback) ||
		read_v6(loopback->host, port, loopback))
		return true;
	snprintf(problem, size,
			 "\"%.80s\" is not a loopback address: valid are those in 127.0.0.0/8, and [::1]",
			 loopback->host);
	return false;
}
