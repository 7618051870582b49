/*-------------------------------------------------------------------------
 *
 * src/courier/credentials.c
 *		What the files of a server hold.
 *
 * See credentials.h.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE				/* explicit_bzero */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "credentials.h"
#include "file.h"
#include "pem.h"
#include "token.h"

/* bytes; the roots of a Debian system are 200 kB */
#define PEM_LIMIT	((size_t) 1024 * 1024)

#define SCHEME		"Bearer "

typedef enum Which
{
	ROOTS, CHAIN, KEY, TOKEN, FILES
} Which;

static const char *const option_names[FILES] = {
	[ROOTS] = "root_cert_file",
	[CHAIN] = "cert_file",
	[KEY] = "key_file",
	[TOKEN] = "auth_token_file"
};

struct PaCredentials
{
	bool		tls;
	char	   *paths[FILES];	/* NULL: no such file is in use */
	PaFile		files[FILES];
	grpc_slice	authorization;
};

/* where systems keep the roots that they trust */
static const char *const system_roots[] = {
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/ca-bundle.pem",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
	"/etc/ssl/cert.pem"
};

static const char *
find_system_roots(void)
{
	for (size_t i = 0; i < sizeof(system_roots) / sizeof(system_roots[0]); i++)
	{
		if (access(system_roots[i], R_OK) == 0)
			return system_roots[i];
	}
	return NULL;
}

/* option "path": what */
static void
say(char *message, Which which, const char *path, const char *what)
{
	snprintf(message, PA_CREDENTIALS_MESSAGE, "%s \"%s\": %s",
			 option_names[which], path, what);
}

/* a memory of its own, because that of a slice is not overwritten by gRPC */
static void
destroy_secret(void *memory)
{
	explicit_bzero(memory, strlen(memory));
	free(memory);
}

static bool
take_token(PaCredentials *credentials, char *problem)
{
	PaFile	   *file = &credentials->files[TOKEN];
	const char *why;
	size_t		length;
	char	   *value;

	if (!pa_token_check(file->text, file->length, &length, &why))
	{
		say(problem, TOKEN, credentials->paths[TOKEN], why);
		return false;
	}
	value = malloc(sizeof(SCHEME) + length);
	if (value == NULL)
		abort();				/* the worker starts another courier */
	memcpy(value, SCHEME, sizeof(SCHEME) - 1);
	memcpy(value + sizeof(SCHEME) - 1, file->text, length);
	value[sizeof(SCHEME) - 1 + length] = '\0';
	credentials->authorization =
		grpc_slice_new_with_user_data(value, sizeof(SCHEME) - 1 + length,
									  destroy_secret, value);
	return true;
}

/* looks at what was read */
static bool
check(PaCredentials *credentials, Which which, char *problem, char *warning)
{
	const PaFile *file = &credentials->files[which];
	const PaFile *chain = &credentials->files[CHAIN];
	char		why[PA_PEM_REMARK] = "";
	char		doubt[PA_PEM_REMARK] = "";
	bool		good;

	switch (which)
	{
		case ROOTS:
			good = pa_pem_check_roots(file->text, file->length, why, doubt);
			break;
		case CHAIN:
			good = pa_pem_check_chain(file->text, file->length, why, doubt);
			break;
		case KEY:
			good = pa_pem_check_key(file->text, file->length,
									chain->text, chain->length, why);
			break;
		default:
			return take_token(credentials, problem);
	}
	if (!good)
		say(problem, which, credentials->paths[which], why);
	else if (doubt[0] != '\0' && warning[0] == '\0')
		say(warning, which, credentials->paths[which], doubt);
	return good;
}

static bool
read_and_check(PaCredentials *credentials, Which which, char *problem,
			   char *warning)
{
	bool		secret = which == KEY || which == TOKEN;
	char		why[256];

	if (!pa_file_read(&credentials->files[which], credentials->paths[which],
					  secret, which == TOKEN ? PA_TOKEN_LIMIT + 2 : PEM_LIMIT,
					  why, sizeof(why)))
	{
		say(problem, which, credentials->paths[which], why);
		return false;
	}
	return check(credentials, which, problem, warning);
}

static void
set_path(PaCredentials *credentials, Which which, const char *path)
{
	if (path[0] != '\0' &&
		(credentials->paths[which] = strdup(path)) == NULL)
		abort();
}

PaCredentials *
pa_credentials_load(const Courier__Configure *configure, char *problem,
					char *warning)
{
	PaCredentials *credentials = calloc(1, sizeof(*credentials));
	const char *roots = configure->root_cert_file;

	problem[0] = warning[0] = '\0';
	if (credentials == NULL)
		abort();
	credentials->authorization = grpc_empty_slice();
	credentials->tls = configure->tls;
	if (configure->tls)
	{
		if (roots[0] == '\0' && (roots = find_system_roots()) == NULL)
		{
			snprintf(problem, PA_CREDENTIALS_MESSAGE,
					 "root_cert_file is not set, and no file of the system's root certificates was found");
			pa_credentials_free(credentials);
			return NULL;
		}
		set_path(credentials, ROOTS, roots);
		set_path(credentials, CHAIN, configure->cert_file);
		set_path(credentials, KEY, configure->key_file);
	}
	set_path(credentials, TOKEN, configure->auth_token_file);

	for (int i = 0; i < FILES; i++)
	{
		if (credentials->paths[i] != NULL &&
			!read_and_check(credentials, i, problem, warning))
		{
			pa_credentials_free(credentials);
			return NULL;
		}
	}
	return credentials;
}

void
pa_credentials_free(PaCredentials *credentials)
{
	if (credentials == NULL)
		return;
	for (int i = 0; i < FILES; i++)
	{
		pa_file_forget(&credentials->files[i]);
		free(credentials->paths[i]);
	}
	grpc_slice_unref(credentials->authorization);
	free(credentials);
}

bool
pa_credentials_have_changed(const PaCredentials *credentials)
{
	for (int i = 0; i < FILES; i++)
	{
		if (credentials->paths[i] != NULL &&
			pa_file_has_changed(&credentials->files[i], credentials->paths[i]))
			return true;
	}
	return false;
}

bool
pa_credentials_same_connection(const PaCredentials *a,
							   const PaCredentials *b)
{
	if (a->tls != b->tls)
		return false;
	for (int i = 0; i < TOKEN; i++)
	{
		if (!pa_file_same_text(&a->files[i], &b->files[i]))
			return false;
	}
	return true;
}

grpc_channel_credentials *
pa_credentials_for_channel(const PaCredentials *credentials)
{
	grpc_ssl_pem_key_cert_pair pair = {
		.private_key = credentials->files[KEY].text,
		.cert_chain = credentials->files[CHAIN].text
	};

	if (!credentials->tls)
		return grpc_insecure_credentials_create();
	return grpc_ssl_credentials_create_ex(credentials->files[ROOTS].text,
										  pair.private_key != NULL ?
										  &pair : NULL, NULL, NULL);
}

grpc_slice
pa_credentials_authorization(const PaCredentials *credentials)
{
	return grpc_slice_ref(credentials->authorization);
}
