/*-------------------------------------------------------------------------
 *
 * src/agent/tls.c
 *		The server's side of TLS.  Contract in tls.h.
 *
 * Core asks for a configuration at each handshake, in a thread of the server
 * or of its own, with no lock of ours, and takes a new one without touching
 * what exists.  Tickets of TLS sessions go with the old configuration, so a
 * client cannot resume what a new authority would not have admitted.
 *
 *-------------------------------------------------------------------------
 */
#include "tls.h"

#include <grpc/grpc_security.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "program/file.h"
#include "program/memory.h"
#include "program/pem.h"

#define LARGEST_FILE	(1024 * 1024)

enum
{
	CERTIFICATE,
	KEY,
	CLIENT_CA,
	FILE_COUNT
};

struct PaTls
{
	pthread_mutex_t lock;
	PaFile		files[FILE_COUNT];	/* the texts only while they are read */
	/* that core has not fetched yet; NULL: it has what was last read */
	grpc_ssl_server_certificate_config *fresh;
};

static void
forget_fresh(PaTls *tls)
{
	if (tls->fresh != NULL)
		grpc_ssl_server_certificate_config_destroy(tls->fresh);
	tls->fresh = NULL;
}

static bool
read_files(PaTls *tls, char *problem, size_t size)
{
	for (int i = 0; i < FILE_COUNT; i++)
	{
		PaFile	   *file = &tls->files[i];

		if (file->path != NULL && !pa_file_read(file, problem, size))
			return false;
	}
	return true;
}

/* looks at what was read */
static bool
check_files(const PaTls *tls, char *warning, size_t warning_size,
			char *problem, size_t size)
{
	const PaFile *files = tls->files;

	return pa_pem_check_own(&files[CERTIFICATE], &files[KEY], warning,
							warning_size, problem, size) &&
		(files[CLIENT_CA].path == NULL ||
		 pa_pem_check_authorities(&files[CLIENT_CA], warning, warning_size,
								  problem, size));
}

static grpc_ssl_server_certificate_config *
make_config(const PaTls *tls)
{
	const PaFile *files = tls->files;
	grpc_ssl_pem_key_cert_pair pair = {
		.private_key = files[KEY].text,
		.cert_chain = files[CERTIFICATE].text
	};

	/*
	 * Core with its assertions on, as Debian builds it, wants authorities even
	 * if no client is asked for a certificate; any will do then.
	 */
	const char *roots = files[files[CLIENT_CA].text ? CLIENT_CA : CERTIFICATE].text;

	return grpc_ssl_server_certificate_config_create(roots, &pair, 1);
}

/* reads the files anew; false, with the reason, if they cannot be used */
static bool
load(PaTls *tls, char *problem, size_t size)
{
	char		warning[512] = "";
	bool		good;

	good = read_files(tls, problem, size) &&
		check_files(tls, warning, sizeof(warning), problem, size);
	if (good)
	{
		forget_fresh(tls);
		tls->fresh = make_config(tls);
		if (warning[0] != '\0')
			fprintf(stderr, "power_agent: warning: %s\n", warning);
	}
	for (int i = 0; i < FILE_COUNT; i++)
		pa_file_forget(&tls->files[i]);
	return good;
}

/* true if a file has changed since the last time */
static bool
look(PaTls *tls)
{
	bool		changed = false;

	for (int i = 0; i < FILE_COUNT; i++)
	{
		PaFile	   *file = &tls->files[i];

		if (file->path != NULL && pa_file_look(file))
			changed = true;
	}
	return changed;
}

static void
refresh(PaTls *tls, bool force)
{
	char		problem[1024];

	if (!look(tls) && !force)
		return;
	if (load(tls, problem, sizeof(problem)))
		fputs("power_agent: read the certificates again\n", stderr);
	else
		fprintf(stderr, "power_agent: %s; the certificates stay as they are\n",
				problem);
}

PaTls *
pa_tls_open(const PaTlsOptions *options, char *problem, size_t size)
{
	PaTls	   *tls = pa_memory_allocate_zeroed(sizeof(*tls));

	pthread_mutex_init(&tls->lock, NULL);
	pa_file_init(&tls->files[CERTIFICATE], "--tls-cert",
				 options->certificate_file, PA_FILE_REGULAR, LARGEST_FILE);
	pa_file_init(&tls->files[KEY], "--tls-key", options->key_file,
				 PA_FILE_SECRET, LARGEST_FILE);
	pa_file_init(&tls->files[CLIENT_CA], "--tls-client-ca",
				 options->client_ca_file, PA_FILE_REGULAR, LARGEST_FILE);
	if (load(tls, problem, size))
		return tls;
	pa_tls_close(tls);
	return NULL;
}

/* core's call for a configuration; it gets a new one once */
static grpc_ssl_certificate_config_reload_status
fetch(void *data, grpc_ssl_server_certificate_config **config)
{
	PaTls	   *tls = data;
	grpc_ssl_certificate_config_reload_status result;

	pthread_mutex_lock(&tls->lock);
	refresh(tls, false);
	*config = tls->fresh;
	tls->fresh = NULL;
	result = *config != NULL ? GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW :
		GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
	pthread_mutex_unlock(&tls->lock);
	return result;
}

grpc_server_credentials *
pa_tls_credentials(PaTls *tls)
{
	grpc_ssl_client_certificate_request_type request =
		tls->files[CLIENT_CA].path != NULL ?
		GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY :
		GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE;

	return grpc_ssl_server_credentials_create_with_options(
		grpc_ssl_server_credentials_create_options_using_config_fetcher(request,
																		fetch,
																		tls));
}

void
pa_tls_reload(PaTls *tls)
{
	pthread_mutex_lock(&tls->lock);
	refresh(tls, true);
	pthread_mutex_unlock(&tls->lock);
}

void
pa_tls_close(PaTls *tls)
{
	forget_fresh(tls);
	for (int i = 0; i < FILE_COUNT; i++)
		pa_file_release(&tls->files[i]);
	pthread_mutex_destroy(&tls->lock);
	free(tls);
}
