/*-------------------------------------------------------------------------
 *
 * src/agent/rule_file.c
 *		The rules of a behaviour file, kept up with the file.  Contract in
 *		rule_file.h.
 *
 *-------------------------------------------------------------------------
 */
#include "rule_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "memory.h"

#define LARGEST_FILE	(16 * 1024 * 1024)

struct PaRuleFile
{
	char	   *path;
	PaRules    *rules;
	struct stat status;			/* of the file when it was read */
	bool		missing;		/* said so already */
};

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

/*
 * The text of the file, to be freed, and its length, which is more than
 * strlen if there is a NUL in it; NULL, with errno set, if it failed.
 */
static char *
read_text(const char *path, struct stat *status, size_t *length)
{
	int			fd = open(path, O_RDONLY | O_CLOEXEC);
	char	   *text = NULL;
	size_t		used = 0;

	if (fd < 0)
		return NULL;
	if (fstat(fd, status) == 0)
	{
		size_t		capacity = 4096;
		ssize_t		result = 0;

		text = pa_memory_allocate(capacity);
		while (used < LARGEST_FILE &&
			   (result = read(fd, text + used, capacity - used - 1)) > 0)
		{
			used += (size_t) result;
			if (capacity - used < 2)
				text = pa_memory_resize(text, capacity *= 2);
		}
		if (used >= LARGEST_FILE)
			errno = EFBIG;
		if (result != 0)
		{
			free(text);
			text = NULL;
		}
		else
			text[used] = '\0';
	}
	*length = used;
	close(fd);
	return text;
}

/* reads the file anew; false, with the reason, if it cannot be used */
static bool
load(PaRuleFile *file, char *problem, size_t size)
{
	size_t		length;
	char	   *text = read_text(file->path, &file->status, &length);
	PaRules    *rules;

	if (text == NULL)
	{
		snprintf(problem, size, "could not read behaviour file \"%s\": %s",
				 file->path, strerror(errno));
		return false;
	}
	if (strlen(text) != length)
	{
		snprintf(problem, size, "behaviour file \"%s\" contains a NUL byte",
				 file->path);
		free(text);
		return false;
	}
	rules = pa_behaviour_parse(text, file->path, problem, size);
	free(text);
	if (rules == NULL)
		return false;
	pa_behaviour_release(file->rules);
	file->rules = rules;
	return true;
}

PaRuleFile *
pa_rule_file_open(const char *path, char *problem, size_t size)
{
	PaRuleFile *file = pa_memory_allocate_zeroed(sizeof(*file));

	file->path = pa_memory_copy_string(path);
	if (load(file, problem, size))
		return file;
	pa_rule_file_close(file);
	return NULL;
}

PaRules *
pa_rule_file_rules(PaRuleFile *file, bool force)
{
	struct stat status;
	char		problem[512];

	if (stat(file->path, &status) != 0)
	{
		if (!file->missing)
			fprintf(stderr,
					"power_agent: could not read behaviour file \"%s\": %s; the rules stay as they are\n",
					file->path, strerror(errno));
		file->missing = true;
		return file->rules;
	}
	file->missing = false;
	if (!force && same_file(&status, &file->status))
		return file->rules;
	file->status = status;
	if (!load(file, problem, sizeof(problem)))
		fprintf(stderr, "power_agent: %s; the rules stay as they are\n", problem);
	return file->rules;
}

void
pa_rule_file_close(PaRuleFile *file)
{
	pa_behaviour_release(file->rules);
	free(file->path);
	free(file);
}
