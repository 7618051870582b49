/*-------------------------------------------------------------------------
 *
 * src/courier/text.c
 *		Makes text from the network fit to be shown and stored.
 *
 * See text.h.
 *
 *-------------------------------------------------------------------------
 */
#include <stdint.h>
#include <string.h>

#include "program/utf8.h"
#include "text.h"

static const char REPLACEMENT[] = "\xEF\xBF\xBD";	/* U+FFFD */

static bool
is_space(int32_t code)
{
	return (code >= '\t' && code <= '\r') || code == 0x85 ||
		code == 0x2028 || code == 0x2029;
}

static bool
is_control(int32_t code)
{
	return (code >= 0 && code < 0x20) || (code >= 0x7F && code < 0xA0);
}

bool
pa_text_is_clean(const char *text, size_t length, size_t limit)
{
	if (length > limit)
		return false;
	for (size_t i = 0; i < length;)
	{
		int32_t		code;

		if (text[i] >= 0x20 && text[i] < 0x7F)
		{
			i++;
			continue;
		}
		i += pa_utf8_decode(text + i, length - i, &code);
		if (code < 0 || is_space(code) || is_control(code))
			return false;
	}
	return true;
}

size_t
pa_text_clean(char *out, size_t limit, const char *text, size_t length)
{
	size_t		written = 0;

	for (size_t i = 0; i < length;)
	{
		const char *piece = text + i;
		size_t		piece_length;
		int32_t		code;

		piece_length = pa_utf8_decode(text + i, length - i, &code);
		i += piece_length;
		if (code < 0)
		{
			piece = REPLACEMENT;
			piece_length = sizeof(REPLACEMENT) - 1;
		}
		else if (is_space(code))
		{
			piece = " ";
			piece_length = 1;
		}
		else if (is_control(code))
			continue;

		if (piece_length > limit - written)
			break;
		memcpy(out + written, piece, piece_length);
		written += piece_length;
	}
	out[written] = '\0';
	return written;
}
