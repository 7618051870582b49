/*-------------------------------------------------------------------------
 *
 * src/agent/report.c
 *		Where problems of a configuration file go, one text each.  Contract in
 *		report.h.
 *
 *-------------------------------------------------------------------------
 */
#include "report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void
pa_report_problem(PaReport *report, int line, const char *format,...)
{
	char		text[1024];
	int			length;
	va_list		arguments;

	if (line > 0)
		length = snprintf(text, sizeof(text), "%.500s:%d: ", report->file, line);
	else
		length = snprintf(text, sizeof(text), "%.500s: ", report->file);
	va_start(arguments, format);
	vsnprintf(text + length, sizeof(text) - (size_t) length, format, arguments);
	va_end(arguments);
	report->problems++;
	report->tell(report, text);
}

static void
print(PaReport *report, const char *text)
{
	fprintf(stderr, "power_agent: %s\n", text);
}

void
pa_report_to_stderr(PaReport *report, const char *file)
{
	memset(report, 0, sizeof(*report));
	report->tell = print;
	report->file = file;
}
