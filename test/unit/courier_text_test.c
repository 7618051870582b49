/* objects: courier/text */
/*-------------------------------------------------------------------------
 *
 * test/unit/courier_text_test.c
 *		Cleaning of text from the network.
 *
 *-------------------------------------------------------------------------
 */
#include <stdint.h>
#include <stdlib.h>

#include "courier/text.h"
#include "unit.h"

#define FFFD "\xEF\xBF\xBD"

static void
check(const char *text, size_t length, size_t limit, const char *expected,
	  const char *name)
{
	char	   *out = malloc(limit + 1);	/* exact, for the sanitizer */
	size_t		written = pa_text_clean(out, limit, text, length);

	is_string(out, expected, name);
	is_number(written, strlen(expected), "... and the length");
	free(out);
}

#define CHECK(text, expected, name) \
	check((text), sizeof(text) - 1, 200, (expected), (name))

static void
test_valid(void)
{
	CHECK("", "", "empty text");
	CHECK("plain ASCII ~", "plain ASCII ~", "ASCII stays");
	CHECK("Gr\xC3\xBC\xC3\x9F" "e \xE2\x82\xAC \xF0\x9F\x94\x8C",
		  "Gr\xC3\xBC\xC3\x9F" "e \xE2\x82\xAC \xF0\x9F\x94\x8C",
		  "characters of two, three and four bytes stay");
	CHECK("\xED\x9F\xBF\xEE\x80\x80\xF4\x8F\xBF\xBF\xE0\xA0\x80\xF0\x90\x80\x80",
		  "\xED\x9F\xBF\xEE\x80\x80\xF4\x8F\xBF\xBF\xE0\xA0\x80\xF0\x90\x80\x80",
		  "the ends of the ranges stay");
}

static void
test_invalid(void)
{
	CHECK("a\xFFz", "a" FFFD "z", "a byte that never occurs");
	CHECK("a\x80z", "a" FFFD "z", "a continuation byte alone");
	CHECK("a\xC3", "a" FFFD, "cut within two bytes");
	CHECK("a\xE2\x82", "a" FFFD, "cut within three bytes: one replacement");
	CHECK("a\xF0\x9F\x94", "a" FFFD, "cut within four bytes");
	CHECK("a\xE2\x82z", "a" FFFD "z", "the character after a cut stays");
	CHECK("\xC0\xAF", FFFD FFFD, "an overlong slash");
	CHECK("\xE0\x80\xAF", FFFD FFFD FFFD, "an overlong slash of three bytes");
	CHECK("\xF0\x80\x80\xAF", FFFD FFFD FFFD FFFD, "and of four");
	CHECK("\xED\xA0\x80", FFFD FFFD FFFD, "a surrogate");
	CHECK("\xF4\x90\x80\x80", FFFD FFFD FFFD FFFD, "above U+10FFFF");
	CHECK("\xC3\xC3\xBC", FFFD "\xC3\xBC", "a lead byte before a character");
}

static void
test_control(void)
{
	CHECK("a\0b", "ab", "NUL vanishes");
	CHECK("\x1B[31mred\x1B[0m\x7F\a", "[31mred[0m", "escapes vanish");
	CHECK("a\xC2\x9B" "31mb", "a31mb", "so do those of eight bits");
	CHECK("one\r\ntwo\tthree", "one  two three", "line ends become spaces");
	CHECK("a\xE2\x80\xA8" "b\xC2\x85" "c", "a b c",
		  "so do those of Unicode");
}

static void
test_limit(void)
{
	check("abcdef", 6, 3, "abc", "cut at the limit");
	check("abc", 3, 3, "abc", "what just fits stays");
	check("ab\xE2\x82\xAC", 5, 4, "ab", "never cut within a character");
	check("ab\xE2\x82\xAC", 5, 5, "ab\xE2\x82\xAC", "unless it fits");
	check("ab\xFF", 3, 4, "ab", "a replacement that does not fit is left out");
	check("abc", 3, 0, "", "no room at all");
}

static void
test_is_clean(void)
{
	ok(pa_text_is_clean("abc", 3, 3), "ASCII is clean");
	ok(pa_text_is_clean("\xE2\x82\xAC", 3, 3), "so is valid UTF-8");
	ok(!pa_text_is_clean("abcd", 4, 3), "too long is not");
	ok(!pa_text_is_clean("a\nb", 3, 9), "a line end is not");
	ok(!pa_text_is_clean("a\0b", 3, 9), "NUL is not");
	ok(!pa_text_is_clean("\xE2\x82", 2, 9), "a piece of a character is not");
	ok(!pa_text_is_clean("\xC2\x9B", 2, 9), "a control character is not");
}

/* whatever comes in, what comes out is clean, and stays as it is */
static void
test_random(void)
{
	uint32_t	seed = 12345;
	int			dirty = 0;
	int			unstable = 0;

	for (int round = 0; round < 20000; round++)
	{
		char		text[40];
		char		once[31];
		char		twice[31];
		size_t		length;

		for (size_t i = 0; i < sizeof(text); i++)
		{
			seed = seed * 1664525 + 1013904223;
			text[i] = (char) (seed >> 24);
			/* lead bytes and their like, more often than chance has it */
			if ((seed & 0x300) != 0)
				text[i] = (char) (0x80 | (uint8_t) text[i]);
		}
		length = pa_text_clean(once, 30, text, sizeof(text));
		if (!pa_text_is_clean(once, length, 30))
			dirty++;
		if (pa_text_clean(twice, 30, once, length) != length ||
			strcmp(once, twice) != 0)
			unstable++;
	}
	is_number(dirty, 0, "random bytes become clean");
	is_number(unstable, 0, "cleaning clean text changes nothing");
}

int
main(void)
{
	test_valid();
	test_invalid();
	test_control();
	test_limit();
	test_is_clean();
	test_random();
	return unit_done();
}
