/*-------------------------------------------------------------------------
 *
 * src/shared_state.c
 *		What the processes of power_action share, apart from the life of the
 *		workers (worker_slot.c).
 *
 * Set up in the postmaster while preloading, used in every process after
 * that.  See shared_state.h, and shared_layout.h for the rules of the lock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "settings.h"
#include "shared_layout.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"
#include "wait_event.h"

#define TRANCHE_NAME	"power_action"

PaShared   *pa_shared = NULL;

static shmem_request_hook_type previous_shmem_request_hook = NULL;
static shmem_startup_hook_type previous_shmem_startup_hook = NULL;

/*
 * Set-up
 */

/* Each session needs one hold at a time, save for odd multi-renames. */
static int
hold_limit(void)
{
	return MaxBackends;
}

static Size
slots_size(void)
{
	return mul_size(max_worker_processes, sizeof(PaSlot));
}

static Size
holds_size(void)
{
	return mul_size(hold_limit(), sizeof(PaHold));
}

static Size
agents_size(void)
{
	return mul_size(pa_max_agents, sizeof(PaAgentStatus));
}

static void
request_shared_memory(void)
{
	Size		size = MAXALIGN(sizeof(PaShared));

	if (previous_shmem_request_hook)
		previous_shmem_request_hook();

	size = add_size(size, MAXALIGN(slots_size()));
	size = add_size(size, MAXALIGN(holds_size()));
	size = add_size(size, MAXALIGN(agents_size()));
	RequestAddinShmemSpace(size);
	RequestNamedLWLockTranche(TRANCHE_NAME, 1);
}

static void
start_shared_memory(void)
{
	bool		found;
	char	   *place;

	if (previous_shmem_startup_hook)
		previous_shmem_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);

	pa_shared = ShmemInitStruct("power_action",
								MAXALIGN(sizeof(PaShared)) +
								MAXALIGN(slots_size()) +
								MAXALIGN(holds_size()) +
								MAXALIGN(agents_size()),
								&found);
	if (!found)
	{
		place = (char *) pa_shared + MAXALIGN(sizeof(PaShared));
		memset(pa_shared, 0, sizeof(PaShared));

		pa_shared->lock = &GetNamedLWLockTranche(TRANCHE_NAME)->lock;
		ConditionVariableInit(&pa_shared->worker_left);
		for (int i = 0; i < PA_EVENT_CHANNELS; i++)
			ConditionVariableInit(&pa_shared->events[i]);

		pa_shared->slots = (PaSlot *) place;
		pa_shared->slot_count = max_worker_processes;
		memset(place, 0, slots_size());
		place += MAXALIGN(slots_size());

		pa_shared->holds = (PaHold *) place;
		pa_shared->hold_limit = hold_limit();
		place += MAXALIGN(holds_size());

		pa_shared->agents = (PaAgentStatus *) place;
		pa_shared->agent_limit = pa_max_agents;
	}

	LWLockRelease(AddinShmemInitLock);
}

void
pa_shared_install(void)
{
	previous_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shared_memory;
	previous_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_shared_memory;
}

bool
pa_shared_available(void)
{
	return pa_shared != NULL;
}

/*
 * Requests
 */

/*
 * Adds low..high to the ranges of a slot, which stay sorted and apart.  When
 * they are all in use the nearest one grows: the worker may look at an id too
 * many, but never misses one.
 */
static void
merge_range(PaSlot *slot, int64 low, int64 high)
{
	PaEventRange *ranges = slot->ranges;
	int			count = slot->range_count;
	int			first = 0;
	int			next;

	while (first < count && ranges[first].high < low - 1)
		first++;

	/* those from first to next - 1 touch the new one and become one with it */
	for (next = first; next < count && ranges[next].low <= high + 1; next++)
	{
		low = Min(low, ranges[next].low);
		high = Max(high, ranges[next].high);
	}

	if (next == first && count == PA_MAX_RANGES)
	{
		if (first == count ||
			(first > 0 &&
			 low - ranges[first - 1].high <= ranges[first].low - high))
			ranges[first - 1].high = high;
		else
			ranges[first].low = low;
		return;
	}

	memmove(&ranges[first + 1], &ranges[next],
			(count - next) * sizeof(PaEventRange));
	ranges[first].low = low;
	ranges[first].high = high;
	slot->range_count = count - (next - first) + 1;
}

/*
 * The slot of a database whose worker is attached, else NULL.  The lock must
 * be held.  A session mostly asks for the one it asked for last.
 */
