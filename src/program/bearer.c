/*-------------------------------------------------------------------------
 *
 * src/program/bearer.c
 *		Tokens that prove who calls.  Contract in bearer.h.
 *
 *-------------------------------------------------------------------------
 */
#include "bearer.h"

#define TEXT_OF(number)		#number
#define LIMIT_TEXT(number)	TEXT_OF(number)

const char *
pa_bearer_fault(const char *token, size_t length)
{
	if (length > PA_BEARER_LIMIT)
		return "is longer than " LIMIT_TEXT(PA_BEARER_LIMIT) " bytes";
	for (size_t i = 0; i < length; i++)
	{
		if (token[i] <= ' ' || token[i] > '~')
			return "must be of printable ASCII characters without blanks";
	}
	return NULL;
}
