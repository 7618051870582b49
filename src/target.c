/*-------------------------------------------------------------------------
 *
 * src/target.c
 *		Where an agent listens.  See target.h.
 *
 *-------------------------------------------------------------------------
 */
#include "target.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>
#include <sys/un.h>

/* A port from 1 to 65535, in digits up to the end of the text. */
static bool
is_port(const char *text)
{
	int			port = 0;

	if (*text == '\0')
		return false;
	for (; *text; text++)
	{
		if (!isdigit((unsigned char) *text))
			return false;
		port = port * 10 + (*text - '0');
		if (port > 65535)
			return false;
	}
	return port > 0;
}

/* A host name and a port; a literal IPv6 address stands in brackets. */
static bool
is_host_and_port(const char *text)
{
	const char *colon = strrchr(text, ':');
	size_t		length;
	struct in6_addr address;
	char		literal[INET6_ADDRSTRLEN];

	if (colon == NULL || colon == text || !is_port(colon + 1))
		return false;
	length = colon - text;
	if (text[0] == '[')
	{
		if (length < 4 || text[length - 1] != ']' ||
			length - 2 >= sizeof(literal))
			return false;
		memcpy(literal, text + 1, length - 2);
		literal[length - 2] = '\0';
		return inet_pton(AF_INET6, literal, &address) == 1;
	}
	for (size_t i = 0; i < length; i++)
		if (!isalnum((unsigned char) text[i]) &&
			strchr("-._", text[i]) == NULL)
			return false;
	return length <= 253;
}

/* A list of numeric addresses, each with its port, separated by commas. */
static bool
is_address_list(const char *text, int family)
{
	for (const char *end; text; text = *end ? end + 1 : NULL)
	{
		char		item[INET6_ADDRSTRLEN + sizeof("[]:65535")];
		struct in_addr address;

		end = text + strcspn(text, ",");
		if ((size_t) (end - text) >= sizeof(item))
			return false;
		memcpy(item, text, end - text);
		item[end - text] = '\0';
		if (!is_host_and_port(item))
			return false;
		if (family == AF_INET6)
		{
			if (item[0] != '[')
				return false;
			continue;
		}
		*strrchr(item, ':') = '\0';
		if (inet_pton(AF_INET, item, &address) != 1)
			return false;
	}
	return true;
}

bool
pa_target_parse(const char *text, PaTarget *target, const char **hint)
{
	target->prefix = "";
	target->rest = text;

	if (strncmp(text, "unix:", 5) == 0)
	{
		const char *path = text + 5;

		*hint = "A socket is given by its absolute path: unix:/run/agent/socket.";
		if (strncmp(path, "//", 2) == 0)
			path += 2;
		if (path[0] != '/' || path[1] == '\0' || path[1] == '/')
			return false;
		*hint = "The path of a socket is limited to 107 bytes.";
		if (strlen(path) >= sizeof(((struct sockaddr_un *) 0)->sun_path))
			return false;
		target->prefix = "unix:";
		target->rest = path;
		return true;
	}
	if (strncmp(text, "dns:", 4) == 0)
	{
		const char *name = text + 4;

		*hint = "A name needs a port: dns:///agent.example.com:50051.";
		if (strncmp(name, "//", 2) == 0)
		{
			/* between the slashes may be a name server */
			name = strchr(name + 2, '/');
			if (name == NULL)
				return false;
			name++;
		}
		return is_host_and_port(name);
	}
	if (strncmp(text, "ipv4:", 5) == 0)
	{
		*hint = "Addresses need ports: ipv4:192.0.2.1:50051,192.0.2.2:50051.";
		return is_address_list(text + 5, AF_INET);
	}
	if (strncmp(text, "ipv6:", 5) == 0)
	{
		*hint = "Addresses need brackets and ports: ipv6:[2001:db8::1]:50051.";
		return is_address_list(text + 5, AF_INET6);
	}

	*hint = "Use host:port, dns:///host:port, ipv4:address:port, ipv6:[address]:port or unix:/path.";
	target->prefix = "dns:///";
	return is_host_and_port(text);
}
