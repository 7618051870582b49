/*-------------------------------------------------------------------------
 *
 * src/program/utf8.c
 *		Reading UTF-8 from the network without trusting it.  Contract in
 *		utf8.h.
 *
 *-------------------------------------------------------------------------
 */
#include "utf8.h"

size_t
pa_utf8_decode(const char *text, size_t length, int32_t *code)
{
	/* the limits of the second byte are of table 3-7 of the Unicode Standard */
	const uint8_t *p = (const uint8_t *) text;
	uint8_t		low = 0x80,
				high = 0xBF;
	size_t		needed;
	int32_t		value;

	*code = -1;
	if (p[0] < 0x80)
	{
		*code = p[0];
		return 1;
	}
	if (p[0] >= 0xC2 && p[0] <= 0xDF)
	{
		needed = 2;
		value = p[0] & 0x1F;
	}
	else if (p[0] >= 0xE0 && p[0] <= 0xEF)
	{
		needed = 3;
		value = p[0] & 0x0F;
		if (p[0] == 0xE0)
			low = 0xA0;
		else if (p[0] == 0xED)
			high = 0x9F;
	}
	else if (p[0] >= 0xF0 && p[0] <= 0xF4)
	{
		needed = 4;
		value = p[0] & 0x07;
		if (p[0] == 0xF0)
			low = 0x90;
		else if (p[0] == 0xF4)
			high = 0x8F;
	}
	else
		return 1;

	for (size_t i = 1; i < needed; i++)
	{
		if (i >= length || p[i] < low || p[i] > high)
			return i;
		value = (value << 6) | (p[i] & 0x3F);
		low = 0x80;
		high = 0xBF;
	}
	*code = value;
	return needed;
}

size_t
pa_utf8_valid_length(const char *text, size_t length)
{
	size_t		valid = 0;

	while (valid < length)
	{
		int32_t		code;
		size_t		taken;

		/* nearly all of it */
		if ((text[valid] & 0x80) == 0)
		{
			valid++;
			continue;
		}
		taken = pa_utf8_decode(text + valid, length - valid, &code);
		if (code < 0)
			break;
		valid += taken;
	}
	return valid;
}
