/* objects: courier/sandbox */
/*-------------------------------------------------------------------------
 *
 * test/unit/courier_sandbox_test.c
 *		What a confined courier cannot do any more, and what it still can.
 *
 * Each attempt is made in a child of its own, which is confined as the
 * courier is and tells with its exit code how the attempt ended.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE 1

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "courier/sandbox.h"
#include "unit.h"

/* an exit code that is no errno */
#define NOT_CONFINED	200

typedef long (*Attempt) (void);
typedef bool (*Confine) (void);

static char path[64];
static int	listener;

/* the errno of the attempt in a confined child, 0 if it succeeded */
static int
attempt_confined(Confine confine, Attempt attempt)
{
	pid_t		child = fork();
	int			status;

	if (child == 0)
	{
		pa_sandbox_harden(PA_OBSERVER_NONE);
		if (!confine())
			_exit(NOT_CONFINED);
		errno = 0;
		_exit(attempt() == -1 ? errno : 0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool
by_seccomp(void)
{
	return pa_sandbox_restrict_calls(PA_OBSERVER_NONE);
}

static bool
by_landlock(void)
{
	return pa_sandbox_restrict_files();
}

static bool
by_both(void)
{
	return by_landlock() && by_seccomp();
}

/* ----------------------------------------------------------------------
 * What must not succeed
 * ----------------------------------------------------------------------
 */
static long
run_program(void)
{
	char	   *arguments[] = {"true", NULL};
	char	   *environment[] = {NULL};

	return execve("/bin/true", arguments, environment);
}

static long
run_program_at(void)
{
	char	   *arguments[] = {"true", NULL};
	char	   *environment[] = {NULL};

	return syscall(SYS_execveat, AT_FDCWD, "/bin/true", arguments, environment,
				   0);
}

static long
make_process(void)
{
	pid_t		child = fork();

	if (child == 0)
		_exit(0);
	return child;
}

static long
make_process_with_clone3(void)
{
	return syscall(SYS_clone3, NULL, 0);
}

static long
create_file(void)
{
	return open(path, O_RDONLY | O_CREAT | O_EXCL, 0600);
}

static long
write_file(void)
{
	return open("/dev/null", O_WRONLY);
}

static long
write_and_read_file(void)
{
	return open("/dev/null", O_RDWR);
}

static long
truncate_file(void)
{
	return open("/dev/null", O_RDONLY | O_TRUNC);
}

static long
open_with_openat2(void)
{
	return syscall(SYS_openat2, AT_FDCWD, "/dev/null", NULL, 0);
}

static long
remove_file(void)
{
	return unlink("/tmp/power_action_no_such_file");
}

/* would not stop it */
static long
trace_parent(void)
{
	return ptrace(PTRACE_SEIZE, getppid(), NULL, NULL);
}

static long
be_traced(void)
{
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static long
signal_parent(void)
{
	return kill(getppid(), 0);
}

static long
signal_thread_of_parent(void)
{
	return syscall(SYS_tgkill, getppid(), getppid(), 0);
}

static long
map_code(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0;
}

static long
make_code(void)
{
	void	   *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
							MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return mprotect(page, 4096, PROT_READ | PROT_EXEC);
}

static long
listen_to_others(void)
{
	return listen(listener, 1);
}

static long
use_raw_socket(void)
{
	return socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
}

static long
use_packet_socket(void)
{
	return socket(AF_PACKET, SOCK_DGRAM, 0);
}

static long
be_traceable(void)
{
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static long
allow_core(void)
{
	const struct rlimit some = {1, 1};

	return setrlimit(RLIMIT_CORE, &some);
}

static long
make_ring(void)
{
	return syscall(SYS_io_uring_setup, 1, NULL);
}

/* a call that no list names */
static long
change_root(void)
{
	return chroot("/");
}

static const struct
{
	const char *name;
	Attempt		attempt;
	int			expected;
}			forbidden[] =
{
	{"execute a program", run_program, EPERM},
	{"execute a program with execveat", run_program_at, EPERM},
	{"make a process", make_process, EPERM},
	{"make a process with clone3", make_process_with_clone3, ENOSYS},
	{"create a file", create_file, EPERM},
	{"open a file for writing", write_file, EPERM},
	{"open a file for reading and writing", write_and_read_file, EPERM},
	{"truncate a file", truncate_file, EPERM},
	{"open a file with openat2", open_with_openat2, ENOSYS},
	{"remove a file", remove_file, EPERM},
	{"trace its parent", trace_parent, EPERM},
	{"be traced", be_traced, EPERM},
	{"send a signal", signal_parent, EPERM},
	{"send a signal to a thread", signal_thread_of_parent, EPERM},
	{"map executable memory", map_code, EPERM},
	{"make memory executable", make_code, EPERM},
	{"listen", listen_to_others, EPERM},
	{"use a raw socket", use_raw_socket, EPERM},
	{"use a packet socket", use_packet_socket, EPERM},
	{"become traceable again", be_traceable, EPERM},
	{"allow core dumps again", allow_core, EPERM},
	{"use io_uring", make_ring, EPERM},
	{"change its root", change_root, EPERM},
};

/* ----------------------------------------------------------------------
 * What must succeed
 * ----------------------------------------------------------------------
 */
static long
read_file(void)
{
	char		byte;
	int			fd = open("/etc/hostname", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -1 : read(fd, &byte, 1) >= 0 ? 0 : -1;
}

static void *
do_nothing(void *argument)
{
	return argument;
}

static long
start_thread(void)
{
	pthread_t	thread;

	errno = pthread_create(&thread, NULL, do_nothing, NULL);
	if (errno != 0)
		return -1;
	return pthread_join(thread, NULL);
}

static long
connect_out(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t	length = sizeof(address);
	int			fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	getsockname(listener, (struct sockaddr *) &address, &length);
	return connect(fd, (struct sockaddr *) &address, sizeof(address));
}

static long
resolve_name(void)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *addresses;

	errno = EIO;
	return getaddrinfo("localhost", "50051", &hints, &addresses) == 0 ? 0 : -1;
}

static long
use_event(void)
{
	int			fd = eventfd(0, EFD_CLOEXEC);
	uint64_t	one = 1;

	return write(fd, &one, sizeof(one));
}

static const struct
{
	const char *name;
	Attempt		attempt;
}			needed[] =
{
	{"read a file", read_file},
	{"start a thread", start_thread},
	{"connect to another process", connect_out},
	{"resolve a name", resolve_name},
	{"use an eventfd", use_event},
};

/* abort is how gRPC ends when it finds itself broken: by its signal */
static void
test_abort(void)
{
	pid_t		child = fork();
	int			status = 0;

	if (child == 0)
	{
		pa_sandbox_harden(PA_OBSERVER_NONE);
		by_both();
		signal(SIGABRT, SIG_DFL);
		abort();
	}
	waitpid(child, &status, 0);
	ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT &&
	   !WCOREDUMP(status), "abort ends the process, without a core dump");
}

static long
is_hardened(void)
{
	struct rlimit core;

	errno = 0;
	if (getrlimit(RLIMIT_CORE, &core) != 0 || core.rlim_max != 0)
		return -1;
	return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 &&
		prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : -1;
}

static bool
by_nothing(void)
{
	errno = EIO;
	return true;
}

static long
others_are_closed(void)
{
	int			low = dup(0);
	int			kept = dup(0);
	int			high = dup2(0, 300);

	pa_sandbox_close_others(kept);
	return fcntl(low, F_GETFD) == -1 && fcntl(high, F_GETFD) == -1 &&
		fcntl(kept, F_GETFD) != -1 && fcntl(2, F_GETFD) != -1 ? 0 : -1;
}

int
main(void)
{
	struct sockaddr_in any = {.sin_family = AF_INET};

	snprintf(path, sizeof(path), "/tmp/courier_sandbox_%d", (int) getpid());
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(listener, (struct sockaddr *) &any, sizeof(any)) != 0 ||
		listen(listener, 8) != 0)
	{
		perror("listen");
		return 2;
	}

	ok(attempt_confined(by_nothing, is_hardened) == 0,
	   "no core dumps, not traceable, no new rights");
	ok(attempt_confined(by_nothing, others_are_closed) == 0,
	   "other descriptors are closed");

	if (attempt_confined(by_seccomp, read_file) == NOT_CONFINED)
		ok(true, "seccomp # SKIP not offered by this kernel");
	else
	{
		for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++)
			is_number(attempt_confined(by_seccomp, forbidden[i].attempt),
					  forbidden[i].expected, forbidden[i].name);
		for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
			is_number(attempt_confined(by_seccomp, needed[i].attempt), 0,
					  needed[i].name);
	}

	if (attempt_confined(by_landlock, read_file) == NOT_CONFINED)
		ok(true, "Landlock # SKIP not offered by this kernel");
	else
	{
		is_number(attempt_confined(by_landlock, create_file), EACCES,
				  "Landlock: create a file");
		is_number(attempt_confined(by_landlock, write_file), EACCES,
				  "Landlock: open a file for writing");
		is_number(attempt_confined(by_landlock, run_program), EACCES,
				  "Landlock: execute a program");
		for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		{
			char		name[80];

			snprintf(name, sizeof(name), "both: %s", needed[i].name);
			is_number(attempt_confined(by_both, needed[i].attempt), 0, name);
		}
	}
	test_abort();
	ok(access(path, F_OK) != 0, "no file was made");
	return unit_done();
}
