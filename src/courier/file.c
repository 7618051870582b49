/*-------------------------------------------------------------------------
 *
 * src/courier/file.c
 *		Small files of certificates and secrets.
 *
 * See file.h.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE				/* explicit_bzero */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"

static void
note_state(PaFile *file, const struct stat *status)
{
	file->device = status->st_dev;
	file->inode = status->st_ino;
	file->modified = status->st_mtim;
	file->changed = status->st_ctim;
}

static bool
same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static const char *
objection(const struct stat *status, bool secret, size_t limit)
{
	if (!S_ISREG(status->st_mode))
		return "it is not a regular file";
	if (secret && status->st_uid != geteuid() && status->st_uid != 0)
		return "it must be owned by the user of the server or by root";
	if (secret && status->st_uid == geteuid() &&
		(status->st_mode & (S_IRWXG | S_IRWXO)) != 0 && status->st_uid != 0)
		return "others may access it; permissions should be 0600";
	if (secret && status->st_uid == 0 &&
		(status->st_mode & (S_IWGRP | S_IXGRP | S_IRWXO)) != 0)
		return "others may access it; permissions should be 0640 or less";
	if ((size_t) status->st_size > limit)
		return "it is too large";
	return NULL;
}

/* true if all of it was read: up to the end, which the limit is not */
static bool
read_all(int fd, PaFile *file, size_t limit, char *problem,
		 size_t problem_size)
{
	for (;;)
	{
		ssize_t		count;

		count = read(fd, file->text + file->length, limit + 1 - file->length);
		if (count == 0)
			return true;
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
		{
			snprintf(problem, problem_size, "%s", strerror(errno));
			return false;
		}
		file->length += (size_t) count;
		if (file->length > limit)
		{
			snprintf(problem, problem_size, "it is too large");
			return false;
		}
	}
}

bool
pa_file_read(PaFile *file, const char *path, bool secret, size_t limit,
			 char *problem, size_t problem_size)
{
	struct stat status;
	const char *objected;
	int			fd;
	bool		complete = false;

	memset(file, 0, sizeof(*file));
	/* a FIFO must not keep us waiting for somebody who writes */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &status) != 0)
		snprintf(problem, problem_size, "%s", strerror(errno));
	else if ((objected = objection(&status, secret, limit)) != NULL)
		snprintf(problem, problem_size, "%s", objected);
	else if ((file->text = malloc(limit + 2)) == NULL)
		snprintf(problem, problem_size, "out of memory");
	else
	{
		/* if it is written to from here on, it has changed */
		note_state(file, &status);
		complete = read_all(fd, file, limit, problem, problem_size);
		if (complete)
			file->text[file->length] = '\0';
		else
			pa_file_forget(file);
	}
	if (fd >= 0)
		close(fd);
	return complete;
}

bool
pa_file_has_changed(const PaFile *file, const char *path)
{
	struct stat status;

	return stat(path, &status) != 0 ||
		status.st_dev != file->device || status.st_ino != file->inode ||
		(size_t) status.st_size != file->length ||
		!same_time(status.st_mtim, file->modified) ||
		!same_time(status.st_ctim, file->changed);
}

bool
pa_file_same_text(const PaFile *a, const PaFile *b)
{
	if (a->text == NULL || b->text == NULL)
		return a->text == b->text;
	return a->length == b->length && memcmp(a->text, b->text, a->length) == 0;
}

void
pa_file_forget(PaFile *file)
{
	if (file->text != NULL)
		explicit_bzero(file->text, file->length);
	free(file->text);
	file->text = NULL;
	file->length = 0;
}
