/* objects: agent/command_answer agent/command_words agent/plain_text agent/table agent/arena */
/*-------------------------------------------------------------------------
 *
 * test/unit/agent_command_test.c
 *		The pure parts of the provider command: words, answers, exit statuses
 *		and what programs complain about.
 *
 *-------------------------------------------------------------------------
 */
#include "agent/command_answer.h"
#include "agent/command_words.h"
#include "agent/plain_text.h"

#include <stdlib.h>

#include "agent/status_name.h"
#include "unit.h"

static PaArena arena;

/* the words with | between them */
static const char *
words_of(const char *text)
{
	static char joined[256];
	size_t		count;
	char	  **words = pa_command_words_split(text, &count);

	if (words == NULL)
		return "(not closed)";
	joined[0] = '\0';
	for (size_t i = 0; i < count; i++)
	{
		strcat(joined, i > 0 ? "|" : "");
		strcat(joined, words[i]);
	}
	if (words[count] != NULL)
		return "(no end)";
	free(words);
	return joined;
}

static void
test_words(void)
{
	is_string(words_of("/bin/a"), "/bin/a", "one word");
	is_string(words_of("  /bin/a \t b  "), "/bin/a|b", "blanks around words");
	is_string(words_of("a \"b c\" d\" \"e"), "a|b c|d e", "quotes");
	is_string(words_of("\"\" a \"\""), "|a|", "words without anything in them");
	is_string(words_of("\"a\\\"b\\\\\" c\\d"), "a\"b\\|c\\d", "backslashes");
	is_string(words_of("$HOME `a` ; > *"), "$HOME|`a`|;|>|*", "no shell");
	is_string(words_of("a b c d e"), "a|b|c|d|e", "as many as there can be");
	is_string(words_of("a \"b"), "(not closed)", "a quote that is not closed");
	is_string(words_of("a \"b\\"), "(not closed)", "nor by the end");
}

static PaProviderInstance instances[3];
static PaProviderRequest request;

/* what is wrong, NULL if nothing */
static const char *
read_answer(const char *text)
{
	const char *problem;

	memset(&request, 0, sizeof(request));
	instances[0].instance_id = "i-1";
	instances[1].instance_id = "i-2";
	instances[2].instance_id = "i-1";
	request.instances = instances;
	request.instance_count = 3;
	request.arena = &arena;
	return pa_command_answer_read(&request, text, strlen(text), &problem) ?
		NULL : problem;
}

static void
test_answers(void)
{
	static const char *const names[] = {
		"unknown", "running", "stopped", "starting", "stopping", "terminated"
	};

	for (int i = 0; i < 6; i++)
	{
		char		text[200];

		snprintf(text, sizeof(text),
				 "{\"instances\": [{\"id\": \"i-2\", \"state\": \"%s\"}]}", names[i]);
		ok(read_answer(text) == NULL && instances[1].state == (PaInstanceState) i &&
		   instances[1].message == NULL, "%s", names[i]);
	}
	ok(read_answer("{\"instances\": [{\"id\": \"i-1\", \"state\": \"running\", \"more\": 1,"
				   " \"message\": \"a b\"}, {\"id\": \"i-9\", \"state\": \"running\"}], \"x\": []}")
	   == NULL, "more than was asked for");
	is_string(instances[0].message, "a b", "a message");
	is_number(instances[2].state, PA_INSTANCE_RUNNING, "the same id twice");
	is_number(instances[1].state, PA_INSTANCE_UNKNOWN, "one that is left out");
	is_string(instances[1].message, "the program did not tell its state", "says so");
	is_number(request.status, PA_STATUS_OK, "OK");
	is_number(request.error, 0, "no error");

	ok(read_answer("{\"error\": 17, \"message\": \"locked\"}") == NULL, "an error");
	is_number(request.error, 17, "its number");
	is_string(request.message, "locked", "its text");
	ok(read_answer("{\"error\": null, \"message\": null, \"instances\": []}") == NULL,
	   "null is as good as nothing");
	pa_arena_empty(&arena);
}

