/*-------------------------------------------------------------------------
 *
 * src/target.c
 *		Where an agent listens.  See target.h.
 *
 *-------------------------------------------------------------------------
 */
#include "target.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

/* What isalpha and isdigit call so depends on the locale. */
static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* A port from 1 to 65535, in digits up to the end. */
static bool
is_port(const char *text, size_t length)
{
	int			port = 0;

	for (size_t i = 0; i < length; i++)
	{
		if (!is_digit(text[i]))
			return false;
		port = port * 10 + (text[i] - '0');
		if (port > 65535)
			return false;
	}
	return port > 0;
}

/* A host name, an IPv4 address, or an IPv6 address in brackets. */
static bool
is_host(const char *text, size_t length)
{
	if (length > 0 && text[0] == '[')
	{
		struct in6_addr address;
		char		literal[INET6_ADDRSTRLEN];

		if (length < 4 || text[length - 1] != ']' ||
			length - 2 >= sizeof(literal))
			return false;
		memcpy(literal, text + 1, length - 2);
		literal[length - 2] = '\0';
		return inet_pton(AF_INET6, literal, &address) == 1;
	}
	for (size_t i = 0; i < length; i++)
		if (!is_letter(text[i]) && !is_digit(text[i]) &&
			strchr("-._", text[i]) == NULL)
			return false;
	return length > 0 && length <= 253;
}

/* A host and a port. */
static bool
is_host_and_port(const char *text, size_t length)
{
	size_t		colon = length;

	/* the last one: an IPv6 address has others */
	while (colon > 0 && text[colon - 1] != ':')
		colon--;
	return colon > 0 && is_host(text, colon - 1) &&
		is_port(text + colon, length - colon);
}

/* Between the slashes of dns://: nothing, or a name server. */
static bool
is_name_server(const char *text, size_t length)
{
	return length == 0 || is_host(text, length) ||
		is_host_and_port(text, length);
}

/* A list of numeric addresses, each with its port, separated by commas. */
static bool
is_address_list(const char *text, int family)
{
	for (const char *end; text; text = *end ? end + 1 : NULL)
	{
		const char *colon;
		struct in_addr address;
		char		literal[INET_ADDRSTRLEN];

		end = text + strcspn(text, ",");
		if (!is_host_and_port(text, end - text))
			return false;
		if (family == AF_INET6)
		{
			if (text[0] != '[')
				return false;
			continue;
		}
		colon = memchr(text, ':', end - text);
		if ((size_t) (colon - text) >= sizeof(literal))
			return false;
		memcpy(literal, text, colon - text);
		literal[colon - text] = '\0';
		if (inet_pton(AF_INET, literal, &address) != 1)
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
			const char *server = name + 2;

			name = strchr(server, '/');
			if (name == NULL)
				return false;
			if (!is_name_server(server, name - server))
			{
				*hint = "Between the slashes is nothing, or a name server: dns://192.0.2.53/agent.example.com:50051.";
				return false;
			}
			name++;
		}
		return is_host_and_port(name, strlen(name));
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
	return is_host_and_port(text, strlen(text));
}

/* Calls the test with each address of a list, without port and brackets. */
static bool
all_addresses(const char *text, bool (*test) (const char *address))
{
	for (const char *end; text; text = *end ? end + 1 : NULL)
	{
		const char *begin = text[0] == '[' ? text + 1 : text;
		const char *stop;
		char		address[INET6_ADDRSTRLEN];

		end = text + strcspn(text, ",");
		stop = text[0] == '[' ? strchr(text, ']') : strchr(text, ':');
		if (stop == NULL || stop > end ||
			(size_t) (stop - begin) >= sizeof(address))
			return false;
		memcpy(address, begin, stop - begin);
		address[stop - begin] = '\0';
		if (!test(address))
			return false;
	}
	return true;
}

static bool
is_loopback(const char *address)
{
	struct in_addr four;
	struct in6_addr six;

	if (inet_pton(AF_INET, address, &four) == 1)
		return *(const unsigned char *) &four == 127;
	return inet_pton(AF_INET6, address, &six) == 1 &&
		memcmp(&six, &in6addr_loopback, sizeof(six)) == 0;
}

bool
pa_target_is_local(const char *target)
{
	if (strncmp(target, "unix:", 5) == 0)
		return true;
	if (strncmp(target, "ipv4:", 5) == 0 || strncmp(target, "ipv6:", 5) == 0)
		return all_addresses(target + 5, is_loopback);
	if (strncmp(target, "dns:", 4) == 0)
	{
		const char *name = target + 4;

		/* no name server may be asked: it could say anything */
		if (strncmp(name, "///", 3) == 0)
			name += 3;
		return strncasecmp(name, "localhost:", 10) == 0 ||
			all_addresses(name, is_loopback);
	}
	return false;
}

bool
pa_target_is_list(const char *target)
{
	return strncmp(target, "unix:", 5) != 0 && strchr(target, ',') != NULL;
}

bool
pa_target_is_host(const char *text)
{
	size_t		length = strlen(text);

	/* a name, as in a certificate: no address in brackets */
	return (is_letter(text[0]) || is_digit(text[0])) && is_host(text, length);
}
