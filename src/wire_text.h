/*-------------------------------------------------------------------------
 *
 * src/wire_text.h
 *		Text between the database's encoding and the wire's, which is UTF-8.
 *
 * No conversion raises for what the text contains: a name that cannot be
 * converted must not keep the worker from everything else.  Results are
 * palloc'd or the argument itself.
 *
 * Text for people may lose what cannot be converted.  What names something
 * must not: two names could become one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_WIRE_TEXT_H
#define PA_WIRE_TEXT_H

/* Finds the conversions; once, in a transaction. */
extern void pa_wire_text_init(void);

/* From the database to valid UTF-8; what cannot be converted becomes '?'. */
extern char *pa_wire_text_encode(const char *text);

/*
 * From UTF-8 (or what claims to be) to text that is valid in the database's
 * encoding; what cannot be converted becomes '?'.
 */
extern char *pa_wire_text_decode(const char *text);

/* The same for names: NULL if any of it cannot be converted. */
extern char *pa_wire_text_encode_name(const char *text);
extern char *pa_wire_text_decode_name(const char *text);

#endif							/* PA_WIRE_TEXT_H */
