/*-------------------------------------------------------------------------
 *
 * src/agent/units.c
 *		Numbers, times and sizes as people write them.  Contract in units.h.
 *
 *-------------------------------------------------------------------------
 */
#include "units.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct Unit
{
	const char *name;
	double		factor;
} Unit;

static const Unit times[] = {
	{"us", 1}, {"ms", 1e3}, {"", 1e3}, {"s", 1e6}, {"min", 60e6}, {"h", 3600e6},
	{NULL, 0}
};
static const Unit sizes[] = {
	{"", 1}, {"B", 1}, {"kB", 1024}, {"MB", 1024.0 * 1024},
	{NULL, 0}
};

#define LONGEST_TIME	(366.0 * 24 * 3600 * 1e6)
#define LARGEST_SIZE	(1024.0 * 1024 * 1024)

bool
pa_units_number(const char *text, int64_t low, int64_t high, int64_t *number)
{
	char	   *end;
	long long	value;

	if (!isdigit((unsigned char) *text) && *text != '-')
		return false;
	errno = 0;
	value = strtoll(text, &end, 10);
	if (errno != 0 || *end != '\0' || value < low || value > high)
		return false;
	*number = value;
	return true;
}

/* strtod alone would also take "nan", "0x10", "1e9" and leading spaces */
static bool
number_with_unit(const char *text, const Unit *units, double limit,
				 int64_t *result)
{
	size_t		digits = strspn(text, "0123456789.");
	char	   *end;
	double		value;

	if (digits == 0)
		return false;
	value = strtod(text, &end);
	if (end != text + digits)
		return false;
	while (*end == ' ')
		end++;
	for (; units->name != NULL; units++)
	{
		if (strcmp(end, units->name) == 0)
		{
			value *= units->factor;
			if (value > limit)
				return false;
			*result = (int64_t) (value + 0.5);
			return true;
		}
	}
	return false;
}

bool
pa_units_duration(const char *text, int64_t *microseconds)
{
	return number_with_unit(text, times, LONGEST_TIME, microseconds);
}

bool
pa_units_size(const char *text, int64_t *bytes)
{
	return number_with_unit(text, sizes, LARGEST_SIZE, bytes);
}
