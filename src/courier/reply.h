/*-------------------------------------------------------------------------
 *
 * src/courier/reply.h
 *		Turns the reply of an agent into the Result that the worker gets.
 *
 * No gRPC in here, and nothing is trusted: the bytes are whatever came from
 * the network.  Any thread, with its own arena.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_COURIER_REPLY_H
#define PA_COURIER_REPLY_H

#include "arena.h"
#include "courier.pb-c.h"

#define PA_REPLY_MAX_INSTANCES	100000

/*
 * Cleans text into the arena: valid UTF-8, no control characters, at most
 * "limit" bytes.  Never NULL: an empty string when memory is exhausted.
 */
extern char *pa_reply_text(PaArena *arena, const char *text, size_t length,
						   size_t limit);

/*
 * Fills the reply_* fields and the instances of a Result with status OK; all
 * of it lives in the arena.  A reply that cannot be understood makes the
 * status INTERNAL with a message that says why.  Returns the number of
 * instances that were left out because there are more than the limit.
 */
extern size_t pa_reply_decode(PaArena *arena, const uint8_t *data,
							  size_t size, Courier__Result *result);

#endif							/* PA_COURIER_REPLY_H */
