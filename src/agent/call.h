/*-------------------------------------------------------------------------
 *
 * src/agent/call.h
 *		One gRPC call: what the server keeps of it, and what the service does
 *		with it.
 *
 * Calls come from the server's pool and go back to it when nobody refers to
 * them any more.  Everything happens under the server's lock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_CALL_H
#define PA_AGENT_CALL_H

#include <grpc/grpc.h>
#include <stdbool.h>
#include <stdint.h>

#include "action.h"
#include "arena.h"
#include "behaviour.h"
#include "durability.h"
#include "request.h"
#include "timer.h"

typedef struct PaCall PaCall;

typedef enum PaTagKind
{
	PA_TAG_RECEIVED,			/* a call has come */
	PA_TAG_CLOSED,				/* the call has ended for the client */
	PA_TAG_SENT,				/* the answer has been sent, or never will be */
	PA_TAG_SHUTDOWN
} PaTagKind;

typedef struct PaTag
{
	PaTagKind	kind;
	PaCall	   *call;
} PaTag;

struct PaCall
{
	/* the server's */
	struct PaServer *server;
	PaCall	   *next_free;
	int			references;		/* to this structure */
	int			core_references;	/* to the call in core, while it has one */
	PaMethod	method;
	grpc_call  *call;
	grpc_call_details details;	/* of a method that is not ours */
	grpc_metadata_array metadata;
	gpr_timespec deadline;
	grpc_byte_buffer *payload;
	int64_t		received_at;	/* us, of pa_clock_now */
	int			closed_cancelled;
	bool		watched;		/* PA_TAG_CLOSED is or was on its way */
	bool		answered;
	PaTag		received;
	PaTag		closed;
	PaTag		sent;

	/* the service's */
	struct PaService *service;
	PaArena		arena;
	PaArena		work_arena;		/* of own_action; may be in a provider's hands */
	Agent__ClusterStatusChangeRequest *request;
	PaRules    *rules;			/* that the rule belongs to */
	const PaRule *rule;			/* never NULL while the call is open */
	PaTimer		timer;
	PaDurableWait wait;			/* of a repetition, for its order's number */
	const uint8_t *reply;		/* what will be sent after a wait, */
	size_t		reply_length;	/* in the arena */
	PaAction   *action;			/* that the call waits for */
	PaCall	   *next_waiting;	/* for the same action */
	PaLane	   *lane;			/* only of a call that is not an action's */
	int			attempt;		/* see log.h; so the next three */
	int			in_flight;
	bool		executed;
	bool		duplicate;
	PaActionTimes times;		/* of the action that it waited for */
	PaAction	own_action;
};

/*
 * Implemented by the server, with call.c for what one call is enough for.
 */

/*
 * Answers the call, once.  The reply is sent only with status OK; details
 * and reply are copied.
 */
extern void pa_call_answer(PaCall *call, int status, const char *details,
						   const uint8_t *reply, size_t length);

/*
 * The service will neither answer nor look at the call's metadata any more;
 * the structure stays while it is referred to.
 */
extern void pa_call_close(PaCall *call);

/* tells the server, with PA_TAG_CLOSED, when the client gives up */
extern void pa_call_watch(PaCall *call);

/* the peer as gRPC core names it */
extern void pa_call_peer(const PaCall *call, char *text, size_t size);

/* closes the connection that the call came by; all unix ones are the same */
extern void pa_call_drop_connection(PaCall *call);

/*
 * The first value of a metadata key, not ended by a zero byte, and how many
 * there are; NULL: none.
 */
extern const char *pa_call_metadata(const PaCall *call, const char *key,
									size_t *length, int *count);

/* the number in the value of a metadata key, -1 if there is none */
extern int	pa_call_metadata_number(const PaCall *call, const char *key);

extern void pa_call_retain(PaCall *call);
extern void pa_call_release(PaCall *call);

#endif							/* PA_AGENT_CALL_H */
