/*-------------------------------------------------------------------------
 *
 * src/agent/call.h
 *		One call: what the server keeps of it, and what the service does with
 *		it.
 *
 * It is a gRPC call of its own, or one of many that come by a stream
 * (stream.h): the service need not know which.  Calls come from the server's
 * pool and go back to it when nobody refers to them any more.  Everything
 * happens under the server's lock.
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
#include "table.h"
#include "timer.h"

typedef struct PaCall PaCall;

typedef enum PaTagKind
{
	PA_TAG_RECEIVED,			/* a call has come */
	PA_TAG_CLOSED,				/* the call has ended for the client */
	PA_TAG_SENT,				/* the answer has been sent, or never will be */
	PA_TAG_STREAM_RECEIVED,		/* a message has come, or the last one has */
	PA_TAG_STREAM_SENT,			/* the next message may be sent */
	PA_TAG_STREAM_CLOSED,		/* the stream has ended for the client */
	PA_TAG_STREAM_ENDED,		/* its status has been sent */
	PA_TAG_SHUTDOWN
} PaTagKind;

typedef struct PaTag
{
	PaTagKind	kind;
	PaCall	   *call;
} PaTag;

typedef struct PaCallPool		/* zeroed: empty */
{
	PaCall	   *free;
	int			free_count;
	int			live;			/* that core knows */
} PaCallPool;

struct PaCall
{
	/* the server's */
	PaCallPool *pool;
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

	/* the stream's */
	struct PaStream *stream;	/* that the call is, or came by; else NULL */
	uint64_t	call_id;
	uint32_t	told_attempt;	/* 0: none */
	bool		streamed;		/* it came by one: core does not know it */
	PaTimer		stream_timer;
	PaTableNode stream_node;
	PaCall	   *stream_previous;
	PaCall	   *stream_next;

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

/* a call with one reference, and nothing set of what it is about */
extern PaCall *pa_call_take(PaCallPool *pool);

/* core knows it from now on, with one reference that pa_call_close ends */
extern void pa_call_begin(PaCall *call);

/*
 * Starts a batch, for which the call stays until pa_call_end_batch.  One that
 * is not allowed is a bug and ends the process.
 */
extern void pa_call_start_batch(PaCall *call, const grpc_op *ops, size_t count,
								PaTag *tag);
extern void pa_call_end_batch(PaCall *call);

extern void pa_call_empty_pool(PaCallPool *pool);

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

/*
 * Tells the server, with PA_TAG_CLOSED, when the client gives up; not for a
 * call that came by a stream.
 */
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

/* which of its attempts the caller says it is, -1 if it does not */
extern int	pa_call_attempt(const PaCall *call);

extern void pa_call_retain(PaCall *call);
extern void pa_call_release(PaCall *call);

#endif							/* PA_AGENT_CALL_H */
