/*-------------------------------------------------------------------------
 *
 * src/agent/ini_file.h
 *		INI files, read with inih but strictly: every section and key with its
 *		line, lines of any length, nothing passed over in silence.
 *
 *	[section]
 *	key = value		; comment
 *
 * Blanks around names and values do not count; nor does indentation, so a
 * value cannot go on in another line.  Lines that begin with ; or # are
 * comments, and so is what follows a blank and a semicolon.  Pure, apart
 * from what is called.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_INI_FILE_H
#define PA_AGENT_INI_FILE_H

#include "report.h"

typedef struct PaIniReader
{
	/* texts are valid during the call only */
	void		(*section) (struct PaIniReader *reader, const char *name, int line);
	void		(*key) (struct PaIniReader *reader, const char *name,
						const char *value, int line);
	PaReport   *report;
} PaIniReader;

/* Reads a text.  What is no INI is reported. */
extern void pa_ini_read(PaIniReader *reader, const char *text);

#endif							/* PA_AGENT_INI_FILE_H */
