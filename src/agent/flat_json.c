/*-------------------------------------------------------------------------
 *
 * src/agent/flat_json.c
 *		Strings out of one JSON object.  Contract in flat_json.h.
 *
 *-------------------------------------------------------------------------
 */
#include "flat_json.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "program/memory.h"

static const char *
skip_blanks(const char *at)
{
	return at + strspn(at, " \t\r\n");
}

static int
hex_digit(char digit)
{
	if (isdigit((unsigned char) digit))
		return digit - '0';
	if (isxdigit((unsigned char) digit))
		return tolower((unsigned char) digit) - 'a' + 10;
	return -1;
}

/* four digits that mean an ASCII character; -1 if they do not */
static int
unicode(const char *at)
{
	int			code = 0;

	for (int i = 0; i < 4; i++)
	{
		int			digit = hex_digit(at[i]);

		if (digit < 0)
			return -1;
		code = code * 16 + digit;
	}
	return code > 0 && code < 128 ? code : -1;
}

/*
 * Reads a string from its opening quote.  Returns what follows the closing
 * one, NULL if it is not valid; "result" has room for all of it.
 */
static const char *
read_string(const char *at, char *result)
{
	static const char escapes[] = "\"\\/bfnrt";
	static const char meanings[] = "\"\\/\b\f\n\r\t";

	if (*at++ != '"')
		return NULL;
	while (*at != '"')
	{
		const char *escape;
		int			code;

		if ((unsigned char) *at < ' ')
			return NULL;
		if (*at != '\\')
		{
			*result++ = *at++;
			continue;
		}
		at++;
		if (*at == 'u')
		{
			code = unicode(at + 1);
			if (code < 0)
				return NULL;
			*result++ = (char) code;
			at += 5;
			continue;
		}
		escape = *at ? strchr(escapes, *at) : NULL;
		if (escape == NULL)
			return NULL;
		*result++ = meanings[escape - escapes];
		at++;
	}
	*result = '\0';
	return at + 1;
}

char *
pa_flat_json_string(const char *text, const char *name)
{
	size_t		room = strlen(text) + 1;
	char	   *member = pa_memory_allocate(room);
	char	   *value = pa_memory_allocate(room);
	const char *at = skip_blanks(text);
	bool		found = false;

	if (*at == '{')
		at = skip_blanks(at + 1);
	else
		at = NULL;
	while (at != NULL && !found)
	{
		bool		string;

		at = read_string(at, member);
		if (at == NULL)
			break;
		at = skip_blanks(at);
		if (*at != ':')
			break;
		at = skip_blanks(at + 1);
		string = *at == '"';
		if (string)
			at = read_string(at, value);
		else
		{
			size_t		length = strcspn(at, ",}{[\" \t\r\n");

			at = length > 0 ? at + length : NULL;
		}
		found = at != NULL && string && strcmp(member, name) == 0;
		if (at == NULL || found)
			break;
		at = skip_blanks(at);
		at = *at == ',' ? skip_blanks(at + 1) : NULL;
	}
	free(member);
	if (!found)
	{
		explicit_bzero(value, room);
		free(value);
		return NULL;
	}
	return value;
}
