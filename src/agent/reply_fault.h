/*-------------------------------------------------------------------------
 *
 * src/agent/reply_fault.h
 *		What a rule does to a reply on its way.  Pure.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_REPLY_FAULT_H
#define PA_AGENT_REPLY_FAULT_H

#include <stddef.h>
#include <stdint.h>

#include "behaviour.h"
#include "arena.h"

/*
 * The packed reply as the rule wants it sent: the same bytes, others in the
 * arena, or constant ones.  *length is of the reply, and of the result.
 */
extern const uint8_t *pa_reply_mangle(const PaRule *rule, PaArena *arena,
									  const uint8_t *reply, size_t *length);

/* the error in a packed reply: it begins with it, unless it is 0 */
extern int	pa_reply_error(const uint8_t *reply, size_t length);

#endif							/* PA_AGENT_REPLY_FAULT_H */
