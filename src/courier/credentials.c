/*-------------------------------------------------------------------------
 *
 * src/courier/credentials.c
 *		What the files of a server hold.
 *
 * See credentials.h.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "credentials.h"
#include "program/bearer.h"
#include "program/file.h"
#include "program/memory.h"
#include "program/pem.h"
#include "program/secret.h"

/* bytes; the roots of a Debian system are 200 kB */
#define PEM_LIMIT	((size_t) 1024 * 1024)

/* a token, and perhaps the end of its line */
#define TOKEN_LIMIT	(PA_BEARER_LIMIT + 2)

typedef enum Which
{
	ROOTS, CHAIN, KEY, TOKEN, FILES
} Which;

struct PaCredentials
{
	bool		tls;
	PaFile		files[FILES];	/* no path: no such file is in use */
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

/* a memory of its own, because that of a slice is not overwritten by gRPC */
static void
destroy_secret(void *memory)
{
	pa_secret_free(memory);
}

/* the token is all that is in its file, but for the end of its line */
static bool
take_token(PaCredentials *credentials, char *problem)
{
	const size_t scheme_length = sizeof(PA_BEARER_SCHEME) - 1;
	const PaFile *file = &credentials->files[TOKEN];
	size_t		length = file->length;
	const char *fault;
	char	   *value;

	while (length > 0 && (file->text[length - 1] == '\n' ||
						  file->text[length - 1] == '\r'))
		length--;
	if (length == 0)
		return pa_file_refuse(file, problem, PA_CREDENTIALS_MESSAGE,
							  "there is no token in it");
	if (memchr(file->text, '\n', length) != NULL ||
		memchr(file->text, '\r', length) != NULL)
		return pa_file_refuse(file, problem, PA_CREDENTIALS_MESSAGE,
							  "there is more than one line in it");
	fault = pa_bearer_fault(file->text, length);
	if (fault != NULL)
		return pa_file_refuse(file, problem, PA_CREDENTIALS_MESSAGE,
							  "the token %s", fault);

	value = pa_memory_allocate(scheme_length + length + 1);
	memcpy(value, PA_BEARER_SCHEME, scheme_length);
	memcpy(value + scheme_length, file->text, length);
	value[scheme_length + length] = '\0';
	credentials->authorization =
		grpc_slice_new_with_user_data(value, scheme_length + length,
									  destroy_secret, value);
	return true;
}

static bool
read_files(PaCredentials *credentials, char *problem)
{
	for (int i = 0; i < FILES; i++)
	{
		PaFile	   *file = &credentials->files[i];

		if (file->path != NULL &&
			!pa_file_read(file, problem, PA_CREDENTIALS_MESSAGE))
			return false;
	}
	return true;
}

/* looks at what was read */
static bool
check_files(const PaCredentials *credentials, char *problem, char *warning)
{
	const PaFile *files = credentials->files;

	return (files[ROOTS].path == NULL ||
			pa_pem_check_authorities(&files[ROOTS],
									 warning, PA_CREDENTIALS_MESSAGE,
									 problem, PA_CREDENTIALS_MESSAGE)) &&
		((files[CHAIN].path == NULL && files[KEY].path == NULL) ||
		 pa_pem_check_own(&files[CHAIN], &files[KEY],
						  warning, PA_CREDENTIALS_MESSAGE,
						  problem, PA_CREDENTIALS_MESSAGE));
}

/* the path as an order has it, empty if there is none */
static void
name_file(PaCredentials *credentials, Which which, const char *option,
		  const char *path)
{
	bool		secret = which == KEY || which == TOKEN;

	pa_file_init(&credentials->files[which], option,
				 path[0] != '\0' ? path : NULL,
				 secret ? PA_FILE_SECRET : PA_FILE_REGULAR,
				 which == TOKEN ? TOKEN_LIMIT : PEM_LIMIT);
}

PaCredentials *
pa_credentials_load(const Courier__Configure *configure, char *problem,
					char *warning)
{
	PaCredentials *credentials = pa_memory_allocate_zeroed(sizeof(*credentials));
	const char *roots = configure->root_cert_file;

	problem[0] = warning[0] = '\0';
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
		name_file(credentials, ROOTS, "root_cert_file", roots);
		name_file(credentials, CHAIN, "cert_file", configure->cert_file);
		name_file(credentials, KEY, "key_file", configure->key_file);
	}
	name_file(credentials, TOKEN, "auth_token_file",
			  configure->auth_token_file);

	if (read_files(credentials, problem) &&
		check_files(credentials, problem, warning) &&
		(credentials->files[TOKEN].path == NULL ||
		 take_token(credentials, problem)))
		return credentials;
	pa_credentials_free(credentials);
	return NULL;
}

void
pa_credentials_free(PaCredentials *credentials)
{
	if (credentials == NULL)
		return;
	for (int i = 0; i < FILES; i++)
		pa_file_release(&credentials->files[i]);
	grpc_slice_unref(credentials->authorization);
	free(credentials);
}

bool
pa_credentials_have_changed(const PaCredentials *credentials)
{
	for (int i = 0; i < FILES; i++)
	{
		if (credentials->files[i].path != NULL &&
			pa_file_has_changed(&credentials->files[i]))
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
