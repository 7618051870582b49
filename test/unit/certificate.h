/*-------------------------------------------------------------------------
 *
 * test/unit/certificate.h
 *		Keys and certificates for tests, and files to put them into.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_CERTIFICATE_H
#define PA_CERTIFICATE_H

/* no test uses all of it */
#pragma GCC diagnostic ignored "-Wunused-function"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

/* who somebody is: a key, its certificate, and both as PEM */
typedef struct Identity
{
	EVP_PKEY   *key;
	X509	   *certificate;
	char	   *key_pem;
	char	   *certificate_pem;
} Identity;

static char *
bio_text(BIO *bio)
{
	char	   *data;
	long		length = BIO_get_mem_data(bio, &data);
	char	   *text = strndup(data, (size_t) length);

	BIO_free(bio);
	return text;
}

static void
add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX	context;
	X509_EXTENSION *extension;

	X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, (char *) value);
	if (extension == NULL)
		abort();
	X509_add_ext(certificate, extension, -1);
	X509_EXTENSION_free(extension);
}

/*
 * names: subjectAltName ("DNS:localhost,IP:127.0.0.1"), NULL for an authority.
 * issuer: NULL signs itself.  Valid from so many days to so many days from
 * now.
 */
static Identity
make_identity(const char *names, const Identity *issuer, int from, int to)
{
	static long serial;
	Identity	who;
	X509	   *certificate = X509_new();
	X509_NAME  *name;
	char		called[32];
	BIO		   *bio;

	who.key = EVP_EC_gen("P-256");
	who.certificate = certificate;
	X509_set_version(certificate, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(certificate), from * 86400L);
	X509_gmtime_adj(X509_getm_notAfter(certificate), to * 86400L);
	X509_set_pubkey(certificate, who.key);
	name = X509_get_subject_name(certificate);
	snprintf(called, sizeof(called), "%s %ld", names ? "somebody" : "authority",
			 serial);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
							   (const unsigned char *) called, -1, -1, 0);
	X509_set_issuer_name(certificate,
						 X509_get_subject_name(issuer ? issuer->certificate :
											   certificate));
	add_extension(certificate, issuer ? issuer->certificate : certificate,
				  NID_basic_constraints,
				  names ? "critical,CA:FALSE" : "critical,CA:TRUE");
	if (names)
		add_extension(certificate, certificate, NID_subject_alt_name, names);
	X509_sign(certificate, issuer ? issuer->key : who.key, EVP_sha256());

	bio = BIO_new(BIO_s_mem());
	PEM_write_bio_PrivateKey(bio, who.key, NULL, NULL, 0, NULL, NULL);
	who.key_pem = bio_text(bio);
	bio = BIO_new(BIO_s_mem());
	PEM_write_bio_X509(bio, certificate);
	who.certificate_pem = bio_text(bio);
	return who;
}

static void
forget_identity(Identity *who)
{
	EVP_PKEY_free(who->key);
	X509_free(who->certificate);
	free(who->key_pem);
	free(who->certificate_pem);
}

/* replaces the file as a whole, as one should */
static void
write_file(const char *path, const char *text, size_t length, mode_t mode)
{
	char		new[512];
	int			fd;

	snprintf(new, sizeof(new), "%s.new", path);
	fd = open(new, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || write(fd, text, length) != (ssize_t) length ||
		fchmod(fd, mode) != 0 || close(fd) != 0 || rename(new, path) != 0)
	{
		perror(path);
		exit(2);
	}
}

static void
write_text(const char *path, const char *text, mode_t mode)
{
	write_file(path, text, strlen(text), mode);
}

#endif							/* PA_CERTIFICATE_H */
