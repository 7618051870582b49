/* objects: courier/credentials courier/file courier/pem courier/token */
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
#include "courier/file.h"
#include "courier/token.h"
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

/* keeps a good text with something at its end */
static char *
joined(const char *a, const char *b)
{
	static char buffer[20000];

	snprintf(buffer, sizeof(buffer), "%s%s", a, b);
	return buffer;
}

static void
test_files(void)
{
	static char large[1100000];

	check_good("all files");

	unlink(roots_path);
	check_bad("root_cert_file", roots_path, "No such file or directory");
	unlink(roots_path);
	mkdir(roots_path, 0700);
	{
		PaCredentials *credentials = load();

		ok(credentials == NULL &&
		   strstr(problem, "it is not a regular file") != NULL,
		   "a directory is no file");
		pa_credentials_free(credentials);
	}
	rmdir(roots_path);
	write_good_files();
	/* opening it must not wait for a writer */
	unlink(token_path);
	mkfifo(token_path, 0600);
	check_bad("auth_token_file", token_path, "it is not a regular file");

	memset(large, 'x', sizeof(large) - 1);
	check_bad_text("root_cert_file", roots_path, large, 0644,
				   "it is too large");
	if (geteuid() != 0)
	{
		check_bad_text("cert_file", chain_path, client.certificate_pem, 0000,
					   "Permission denied");
		check_bad_text("key_file", key_path, client.key_pem, 0640,
					   "others may access it; permissions should be 0600");
		check_bad_text("auth_token_file", token_path, "abc", 0604,
					   "others may access it; permissions should be 0600");
	}
	else
	{
		check_bad_text("key_file", key_path, client.key_pem, 0644,
					   "others may access it; permissions should be 0640 or less");
		check_bad_text("auth_token_file", token_path, "abc", 0660,
					   "others may access it; permissions should be 0640 or less");
		write_text(key_path, client.key_pem, 0640);
		check_good("a key of root that a group may read");
		write_text(token_path, "abc", 0600);
		if (chown(token_path, 12345, -1) == 0)
			check_bad("auth_token_file", token_path,
					  "it must be owned by the user of the server or by root");
	}
}

static void
test_certificates(void)
{
	char		der[] = "\x30\x82\x01\x02\x00\x01";
	Identity	expired = make_identity("DNS:x", &authority, -20, -10);
	Identity	early = make_identity("DNS:x", &authority, 10, 20);
	Identity	old_authority = make_identity(NULL, NULL, -20, -10);
	PaCredentials *credentials;

	check_bad_text("root_cert_file", roots_path, "", 0644, "it is empty");
	check_bad_text("root_cert_file", roots_path, "hello\n", 0644,
				   "it is not PEM");
	write_file(roots_path, der, sizeof(der), 0644);
	check_bad("root_cert_file", roots_path, "it is not PEM");
	check_bad_text("root_cert_file", roots_path, client.key_pem, 0644,
				   "there is no certificate in it");
	check_bad_text("cert_file", chain_path, client.key_pem, 0644,
				   "there is no certificate in it");
	check_bad_text("root_cert_file", roots_path,
				   joined(authority.certificate_pem,
						  "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"),
				   0644, "certificate 2 in it cannot be read: ");
	check_bad_text("cert_file", chain_path,
				   joined(client.certificate_pem,
						  "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"),
				   0644, "certificate 2 in it cannot be read: ");

	write_text(roots_path, joined(old_authority.certificate_pem,
								  authority.certificate_pem), 0644);
	write_text(chain_path, joined(client.certificate_pem,
								  authority.certificate_pem), 0644);
	check_good("several certificates, of the roots one has expired");

	write_text(roots_path, old_authority.certificate_pem, 0644);
	credentials = load();
	ok(credentials != NULL &&
	   strstr(warning, "none is valid at this time, the first has expired at") != NULL &&
	   strncmp(warning, "root_cert_file \"", 16) == 0,
	   "roots that have expired: a warning (%s)", warning);
	pa_credentials_free(credentials);

	write_good_files();
	write_text(chain_path, expired.certificate_pem, 0644);
	write_text(key_path, expired.key_pem, 0600);
	credentials = load();
	ok(credentials != NULL &&
	   strstr(warning, "the certificate has expired at ") != NULL &&
	   strncmp(warning, "cert_file \"", 11) == 0,
	   "a client certificate that has expired: a warning (%s)", warning);
	pa_credentials_free(credentials);
	write_text(chain_path, early.certificate_pem, 0644);
	write_text(key_path, early.key_pem, 0600);
	credentials = load();
	ok(credentials != NULL &&
	   strstr(warning, "the certificate is not valid before ") != NULL,
	   "one that is not valid yet: a warning (%s)", warning);
	pa_credentials_free(credentials);
	write_good_files();

	forget_identity(&expired);
	forget_identity(&early);
	forget_identity(&old_authority);
}

