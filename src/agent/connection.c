/*-------------------------------------------------------------------------
 *
 * src/agent/connection.c
 *		Sockets, where gRPC core's interface does not reach.  Contract in
 *		connection.h.
 *
 *-------------------------------------------------------------------------
 */
#include "connection.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

bool
pa_connection_check_unix_path(const char *path, char *problem, size_t size)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat status;
	int			fd;
	int			result;

	if (lstat(path, &status) != 0)
	{
		if (errno == ENOENT)
			return true;
		snprintf(problem, size, "could not look at \"%s\": %s", path,
				 strerror(errno));
		return false;
	}
	if (!S_ISSOCK(status.st_mode))
	{
		snprintf(problem, size, "\"%s\" exists and is not a socket", path);
		return false;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
	{
		snprintf(problem, size, "could not create a socket: %s", strerror(errno));
		return false;
	}
	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	result = connect(fd, (struct sockaddr *) &address, sizeof(address));
	if (result != 0 && errno == ECONNREFUSED)
	{
		close(fd);
		return true;
	}
	if (result == 0 || errno == EAGAIN)
		snprintf(problem, size, "another process is listening on unix:%s", path);
	else
		snprintf(problem, size, "could not tell whether unix:%s is in use: %s",
				 path, strerror(errno));
	close(fd);
	return false;
}

/* a peer as gRPC core writes it, without the percent-encoding of brackets */
static void
format_peer(const struct sockaddr_storage *address, char *text, size_t size)
{
	char		host[INET6_ADDRSTRLEN];

	if (address->ss_family == AF_INET)
	{
		const struct sockaddr_in *in = (const struct sockaddr_in *) address;

		inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		snprintf(text, size, "ipv4:%s:%d", host, ntohs(in->sin_port));
	}
	else if (address->ss_family == AF_INET6)
	{
		const struct sockaddr_in6 *in = (const struct sockaddr_in6 *) address;

		if (IN6_IS_ADDR_V4MAPPED(&in->sin6_addr))
		{
			inet_ntop(AF_INET, &in->sin6_addr.s6_addr[12], host, sizeof(host));
			snprintf(text, size, "ipv4:%s:%d", host, ntohs(in->sin6_port));
			return;
		}
		inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof(host));
		snprintf(text, size, "ipv6:[%s]:%d", host, ntohs(in->sin6_port));
	}
	else
		snprintf(text, size, "unix:");
}

static void
decode_percents(const char *from, char *to, size_t size)
{
	size_t		length = 0;

	while (*from != '\0' && length + 1 < size)
	{
		if (from[0] == '%' && isxdigit((unsigned char) from[1]) &&
			isxdigit((unsigned char) from[2]))
		{
			char		digits[3] = {from[1], from[2], '\0'};

			to[length++] = (char) strtol(digits, NULL, 16);
			from += 3;
		}
		else
			to[length++] = *from++;
	}
	to[length] = '\0';
}

void
pa_connection_drop(const char *peer)
{
	DIR		   *directory = opendir("/proc/self/fd");
	struct dirent *entry;
	char		wanted[256];

	if (directory == NULL)
		return;
	decode_percents(peer, wanted, sizeof(wanted));
	while ((entry = readdir(directory)) != NULL)
	{
		struct sockaddr_storage local;
		struct sockaddr_storage remote;
		socklen_t	local_length = sizeof(local);
		socklen_t	remote_length = sizeof(remote);
		char	   *end;
		int			fd = (int) strtol(entry->d_name, &end, 10);
		char		text[256];

		if (end == entry->d_name)
			continue;			/* . and .. */

		memset(&local, 0, sizeof(local));
		memset(&remote, 0, sizeof(remote));
		if (getsockname(fd, (struct sockaddr *) &local, &local_length) != 0 ||
			getpeername(fd, (struct sockaddr *) &remote, &remote_length) != 0)
			continue;
		format_peer(&remote, text, sizeof(text));
		if (strncmp(wanted, "unix:", 5) == 0)
		{
			/* accepted ones only: their own name is the path listened on */
			if (remote.ss_family == AF_UNIX &&
				local_length > offsetof(struct sockaddr_un, sun_path))
				shutdown(fd, SHUT_RDWR);
		}
		else if (strcmp(text, wanted) == 0)
			shutdown(fd, SHUT_RDWR);
	}
	closedir(directory);
}
