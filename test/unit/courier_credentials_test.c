/* objects: courier/credentials */
/*-------------------------------------------------------------------------
 *
 * test/unit/courier_credentials_test.c
 *		What the courier says about files of certificates, keys and tokens.
 *
 *-------------------------------------------------------------------------
 */
#include <grpc/grpc.h>
#include <utime.h>

#include "certificate.h"
#include "courier/credentials.h"
#include "program/bearer.h"
#include "unit.h"

static char directory[64];
static char roots_path[128];
static char chain_path[128];
static char key_path[128];
static char token_path[128];
static Identity authority;
static Identity other_authority;
static Identity client;

static char problem[PA_CREDENTIALS_MESSAGE];
static char warning[PA_CREDENTIALS_MESSAGE];

static const char *
path_of(char *buffer, const char *name)
{
	snprintf(buffer, 128, "%s/%s", directory, name);
	return buffer;
}

/* all files as they should be */
static void
write_good_files(void)
{
	write_text(roots_path, authority.certificate_pem, 0644);
	write_text(chain_path, client.certificate_pem, 0644);
	write_text(key_path, client.key_pem, 0600);
	write_text(token_path, "abc.def-123\n", 0600);
}

static Courier__Configure
everything(void)
{
	Courier__Configure configure = COURIER__CONFIGURE__INIT;

	configure.server_name = "a";
	configure.target = "dns:///agent:1";
	configure.tls = true;
	configure.root_cert_file = roots_path;
	configure.cert_file = chain_path;
	configure.key_file = key_path;
	configure.auth_token_file = token_path;
	return configure;
}

static PaCredentials *
load(void)
{
	Courier__Configure configure = everything();

	return pa_credentials_load(&configure, problem, warning);
}

static void
check_good(const char *name)
{
	PaCredentials *credentials = load();

	ok(credentials != NULL, "%s: good (%s)", name, problem);
	is_string(warning, "", "... without a warning");
	pa_credentials_free(credentials);
}

/* not loaded: the option, the path and these words */
static void
check_bad(const char *option, const char *path, const char *why)
{
	PaCredentials *credentials = load();
	char		expected[512];

	snprintf(expected, sizeof(expected), "%s \"%s\": %s", option, path, why);
	ok(credentials == NULL, "%s: %s", option, why);
	if (!ok(strncmp(problem, expected, strlen(expected)) == 0, "... is said"))
		printf("# said: %s\n", problem);
	pa_credentials_free(credentials);
	write_good_files();
}

static void
check_bad_text(const char *option, const char *path, const char *text,
			   mode_t mode, const char *why)
{
	write_text(path, text, mode);
	check_bad(option, path, why);
}

/* loaded, with a warning about the option that begins so */
static void
check_warned(const char *option, const char *path, const char *what,
			 const char *name)
{
	PaCredentials *credentials = load();
	char		expected[512];

	snprintf(expected, sizeof(expected), "%s \"%s\": %s", option, path, what);
	if (!ok(credentials != NULL &&
			strncmp(warning, expected, strlen(expected)) == 0, "%s", name))
		printf("# problem: %s\n# warning: %s\n", problem, warning);
	pa_credentials_free(credentials);
	write_good_files();
}

static void
test_files(void)
{
	static char large[1100000];

	check_good("all files");
	unlink(roots_path);
	check_bad("root_cert_file", roots_path, "No such file or directory");
	/* opening it must not wait for a writer */
	unlink(token_path);
	mkfifo(token_path, 0600);
	check_bad("auth_token_file", token_path, "it is not a regular file");
	memset(large, 'x', sizeof(large) - 1);
	check_bad_text("root_cert_file", roots_path, large, 0644,
				   "it is larger than ");
	check_bad_text("key_file", key_path, client.key_pem, 0644,
				   "others may access it");
	check_bad_text("auth_token_file", token_path, "abc", 0660,
				   "others may access it");
}

static void
test_pem(void)
{
	Identity	expired = make_identity("DNS:x", &authority, -20, -10);
	Identity	old_authority = make_identity(NULL, NULL, -20, -10);

	check_bad_text("root_cert_file", roots_path, "hello\n", 0644,
				   "it is not PEM");
	check_bad_text("cert_file", chain_path, client.key_pem, 0644,
				   "there is no certificate in it");
	check_bad_text("key_file", key_path, authority.key_pem, 0600,
				   "the key does not match the certificate in cert_file \"");

	write_text(roots_path, old_authority.certificate_pem, 0644);
	check_warned("root_cert_file", roots_path, "none is valid at this time",
				 "roots that have expired");
	write_text(chain_path, expired.certificate_pem, 0644);
	write_text(key_path, expired.key_pem, 0600);
	check_warned("cert_file", chain_path, "certificate 1 expired at ",
				 "a client certificate that has expired");
	check_good("after all this");

	forget_identity(&expired);
	forget_identity(&old_authority);
}