static void
test_bad_answers(void)
{
	static char deep[200001];
	static const char *const texts[] = {
		"", "OK", "{", "{} {}", "[]", "{}", "{\"error\": 0}", "{\"error\": \"1\"}",
		"{\"error\": 1.5}", "{\"error\": 4294967296}", "{\"instances\": {}}",
		"{\"instances\": [1]}", "{\"instances\": [{}]}",
		"{\"instances\": [{\"id\": \"i-1\"}]}",
		"{\"instances\": [{\"id\": \"\", \"state\": \"running\"}]}",
		"{\"instances\": [{\"id\": 1, \"state\": \"running\"}]}",
		"{\"instances\": [{\"id\": \"i-1\", \"state\": \"on\"}]}",
		"{\"instances\": [{\"id\": \"i-1\", \"state\": 1}]}",
		"{\"instances\": [{\"id\": \"i-1\", \"state\": \"running\", \"message\": 1}]}",
		"{\"instances\": [], \"message\": {}}",
		"{\"error\": 1, \"error\": 2}", "{\"error\": 1, \"message\": \"\xff\"}",
		"{\"error\": 1, \"message\": \"a\\u0000b\"}"
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		ok(read_answer(texts[i]) != NULL, "bad: %s", i == 21 ? "no UTF-8" : texts[i]);
	memset(deep, '[', sizeof(deep) - 1);
	ok(read_answer(deep) != NULL, "no bottom");
	is_string(read_answer("{\"instances\": [{\"id\": \"i-1\", \"state\": \"on\"}]}"),
			  "instance \"i-1\" has no \"state\" that is running, stopped, starting, stopping, terminated or unknown",
			  "what is wrong with a state");
	is_string(read_answer(""), "it printed nothing", "nothing");
	ok(strncmp(read_answer("{\n\n x"), "line 3: ", 8) == 0, "the line");
	pa_arena_empty(&arena);
}

static void
test_statuses(void)
{
	is_number(pa_command_answer_status(1), PA_STATUS_UNKNOWN, "1");
	is_number(pa_command_answer_status(64), PA_STATUS_INVALID_ARGUMENT, "64");
	is_number(pa_command_answer_status(65), PA_STATUS_INVALID_ARGUMENT, "65");
	is_number(pa_command_answer_status(66), PA_STATUS_NOT_FOUND, "66");
	is_number(pa_command_answer_status(67), PA_STATUS_NOT_FOUND, "67");
	is_number(pa_command_answer_status(68), PA_STATUS_NOT_FOUND, "68");
	is_number(pa_command_answer_status(69), PA_STATUS_UNAVAILABLE, "69");
	is_number(pa_command_answer_status(70), PA_STATUS_UNKNOWN, "70");
	is_number(pa_command_answer_status(75), PA_STATUS_UNAVAILABLE, "75");
	is_number(pa_command_answer_status(77), PA_STATUS_PERMISSION_DENIED, "77");
	is_number(pa_command_answer_status(78), PA_STATUS_FAILED_PRECONDITION, "78");
	is_number(pa_command_answer_status(255), PA_STATUS_UNKNOWN, "255");
}

static const char *
plain(size_t size, const char *text)
{
	static char result[64];

	memset(result, 'x', sizeof(result));
	pa_plain_text(result, size, text, strlen(text));
	return result;
}

static void
test_plain_text(void)
{
	is_string(plain(64, "a\n\tb\x01\x7f c\n\n"), "a b c", "one line");
	is_string(plain(64, "a\xff\xfe" "b\xc3"), "a??b?", "what is no text");
	is_string(plain(64, "\xc3\xbc"), "\xc3\xbc", "what is");
	is_string(plain(8, "first\nlast\n"), "last", "the last line");
	is_string(plain(8, "first\na\nb\n"), "a b", "the last lines");
	is_string(plain(8, "0123456789"), "3456789", "the end of a long one");
	is_string(plain(8, "01234567\xc3\xbc" "abcdef"), "abcdef", "not within a character");
	is_string(plain(8, ""), "", "nothing");
	is_string(plain(8, "\n\n\n\n\n\n\n\n\n\n\n"), "", "nothing but line ends");
}

int
main(void)
{
	test_words();
	test_answers();
	test_bad_answers();
	test_statuses();
	test_plain_text();
	return unit_done();
}
