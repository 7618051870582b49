/* objects: status_code */
/*-------------------------------------------------------------------------
 *
 * test/unit/status_code_test.c
 *		Names of gRPC status codes, and which are retried or leave it open
 *		whether the agent has acted.
 *
 *-------------------------------------------------------------------------
 */
#include "status_code.h"
#include "unit.h"

/* numbers and names as the gRPC documentation lists them */
static const struct
{
	int			code;
	const char *name;
	bool		retryable;
	bool		may_have_acted;
}			expected[] =
{
	{0, "OK", false, true},
	{1, "CANCELLED", false, true},
	{2, "UNKNOWN", true, true},
	{3, "INVALID_ARGUMENT", false, false},
	{4, "DEADLINE_EXCEEDED", true, true},
	{5, "NOT_FOUND", false, false},
	{6, "ALREADY_EXISTS", false, false},
	{7, "PERMISSION_DENIED", false, false},
	{8, "RESOURCE_EXHAUSTED", true, false},
	{9, "FAILED_PRECONDITION", false, false},
	{10, "ABORTED", true, false},
	{11, "OUT_OF_RANGE", false, false},
	{12, "UNIMPLEMENTED", false, false},
	{13, "INTERNAL", true, true},
	{14, "UNAVAILABLE", true, true},
	{15, "DATA_LOSS", false, true},
	{16, "UNAUTHENTICATED", false, false},
};

int
main(void)
{
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
	{
		int			code = expected[i].code;

		is_string(pa_status_name(code), expected[i].name, expected[i].name);
		ok(pa_status_retryable(code) == expected[i].retryable,
		   "%s is %sretried", expected[i].name,
		   expected[i].retryable ? "" : "not ");
		ok(pa_status_may_have_acted(code, "") == expected[i].may_have_acted,
		   "after %s the agent %s have acted", expected[i].name,
		   expected[i].may_have_acted ? "may" : "cannot");
	}

	is_string(pa_status_name(17), "UNKNOWN", "a code above the last");
	is_string(pa_status_name(-1), "UNKNOWN", "a code below the first");
	ok(pa_status_retryable(4711), "an undefined code is retried as UNKNOWN");

	ok(pa_status_may_have_acted(8, "Received message larger than max (5 vs. 4)"),
	   "a reply that was too large is the reply to an order");
	ok(!pa_status_may_have_acted(8, NULL), "a message may be missing");

	ok(pa_status_stale_order(9, "stale order: 1/2/3 is before 1/2/4"),
	   "a stale order is recognised");
	ok(!pa_status_stale_order(9, "the stale order"), "by its first words");
	ok(!pa_status_stale_order(10, "stale order"), "and its status");
	ok(!pa_status_stale_order(9, NULL), "a message may be missing here, too");

	return unit_done();
}
