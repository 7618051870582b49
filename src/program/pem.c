/*-------------------------------------------------------------------------
 *
 * src/program/pem.c
 *		Checks certificates and keys before gRPC core gets them.  Contract in
 *		pem.h.
 *
 *-------------------------------------------------------------------------
 */
#include "pem.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* what a file of certificates turned out to hold */
typedef struct Found
{
	int			count;
	int			valid;			/* of them, at this time */
	char		outdated[96];	/* the first that is not; empty: all are */
} Found;

/* the reason for the latest error in OpenSSL's words */
static const char *
reason(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());

	return text ? text : "unknown error";
}

/* without this OpenSSL would ask for a passphrase at the terminal */
static int
no_passphrase(char *buffer, int size, int writing, void *asked)
{
	*(bool *) asked = true;
	return -1;
}

/* false, with the problem, if a text is nothing that could be PEM */
static bool
check_text(const PaFile *file, char *problem, size_t size)
{
	if (file->length == 0)
		return pa_file_refuse(file, problem, size, "it is empty");
	if (strstr(file->text, "-----BEGIN ") == NULL)
		return pa_file_refuse(file, problem, size,
							  "it is not PEM: there is no line -----BEGIN");
	return true;
}

static void
note_dates(Found *found, const X509 *certificate)
{
	const ASN1_TIME *end = X509_get0_notAfter(certificate);
	const ASN1_TIME *start = X509_get0_notBefore(certificate);
	const ASN1_TIME *limit = NULL;
	struct tm	broken = {0};
	char		date[32];

	/* 0: the time cannot be read, which is for the peer to find out */
	if (X509_cmp_current_time(end) < 0)
		limit = end;
	else if (X509_cmp_current_time(start) > 0)
		limit = start;
	if (limit == NULL || ASN1_TIME_to_tm(limit, &broken) != 1)
	{
		found->valid++;
		return;
	}
	if (found->outdated[0] != '\0')
		return;
	strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &broken);
	snprintf(found->outdated, sizeof(found->outdated),
			 "certificate %d %s %s UTC", found->count,
			 limit == end ? "expired at" : "is not valid before", date);
}

/*
 * Reads the certificates of a file one by one and hands them to "take", with
 * their number from 1.  True if there was at least one, and all were taken.
 */
static bool
read_certificates(const PaFile *file, SSL_CTX *context,
				  bool (*take) (SSL_CTX *context, X509 *certificate, int number),
				  Found *found, char *problem, size_t size)
{
	BIO		   *source;
	bool		asked = false;
	bool		good = true;

	memset(found, 0, sizeof(*found));
	if (!check_text(file, problem, size))
		return false;
	source = BIO_new_mem_buf(file->text, (int) file->length);
	while (good && source != NULL)
	{
		X509	   *certificate;

		ERR_clear_error();
		certificate = PEM_read_bio_X509_AUX(source, NULL, no_passphrase,
											&asked);
		if (certificate == NULL)
			break;
		found->count++;
		note_dates(found, certificate);
		if (!take(context, certificate, found->count))
			good = pa_file_refuse(file, problem, size,
								  "certificate %d cannot be used: %s",
								  found->count, reason());
		X509_free(certificate);
	}
	BIO_free(source);
	if (!good)
		return false;
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		return pa_file_refuse(file, problem, size, "certificate %d is damaged: %s",
							  found->count + 1, reason());
	if (found->count == 0)
		return pa_file_refuse(file, problem, size,
							  "there is no certificate in it");
	return true;
}

static bool
take_own(SSL_CTX *context, X509 *certificate, int number)
{
	if (number == 1)
		return SSL_CTX_use_certificate(context, certificate) == 1;
	return SSL_CTX_add1_chain_cert(context, certificate) == 1;
}

static bool
take_authority(SSL_CTX *context, X509 *certificate, int number)
{
	return X509_STORE_add_cert(SSL_CTX_get_cert_store(context), certificate) == 1;
}

/* the context has the certificate already */
static bool
check_key(const PaFile *file, const PaFile *certificate, SSL_CTX *context,
		  char *problem, size_t size)
{
	BIO		   *source;
	bool		asked = false;
	EVP_PKEY   *key = NULL;
	bool		good;

	if (!check_text(file, problem, size))
		return false;
	ERR_clear_error();
	source = BIO_new_mem_buf(file->text, (int) file->length);
	if (source != NULL)
		key = PEM_read_bio_PrivateKey(source, NULL, no_passphrase, &asked);
	BIO_free(source);
	if (key == NULL)
	{
		if (asked)
			return pa_file_refuse(file, problem, size,
								  "the key is protected by a passphrase: store it without one, for its owner alone to read");
		/* OpenSSL's own word for both cases is "unsupported" */
		if (strstr(file->text, "PRIVATE KEY-----") == NULL)
			return pa_file_refuse(file, problem, size,
								  "there is no private key in it");
		return pa_file_refuse(file, problem, size, "the key is damaged: %s",
							  reason());
	}
	good = X509_check_private_key(SSL_CTX_get0_certificate(context), key) == 1;
	if (!good)
		pa_file_refuse(file, problem, size,
					   "the key does not match the certificate in %s \"%s\"",
					   certificate->option, certificate->path);
	else if (SSL_CTX_use_PrivateKey(context, key) != 1)
		good = pa_file_refuse(file, problem, size, "the key cannot be used: %s",
							  reason());
	EVP_PKEY_free(key);
	return good;
}

/* where core would put it all; NULL, with the problem, if there is none */
static SSL_CTX *
make_context(char *problem, size_t size)
{
	SSL_CTX    *context = SSL_CTX_new(TLS_method());

	if (context == NULL)
		snprintf(problem, size, "could not set up TLS: %s", reason());
	return context;
}

bool
pa_pem_check_own(const PaFile *certificate, const PaFile *key,
				 char *warning, size_t warning_size,
				 char *problem, size_t size)
{
	SSL_CTX    *context = make_context(problem, size);
	Found		found;
	bool		good;

	good = context != NULL &&
		read_certificates(certificate, context, take_own, &found, problem,
						  size) &&
		check_key(key, certificate, context, problem, size);
	if (good && found.outdated[0] != '\0' && warning[0] == '\0')
		pa_file_refuse(certificate, warning, warning_size, "%s",
					   found.outdated);
	SSL_CTX_free(context);
	ERR_clear_error();
	return good;
}

bool
pa_pem_check_authorities(const PaFile *authorities,
						 char *warning, size_t warning_size,
						 char *problem, size_t size)
{
	SSL_CTX    *context = make_context(problem, size);
	Found		found;
	bool		good;

	good = context != NULL &&
		read_certificates(authorities, context, take_authority, &found,
						  problem, size);
	if (good && found.valid == 0 && warning[0] == '\0')
		pa_file_refuse(authorities, warning, warning_size,
					   "none is valid at this time: %s", found.outdated);
	SSL_CTX_free(context);
	ERR_clear_error();
	return good;
}
