/*-------------------------------------------------------------------------
 *
 * src/agent/command_words.c
 *		The words of a command line.  Contract in command_words.h.
 *
 *-------------------------------------------------------------------------
 */
#include "command_words.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "program/memory.h"

char **
pa_command_words_split(const char *text, size_t *count)
{
	size_t		length = strlen(text);
	/* a word needs a character, and one before the next */
	size_t		most = length / 2 + 2;
	char	  **words = pa_memory_allocate(most * sizeof(*words) + length + 1);
	char	   *to = (char *) (words + most);
	bool		within = false;
	bool		quoted = false;

	*count = 0;
	for (; *text != '\0'; text++)
	{
		if (!quoted && (*text == ' ' || *text == '\t'))
		{
			if (within)
				*to++ = '\0';
			within = false;
			continue;
		}
		if (!within)
			words[(*count)++] = to;
		within = true;
		if (*text == '"')
			quoted = !quoted;
		else
		{
			if (quoted && *text == '\\' && text[1] != '\0')
				text++;
			*to++ = *text;
		}
	}
	*to = '\0';
	words[*count] = NULL;
	if (!quoted)
		return words;
	free(words);
	return NULL;
}
