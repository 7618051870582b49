/*-------------------------------------------------------------------------
 *
 * src/agent/process_usage.c
 *		What this process uses of the machine.  Contract in process_usage.h.
 *
 *-------------------------------------------------------------------------
 */
#include "process_usage.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
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

/* The number in a field of a line, counted from 1; -1: there is none. */
static int64_t
number_in(char *line, int field)
{
	char	   *rest = line;
	char	   *word = NULL;
	char	   *end;
	long long	number;

	while (field-- > 0)
		word = strtok_r(NULL, " \n", &rest);
	if (word == NULL)
		return -1;
	errno = 0;
	number = strtoll(word, &end, 10);
	return errno != 0 || end == word || *end != '\0' ? -1 : number;
}

int64_t
pa_process_start_time(void)
{
	FILE	   *file = fopen("/proc/self/stat", "re");
	long		ticks = sysconf(_SC_CLK_TCK);
	char		line[2048];
	char	   *at = NULL;
	int64_t		started;

	if (file == NULL)
		return -1;
	if (fgets(line, sizeof(line), file) != NULL)
		at = strrchr(line, ')');	/* the name may have anything in it */
	fclose(file);
	if (at == NULL || ticks <= 0)
		return -1;
	/* field 22, of which the name is the second: ticks since the boot */
	started = number_in(at + 1, 20);
	if (started < 0)
		return -1;
	return microseconds(CLOCK_REALTIME) - microseconds(CLOCK_BOOTTIME) +
		started * 1000000 / ticks;
}

static void
read_memory(PaProcessUsage *usage)
{
	FILE	   *file = fopen("/proc/self/statm", "re");
	long		page = sysconf(_SC_PAGESIZE);
	char		line[256] = "";
	char		again[256];

	if (file == NULL)
		return;
	if (fgets(line, sizeof(line), file) != NULL)
	{
		int64_t		pages;

		memcpy(again, line, sizeof(again));
		pages = number_in(line, 1);
		if (pages >= 0)
			usage->virtual = pages * page;
		pages = number_in(again, 2);
		if (pages >= 0)
			usage->resident = pages * page;
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
