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

#endif							/* PA_TARGET_H */
