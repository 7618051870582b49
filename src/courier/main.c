/*-------------------------------------------------------------------------
 *
 * src/courier/main.c
 *		power_action_courier: makes the gRPC calls of a power_action worker.
 *
 * A child process of the worker, so that no thread of gRPC ever runs in a
 * process of the database.  It is told what to do with the frames of
 * proto/courier.proto on one stream socket, keeps nothing, and ends when the
 * worker does.  No PostgreSQL headers in this program.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <grpc/grpc.h>
#include <openssl/crypto.h>

#include "call.h"
#include "channel.h"
#include "frame_format.h"
#include "log.h"
#include "loop.h"
#include "output.h"
#include "program/mutexes.h"
#include "program/scheduling.h"
#include "sandbox.h"
#include "server.h"

#define VERSION				"1.0"

/* after the worker has gone; then the process ends, whatever it is doing */
#define LONGEST_END_MS		700

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OBSERVER			PA_OBSERVER_SANITIZER
#elif defined(PA_FOR_VALGRIND)
#define OBSERVER			PA_OBSERVER_VALGRIND
#else
#define OBSERVER			PA_OBSERVER_NONE
#endif

static volatile sig_atomic_t exit_status;

static void
print_usage(void)
{
	printf("power_action_courier makes the gRPC calls of a power_action worker.\n"
		   "\n"
		   "Usage:\n"
		   "  power_action_courier --fd N              serve an inherited connected socket\n"
		   "  power_action_courier --listen unix:PATH  serve the first connection to PATH\n"
		   "\n"
		   "  --version  print the version and exit\n"
		   "  --help     print this and exit\n");
}

static void
fail(const char *what)
{
	fprintf(stderr, "power_action_courier: %s: %s\n", what, strerror(errno));
	exit(1);
}

/*
 * Dies with the worker even if the end of the socket is overlooked.  The
 * signal is bound to the thread that started us; a worker has only one.  A
 * parent that ended before the request is noticed by its changed id.
 */
static void
die_with_parent(void)
{
	pid_t		parent = getppid();

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != parent)
		_exit(0);
}

static int
use_inherited(const char *argument)
{
	char	   *end;
	long		fd;
	int			type;
	socklen_t	length = sizeof(type);

	errno = 0;
	fd = strtol(argument, &end, 10);
	if (errno != 0 || end == argument || *end != '\0' || fd < 0 ||
		fd > 1000000)
	{
		fprintf(stderr, "power_action_courier: invalid descriptor \"%s\"\n",
				argument);
		exit(2);
	}
	if (getsockopt((int) fd, SOL_SOCKET, SO_TYPE, &type, &length) != 0)
		fail("the descriptor is not a socket");
	if (fcntl((int) fd, F_SETFD, FD_CLOEXEC) != 0)
		fail("fcntl");
	return (int) fd;
}

static int
accept_one(const char *address)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	const char *path;
	mode_t		old_mask;
	int			listener;
	int			fd;

	if (strncmp(address, "unix:", 5) != 0 || address[5] == '\0' ||
		strlen(address + 5) >= sizeof(sun.sun_path))
	{
		fprintf(stderr,
				"power_action_courier: \"%s\" is not unix:PATH, or too long\n",
				address);
		exit(2);
	}
	path = address + 5;
	memcpy(sun.sun_path, path, strlen(path) + 1);

	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0)
		fail("socket");
	/* whoever may connect commands the courier */
	old_mask = umask(0077);
	if (bind(listener, (struct sockaddr *) &sun, sizeof(sun)) != 0)
		fail(path);
	umask(old_mask);
	if (listen(listener, 1) != 0)
		fail("listen");
	do
		fd = accept(listener, NULL, NULL);
	while (fd < 0 && errno == EINTR);
	if (fd < 0)
		fail("accept");
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
		fail("fcntl");
	close(listener);
	unlink(path);
	return fd;
}

