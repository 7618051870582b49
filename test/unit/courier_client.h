/*-------------------------------------------------------------------------
 *
 * test/unit/courier_client.h
 *		The worker's end of a courier, for its tests: starts the program,
 *		sends frames, waits for frames.
 *
 * One thread.  Frames that came while another one was waited for are kept.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_COURIER_CLIENT_H
#define PA_COURIER_CLIENT_H

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "courier.pb-c.h"
#include "courier/frame.h"

#define CLIENT_PATIENCE_MS	20000

typedef struct Client
{
	pid_t		pid;
	int			fd;
	PaFrameReader reader;
	Courier__Frame **frames;	/* kept, in order */
	size_t		count;
	size_t		capacity;
	bool		ended;			/* EOF was read */
	bool		silent;			/* what was waited for did not come once */
} Client;

extern char **environ;

static long
client_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (long) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static pid_t
client_spawn(const char *program, const char *option, const char *argument,
			 int fd)
{
	const char *argv[] = {program, option, argument, NULL};
	posix_spawn_file_actions_t actions;
	pid_t		pid = -1;

	posix_spawn_file_actions_init(&actions);
	if (fd >= 0)
		posix_spawn_file_actions_adddup2(&actions, fd, 3);
	if (posix_spawn(&pid, program, &actions, NULL, (char **) argv,
					environ) != 0)
		pid = -1;
	posix_spawn_file_actions_destroy(&actions);
	return pid;
}

/* over a socket pair, as the worker does */
static void
client_start(Client *client, const char *program)
{
	int			pair[2];

	memset(client, 0, sizeof(*client));
	pa_frame_init(&client->reader);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		abort();
	client->pid = client_spawn(program, "--fd", "3", pair[1]);
	close(pair[1]);
	client->fd = pair[0];
}

static void
client_send_bytes(Client *client, const void *data, size_t size)
{
	const char *p = data;

	while (size > 0)
	{
		ssize_t		sent = send(client->fd, p, size, MSG_NOSIGNAL);

		if (sent < 0)
			return;
		p += sent;
		size -= (size_t) sent;
	}
}

static void
client_send(Client *client, const Courier__Frame *frame)
{
	size_t		size = courier__frame__get_packed_size(frame);
	uint8_t    *data = malloc(PA_FRAME_HEADER + size);

	pa_frame_put_header(data, size);
	courier__frame__pack(frame, data + PA_FRAME_HEADER);
	client_send_bytes(client, data, PA_FRAME_HEADER + size);
	free(data);
}

/* reads once; false if nothing came in time, or at the end */
static bool
client_read(Client *client, int timeout_ms)
{
	struct pollfd fd = {.fd = client->fd, .events = POLLIN};
	size_t		room;
	uint8_t    *space;
	ssize_t		received;
	const uint8_t *body;
	size_t		size;

	if (client->ended || poll(&fd, 1, timeout_ms) <= 0)
		return false;
	space = pa_frame_space(&client->reader, &room);
	received = read(client->fd, space, room);
	if (received <= 0)
	{
		client->ended = true;
		return false;
	}
	pa_frame_fill(&client->reader, (size_t) received);
	while (pa_frame_next(&client->reader, &body, &size) == PA_FRAME_COMPLETE)
	{
		Courier__Frame *frame = courier__frame__unpack(NULL, size, body);

		if (frame == NULL)
			abort();
		if (client->count == client->capacity)
		{
			client->capacity = client->capacity * 2 + 64;
			client->frames = realloc(client->frames,
									 client->capacity * sizeof(*client->frames));
		}
		client->frames[client->count++] = frame;
	}
	return true;
}

typedef bool (*ClientMatch) (const Courier__Frame *frame, const void *wanted);

/*
 * The first frame that matches, owned by the caller; NULL after 20 s.  A
 * courier that was silent once is not waited for as long again: a test that
 * waits for hundreds of frames of one that hangs would seem to hang itself.
 */
static Courier__Frame *
client_await(Client *client, ClientMatch match, const void *wanted)
{
	long		limit = client_now_ms() +
		(client->silent ? CLIENT_PATIENCE_MS / 100 : CLIENT_PATIENCE_MS);
	size_t		next = 0;

	for (;;)
	{
		long		left = limit - client_now_ms();

		for (; next < client->count; next++)
		{
			Courier__Frame *frame = client->frames[next];

			if (match(frame, wanted))
			{
				client->count--;
				memmove(client->frames + next, client->frames + next + 1,
						(client->count - next) * sizeof(frame));
				return frame;
			}
		}
		if (left <= 0)
		{
			client->silent = true;
			return NULL;
		}
		if (!client_read(client, (int) left) && client->ended)
			return NULL;
	}
}

static bool
client_match_result(const Courier__Frame *frame, const void *wanted)
{
	return frame->body_case == COURIER__FRAME__BODY_RESULT &&
		frame->result->call_id == *(const uint64_t *) wanted;
}

static bool
client_match_body(const Courier__Frame *frame, const void *wanted)
{
	return frame->body_case == *(const Courier__Frame__BodyCase *) wanted;
}

static bool
client_match_state(const Courier__Frame *frame, const void *wanted)
{
	const Courier__Connectivity *want = wanted;

	return frame->body_case == COURIER__FRAME__BODY_CONNECTIVITY &&
		strcmp(frame->connectivity->server_name, want->server_name) == 0 &&
		frame->connectivity->generation == want->generation &&
		frame->connectivity->state == want->state;
}

static Courier__Frame *
client_await_result(Client *client, uint64_t call_id)
{
	return client_await(client, client_match_result, &call_id);
}

static Courier__Frame *
client_await_body(Client *client, Courier__Frame__BodyCase body)
{
	return client_await(client, client_match_body, &body);
}

static Courier__Frame *
client_await_state(Client *client, const char *server_name,
				   uint64_t generation, Courier__ConnectivityState state)
{
	Courier__Connectivity want = COURIER__CONNECTIVITY__INIT;

	want.server_name = (char *) server_name;
	want.generation = generation;
	want.state = state;
	return client_await(client, client_match_state, &want);
}

/*
 * Waits for the end of the process without reading its socket: its wait
 * status, -1 after 20 s, when it is killed.
 */
static int
client_reap(Client *client)
{
	struct pollfd fd = {.events = POLLIN};
	int			status = -1;
	bool		ended;

	fd.fd = (int) syscall(SYS_pidfd_open, client->pid, 0);
	ended = poll(&fd, 1, CLIENT_PATIENCE_MS) == 1;
	close(fd.fd);
	if (!ended)
		kill(client->pid, SIGKILL);
	waitpid(client->pid, &status, 0);
	return ended ? status : -1;
}

/* hangs up */
static void
client_close(Client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	client->fd = -1;
}

static void
client_free(Client *client)
{
	for (size_t i = 0; i < client->count; i++)
		courier__frame__free_unpacked(client->frames[i], NULL);
	free(client->frames);
	pa_frame_destroy(&client->reader);
	client_close(client);
}

#endif							/* PA_COURIER_CLIENT_H */
