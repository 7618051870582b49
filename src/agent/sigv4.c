/*-------------------------------------------------------------------------
 *
 * src/agent/sigv4.c
 *		AWS Signature Version 4 of an HTTP request, in its header form.
 *		Contract in sigv4.h.
 *
 *-------------------------------------------------------------------------
 */
#include "sigv4.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#define HASH_LENGTH		32
#define HEX_LENGTH		(2 * HASH_LENGTH + 1)
#define DAY_LENGTH		8		/* 20150830 */

static void
to_hex(const unsigned char *hash, char *hex)
{
	static const char digits[] = "0123456789abcdef";

	for (int i = 0; i < HASH_LENGTH; i++)
	{
		*hex++ = digits[hash[i] >> 4];
		*hex++ = digits[hash[i] & 15];
	}
	*hex = '\0';
}

static bool
add_text(EVP_MD_CTX *context, const char *text)
{
	return EVP_DigestUpdate(context, text, strlen(text)) == 1;
}

/* the names of the signed headers, with semicolons between */
static bool
add_names(EVP_MD_CTX *context, const PaSigv4Request *request)
{
	bool		good = true;

	for (size_t i = 0; i < request->header_count; i++)
		good = good && (i == 0 || add_text(context, ";")) &&
			add_text(context, request->headers[i].name);
	return good;
}

/* the hash of the canonical request, in hex */
static bool
hash_canonical(const PaSigv4Request *request, char *hex)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	unsigned char hash[HASH_LENGTH];
	char		payload[HEX_LENGTH];
	bool		good;

	good = context != NULL &&
		EVP_Digest(request->body, request->body_length, hash, NULL, EVP_sha256(),
				   NULL) == 1;
	if (good)
		to_hex(hash, payload);
	good = good && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 &&
		add_text(context, request->method) && add_text(context, "\n") &&
		add_text(context, request->path) && add_text(context, "\n") &&
		add_text(context, request->query) && add_text(context, "\n");
	for (size_t i = 0; i < request->header_count; i++)
		good = good && add_text(context, request->headers[i].name) &&
			add_text(context, ":") &&
			add_text(context, request->headers[i].value) &&
			add_text(context, "\n");
	good = good && add_text(context, "\n") && add_names(context, request) &&
		add_text(context, "\n") && add_text(context, payload) &&
		EVP_DigestFinal_ex(context, hash, NULL) == 1;
	if (good)
		to_hex(hash, hex);
	EVP_MD_CTX_free(context);
	return good;
}

static bool
hmac(const void *key, size_t key_length, const char *text, size_t length,
	 unsigned char *hash)
{
	return HMAC(EVP_sha256(), key, (int) key_length,
				(const unsigned char *) text, length, hash, NULL) != NULL;
}

/* the key for one day, region and service */
static bool
derive_key(const PaSigv4Request *request, const char *secret_key,
		   unsigned char *key)
{
	char		start[512];
	int			length = snprintf(start, sizeof(start), "AWS4%s", secret_key);
	unsigned char previous[HASH_LENGTH];
	bool		good;

	good = length < (int) sizeof(start) &&
		hmac(start, (size_t) length, request->date, DAY_LENGTH, previous) &&
		hmac(previous, HASH_LENGTH, request->region, strlen(request->region),
			 key) &&
		hmac(key, HASH_LENGTH, request->service, strlen(request->service),
			 previous) &&
		hmac(previous, HASH_LENGTH, "aws4_request", strlen("aws4_request"), key);
	explicit_bzero(start, sizeof(start));
	explicit_bzero(previous, sizeof(previous));
	return good;
}

bool
pa_sigv4_sign(const PaSigv4Request *request, const char *access_key,
			  const char *secret_key, char *authorization, size_t size)
{
	char		scope[256];
	char		canonical[HEX_LENGTH];
	char		to_sign[512];
	char		signature[HEX_LENGTH];
	unsigned char key[HASH_LENGTH];
	unsigned char hash[HASH_LENGTH];
	size_t		length;
	bool		good;

	length = (size_t) snprintf(scope, sizeof(scope), "%.*s/%s/%s/aws4_request",
							   DAY_LENGTH, request->date, request->region,
							   request->service);
	if (length >= sizeof(scope) || strlen(request->date) < DAY_LENGTH ||
		!hash_canonical(request, canonical))
		return false;
	length = (size_t) snprintf(to_sign, sizeof(to_sign),
							   "AWS4-HMAC-SHA256\n%s\n%s\n%s", request->date,
							   scope, canonical);
	good = length < sizeof(to_sign) && derive_key(request, secret_key, key) &&
		hmac(key, HASH_LENGTH, to_sign, length, hash);
	explicit_bzero(key, sizeof(key));
	if (!good)
		return false;
	to_hex(hash, signature);

	length = (size_t) snprintf(authorization, size,
							   "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=",
							   access_key, scope);
	for (size_t i = 0; i < request->header_count && length < size; i++)
		length += (size_t) snprintf(authorization + length, size - length, "%s%s",
									i > 0 ? ";" : "", request->headers[i].name);
	if (length < size)
		length += (size_t) snprintf(authorization + length, size - length,
									", Signature=%s", signature);
	return length < size;
}
