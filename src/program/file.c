/*-------------------------------------------------------------------------
 *
 * src/program/file.c
 *		Files that an option names, and that may change at any time.
 *		Contract in file.h.
 *
 *-------------------------------------------------------------------------
 */
/* for explicit_bzero */
#define _GNU_SOURCE 1

#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file_rule.h"
#include "memory.h"

void
pa_file_init(PaFile *file, const char *option, const char *path,
			 PaFileKind kind, size_t limit)
{
	memset(file, 0, sizeof(*file));
	file->option = option;
	file->path = path != NULL ? pa_memory_copy_string(path) : NULL;
	file->kind = kind;
	file->limit = limit;
}

bool
pa_file_refuse(const PaFile *file, char *problem, size_t size,
			   const char *format,...)
{
	va_list		arguments;
	int			length = 0;

	if (file->option != NULL)
		length = snprintf(problem, size, "%s \"%s\": ", file->option,
						  file->path);
	if (length < 0 || (size_t) length >= size)
		return false;
	va_start(arguments, format);
	vsnprintf(problem + length, size - (size_t) length, format, arguments);
	va_end(arguments);
	return false;
}

static bool
refuse_size(const PaFile *file, char *problem, size_t size)
{
	return pa_file_refuse(file, problem, size, "it is larger than %zu bytes",
						  file->limit);
}

static bool
check_kind(const PaFile *file, const struct stat *status, char *problem,
		   size_t size)
{
	char		reason[256];

	if (file->kind == PA_FILE_ANY)
		return true;
	if (!pa_file_rule_check(status, file->kind == PA_FILE_SECRET, geteuid(),
							reason, sizeof(reason)))
		return pa_file_refuse(file, problem, size, "%s", reason);
	if ((size_t) status->st_size > file->limit)
		return refuse_size(file, problem, size);
	return true;
}

static void
overwrite_and_free(char *text, size_t length)
{
	if (text != NULL)
		explicit_bzero(text, length);
	free(text);
}

/* true if all of it was read: up to the end, within the limit */
static bool
read_text(PaFile *file, int fd, char *problem, size_t size)
{
	size_t		capacity = 4096;
	ssize_t		count;

	file->text = pa_memory_allocate(capacity);
	for (;;)
	{
		count = read(fd, file->text + file->length,
					 capacity - file->length - 1);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return pa_file_refuse(file, problem, size, "%s", strerror(errno));
		if (count == 0)
			break;
		file->length += (size_t) count;
		if (file->length > file->limit)
			return refuse_size(file, problem, size);
		if (capacity - file->length < 2)
		{
			/* not resized: the old place would keep a secret */
			char	   *larger = pa_memory_allocate(capacity * 2);

			memcpy(larger, file->text, file->length);
			overwrite_and_free(file->text, file->length);
			file->text = larger;
			capacity *= 2;
		}
	}
	file->text[file->length] = '\0';
	if (strlen(file->text) != file->length)
		return pa_file_refuse(file, problem, size,
							  "it is not a text: it contains a NUL byte");
	return true;
}

static PaFileState
state_of(const struct stat *status)
{
	return (PaFileState) {
		.device = status->st_dev,
		.inode = status->st_ino,
		.size = status->st_size,
		.modified = status->st_mtim,
		.changed = status->st_ctim
	};
}

bool
pa_file_read(PaFile *file, char *problem, size_t size)
{
	/* or a FIFO in place of a file would keep us waiting for a writer */
	int			flags = file->kind == PA_FILE_ANY ? 0 : O_NONBLOCK;
	int			fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | flags);
	struct stat status;
	bool		good;

	pa_file_forget(file);
	if (fd < 0 || fstat(fd, &status) != 0)
		good = pa_file_refuse(file, problem, size, "%s", strerror(errno));
	else
	{
		/* before it is read: if it is written to from here on, it has changed */
		file->seen = state_of(&status);
		good = check_kind(file, &status, problem, size) &&
			read_text(file, fd, problem, size);
	}
	if (!good)
		pa_file_forget(file);
	if (fd >= 0)
		close(fd);
	return good;
}

/* a file that is not there is as good a state as any */
static PaFileState
present_state(const char *path)
{
	struct stat status;

	if (stat(path, &status) != 0)
		memset(&status, 0, sizeof(status));
	return state_of(&status);
}

static bool
same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool
same_state(const PaFileState *a, const PaFileState *b)
{
	return a->device == b->device && a->inode == b->inode &&
		a->size == b->size && same_time(a->modified, b->modified) &&
		same_time(a->changed, b->changed);
}

bool
pa_file_has_changed(const PaFile *file)
{
	PaFileState now = present_state(file->path);

	return !same_state(&now, &file->seen);
}

bool
pa_file_look(PaFile *file)
{
	PaFileState now = present_state(file->path);
	bool		changed = !same_state(&now, &file->seen);

	file->seen = now;
	return changed;
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
	overwrite_and_free(file->text, file->length);
	file->text = NULL;
	file->length = 0;
}

void
pa_file_release(PaFile *file)
{
	pa_file_forget(file);
	free(file->path);
	file->path = NULL;
}
