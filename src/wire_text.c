/*-------------------------------------------------------------------------
 *
 * src/wire_text.c
 *		Text between the database's encoding and UTF-8.  See wire_text.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "mb/pg_wchar.h"

#include "wire_text.h"

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

static char *
convert(const char *text, int from, int to)
{
	int			length = (int) strlen(text);
	int			size = length * MAX_CONVERSION_GROWTH + 1;
	char	   *result;
	Oid			procedure;

	if (is_ascii(text))
		return (char *) text;
	if (from == to || from == PG_SQL_ASCII || to == PG_SQL_ASCII)
	{
		int			judge = to == PG_SQL_ASCII ? from : to;

		return pg_verify_mbstr(judge, text, length, true) ?
			(char *) text : without_high_bytes(text);
	}

	/* the conversion is looked up in a catalogue */
	if (!IsTransactionState())
		return without_high_bytes(text);
	procedure = FindDefaultConversionProc(from, to);
	if (!OidIsValid(procedure))
		return without_high_bytes(text);
	result = palloc(size);
	if (pg_do_encoding_conversion_buf(procedure, from, to,
									  (unsigned char *) text, length,
									  (unsigned char *) result, size,
									  true) != length)
	{
		pfree(result);
		return without_high_bytes(text);
	}
	return result;
}

char *
pa_wire_text_encode(const char *text)
{
	return convert(text, GetDatabaseEncoding(), PG_UTF8);
}

char *
pa_wire_text_decode(const char *text)
{
	return convert(text, PG_UTF8, GetDatabaseEncoding());
}
