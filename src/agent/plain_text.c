/*-------------------------------------------------------------------------
 *
 * src/agent/plain_text.c
 *		What others wrote, made fit for a message.  Contract in plain_text.h.
 *
 *-------------------------------------------------------------------------
 */
#include "plain_text.h"

#include <stdbool.h>
#include <string.h>

#include "program/utf8.h"

/* where the last lines begin that are no longer than this */
static size_t
last_lines(const char *bytes, size_t length, size_t most)
{
	size_t		at = length > most ? length - most : 0;
	const char *end;

	if (at == 0 || bytes[at - 1] == '\n')
		return at;
	end = memchr(bytes + at, '\n', length - at);
	return end != NULL && end + 1 < bytes + length ?
		(size_t) (end - bytes) + 1 : at;
}

void
pa_plain_text(char *to, size_t size, const char *bytes, size_t length)
{
	size_t		at = last_lines(bytes, length, size - 1);
	size_t		used = 0;

	/* not within a character */
	while (at > 0 && at < length && ((unsigned char) bytes[at] & 0xc0) == 0x80)
		at++;
	while (at < length)
	{
		size_t		valid = pa_utf8_valid_length(bytes + at, length - at);

		for (size_t i = 0; i < valid; i++, at++)
		{
			unsigned char byte = (unsigned char) bytes[at];

			if (byte > ' ' && byte != 0x7f)
				to[used++] = (char) byte;
			else if (used > 0 && to[used - 1] != ' ')
				to[used++] = ' ';
		}
		if (at < length)
		{
			to[used++] = '?';
			at++;
		}
	}
	while (used > 0 && to[used - 1] == ' ')
		used--;
	to[used] = '\0';
}
