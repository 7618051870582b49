/*-------------------------------------------------------------------------
 *
 * src/program/secret.h
 *		Texts that must not stay in memory: keys, tokens.
 *
 * Any thread.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_PROGRAM_SECRET_H
#define PA_PROGRAM_SECRET_H

/* overwrites and frees a text, which ends with a NUL; NULL is allowed */
extern void pa_secret_free(char *text);

#endif							/* PA_PROGRAM_SECRET_H */
