/*-------------------------------------------------------------------------
 *
 * src/agent/main.c
 *		power_agent: starts the parts, listens, and ends on a signal.
 *
 * Signals are blocked in all threads and taken by one that does nothing
 * else, so that no handler ever runs.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <grpc/grpc.h>
#include <grpc/support/log.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "account_file.h"
#include "connection.h"
#include "metrics_server.h"
#include "notify.h"
#include "options.h"
#include "program/memory.h"
#include "program/mutexes.h"
#include "program/scheduling.h"
#include "provider_router.h"
#include "store.h"

#define VERSION		"1.0"

#define EXIT_BAD_ARGUMENT	2

/* tells the signal thread to end */
#define SIGNAL_END			SIGUSR1

/* what providers get to end after the drain, in us */
#define TIME_TO_CLOSE		60000000

typedef struct Running
{
	PaServer   *server;
	int64_t		drain_timeout;	/* us */
	char		status[512];	/* while it serves, for people */
} Running;

static sigset_t handled_signals;

static void
log_core(gpr_log_func_args *arguments)
{
	fprintf(stderr, "power_agent: gRPC: %s\n", arguments->message);
}

static void *
take_signals(void *data)
{
	Running    *running = data;
	bool		stopping = false;
	int			number;

	for (;;)
	{
		if (sigwait(&handled_signals, &number) != 0)
			continue;
		switch (number)
		{
			case SIGNAL_END:
				return NULL;
			case SIGHUP:
				if (!stopping)
					pa_notify_reloading();
				pa_server_reload(running->server);
				if (!stopping)
					pa_notify_ready(running->status);
				break;
			default:
				if (!stopping)
					pa_notify_stopping(running->drain_timeout + TIME_TO_CLOSE);
				stopping = true;
				pa_server_drain(running->server);
				break;
		}
	}
}

