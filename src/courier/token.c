/*-------------------------------------------------------------------------
 *
 * src/courier/token.c
 *		The token that proves to an agent who calls.
 *
 * See token.h.
 *
 *-------------------------------------------------------------------------
 */
#include "token.h"

bool
pa_token_check(const char *text, size_t length, size_t *used,
			   const char **problem)
{
	while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == '\r'))
		length--;

	*problem = NULL;
	if (length == 0)
		*problem = "there is no token in it";
	else if (length > PA_TOKEN_LIMIT)
		*problem = "the token is longer than 16 kB";

	/* RFC 6750 has fewer characters; what is no metadata at all is refused */
	for (size_t i = 0; i < length && *problem == NULL; i++)
	{
		if (text[i] == '\n' || text[i] == '\r')
			*problem = "there is more than one line in it";
		else if (text[i] <= ' ' || text[i] > '~')
			*problem = "the token must be of printable ASCII characters without blanks";
	}
	*used = length;
	return *problem == NULL;
}
