/* objects: */
/*-------------------------------------------------------------------------
 *
 * test/unit/program_utf8_test.c
 *		What is UTF-8 and what is not.
 *
 *-------------------------------------------------------------------------
 */
#include "program/utf8.h"

#include <stdlib.h>

#include "unit.h"

/* from memory of exactly that size, so that sanitizers see overruns */
static char *
exact(const char *text, size_t length)
{
	char	   *copy = malloc(length > 0 ? length : 1);

	memcpy(copy, text, length);
	return copy;
}

static void
test_decode(void)
{
	static const struct
	{
		const char *text;
		size_t		length;		/* of the first sequence */
		int32_t		code;
	}			cases[] = {
		{"a", 1, 'a'}, {"\x7f", 1, 0x7f}, {"\xc2\x80", 2, 0x80},
		{"\xdf\xbf", 2, 0x7ff}, {"\xe0\xa0\x80", 3, 0x800},
		{"\xed\x9f\xbf", 3, 0xd7ff}, {"\xef\xbf\xbf", 3, 0xffff},
		{"\xf0\x90\x80\x80", 4, 0x10000}, {"\xf4\x8f\xbf\xbf", 4, 0x10ffff},
		/* overlong forms, surrogates, beyond U+10FFFF */
		{"\xc1\xbf", 1, -1}, {"\xe0\x9f\xbf", 1, -1},
		{"\xed\xa0\x80", 1, -1}, {"\xf0\x8f\xbf\xbf", 1, -1},
		{"\xf4\x90\x80\x80", 1, -1}, {"\xf5\x80\x80\x80", 1, -1},
		/* what the end, or something else, cuts off */
		{"\x80", 1, -1}, {"\xc3", 1, -1}, {"\xc3(", 1, -1},
		{"\xe2\x82", 2, -1}, {"\xe2\x82(", 2, -1}, {"\xf0\x9f\x98", 3, -1},
		{"\xf0\x9f(", 2, -1}
	};
	int			wrong = 0;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		size_t		length = strlen(cases[i].text);
		char	   *text = exact(cases[i].text, length);
		int32_t		code;
		size_t		taken = pa_utf8_decode(text, length, &code);

		if (taken != cases[i].length || code != cases[i].code)
		{
			printf("# case %zu: %zu bytes, code %d\n", i, taken, (int) code);
			wrong++;
		}
		free(text);
	}
	is_number(wrong, 0, "single sequences");
}

static void
test_valid_length(void)
{
	static const struct
	{
		const char *text;
		size_t		valid;
	}			cases[] = {
		{"", 0}, {"plain", 5}, {"\xc3\xa9", 2}, {"a\xc3", 1},
		{"\xc0\xaf", 0}, {"\xe2\x82\xac", 3}, {"\xe0\x80\x80", 0},
		{"\xed\xa0\x80", 0}, {"\xf0\x9f\x98\x80", 4},
		{"\xf0\x80\x80\x80", 0}, {"\xf4\x90\x80\x80", 0},
		{"ok\xe2\x82", 2}, {"\x80", 0}, {"\xf5\x80\x80\x80", 0},
		{"\xc3\xa9\xc3\xa9x\xff", 5}
	};
	int			wrong = 0;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		size_t		length = strlen(cases[i].text);
		char	   *text = exact(cases[i].text, length);

		if (pa_utf8_valid_length(text, length) != cases[i].valid)
		{
			printf("# case %zu\n", i);
			wrong++;
		}
		free(text);
	}
	is_number(wrong, 0, "how much of a text is valid");
	is_number(pa_utf8_valid_length("a\0b", 3), 3, "a NUL is valid");
}

int
main(void)
{
	test_decode();
	test_valid_length();
	return unit_done();
}
