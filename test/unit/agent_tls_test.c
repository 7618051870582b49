/* objects: agent/tls agent/pem agent/file agent/memory */
/*-------------------------------------------------------------------------
 *
 * test/unit/agent_tls_test.c
 *		What an agent says of certificates and keys that it cannot use.
 *
 *-------------------------------------------------------------------------
 */
#include "agent/tls.h"

#include <fcntl.h>
#include <grpc/grpc.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/pem.h"
#include "unit.h"

static char directory[] = "/tmp/tls-test-XXXXXX";
static char problem[1024];
static char warning[512];

#define MAX_TEXTS	64

/* texts that are freed at the end of the test */
static char *texts[MAX_TEXTS];
static int	text_count;

static char *
keep(char *text)
{
	if (text_count == MAX_TEXTS)
	{
		printf("Bail out! MAX_TEXTS\n");
		exit(1);
	}
	return texts[text_count++] = text;
}

static char *
text_of(BIO *bio)
{
	char	   *data;
	long		length = BIO_get_mem_data(bio, &data);
	char	   *text = keep(strndup(data, (size_t) length));

	BIO_free(bio);
	return text;
}

static char *
key_text(EVP_PKEY *key, const char *passphrase)
{
	BIO		   *bio = BIO_new(BIO_s_mem());

	PEM_write_bio_PrivateKey(bio, key, passphrase ? EVP_aes_128_cbc() : NULL,
							 NULL, 0, NULL, (void *) passphrase);
	return text_of(bio);
}

/* a certificate that the key signs for itself; times are seconds from now */
static char *
certificate_text(EVP_PKEY *key, long from, long to)
{
	X509	   *certificate = X509_new();
	X509_NAME  *name = X509_get_subject_name(certificate);
	BIO		   *bio = BIO_new(BIO_s_mem());

	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	X509_gmtime_adj(X509_getm_notBefore(certificate), from);
	X509_gmtime_adj(X509_getm_notAfter(certificate), to);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
							   (const unsigned char *) "test", -1, -1, 0);
	X509_set_issuer_name(certificate, name);
	X509_set_pubkey(certificate, key);
	X509_sign(certificate, key, EVP_sha256());
	PEM_write_bio_X509(bio, certificate);
	X509_free(certificate);
	return text_of(bio);
}

static char *
joined(const char *first, const char *second)
{
	size_t		size = strlen(first) + strlen(second) + 1;
	char	   *text = keep(malloc(size));

	snprintf(text, size, "%s%s", first, second);
	return text;
}

/* the text without a character in the middle of its base64 */
static char *
damaged(const char *text)
{
	char	   *copy = keep(strdup(text));
	char	   *middle = copy + strlen(copy) / 2;

	memmove(middle, middle + 1, strlen(middle));
	return copy;
}

static bool
check(const char *certificate, const char *key, const char *client_ca)
{
	PaPem		pems[3] = {
		{"--tls-cert", "c.pem", certificate},
		{"--tls-key", "k.pem", key},
		{"--tls-client-ca", "a.pem", client_ca}
	};

	problem[0] = '\0';
	return pa_pem_check(&pems[0], &pems[1], &pems[2], warning, sizeof(warning),
						problem, sizeof(problem));
}

static void
accepted(const char *certificate, const char *key, const char *client_ca,
		 const char *expected_warning, const char *name)
{
	bool		good = check(certificate, key, client_ca);

	if (!ok(good && (*expected_warning ? strstr(warning, expected_warning) != NULL :
					 warning[0] == '\0'), "%s", name))
		printf("# %s\n# %s\n", problem, warning);
}

static void
refused(const char *certificate, const char *key, const char *client_ca,
		const char *expected, const char *name)
{
	bool		good = check(certificate, key, client_ca);

	if (!ok(!good && strstr(problem, expected) != NULL, "%s", name))
		printf("# %s\n", good ? "it was not" : problem);
}

static void
write_file(const char *name, const char *text, mode_t mode)
{
	char		path[128];
	int			fd;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t) strlen(text) ||
		fchmod(fd, mode) != 0 || close(fd) != 0)
	{
		printf("Bail out! could not write %s\n", path);
		exit(1);
	}
}

static PaTls *
open_files(const char *client_ca)
{
	static char paths[3][128];
	PaTlsOptions options = {paths[0], paths[1], client_ca ? paths[2] : NULL};

	snprintf(paths[0], sizeof(paths[0]), "%s/cert", directory);
	snprintf(paths[1], sizeof(paths[1]), "%s/key", directory);
	snprintf(paths[2], sizeof(paths[2]), "%s/%s", directory,
			 client_ca ? client_ca : "");
	problem[0] = '\0';
	return pa_tls_open(&options, problem, sizeof(problem));
}

static void
not_opened(const char *client_ca, const char *option, const char *expected,
		   const char *name)
{
	PaTls	   *tls = open_files(client_ca);

	if (!ok(tls == NULL && strncmp(problem, option, strlen(option)) == 0 &&
			strstr(problem, expected) != NULL, "%s", name))
		printf("# %s\n", problem);
	if (tls != NULL)
		pa_tls_close(tls);
}

