/*-------------------------------------------------------------------------
 *
 * src/agent/sigv4.h
 *		AWS Signature Version 4 of an HTTP request, in its header form.
 *
 * Pure: no clock, no network.  The names are those of the AWS documentation,
 * "Create a signed AWS API request".
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_SIGV4_H
#define PA_AGENT_SIGV4_H

#include <stdbool.h>
#include <stddef.h>

typedef struct PaSigv4Header
{
	const char *name;			/* in lower case */
	const char *value;			/* without blanks around it or doubled */
} PaSigv4Header;

typedef struct PaSigv4Request
{
	const char *method;
	const char *path;			/* canonical: encoded, "/" if empty */
	const char *query;			/* canonical: encoded and sorted */
	const PaSigv4Header *headers;	/* all to be signed, sorted by name */
	size_t		header_count;
	const void *body;
	size_t		body_length;
	const char *date;			/* as in x-amz-date: 20150830T123600Z */
	const char *region;
	const char *service;
} PaSigv4Request;

/*
 * Writes the value of the Authorization header, 300 bytes and the names.
 * Returns false if it does not fit or libcrypto fails.
 */
extern bool pa_sigv4_sign(const PaSigv4Request *request, const char *access_key,
						  const char *secret_key, char *authorization,
						  size_t size);

#endif							/* PA_AGENT_SIGV4_H */
