/*-------------------------------------------------------------------------
 *
 * src/argument.c
 *		Checks of the arguments of SQL functions.  See argument.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "argument.h"

#define MAX_INTERVAL	(366 * 86400.0)	/* seconds */

void
pa_argument_check_not_null(const char *argument, bool isnull)
{
	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", argument)));
}

/*
 * C0, DEL, and C1, in the encodings that are known to have it: a terminal may
 * take 0x9b for the beginning of an escape sequence.  "available" counts the
 * bytes from the character on.  In SQL_ASCII bytes may be of UTF-8, which
 * clients will take them for; anything else that they mean is not known.
 */
static bool
is_control(const unsigned char *character, int available)
{
	if (character[0] < 0x20 || character[0] == 0x7f)
		return true;
	switch (GetDatabaseEncoding())
	{
		case PG_UTF8:
		case PG_SQL_ASCII:
			return available >= 2 && character[0] == 0xc2 &&
				character[1] >= 0x80 && character[1] < 0xa0;
		case PG_LATIN1:
		case PG_LATIN2:
		case PG_LATIN3:
		case PG_LATIN4:
		case PG_LATIN5:
		case PG_LATIN6:
		case PG_LATIN7:
		case PG_LATIN8:
		case PG_LATIN9:
		case PG_LATIN10:
		case PG_ISO_8859_5:
		case PG_ISO_8859_6:
		case PG_ISO_8859_7:
		case PG_ISO_8859_8:
			return character[0] >= 0x80 && character[0] < 0xa0;
		default:
			return false;
	}
}

char *
pa_argument_shown(const text *value)
{
	const char *data = VARDATA_ANY(value);
	int			length = VARSIZE_ANY_EXHDR(value);
	int			cut = pg_mbcliplen(data, length, 64);
	StringInfoData result;

	initStringInfo(&result);
	for (int i = 0; i < cut;)
	{
		int			width = pg_mblen(data + i);

		if (is_control((const unsigned char *) data + i, length - i))
			for (int n = 0; n < width; n++)
				appendStringInfo(&result, "\\x%02x",
								 (unsigned char) data[i + n]);
		else
			appendBinaryStringInfo(&result, data + i, width);
		i += width;
	}
	if (cut < length)
		appendStringInfoString(&result, "...");
	return result.data;
}

bool
pa_argument_has_control(const text *value)
{
	const char *data = VARDATA_ANY(value);
	int			length = VARSIZE_ANY_EXHDR(value);

	for (int i = 0; i < length; i += pg_mblen(data + i))
		if (is_control((const unsigned char *) data + i, length - i))
			return true;
	return false;
}

void
pa_argument_check_text(const char *argument, const text *value,
					  int max_length, bool in_bytes)
{
	const char *data;
	int			bytes;
	int			length;

	pa_argument_check_not_null(argument, value == NULL);
	data = VARDATA_ANY(value);
	bytes = VARSIZE_ANY_EXHDR(value);
	length = in_bytes ? bytes : pg_mbstrlen_with_len(data, bytes);

	if (length > max_length)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" is too long: \"%s\"", argument,
						pa_argument_shown(value)),
				 errdetail("It has %d %s; %d are allowed.", length,
						   in_bytes ? "bytes" : "characters", max_length)));

	if (pa_argument_has_control(value))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" has a control character: \"%s\"",
						argument, pa_argument_shown(value))));
}

void
pa_argument_check_not_empty(const char *argument, const text *value)
{
	if (VARSIZE_ANY_EXHDR(value) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must not be empty: \"\"", argument)));
}

void
pa_argument_check_time(const char *argument, TimestampTz value)
{
	if (TIMESTAMP_NOT_FINITE(value))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must be finite: %s", argument,
						timestamptz_to_str(value))));
}

int16
pa_argument_small(const char *argument, int32 value)
{
	if (value < PG_INT16_MIN || value > PG_INT16_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must be between %d and %d: %d",
						argument, PG_INT16_MIN, PG_INT16_MAX, value)));
	return (int16) value;
}

long
pa_argument_milliseconds(const char *argument, const Interval *value)
{
	/* as justify_interval would have it: months of 30, days of 24 hours */
	double		seconds = (value->month * 30.0 + value->day) * 86400.0 +
		value->time / 1000000.0;

	if (seconds < 0 || seconds > MAX_INTERVAL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must be between 0 and 1 year: %s",
						argument, pa_argument_interval(value))));
	return (long) (seconds * 1000.0);
}

char *
pa_argument_interval(const Interval *value)
{
	return DatumGetCString(DirectFunctionCall1(interval_out,
											   PointerGetDatum(value)));
}
