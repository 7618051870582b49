/*-------------------------------------------------------------------------
 *
 * src/agent/process_usage.c
 *		What this process uses of the machine.  Contract in process_usage.h.
 *
 *-------------------------------------------------------------------------
 */
#include "process_usage.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static int64_t
microseconds(clockid_t clock)
{
	struct timespec now;

	if (clock_gettime(clock, &now) != 0)
		return -1;
	return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t
pa_process_start_time(void)
{
	FILE	   *file = fopen("/proc/self/stat", "re");
	long		ticks = sysconf(_SC_CLK_TCK);
	char		line[2048];
	char	   *at = NULL;
	long long	started;

	if (file == NULL)
		return -1;
	if (fgets(line, sizeof(line), file) != NULL)
		at = strrchr(line, ')');	/* the name may have anything in it */
	fclose(file);
	/* field 22: ticks since the machine was booted */
	if (at == NULL || ticks <= 0 ||
		sscanf(at + 1,
			   " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %lld",
			   &started) != 1)
		return -1;
	return microseconds(CLOCK_REALTIME) - microseconds(CLOCK_BOOTTIME) +
		(int64_t) started * 1000000 / ticks;
}

static void
read_memory(PaProcessUsage *usage)
{
	FILE	   *file = fopen("/proc/self/statm", "re");
	long		page = sysconf(_SC_PAGESIZE);
	long long	virtual;
	long long	resident;

	if (file == NULL)
		return;
	if (fscanf(file, "%lld %lld", &virtual, &resident) == 2)
	{
		usage->virtual = (int64_t) virtual * page;
		usage->resident = (int64_t) resident * page;
	}
	fclose(file);
}

static void
count_fds(PaProcessUsage *usage)
{
	DIR		   *directory = opendir("/proc/self/fd");
	int64_t		count = 0;

	if (directory == NULL)
		return;
	for (const struct dirent *entry; (entry = readdir(directory)) != NULL;)
		count += entry->d_name[0] != '.';
	closedir(directory);
	/* without the one that it was read through */
	usage->open_fds = count - 1;
}

void
pa_process_usage_read(PaProcessUsage *usage)
{
	struct rlimit limit;

	usage->cpu = microseconds(CLOCK_PROCESS_CPUTIME_ID);
	usage->resident = usage->virtual = usage->open_fds = usage->max_fds = -1;
	read_memory(usage);
	count_fds(usage);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
		usage->max_fds = (int64_t) limit.rlim_cur;
}
