/*-------------------------------------------------------------------------
 *
 * src/agent/process_loop.c
 *		A thread that runs programs.  Contract in process_loop.h.
 *
 * A program that has ended stays a zombie until its process group has been
 * killed: as long as it is there its number means nobody else.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE 1				/* pipe2, and what posix_spawn can besides */

#include "process_loop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "program/clock.h"
#include "program/memory.h"
#include "table.h"

#define LONGEST_SLEEP	60000	/* ms */
#define OTHER_SIDES		4		/* descriptors to wait for, a process */

struct PaProcessLoop
{
	pthread_t	thread;
	int			event;
	PaTimers	timers;
	PaProcess  *running;
	size_t		count;			/* of them */
	atomic_bool withdrawn;		/* some of them may be */

	pthread_mutex_t lock;		/* for the rest */
	PaProcess  *first_posted;
	PaProcess  *last_posted;
	bool		ending;
};

static void
close_pipe(PaProcess *process, int which)
{
	if (process->pipes[which] >= 0)
		close(process->pipes[which]);
	process->pipes[which] = -1;
}

/* one that is no standard descriptor, so that dup2 overwrites none of ours */
static int
above_standard(int descriptor)
{
	int			moved = descriptor;

	if (descriptor >= 0 && descriptor <= STDERR_FILENO)
	{
		moved = fcntl(descriptor, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
		close(descriptor);
	}
	return moved;
}

/* ours goes to the process, its side to "theirs" */
static bool
make_pipe(PaProcess *process, int which, int *theirs)
{
	int			ends[2];
	int			ours = which == STDIN_FILENO ? 1 : 0;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return false;
	process->pipes[which] = above_standard(ends[ours]);
	*theirs = above_standard(ends[1 - ours]);
	return process->pipes[which] >= 0 && *theirs >= 0 &&
		fcntl(process->pipes[which], F_SETFL, O_NONBLOCK) == 0;
}

/* an errno, 0 if it runs */
static int
spawn(PaProcess *process, const int *theirs)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t	none;
	sigset_t	all;
	int			result;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	/* a session is a process group, too */
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID |
							 POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	result = posix_spawn_file_actions_addchdir_np(&actions, "/");
	for (int i = 0; i < 3 && result == 0; i++)
		result = posix_spawn_file_actions_adddup2(&actions, theirs[i], i);
	if (result == 0)
		result = posix_spawn_file_actions_addclosefrom_np(&actions,
														  STDERR_FILENO + 1);
	if (result == 0)
		result = posix_spawn(&process->pid, process->arguments[0], &actions,
							 &attributes, process->arguments,
							 process->environment);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	return result;
}

/* an errno, 0 if it runs */
static int
start(PaProcess *process)
{
	int			theirs[3] = {-1, -1, -1};
	int			result = 0;

	process->pidfd = -1;
	for (int i = 0; i < 3; i++)
		process->pipes[i] = -1;
	for (int i = 0; i < 3 && result == 0; i++)
	{
		if (!make_pipe(process, i, &theirs[i]))
			result = errno;
	}
	if (result == 0)
		result = spawn(process, theirs);
	for (int i = 0; i < 3; i++)
	{
		if (theirs[i] >= 0)
			close(theirs[i]);
	}
	if (result != 0)
		return result;
	process->pidfd = pidfd_open(process->pid, 0);
	if (process->pidfd >= 0)
		return 0;
	/* we could not tell when it ends */
	result = errno;
	kill(-process->pid, SIGKILL);
	waitpid(process->pid, NULL, 0);
	return result;
}

static void
kill_group(PaTimer *timer)
{
	PaProcess  *process = PA_CONTAINER(timer, PaProcess, timer);

	kill(-process->pid, SIGKILL);
}

/* asks it to end; "end" tells why */
static void
stop(PaProcess *process, PaProcessEnd end)
{
	if (process->end != PA_PROCESS_EXITED)
		return;
	process->end = end;
	kill(-process->pid, SIGTERM);
	pa_timer_set(&process->loop->timers, &process->timer,
				 pa_clock_now() + process->grace, kill_group);
}

static void
time_is_up(PaTimer *timer)
{
	stop(PA_CONTAINER(timer, PaProcess, timer), PA_PROCESS_TIMED_OUT);
}

