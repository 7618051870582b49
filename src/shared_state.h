/*-------------------------------------------------------------------------
 *
 * src/shared_state.h
 *		What the processes of power_action share: one slot for each database
 *		with a worker, the circuits of its agents, and the places where
 *		sessions wait for events.
 *
 * Called in every process of the server that has preloaded the library.
 * Sized at server start; nothing in it is durable, all of it is rebuilt from
 * the tables after a crash.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_SHARED_STATE_H
#define PA_SHARED_STATE_H

#include "datatype/timestamp.h"
#include "phase.h"
#include "storage/latch.h"

/* A range of event ids, both ends included. */
typedef struct PaEventRange
{
	int64		low;
	int64		high;
} PaEventRange;

#define PA_MAX_RANGES		16
#define PA_MAX_LOCK_WAITS	32	/* events shown as waiting for a row lock */
#define PA_ERROR_LENGTH		256 /* bytes of a last error, with the NUL */

typedef enum PaWorkerState
{
	PA_WORKER_NONE = 0,			/* no process */
	PA_WORKER_STARTING,			/* registered, looking for the extension */
	PA_WORKER_RUNNING,			/* takes jobs */
	PA_WORKER_STOPPING			/* asked to go */
} PaWorkerState;

typedef enum PaAgentState
{
	PA_AGENT_UNKNOWN = 0,		/* no word from the courier yet */
	PA_AGENT_CONNECTING,
	PA_AGENT_READY,
	PA_AGENT_UNREACHABLE,		/* the circuit is open */
	PA_AGENT_STOPPED			/* refused an order as stale: see the alarm */
} PaAgentState;

/* What a worker publishes about itself. */
typedef struct PaWorkerCounters
{
	int64		calls;			/* gRPC calls sent */
	int64		finished;		/* events brought to a final state */
	int64		in_flight;
	int64		deferred;		/* outcomes that wait for a row lock */
	int64		errors;			/* transactions of the worker that failed */
	int			courier_pid;	/* 0: none */
	int64		courier_starts;
	int64		spent[PA_PHASES];	/* microseconds */
} PaWorkerCounters;

/* What a worker publishes about one agent. */
typedef struct PaAgentStatus
{
	Oid			database;
	char		server_name[NAMEDATALEN];
	PaAgentState state;
	TimestampTz since;
	int			in_flight;
	char		last_error[PA_ERROR_LENGTH];
} PaAgentStatus;

/* A worker as the views show it. */
typedef struct PaWorkerStatus
{
	Oid			database;
	int			pid;
	PaWorkerState state;
	TimestampTz since;
	PaWorkerCounters counters;
} PaWorkerStatus;

/* set-up: from _PG_init, only while preloading */
extern void pa_shared_install(void);

/* false: the library was not preloaded, there is nothing to share */
extern bool pa_shared_available(void);

/*
 * Requests.  notify_* are called at commit, must not raise, and do nothing if
 * the database has no worker (which then finds the jobs when it starts).
 */
extern void pa_shared_notify_requests(Oid database, int64 low, int64 high);
extern void pa_shared_notify_cancellation(Oid database);

/*
 * For the worker of this database, attached with pa_slot_attach.
 * Takes what was notified since the last call and forgets it.  Returns the
 * number of ranges written to "ranges" (at most PA_MAX_RANGES).
 */
extern int	pa_shared_take_requests(PaEventRange *ranges, bool *cancellations);

/* true: the worker of this process was asked to end */
extern bool pa_shared_stop_requested(void);

extern void pa_shared_publish_counters(const PaWorkerCounters *counters);
extern void pa_shared_publish_lock_waits(const int64 *event_ids, int count);
extern void pa_shared_publish_agent(const char *server_name,
									PaAgentState state, TimestampTz since,
									int in_flight, const char *last_error);
extern void pa_shared_forget_agent(const char *server_name);

/*
 * Reading, from any backend: copies into palloc'd memory of the current
 * context, returns the number of entries.  InvalidOid: of all databases.
 */
extern int	pa_shared_read_agents(Oid database, PaAgentStatus **agents);
extern int	pa_shared_read_workers(Oid database, PaWorkerStatus **workers);
extern int	pa_shared_read_lock_waits(Oid database, int64 **event_ids);

/*
 * Waiting for an event to finish.  Condition variables hashed by event id:
 * wake-ups can be spurious.  sleep: true if timeout_ms passed.
 */
extern void pa_shared_event_prepare(int64 event_id);
extern bool pa_shared_event_sleep(int64 event_id, long timeout_ms);
extern void pa_shared_event_end(void);
extern void pa_shared_event_broadcast(int64 event_id);

#endif							/* PA_SHARED_STATE_H */
