/*-------------------------------------------------------------------------
 *
 * src/agent/request.h
 *		Reading a request from the network without trusting it, and writing
 *		replies.
 *
 * The bytes are checked before protobuf-c sees them: it would cut a string
 * at a NUL without a word (and so might name another cluster), takes any
 * bytes for text, and allocates what it is told to.  Pure, apart from the
 * arena that the caller owns.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_REQUEST_H
#define PA_AGENT_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent.pb-c.h"
#include "arena.h"

#define PA_MAX_ID			255 /* bytes of every id, name and region */
#define PA_MAX_TEXT			65536	/* bytes of requester and description */
#define PA_MAX_INSTANCES	100000

/*
 * Reads a ClusterStatusChangeRequest.  Returns NULL and sets "problem" (in
 * the arena, for the caller of the method) if it is malformed, too large, or
 * lacks what every method needs: a cluster and at least one instance.
 * The result lives in the arena.
 */
extern Agent__ClusterStatusChangeRequest *pa_request_read(PaArena *arena,
														  const uint8_t *bytes,
														  size_t length,
														  const char **problem);

/* packs a reply into the arena */
extern uint8_t *pa_reply_write(PaArena *arena,
							   const Agent__ClusterStatusChangeResponse *reply,
							   size_t *length);

#endif							/* PA_AGENT_REQUEST_H */