static PaSlot *
attached_slot(Oid database)
{
	static int	last = 0;

	if (last < pa_shared->slot_count &&
		pa_shared->slots[last].database == database &&
		pa_shared->slots[last].pid != 0)
		return &pa_shared->slots[last];

	for (int i = 0; i < pa_shared->slot_count; i++)
	{
		PaSlot	   *slot = &pa_shared->slots[i];

		if (slot->database == database && slot->pid != 0)
		{
			last = i;
			return slot;
		}
	}

	return NULL;
}

void
pa_shared_notify_requests(Oid database, int64 low, int64 high)
{
	PaSlot	   *slot;

	if (pa_shared == NULL)
		return;

	LWLockAcquire(pa_shared->lock, LW_EXCLUSIVE);
	slot = attached_slot(database);
	if (slot != NULL)
	{
		merge_range(slot, low, high);
		SetLatch(slot->latch);
	}
	LWLockRelease(pa_shared->lock);
}

void
pa_shared_notify_cancellation(Oid database)
{
	PaSlot	   *slot;

	if (pa_shared == NULL)
		return;

	LWLockAcquire(pa_shared->lock, LW_EXCLUSIVE);
	slot = attached_slot(database);
	if (slot != NULL)
	{
		slot->cancellations = true;
		SetLatch(slot->latch);
	}
	LWLockRelease(pa_shared->lock);
}

/*
 * The worker
 */

int
pa_shared_take_requests(PaEventRange *ranges, bool *cancellations)
{
	PaSlot	   *slot;
	int			count = 0;

	*cancellations = false;
	if (pa_shared == NULL)
		return 0;

	LWLockAcquire(pa_shared->lock, LW_EXCLUSIVE);
	slot = pa_slot_mine();
	if (slot != NULL)
	{
		count = slot->range_count;
		memcpy(ranges, slot->ranges, count * sizeof(PaEventRange));
		*cancellations = slot->cancellations;
		slot->range_count = 0;
		slot->cancellations = false;
	}
	LWLockRelease(pa_shared->lock);

	return count;
}

bool
pa_shared_stop_requested(void)
{
	PaSlot	   *slot;
	bool		requested;

	if (pa_shared == NULL)
		return false;

	LWLockAcquire(pa_shared->lock, LW_SHARED);
	slot = pa_slot_mine();
	requested = slot != NULL && slot->stop_requested;
	LWLockRelease(pa_shared->lock);

	return requested;
}

void
pa_shared_publish_counters(const PaWorkerCounters *counters)
{
	PaSlot	   *slot;

	if (pa_shared == NULL)
		return;

	LWLockAcquire(pa_shared->lock, LW_EXCLUSIVE);
	slot = pa_slot_mine();
	if (slot != NULL)
		slot->counters = *counters;
	LWLockRelease(pa_shared->lock);
}

/* Publishes the first PA_MAX_LOCK_WAITS of the events. */
void
pa_shared_publish_lock_waits(const int64 *event_ids, int count)
{
	PaSlot	   *slot;

	if (pa_shared == NULL)
		return;

	count = Min(count, PA_MAX_LOCK_WAITS);

	LWLockAcquire(pa_shared->lock, LW_EXCLUSIVE);
	slot = pa_slot_mine();
	if (slot != NULL)
	{
		if (count > 0)
			memcpy(slot->lock_waits, event_ids, count * sizeof(int64));
		slot->lock_wait_count = count;
	}
	LWLockRelease(pa_shared->lock);
}

/* The lock must be held. */
static PaAgentStatus *
find_agent(Oid database, const char *server_name)
{
	for (int i = 0; i < pa_shared->agent_count; i++)
	{
		PaAgentStatus *agent = &pa_shared->agents[i];

		if (agent->database == database &&
			strcmp(agent->server_name, server_name) == 0)
			return agent;
	}

	return NULL;
}

/*
 * last_error may be NULL; it is cut to PA_ERROR_LENGTH at a character's end.
 * An agent for which there is no room is not shown; that is logged once.
 */
void
pa_shared_publish_agent(const char *server_name, PaAgentState state,
						TimestampTz since, int in_flight,
						const char *last_error)
{
	static bool full_reported = false;
	PaAgentStatus *agent;
	int			error_length = 0;
	bool		full = false;

	if (pa_shared == NULL)
		return;

	if (last_error != NULL)
		error_length = pg_mbcliplen(last_error, strlen(last_error),
									PA_ERROR_LENGTH - 1);

	LWLockAcquire(pa_shared->lock, LW_EXCLUSIVE);
	agent = find_agent(MyDatabaseId, server_name);
	if (agent == NULL)
	{
		if (pa_shared->agent_count < pa_shared->agent_limit)
		{
			agent = &pa_shared->agents[pa_shared->agent_count++];
			agent->database = MyDatabaseId;
			strlcpy(agent->server_name, server_name, NAMEDATALEN);
		}
		else
			full = true;
	}
	if (agent != NULL)
	{
		agent->state = state;
		agent->since = since;
		agent->in_flight = in_flight;
		memcpy(agent->last_error, last_error ? last_error : "", error_length);
		agent->last_error[error_length] = '\0';
	}
	LWLockRelease(pa_shared->lock);

	if (full && !full_reported)
		ereport(LOG,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("state of agent \"%s\" cannot be shown", server_name),
				 errdetail("All %d places for agents are in use.",
						   pa_max_agents),
				 errhint("Raise power_action.max_agents.")));
	full_reported = full;
}

