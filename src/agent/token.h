/*-------------------------------------------------------------------------
 *
 * src/agent/token.h
 *		The tokens that a call may show (RFC 6750), kept up with their file.
 *
 * One token a line, any of which will do, so that a new one can be made
 * known before the old one goes.  Only digests of them are kept.
 *
 * Not locked: everything but open and close happens under the server's lock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_TOKEN_H
#define PA_AGENT_TOKEN_H

#include <stdbool.h>
#include <stddef.h>

typedef struct PaTokens PaTokens;

/* NULL, with the option, the file and the reason, if it cannot be used */
extern PaTokens *pa_token_open(const char *path, char *problem, size_t size);

/*
 * Checks the value of a call's metadata "authorization", of which there are
 * "count", against the tokens as the file has them now: it is looked at
 * every time, and read if it has changed.  Returns NULL if the call may come
 * in, else why not; the text is constant and holds nothing of the value.
 *
 * How long it takes depends on the length of the value and the number of
 * tokens, not on how much of a token is right.
 */
extern const char *pa_token_check(PaTokens *tokens, const char *value,
								  size_t length, int count);

/* reads the file again; what is wrong with it is told and changes nothing */
extern void pa_token_reload(PaTokens *tokens);

extern void pa_token_close(PaTokens *tokens);

#endif							/* PA_AGENT_TOKEN_H */
