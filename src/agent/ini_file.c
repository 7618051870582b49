/*-------------------------------------------------------------------------
 *
 * src/agent/ini_file.c
 *		INI files, read with inih but strictly.  Contract in ini_file.h.
 *
 * As Debian builds it, inih takes lines of up to 197 bytes and names of
 * sections of up to 49, and cuts what is longer; session tokens are longer.
 * So a long line reaches it in parts, those after the first as the
 * continuation lines that it knows, and sections are read here.
 *
 *-------------------------------------------------------------------------
 */
#include "ini_file.h"

#include <ctype.h>
#include <ini.h>
#include <stdbool.h>
#include <string.h>
#include <stdlib.h>

#include "program/memory.h"
#include "program/secret.h"

#define PART_LENGTH		150
#define LONGEST_NAME	255

typedef struct Stream
{
	PaIniReader *reader;
	const char *next;			/* of the text */
	const char *part;			/* of a long line: what has not been fed */
	const char *part_end;
	int			line;
	bool		key_expected;	/* the line that was fed should be one */
	char	   *name;			/* of the key being read; NULL: none */
	char	   *value;
	int			key_line;
} Stream;

/* hands over the key whose parts have all come */
static void
finish_key(Stream *stream)
{
	if (stream->name != NULL)
		stream->reader->key(stream->reader, stream->name, stream->value,
							stream->key_line);
	free(stream->name);
	pa_secret_free(stream->value);
	stream->name = stream->value = NULL;
	if (stream->key_expected)
		pa_report_problem(stream->reader->report, stream->line,
						  "expected a [section] or \"key = value\"");
	stream->key_expected = false;
}

static int
take_key(void *data, const char *section, const char *name, const char *value)
{
	Stream	   *stream = data;
	char	   *joined;
	size_t		length;

	stream->key_expected = false;
	if (stream->name == NULL)
	{
		stream->name = pa_memory_copy_string(name);
		stream->value = pa_memory_copy_string(value);
		stream->key_line = stream->line;
		return 1;
	}
	/* not by realloc, which would leave a copy behind */
	length = strlen(stream->value);
	joined = pa_memory_allocate(length + strlen(value) + 1);
	memcpy(joined, stream->value, length);
	memcpy(joined + length, value, strlen(value) + 1);
	pa_secret_free(stream->value);
	stream->value = joined;
	return 1;
}

static void
read_section(Stream *stream, const char *start, const char *end)
{
	PaReport   *report = stream->reader->report;
	const char *close = memchr(start, ']', (size_t) (end - start));
	const char *rest;
	char		name[LONGEST_NAME + 1];
	size_t		length;

	if (close == NULL)
	{
		pa_report_problem(report, stream->line, "the section has no \"]\"");
		return;
	}
	for (rest = close + 1; rest < end && isspace((unsigned char) *rest);)
		rest++;
	if (rest < end && *rest != ';' && *rest != '#')
	{
		pa_report_problem(report, stream->line,
						  "nothing but a comment may follow [section]");
		return;
	}
	while (start < close && isspace((unsigned char) *start))
		start++;
	length = (size_t) (close - start);
	while (length > 0 && isspace((unsigned char) start[length - 1]))
		length--;
	if (length == 0 || length > LONGEST_NAME)
	{
		pa_report_problem(report, stream->line,
						  "a section's name has 1 to %d bytes", LONGEST_NAME);
		return;
	}
	memcpy(name, start, length);
	name[length] = '\0';
	stream->reader->section(stream->reader, name, stream->line);
}

/* the next part of a long line; the first has no blank in front */
static char *
feed_part(Stream *stream, char *buffer, bool first)
{
	const char *part = stream->part;
	size_t		length = (size_t) (stream->part_end - part);

	if (length > PART_LENGTH)
	{
		length = PART_LENGTH;
		/* blanks at a seam would be lost */
		while (length > 1 && (isspace((unsigned char) part[length - 1]) ||
							  isspace((unsigned char) part[length])))
			length--;
	}
	if (!first)
		*buffer++ = ' ';
	memcpy(buffer, part, length);
	buffer[length] = '\n';
	buffer[length + 1] = '\0';
	stream->part = part + length;
	return buffer;
}

/*
 * Where a comment begins behind something else, or the end.  inih would find
 * it, too, but not in the parts of the line that follow.
 */
static const char *
find_comment(const char *start, const char *end)
{
	for (const char *at = start + 1; at < end; at++)
	{
		if (*at == ';' && isspace((unsigned char) at[-1]))
			return at;
	}
	return end;
}

/* inih asks for a line */
static char *
feed(char *buffer, int size, void *data)
{
	Stream	   *stream = data;

	if (stream->part < stream->part_end)
		return feed_part(stream, buffer, false);
	finish_key(stream);
	while (*stream->next != '\0')
	{
		const char *start = stream->next;
		const char *end = start + strcspn(start, "\n");

		stream->next = *end == '\n' ? end + 1 : end;
		stream->line++;
		while (start < end && isspace((unsigned char) *start))
			start++;
		while (end > start && isspace((unsigned char) end[-1]))
			end--;
		if (start == end || *start == ';' || *start == '#')
			continue;
		if (*start == '[')
		{
			read_section(stream, start + 1, end);
			continue;
		}
		end = find_comment(start, end);
		while (isspace((unsigned char) end[-1]))
			end--;
		stream->part = start;
		stream->part_end = end;
		stream->key_expected = true;
		return feed_part(stream, buffer, true);
	}
	return NULL;
}

void
pa_ini_read(PaIniReader *reader, const char *text)
{
	Stream		stream = {.reader = reader};

	/* a byte order mark */
	if (strncmp(text, "\xef\xbb\xbf", 3) == 0)
		text += 3;
	stream.next = text;
	ini_parse_stream(feed, &stream, take_key, &stream);
	finish_key(&stream);
}
