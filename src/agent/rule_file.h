/*-------------------------------------------------------------------------
 *
 * src/agent/rule_file.h
 *		The rules of a behaviour file, kept up with the file.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_RULE_FILE_H
#define PA_AGENT_RULE_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "behaviour.h"

typedef struct PaRuleFile PaRuleFile;

/* NULL, with the reason, if the file cannot be used */
extern PaRuleFile *pa_rule_file_open(const char *path, char *problem,
									 size_t size);

/*
 * The rules as the file has them now: it is looked at every time, and read
 * if it is another one, or changed, or if "force".  What is wrong with it is
 * told once on standard error and leaves the rules as they were.  They are
 * valid until the next call; retain them for longer.
 */
extern PaRules *pa_rule_file_rules(PaRuleFile *file, bool force);

extern void pa_rule_file_close(PaRuleFile *file);

#endif							/* PA_AGENT_RULE_FILE_H */
