/* objects: agent/token */
/*-------------------------------------------------------------------------
 *
 * test/unit/agent_token_test.c
 *		Files with tokens: what may be in them, and which calls come in.
 *
 *-------------------------------------------------------------------------
 */
#include "agent/token.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "program/bearer.h"
#include "unit.h"

static char directory[] = "/tmp/token-test-XXXXXX";
static char path[64];
static char problem[512];

static void
write_bytes(const char *bytes, size_t length, mode_t mode)
{
	int			fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, bytes, length) != (ssize_t) length ||
		fchmod(fd, mode) != 0 || close(fd) != 0)
	{
		printf("Bail out! could not write %s\n", path);
		exit(1);
	}
}

static void
write_text(const char *text, mode_t mode)
{
	write_bytes(text, strlen(text), mode);
}

static void
opens(const char *name)
{
	PaTokens   *tokens = pa_token_open(path, problem, sizeof(problem));

	if (!ok(tokens != NULL, "%s", name))
		printf("# %s\n", problem);
	if (tokens != NULL)
		pa_token_close(tokens);
}

static void
refused(const char *expected, const char *name)
{
	PaTokens   *tokens;

	problem[0] = '\0';
	tokens = pa_token_open(path, problem, sizeof(problem));
	if (!ok(tokens == NULL && strstr(problem, expected) != NULL &&
			strstr(problem, path) != NULL &&
			strncmp(problem, "--token-file ", 13) == 0, "%s", name))
		printf("# %s\n", problem);
	if (tokens != NULL)
		pa_token_close(tokens);
}

static void
test_files(void)
{
	static char large[PA_BEARER_LIMIT + 3];

	refused("No such file", "no file");
	write_text("secret\n", 0600);
	opens("mode 0600");
	chmod(path, 0604);
	refused("mode 0604", "others may read");

	write_text("", 0600);
	refused("there is no token in it", "an empty file");
	write_text("\n \t\r\n\n", 0600);
	refused("there is no token in it", "blank lines");
	write_text("good\nse cret\n", 0600);
	refused("line 2", "a blank in a token");
	ok(strstr(problem, "cret") == NULL, "which is not shown");
	write_bytes("sec\0ret", 7, 0600);
	refused("contains a NUL byte", "a NUL");
	memset(large, 'x', sizeof(large));
	write_bytes(large, PA_BEARER_LIMIT + 1, 0600);
	refused("longer than 16384", "a token that is too long");
	large[PA_BEARER_LIMIT] = '\n';
	write_bytes(large, PA_BEARER_LIMIT + 1, 0600);
	opens("the longest one");
}

static const char *
checked(PaTokens *tokens, const char *value)
{
	return pa_token_check(tokens, value, value ? strlen(value) : 0, value != NULL);
}

static void
stays_out(PaTokens *tokens, const char *value, const char *expected)
{
	const char *told = checked(tokens, value);

	if (!ok(told != NULL && strstr(told, expected) != NULL, "refused: %s",
			value ? value : "nothing"))
		printf("# %s\n", told ? told : "it came in");
}

static void
comes_in(PaTokens *tokens, const char *value)
{
	const char *told = checked(tokens, value);

	if (!ok(told == NULL, "comes in: %s", value))
		printf("# %s\n", told);
}

static void
test_calls(void)
{
	PaTokens   *tokens;

	write_text("first\r\n\n  second \n#third\nfourth", 0600);
	tokens = pa_token_open(path, problem, sizeof(problem));
	if (tokens == NULL)
	{
		ok(false, "%s", problem);
		return;
	}
	comes_in(tokens, "Bearer first");
	comes_in(tokens, "bearer second");
	comes_in(tokens, "BEARER #third");
	comes_in(tokens, "Bearer fourth");
	ok(pa_token_check(tokens, "Bearer firstly", 12, 1) == NULL,
	   "the value ends where it ends");
	stays_out(tokens, NULL, "no token");
	stays_out(tokens, "", "not of the form");
	stays_out(tokens, "first", "not of the form");
	stays_out(tokens, "Basic first", "not of the form");
	stays_out(tokens, "Bearerfirst", "not of the form");
	stays_out(tokens, "Bearer", "not of the form");
	stays_out(tokens, "Bearer ", "not of the form");
	stays_out(tokens, "Bearer firs", "not one of");
	stays_out(tokens, "Bearer first1", "not one of");
	stays_out(tokens, "Bearer First", "not one of");
	stays_out(tokens, "Bearer first\nsecond", "not one of");
	stays_out(tokens, "Bearer first ", "not one of");
	stays_out(tokens, "Bearer second second", "not one of");
	ok(pa_token_check(tokens, "Bearer first", 12, 2) != NULL,
	   "refused: twice the metadata");
	ok(pa_token_check(tokens, "Bearer first\0x", 14, 1) != NULL,
	   "refused: a zero byte and more");

	write_text("second\nfifth\n", 0600);
	stays_out(tokens, "Bearer first", "not one of");
	comes_in(tokens, "Bearer second");
	comes_in(tokens, "Bearer fifth");
	write_text("sixth\n", 0644);
	comes_in(tokens, "Bearer second");
	stays_out(tokens, "Bearer sixth", "not one of");
	chmod(path, 0600);
	comes_in(tokens, "Bearer sixth");
	stays_out(tokens, "Bearer second", "not one of");
	write_text("\n", 0600);
	comes_in(tokens, "Bearer sixth");
	unlink(path);
	comes_in(tokens, "Bearer sixth");
	pa_token_reload(tokens);
	comes_in(tokens, "Bearer sixth");
	write_text("seventh", 0600);
	comes_in(tokens, "Bearer seventh");
	stays_out(tokens, "Bearer sixth", "not one of");
	pa_token_close(tokens);
}

int
main(void)
{
	if (mkdtemp(directory) == NULL)
	{
		printf("Bail out! no directory\n");
		return 1;
	}
	snprintf(path, sizeof(path), "%s/tokens", directory);
	test_files();
	test_calls();
	unlink(path);
	rmdir(directory);
	return unit_done();
}
