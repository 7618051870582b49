/*-------------------------------------------------------------------------
 *
 * src/courier_link.c
 *		The worker's end of its courier.  See courier_link.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "courier_link.h"
#include "frame_format.h"

#define COURIER_PROGRAM		"power_action_courier"
#define COURIER_FD			3
#define READ_CHUNK			(128 * 1024)

/*
 * What a frame may unpack to.  The largest result has some 60 MB; a frame of
 * the same size made by an enemy could have gigabytes.
 */
#define UNPACKED_LIMIT		((Size) 256 * 1024 * 1024)

static pid_t courier_pid = 0;
static pgsocket courier_socket = PGINVALID_SOCKET;
static bool courier_greeted = false;
static bool receiving = false;	/* still set: an error cut a receive short */

/* both live in TopMemoryContext; cursor is how far they are worked off */
static StringInfoData outgoing;
static StringInfoData incoming;

static Size unpacked;			/* bytes of the present frame */

/* NULL, which ends the unpacking, for a frame that unpacks to too much */
static void *
frame_alloc(void *context, size_t size)
{
	if (size > UNPACKED_LIMIT - unpacked)
		return NULL;
	unpacked += size;
	return palloc(size);
}

static void
frame_free(void *context, void *pointer)
{
	/* freed with the memory context */
}

static ProtobufCAllocator frame_allocator = {frame_alloc, frame_free, NULL};

static void
init_buffers(void)
{
	if (outgoing.data == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		initStringInfo(&outgoing);
		initStringInfo(&incoming);
		MemoryContextSwitchTo(old);
	}
	resetStringInfo(&outgoing);
	resetStringInfo(&incoming);
}

/*
 * posix_spawn of the program with our end's peer as descriptor COURIER_FD and
 * nothing else of ours: no other descriptor (PostgreSQL opens files without
 * close-on-exec), no signal mask or disposition, no environment, a process
 * group of its own so that a signal to the server's group does not hit it.
 * Returns an errno.
 */
static int
spawn_courier(int peer, pid_t *pid)
{
	char		path[MAXPGPATH];
	char		fd_text[16];
	char	   *arguments[] = {(char *) COURIER_PROGRAM, (char *) "--fd", fd_text,
	NULL};
	char	   *environment[] = {(char *) "PATH=/usr/bin:/bin",
	(char *) "LC_ALL=C", NULL};
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t	signals;
	int			result;

	snprintf(path, sizeof(path), "%s/%s", pkglib_path, COURIER_PROGRAM);
	snprintf(fd_text, sizeof(fd_text), "%d", COURIER_FD);

	if ((result = posix_spawn_file_actions_init(&files)) != 0)
		return result;
	if ((result = posix_spawnattr_init(&attributes)) != 0)
	{
		posix_spawn_file_actions_destroy(&files);
		return result;
	}

	posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&files, peer, COURIER_FD);
	posix_spawn_file_actions_addclosefrom_np(&files, COURIER_FD + 1);
	posix_spawn_file_actions_addchdir_np(&files, "/");

	sigemptyset(&signals);
	posix_spawnattr_setsigmask(&attributes, &signals);
	sigfillset(&signals);
	posix_spawnattr_setsigdefault(&attributes, &signals);
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setflags(&attributes,
							 POSIX_SPAWN_SETSIGMASK |
							 POSIX_SPAWN_SETSIGDEF |
							 POSIX_SPAWN_SETPGROUP);

	result = posix_spawn(pid, path, &files, &attributes, arguments,
						 environment);

	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&files);
	return result;
}

void
pa_courier_start(void)
{
	int			ends[2];
	int			result;

	Assert(courier_pid == 0);
	init_buffers();
	courier_greeted = false;
	receiving = false;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
		ereport(ERROR,
				(errcode_for_socket_access(),
				 errmsg("could not create a socket for the courier: %m")));
	if (!pg_set_noblock(ends[0]))
	{
		close(ends[0]);
		close(ends[1]);
		ereport(ERROR,
				(errcode_for_socket_access(),
				 errmsg("could not set the courier's socket to nonblocking mode: %m")));
	}

	result = spawn_courier(ends[1], &courier_pid);
	close(ends[1]);
	if (result != 0)
	{
		close(ends[0]);
		courier_pid = 0;
		errno = result;
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not start \"%s/%s\": %m",
						pkglib_path, COURIER_PROGRAM)));
	}
	courier_socket = ends[0];
}

/*
 * Reaps the courier, which is sure to end: its socket is closed and it was
 * sent a signal, or its end has closed the socket.
 */
static int
reap_courier(void)
{
	int			status = 0;

	while (waitpid(courier_pid, &status, 0) < 0 && errno == EINTR)
		;
	courier_pid = 0;
	return status;
}

static void
close_socket(void)
{
	if (courier_socket != PGINVALID_SOCKET)
	{
		close(courier_socket);
		courier_socket = PGINVALID_SOCKET;
	}
}

void
pa_courier_stop(void)
{
	if (courier_pid == 0)
		return;
	close_socket();
	kill(courier_pid, SIGKILL);
	reap_courier();
}

