/*-------------------------------------------------------------------------
 *
 * src/agent/file.h
 *		Files that the agent reads, and reads again when they change.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_FILE_H
#define PA_AGENT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

typedef enum PaFileKind
{
	PA_FILE_ANY,				/* a pipe will do */
	PA_FILE_REGULAR,
	PA_FILE_SECRET				/* regular, and nobody else can read it */
} PaFileKind;

/*
 * Reads a file, up to "limit" bytes.  Returns its text, ended by a zero byte
 * that "length" (may be NULL) does not count, to be freed; NULL, with the
 * reason in "problem", which does not name the file.
 *
 * Who may read a secret is what PostgreSQL demands of ssl_key_file: it is the
 * process owner's with mode 0600 or less, or root's with mode 0640 or less.
 */
extern char *pa_file_read(const char *path, PaFileKind kind, size_t limit,
						  size_t *length, char *problem, size_t size);

/*
 * Looks whether the file is another one, or was changed, or has come or
 * gone, since the last time that "seen" was used for it, and remembers that.
 * Zeroed for the first time.  Look before you read: what is written between
 * the two then counts as a change again.
 */
extern bool pa_file_changed(const char *path, struct stat *seen);

#endif							/* PA_AGENT_FILE_H */
