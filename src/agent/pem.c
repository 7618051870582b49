/*-------------------------------------------------------------------------
 *
 * src/agent/pem.c
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
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static bool refuse(const PaPem *pem, char *problem, size_t size,
				   const char *format,...)
			__attribute__((format(printf, 4, 5)));

/* writes the reason and returns false */
static bool
refuse(const PaPem *pem, char *problem, size_t size, const char *format,...)
{
	va_list		arguments;
	int			length;

	length = snprintf(problem, size, "%s \"%s\": ", pem->option, pem->path);
	if (length < 0 || (size_t) length >= size)
		return false;
	va_start(arguments, format);
	vsnprintf(problem + length, size - (size_t) length, format, arguments);
	va_end(arguments);
	return false;
}

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

static void
warn_of_date(const PaPem *pem, const X509 *certificate, int number,
			 char *warning, size_t size)
{
	const ASN1_TIME *end = X509_get0_notAfter(certificate);
	const ASN1_TIME *start = X509_get0_notBefore(certificate);
	const ASN1_TIME *limit = NULL;
	struct tm	broken = {0};
	char		date[32];

	if (warning[0] != '\0')
		return;
	/* 0: the time cannot be read, which is for the peer to find out */
	if (X509_cmp_current_time(end) < 0)
		limit = end;
	else if (X509_cmp_current_time(start) > 0)
		limit = start;
	if (limit == NULL || ASN1_TIME_to_tm(limit, &broken) != 1)
		return;
	strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &broken);
	refuse(pem, warning, size, "certificate %d %s %s UTC", number,
		   limit == end ? "expired at" : "is not valid before", date);
}

/*
 * Reads the certificates of a file one by one and hands them to "take", with
 * their number from 1.  True if there was at least one, and all were taken.
 */
static bool
read_certificates(const PaPem *pem, SSL_CTX *context,
				  bool (*take) (SSL_CTX *context, X509 *certificate, int number),
				  char *warning, size_t warning_size,
				  char *problem, size_t size)
{
	BIO		   *source = BIO_new_mem_buf(pem->text, -1);
	bool		asked = false;
	bool		good = true;
	int			number = 0;

	while (good && source != NULL)
	{
		X509	   *certificate;

		ERR_clear_error();
		certificate = PEM_read_bio_X509(source, NULL, no_passphrase, &asked);
		if (certificate == NULL)
			break;
		number++;
		warn_of_date(pem, certificate, number, warning, warning_size);
		if (!take(context, certificate, number))
			good = refuse(pem, problem, size, "certificate %d cannot be used: %s",
						  number, reason());
		X509_free(certificate);
	}
	BIO_free(source);
	if (!good)
		return false;
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		return refuse(pem, problem, size, "certificate %d is damaged: %s",
					  number + 1, reason());
	if (number == 0)
		return refuse(pem, problem, size,
					  "there is no certificate in PEM format in it");
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

static bool
check_key(const PaPem *pem, const PaPem *certificate, SSL_CTX *context,
		  char *problem, size_t size)
{
	BIO		   *source = BIO_new_mem_buf(pem->text, -1);
	bool		asked = false;
	EVP_PKEY   *key;
	bool		good;

	ERR_clear_error();
	key = PEM_read_bio_PrivateKey(source, NULL, no_passphrase, &asked);
	BIO_free(source);
	if (key == NULL)
	{
		if (asked)
			return refuse(pem, problem, size,
						  "the key is protected by a passphrase: store it without one, for power_agent alone to read");
		/* OpenSSL's own word for both cases is "unsupported" */
		if (strstr(pem->text, "PRIVATE KEY-----") == NULL)
			return refuse(pem, problem, size,
						  "there is no private key in PEM format in it");
		return refuse(pem, problem, size, "the key is damaged: %s", reason());
	}
	good = X509_check_private_key(SSL_CTX_get0_certificate(context), key) == 1;
	if (!good)
		refuse(pem, problem, size,
			   "the key does not match the certificate in %s \"%s\"",
			   certificate->option, certificate->path);
	else if (SSL_CTX_use_PrivateKey(context, key) != 1)
		good = refuse(pem, problem, size, "the key cannot be used: %s", reason());
	EVP_PKEY_free(key);
	return good;
}

bool
pa_pem_check(const PaPem *certificate, const PaPem *key, const PaPem *client_ca,
			 char *warning, size_t warning_size, char *problem, size_t size)
{
	SSL_CTX    *context = SSL_CTX_new(TLS_server_method());
	bool		good;

	warning[0] = '\0';
	if (context == NULL)
	{
		snprintf(problem, size, "could not set up TLS: %s", reason());
		ERR_clear_error();
		return false;
	}
	good = read_certificates(certificate, context, take_own, warning,
							 warning_size, problem, size) &&
		check_key(key, certificate, context, problem, size) &&
		(client_ca->text == NULL ||
		 read_certificates(client_ca, context, take_authority, warning,
						   warning_size, problem, size));
	SSL_CTX_free(context);

	/* core runs in the same threads and asks the queue about its own errors */
	ERR_clear_error();
	return good;
}