/*
 * The courier has closed its end, or says what cannot be: it is made sure
 * that it is gone, and the end is logged.
 */
static void
courier_lost(const char *reason)
{
	int			status;

	close_socket();
	kill(courier_pid, SIGKILL);
	status = reap_courier();

	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
		ereport(LOG,
				(errmsg("power_action courier was terminated by signal %d: %s",
						WTERMSIG(status), pg_strsignal(WTERMSIG(status))),
				 errdetail("Calls in flight are sent again.")));
	else
		ereport(LOG,
				(errmsg("power_action courier has ended: %s", reason),
				 errdetail("Calls in flight are sent again.")));
}

pid_t
pa_courier_pid(void)
{
	return courier_pid;
}

pgsocket
pa_courier_socket(void)
{
	return courier_socket;
}

bool
pa_courier_has_unsent(void)
{
	return courier_socket != PGINVALID_SOCKET &&
		outgoing.cursor < outgoing.len;
}

void
pa_courier_send(const Courier__Frame *frame)
{
	size_t		length = courier__frame__get_packed_size(frame);
	uint8_t    *place;

	if (courier_socket == PGINVALID_SOCKET)
		return;
	enlargeStringInfo(&outgoing, PA_FRAME_HEADER + length);
	place = (uint8_t *) outgoing.data + outgoing.len;
	pa_frame_put_header(place, length);
	courier__frame__pack(frame, place + PA_FRAME_HEADER);
	outgoing.len += PA_FRAME_HEADER + length;
}

void
pa_courier_flush(void)
{
	while (pa_courier_has_unsent())
	{
		ssize_t		sent = send(courier_socket,
								outgoing.data + outgoing.cursor,
								outgoing.len - outgoing.cursor, MSG_NOSIGNAL);

		if (sent < 0)
		{
			if (errno == EINTR)
				continue;
			/* full: later; broken: the next receive sees the end */
			break;
		}
		outgoing.cursor += sent;
	}

	if (outgoing.cursor == outgoing.len)
		resetStringInfo(&outgoing);
	else if (outgoing.cursor > outgoing.len / 2)
	{
		outgoing.len -= outgoing.cursor;
		memmove(outgoing.data, outgoing.data + outgoing.cursor, outgoing.len);
		outgoing.cursor = 0;
	}
}

static void
log_confinement(const Courier__Hello *hello)
{
	const char *by = hello->seccomp ?
		hello->landlock ? "seccomp and Landlock" : "seccomp only" :
		hello->landlock ? "Landlock only" : "nothing of the kernel's";

	ereport(LOG,
			(errmsg("power_action courier has started, with process id %d, confined by %s",
					(int) courier_pid, by)));
}

/* One frame, complete.  Returns why the courier cannot go on, or NULL. */
static const char *
receive_frame(const uint8_t *data, size_t length, PaFrameHandler handler)
{
	Courier__Frame *frame;

	unpacked = 0;
	frame = courier__frame__unpack(&frame_allocator, length, data);
	if (frame == NULL)
		return "it sent a frame that cannot be read";

	if (!courier_greeted)
	{
		if (frame->body_case != COURIER__FRAME__BODY_HELLO ||
			frame->hello->protocol_version != PA_FRAME_PROTOCOL)
			return "it is of another version";
		courier_greeted = true;
		log_confinement(frame->hello);
		return NULL;
	}
	handler(frame);
	return NULL;
}

/* The frames that are complete in the buffer.  Returns as receive_frame. */
static const char *
receive_frames(PaFrameHandler handler)
{
	const char *problem = NULL;

	while (problem == NULL)
	{
		const uint8_t *bytes = (uint8_t *) incoming.data + incoming.cursor;
		size_t		size;
		PaFrameStatus status = pa_frame_find(bytes,
											 incoming.len - incoming.cursor,
											 &size);

		if (status == PA_FRAME_PARTIAL)
			break;
		if (status == PA_FRAME_INVALID)
			return "it sent a frame of a length that cannot be";
		problem = receive_frame(bytes + PA_FRAME_HEADER, size, handler);
		incoming.cursor += PA_FRAME_HEADER + size;
	}

	if (incoming.cursor > 0)
	{
		incoming.len -= incoming.cursor;
		memmove(incoming.data, incoming.data + incoming.cursor, incoming.len);
		incoming.cursor = 0;
	}
	return problem;
}

bool
pa_courier_receive(PaFrameHandler handler)
{
	if (courier_socket == PGINVALID_SOCKET)
		return false;
	if (receiving)
	{
		courier_lost("its last frames could not be worked off");
		return false;
	}

	for (;;)
	{
		ssize_t		got;
		const char *problem;

		enlargeStringInfo(&incoming, READ_CHUNK);
		got = recv(courier_socket, incoming.data + incoming.len, READ_CHUNK, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == EAGAIN)
			return true;
		if (got <= 0)
		{
			courier_lost("it closed the connection");
			return false;
		}
		incoming.len += got;
		receiving = true;
		problem = receive_frames(handler);
		receiving = false;
		if (problem != NULL)
		{
			courier_lost(problem);
			return false;
		}
		if (got < READ_CHUNK)
			return true;
	}
}
