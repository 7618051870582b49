/*-------------------------------------------------------------------------
 *
 * src/agent/rule_file.c
 *		The rules of a behaviour file, kept up with the file.  Contract in
 *		rule_file.h.
 *
 *-------------------------------------------------------------------------
 */
#include "rule_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "memory.h"

#define LARGEST_FILE	(16 * 1024 * 1024)

struct PaRuleFile
{
	char	   *path;
	PaRules    *rules;
	struct stat seen;
};

/* reads the file anew; false, with the reason, if it cannot be used */
static bool
load(PaRuleFile *file, char *problem, size_t size)
{
	char		reason[256];
	size_t		length;
	char	   *text = pa_file_read(file->path, PA_FILE_ANY, LARGEST_FILE, &length,
									reason, sizeof(reason));
	PaRules    *rules;

	if (text == NULL)
	{
		snprintf(problem, size, "could not read behaviour file \"%s\": %s",
				 file->path, reason);
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
	pa_file_changed(path, &file->seen);
	if (load(file, problem, size))
		return file;
	pa_rule_file_close(file);
	return NULL;
}

PaRules *
pa_rule_file_rules(PaRuleFile *file, bool force)
{
	char		problem[512];
	bool		changed = pa_file_changed(file->path, &file->seen);

	if ((changed || force) && !load(file, problem, sizeof(problem)))
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
