/*-------------------------------------------------------------------------
 *
 * src/courier/pem.c
 *		Looks at certificates and keys before gRPC gets them.
 *
 * See pem.h.
 *
 *-------------------------------------------------------------------------
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "pem.h"

static void
remark(char *out, const char *what)
{
	snprintf(out, PA_PEM_REMARK, "%s", what);
}

/* "what: why libcrypto says so" */
static void
remark_reason(char *out, const char *what)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	snprintf(out, PA_PEM_REMARK, "%s: %s", what,
			 reason != NULL ? reason : "unknown reason");
}

/* false if the text is nothing that could be PEM */
static bool
is_pem(const char *text, size_t length, char *problem)
{
	/* gRPC takes texts that end with a NUL */
	if (length == 0)
		remark(problem, "it is empty");
	else if (length > INT_MAX || memchr(text, '\0', length) != NULL ||
			 strstr(text, "-----BEGIN ") == NULL)
		remark(problem, "it is not PEM: there is no line -----BEGIN");
	else
		return true;
	return false;
}

/* false if there was an error other than that there is no more */
static bool
at_end(void)
{
	return ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
}

/* -1: it has expired, 1: it is not valid yet */
static int
validity(X509 *certificate)
{
	if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
		return -1;
	return X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0;
}

static void
warn_of_validity(char *warning, const char *whose, X509 *certificate)
{
	bool		expired = validity(certificate) < 0;
	BIO		   *bio = BIO_new(BIO_s_mem());
	char		time[64] = "";

	if (bio != NULL &&
		ASN1_TIME_print(bio, expired ? X509_get0_notAfter(certificate) :
						X509_get0_notBefore(certificate)))
		time[BIO_read(bio, time, sizeof(time) - 1)] = '\0';
	BIO_free(bio);
	snprintf(warning, PA_PEM_REMARK, "%s %s %s", whose,
			 expired ? "has expired at" : "is not valid before", time);
}

/* all certificates of a text; the warning is about all, or the first only */
static bool
check_certificates(const char *text, size_t length, bool first_only,
				   char *problem, char *warning)
{
	BIO		   *bio;
	X509	   *certificate;
	int			count = 0;
	bool		one_valid = false;
	bool		complete;

	warning[0] = '\0';
	if (!is_pem(text, length, problem))
		return false;
	ERR_clear_error();
	bio = BIO_new_mem_buf(text, (int) length);
	while (bio != NULL &&
		   (certificate = PEM_read_bio_X509_AUX(bio, NULL, NULL, "")) != NULL)
	{
		count++;
		if (count == 1 || !first_only)
		{
			if (validity(certificate) == 0)
				one_valid = true;
			else if (warning[0] == '\0')
				warn_of_validity(warning, first_only ? "the certificate" :
								 "none is valid at this time, the first",
								 certificate);
		}
		X509_free(certificate);
	}
	complete = at_end();
	if (one_valid)
		warning[0] = '\0';
	if (!complete)
	{
		char		what[64];

		snprintf(what, sizeof(what), "certificate %d in it cannot be read",
				 count + 1);
		remark_reason(problem, what);
	}
	else if (count == 0)
		remark(problem, "there is no certificate in it");
	BIO_free(bio);
	ERR_clear_error();
	return complete && count > 0;
}

bool
pa_pem_check_roots(const char *text, size_t length, char *problem,
				   char *warning)
{
	return check_certificates(text, length, false, problem, warning);
}

/* what the library refuses to use: keys that are too small, for example */
static bool
is_usable(X509 *certificate, EVP_PKEY *key, char *problem)
{
	SSL_CTX    *context = SSL_CTX_new(TLS_client_method());
	bool		usable = context != NULL &&
		(key != NULL ? SSL_CTX_use_PrivateKey(context, key) :
		 SSL_CTX_use_certificate(context, certificate)) == 1;

	if (!usable)
		remark_reason(problem, key != NULL ? "the key cannot be used" :
					  "the certificate cannot be used");
	SSL_CTX_free(context);
	return usable;
}

static X509 *
first_certificate(const char *text, size_t length)
{
	BIO		   *bio = BIO_new_mem_buf(text, (int) length);
	X509	   *certificate = NULL;

	if (bio != NULL)
		certificate = PEM_read_bio_X509_AUX(bio, NULL, NULL, "");
	BIO_free(bio);
	return certificate;
}

bool
pa_pem_check_chain(const char *text, size_t length, char *problem,
				   char *warning)
{
	X509	   *certificate;
	bool		usable;

	if (!check_certificates(text, length, true, problem, warning))
		return false;
	certificate = first_certificate(text, length);
	usable = is_usable(certificate, NULL, problem);
	X509_free(certificate);
	ERR_clear_error();
	return usable;
}

/* there is nobody to ask for a password */
static int
no_password(char *buffer, int size, int for_writing, void *asked)
{
	*(bool *) asked = true;
	return -1;
}

bool
pa_pem_check_key(const char *text, size_t length, const char *chain,
				 size_t chain_length, char *problem)
{
	bool		asked = false;
	BIO		   *bio;
	EVP_PKEY   *key = NULL;
	X509	   *certificate;
	bool		good = false;

	if (!is_pem(text, length, problem))
		return false;
	ERR_clear_error();
	bio = BIO_new_mem_buf(text, (int) length);
	certificate = first_certificate(chain, chain_length);
	ERR_clear_error();
	if (bio != NULL)
		key = PEM_read_bio_PrivateKey(bio, NULL, no_password, &asked);
	if (key == NULL)
	{
		if (asked)
			remark(problem, "the key is encrypted, which is not supported");
		else if (strstr(text, "PRIVATE KEY-----") == NULL)
			remark(problem, "there is no private key in it");
		else
			remark_reason(problem, "the key cannot be read");
	}
	else if (certificate == NULL ||
			 X509_check_private_key(certificate, key) != 1)
		remark(problem, "the key does not match the certificate in cert_file");
	else
		good = is_usable(NULL, key, problem);
	EVP_PKEY_free(key);
	X509_free(certificate);
	BIO_free(bio);
	ERR_clear_error();
	return good;
}
