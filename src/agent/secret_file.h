/*-------------------------------------------------------------------------
 *
 * src/agent/secret_file.h
 *		Files that hold keys: read only if nobody else can read them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_SECRET_FILE_H
#define PA_AGENT_SECRET_FILE_H

#include <stddef.h>

#define PA_SECRET_FILE_LIMIT	(16 * 1024 * 1024)	/* bytes */

/*
 * Reads a whole file, as text without NUL.  It must be a regular file with
 * the permissions that PostgreSQL wants of ssl_key_file: 0600 or less, or
 * 0640 or less if it is root's.  Returns NULL, with the reason ("could not
 * ...", without the path), if it cannot be used.  The result is given back
 * to pa_secret_free.
 */
extern char *pa_secret_file_read(const char *path, char *problem, size_t size);

/* overwrites and frees a text; NULL is allowed */
extern void pa_secret_free(char *text);

#endif							/* PA_AGENT_SECRET_FILE_H */
