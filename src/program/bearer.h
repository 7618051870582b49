/*-------------------------------------------------------------------------
 *
 * src/program/bearer.h
 *		Tokens that prove who calls (RFC 6750): the metadata "authorization"
 *		of a call is the scheme and a token.
 *
 * Pure; any thread.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_PROGRAM_BEARER_H
#define PA_PROGRAM_BEARER_H

#include <stddef.h>

#define PA_BEARER_SCHEME	"Bearer "
#define PA_BEARER_LIMIT		16384	/* bytes of the longest token */

/*
 * What is wrong with a token, as the end of a sentence about it; NULL if
 * nothing.  The text is constant.  RFC 6750 has fewer characters; what cannot
 * be metadata is refused.
 */
extern const char *pa_bearer_fault(const char *token, size_t length);

#endif							/* PA_PROGRAM_BEARER_H */
