/*-------------------------------------------------------------------------
 *
 * src/queue.c
 *		What the worker holds in memory of the queue.  See queue.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "queue.h"

static MemoryContext queue_context;

/* calls that the courier gets beforehand: see pa_queue_room */
#define BEFOREHAND_US		5000	/* what ends in that time ... */
#define BEFOREHAND_PART		8	/* ... but this part of the most, at most */
#define BEFOREHAND_FROM_US	20000	/* of shorter calls, who calls is the bound */
#define DURATIONS_AVERAGED	16

static HTAB *servers;			/* of PaServer by name */
static HTAB *clusters;			/* of PaCluster by cluster_id */
static HTAB *calls;				/* of CallEntry by call_id */
static HTAB *lanes_by_key;		/* of LaneEntry */
static dlist_head lanes;
static dlist_head loading;
static int	loading_count;
static dlist_head in_flight;	/* calls, oldest first */
static int	in_flight_count;
static pairingheap *waiting;

/* the first three are the key, with zeroes behind the strings */
typedef struct LaneEntry
{
	char		server_name[NAMEDATALEN];
	char		account_name[PA_CLUSTER_ID_SIZE];
	int64		priority;
	PaLane	   *lane;
} LaneEntry;

typedef struct CallEntry
{
	uint64		call_id;
	PaCluster  *cluster;
} CallEntry;

/* pairingheap keeps the largest first; ours is the earliest */
static int
compare_wake(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	const PaCluster *first = pairingheap_const_container(PaCluster, wake_node, a);
	const PaCluster *second = pairingheap_const_container(PaCluster, wake_node, b);

	if (first->wake_at == second->wake_at)
		return 0;
	return first->wake_at < second->wake_at ? 1 : -1;
}

static HTAB *
make_hash(const char *name, Size key, Size entry, int flags)
{
	HASHCTL		control = {0};

	control.keysize = key;
	control.entrysize = entry;
	control.hcxt = queue_context;
	return hash_create(name, 256, &control,
					   HASH_ELEM | HASH_CONTEXT | flags);
}

void
pa_queue_init(void)
{
	MemoryContext old;

	queue_context = AllocSetContextCreate(TopMemoryContext,
										  "power_action queue",
										  ALLOCSET_DEFAULT_SIZES);
	servers = make_hash("power_action servers", NAMEDATALEN,
						sizeof(PaServer), HASH_STRINGS);
	clusters = make_hash("power_action clusters", PA_CLUSTER_ID_SIZE,
						 sizeof(PaCluster), HASH_STRINGS);
	pa_queue_init_jobs(queue_context);
	calls = make_hash("power_action calls", sizeof(uint64),
					  sizeof(CallEntry), HASH_BLOBS);
	lanes_by_key = make_hash("power_action lanes", offsetof(LaneEntry, lane),
							 sizeof(LaneEntry), HASH_BLOBS);
	old = MemoryContextSwitchTo(queue_context);
	waiting = pairingheap_allocate(compare_wake, NULL);
	MemoryContextSwitchTo(old);
	dlist_init(&lanes);
	dlist_init(&loading);
	dlist_init(&in_flight);
	loading_count = 0;
	in_flight_count = 0;
}

/*
 * Servers
 */

PaServer *
pa_queue_server(const char *name)
{
	bool		found;
	PaServer   *server = hash_search(servers, name, HASH_ENTER, &found);

	if (!found)
	{
		MemSet((char *) server + NAMEDATALEN, 0,
			   sizeof(PaServer) - NAMEDATALEN);
		dlist_init(&server->active);
		server->since = GetCurrentTimestamp();
		server->away_since = pa_clock_now();
		server->changed = true;
	}
	return server;
}

PaServer *
pa_queue_find_server(const char *name)
{
	return hash_search(servers, name, HASH_FIND, NULL);
}

PaServer *
pa_queue_find_generation(uint64 generation)
{
	HASH_SEQ_STATUS scan;
	PaServer   *server;

	hash_seq_init(&scan, servers);
	while ((server = hash_seq_search(&scan)) != NULL)
		if (server->generation == generation)
		{
			hash_seq_term(&scan);
			return server;
		}
	return NULL;
}

List *
pa_queue_servers(void)
{
	HASH_SEQ_STATUS scan;
	PaServer   *server;
	List	   *list = NIL;

	hash_seq_init(&scan, servers);
	while ((server = hash_seq_search(&scan)) != NULL)
		list = lappend(list, server);
	return list;
}

