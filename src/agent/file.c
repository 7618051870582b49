/*-------------------------------------------------------------------------
 *
 * src/agent/file.c
 *		Files that the agent reads, and reads again when they change.
 *		Contract in file.h.
 *
 *-------------------------------------------------------------------------
 */
/* for explicit_bzero */
#define _GNU_SOURCE 1

#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memory.h"

static bool
check_kind(int fd, PaFileKind kind, char *problem, size_t size)
{
	struct stat status;

	if (kind == PA_FILE_ANY)
		return true;
	if (fstat(fd, &status) != 0)
	{
		snprintf(problem, size, "%s", strerror(errno));
		return false;
	}
	if (!S_ISREG(status.st_mode))
	{
		snprintf(problem, size, "it is not a regular file");
		return false;
	}
	if (kind != PA_FILE_SECRET)
		return true;
	if (status.st_uid != 0 && status.st_uid != geteuid())
	{
		snprintf(problem, size,
				 "it belongs to another user: it must be owned by the user of power_agent or by root");
		return false;
	}
	if (status.st_mode & (status.st_uid == 0 ? S_IWGRP | S_IXGRP | S_IRWXO :
						  S_IRWXG | S_IRWXO))
	{
		snprintf(problem, size,
				 "others may read or write it (mode %04o): it must have mode 0600 or less, or 0640 or less if it is owned by root",
				 (unsigned int) (status.st_mode & 07777));
		return false;
	}
	return true;
}

static char *
read_text(int fd, size_t limit, size_t *length, char *problem, size_t size)
{
	size_t		capacity = 4096;
	size_t		used = 0;
	char	   *text = pa_memory_allocate(capacity);
	ssize_t		result;

	while ((result = read(fd, text + used, capacity - used - 1)) > 0)
	{
		used += (size_t) result;
		if (used > limit)
		{
			result = -1;
			errno = EFBIG;
			break;
		}
		if (capacity - used < 2)
		{
			/* not resized: the old place would keep a secret */
			char	   *larger = pa_memory_allocate(capacity * 2);

			memcpy(larger, text, used);
			explicit_bzero(text, used);
			free(text);
			text = larger;
			capacity *= 2;
		}
	}
	if (result < 0)
	{
		snprintf(problem, size, "%s", strerror(errno));
		explicit_bzero(text, used);
		free(text);
		return NULL;
	}
	text[used] = '\0';
	if (length != NULL)
		*length = used;
	return text;
}

char *
pa_file_read(const char *path, PaFileKind kind, size_t limit, size_t *length,
			 char *problem, size_t size)
{
	/* or a named pipe in place of a file would keep us waiting */
	int			flags = kind == PA_FILE_ANY ? 0 : O_NONBLOCK;
	int			fd = open(path, O_RDONLY | O_CLOEXEC | flags);
	char	   *text = NULL;

	if (fd < 0)
	{
		snprintf(problem, size, "%s", strerror(errno));
		return NULL;
	}
	if (check_kind(fd, kind, problem, size))
		text = read_text(fd, limit, length, problem, size);
	close(fd);
	return text;
}

static bool
same_file(const struct stat *left, const struct stat *right)
{
	return left->st_dev == right->st_dev && left->st_ino == right->st_ino &&
		left->st_size == right->st_size &&
		left->st_mtim.tv_sec == right->st_mtim.tv_sec &&
		left->st_mtim.tv_nsec == right->st_mtim.tv_nsec &&
		left->st_ctim.tv_sec == right->st_ctim.tv_sec &&
		left->st_ctim.tv_nsec == right->st_ctim.tv_nsec;
}

bool
pa_file_changed(const char *path, struct stat *seen)
{
	struct stat status;

	/* a file that is not there is as good a state as any */
	if (stat(path, &status) != 0)
		memset(&status, 0, sizeof(status));
	if (same_file(&status, seen))
		return false;
	*seen = status;
	return true;
}
