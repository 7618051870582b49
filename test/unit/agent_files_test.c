/* objects: agent/behaviour agent/rule_file agent/units agent/status_name */
/* objects: agent/provider_simulated agent/store agent/store_file agent/metric agent/timer agent/table agent/arena */
/*-------------------------------------------------------------------------
 *
 * test/unit/agent_files_test.c
 *		The files that the agent reads, where they are files and not text.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE 1				/* memfd_create */

#include <sys/mman.h>
#include <unistd.h>

#include "agent/provider_simulated.h"
#include "agent/rule_file.h"
#include "unit.h"

static char path[64];
static char problem[512];

/* a file with that content; *path is its name until it is closed */
static int
make_file(const char *content, size_t length)
{
	int			fd = memfd_create("test", MFD_CLOEXEC);

	if (fd < 0 || write(fd, content, length) != (ssize_t) length)
		perror("memfd_create");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	problem[0] = '\0';
	return fd;
}

static bool
rules_are_read(const char *content, size_t length)
{
	int			fd = make_file(content, length);
	PaRuleFile *file = pa_rule_file_open(path, problem, sizeof(problem));

	if (file != NULL)
		pa_rule_file_close(file);
	close(fd);
	return file != NULL;
}

static bool
inventory_is_read(const char *content, size_t length)
{
	int			fd = make_file(content, length);
	PaSimulatedOptions options = {.initial_state = PA_INSTANCE_STOPPED,
	.max_instances = 10, .inventory_file = path};
	PaTimers	timers = {0};
	PaProvider *provider = pa_provider_simulated_create(&options, &timers,
														problem,
														sizeof(problem));

	if (provider != NULL)
		provider->close(provider);
	pa_timer_free(&timers);
	close(fd);
	return provider != NULL;
}

#define LITERAL(text)	text, sizeof(text) - 1

/* found by fuzzing: what came after a NUL was left out without a word */
int
main(void)
{
	ok(rules_are_read(LITERAL("c1 drop\nc2 hang\n")), "rules");
	ok(!rules_are_read(LITERAL("c1 drop\n\0c2 hang\n")), "rules with a NUL");
	ok(strstr(problem, "contains a NUL byte") != NULL, "it says: %s", problem);

	ok(inventory_is_read(LITERAL("a b c i\n")), "an inventory");
	ok(!inventory_is_read(LITERAL("a b c i\na b d i\0 j\n")),
	   "an inventory with a NUL");
	ok(strstr(problem, ":2: the line contains a NUL byte") != NULL,
	   "it says: %s", problem);
	return unit_done();
}
