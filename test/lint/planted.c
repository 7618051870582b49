/*-------------------------------------------------------------------------
 *
 * test/lint/planted.c
 *		A mistake for each tool of test/lint/run to find: that it is told how
 *		to look, and still looks.  Not part of anything.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

extern int	pa_planted(const char *text);

int
pa_planted(const char *text)
{
	char		array[4] = {0};
	int			number = atoi(text);	/* clang-tidy: cert-err34-c */

	array[4] = 1;				/* cppcheck: arrayIndexOutOfBounds */
	if (number > 1)
	{
		int			number = 2; /* gcc, clang: shadow */

		return number;
	}
	return array[0];
}
