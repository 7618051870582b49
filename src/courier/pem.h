/*-------------------------------------------------------------------------
 *
 * src/courier/pem.h
 *		Looks at certificates and keys before gRPC gets them, whose own words
 *		for what is wrong with them help nobody.
 *
 * Any thread.  Problems and warnings are written as what is wrong with the
 * file, without its name; their buffers have room for PA_PEM_REMARK bytes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_COURIER_PEM_H
#define PA_COURIER_PEM_H

#include <stdbool.h>
#include <stddef.h>

#define PA_PEM_REMARK	256

/*
 * Certificates to trust: at least one, all of them readable.  "warning" is
 * set, otherwise empty, if no one of them is valid at this time.
 */
extern bool pa_pem_check_roots(const char *text, size_t length,
							   char *problem, char *warning);

/*
 * The certificate of a client, with the chain behind it.  "warning" is set,
 * otherwise empty, if it has expired or is not valid yet.
 */
extern bool pa_pem_check_chain(const char *text, size_t length,
							   char *problem, char *warning);

/* the key of the certificate that the chain begins with */
extern bool pa_pem_check_key(const char *text, size_t length,
							 const char *chain, size_t chain_length,
							 char *problem);

#endif							/* PA_COURIER_PEM_H */
