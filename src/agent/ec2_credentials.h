/*-------------------------------------------------------------------------
 *
 * src/agent/ec2_credentials.h
 *		The keys that an account signs with, wherever they come from.
 *
 *	file		"user", "key" and "session_token" of the accounts file
 *	environment	AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
 *	shared		a profile of the shared credentials file, read again when
 *				the file changes
 *	imds		the instance metadata service, version 2, asked again before
 *				they expire
 *
 * Lives in the HTTP loop's thread, but for pa_ec2_credentials_create.
 * Secrets are never shown, and overwritten before they are freed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_EC2_CREDENTIALS_H
#define PA_AGENT_EC2_CREDENTIALS_H

#include <stdbool.h>

#include "account.h"
#include "http_loop.h"

typedef struct PaEc2Credentials PaEc2Credentials;

typedef struct PaEc2Keys
{
	char	   *access_key;
	char	   *secret_key;
	char	   *session_token;	/* NULL: none */
} PaEc2Keys;

/*
 * "ready" is called with "data" when keys that were not there yet have come,
 * or cannot be had.
 */
extern PaEc2Credentials *pa_ec2_credentials_create(const PaAccount *account,
												   PaHttpLoop *loop,
												   void (*ready) (void *),
												   void *data);

/*
 * The keys to sign with now.  NULL: there are none; they are being fetched,
 * and "ready" will be called, if *pending, else *problem says why.
 */
extern const PaEc2Keys *pa_ec2_credentials_get(PaEc2Credentials *credentials,
											   bool *pending,
											   const char **problem);

/* what is missing may come by itself */
extern bool pa_ec2_credentials_may_come(const PaEc2Credentials *credentials);

/*
 * The cloud does not accept the keys: true if it is worth a try with others,
 * which the next pa_ec2_credentials_get gets.
 */
extern bool pa_ec2_credentials_renew(PaEc2Credentials *credentials,
									 const char *refused_access_key);

extern void pa_ec2_credentials_free(PaEc2Credentials *credentials);

#endif							/* PA_AGENT_EC2_CREDENTIALS_H */
