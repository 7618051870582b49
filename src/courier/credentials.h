/*-------------------------------------------------------------------------
 *
 * src/courier/credentials.h
 *		What the files of a server hold: certificates, a key, a token.
 *
 * The reader thread.  Messages name the option and the file, and never show
 * anything of a file's content; they have room for PA_CREDENTIALS_MESSAGE
 * bytes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_COURIER_CREDENTIALS_H
#define PA_COURIER_CREDENTIALS_H

#include <stdbool.h>

#include <grpc/grpc_security.h>
#include <grpc/slice.h>

#include "courier.pb-c.h"

#define PA_CREDENTIALS_MESSAGE	1024

typedef struct PaCredentials PaCredentials;

/*
 * Reads and checks all files that the order names; with TLS and no
 * root_cert_file, the roots of the system.  NULL if one of them is no good,
 * then "problem" says which and why.  "warning" is what may become a problem,
 * empty if there is nothing.
 */
extern PaCredentials *pa_credentials_load(const Courier__Configure *configure,
										  char *problem, char *warning);
extern void pa_credentials_free(PaCredentials *credentials);

/* true if one of the files is not any more what was read */
extern bool pa_credentials_have_changed(const PaCredentials *credentials);

/* true if a connection made with one does for the other */
extern bool pa_credentials_same_connection(const PaCredentials *a,
										   const PaCredentials *b);

/* for a channel; the caller owns it */
extern grpc_channel_credentials *pa_credentials_for_channel(const PaCredentials *credentials);

/*
 * The value of the metadata "authorization", the caller's reference; empty
 * if there is no token.  Overwritten when the last reference is gone.
 */
extern grpc_slice pa_credentials_authorization(const PaCredentials *credentials);

#endif							/* PA_COURIER_CREDENTIALS_H */
