/*-------------------------------------------------------------------------
 *
 * src/courier/loop.c
 *		The two threads of the courier.
 *
 * See loop.h.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE 1				/* POLLRDHUP, ppoll */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "arena.h"
#include "call.h"
#include "frame.h"
#include "log.h"
#include "loop.h"
#include "output.h"
#include "program/clock.h"
#include "server.h"
#include "unary.h"

/* the worker is not an enemy, but a frame must not take all the memory */
#define FRAME_ARENA_LIMIT	((size_t) 1024 * 1024 * 1024)

/* results that are sent together even if more are ready */
#define RESULT_BATCH		128

/* us between looks at calls that wait for their turn: some start together */
#define PACE_UNIT			100

static void
handle_frame(const Courier__Frame *frame)
{
	switch (frame->body_case)
	{
		case COURIER__FRAME__BODY_CALL:
			pa_call_start(frame->call);
			break;
		case COURIER__FRAME__BODY_CANCEL:
			pa_call_cancel(frame->cancel->call_id);
			break;
		case COURIER__FRAME__BODY_CONFIGURE:
			pa_server_configure(frame->configure);
			break;
		case COURIER__FRAME__BODY_REMOVE:
			pa_server_remove(frame->remove->server_name);
			break;
		default:
			pa_log_send(COURIER__LOG_LEVEL__LOG_LEVEL_WARNING,
						"ignored a frame with unexpected body %d",
						(int) frame->body_case);
			break;
	}
}

/* false: the stream cannot be understood */
static bool
handle_frames(PaFrameReader *reader, PaArena *arena)
{
	for (;;)
	{
		const uint8_t *body;
		size_t		size;
		Courier__Frame *frame;

		switch (pa_frame_next(reader, &body, &size))
		{
			case PA_FRAME_PARTIAL:
				return true;
			case PA_FRAME_INVALID:
				fprintf(stderr,
						"power_action_courier: protocol error: invalid length of a frame\n");
				return false;
			case PA_FRAME_COMPLETE:
				break;
		}

		frame = courier__frame__unpack(&arena->allocator, size, body);
		if (frame == NULL)
		{
			fprintf(stderr,
					"power_action_courier: protocol error: a frame of %zu bytes cannot be decoded\n",
					size);
			return false;
		}
		handle_frame(frame);
		pa_arena_reset(arena);
	}
}

/* How long nothing needs to be looked after; NULL: for ever. */
static const struct timespec *
patience(struct timespec *timeout)
{
	int			server_ms = pa_server_patience();
	int64_t		due = pa_call_due();
	int64_t		wait = server_ms < 0 ? INT64_MAX : (int64_t) server_ms * 1000;

	if (due != INT64_MAX)
	{
		int64_t		left = due - pa_clock_now();

		if (left < PACE_UNIT)
			left = PACE_UNIT;
		if (left < wait)
			wait = left;
	}
	if (wait == INT64_MAX)
		return NULL;
	timeout->tv_sec = wait / 1000000;
	timeout->tv_nsec = wait % 1000000 * 1000;
	return timeout;
}

/*
 * Waits until there is something to read, to send, or to look after.  False:
 * the worker has hung up.
 */
static bool
await(int socket, int wakeup, bool reading)
{
	struct pollfd fds[2];
	struct timespec timeout;
	uint64_t	count;
	ssize_t		ignored;

	fds[0].fd = socket;
	fds[0].events = reading ? POLLIN : POLLRDHUP;
	if (pa_output_blocked())
		fds[0].events |= POLLOUT;
	fds[0].revents = 0;
	fds[1].fd = wakeup;
	fds[1].events = POLLIN;
	fds[1].revents = 0;
	if (ppoll(fds, 2, patience(&timeout), NULL) < 0)
		return errno == EINTR;

	if (fds[1].revents & POLLIN)
	{
		ignored = read(wakeup, &count, sizeof(count));
		(void) ignored;
		pa_output_flush();
	}
	if (fds[0].revents & POLLOUT)
		pa_output_resume();
	if (!reading && (fds[0].revents & (POLLRDHUP | POLLHUP | POLLERR)))
		return false;
	return !pa_output_broken();
}

int
pa_loop_read(int socket, int wakeup)
{
	PaFrameReader reader;
	PaArena		arena;
	int			status = 0;

	pa_frame_init(&reader);
	pa_arena_init(&arena, FRAME_ARENA_LIMIT);

	for (;;)
	{
		bool		reading = !pa_output_crowded();
		uint8_t    *space;
		size_t		room;
		ssize_t		received;

		pa_server_attend();
		pa_call_attend();
		if (!reading)
		{
			/*
			 * The worker does not take what it asked for.  No new calls until
			 * it does, but its end must be noticed.
			 */
			pa_output_flush();
			if (pa_output_blocked() && !await(socket, wakeup, false))
				break;
			if (pa_output_crowded())
				continue;
		}

		space = pa_frame_space(&reader, &room);
		if (space == NULL)
		{
			fprintf(stderr, "power_action_courier: out of memory\n");
			status = 1;
			break;
		}
		received = recv(socket, space, room, MSG_DONTWAIT);
		if (received > 0)
		{
			pa_frame_fill(&reader, (size_t) received);
			if (!handle_frames(&reader, &arena))
			{
				status = 1;
				break;
			}
			pa_output_flush();
		}
		else if (received == 0)
			break;
		else if (errno == EAGAIN)
		{
			/* what looking after the servers may have brought */
			pa_output_flush();
			if (!await(socket, wakeup, true))
				break;
		}
		else if (errno != EINTR)
			break;
	}

	pa_frame_destroy(&reader);
	pa_arena_destroy(&arena);
	return status;
}

void *
pa_loop_complete(void *argument)
{
	grpc_completion_queue *queue = argument;
	const gpr_timespec at_once = gpr_inf_past(GPR_CLOCK_MONOTONIC);
	const gpr_timespec never = gpr_inf_future(GPR_CLOCK_MONOTONIC);

	for (;;)
	{
		grpc_event	event;
		int			count = 0;

		event = grpc_completion_queue_next(queue, never, NULL);
		while (event.type == GRPC_OP_COMPLETE)
		{
			pa_tag_run(event.tag, event.success != 0);
			if (++count == RESULT_BATCH)
				break;
			event = grpc_completion_queue_next(queue, at_once, NULL);
		}
		pa_output_flush();
		if (event.type == GRPC_QUEUE_SHUTDOWN)
			return NULL;
		pa_output_await_room();
	}
}
