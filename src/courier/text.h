/*-------------------------------------------------------------------------
 *
 * src/courier/text.h
 *		Makes text from the network fit to be shown and stored: valid UTF-8,
 *		no control characters, bounded.
 *
 * Pure; any thread.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_COURIER_TEXT_H
#define PA_COURIER_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* bytes, without the NUL */
#define PA_TEXT_MESSAGE_LIMIT	2000
#define PA_TEXT_ID_LIMIT		255

/* true if cleaning would change nothing */
extern bool pa_text_is_clean(const char *text, size_t length, size_t limit);

/*
 * Writes the cleaned text and a NUL to "out", which has room for limit + 1
 * bytes; returns the length without the NUL.  Each ill-formed sequence (as
 * in the Unicode Standard, "maximal subpart") becomes one U+FFFD; tabs, line
 * and paragraph ends become a space; other control characters vanish.  What
 * does not fit is cut off between two characters.
 */
extern size_t pa_text_clean(char *out, size_t limit,
							const char *text, size_t length);

#endif							/* PA_COURIER_TEXT_H */
