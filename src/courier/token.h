/*-------------------------------------------------------------------------
 *
 * src/courier/token.h
 *		The token that proves to an agent who calls.
 *
 * Pure.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_COURIER_TOKEN_H
#define PA_COURIER_TOKEN_H

#include <stdbool.h>
#include <stddef.h>

#define PA_TOKEN_LIMIT	(16 * 1024) /* bytes */

/*
 * Looks at the content of a token file, which is the token and perhaps the
 * end of its line.  *used is the length of the token, which begins where the
 * text does.  False if it is none; then *problem, a constant, says why.
 */
extern bool pa_token_check(const char *text, size_t length, size_t *used,
						   const char **problem);

#endif							/* PA_COURIER_TOKEN_H */