void
pa_queue_read_lanes_again(const PaServer *server)
{
	dlist_iter	iter;

	dlist_foreach(iter, &lanes)
	{
		PaLane	   *lane = dlist_container(PaLane, node, iter.cur);

		if (server != NULL && lane->server != server)
			continue;
		lane->read_due_at = DT_NOBEGIN;
		lane->read_event_id = 0;
		lane->exhausted = false;
	}
}

/* The time in which an order is to be confirmed runs on without its agent. */
static void
park_confirming(PaServer *server)
{
	dlist_mutable_iter lane_iter;

	dlist_foreach_modify(lane_iter, &server->active)
	{
		PaLane	   *lane = dlist_container(PaLane, active_node, lane_iter.cur);
		dlist_mutable_iter iter;

		dlist_foreach_modify(iter, &lane->ready)
		{
			PaCluster  *cluster = dlist_container(PaCluster, node, iter.cur);

			if (cluster->confirming)
				pa_queue_wait(cluster, pa_clock_now());
		}
	}
}

void
pa_queue_set_server_state(PaServer *server, PaAgentState state,
						  const char *error, TimestampTz now)
{
	if (server->state != state)
	{
		/* what its lanes hold has to be looked at again: to be given up */
		if (server->state == PA_AGENT_READY)
		{
			pa_queue_read_lanes_again(server);
			park_confirming(server);
			server->away_since = pa_clock_now();
		}
		if (state == PA_AGENT_READY)
			server->away_since = PA_INSTANT_NEVER;
		server->state = state;
		server->since = now;
		server->changed = true;
	}
	/* an agent that is reached may have to say something, too; or no more */
	if (state == PA_AGENT_READY && server->last_error != NULL &&
		(error == NULL || error[0] == '\0'))
	{
		pfree(server->last_error);
		server->last_error = NULL;
		server->changed = true;
	}
	if (error != NULL && error[0] != '\0' &&
		(server->last_error == NULL || strcmp(server->last_error, error) != 0))
	{
		if (server->last_error)
			pfree(server->last_error);
		server->last_error = MemoryContextStrdup(queue_context, error);
		server->changed = true;
	}
}

/*
 * Lanes
 */

static void
set_lane_key(LaneEntry *entry, const char *server_name,
			 const char *account_name, int16 priority)
{
	MemSet(entry, 0, sizeof(*entry));
	strlcpy(entry->server_name, server_name, sizeof(entry->server_name));
	strlcpy(entry->account_name, account_name, sizeof(entry->account_name));
	entry->priority = priority;
}

PaLane *
pa_queue_lane(const PaLaneKey *key)
{
	LaneEntry	search;
	LaneEntry  *entry;
	PaLane	   *lane;
	bool		found;

	set_lane_key(&search, key->server_name, key->account_name, key->priority);
	entry = hash_search(lanes_by_key, &search, HASH_ENTER, &found);
	if (found)
		return entry->lane;

	lane = MemoryContextAllocZero(queue_context, sizeof(PaLane));
	entry->lane = lane;
	lane->server = pa_queue_server(key->server_name);
	lane->account_name = MemoryContextStrdup(queue_context,
											 key->account_name);
	lane->priority = key->priority;
	lane->read_due_at = DT_NOBEGIN;
	lane->read_event_id = 0;
	lane->exhausted = true;
	lane->next_due = DT_NOEND;
	dlist_init(&lane->ready);
	dlist_push_tail(&lanes, &lane->node);
	return lane;
}

void
pa_queue_read_lane_from(PaLane *lane, TimestampTz due_at)
{
	if (due_at <= lane->read_due_at)
	{
		/* ids start at 1, so this is before any job that is due then */
		lane->read_due_at = due_at;
		lane->read_event_id = 0;
	}
	lane->exhausted = false;
}

dlist_head *
pa_queue_lanes(void)
{
	return &lanes;
}

void
pa_queue_drop_idle_lanes(void)
{
	dlist_mutable_iter iter;

	/* a cluster in memory may point to any of them */
	if (hash_get_num_entries(clusters) > 0)
		return;

	dlist_foreach_modify(iter, &lanes)
	{
		PaLane	   *lane = dlist_container(PaLane, node, iter.cur);
		LaneEntry	search;

		if (!lane->exhausted || lane->next_due != DT_NOEND)
			continue;
		set_lane_key(&search, lane->server->name, lane->account_name,
					 lane->priority);
		hash_search(lanes_by_key, &search, HASH_REMOVE, NULL);
		dlist_delete(&lane->node);
		pfree(lane->account_name);
		pfree(lane);
	}
}

