/*-------------------------------------------------------------------------
 *
 * src/wire_text.c
 *		Text between the database's encoding and UTF-8.  See wire_text.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"

#include "wire_text.h"

static FmgrInfo to_utf8;
static FmgrInfo from_utf8;

static bool
is_ascii(const char *text)
{
	for (; *text != '\0'; text++)
		if (IS_HIGHBIT_SET(*text))
			return false;
	return true;
}

static char *
without_high_bytes(const char *text)
{
	char	   *result = pstrdup(text);

	for (char *c = result; *c != '\0'; c++)
		if (IS_HIGHBIT_SET(*c))
			*c = '?';
	return result;
}

/*
 * length: of text, in bytes.  converter: NULL if there is none between the
 * two encodings.  The conversion functions are C and look nothing up, so they
 * work outside of transactions, too.
 */
static char *
convert(const char *text, int from, int to, FmgrInfo *converter)
{
	int			length = (int) strlen(text);
	char	   *result;
	int			size = length * MAX_CONVERSION_GROWTH + 1;

	if (is_ascii(text))
		return (char *) text;
	if (from == to || from == PG_SQL_ASCII || to == PG_SQL_ASCII)
	{
		int			judge = to == PG_SQL_ASCII ? from : to;

		return pg_verify_mbstr(judge, text, length, true) ?
			(char *) text : without_high_bytes(text);
	}
	if (!OidIsValid(converter->fn_oid))
		return without_high_bytes(text);

	result = palloc(size);
	if (DatumGetInt32(FunctionCall6(converter, Int32GetDatum(from),
									Int32GetDatum(to), CStringGetDatum(text),
									CStringGetDatum(result),
									Int32GetDatum(length),
									BoolGetDatum(true))) != length)
	{
		pfree(result);
		return without_high_bytes(text);
	}
	return result;
}

static void
find_converter(int from, int to, FmgrInfo *converter)
{
	Oid			function;

	if (from == to || from == PG_SQL_ASCII || to == PG_SQL_ASCII)
		return;
	function = FindDefaultConversionProc(from, to);
	if (OidIsValid(function))
		fmgr_info_cxt(function, converter, TopMemoryContext);
}

void
pa_wire_text_init(void)
{
	find_converter(GetDatabaseEncoding(), PG_UTF8, &to_utf8);
	find_converter(PG_UTF8, GetDatabaseEncoding(), &from_utf8);
}

char *
pa_wire_text_encode(const char *text)
{
	return convert(text, GetDatabaseEncoding(), PG_UTF8, &to_utf8);
}

char *
pa_wire_text_decode(const char *text)
{
	return convert(text, PG_UTF8, GetDatabaseEncoding(), &from_utf8);
}
