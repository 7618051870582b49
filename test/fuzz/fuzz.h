/*-------------------------------------------------------------------------
 *
 * test/fuzz/fuzz.h
 *		What the fuzz targets share: properties that end the process if they
 *		do not hold, and checks of text that are not those of the product.
 *
 * A target is one file, test/fuzz/NAME_fuzz.c, with LLVMFuzzerTestOneInput.
 * libFuzzer calls it with inputs that it makes from test/fuzz/seeds/NAME,
 * and keeps those that reach code that no other one reached.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_FUZZ_H
#define PA_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* a property of what is fuzzed; libFuzzer keeps the input that breaks it */
#define must(condition) \
	do { \
		if (!(condition)) \
		{ \
			fprintf(stderr, "%s:%d: must hold: %s\n", __FILE__, __LINE__, \
					#condition); \
			abort(); \
		} \
	} while (0)

/*
 * The input in memory of exactly its size, so that a read behind its end is
 * seen.  To be freed.
 */
__attribute__((unused))
static uint8_t *
fuzz_bytes(const uint8_t *data, size_t size)
{
	uint8_t    *bytes = calloc(1, size);

	if (size > 0)
		memcpy(bytes, data, size);
	return bytes;
}

/*
 * The input as a string in memory of exactly its size.  To be freed.
 */
__attribute__((unused))
static char *
fuzz_text(const uint8_t *data, size_t size)
{
	char	   *text = malloc(size + 1);

	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

/*
 * Length of the UTF-8 sequence at p, 0 if it is none.  The other way round
 * than the product does it: it decodes, encodes, and compares.
 */
__attribute__((unused))
static size_t
fuzz_utf8(const uint8_t *p, size_t available, uint32_t *code)
{
	size_t		length = p[0] < 0x80 ? 1 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
	uint8_t		again[4];

	if (length > available)
		return 0;
	*code = length == 1 ? p[0] : p[0] & (0x7F >> length);
	for (size_t i = 1; i < length; i++)
		*code = *code << 6 | (p[i] & 0x3F);

	if (*code > 0x10FFFF || (*code >= 0xD800 && *code < 0xE000))
		return 0;
	if (*code < 0x80 ? length != 1 : *code < 0x800 ? length != 2 :
		*code < 0x10000 ? length != 3 : length != 4)
		return 0;
	again[0] = (uint8_t) (length == 1 ? *code :
						  (0xF00 >> length & 0xFF) | *code >> 6 * (length - 1));
	for (size_t i = 1; i < length; i++)
		again[i] = (uint8_t) (0x80 | (*code >> 6 * (length - 1 - i) & 0x3F));
	return memcmp(p, again, length) == 0 ? length : 0;
}

/* UTF-8 all through */
__attribute__((unused))
static bool
fuzz_is_utf8(const char *text, size_t length)
{
	uint32_t	code;

	for (size_t i = 0, step; i < length; i += step)
		if ((step = fuzz_utf8((const uint8_t *) text + i, length - i,
							  &code)) == 0)
			return false;
	return true;
}

/* UTF-8 without control characters, fit to be shown on one line */
__attribute__((unused))
static bool
fuzz_is_clean(const char *text, size_t length, size_t limit)
{
	uint32_t	code;

	if (length > limit)
		return false;
	for (size_t i = 0, step; i < length; i += step)
		if ((step = fuzz_utf8((const uint8_t *) text + i, length - i,
							  &code)) == 0 ||
			code < 0x20 || (code >= 0x7F && code < 0xA0) ||
			code == 0x2028 || code == 0x2029)
			return false;
	return true;
}

#endif							/* PA_FUZZ_H */
