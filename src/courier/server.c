/*-------------------------------------------------------------------------
 *
 * src/courier/server.c
 *		The servers that the worker configured.
 *
 * See server.h.
 *
 *-------------------------------------------------------------------------
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "credentials.h"
#include "log.h"
#include "program/clock.h"
#include "program/memory.h"
#include "server.h"
#include "text.h"

#define LOOK_INTERVAL_MS	1000

typedef struct PaServer PaServer;

struct PaServer
{
	PaServer   *next;			/* in the table */
	Courier__Configure *configure;	/* our copy */
	bool		watched;		/* has files */
	PaPace	   *pace;			/* of all its channels */
	PaCredentials *credentials; /* those in use; NULL: never were any */
	PaChannel  *channel;		/* NULL if and only if there are none */
	PaChannel  *successor;		/* on its way to become the channel */

	/* what is wrong with the files now; files may be replaced one by one,
	 * so it is told only if it is still there at the next look */
	char		problem[PA_CREDENTIALS_MESSAGE];
	bool		problem_told;
};

static PaServer *servers;
static int64_t next_look_ms;
static int	watched_count;
static int	successor_count;

static Courier__Configure *
copy_configure(const Courier__Configure *configure)
{
	size_t		size = courier__configure__get_packed_size(configure);
	uint8_t    *packed = malloc(size + 1);
	Courier__Configure *copy = NULL;

	if (packed != NULL)
	{
		courier__configure__pack(configure, packed);
		copy = courier__configure__unpack(NULL, size, packed);
	}
	free(packed);
	if (copy == NULL)
		abort();				/* the worker starts another courier */
	return copy;
}

static void
drop_successor(PaServer *server)
{
	if (server->successor == NULL)
		return;
	pa_channel_retire(server->successor);
	server->successor = NULL;
	successor_count--;
}

static void
use_channel(PaServer *server, PaChannel *channel)
{
	if (server->channel != NULL)
		pa_channel_retire(server->channel);
	server->channel = channel;
	pa_channel_announce(channel);
}

/* remarks that do not keep the server from working are shown with its state */
static void
set_note(PaServer *server, const char *text)
{
	char		note[PA_TEXT_MESSAGE_LIMIT + 1];

	pa_text_clean(note, PA_TEXT_MESSAGE_LIMIT, text, strlen(text));
	pa_channel_set_note(server->channel, note);
	if (server->successor != NULL)
		pa_channel_set_note(server->successor, note);
}

/* takes what the files hold into use */
static void
use_credentials(PaServer *server, PaCredentials *credentials,
				const char *warning)
{
	bool		first = server->credentials == NULL;
	grpc_slice	authorization = pa_credentials_authorization(credentials);

	if (first || !pa_credentials_same_connection(server->credentials,
												 credentials))
	{
		PaChannel  *channel = pa_channel_open(server->configure, credentials,
											   server->pace);

		drop_successor(server);
		if (first || !pa_channel_ready(server->channel))
			use_channel(server, channel);
		else
		{
			server->successor = channel;
			successor_count++;
		}
	}
	pa_channel_set_authorization(server->channel, authorization);
	if (server->successor != NULL)
		pa_channel_set_authorization(server->successor, authorization);
	grpc_slice_unref(authorization);
	pa_credentials_free(server->credentials);
	server->credentials = credentials;

	if (warning[0] != '\0')
		pa_log_send(COURIER__LOG_LEVEL__LOG_LEVEL_WARNING,
					"server \"%s\": %s", server->configure->server_name,
					warning);
	set_note(server, warning);
}

static void
tell_problem(PaServer *server)
{
	char		text[PA_TEXT_MESSAGE_LIMIT + 1];

	server->problem_told = true;
	if (server->channel == NULL)
	{
		pa_text_clean(text, PA_TEXT_MESSAGE_LIMIT, server->problem,
					  strlen(server->problem));
		pa_channel_tell(server->configure->server_name,
						server->configure->generation,
						GRPC_CHANNEL_TRANSIENT_FAILURE, text);
		return;
	}
	snprintf(text, sizeof(text),
			 "%s; what was read before remains in use", server->problem);
	pa_log_send(COURIER__LOG_LEVEL__LOG_LEVEL_WARNING, "server \"%s\": %s",
				server->configure->server_name, text);
	set_note(server, text);
}

