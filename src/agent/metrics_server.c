/*-------------------------------------------------------------------------
 *
 * src/agent/metrics_server.c
 *		Serves the agent's metrics over HTTP.  Contract in metrics_server.h.
 *
 *-------------------------------------------------------------------------
 */
#include "metrics_server.h"

#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loopback.h"
#include "program/memory.h"

#define PATH				"/metrics"
#define MAX_CONNECTIONS		16	/* more wait for one of these to end */
#define CONNECTION_MEMORY	16384	/* bytes of each, for its request */
#define SILENCE_LIMIT		5	/* s without a byte sent or received */
#define BACKLOG				16

struct PaMetricsServer
{
	struct MHD_Daemon *daemon;
	PaBuild		build;
	int64_t		start_time;		/* us since 1970; -1: not known */
	char		url[96];
};

static enum MHD_Result
answer_text(struct MHD_Connection *connection, unsigned int status,
			const char *text, const char *allow)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(strlen(text), (void *) text,
										MHD_RESPMEM_MUST_COPY);
	enum MHD_Result result;

	if (response == NULL)
		return MHD_NO;
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
							"text/plain; charset=utf-8");
	if (allow != NULL)
		MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, allow);
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result
answer_metrics(const PaMetricsServer *server, struct MHD_Connection *connection)
{
	PaProcessUsage usage = {.start_time = server->start_time};
	struct MHD_Response *response;
	enum MHD_Result result;
	char	   *text = NULL;
	size_t		length = 0;
	FILE	   *file = open_memstream(&text, &length);

	if (file == NULL)
		return MHD_NO;
	pa_process_usage_read(&usage);
	pa_exposition_write(file, &pa_metrics, &server->build, &usage);
	if (fclose(file) != 0)
	{
		free(text);
		return MHD_NO;
	}
	response = MHD_create_response_from_buffer(length, text,
											   MHD_RESPMEM_MUST_FREE);
	if (response == NULL)
	{
		free(text);
		return MHD_NO;
	}
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
							PA_EXPOSITION_TYPE);
	result = MHD_queue_response(connection, MHD_HTTP_OK, response);
	MHD_destroy_response(response);
	return result;
}

/* the answer to a body is given without waiting for it */
static enum MHD_Result
answer(void *data, struct MHD_Connection *connection, const char *path,
	   const char *method, const char *version, const char *upload,
	   size_t *upload_length, void **connection_data)
{
	if (strcmp(path, PATH) != 0)
		return answer_text(connection, MHD_HTTP_NOT_FOUND,
						   "not found: the metrics are at " PATH "\n", NULL);
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 &&
		strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return answer_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED,
						   "method not allowed: valid are GET and HEAD\n",
						   "GET, HEAD");
	return answer_metrics(data, connection);
}

static void log_problem(void *data, const char *format, va_list arguments)
			__attribute__((format(printf, 2, 0)));

/* what a client does wrong is no news, and might come at any rate */
static void
log_problem(void *data, const char *format, va_list arguments)
{
}

/* a socket that listens, and its port; -1, with errno set */
static int
open_socket(const PaLoopback *loopback, int *port)
{
	int			family = loopback->address.ss_family;
	int			fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int			one = 1;
	union
	{
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	}			bound = {.v6 = {0}};
	socklen_t	length = sizeof(bound);
	int			problem;

	if (fd < 0)
		return -1;
	/* or an agent that is started again would wait for old connections */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
		bind(fd, (const struct sockaddr *) (const void *) &loopback->address,
			 loopback->length) == 0 &&
		listen(fd, BACKLOG) == 0 &&
		getsockname(fd, &bound.any, &length) == 0)
	{
		*port = ntohs(family == AF_INET6 ? bound.v6.sin6_port :
					  bound.v4.sin_port);
		return fd;
	}
	problem = errno;
	close(fd);
	errno = problem;
	return -1;
}

PaMetricsServer *
pa_metrics_server_start(const char *address, const PaBuild *build,
						char *problem, size_t size)
{
	PaMetricsServer *server;
	PaLoopback	loopback;
	int			port;
	int			fd;

	if (!pa_loopback_read(address, &loopback, problem, size))
		return NULL;
	fd = open_socket(&loopback, &port);
	if (fd < 0)
	{
		snprintf(problem, size, "could not listen on %s for --metrics: %s",
				 address, strerror(errno));
		return NULL;
	}
	server = pa_memory_allocate_zeroed(sizeof(*server));
	server->build = *build;
	server->start_time = pa_process_start_time();
	snprintf(server->url, sizeof(server->url), "http://%s:%d" PATH,
			 loopback.host, port);
	/* the logger first: it is to hear of the options behind it */
	server->daemon =
		MHD_start_daemon(MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD |
						 MHD_USE_ERROR_LOG, 0, NULL, NULL, answer, server,
						 MHD_OPTION_EXTERNAL_LOGGER, log_problem, NULL,
						 MHD_OPTION_LISTEN_SOCKET, fd,
						 MHD_OPTION_CONNECTION_LIMIT,
						 (unsigned int) MAX_CONNECTIONS,
						 MHD_OPTION_CONNECTION_MEMORY_LIMIT,
						 (size_t) CONNECTION_MEMORY,
						 MHD_OPTION_CONNECTION_TIMEOUT,
						 (unsigned int) SILENCE_LIMIT, MHD_OPTION_END);
	if (server->daemon != NULL)
		return server;
	snprintf(problem, size, "could not serve metrics on %s", address);
	close(fd);
	free(server);
	return NULL;
}

const char *
pa_metrics_server_url(const PaMetricsServer *server)
{
	return server->url;
}

void
pa_metrics_server_stop(PaMetricsServer *server)
{
	MHD_stop_daemon(server->daemon);
	free(server);
}