static void
send_hello(bool files_restricted, bool calls_restricted)
{
	Courier__Frame frame = COURIER__FRAME__INIT;
	Courier__Hello hello = COURIER__HELLO__INIT;

	hello.protocol_version = PA_FRAME_PROTOCOL;
	hello.process_id = (int32_t) getpid();
	hello.grpc_version = (char *) grpc_version_string();
	hello.landlock = files_restricted;
	hello.seccomp = calls_restricted;
	frame.body_case = COURIER__FRAME__BODY_HELLO;
	frame.hello = &hello;
	pa_output_add(&frame);
	pa_output_flush();
}

static void
end_at_once(int signal_number)
{
	_exit(exit_status);
}

/* the orderly end below may take no longer than this, whatever gRPC does */
static void
limit_end(int status)
{
	struct itimerval timer = {.it_value = {.tv_usec = LONGEST_END_MS * 1000}};
	sigset_t	signals;

	exit_status = status;
	signal(SIGALRM, end_at_once);
	sigemptyset(&signals);
	sigaddset(&signals, SIGALRM);
	pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

static int
serve(int socket)
{
	grpc_completion_queue *queue;
	pthread_t	completion_thread;
	bool		files_restricted = false;
	bool		calls_restricted;
	int			wakeup;
	int			status;
	int			error;

	wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (wakeup < 0)
		fail("eventfd");
	pa_output_begin(socket, wakeup);

	/*
	 * Core looks after channels that nobody polls only this often; by default
	 * every 5 s.
	 */
	setenv("GRPC_CLIENT_CHANNEL_BACKUP_POLL_INTERVAL_MS", "100", 1);
	pa_log_begin();

	/* the reports of an observer are files */
	if (OBSERVER == PA_OBSERVER_NONE)
		files_restricted = pa_sandbox_restrict_files();
	calls_restricted = pa_sandbox_restrict_calls(OBSERVER);

	grpc_init();
	queue = grpc_completion_queue_create_for_next(NULL);
	pa_channel_begin(queue);
	pa_call_begin();
	send_hello(files_restricted, calls_restricted);

	error = pthread_create(&completion_thread, NULL, pa_loop_complete, queue);
	if (error != 0)
	{
		errno = error;
		fail("pthread_create");
	}
	status = pa_loop_read(socket, wakeup);

	/* agents are told that nobody waits any more; results have no reader */
	limit_end(status);
	pa_output_close();
	pa_call_cancel_all();
	pa_server_remove_all();
	grpc_completion_queue_shutdown(queue);
	pthread_join(completion_thread, NULL);
	grpc_completion_queue_destroy(queue);
	pa_call_end();
	grpc_shutdown_blocking();
	pa_output_end();
	return status;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{"fd", required_argument, NULL, 'f'},
		{"listen", required_argument, NULL, 'l'},
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}
	};
	const char *fd = NULL;
	const char *address = NULL;
	int			option;
	int			socket;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
	{
		switch (option)
		{
			case 'f':
				fd = optarg;
				break;
			case 'l':
				address = optarg;
				break;
			case 'V':
				printf("power_action_courier %s (gRPC %s)\n", VERSION,
					   grpc_version_string());
				return 0;
			case 'h':
				print_usage();
				return 0;
			default:
				return 2;
		}
	}
	if (optind != argc || (fd == NULL) == (address == NULL))
	{
		fprintf(stderr,
				"power_action_courier: either --fd or --listen is needed, see --help\n");
		return 2;
	}

	signal(SIGPIPE, SIG_IGN);
	/* before it starts threads, and before it may not */
	pa_scheduling_batch();
	pa_mutexes_stay_plain();
	pa_sandbox_harden(OBSERVER);
	if (address != NULL)
		socket = accept_one(address);
	else
	{
		die_with_parent();
		socket = use_inherited(fd);
	}
	pa_sandbox_close_others(socket);
	return serve(socket);
}
