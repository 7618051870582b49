/*-------------------------------------------------------------------------
 *
 * src/file_rule.h
 *		Which files may be read for an option.
 *
 * Pure: the caller has looked at the file.  The extension, which warns, and
 * the programs, which read, share it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_FILE_RULE_H
#define PA_FILE_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

/*
 * True if a process of the user may use a file of that status; otherwise
 * false, with what is wrong as a sentence about the file.  It must be a
 * regular one.  Who may read a secret is what PostgreSQL demands of
 * ssl_key_file: it is the user's with mode 0600 or less, or root's with mode
 * 0640 or less.
 */
extern bool pa_file_rule_check(const struct stat *status, bool secret,
							   uid_t user, char *problem, size_t size);

#endif							/* PA_FILE_RULE_H */
