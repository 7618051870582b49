/*-------------------------------------------------------------------------
 *
 * test/unit/unit.h
 *		Checks that print TAP, for unit-test programs of one file.
 *
 * Call the checks from one thread.  main() ends with
 * "return unit_done();", which prints the plan and is non-zero if a check
 * has failed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_UNIT_H
#define PA_UNIT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int	unit_checks;
static int	unit_failures;

/* prints one line of TAP; returns the condition */
__attribute__((unused, format(printf, 4, 5)))
static bool
unit_check(bool condition, const char *file, int line,
		   const char *format,...)
{
	va_list		arguments;

	printf("%s %d - ", condition ? "ok" : "not ok", ++unit_checks);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n");
	if (!condition)
	{
		unit_failures++;
		printf("# failed at %s line %d\n", file, line);
	}
	fflush(stdout);
	return condition;
}

__attribute__((unused))
static bool
unit_check_number(long long got, long long expected, const char *file,
				  int line, const char *name)
{
	bool		same = unit_check(got == expected, file, line, "%s", name);

	if (!same)
		printf("#      got: %lld\n# expected: %lld\n", got, expected);
	return same;
}

__attribute__((unused))
static bool
unit_check_string(const char *got, const char *expected, const char *file,
				  int line, const char *name)
{
	bool		same;

	same = unit_check(got != NULL && strcmp(got, expected) == 0, file, line,
					  "%s", name);
	if (!same)
		printf("#      got: \"%s\"\n# expected: \"%s\"\n",
			   got != NULL ? got : "(null)", expected);
	return same;
}

/* ok(condition, name format, ...) */
#define ok(condition, ...) \
	unit_check((condition), __FILE__, __LINE__, __VA_ARGS__)
#define is_number(got, expected, name) \
	unit_check_number((long long) (got), (long long) (expected), \
					  __FILE__, __LINE__, (name))
#define is_string(got, expected, name) \
	unit_check_string((got), (expected), __FILE__, __LINE__, (name))

/* prints the plan; the exit status of the program */
__attribute__((unused))
static int
unit_done(void)
{
	printf("1..%d\n", unit_checks);
	if (unit_failures > 0)
		printf("# %d of %d checks failed\n", unit_failures, unit_checks);
	return unit_failures > 0 || unit_checks == 0;
}

#endif							/* PA_UNIT_H */
