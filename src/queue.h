/*-------------------------------------------------------------------------
 *
 * src/queue.h
 *		What the worker holds in memory of the queue: servers, lanes,
 *		clusters and jobs, and what each waits for.
 *
 * Called in the worker only.  No SQL and no frames: the stores read and
 * write, dispatch and outcome decide; here is only who is where.
 *
 * The table is the queue.  Memory holds a window of it: clusters that have
 * something due, each with its due jobs, as many as the servers can soon
 * take.  All of it can be dropped and read again at any time, except what is
 * in flight or waits to be written.
 *
 *		     load            dispatch           result
 *	(table) ----> READY ---------------> CALLING ------> WRITING
 *	                ^  <---- WAITING <-------------------- |
 *	                |        (retry_at, or asking again)   | final
 *	                +------- more jobs of the cluster <----+----> (gone)
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_QUEUE_H
#define PA_QUEUE_H

#include "lib/ilist.h"
#include "lib/pairingheap.h"

#include "agent_server.h"
#include "clock.h"
#include "job_store.h"

#define PA_CLUSTER_ID_SIZE	256 /* bytes, with the NUL; a CHECK limits it */
#define PA_JOBS_OF_CLUSTER	200 /* held in memory of one cluster at most */

/* An agent: how to reach it, and how it is. */
typedef struct PaServer
{
	char		name[NAMEDATALEN];	/* hash key */
	bool		defined;		/* false: there is no such foreign server */
	PaAgentServer options;		/* strings belong to the queue */
	uint64		generation;		/* of what the courier was told */
	PaAgentState state;
	TimestampTz since;			/* of the state */
	PaInstant	away_since;		/* when it was last seen to be ready, or first
								 * heard of; PA_INSTANT_NEVER: it is ready */
	char	   *last_error;		/* NULL: none */
	bool		lacks_states;	/* it does not have GetClusterPowerState */
	int			in_flight;		/* calls that the courier has */
	int64		usual_us;		/* that one takes; 0: none has ended yet */
	int			held;			/* clusters that are READY */
	int			taken;			/* jobs taken to memory by the present claim */
	int			waiting;		/* clusters that are WAITING */
	dlist_head	active;			/* lanes that have READY clusters */
	bool		changed;		/* since it was last published */
} PaServer;

/* The jobs of one server, account and priority: what shares a turn. */
typedef struct PaLane
{
	dlist_node	active_node;	/* in server->active if ready is not empty */
	dlist_node	node;			/* in the list of all lanes */
	PaServer   *server;
	char	   *account_name;
	int16		priority;
	/* the table is read up to here */
	TimestampTz read_due_at;
	int64		read_event_id;
	bool		exhausted;		/* nothing due behind that position ... */
	TimestampTz next_due;		/* ... until then; DT_NOEND: never */
	dlist_head	ready;			/* clusters */
	int			ready_count;
} PaLane;

typedef enum PaClusterState
{
	PA_CLUSTER_LOADING,			/* its jobs are to be read */
	PA_CLUSTER_READY,			/* to be sent, in its lane's list */
	PA_CLUSTER_CALLING,			/* a call is in flight */
	PA_CLUSTER_WAITING,			/* until wake_at */
	PA_CLUSTER_WRITING			/* an outcome of it waits to be written */
} PaClusterState;

typedef struct PaCluster
{
	char		cluster_id[PA_CLUSTER_ID_SIZE]; /* hash key */
	PaClusterState state;
	bool		reload;			/* the table may have more of its jobs */
	bool		confirming;		/* the order was taken; only ask for states */
	PaServer   *server;			/* of the first job; NULL while LOADING */
	PaLane	   *lane;
	dlist_node	node;			/* READY: lane->ready; LOADING: loading */
	pairingheap_node wake_node; /* WAITING */
	PaInstant	wake_at;
	dlist_head	jobs;			/* in the order of the cluster's actions */
	int			job_count;

	/* the call: valid while CALLING; instances while confirming as well */
	dlist_node	call_node;		/* in the list of calls, oldest first */
	uint64		call_id;
	bool		asking;			/* it is GetClusterPowerState */
	bool		cancelling;		/* the courier was told to cancel it */
	bool		marked;			/* its events are marked as running */
	TimestampTz sent_at;		/* for the tables */
	PaInstant	call_began;		/* the same */
	PaInstant	deadline;		/* of the call, if the courier starts it now */
	PaInstant	moving_since;	/* of the first reply that was not final */
	ItemPointerData row;		/* where the cluster's row was; a hint */
	MemoryContext call_context; /* holds the instances; NULL: none */
	int			instance_count;
	char	  **instance_ids;
	ItemPointerData *instance_rows; /* where their rows were; hints */
	int		   *instance_states;
} PaCluster;

