/*-------------------------------------------------------------------------
 *
 * src/program/utf8.h
 *		Reading UTF-8 from the network without trusting it.
 *
 * Pure; any thread.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_PROGRAM_UTF8_H
#define PA_PROGRAM_UTF8_H

#include <stddef.h>
#include <stdint.h>

/*
 * Decodes the sequence at the start of a text of at least one byte.  Returns
 * its length and sets *code, which is -1 if the sequence is ill-formed; the
 * length is then that of the "maximal subpart" of the Unicode Standard, which
 * is to be replaced as a whole.
 */
extern size_t pa_utf8_decode(const char *text, size_t length, int32_t *code);

/* number of bytes at the start of the text that are valid UTF-8 */
extern size_t pa_utf8_valid_length(const char *text, size_t length);

#endif							/* PA_PROGRAM_UTF8_H */
