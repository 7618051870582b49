/*-------------------------------------------------------------------------
 *
 * src/agent/secret_file.c
 *		Files that hold keys: read only if nobody else can read them.  Contract
 *		in secret_file.h.
 *
 *-------------------------------------------------------------------------
 */
#include "secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "memory.h"

static bool
check_access(const struct stat *status, char *problem, size_t size)
{
	mode_t		forbidden = S_IRWXG | S_IRWXO;

	if (!S_ISREG(status->st_mode))
	{
		snprintf(problem, size, "it is not a regular file");
		return false;
	}
	if (status->st_uid != 0 && status->st_uid != geteuid())
	{
		snprintf(problem, size,
				 "it holds keys: it must belong to the user that runs power_agent, or to root");
		return false;
	}
	if (status->st_uid == 0)
		forbidden = S_IWGRP | S_IXGRP | S_IRWXO;
	if (status->st_mode & forbidden)
	{
		snprintf(problem, size,
				 "it holds keys, and its permissions are %03o: they must be 0600 or less, or 0640 or less if root owns it",
				 (unsigned int) (status->st_mode & 0777));
		return false;
	}
	return true;
}

/*
 * The room is made before reading and never moves, so that no copy is left
 * behind.
 */
static char *
read_open_file(int fd, char *problem, size_t size)
{
	struct stat status;
	size_t		capacity;
	size_t		used = 0;
	ssize_t		result;
	char	   *text;

	if (fstat(fd, &status) != 0)
	{
		snprintf(problem, size, "could not look at it: %s", strerror(errno));
		return NULL;
	}
	if (!check_access(&status, problem, size))
		return NULL;
	if (status.st_size > PA_SECRET_FILE_LIMIT)
	{
		snprintf(problem, size, "it is larger than %d MB",
				 PA_SECRET_FILE_LIMIT / 1024 / 1024);
		return NULL;
	}
	capacity = (size_t) status.st_size + 1;
	text = pa_memory_allocate(capacity);
	while ((result = read(fd, text + used, capacity - used)) > 0)
	{
		used += (size_t) result;
		if (used == capacity)
			break;
	}
	if (result < 0)
		snprintf(problem, size, "could not read it: %s", strerror(errno));
	else if (used == capacity)
		snprintf(problem, size, "it grew while it was read");
	else if (memchr(text, '\0', used) != NULL)
		snprintf(problem, size, "it is not a text: it has NUL bytes");
	else
	{
		text[used] = '\0';
		return text;
	}
	explicit_bzero(text, capacity);
	free(text);
	return NULL;
}

char *
pa_secret_file_read(const char *path, char *problem, size_t size)
{
	/* a FIFO in its place would hold up the opening for ever */
	int			fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char	   *text;

	if (fd < 0)
	{
		snprintf(problem, size, "could not open it: %s", strerror(errno));
		return NULL;
	}
	text = read_open_file(fd, problem, size);
	close(fd);
	return text;
}

void
pa_secret_free(char *text)
{
	if (text == NULL)
		return;
	explicit_bzero(text, strlen(text));
	free(text);
}