static void
read_files(PaServer *server)
{
	char		problem[PA_CREDENTIALS_MESSAGE];
	char		warning[PA_CREDENTIALS_MESSAGE];
	PaCredentials *credentials = pa_credentials_load(server->configure,
													 problem, warning);

	if (credentials != NULL)
	{
		bool		told = server->problem_told && server->channel != NULL;

		server->problem[0] = '\0';
		server->problem_told = false;
		use_credentials(server, credentials, warning);
		if (told)
			pa_log_send(COURIER__LOG_LEVEL__LOG_LEVEL_WARNING,
						"server \"%s\": its files are good again",
						server->configure->server_name);
		return;
	}

	if (strcmp(problem, server->problem) != 0)
	{
		memcpy(server->problem, problem, sizeof(problem));
		server->problem_told = false;
		if (server->channel != NULL)
			return;
	}
	if (!server->problem_told)
		tell_problem(server);
}

static void
look_at_files(PaServer *server)
{
	if (server->credentials == NULL || server->problem[0] != '\0' ||
		pa_credentials_have_changed(server->credentials))
		read_files(server);
}

static void
look_at_successor(PaServer *server)
{
	PaChannel  *successor = server->successor;

	if (!pa_channel_settled(successor))
		return;
	server->successor = NULL;
	successor_count--;
	use_channel(server, successor);
}

void
pa_server_attend(void)
{
	bool		look = false;

	if (successor_count == 0 && watched_count == 0)
		return;
	if (watched_count > 0)
	{
		int64_t		now = pa_clock_now() / 1000;

		look = now >= next_look_ms;
		if (look)
			next_look_ms = now + LOOK_INTERVAL_MS;
	}
	for (PaServer *server = servers; server != NULL; server = server->next)
	{
		if (look && server->watched)
			look_at_files(server);
		if (server->successor != NULL)
			look_at_successor(server);
	}
}

int
pa_server_patience(void)
{
	int64_t		left;

	if (watched_count == 0)
		return -1;
	left = next_look_ms - pa_clock_now() / 1000;
	return left < 0 ? 0 : left > LOOK_INTERVAL_MS ? LOOK_INTERVAL_MS :
		(int) left;
}

/* calls in flight go on */
static void
forget(PaServer *server)
{
	drop_successor(server);
	if (server->channel != NULL)
		pa_channel_retire(server->channel);
	if (server->watched)
		watched_count--;
	pa_credentials_free(server->credentials);
	pa_pace_release(server->pace);
	courier__configure__free_unpacked(server->configure, NULL);
	free(server);
}

void
pa_server_remove(const char *server_name)
{
	for (PaServer **link = &servers; *link != NULL; link = &(*link)->next)
	{
		PaServer   *server = *link;

		if (strcmp(server->configure->server_name, server_name) == 0)
		{
			*link = server->next;
			forget(server);
			return;
		}
	}
}

void
pa_server_remove_all(void)
{
	while (servers != NULL)
	{
		PaServer   *server = servers;

		servers = server->next;
		forget(server);
	}
}

static const PaServer *
find(const char *server_name)
{
	for (const PaServer *server = servers; server != NULL;
		 server = server->next)
		if (strcmp(server->configure->server_name, server_name) == 0)
			return server;
	return NULL;
}

void
pa_server_configure(const Courier__Configure *configure)
{
	PaServer   *server = pa_memory_allocate_zeroed(sizeof(*server));
	const PaServer *old = find(configure->server_name);

	server->configure = copy_configure(configure);
	/* calls of the old one count until they end */
	server->pace = old != NULL ? pa_pace_share(old->pace) : pa_pace_create();
	server->watched = configure->tls || configure->auth_token_file[0] != '\0';

	pa_server_remove(configure->server_name);
	server->next = servers;
	servers = server;
	if (server->watched)
		watched_count++;
	read_files(server);
}

PaChannel *
pa_server_channel(const char *server_name, char *problem, size_t size)
{
	const PaServer *server = find(server_name);

	if (server == NULL)
		snprintf(problem, size, "server \"%s\" is not configured",
				 server_name);
	else if (server->channel == NULL)
		snprintf(problem, size, "server \"%s\" cannot be used: %s",
				 server_name, server->problem);
	else if (!pa_channel_usable(server->channel))
		snprintf(problem, size, "the target of server \"%s\" is not valid",
				 server_name);
	else
	{
		pa_channel_acquire(server->channel);
		return server->channel;
	}
	return NULL;
}
