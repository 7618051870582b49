/*-------------------------------------------------------------------------
 *
 * src/program/secret.c
 *		Texts that must not stay in memory.  Contract in secret.h.
 *
 *-------------------------------------------------------------------------
 */
/* for explicit_bzero */
#define _GNU_SOURCE 1

#include "secret.h"

#include <stdlib.h>
#include <string.h>

void
pa_secret_free(char *text)
{
	if (text == NULL)
		return;
	explicit_bzero(text, strlen(text));
	free(text);
}
