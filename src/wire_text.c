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

/* Text that is to be in this encoding already: what is not becomes '?'. */
static char *
repair(int encoding, const char *text, bool *exact)
{
	int			length = (int) strlen(text);
	char	   *result;

	if (pg_encoding_verifymbstr(encoding, text, length) == length)
		return (char *) text;
	*exact = false;
	result = pstrdup(text);
	for (char *c = result; *c != '\0';)
	{
		int			left = length - (int) (c - result);
		int			width = pg_encoding_mblen(encoding, c);

		if (width > left ||
			pg_encoding_verifymbchar(encoding, c, left) != width)
		{
			*c = '?';
			width = 1;
		}
		c += width;
	}
	return result;
}

/*
 * converter: without a function if there is none between the two encodings.
 * The conversion functions are C and look nothing up, so they work outside of
 * transactions, too.  *exact: nothing was lost.
 */
static char *
convert(const char *text, int from, int to, FmgrInfo *converter, bool *exact)
{
	int			length = (int) strlen(text);
	char	   *result;
	char	   *end;

	*exact = true;
	if (is_ascii(text))
		return (char *) text;
	if (from == to || from == PG_SQL_ASCII || to == PG_SQL_ASCII)
		return repair(to == PG_SQL_ASCII ? from : to, text, exact);

	text = repair(from, text, exact);
	result = palloc(length * MAX_CONVERSION_GROWTH + 1);
	end = result;
	while (length > 0)
	{
		int			done = 0;

		if (OidIsValid(converter->fn_oid))
			done = DatumGetInt32(FunctionCall6(converter, Int32GetDatum(from),
											   Int32GetDatum(to),
											   CStringGetDatum(text),
											   CStringGetDatum(end),
											   Int32GetDatum(length),
											   BoolGetDatum(true)));
		else
			for (; done < length && !IS_HIGHBIT_SET(text[done]); done++)
				end[done] = text[done];
		end = OidIsValid(converter->fn_oid) ? end + strlen(end) : end + done;
		text += done;
		length -= done;
		if (length > 0)
		{
			int			width = Min(pg_encoding_mblen(from, text), length);

			*exact = false;
			*end++ = '?';
			text += width;
			length -= width;
		}
	}
	*end = '\0';
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
	bool		exact;

	return convert(text, GetDatabaseEncoding(), PG_UTF8, &to_utf8, &exact);
}

char *
pa_wire_text_decode(const char *text)
{
	bool		exact;

	return convert(text, PG_UTF8, GetDatabaseEncoding(), &from_utf8, &exact);
}

char *
pa_wire_text_encode_name(const char *text)
{
	bool		exact;
	char	   *result = convert(text, GetDatabaseEncoding(), PG_UTF8, &to_utf8,
								 &exact);

	return exact ? result : NULL;
}

char *
pa_wire_text_decode_name(const char *text)
{
	bool		exact;
	char	   *result = convert(text, PG_UTF8, GetDatabaseEncoding(),
								 &from_utf8, &exact);

	return exact ? result : NULL;
}
