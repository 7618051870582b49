/*-------------------------------------------------------------------------
 *
 * src/program/pem.h
 *		Checks certificates and keys before gRPC core gets them, whose own
 *		words for what is wrong name neither the file nor the fault.
 *
 * Does with them what core will do.  Problems and warnings name the option
 * and the file.  A certificate that is out of date is no problem, core would
 * take it; it is told in "warning", which is left alone if there is nothing to
 * tell or if it is not empty.
 *
 * Any thread.  OpenSSL's queue of errors, which core shares, is empty
 * afterwards.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_PROGRAM_PEM_H
#define PA_PROGRAM_PEM_H

#include "file.h"

/*
 * What a program shows of itself: its certificate, which others up to, but not
 * necessarily including, the root may follow; and the key to it.  Both are
 * read.  Returns false, with the problem, if they cannot be used.
 */
extern bool pa_pem_check_own(const PaFile *certificate, const PaFile *key,
							 char *warning, size_t warning_size,
							 char *problem, size_t size);

/*
 * Authorities that vouch for others.  Warns only if none of them is valid at
 * this time, because new ones stand beside old ones.
 */
extern bool pa_pem_check_authorities(const PaFile *authorities,
									 char *warning, size_t warning_size,
									 char *problem, size_t size);

#endif							/* PA_PROGRAM_PEM_H */