static void
write_input(PaProcess *process)
{
	size_t		left = process->input_length - process->written;
	ssize_t		written = 0;

	if (left > 0)
		written = write(process->pipes[STDIN_FILENO],
						process->input + process->written, left);
	if (written < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* a program need not read all of it, or any */
	if (written < 0 || (process->written += (size_t) written) ==
		process->input_length)
		close_pipe(process, STDIN_FILENO);
}

static void
take_output(PaProcess *process, const char *bytes, size_t length)
{
	size_t		needed = process->output_length + length + 1;

	if (needed > process->output_limit + 1)
	{
		stop(process, PA_PROCESS_TALKATIVE);
		return;
	}
	if (needed > process->capacity)
	{
		process->capacity = needed * 2;
		process->output = pa_memory_resize(process->output, process->capacity);
	}
	memcpy(process->output + process->output_length, bytes, length);
	process->output_length += length;
	process->output[process->output_length] = '\0';
}

/* the last bytes of all */
static void
take_errors(PaProcess *process, const char *bytes, size_t length)
{
	size_t		kept;

	if (length > PA_PROCESS_ERRORS)
	{
		bytes += length - PA_PROCESS_ERRORS;
		length = PA_PROCESS_ERRORS;
	}
	kept = process->errors_length;
	if (kept > PA_PROCESS_ERRORS - length)
	{
		size_t		dropped = kept - (PA_PROCESS_ERRORS - length);

		kept -= dropped;
		memmove(process->errors, process->errors + dropped, kept);
	}
	memcpy(process->errors + kept, bytes, length);
	process->errors_length = kept + length;
}

/* reads once; false: there is no more, now or ever */
static bool
read_pipe(PaProcess *process, int which)
{
	char		buffer[16384];
	ssize_t		length;

	if (process->pipes[which] < 0)
		return false;
	length = read(process->pipes[which], buffer, sizeof(buffer));
	if (length < 0 && errno == EINTR)
		return true;
	if (length < 0 && errno == EAGAIN)
		return false;
	if (length <= 0)
	{
		close_pipe(process, which);
		return false;
	}
	if (which == STDOUT_FILENO)
		take_output(process, buffer, (size_t) length);
	else
		take_errors(process, buffer, (size_t) length);
	return true;
}

/* takes it off the list, with all that the loop has of it */
static void
forget(PaProcess *process)
{
	PaProcessLoop *loop = process->loop;

	pa_timer_clear(&loop->timers, &process->timer);
	for (int i = 0; i < 3; i++)
		close_pipe(process, i);
	if (process->pidfd >= 0)
		close(process->pidfd);
	if (process->previous != NULL)
		process->previous->next = process->next;
	else
		loop->running = process->next;
	if (process->next != NULL)
		process->next->previous = process->previous;
	loop->count--;
}

/* it has ended, and is a zombie */
static void
finish(PaProcess *process)
{
	siginfo_t	information = {0};
	char	   *output;

	/* those that it leaves behind may hold the pipes: take what is in them */
	kill(-process->pid, SIGKILL);
	for (int which = STDOUT_FILENO; which <= STDERR_FILENO; which++)
	{
		for (int i = 0; i < 64 && read_pipe(process, which); i++)
			;
	}
	waitid(P_PIDFD, (id_t) process->pidfd, &information, WEXITED);
	if (process->end == PA_PROCESS_EXITED)
	{
		process->code = information.si_status;
		if (information.si_code != CLD_EXITED)
			process->end = PA_PROCESS_SIGNALLED;
	}
	forget(process);
	output = process->output;
	/* it may be gone afterwards */
	process->done(process);
	free(output);
}

static void
take_up(PaProcessLoop *loop, PaProcess *process)
{
	process->end = PA_PROCESS_EXITED;
	process->code = 0;
	process->output = NULL;
	process->output_length = process->errors_length = 0;
	process->capacity = process->written = 0;
	if (atomic_load(&process->withdrawn))
	{
		process->end = PA_PROCESS_WITHDRAWN;
		process->done(process);
		return;
	}
	memset(&process->timer, 0, sizeof(process->timer));
	process->previous = NULL;
	process->next = loop->running;
	if (process->next != NULL)
		process->next->previous = process;
	loop->running = process;
	loop->count++;
	process->code = start(process);
	if (process->code == 0)
	{
		take_output(process, "", 0);
		pa_timer_set(&loop->timers, &process->timer, process->deadline,
					 time_is_up);
		return;
	}
	process->end = PA_PROCESS_NOT_STARTED;
	forget(process);
	process->done(process);
}

/* false: the loop is to end */
static bool
take_posted(PaProcessLoop *loop)
{
	PaProcess  *process;
	bool		ending;

	pthread_mutex_lock(&loop->lock);
	process = loop->first_posted;
	loop->first_posted = loop->last_posted = NULL;
	ending = loop->ending;
	pthread_mutex_unlock(&loop->lock);
	while (process != NULL && !ending)
	{
		PaProcess  *next = process->next;

		process->loop = loop;
		take_up(loop, process);
		process = next;
	}
	return !ending;
}

static void
end_withdrawn(PaProcessLoop *loop)
{
	for (PaProcess *process = loop->running; process; process = process->next)
	{
		if (process->interruptible && atomic_load(&process->withdrawn))
			stop(process, PA_PROCESS_WITHDRAWN);
	}
}

static int
poll_wait(const PaProcessLoop *loop)
{
	int64_t		now = pa_clock_now();
	int64_t		next = pa_timer_next(&loop->timers);

	if (next <= now)
		return 0;
	if (next == INT64_MAX || (next - now) / 1000 >= LONGEST_SLEEP)
		return LONGEST_SLEEP;
	return (int) ((next - now + 999) / 1000);
}

/* polls and goes on with what has happened */
static void
turn(PaProcessLoop *loop)
{
	size_t		size = 1 + OTHER_SIDES * loop->count;
	struct pollfd *entries = pa_memory_allocate(size * sizeof(*entries));
	struct pollfd *entry = entries;
	PaProcess  *next;
	eventfd_t	value;

	*entry++ = (struct pollfd) {.fd = loop->event, .events = POLLIN};
	for (PaProcess *process = loop->running; process; process = process->next)
	{
		for (int i = 0; i < 3; i++)
			*entry++ = (struct pollfd)
		{
			.fd = process->pipes[i],
				.events = i == STDIN_FILENO ? POLLOUT : POLLIN
		};
		*entry++ = (struct pollfd) {.fd = process->pidfd, .events = POLLIN};
	}
	if (poll(entries, size, poll_wait(loop)) > 0)
	{
		if (entries[0].revents != 0)
			eventfd_read(loop->event, &value);
		entry = entries + 1;
		for (PaProcess *process = loop->running; process; process = next)
		{
			next = process->next;
			if (entry[STDIN_FILENO].revents != 0)
				write_input(process);
			for (int i = STDOUT_FILENO; i <= STDERR_FILENO; i++)
			{
				if (entry[i].revents != 0)
					read_pipe(process, i);
			}
			if (entry[3].revents != 0)
				finish(process);
			entry += OTHER_SIDES;
		}
	}
	free(entries);
	if (atomic_exchange(&loop->withdrawn, false))
		end_withdrawn(loop);
	pa_timer_run(&loop->timers, pa_clock_now());
}

static void
forget_done(PaProcess *process)
{
}

static void *
run_loop(void *data)
{
	PaProcessLoop *loop = data;

	while (take_posted(loop))
		turn(loop);
	for (PaProcess *process = loop->running; process; process = process->next)
	{
		process->done = forget_done;
		stop(process, PA_PROCESS_TIMED_OUT);
	}
	while (loop->running != NULL)
		turn(loop);
	return NULL;
}

PaProcessLoop *
pa_process_loop_create(char *problem, size_t size)
{
	PaProcessLoop *loop = pa_memory_allocate_zeroed(sizeof(*loop));
	int			result;

	pthread_mutex_init(&loop->lock, NULL);
	loop->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	result = loop->event < 0 ? errno :
		pthread_create(&loop->thread, NULL, run_loop, loop);
	if (result == 0)
		return loop;
	snprintf(problem, size, "could not start a thread for programs: %s",
			 strerror(result));
	if (loop->event >= 0)
		close(loop->event);
	pthread_mutex_destroy(&loop->lock);
	free(loop);
	return NULL;
}

void
pa_process_start(PaProcessLoop *loop, PaProcess *process)
{
	process->next = NULL;
	pthread_mutex_lock(&loop->lock);
	if (loop->last_posted != NULL)
		loop->last_posted->next = process;
	else
		loop->first_posted = process;
	loop->last_posted = process;
	pthread_mutex_unlock(&loop->lock);
	eventfd_write(loop->event, 1);
}

void
pa_process_withdraw(PaProcessLoop *loop, PaProcess *process)
{
	atomic_store(&process->withdrawn, true);
	if (!atomic_exchange(&loop->withdrawn, true))
		eventfd_write(loop->event, 1);
}

void
pa_process_loop_free(PaProcessLoop *loop)
{
	pthread_mutex_lock(&loop->lock);
	loop->ending = true;
	pthread_mutex_unlock(&loop->lock);
	eventfd_write(loop->event, 1);
	pthread_join(loop->thread, NULL);
	close(loop->event);
	pa_timer_free(&loop->timers);
	pthread_mutex_destroy(&loop->lock);
	free(loop);
}