typedef struct PaJob
{
	int64		event_id;		/* hash key */
	dlist_node	node;			/* in cluster->jobs, if it is in a cluster */
	PaCluster  *cluster;		/* NULL: only its outcome is left to write */
	PaAction	action;
	char	   *cluster_id;
	char	   *server_name;
	char	   *account_name;
	int16		priority;
	TimestampTz requested_at;
	TimestampTz due_at;
	TimestampTz not_before;		/* DT_NOBEGIN: none was given */
	TimestampTz expires_at;
	PaInstant	retry_at;
	TimestampTz started_at;
	int			attempts;
	PaAgentResult agent_result;
	bool		maybe_sent;		/* an earlier attempt may have had effect */
	bool		in_call;		/* answered by the cluster's call */
	ItemPointerData job_row;	/* where its rows were when they were read; */
	ItemPointerData event_row;	/* a hint, invalid if it is not known */
	char	   *triggered_by;
	char	   *description;
	char	   *cancelled_by;	/* NULL: nobody asked to cancel it */
	char	   *cancel_reason;
} PaJob;

extern void pa_queue_init(void);

/*
 * What was due when this worker started, of the events up to an id, may have
 * been sent by a worker before it.
 */
extern void pa_queue_set_start(int64 highest_event_id, TimestampTz now);

/* servers */
extern PaServer *pa_queue_server(const char *name); /* made if it is new */
extern PaServer *pa_queue_find_server(const char *name);
extern PaServer *pa_queue_find_generation(uint64 generation);
extern List *pa_queue_servers(void);	/* palloc'd list of all */
extern void pa_queue_set_server_state(PaServer *server, PaAgentState state,
									  const char *error, TimestampTz now);

/* lanes */
extern PaLane *pa_queue_lane(const PaLaneKey *key); /* made if it is new */
extern void pa_queue_read_lane_from(PaLane *lane, TimestampTz due_at);
extern void pa_queue_read_lanes_again(const PaServer *server);	/* NULL: all */
extern dlist_head *pa_queue_lanes(void);	/* of PaLane.node */
extern void pa_queue_drop_idle_lanes(void);	/* if nothing is in memory */

/* clusters */
extern PaCluster *pa_queue_find_cluster(const char *cluster_id);
extern PaCluster *pa_queue_find_call(uint64 call_id);
extern dlist_head *pa_queue_loading(void);	/* of PaCluster.node */
extern dlist_head *pa_queue_calls(void);	/* of PaCluster.call_node */
extern int	pa_queue_loading_count(void);

/*
 * The table has a due job of this cluster: it is read now, or when the
 * cluster's present action is done.
 */
extern void pa_queue_cluster_due(const char *cluster_id);

/* Moves a cluster to another state, out of the lists of the old one. */
extern void pa_queue_load(PaCluster *cluster);
extern void pa_queue_make_ready(PaCluster *cluster);
extern void pa_queue_start_call(PaCluster *cluster, uint64 call_id,
								TimestampTz now);
extern void pa_queue_wait(PaCluster *cluster, PaInstant until);
extern void pa_queue_write(PaCluster *cluster);
extern void pa_queue_drop_cluster(PaCluster *cluster);	/* without jobs */
extern void pa_queue_drop_call_data(PaCluster *cluster);

/* How many clusters are READY for a server that go before this priority does. */
extern int	pa_queue_held_before(PaServer *server, int16 priority);

/* The next cluster to send to this server, NULL if there is none. */
extern PaCluster *pa_queue_next_ready(PaServer *server);

/* The WAITING cluster that wakes first, NULL if there is none. */
extern PaCluster *pa_queue_first_waiting(void);

/*
 * Forgets what was read but not sent, and what was read of the lanes: all
 * jobs that are neither in flight nor waiting nor being written.
 */
extern void pa_queue_forget_unsent(void);

/* jobs, in queue_job.c */
extern void pa_queue_init_jobs(MemoryContext context);
extern PaJob *pa_queue_find_job(int64 event_id);
extern PaJob *pa_queue_add_job(PaCluster *cluster, const PaJobDetail *detail);

/* retry_at as the table has it: a wait is never longer than max_backoff */
extern void pa_queue_set_retry(PaJob *job, TimestampTz retry_at);

/* The clock was set back: what is due when it was requested is due by now. */
extern void pa_queue_move_jobs_back(TimestampTz now);
extern void pa_queue_note_cancellation(PaJob *job, const char *by,
									   const char *reason);
extern void pa_queue_detach_job(PaJob *job);	/* from its cluster */
extern void pa_queue_drop_job(PaJob *job);
extern PaJob *pa_queue_first_job(PaCluster *cluster);
extern int	pa_queue_detached_count(void);	/* jobs that are in no cluster */

/* for the status of the worker */
extern int	pa_queue_calls_in_flight(void);

/*
 * How many more calls of a server the courier may be given.  It lets no more
 * start than the server may have, but gets a few beforehand, to start while we
 * are busy: as many as usually end in a few milliseconds.  Not where calls are
 * over soon: there the processors are busy, whoever waits.
 */
extern int	pa_queue_room(const PaServer *server);
extern void pa_queue_note_duration(PaServer *server, int64 duration_us);

#endif							/* PA_QUEUE_H */
