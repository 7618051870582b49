/*-------------------------------------------------------------------------
 *
 * src/agent/plain_text.h
 *		What others wrote, made fit for a message.  Pure.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_PLAIN_TEXT_H
#define PA_AGENT_PLAIN_TEXT_H

#include <stddef.h>

/*
 * Writes a text in one line: blanks for line ends and control characters, a
 * question mark for what is not UTF-8.  Of one that is too long it writes
 * the last lines that fit, or the end of the last.
 */
extern void pa_plain_text(char *to, size_t size, const char *bytes,
						  size_t length);

#endif							/* PA_AGENT_PLAIN_TEXT_H */
