/*-------------------------------------------------------------------------
 *
 * src/program/file.h
 *		Files that an option names, and that may change at any time: reading
 *		them, noticing changes, and saying what is wrong with them.
 *
 * A file belongs to one thread at a time.  Problems are written as
 *		option "path": what is wrong
 * or, if there is no option, only as what is wrong.  They never show anything
 * of a file's content.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_PROGRAM_FILE_H
#define PA_PROGRAM_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>

typedef enum PaFileKind
{
	PA_FILE_ANY,				/* a pipe will do */
	PA_FILE_REGULAR,
	PA_FILE_SECRET				/* regular, and as file_rule.h wants it */
} PaFileKind;

/* which file it is, in which state; zeroed: there is none */
typedef struct PaFileState
{
	dev_t		device;
	ino_t		inode;
	off_t		size;
	struct timespec modified;
	struct timespec changed;
} PaFileState;

typedef struct PaFile
{
	const char *option;			/* as messages call it; NULL: they do not */
	char	   *path;			/* NULL: there is no such file */
	PaFileKind	kind;
	size_t		limit;			/* bytes that it may have */

	char	   *text;			/* NULL: not read */
	size_t		length;			/* up to the NUL at its end, the only one */
	PaFileState seen;
} PaFile;

/*
 * Sets up a file that is not read yet.  The option is a constant, or NULL; the
 * path is copied, and may be NULL.  To be released.
 */
extern void pa_file_init(PaFile *file, const char *option, const char *path,
						 PaFileKind kind, size_t limit);

/*
 * Reads the file, which counts as seen then.  False, with the problem, if it
 * cannot be had, or is no text because there is a NUL in it.
 */
extern bool pa_file_read(PaFile *file, char *problem, size_t size);

/*
 * True if what is at the path is another file than was seen last, or was
 * changed since, or has come or gone.
 */
extern bool pa_file_has_changed(const PaFile *file);

/* the same; what is there now counts as seen */
extern bool pa_file_look(PaFile *file);

extern bool pa_file_same_text(const PaFile *a, const PaFile *b);

/* writes the problem and returns false */
extern bool pa_file_refuse(const PaFile *file, char *problem, size_t size,
						   const char *format,...)
			__attribute__((format(printf, 4, 5)));

/* overwrites the text, and frees it; fine for one that was never read */
extern void pa_file_forget(PaFile *file);

/* forgets the text, and frees the path */
extern void pa_file_release(PaFile *file);

#endif							/* PA_PROGRAM_FILE_H */
