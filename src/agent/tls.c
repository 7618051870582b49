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
/* for explicit_bzero */
#define _GNU_SOURCE 1

#include "tls.h"

#include <grpc/grpc_security.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "memory.h"
#include "pem.h"

#define LARGEST_FILE	(1024 * 1024)

enum
{
	CERTIFICATE,
	KEY,
	CLIENT_CA,
	FILE_COUNT
};

typedef struct File
{
	const char *option;
	PaFileKind	kind;
	const char *path;			/* NULL: not given */
	struct stat seen;
} File;

struct PaTls
{
	pthread_mutex_t lock;
	File		files[FILE_COUNT];
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

/* what the files hold, to be freed by free_texts; false, with the reason */
static bool
read_texts(const PaTls *tls, PaPem *pems, char *problem, size_t size)
{
	for (int i = 0; i < FILE_COUNT; i++)
	{
		const File *file = &tls->files[i];
		char		fault[256];

		pems[i].option = file->option;
		pems[i].path = file->path;
		if (file->path == NULL)
			continue;
		pems[i].text = pa_file_read(file->path, file->kind, LARGEST_FILE, NULL,
									fault, sizeof(fault));
		if (pems[i].text == NULL)
		{
			snprintf(problem, size, "%s \"%s\": %s", file->option, file->path,
					 fault);
			return false;
		}
	}
	return true;
}

static void
free_texts(PaPem *pems)
{
	for (int i = 0; i < FILE_COUNT; i++)
	{
		char	   *text = (char *) pems[i].text;

		if (text != NULL)
			explicit_bzero(text, strlen(text));
		free(text);
	}
}

/* reads the files anew; false, with the reason, if they cannot be used */
static bool
load(PaTls *tls, char *problem, size_t size)
{
	PaPem		pems[FILE_COUNT] = {0};
	char		warning[512];
	bool		good;

	good = read_texts(tls, pems, problem, size) &&
		pa_pem_check(&pems[CERTIFICATE], &pems[KEY], &pems[CLIENT_CA],
					 warning, sizeof(warning), problem, size);
	if (good)
	{
		grpc_ssl_pem_key_cert_pair pair = {
			.private_key = pems[KEY].text,
			.cert_chain = pems[CERTIFICATE].text
		};

		/*
		 * Core with its assertions on, as Debian builds it, wants authorities
		 * even if no client is asked for a certificate; any will do then.
		 */
		const char *roots = pems[pems[CLIENT_CA].text ? CLIENT_CA : CERTIFICATE].text;

		forget_fresh(tls);
		tls->fresh = grpc_ssl_server_certificate_config_create(roots, &pair, 1);
		if (warning[0] != '\0')
			fprintf(stderr, "power_agent: warning: %s\n", warning);
	}
	free_texts(pems);
	return good;
}

/* true if a file has changed since the last time */
static bool
look(PaTls *tls)
{
	bool		changed = false;

	for (int i = 0; i < FILE_COUNT; i++)
	{
		File	   *file = &tls->files[i];

		if (file->path != NULL && pa_file_changed(file->path, &file->seen))
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
	tls->files[CERTIFICATE] = (File) {
		"--tls-cert", PA_FILE_REGULAR, options->certificate_file
	};
	tls->files[KEY] = (File) {
		"--tls-key", PA_FILE_SECRET, options->key_file
	};
	tls->files[CLIENT_CA] = (File) {
		"--tls-client-ca", PA_FILE_REGULAR, options->client_ca_file
	};
	look(tls);
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
	pthread_mutex_destroy(&tls->lock);
	free(tls);
}
