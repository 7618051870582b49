/* objects: */
/*-------------------------------------------------------------------------
 *
 * test/unit/program_pem_test.c
 *		What is said of certificates and keys that cannot be used.
 *
 *-------------------------------------------------------------------------
 */
#include "program/pem.h"

#include <openssl/err.h>

#include "certificate.h"
#include "unit.h"

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

static char *
locked(EVP_PKEY *key)
{
	BIO		   *bio = BIO_new(BIO_s_mem());

	PEM_write_bio_PrivateKey(bio, key, EVP_aes_128_cbc(),
							 (const unsigned char *) "sesame", 6, NULL, NULL);
	return keep(bio_text(bio));
}

/* as if it had been read */
static PaFile
file_of(const char *option, const char *path, const char *text)
{
	return (PaFile) {
		.option = option,
		.path = (char *) path,
		.text = (char *) text,
		.length = strlen(text)
	};
}

static bool
check_own(const char *certificate, const char *key)
{
	PaFile		own = file_of("--cert", "c.pem", certificate);
	PaFile		key_file = file_of("--key", "k.pem", key);

	problem[0] = warning[0] = '\0';
	return pa_pem_check_own(&own, &key_file, warning, sizeof(warning), problem,
							sizeof(problem));
}

static bool
check_authorities(const char *text)
{
	PaFile		file = file_of("--ca", "a.pem", text);

	problem[0] = warning[0] = '\0';
	return pa_pem_check_authorities(&file, warning, sizeof(warning), problem,
									sizeof(problem));
}

/* an empty warning is none */
static void
accepted(bool good, const char *expected_warning, const char *name)
{
	if (!ok(good && strncmp(warning, expected_warning,
							*expected_warning ? strlen(expected_warning) :
							sizeof(warning)) == 0, "%s", name))
		printf("# %s\n# %s\n", problem, warning);
	ok(ERR_peek_error() == 0, "... and no error stays in the queue");
}

static void
refused(bool good, const char *expected, const char *name)
{
	if (!ok(!good && strncmp(problem, expected, strlen(expected)) == 0, "%s",
			name))
		printf("# %s\n", good ? "it was not" : problem);
	ok(ERR_peek_error() == 0, "... and no error stays in the queue");
}

static Identity us;
static Identity other;
static Identity past;
static Identity future;

static void
test_own(void)
{
	const char *good = us.certificate_pem;
	const char *key = us.key_pem;
	const char *chain = joined(good, other.certificate_pem);

	accepted(check_own(good, key), "", "a certificate and its key");
	accepted(check_own(chain, key), "", "with a chain");
	accepted(check_own(joined("words before\n", joined(good, key)),
					   joined(good, key)), "", "everything in one file");
	accepted(check_own(past.certificate_pem, past.key_pem),
			 "--cert \"c.pem\": certificate 1 expired at ",
			 "an expired certificate is told of");
	accepted(check_own(joined(good, future.certificate_pem), key),
			 "--cert \"c.pem\": certificate 2 is not valid before ",
			 "as is one of tomorrow in the chain");

	refused(check_own("", key), "--cert \"c.pem\": it is empty",
			"an empty certificate");
	refused(check_own("hello\n", key), "--cert \"c.pem\": it is not PEM",
			"any text");
	refused(check_own(key, key),
			"--cert \"c.pem\": there is no certificate in it",
			"a key for a certificate");
	refused(check_own(damaged(good), key),
			"--cert \"c.pem\": certificate 1 is damaged: ",
			"a damaged certificate");
	refused(check_own(joined(good, damaged(other.certificate_pem)), key),
			"--cert \"c.pem\": certificate 2 is damaged: ", "a damaged chain");
	refused(check_own(joined(other.certificate_pem, good), key),
			"--key \"k.pem\": the key does not match the certificate in --cert \"c.pem\"",
			"our certificate comes first");
}

static void
test_key(void)
{
	const char *good = us.certificate_pem;

	refused(check_own(good, other.key_pem),
			"--key \"k.pem\": the key does not match the certificate in --cert \"c.pem\"",
			"the key of another");
	refused(check_own(good, ""), "--key \"k.pem\": it is empty", "an empty key");
	refused(check_own(good, "secret"), "--key \"k.pem\": it is not PEM",
			"any text for a key");
	refused(check_own(good, good),
			"--key \"k.pem\": there is no private key in it",
			"a certificate for a key");
	refused(check_own(good, damaged(us.key_pem)),
			"--key \"k.pem\": the key is damaged: ", "a damaged key");
	refused(check_own(good, locked(us.key)),
			"--key \"k.pem\": the key is protected by a passphrase",
			"a key with a passphrase");
}

/* what core would only call an invalid certificate chain */
static void
test_weak(void)
{
	EVP_PKEY   *weak = EVP_RSA_gen(512);
	BIO		   *bio = BIO_new(BIO_s_mem());
	char	   *text;

	X509_set_pubkey(other.certificate, weak);
	X509_sign(other.certificate, us.key, EVP_sha256());
	PEM_write_bio_X509(bio, other.certificate);
	text = keep(bio_text(bio));
	refused(check_own(text, us.key_pem),
			"--cert \"c.pem\": certificate 1 cannot be used: ",
			"a key that TLS finds too small");
	refused(check_own(joined(us.certificate_pem, text), us.key_pem),
			"--cert \"c.pem\": certificate 2 cannot be used: ",
			"in the chain, too");
	EVP_PKEY_free(weak);
}

static void
test_authorities(void)
{
	const char *good = us.certificate_pem;

	accepted(check_authorities(good), "", "an authority");
	accepted(check_authorities(joined(good, good)), "", "twice");
	accepted(check_authorities(joined(past.certificate_pem, good)), "",
			 "one that has expired beside one that has not");
	accepted(check_authorities(joined(past.certificate_pem,
									  future.certificate_pem)),
			 "--ca \"a.pem\": none is valid at this time: certificate 1 expired at ",
			 "none that is valid now");

	refused(check_authorities(""), "--ca \"a.pem\": it is empty",
			"no authorities");
	refused(check_authorities("hello\n"), "--ca \"a.pem\": it is not PEM",
			"any text for authorities");
	refused(check_authorities(us.key_pem),
			"--ca \"a.pem\": there is no certificate in it",
			"a key for authorities");
	refused(check_authorities(joined(good, damaged(good))),
			"--ca \"a.pem\": certificate 2 is damaged: ", "a damaged authority");
	refused(check_authorities(joined(good,
									 "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")),
			"--ca \"a.pem\": certificate 2 is damaged: ",
			"one that was cut off");
	refused(check_authorities("\x30\x82\x01\x02"),
			"--ca \"a.pem\": it is not PEM", "DER");
}

static void
test_warning(void)
{
	PaFile		file = file_of("--ca", "a.pem", past.certificate_pem);

	strcpy(warning, "before");
	ok(pa_pem_check_authorities(&file, warning, sizeof(warning), problem,
								sizeof(problem)) &&
	   strcmp(warning, "before") == 0, "the first warning stays");
}

int
main(void)
{
	us = make_identity("DNS:us", NULL, -1, 30);
	other = make_identity("DNS:other", NULL, -1, 30);
	past = make_identity("DNS:past", NULL, -20, -10);
	future = make_identity("DNS:future", NULL, 10, 20);
	test_own();
	test_key();
	test_authorities();
	test_warning();
	test_weak();
	forget_identity(&us);
	forget_identity(&other);
	forget_identity(&past);
	forget_identity(&future);
	while (text_count > 0)
		free(texts[--text_count]);
	return unit_done();
}