/* The lock must be held.  server_name NULL: all agents of the database. */
static void
forget_agents(Oid database, const char *server_name)
{
	int			i = 0;

	while (i < pa_shared->agent_count)
	{
		PaAgentStatus *agent = &pa_shared->agents[i];

		if (agent->database == database &&
			(server_name == NULL ||
			 strcmp(agent->server_name, server_name) == 0))
			*agent = pa_shared->agents[--pa_shared->agent_count];
		else
			i++;
	}
}

void
pa_shared_forget_agent(const char *server_name)
{
	if (pa_shared == NULL)
		return;

	LWLockAcquire(pa_shared->lock, LW_EXCLUSIVE);
	forget_agents(MyDatabaseId, server_name);
	LWLockRelease(pa_shared->lock);
}

void
pa_shared_forget_agents_locked(Oid database)
{
	forget_agents(database, NULL);
}

/*
 * Reading
 */

int
pa_shared_read_agents(Oid database, PaAgentStatus **agents)
{
	int			count = 0;

	*agents = NULL;
	if (pa_shared == NULL)
		return 0;

	*agents = palloc(pa_shared->agent_limit * sizeof(PaAgentStatus));

	LWLockAcquire(pa_shared->lock, LW_SHARED);
	for (int i = 0; i < pa_shared->agent_count; i++)
	{
		PaAgentStatus *agent = &pa_shared->agents[i];

		if (!OidIsValid(database) || agent->database == database)
			(*agents)[count++] = *agent;
	}
	LWLockRelease(pa_shared->lock);

	return count;
}

int
pa_shared_read_workers(Oid database, PaWorkerStatus **workers)
{
	int			count = 0;

	*workers = NULL;
	if (pa_shared == NULL)
		return 0;

	*workers = palloc(pa_shared->slot_count * sizeof(PaWorkerStatus));

	LWLockAcquire(pa_shared->lock, LW_SHARED);
	for (int i = 0; i < pa_shared->slot_count; i++)
	{
		PaSlot	   *slot = &pa_shared->slots[i];

		if (OidIsValid(slot->database) &&
			slot->state != PA_WORKER_NONE &&
			(!OidIsValid(database) || slot->database == database))
		{
			PaWorkerStatus *worker = &(*workers)[count++];

			worker->database = slot->database;
			worker->pid = slot->pid;
			worker->state = slot->state;
			worker->since = slot->since;
			worker->counters = slot->counters;
		}
	}
	LWLockRelease(pa_shared->lock);

	return count;
}

int
pa_shared_read_lock_waits(Oid database, int64 **event_ids)
{
	PaSlot	   *slot;
	int			count = 0;

	*event_ids = NULL;
	if (pa_shared == NULL)
		return 0;

	*event_ids = palloc(PA_MAX_LOCK_WAITS * sizeof(int64));

	LWLockAcquire(pa_shared->lock, LW_SHARED);
	slot = attached_slot(database);
	if (slot != NULL)
	{
		count = slot->lock_wait_count;
		memcpy(*event_ids, slot->lock_waits, count * sizeof(int64));
	}
	LWLockRelease(pa_shared->lock);

	return count;
}

/*
 * Waiting for events
 */

static ConditionVariable *
event_channel(int64 event_id)
{
	return &pa_shared->events[murmurhash32((uint32) event_id) %
							  PA_EVENT_CHANNELS];
}

void
pa_shared_event_prepare(int64 event_id)
{
	if (pa_shared != NULL)
		ConditionVariablePrepareToSleep(event_channel(event_id));
}

bool
pa_shared_event_sleep(int64 event_id, long timeout_ms)
{
	if (pa_shared == NULL)
		return true;

	return ConditionVariableTimedSleep(event_channel(event_id), timeout_ms,
									   pa_wait_event(PA_WAIT_EVENT_FINISH));
}

void
pa_shared_event_end(void)
{
	(void) ConditionVariableCancelSleep();
}

void
pa_shared_event_broadcast(int64 event_id)
{
	if (pa_shared != NULL)
		ConditionVariableBroadcast(event_channel(event_id));
}
