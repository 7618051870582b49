/*-------------------------------------------------------------------------
 *
 * src/agent/tls.h
 *		The server's side of TLS: certificate, key and the authorities of
 *		clients, kept up with their files.
 *
 * The files are looked at whenever a client connects, and read if one of them
 * has changed.  What cannot be used is told once on standard error, and
 * leaves what was there: new connections then get the old certificate.
 * Connections that exist are never touched, nor are their calls.
 *
 * TLS 1.2 is the least, as gRPC core has it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_TLS_H
#define PA_AGENT_TLS_H

#include <stdbool.h>
#include <stddef.h>

struct grpc_server_credentials;

typedef struct PaTls PaTls;

typedef struct PaTlsOptions
{
	const char *certificate_file;	/* NULL: no TLS */
	const char *key_file;
	const char *client_ca_file; /* NULL: clients need no certificate */
} PaTlsOptions;

/*
 * Reads the files.  Returns NULL, with the option, the file and the fault, if
 * they cannot be used.  The options stay the caller's.
 */
extern PaTls *pa_tls_open(const PaTlsOptions *options, char *problem,
						  size_t size);

/* to be released by the caller; the PaTls must outlive its server */
extern struct grpc_server_credentials *pa_tls_credentials(PaTls *tls);

/* reads the files again, changed or not; from any thread */
extern void pa_tls_reload(PaTls *tls);

extern void pa_tls_close(PaTls *tls);

#endif							/* PA_AGENT_TLS_H */
