/* objects: agent/tls */
/*-------------------------------------------------------------------------
 *
 * test/unit/agent_tls_test.c
 *		With which files an agent has TLS, and what it says of others.
 *
 *-------------------------------------------------------------------------
 */
#include "agent/tls.h"

#include <grpc/grpc.h>

#include "certificate.h"
#include "unit.h"

static char directory[] = "/tmp/tls-test-XXXXXX";
static char certificate_path[64];
static char key_path[64];
static char client_ca_path[64];
static char problem[1024];

static PaTls *
open_files(const char *client_ca)
{
	PaTlsOptions options = {certificate_path, key_path, client_ca};

	problem[0] = '\0';
	return pa_tls_open(&options, problem, sizeof(problem));
}

static void
opened(const char *client_ca, const char *name)
{
	PaTls	   *tls = open_files(client_ca);

	if (!ok(tls != NULL, "%s", name))
		printf("# %s\n", problem);
	if (tls != NULL)
		pa_tls_close(tls);
}

static void
not_opened(const char *client_ca, const char *expected, const char *name)
{
	PaTls	   *tls = open_files(client_ca);

	if (!ok(tls == NULL && strncmp(problem, expected, strlen(expected)) == 0,
			"%s", name))
		printf("# %s\n", problem);
	if (tls != NULL)
		pa_tls_close(tls);
}

/* the start of a problem with one of the files */
static const char *
of(const char *option, const char *path, const char *what)
{
	static char text[256];

	snprintf(text, sizeof(text), "%s \"%s\": %s", option, path, what);
	return text;
}

int
main(void)
{
	Identity	authority = make_identity(NULL, NULL, -1, 30);
	Identity	server = make_identity("DNS:localhost", &authority, -1, 30);

	grpc_init();
	if (mkdtemp(directory) == NULL)
	{
		printf("Bail out! no directory\n");
		return 1;
	}
	snprintf(certificate_path, sizeof(certificate_path), "%s/cert", directory);
	snprintf(key_path, sizeof(key_path), "%s/key", directory);
	snprintf(client_ca_path, sizeof(client_ca_path), "%s/ca", directory);

	not_opened(NULL, of("--tls-cert", certificate_path, "No such file"),
			   "no certificate");
	write_text(certificate_path, server.certificate_pem, 0644);
	not_opened(NULL, of("--tls-key", key_path, "No such file"), "no key");
	write_text(key_path, server.key_pem, 0644);
	not_opened(NULL, of("--tls-key", key_path, "others may access it"),
			   "a key for all to read");
	write_text(key_path, authority.key_pem, 0600);
	not_opened(NULL, of("--tls-key", key_path, "the key does not match"),
			   "the key of another");
	write_text(key_path, server.key_pem, 0600);
	opened(NULL, "both are there");
	write_text(certificate_path, "nothing", 0644);
	not_opened(NULL, of("--tls-cert", certificate_path, "it is not PEM"),
			   "no certificate in it");
	write_text(certificate_path, server.certificate_pem, 0644);

	not_opened(client_ca_path,
			   of("--tls-client-ca", client_ca_path, "No such file"),
			   "no authorities");
	not_opened(directory, of("--tls-client-ca", directory,
							 "it is not a regular file"), "a directory");
	write_text(client_ca_path, "nothing", 0644);
	not_opened(client_ca_path,
			   of("--tls-client-ca", client_ca_path, "it is not PEM"),
			   "no authority in it");
	write_text(client_ca_path, authority.certificate_pem, 0644);
	opened(client_ca_path, "all three are there");

	unlink(certificate_path);
	unlink(key_path);
	unlink(client_ca_path);
	ok(rmdir(directory) == 0, "no file is left behind");
	forget_identity(&authority);
	forget_identity(&server);
	grpc_shutdown_blocking();
	return unit_done();
}
