/* objects: agent/provider_simulated agent/store agent/store_file agent/metric agent/timer agent/table agent/arena */
/* objects: agent/status_name */
/*-------------------------------------------------------------------------
 *
 * test/fuzz/inventory_fuzz.c
 *		An inventory file of the agent: refused with the number of the line,
 *		or every instance that it names is there.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE 1				/* memfd_create */

#include <sys/mman.h>
#include <unistd.h>

#include "agent/provider_simulated.h"
#include "agent/status_name.h"
#include "fuzz.h"

static const PaSimulatedOptions options = {
	.initial_state = PA_INSTANCE_STOPPED,
	.max_instances = 1000
};

/* the state of an instance, PA_INSTANCE_UNKNOWN if there is none */
static PaInstanceState
state_of(PaProvider *provider, const char *account, const char *region,
		 const char *cluster, const char *instance)
{
	PaArena		arena = {0};
	PaProviderInstance asked = {.instance_id = instance};
	PaProviderRequest request = {
		.verb = PA_PROVIDER_DESCRIBE,
		.account = account,
		.region = region,
		.cluster_id = cluster,
		.instances = &asked,
		.instance_count = 1,
		.arena = &arena
	};

	must(provider->submit(provider, &request));
	must(request.status == 0 && request.error == 0);
	pa_arena_empty(&arena);
	return asked.state;
}

/* each word of the file, by another reading of it */
static void
check_inventory(PaProvider *provider, char *text)
{
	char	   *line_end = NULL;

	for (char *line = strtok_r(text, "\n", &line_end); line;
		 line = strtok_r(NULL, "\n", &line_end))
	{
		char	   *end = NULL;
		char	   *account = strtok_r(line, " \t\r", &end);
		char	   *region;
		char	   *cluster;

		if (account == NULL || account[0] == '#')
			continue;
		region = strtok_r(NULL, " \t\r", &end);
		cluster = strtok_r(NULL, " \t\r", &end);
		must(region != NULL && cluster != NULL);
		for (char *word = strtok_r(NULL, " \t\r", &end); word;
			 word = strtok_r(NULL, " \t\r", &end))
		{
			char	   *equals = strrchr(word, '=');
			PaInstanceState expected = PA_INSTANCE_STOPPED;

			if (equals)
			{
				*equals = '\0';
				expected = pa_instance_state_code(equals + 1);
				/* changes take no time here */
				if (expected == PA_INSTANCE_STARTING)
					expected = PA_INSTANCE_RUNNING;
				else if (expected == PA_INSTANCE_STOPPING)
					expected = PA_INSTANCE_STOPPED;
			}
			must(state_of(provider, account, region, cluster, word) ==
				 expected);
		}
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int			fd = memfd_create("inventory", MFD_CLOEXEC);
	char		path[32];
	char		problem[512] = "";
	PaSimulatedOptions with_file = options;
	PaTimers	timers = {0};
	PaProvider *provider;
	char	   *text = fuzz_text(data, size);

	must(fd >= 0 && write(fd, data, size) == (ssize_t) size);
	must(lseek(fd, 0, SEEK_SET) == 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	with_file.inventory_file = path;
	provider = pa_provider_simulated_create(&with_file, &timers, problem,
											sizeof(problem));
	if (provider != NULL)
	{
		must(strlen(text) == size);
		check_inventory(provider, text);
		provider->close(provider);
	}
	else
	{
		must(strncmp(problem, path, strlen(path)) == 0);
		must(strtol(problem + strlen(path) + 1, NULL, 10) >= 1);
		must(strlen(problem) < sizeof(problem));
	}
	pa_timer_free(&timers);
	free(text);
	close(fd);
	return 0;
}