/*
 * Clusters
 */

PaCluster *
pa_queue_find_cluster(const char *cluster_id)
{
	return hash_search(clusters, cluster_id, HASH_FIND, NULL);
}

PaCluster *
pa_queue_find_call(uint64 call_id)
{
	CallEntry  *entry = hash_search(calls, &call_id, HASH_FIND, NULL);

	return entry ? entry->cluster : NULL;
}

dlist_head *
pa_queue_loading(void)
{
	return &loading;
}

int
pa_queue_loading_count(void)
{
	return loading_count;
}

dlist_head *
pa_queue_calls(void)
{
	return &in_flight;
}

int
pa_queue_calls_in_flight(void)
{
	return in_flight_count;
}

int
pa_queue_room(const PaServer *server)
{
	int			most = server->options.max_concurrent_calls;
	int64		beforehand = 0;

	if (server->usual_us >= BEFOREHAND_FROM_US)
		beforehand = most * BEFOREHAND_US / server->usual_us;
	return most + (int) Min(beforehand, most / BEFOREHAND_PART) -
		server->in_flight;
}

void
pa_queue_note_duration(PaServer *server, int64 duration_us)
{
	if (server->usual_us == 0)
		server->usual_us = duration_us;
	else
		server->usual_us +=
			(duration_us - server->usual_us) / DURATIONS_AVERAGED;
	server->usual_us = Max(server->usual_us, 1);
}

/* Takes a cluster out of whatever its state keeps it in. */
static void
leave_state(PaCluster *cluster)
{
	switch (cluster->state)
	{
		case PA_CLUSTER_LOADING:
			dlist_delete(&cluster->node);
			loading_count--;
			break;
		case PA_CLUSTER_READY:
			dlist_delete(&cluster->node);
			cluster->lane->ready_count--;
			if (dlist_is_empty(&cluster->lane->ready))
				dlist_delete(&cluster->lane->active_node);
			cluster->server->held--;
			break;
		case PA_CLUSTER_CALLING:
			dlist_delete(&cluster->call_node);
			in_flight_count--;
			cluster->server->in_flight--;
			cluster->server->changed = true;
			hash_search(calls, &cluster->call_id, HASH_REMOVE, NULL);
			break;
		case PA_CLUSTER_WAITING:
			pairingheap_remove(waiting, &cluster->wake_node);
			cluster->server->waiting--;
			break;
		case PA_CLUSTER_WRITING:
			break;
	}
}

void
pa_queue_cluster_due(const char *cluster_id)
{
	bool		found;
	PaCluster  *cluster = hash_search(clusters, cluster_id, HASH_ENTER, &found);

	if (!found)
	{
		MemSet((char *) cluster + PA_CLUSTER_ID_SIZE, 0,
			   sizeof(PaCluster) - PA_CLUSTER_ID_SIZE);
		dlist_init(&cluster->jobs);
		cluster->state = PA_CLUSTER_LOADING;
		dlist_push_tail(&loading, &cluster->node);
		loading_count++;
		return;
	}

	cluster->reload = true;
	/* an order that was taken has to come to its end first */
	if ((cluster->state == PA_CLUSTER_READY ||
		 cluster->state == PA_CLUSTER_WAITING) && !cluster->confirming)
		pa_queue_load(cluster);
}

void
pa_queue_load(PaCluster *cluster)
{
	leave_state(cluster);
	cluster->state = PA_CLUSTER_LOADING;
	dlist_push_tail(&loading, &cluster->node);
	loading_count++;
}

/* The lane of a cluster: of its first job, with the highest priority of all. */
static void
assign_lane(PaCluster *cluster)
{
	PaJob	   *first = pa_queue_first_job(cluster);
	dlist_iter	iter;
	PaLaneKey	key;

	key.server_name = first->server_name;
	key.account_name = first->account_name;
	key.priority = first->priority;
	dlist_foreach(iter, &cluster->jobs)
	{
		PaJob	   *job = dlist_container(PaJob, node, iter.cur);

		key.priority = Max(key.priority, job->priority);
	}
	if (cluster->lane == NULL || cluster->lane->priority != key.priority ||
		strcmp(cluster->lane->account_name, key.account_name) != 0 ||
		strcmp(cluster->lane->server->name, key.server_name) != 0)
		cluster->lane = pa_queue_lane(&key);
	cluster->server = cluster->lane->server;
}