static void
block_signals(void)
{
	sigemptyset(&handled_signals);
	sigaddset(&handled_signals, SIGTERM);
	sigaddset(&handled_signals, SIGINT);
	sigaddset(&handled_signals, SIGHUP);
	sigaddset(&handled_signals, SIGNAL_END);
	pthread_sigmask(SIG_BLOCK, &handled_signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	/* a file that may not grow is an error of that write, not the end */
	signal(SIGXFSZ, SIG_IGN);
}

/* the file appears complete or not at all */
static bool
write_ready_file(const char *path, const char *line)
{
	size_t		length = strlen(path) + 32;
	char	   *temporary = pa_memory_allocate(length);
	FILE	   *file;
	bool		good;

	snprintf(temporary, length, "%s.%d.tmp", path, (int) getpid());
	file = fopen(temporary, "we");
	good = file != NULL && fputs(line, file) >= 0;
	if (file != NULL && fclose(file) != 0)
		good = false;
	if (good)
		good = rename(temporary, path) == 0;
	if (!good)
	{
		fprintf(stderr, "power_agent: could not write ready file \"%s\": %s\n",
				path, strerror(errno));
		unlink(temporary);
	}
	free(temporary);
	return good;
}

static bool
tell_ready(const PaOptions *options, int port, const PaMetricsServer *metrics,
		   Running *running)
{
	char		line[1024];

	if (pa_options_unix_path(options) != NULL)
		snprintf(running->status, sizeof(running->status), "listening on %s",
				 options->listen);
	else
		snprintf(running->status, sizeof(running->status), "listening on %.*s:%d",
				 (int) (strrchr(options->listen, ':') - options->listen),
				 options->listen, port);
	if (metrics != NULL)
		snprintf(line, sizeof(line),
				 "power_agent: %s\npower_agent: metrics on %s\n",
				 running->status, pa_metrics_server_url(metrics));
	else
		snprintf(line, sizeof(line), "power_agent: %s\n", running->status);
	/* who has read the line may rely on the file */
	if (options->ready_file != NULL &&
		!write_ready_file(options->ready_file, line))
		return false;
	fputs(line, stdout);
	fflush(stdout);
	pa_notify_ready(running->status);
	return true;
}

/* listens until it has drained; false if it could not start */
static bool
run_server(const PaOptions *options, PaServer *server,
		   const PaMetricsServer *metrics, char *problem, size_t size)
{
	Running		running = {server, options->server.drain_timeout, ""};
	pthread_t	signals;
	int			port;
	bool		ready;

	port = pa_server_start(server, problem, size);
	if (port == 0)
		return false;
	/* before signals are taken: being ready comes first, whatever follows */
	ready = tell_ready(options, port, metrics, &running);
	if (!ready)
		pa_server_drain(server);
	if (pthread_create(&signals, NULL, take_signals, &running) != 0)
	{
		fputs("power_agent: could not start a thread\n", stderr);
		abort();
	}
	if (!pa_server_join(server))
		fputs("power_agent: the drain timeout passed with calls in progress\n",
			  stderr);
	pthread_kill(signals, SIGNAL_END);
	pthread_join(signals, NULL);
	if (!ready)
		snprintf(problem, size, "could not tell that it is ready");
	return ready;
}

static PaMetricsServer *
start_metrics(const PaOptions *options, char *problem, size_t size)
{
	PaBuild		build = {VERSION, grpc_version_string()};

	for (const PaProviderType *const *type = pa_provider_types; *type; type++)
	{
		if ((*type)->absent == NULL)
			pa_metric_add_provider((*type)->name);
	}
	return pa_metrics_server_start(options->metrics, &build, problem, size);
}

static bool
run(const PaOptions *options, char *problem, size_t size)
{
	PaTimers	timers = {0};
	PaSimulatedOptions simulated = options->simulated;
	PaServerOptions server_options = options->server;
	PaProviderSetup setup = {.timers = &timers, .simulated = &simulated};
	PaStore    *store = NULL;
	PaProvider *provider = NULL;
	PaService  *service = NULL;
	PaServer   *server = NULL;
	PaMetricsServer *metrics = NULL;
	PaTls	   *tls = NULL;
	PaLog	   *log = NULL;
	const char *path = pa_options_unix_path(options);
	bool		good = false;

	if (path != NULL && !pa_connection_check_unix_path(path, problem, size))
		goto cleanup;
	if (options->tls.certificate_file != NULL)
	{
		tls = pa_tls_open(&options->tls, problem, size);
		if (tls == NULL)
			goto cleanup;
		if (options->tls.client_ca_file == NULL &&
			options->service.token_file == NULL)
			fprintf(stderr,
					"power_agent: warning: whoever can reach %s can give orders: neither --tls-client-ca nor --token-file is given\n",
					options->listen);
	}
	if (options->log_file != NULL)
	{
		log = pa_log_open(options->log_file, options->log_sync);
		if (log == NULL)
		{
			snprintf(problem, size, "could not open log file \"%s\": %s",
					 options->log_file, strerror(errno));
			goto cleanup;
		}
	}
	if (options->state_file != NULL)
	{
		store = pa_store_open(options->state_file, problem, size);
		if (store == NULL)
			goto cleanup;
		simulated.store = store;
	}
	else if (options->accounts_file != NULL)
		fputs("power_agent: warning: without --state a restart forgets which orders were carried out and which is the newest\n",
			  stderr);
	if (options->accounts_file != NULL)
		provider = pa_provider_router_create(options->accounts_file,
											 pa_provider_types, &setup,
											 problem, size);
	else
		provider = pa_provider_simulated_create(&simulated, &timers, problem,
												size);
	if (provider == NULL)
		goto cleanup;
	service = pa_service_create(&options->service, provider, &timers, log,
								store, problem, size);
	if (service == NULL)
		goto cleanup;
	if (options->metrics != NULL)
	{
		metrics = start_metrics(options, problem, size);
		if (metrics == NULL)
			goto cleanup;
	}
	server_options.watchdog = pa_notify_watchdog();
	server_options.alive = pa_notify_alive;
	server = pa_server_create(&server_options, tls, service, &timers);
	good = run_server(options, server, metrics, problem, size);

cleanup:
	if (metrics != NULL)
		pa_metrics_server_stop(metrics);
	/* provider and store first: their threads must not wake what is gone */
	if (provider != NULL)
		provider->close(provider);
	if (service != NULL)
		pa_service_abandon(service);
	if (server != NULL)
		pa_server_free(server);
	if (service != NULL)
		pa_service_free(service);
	if (store != NULL)
		pa_store_close(store);
	if (log != NULL)
		pa_log_close(log);
	if (tls != NULL)
		pa_tls_close(tls);
	pa_timer_free(&timers);
	return good;
}

/* the exit status */
static int
check_config(const PaOptions *options)
{
	PaReport	report;
	PaAccount  *accounts;

	pa_report_to_stderr(&report, options->accounts_file);
	accounts = pa_account_file_read(options->accounts_file, pa_provider_types,
									&report);
	if (accounts == NULL)
		return EXIT_FAILURE;
	while (accounts != NULL)
	{
		PaAccount  *account = accounts;

		accounts = account->next;
		pa_account_free(account);
	}
	puts("OK");
	return EXIT_SUCCESS;
}

int
main(int argc, char **argv)
{
	PaOptions	options;
	char		problem[1024];
	int			result = EXIT_SUCCESS;

	if (!pa_options_read(&options, argc, argv, problem, sizeof(problem)))
	{
		fprintf(stderr, "power_agent: %s\nTry \"power_agent --help\".\n", problem);
		result = EXIT_BAD_ARGUMENT;
	}
	else if (options.help)
		pa_options_help(stdout);
	else if (options.version)
		printf("power_agent %s, gRPC core %s\n", VERSION, grpc_version_string());
	else if (options.check_config)
		result = check_config(&options);
	else
	{
		block_signals();
		pa_scheduling_batch();
		pa_mutexes_stay_plain();
		gpr_set_log_function(log_core);
		grpc_init();
		if (!run(&options, problem, sizeof(problem)))
		{
			fprintf(stderr, "power_agent: %s\n", problem);
			result = EXIT_FAILURE;
		}
		grpc_shutdown_blocking();
	}
	pa_options_free(&options);
	return result;
}
