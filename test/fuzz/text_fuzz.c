/* objects: courier/text */
/*-------------------------------------------------------------------------
 *
 * test/fuzz/text_fuzz.c
 *		Cleaning of text: the result is clean and within the limit, clean
 *		text stays as it is, and both functions agree on what is clean.
 *
 * The first byte is the limit.
 *
 *-------------------------------------------------------------------------
 */
#include "courier/text.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t		limit;
	size_t		length;
	size_t		all;
	size_t		again;
	char	   *text;
	char	   *out;
	char	   *complete;
	char	   *twice;

	if (size < 1)
		return 0;
	limit = data[0];
	size--;
	text = (char *) fuzz_bytes(data + 1, size);
	out = malloc(limit + 1);
	complete = malloc(3 * size + 1);
	twice = malloc(3 * size + 1);

	length = pa_text_clean(out, limit, text, size);
	must(length <= limit && out[length] == '\0');
	must(fuzz_is_clean(out, length, limit));

	/* one byte becomes at most one U+FFFD */
	all = pa_text_clean(complete, 3 * size, text, size);
	must(fuzz_is_clean(complete, all, 3 * size));
	must(length <= all && memcmp(out, complete, length) == 0);
	/* as much as fits: the next character would not have */
	must(length == all || length + 4 > limit);

	again = pa_text_clean(twice, 3 * size, complete, all);
	must(again == all && memcmp(twice, complete, all) == 0);
	must(pa_text_is_clean(complete, all, 3 * size));

	must(pa_text_is_clean(text, size, limit) ==
		 fuzz_is_clean(text, size, limit));
	if (pa_text_is_clean(text, size, size))
		must(all == size && memcmp(complete, text, size) == 0);

	free(text);
	free(out);
	free(complete);
	free(twice);
	return 0;
}