static void
test_files(const char *certificate, const char *key)
{
	static const char *const names[] = {"cert", "key", "ca"};
	char		path[128];
	PaTls	   *tls;

	not_opened(NULL, "--tls-cert \"/tmp/", "No such file", "no certificate");
	write_file("cert", certificate, 0644);
	not_opened(NULL, "--tls-key \"/tmp/", "No such file", "no key");
	write_file("key", key, 0644);
	not_opened(NULL, "--tls-key \"/tmp/", "mode 0644", "a key for all to read");
	write_file("key", key, 0600);
	tls = open_files(NULL);
	ok(tls != NULL, "both are there");
	if (tls != NULL)
		pa_tls_close(tls);
	not_opened("ca", "--tls-client-ca \"/tmp/", "No such file", "no authorities");
	not_opened("", "--tls-client-ca \"/tmp/", "not a regular file", "a directory");
	write_file("ca", "nothing", 0644);
	not_opened("ca", "--tls-client-ca \"/tmp/", "no certificate in PEM format",
			   "no authority in it");
	write_file("ca", certificate, 0644);
	tls = open_files("ca");
	ok(tls != NULL, "all three are there");
	if (tls != NULL)
		pa_tls_close(tls);
	for (int i = 0; i < 3; i++)
	{
		snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
		unlink(path);
	}
}

int
main(void)
{
	EVP_PKEY   *pair = EVP_EC_gen("P-256");
	EVP_PKEY   *other_pair = EVP_EC_gen("P-256");
	EVP_PKEY   *weak_pair = EVP_RSA_gen(512);
	const char *key = key_text(pair, NULL);
	const char *other_key = key_text(other_pair, NULL);
	const char *locked_key = key_text(pair, "sesame");
	const char *good = certificate_text(pair, -3600, 3600);
	const char *other = certificate_text(other_pair, -3600, 3600);
	const char *past = certificate_text(pair, -7200, -3600);
	const char *future = certificate_text(pair, 3600, 7200);

	grpc_init();
	if (mkdtemp(directory) == NULL)
	{
		printf("Bail out! no directory\n");
		return 1;
	}
	accepted(good, key, NULL, "", "a certificate and its key");
	accepted(joined(good, other), key, other, "", "with a chain and authorities");
	accepted(joined("words before\n", joined(good, key)), joined(good, key),
			 joined(good, other), "", "everything in one file");
	accepted(past, key, NULL, "--tls-cert \"c.pem\": certificate 1 expired at",
			 "an expired certificate is told of");
	accepted(joined(good, future), key, NULL,
			 "--tls-cert \"c.pem\": certificate 2 is not valid before",
			 "as is one of tomorrow in the chain");
	accepted(good, key, past, "--tls-client-ca \"a.pem\": certificate 1 expired at",
			 "and an expired authority");
	refused(good, other_key, NULL,
			"--tls-key \"k.pem\": the key does not match the certificate in --tls-cert \"c.pem\"",
			"the key of another");
	refused(joined(other, good), key, NULL, "does not match",
			"the server's certificate comes first");
	refused("", key, NULL, "--tls-cert \"c.pem\": there is no certificate",
			"an empty certificate");
	refused(key, key, NULL, "--tls-cert \"c.pem\": there is no certificate",
			"a key for a certificate");
	refused(damaged(good), key, NULL, "--tls-cert \"c.pem\": certificate 1 is damaged",
			"a damaged certificate");
	refused(joined(good, damaged(other)), key, NULL,
			"--tls-cert \"c.pem\": certificate 2 is damaged", "a damaged chain");
	refused(good, "", NULL, "--tls-key \"k.pem\": there is no private key",
			"an empty key");
	refused(good, good, NULL, "--tls-key \"k.pem\": there is no private key",
			"a certificate for a key");
	refused(good, damaged(key), NULL, "--tls-key \"k.pem\": the key is damaged",
			"a damaged key");
	refused(good, locked_key, NULL, "--tls-key \"k.pem\": the key is protected",
			"a key with a passphrase");
	refused(certificate_text(weak_pair, -3600, 3600), key_text(weak_pair, NULL),
			NULL, "cannot be used: ", "a key that TLS finds too small");
	refused(good, key, "", "--tls-client-ca \"a.pem\": there is no certificate",
			"no authorities");
	refused(good, key, joined(good, damaged(other)),
			"--tls-client-ca \"a.pem\": certificate 2 is damaged",
			"a damaged authority");
	test_files(good, key);
	rmdir(directory);
	while (text_count > 0)
		free(texts[--text_count]);
	EVP_PKEY_free(pair);
	EVP_PKEY_free(other_pair);
	EVP_PKEY_free(weak_pair);
	grpc_shutdown_blocking();
	return unit_done();
}
