/*-------------------------------------------------------------------------
 *
 * src/agent/options.h
 *		The command line of power_agent.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_OPTIONS_H
#define PA_AGENT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "provider_simulated.h"
#include "server.h"
#include "service.h"
#include "tls.h"

typedef struct PaOptions
{
	bool		help;
	bool		version;
	bool		check_config;
	const char *listen;			/* as given: unix:PATH or HOST:PORT */
	const char *ready_file;
	const char *provider;		/* NULL: that of each account in the file */
	const char *accounts_file;	/* NULL: none */
	const char *state_file;		/* NULL: memory only */
	const char *log_file;
	bool		log_sync;
	const char *metrics;		/* ADDRESS:PORT, loopback; NULL: none */
	bool		insecure;		/* in the clear, beyond this machine */
	PaTlsOptions tls;
	PaServerOptions server;
	PaServiceOptions service;	/* its defaults are to be released */
	PaSimulatedOptions simulated;
} PaOptions;

/*
 * Reads the command line.  Returns false if it is not valid and writes to
 * "problem" which argument is wrong and what is valid.  The texts are those
 * of argv.
 */
extern bool pa_options_read(PaOptions *options, int argc, char **argv,
							char *problem, size_t size);
extern void pa_options_free(PaOptions *options);

extern void pa_options_help(FILE *file);

/* the path of a unix: address, NULL for HOST:PORT */
extern const char *pa_options_unix_path(const PaOptions *options);

#endif							/* PA_AGENT_OPTIONS_H */
