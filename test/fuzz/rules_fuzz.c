/* objects: agent/behaviour agent/rule_file agent/units agent/status_name */
/* objects: agent/table */
/*-------------------------------------------------------------------------
 *
 * test/fuzz/rules_fuzz.c
 *		A behaviour file of the agent: refused with the number of the line, or
 *		rules that can be asked anything; the file and its text mean the same.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE 1				/* memfd_create */

#include <sys/mman.h>
#include <unistd.h>

#include "agent/rule_file.h"
#include "fuzz.h"

static char problem[512];

static int
count_lines(const char *text)
{
	int			lines = 1;

	for (; *text; text++)
		lines += *text == '\n';
	return lines;
}

/* "name:line: what is wrong" */
static void
check_problem(const char *name, int lines)
{
	char	   *end;
	long		line;

	must(strlen(problem) < sizeof(problem));
	must(strncmp(problem, name, strlen(name)) == 0);
	must(problem[strlen(name)] == ':');
	line = strtol(problem + strlen(name) + 1, &end, 10);
	must(line >= 1 && line <= lines);
	must(strncmp(end, ": ", 2) == 0 && end[2] != '\0');
}

static void
ask(PaRules *rules, const char *cluster_id)
{
	for (int method = 0; method < PA_METHOD_UNKNOWN; method++)
	{
		const PaRule *rule = pa_behaviour_match(rules, cluster_id,
												(PaMethod) method);

		if (rule == NULL)
			continue;
		must(rule->methods[method]);
		must(rule->latency >= 0 && rule->act_after >= 0 && rule->size >= 0);
		must(rule->act_after == 0 || rule->accept_only);
		must((rule->fault == PA_FAULT_STATUS) == (rule->status != 0));
		must(rule->status >= 0 && rule->status <= 16);
		must(rule->partial.count >= 0 && rule->partial.count <= 100000);
		must(rule->partial.count == 0 || rule->partial.id_count == 0);
		must(rule->foreign.count >= 0 && rule->foreign.count <= 100000);
		for (size_t i = 0; i < 3; i++)
			must(pa_behaviour_selects(&rule->partial, i, 3, "i-1") ||
				 rule->partial.count < (int64_t) (3 - i));
	}
}

static void
check_file(const uint8_t *data, size_t size, bool valid)
{
	int			fd = memfd_create("rules", MFD_CLOEXEC);
	char		path[32];
	PaRuleFile *file;

	must(fd >= 0 && write(fd, data, size) == (ssize_t) size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	file = pa_rule_file_open(path, problem, sizeof(problem));
	must((file != NULL) == valid);
	if (file != NULL)
	{
		must(pa_rule_file_rules(file, true) != NULL);
		pa_rule_file_close(file);
	}
	else
		must(strstr(problem, path) != NULL);
	close(fd);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text = fuzz_text(data, size);
	PaRules    *rules = pa_behaviour_parse(text, "rules", problem,
										   sizeof(problem));
	bool		valid = rules != NULL;

	if (valid)
	{
		ask(rules, "cluster-7");
		ask(rules, "");
		ask(rules, "cluster-7");
		pa_behaviour_release(rules);
	}
	else
		check_problem("rules", count_lines(text));

	/* what a NUL hides is not a rule that was read */
	check_file(data, size, valid && strlen(text) == size);
	free(text);
	return 0;
}
