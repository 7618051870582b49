/*-------------------------------------------------------------------------
 *
 * src/courier/file.h
 *		Reading small files of certificates and secrets, and noticing that
 *		they have changed.
 *
 * The reader thread.  Nothing of a file's content is ever part of a message.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_COURIER_FILE_H
#define PA_COURIER_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>

typedef struct PaFile
{
	char	   *text;			/* NUL-terminated; NULL: not read */
	size_t		length;			/* without the NUL */

	/* which file it was, in which state */
	dev_t		device;
	ino_t		inode;
	struct timespec modified;
	struct timespec changed;
} PaFile;

/*
 * Reads a regular file of at most "limit" bytes.  "secret": nobody but the
 * owner, who is our user, may access it (0600); root may own it and let a
 * group of ours read it (0640).  That is PostgreSQL's rule for ssl_key_file.
 * False if it cannot be had; then "problem" says why.  The file is to be
 * forgotten after true.
 */
extern bool pa_file_read(PaFile *file, const char *path, bool secret,
						 size_t limit, char *problem, size_t problem_size);

/* true if what is at the path now is not what was read */
extern bool pa_file_has_changed(const PaFile *file, const char *path);

extern bool pa_file_same_text(const PaFile *a, const PaFile *b);

/* overwrites the text before it is freed; fine for one that was never read */
extern void pa_file_forget(PaFile *file);

#endif							/* PA_COURIER_FILE_H */
