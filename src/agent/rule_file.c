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

#include "program/file.h"
#include "program/memory.h"

#define LARGEST_FILE	(16 * 1024 * 1024)

struct PaRuleFile
{
	PaFile		file;			/* its text is kept only while it is read */
	PaRules    *rules;
};

/* reads the file anew; false, with the reason, if it cannot be used */
static bool
load(PaRuleFile *file, char *problem, size_t size)
{
	PaRules    *rules;

	if (!pa_file_read(&file->file, problem, size))
		return false;
	rules = pa_behaviour_parse(file->file.text, file->file.path, problem, size);
	pa_file_forget(&file->file);
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

	pa_file_init(&file->file, "--behaviour", path, PA_FILE_ANY, LARGEST_FILE);
	if (load(file, problem, size))
		return file;
	pa_rule_file_close(file);
	return NULL;
}

PaRules *
pa_rule_file_rules(PaRuleFile *file, bool force)
{
	char		problem[512];
	bool		changed = pa_file_look(&file->file);

	if ((changed || force) && !load(file, problem, sizeof(problem)))
		fprintf(stderr, "power_agent: %s; the rules stay as they are\n", problem);
	return file->rules;
}

void
pa_rule_file_close(PaRuleFile *file)
{
	pa_behaviour_release(file->rules);
	pa_file_release(&file->file);
	free(file);
}
