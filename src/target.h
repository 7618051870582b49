/*-------------------------------------------------------------------------
 *
 * src/target.h
 *		Where an agent listens: the option "target" of a foreign server.
 *
 * Pure: nothing is allocated, looked up or connected to.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_TARGET_H
#define PA_TARGET_H

#include <stdbool.h>

/*
 * A target in its normal form is the prefix followed by the rest.  The prefix
 * is constant; the rest is the end of the text that was parsed.
 */
typedef struct PaTarget
{
	const char *prefix;			/* with the scheme, or "" if the rest has it */
	const char *rest;
} PaTarget;

/*
 * Reads a target: host:port, dns:..., ipv4:..., ipv6:... or unix:/path.
 * False if it is none of them; then *hint, a constant, says what was expected.
 */
extern bool pa_target_parse(const char *text, PaTarget *target,
							const char **hint);

/*
 * The rest takes targets in their normal form.
 *
 * True if all that is sent stays on this machine: a unix socket, or addresses
 * of the loopback interface only (127.0.0.0/8, ::1, the name localhost unless
 * a name server is asked for it).
 */
extern bool pa_target_is_local(const char *target);

/* true if it has several addresses, so that none of them is the agent's name */
extern bool pa_target_is_list(const char *target);

/* true if the text can be the name in a certificate: of a host, or IPv4 */
extern bool pa_target_is_host(const char *text);

#endif							/* PA_TARGET_H */