static void
test_keys(void)
{
	BIO		   *bio = BIO_new(BIO_s_mem());
	char	   *encrypted;
	EVP_PKEY   *weak_key = EVP_RSA_gen(512);
	char	   *weak;

	check_bad_text("key_file", key_path, authority.key_pem, 0600,
				   "the key does not match the certificate in cert_file");
	check_bad_text("key_file", key_path, "secret", 0600, "it is not PEM");
	check_bad_text("key_file", key_path, client.certificate_pem, 0600,
				   "there is no private key in it");
	check_bad_text("key_file", key_path,
				   "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n",
				   0600, "the key cannot be read: ");
	PEM_write_bio_PrivateKey(bio, client.key, EVP_aes_128_cbc(),
							 (const unsigned char *) "x", 1, NULL, NULL);
	encrypted = bio_text(bio);
	check_bad_text("key_file", key_path, encrypted, 0600,
				   "the key is encrypted, which is not supported");
	free(encrypted);

	/* what gRPC would only call an invalid certificate chain */
	if (weak_key != NULL)
	{
		X509_set_pubkey(client.certificate, weak_key);
		X509_sign(client.certificate, authority.key, EVP_sha256());
		bio = BIO_new(BIO_s_mem());
		PEM_write_bio_X509(bio, client.certificate);
		weak = bio_text(bio);
		check_bad_text("cert_file", chain_path, weak, 0644,
					   "the certificate cannot be used: ");
		free(weak);
		X509_set_pubkey(client.certificate, client.key);
		X509_sign(client.certificate, authority.key, EVP_sha256());
	}
	EVP_PKEY_free(weak_key);
	check_good("after all this");
}

static bool
token_is(const char *file, size_t length, const char *token)
{
	const char *why;
	size_t		used;

	return pa_token_check(file, length, &used, &why) &&
		used == strlen(token) && memcmp(file, token, used) == 0;
}

static const char *
token_problem(const char *file, size_t length)
{
	const char *why;
	size_t		used;

	return pa_token_check(file, length, &used, &why) ? "none" : why;
}

static void
test_tokens(void)
{
	static char large[PA_TOKEN_LIMIT + 2];
	PaCredentials *credentials;
	grpc_slice	value;

	ok(token_is("abc", 3, "abc"), "a token");
	ok(token_is("abc\n", 4, "abc"), "with the end of its line");
	ok(token_is("abc\r\n\n", 6, "abc"), "and with several");
	is_string(token_problem("", 0), "there is no token in it", "an empty file");
	is_string(token_problem("\n", 1), "there is no token in it", "a line");
	is_string(token_problem("a\nb", 3), "there is more than one line in it",
			  "two lines");
	ok(strstr(token_problem("a b", 3), "without blanks") != NULL, "a blank");
	ok(strstr(token_problem("\xC3\xBC", 2), "ASCII") != NULL, "UTF-8");
	ok(strstr(token_problem("a\0b", 3), "ASCII") != NULL, "a NUL");
	ok(strstr(token_problem("a\x7F", 2), "ASCII") != NULL, "DEL");
	memset(large, 'x', PA_TOKEN_LIMIT + 1);
	large[PA_TOKEN_LIMIT] = '\n';
	is_string(token_problem(large, PA_TOKEN_LIMIT + 1), "none",
			  "a token of the largest size");
	large[PA_TOKEN_LIMIT] = 'x';
	is_string(token_problem(large, PA_TOKEN_LIMIT + 1),
			  "the token is longer than 16 kB", "one byte more");

	write_text(token_path, "secret token", 0600);
	credentials = load();
	ok(credentials == NULL && strstr(problem, "auth_token_file") != NULL &&
	   strstr(problem, "secret") == NULL,
	   "a message about a token does not show it (%s)", problem);
	write_good_files();

	credentials = load();
	value = pa_credentials_authorization(credentials);
	pa_credentials_free(credentials);
	ok(grpc_slice_str_cmp(value, "Bearer abc.def-123") == 0,
	   "what agents get");
	grpc_slice_unref(value);
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
	test_certificates();
	test_keys();
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
