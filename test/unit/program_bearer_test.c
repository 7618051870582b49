/* objects: */
/*-------------------------------------------------------------------------
 *
 * test/unit/program_bearer_test.c
 *		What can be a token.
 *
 *-------------------------------------------------------------------------
 */
#include "program/bearer.h"

#include "unit.h"

static void
refused(const char *token, size_t length, const char *expected,
		const char *name)
{
	const char *fault = pa_bearer_fault(token, length);

	if (!ok(fault != NULL && strstr(fault, expected) != NULL, "%s", name))
		printf("# %s\n", fault ? fault : "it was not refused");
}

int
main(void)
{
	static char large[PA_BEARER_LIMIT + 1];

	ok(pa_bearer_fault("abc.def-123", 11) == NULL, "a token");
	ok(pa_bearer_fault("!~", 2) == NULL, "the first and the last character");
	refused("a b", 3, "without blanks", "a blank");
	refused("a\tb", 3, "without blanks", "a tab");
	refused("\xC3\xBC", 2, "printable ASCII", "UTF-8");
	refused("a\0b", 3, "printable ASCII", "a NUL");
	refused("a\x7F", 2, "printable ASCII", "DEL");
	memset(large, 'x', sizeof(large));
	ok(pa_bearer_fault(large, PA_BEARER_LIMIT) == NULL, "the longest one");
	refused(large, PA_BEARER_LIMIT + 1, "is longer than 16384 bytes",
			"one byte more");
	return unit_done();
}