void
pa_queue_make_ready(PaCluster *cluster)
{
	leave_state(cluster);
	assign_lane(cluster);
	cluster->state = PA_CLUSTER_READY;
	if (dlist_is_empty(&cluster->lane->ready))
		dlist_push_tail(&cluster->server->active, &cluster->lane->active_node);
	dlist_push_tail(&cluster->lane->ready, &cluster->node);
	cluster->lane->ready_count++;
	cluster->server->held++;
}

void
pa_queue_start_call(PaCluster *cluster, uint64 call_id, TimestampTz now)
{
	CallEntry  *entry;

	entry = hash_search(calls, &call_id, HASH_ENTER, NULL);
	entry->cluster = cluster;
	leave_state(cluster);
	cluster->state = PA_CLUSTER_CALLING;
	cluster->call_id = call_id;
	cluster->sent_at = now;
	cluster->call_began = pa_clock_now();
	cluster->deadline = pa_clock_after(cluster->call_began,
									   cluster->server->options.call_timeout);
	cluster->cancelling = false;
	cluster->marked = false;
	dlist_push_tail(&in_flight, &cluster->call_node);
	in_flight_count++;
	cluster->server->in_flight++;
	cluster->server->changed = true;
}

void
pa_queue_wait(PaCluster *cluster, PaInstant until)
{
	leave_state(cluster);
	assign_lane(cluster);
	cluster->state = PA_CLUSTER_WAITING;
	cluster->wake_at = until;
	pairingheap_add(waiting, &cluster->wake_node);
	cluster->server->waiting++;
}

void
pa_queue_write(PaCluster *cluster)
{
	leave_state(cluster);
	cluster->state = PA_CLUSTER_WRITING;
}

void
pa_queue_drop_call_data(PaCluster *cluster)
{
	if (cluster->call_context)
		MemoryContextDelete(cluster->call_context);
	cluster->call_context = NULL;
	cluster->instance_count = 0;
	cluster->instance_ids = NULL;
	cluster->instance_rows = NULL;
	cluster->instance_states = NULL;
	cluster->confirming = false;
	cluster->asking = false;
}

void
pa_queue_drop_cluster(PaCluster *cluster)
{
	Assert(dlist_is_empty(&cluster->jobs));
	leave_state(cluster);
	pa_queue_drop_call_data(cluster);
	hash_search(clusters, cluster->cluster_id, HASH_REMOVE, NULL);
}

int
pa_queue_held_before(PaServer *server, int16 priority)
{
	dlist_iter	iter;
	int			count = 0;

	dlist_foreach(iter, &server->active)
	{
		PaLane	   *lane = dlist_container(PaLane, active_node, iter.cur);

		if (lane->priority >= priority)
			count += lane->ready_count;
	}
	return count;
}

PaCluster *
pa_queue_next_ready(PaServer *server)
{
	PaLane	   *best = NULL;
	dlist_iter	iter;
	PaCluster  *cluster;

	/* the first lane of the highest priority; it then goes to the end */
	dlist_foreach(iter, &server->active)
	{
		PaLane	   *lane = dlist_container(PaLane, active_node, iter.cur);

		if (best == NULL || lane->priority > best->priority)
			best = lane;
	}
	if (best == NULL)
		return NULL;
	cluster = dlist_container(PaCluster, node, dlist_head_node(&best->ready));
	dlist_delete(&best->active_node);
	dlist_push_tail(&server->active, &best->active_node);
	return cluster;
}

PaCluster *
pa_queue_first_waiting(void)
{
	if (pairingheap_is_empty(waiting))
		return NULL;
	return pairingheap_container(PaCluster, wake_node,
								 pairingheap_first(waiting));
}

void
pa_queue_forget_unsent(void)
{
	HASH_SEQ_STATUS scan;
	PaCluster  *cluster;

	hash_seq_init(&scan, clusters);
	while ((cluster = hash_seq_search(&scan)) != NULL)
	{
		if ((cluster->state == PA_CLUSTER_LOADING ||
			 cluster->state == PA_CLUSTER_READY) && !cluster->confirming)
		{
			while (!dlist_is_empty(&cluster->jobs))
				pa_queue_drop_job(pa_queue_first_job(cluster));
			pa_queue_drop_cluster(cluster);
		}
		else
			cluster->reload = true;
	}
	pa_queue_read_lanes_again(NULL);
}
