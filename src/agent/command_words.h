/*-------------------------------------------------------------------------
 *
 * src/agent/command_words.h
 *		The words of a command line, as the accounts file has them.  Pure, but
 *		for memory.
 *
 * Words have blanks between them.  Between double quotes blanks belong to
 * the word, and a backslash makes the next character an ordinary one.
 * Nothing else means anything: no shell ever sees them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_COMMAND_WORDS_H
#define PA_AGENT_COMMAND_WORDS_H

#include <stddef.h>

/*
 * The words, NULL last, in one piece of memory to be freed by the caller.
 * NULL if a quote is not closed.  Their number goes to *count.
 */
extern char **pa_command_words_split(const char *text, size_t *count);

#endif							/* PA_AGENT_COMMAND_WORDS_H */
