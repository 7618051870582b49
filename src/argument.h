/*-------------------------------------------------------------------------
 *
 * src/argument.h
 *		Checks of the arguments of SQL functions.
 *
 * Called in client backends.  Each names the argument, and the value where
 * there is one, in the error that it raises: 22004 for a null, 22023 for all
 * else.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_ARGUMENT_H
#define PA_ARGUMENT_H

#include "datatype/timestamp.h"

extern void pa_argument_check_not_null(const char *argument, bool isnull);
extern void pa_argument_check_not_empty(const char *argument,
										const text *value);

/*
 * Not null (a NULL pointer), not longer than max_length (bytes or
 * characters), no control characters.
 */
extern void pa_argument_check_text(const char *argument, const text *value,
								   int max_length, bool in_bytes);

/*
 * For text that is no argument.  Does it have control characters: C0, DEL,
 * and C1 where the encoding shows them?  And itself as an error can show it,
 * palloc'd: cut, with control characters as escapes.
 */
extern bool pa_argument_has_control(const text *value);
extern char *pa_argument_shown(const text *value);

/* Not infinite. */
extern void pa_argument_check_time(const char *argument, TimestampTz value);

/* Fits a smallint. */
extern int16 pa_argument_small(const char *argument, int32 value);

/* The milliseconds of an interval from 0 to 1 year. */
extern long pa_argument_milliseconds(const char *argument,
									 const Interval *value);

/* Its text, palloc'd. */
extern char *pa_argument_interval(const Interval *value);

#endif							/* PA_ARGUMENT_H */
