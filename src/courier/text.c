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

#include "text.h"

static const char REPLACEMENT[] = "\xEF\xBF\xBD";	/* U+FFFD */

/*
 * Decodes the sequence at p.  Returns its length and sets *code, which is -1
 * if it is ill-formed; the length is then that of the maximal subpart.  The
 * limits of the second byte are those of table 3-7 of the Unicode Standard.
 */
static size_t
decode(const uint8_t *p, size_t available, int32_t *code)
{
	uint8_t		low = 0x80,
				high = 0xBF;
	size_t		length;
	int32_t		value;

	*code = -1;
	if (p[0] < 0x80)
	{
		*code = p[0];
		return 1;
	}
	if (p[0] >= 0xC2 && p[0] <= 0xDF)
	{
		length = 2;
		value = p[0] & 0x1F;
	}
	else if (p[0] >= 0xE0 && p[0] <= 0xEF)
	{
		length = 3;
		value = p[0] & 0x0F;
		if (p[0] == 0xE0)
			low = 0xA0;
		else if (p[0] == 0xED)
			high = 0x9F;
	}
	else if (p[0] >= 0xF0 && p[0] <= 0xF4)
	{
		length = 4;
		value = p[0] & 0x07;
		if (p[0] == 0xF0)
			low = 0x90;
		else if (p[0] == 0xF4)
			high = 0x8F;
	}
	else
		return 1;

	for (size_t i = 1; i < length; i++)
	{
		if (i >= available || p[i] < low || p[i] > high)
			return i;
		value = (value << 6) | (p[i] & 0x3F);
		low = 0x80;
		high = 0xBF;
	}
	*code = value;
	return length;
}

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
	const uint8_t *p = (const uint8_t *) text;

	if (length > limit)
		return false;
	for (size_t i = 0; i < length;)
	{
		int32_t		code;

		if (p[i] >= 0x20 && p[i] < 0x7F)
		{
			i++;
			continue;
		}
		i += decode(p + i, length - i, &code);
		if (code < 0 || is_space(code) || is_control(code))
			return false;
	}
	return true;
}

size_t
pa_text_clean(char *out, size_t limit, const char *text, size_t length)
{
	const uint8_t *p = (const uint8_t *) text;
	size_t		written = 0;

	for (size_t i = 0; i < length;)
	{
		const void *piece = p + i;
		size_t		piece_length;
		int32_t		code;

		piece_length = decode(p + i, length - i, &code);
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
