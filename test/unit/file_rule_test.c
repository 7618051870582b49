/* objects: file_rule */
/*-------------------------------------------------------------------------
 *
 * test/unit/file_rule_test.c
 *		Which files may be read for an option.
 *
 *-------------------------------------------------------------------------
 */
#include "file_rule.h"

#include "unit.h"

#define ROOT	0
#define US		1000
#define OTHER	1001

static void
check(mode_t mode, uid_t owner, uid_t user, bool secret, const char *expected)
{
	struct stat status = {.st_mode = mode, .st_uid = owner};
	char		problem[256] = "";
	bool		good = pa_file_rule_check(&status, secret, user, problem,
										  sizeof(problem));

	if (!ok(expected ? !good && strstr(problem, expected) != NULL :
			good && problem[0] == '\0', "%s %06o of %u, for %u: %s",
			secret ? "secret" : "file", (unsigned int) mode,
			(unsigned int) owner, (unsigned int) user,
			expected ? expected : "good"))
		printf("# %s\n", problem);
}

int
main(void)
{
	static const mode_t too_open[] = {0610, 0620, 0601, 0602, 0604, 0777};

	check(S_IFREG | 0666, OTHER, US, false, NULL);
	check(S_IFDIR | 0700, US, US, false, "it is not a regular file");
	check(S_IFIFO | 0600, US, US, true, "it is not a regular file");

	check(S_IFREG | 0600, US, US, true, NULL);
	check(S_IFREG | 0400, US, US, true, NULL);
	check(S_IFREG | 0640, US, US, true, "others may access it (mode 0640)");
	check(S_IFREG | 0600, OTHER, US, true,
		  "user (user id 1001): it must be owned by the user who reads it (user id 1000)");
	check(S_IFREG | 0600, US, ROOT, true, "another user");

	/* whoever we are: that it can be read at all is for the system to say */
	check(S_IFREG | 0640, ROOT, US, true, NULL);
	check(S_IFREG | 0640, ROOT, ROOT, true, NULL);
	for (size_t i = 0; i < sizeof(too_open) / sizeof(too_open[0]); i++)
	{
		check(S_IFREG | too_open[i], US, US, true, "others may access it");
		check(S_IFREG | too_open[i], ROOT, US, true, "others may access it");
	}
	return unit_done();
}
