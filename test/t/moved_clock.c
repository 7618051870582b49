/*-------------------------------------------------------------------------
 *
 * test/t/moved_clock.c
 *		A library to be preloaded: moves the clocks of a test server.
 *
 * The file that MOVED_CLOCK names holds two signed numbers of 64 bits, in
 * microseconds: what is added to the calendar, and what is added to the
 * clock that nobody can set.  Whoever writes them moves the clocks of all
 * processes of the server at once.
 *
 * libfaketime would not do: what it fakes is switched off during a select(),
 * and that is where the postmaster of PostgreSQL 15 starts background
 * workers, in the handler of a signal.
 *
 *-------------------------------------------------------------------------
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const int64_t unmoved[2];
static const volatile int64_t *moved = unmoved;

static void __attribute__((constructor))
map_file(void)
{
	const char *name = getenv("MOVED_CLOCK");
	int			file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
	void	   *map;

	if (file < 0)
		return;
	map = mmap(NULL, sizeof(unmoved), PROT_READ, MAP_SHARED, file, 0);
	close(file);
	if (map == MAP_FAILED)
		abort();
	moved = map;
}

int
clock_gettime(clockid_t clock, struct timespec *now)
{
	int			result = (int) syscall(SYS_clock_gettime, clock, now);
	int64_t		nanoseconds;

	if (result != 0 || (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC))
		return result;
	nanoseconds = now->tv_nsec +
		moved[clock == CLOCK_MONOTONIC] % 1000000 * 1000;
	now->tv_sec += moved[clock == CLOCK_MONOTONIC] / 1000000;
	if (nanoseconds < 0 || nanoseconds >= 1000000000)
	{
		int			carry = nanoseconds < 0 ? -1 : 1;

		now->tv_sec += carry;
		nanoseconds -= carry * INT64_C(1000000000);
	}
	now->tv_nsec = (long) nanoseconds;
	return 0;
}

int
gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec precise;

	(void) zone;
	clock_gettime(CLOCK_REALTIME, &precise);
	now->tv_sec = precise.tv_sec;
	now->tv_usec = precise.tv_nsec / 1000;
	return 0;
}

time_t
time(time_t *result)
{
	struct timespec precise;

	clock_gettime(CLOCK_REALTIME, &precise);
	if (result)
		*result = precise.tv_sec;
	return precise.tv_sec;
}
