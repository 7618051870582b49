/*-------------------------------------------------------------------------
 *
 * src/courier/sandbox.c
 *		Takes from the courier what it does not need.  See sandbox.h.
 *
 * Whatever of this the kernel does not offer is left out: the courier is one
 * without it, too.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE 1				/* close_range, CLONE_THREAD */

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox.h"

void
pa_sandbox_harden(PaObserver observer)
{
	const struct rlimit none = {0, 0};

	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (observer != PA_OBSERVER_SANITIZER)
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

void
pa_sandbox_close_others(int fd)
{
	unsigned	first = STDERR_FILENO + 1;

	if (fd > STDERR_FILENO)
	{
		if ((unsigned) fd > first)
			close_range(first, (unsigned) fd - 1, 0);
		first = (unsigned) fd + 1;
	}
	close_range(first, ~0U, 0);
}

/* ----------------------------------------------------------------------
 * Landlock
 * ----------------------------------------------------------------------
 */

/* What changes files, by the version of the interface that brought it. */
static const uint64_t changes[] = {
	LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |
	LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
	LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR |
	LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |
	LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
	LANDLOCK_ACCESS_FS_MAKE_SYM,
	UINT64_C(1) << 13,			/* 2: LANDLOCK_ACCESS_FS_REFER */
	UINT64_C(1) << 14			/* 3: LANDLOCK_ACCESS_FS_TRUNCATE */
};

bool
pa_sandbox_restrict_files(void)
{
	struct landlock_ruleset_attr rules = {0};
	long		version = syscall(SYS_landlock_create_ruleset, NULL, 0,
								  LANDLOCK_CREATE_RULESET_VERSION);
	int			fd;
	bool		done;

	for (long i = 0; i < version && i < 3; i++)
		rules.handled_access_fs |= changes[i];
	if (rules.handled_access_fs == 0)
		return false;

	/* no rule allows any of it anywhere */
	fd = (int) syscall(SYS_landlock_create_ruleset, &rules,
					   sizeof(rules.handled_access_fs), 0);
	if (fd < 0)
		return false;
	done = syscall(SYS_landlock_restrict_self, fd, 0) == 0;
	close(fd);
	return done;
}

/* ----------------------------------------------------------------------
 * seccomp
 *
 * The calls were taken from what the courier does in its tests, and from the
 * sources of gRPC core, c-ares, OpenSSL and the C library where they go other
 * ways on other machines.
 * ----------------------------------------------------------------------
 */

/* A name that a processor does not have is passed over by libseccomp. */
static const int allowed[] = {
	/* memory; mmap and mprotect are below */
	SCMP_SYS(brk), SCMP_SYS(madvise), SCMP_SYS(mremap), SCMP_SYS(munmap),

	/* threads; clone is below */
	SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(futex), SCMP_SYS(getcpu),
	SCMP_SYS(getpid), SCMP_SYS(getppid), SCMP_SYS(gettid),
	SCMP_SYS(membarrier), SCMP_SYS(restart_syscall), SCMP_SYS(rseq),
	SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sched_getaffinity), SCMP_SYS(sched_getparam),
	SCMP_SYS(sched_getscheduler), SCMP_SYS(sched_yield),
	SCMP_SYS(set_robust_list), SCMP_SYS(sigaltstack),

	/* time; the timer is the limit of the end */
	SCMP_SYS(clock_getres), SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_nanosleep), SCMP_SYS(gettimeofday), SCMP_SYS(nanosleep),
	SCMP_SYS(setitimer), SCMP_SYS(time),

	/* descriptors and reading files; open is below */
	SCMP_SYS(access), SCMP_SYS(close), SCMP_SYS(close_range), SCMP_SYS(dup),
	SCMP_SYS(faccessat), SCMP_SYS(fadvise64), SCMP_SYS(fcntl),
	SCMP_SYS(fstat), SCMP_SYS(fstatfs), SCMP_SYS(getcwd),
	SCMP_SYS(getdents64), SCMP_SYS(lseek), SCMP_SYS(lstat),
	SCMP_SYS(newfstatat), SCMP_SYS(pread64), SCMP_SYS(read),
	SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(readv),
	SCMP_SYS(stat), SCMP_SYS(statfs), SCMP_SYS(statx), SCMP_SYS(write),
	SCMP_SYS(writev),

	/* waiting */
	SCMP_SYS(epoll_create), SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2), SCMP_SYS(epoll_wait),
	SCMP_SYS(eventfd2), SCMP_SYS(pipe2), SCMP_SYS(poll), SCMP_SYS(ppoll),

	/*
	 * Connections; socket is below.  bind is how core finds out whether there
	 * is IPv6; without listen and accept nobody can connect to us.
	 */
	SCMP_SYS(bind), SCMP_SYS(connect), SCMP_SYS(getpeername),
	SCMP_SYS(getsockname), SCMP_SYS(getsockopt), SCMP_SYS(recvfrom),
	SCMP_SYS(recvmmsg), SCMP_SYS(recvmsg), SCMP_SYS(sendmmsg),
	SCMP_SYS(sendmsg), SCMP_SYS(sendto), SCMP_SYS(setsockopt),
	SCMP_SYS(shutdown),

	/* what and who we are */
	SCMP_SYS(getegid), SCMP_SYS(geteuid), SCMP_SYS(getgid),
	SCMP_SYS(getrandom), SCMP_SYS(getrlimit), SCMP_SYS(getuid),
	SCMP_SYS(sysinfo), SCMP_SYS(uname)
};