/* what agents get of a token file */
static void
check_token(const char *text, size_t length, const char *expected,
			const char *name)
{
	PaCredentials *credentials;
	grpc_slice	value;

	write_file(token_path, text, length, 0600);
	credentials = load();
	if (!ok(credentials != NULL, "%s", name))
	{
		printf("# %s\n", problem);
		return;
	}
	value = pa_credentials_authorization(credentials);
	pa_credentials_free(credentials);
	ok(GRPC_SLICE_LENGTH(value) == strlen(expected) &&
	   grpc_slice_str_cmp(value, expected) == 0, "... is what agents get");
	grpc_slice_unref(value);
}

static void
test_tokens(void)
{
	static char large[PA_BEARER_LIMIT + 2];
	PaCredentials *credentials;

	check_token("abc", 3, "Bearer abc", "a token");
	check_token("abc\n", 4, "Bearer abc", "with the end of its line");
	check_token("abc\r\n\n", 6, "Bearer abc", "and with several");
	check_bad_text("auth_token_file", token_path, "", 0600,
				   "there is no token in it");
	check_bad_text("auth_token_file", token_path, "\r\n", 0600,
				   "there is no token in it");
	check_bad_text("auth_token_file", token_path, "a\nb", 0600,
				   "there is more than one line in it");
	check_bad_text("auth_token_file", token_path, "a b", 0600,
				   "the token must be of printable ASCII characters");
	memset(large, 'x', PA_BEARER_LIMIT + 1);
	check_bad_text("auth_token_file", token_path, large, 0600,
				   "the token is longer than 16384 bytes");
	large[PA_BEARER_LIMIT] = '\n';
	write_text(token_path, large, 0600);
	check_good("a token of the largest size");

	write_text(token_path, "secret token", 0600);
	credentials = load();
	ok(credentials == NULL && strstr(problem, "auth_token_file") != NULL &&
	   strstr(problem, "secret") == NULL,
	   "a message about a token does not show it (%s)", problem);
	write_good_files();
}

static void
test_changes(void)
{
	const struct utimbuf epoch = {1, 1};
	Courier__Configure configure = everything();
	PaCredentials *a = load();
	PaCredentials *b;
	struct stat status;

	ok(!pa_credentials_have_changed(a), "files that nobody touched");
	write_text(token_path, "abc.def-124\n", 0600);
	ok(pa_credentials_have_changed(a), "a token of the same length");
	b = load();
	ok(pa_credentials_same_connection(a, b), "takes no other connection");
	ok(!pa_credentials_have_changed(b), "and was read");
	pa_credentials_free(a);
	a = b;

	/* overwritten in place, and the clock set back */
	stat(roots_path, &status);
	write_text(roots_path, other_authority.certificate_pem, 0644);
	ok(pa_credentials_have_changed(a), "other roots");
	utime(roots_path, &epoch);
	b = load();
	ok(!pa_credentials_same_connection(a, b), "take another connection");
	pa_credentials_free(a);
	utime(roots_path, &epoch);
	ok(pa_credentials_have_changed(b), "the change of the inode counts");
	pa_credentials_free(b);

	write_good_files();
	a = load();
	chmod(key_path, 0400);
	ok(pa_credentials_have_changed(a), "so do permissions");
	unlink(chain_path);
	ok(pa_credentials_have_changed(a), "and a file that is gone");
	pa_credentials_free(a);
	write_good_files();

	/* not used, so not read */
	configure.tls = false;
	unlink(roots_path);
	a = pa_credentials_load(&configure, problem, warning);
	ok(a != NULL, "without TLS only the token is read");
	ok(!pa_credentials_have_changed(a), "and looked after");
	pa_credentials_free(a);
	write_good_files();
}

int
main(void)
{
	snprintf(directory, sizeof(directory), "/tmp/credentials_test_%d",
			 (int) getpid());
	if (mkdir(directory, 0700) != 0)
		return 2;
	path_of(roots_path, "roots");
	path_of(chain_path, "chain");
	path_of(key_path, "key");
	path_of(token_path, "token");
	authority = make_identity(NULL, NULL, -1, 30);
	other_authority = make_identity(NULL, NULL, -1, 30);
	client = make_identity("DNS:client", &authority, -1, 30);
	write_good_files();
	grpc_init();

	test_files();
	test_pem();
	test_tokens();
	test_changes();

	grpc_shutdown_blocking();
	unlink(roots_path);
	unlink(chain_path);
	unlink(key_path);
	unlink(token_path);
	ok(rmdir(directory) == 0, "no file is left behind");
	forget_identity(&authority);
	forget_identity(&other_authority);
	forget_identity(&client);
	return unit_done();
}
