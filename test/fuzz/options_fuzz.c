/* objects: agent/options agent/loopback agent/behaviour agent/provider_simulated agent/store agent/store_file agent/metric */
/* objects: agent/units agent/status_name agent/table agent/timer agent/arena */
/*-------------------------------------------------------------------------
 *
 * test/fuzz/options_fuzz.c
 *		The command line of the agent, an argument a line: refused with a
 *		reason, or options within their bounds.
 *
 *-------------------------------------------------------------------------
 */
#include "agent/options.h"
#include "fuzz.h"

#define MAX_ARGUMENTS	64

static void
check_options(const PaOptions *options)
{
	const char *path;

	must(options->service.defaults != NULL);
	if (options->help || options->version || options->check_config)
		return;
	must(options->listen != NULL);
	must(options->server.address == options->listen);
	path = pa_options_unix_path(options);
	if (path != NULL)
		must(strlen(path) >= 1 && strlen(path) <= 107);
	else
		must(strtol(strrchr(options->listen, ':') + 1, NULL, 10) <= 65535);
	/* each account names its own */
	must((options->provider == NULL) == (options->accounts_file != NULL));
	if (options->provider != NULL)
		must(strcmp(options->provider, "simulated") == 0);
	must(options->server.threads >= 1 && options->server.threads <= 64);
	must(options->server.max_message_size >= 0);
	must(options->server.max_concurrent_streams >= 0);
	must(options->server.drain_timeout >= 0);
	must(options->service.remembered_requests >= 1);
	must(options->service.remembered_orders >= 1);
	must(options->simulated.max_instances >= 1);
	must(options->simulated.initial_state >= PA_INSTANCE_RUNNING &&
		 options->simulated.initial_state <= PA_INSTANCE_TERMINATED);
	must(!options->log_sync || options->log_file != NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text = fuzz_text(data, size);
	char	   *arguments[MAX_ARGUMENTS + 1] = {(char *) "power_agent"};
	int			count = 1;
	char	   *rest = text;
	char	   *argument;
	char		problem[512] = "";
	PaOptions	options;

	while (count < MAX_ARGUMENTS && (argument = strsep(&rest, "\n")) != NULL)
		arguments[count++] = argument;
	arguments[count] = NULL;

	if (pa_options_read(&options, count, arguments, problem, sizeof(problem)))
	{
		must(problem[0] == '\0');
		check_options(&options);
	}
	else
		must(problem[0] != '\0' && strlen(problem) < sizeof(problem));
	pa_options_free(&options);
	free(text);
	return 0;
}