/* The C library knows another way if these are not there. */
static const int absent[] = {
	SCMP_SYS(clone3), SCMP_SYS(faccessat2), SCMP_SYS(openat2)
};

/* What a sanitizer needs to stop its own process and to write its report. */
static const int for_sanitizer[] = {
	SCMP_SYS(arch_prctl), SCMP_SYS(clone), SCMP_SYS(getdents),
	SCMP_SYS(kill), SCMP_SYS(mmap),
	SCMP_SYS(mprotect), SCMP_SYS(open), SCMP_SYS(openat),
	SCMP_SYS(personality), SCMP_SYS(prctl), SCMP_SYS(prlimit64),
	SCMP_SYS(process_vm_readv), SCMP_SYS(ptrace), SCMP_SYS(setrlimit),
	SCMP_SYS(tgkill), SCMP_SYS(unlink), SCMP_SYS(wait4)
};

#define COUNT(array)	(sizeof(array) / sizeof((array)[0]))

/* false if one of the calls cannot be added */
static bool
add_calls(scmp_filter_ctx filter, uint32_t action, const int *calls,
		  size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (seccomp_rule_add(filter, action, calls[i], 0) != 0)
			return false;
	return true;
}

/* the call is allowed if the argument, masked, has the value */
static bool
allow_if(scmp_filter_ctx filter, int call, unsigned argument, uint64_t mask,
		 uint64_t value)
{
	const struct scmp_arg_cmp comparison = {
		argument, SCMP_CMP_MASKED_EQ, mask, value
	};

	return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, 1,
								  &comparison) == 0;
}

/* a socket of the domain, whose type or protocol, masked, has the value */
static bool
allow_socket(scmp_filter_ctx filter, int domain, unsigned argument,
			 uint64_t mask, uint64_t value)
{
	const struct scmp_arg_cmp comparisons[] = {
		{0, SCMP_CMP_EQ, (uint64_t) domain, 0},
		{argument, SCMP_CMP_MASKED_EQ, mask, value}
	};

	return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2,
								  comparisons) == 0;
}

/* Calls of which only some forms are allowed. */
static bool
add_conditions(scmp_filter_ctx filter)
{
	const uint64_t all = UINT32_MAX;
	const uint64_t changing = O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND;
	const uint64_t type = all & ~(uint64_t) (SOCK_NONBLOCK | SOCK_CLOEXEC);

	return
		allow_if(filter, SCMP_SYS(open), 1, changing, O_RDONLY) &&
		allow_if(filter, SCMP_SYS(openat), 2, changing, O_RDONLY) &&
		allow_if(filter, SCMP_SYS(mmap), 2, PROT_EXEC, 0) &&
		allow_if(filter, SCMP_SYS(mprotect), 2, PROT_EXEC, 0) &&
		allow_if(filter, SCMP_SYS(clone), 0, CLONE_THREAD, CLONE_THREAD) &&
	/* abort is a signal to oneself */
		allow_if(filter, SCMP_SYS(tgkill), 0, all, (uint64_t) getpid()) &&
		allow_if(filter, SCMP_SYS(prctl), 0, all, PR_SET_NAME) &&
	/* asking for a limit, not setting one */
		allow_if(filter, SCMP_SYS(prlimit64), 2, UINT64_MAX, 0) &&
		allow_if(filter, SCMP_SYS(ioctl), 1, all, FIONREAD) &&
		allow_if(filter, SCMP_SYS(ioctl), 1, all, FIONBIO) &&
		allow_if(filter, SCMP_SYS(ioctl), 1, all, SIOCGIFINDEX) &&
		allow_socket(filter, AF_UNIX, 1, type, SOCK_STREAM) &&
		allow_socket(filter, AF_INET, 1, type, SOCK_STREAM) &&
		allow_socket(filter, AF_INET, 1, type, SOCK_DGRAM) &&
		allow_socket(filter, AF_INET6, 1, type, SOCK_STREAM) &&
		allow_socket(filter, AF_INET6, 1, type, SOCK_DGRAM) &&
	/* resolvers ask for the addresses of this machine */
		allow_socket(filter, AF_NETLINK, 2, all, NETLINK_ROUTE);
}

/* The order of arguments and the names are those of these processors. */
static bool
processor_is_known(void)
{
	switch (seccomp_arch_native())
	{
		case SCMP_ARCH_X86_64:
		case SCMP_ARCH_AARCH64:
			return true;
		default:
			return false;
	}
}

bool
pa_sandbox_restrict_calls(PaObserver observer)
{
	scmp_filter_ctx filter;
	bool		done;

	if (!processor_is_known())
		return false;
	filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (filter == NULL)
		return false;

	/* improvements, where the kernel has them */
	seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);

	done = add_calls(filter, SCMP_ACT_ALLOW, allowed, COUNT(allowed)) &&
		add_conditions(filter) &&
		add_calls(filter, SCMP_ACT_ERRNO(ENOSYS), absent, COUNT(absent));
	if (done && observer == PA_OBSERVER_SANITIZER)
		done = add_calls(filter, SCMP_ACT_ALLOW, for_sanitizer,
						 COUNT(for_sanitizer));
	done = done && seccomp_load(filter) == 0;
	seccomp_release(filter);
	return done;
}
