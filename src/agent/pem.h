/*-------------------------------------------------------------------------
 *
 * src/agent/pem.h
 *		Checks certificates and keys before gRPC core gets them, whose own
 *		words for what is wrong name neither the file nor the fault.
 *
 * Pure but for OpenSSL, whose error queue is empty afterwards.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_PEM_H
#define PA_AGENT_PEM_H

#include <stdbool.h>
#include <stddef.h>

/* what a file holds, and how messages call it */
typedef struct PaPem
{
	const char *option;			/* as in "--tls-cert" */
	const char *path;
	const char *text;			/* NULL: not given */
} PaPem;

/*
 * Checks what a server needs: its certificate, which others up to, but not
 * necessarily including, the root may follow; the key to it; the authorities
 * that vouch for clients.  Does with it what core will do.  Returns false,
 * with option, file and fault, if a server could not use it.
 *
 * A certificate that is out of date is no fault, core would take it: it is
 * told in "warning", which is empty otherwise.
 */
extern bool pa_pem_check(const PaPem *certificate, const PaPem *key,
						 const PaPem *client_ca, char *warning,
						 size_t warning_size, char *problem, size_t size);

#endif							/* PA_AGENT_PEM_H */
