/*-------------------------------------------------------------------------
 *
 * src/worker_slot.c
 *		Who may run a worker where.  See worker_slot.h for the life of a slot,
 *		shared_layout.h for the rules of the lock.
 *
 * Called by the launcher, the workers, and sessions that run a statement
 * about a whole database.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "miscadmin.h"
#include "shared_layout.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/timestamp.h"
#include "wait_event.h"

/* Times in milliseconds. */
#define INSIST_INTERVAL	300		/* between two requests to leave */
#define GONE_INTERVAL	2		/* between two looks whether a process is gone */

/* the slot of this worker process */
static int	my_slot = -1;
static uint64 my_generation = 0;
static PaWorkerEnd my_end = PA_END_NONE;

/* The lock must be held. */
static void
wake_launcher(void)
{
	if (pa_shared->launcher_latch != NULL)
		SetLatch(pa_shared->launcher_latch);
}

static void
set_state(PaSlot *slot, PaWorkerState state)
{
	slot->state = state;
	slot->since = GetCurrentTimestamp();
}

/* The lock must be held. */
static bool
is_held(Oid database)
{
	for (int i = 0; i < pa_shared->hold_count; i++)
	{
		if (pa_shared->holds[i].database == database)
			return true;
	}

	return false;
}

/* The slot of a database, attached or not.  The lock must be held. */
static PaSlot *
find_slot(Oid database)
{
	for (int i = 0; i < pa_shared->slot_count; i++)
	{
		if (pa_shared->slots[i].database == database)
			return &pa_shared->slots[i];
	}

	return NULL;
}

/*
 * The launcher
 */

static void
detach_launcher(int code, Datum arg)
{
	LWLockAcquire(pa_shared->lock, LW_EXCLUSIVE);
	pa_shared->launcher_latch = NULL;
	LWLockRelease(pa_shared->lock);
}

void
pa_slot_attach_launcher(void)
{
	before_shmem_exit(detach_launcher, (Datum) 0);

	LWLockAcquire(pa_shared->lock, LW_EXCLUSIVE);
	pa_shared->launcher_latch = MyLatch;
	for (int i = 0; i < pa_shared->slot_count; i++)
	{
		PaSlot	   *slot = &pa_shared->slots[i];

		if (OidIsValid(slot->database) && slot->pid == 0)
		{
			slot->database = InvalidOid;
			slot->state = PA_WORKER_NONE;
		}
	}
	LWLockRelease(pa_shared->lock);
}

PaReserveResult
pa_slot_reserve(Oid database, int *slot_number, uint64 *generation)
{
	PaReserveResult result = PA_RESERVE_FULL;

	LWLockAcquire(pa_shared->lock, LW_EXCLUSIVE);
	if (is_held(database) || find_slot(database) != NULL)
		result = PA_RESERVE_HELD;
	else
	{
		for (int i = 0; i < pa_shared->slot_count; i++)
		{
			PaSlot	   *slot = &pa_shared->slots[i];
			int			left_pid = slot->left_pid;
			Oid			left_database = slot->left_database;

			if (OidIsValid(slot->database))
				continue;

			*slot_number = i;
			*generation = slot->generation + 1;
			memset(slot, 0, sizeof(PaSlot));
			slot->left_pid = left_pid;
			slot->left_database = left_database;
			slot->database = database;
			slot->generation = *generation;
			set_state(slot, PA_WORKER_STARTING);
			result = PA_RESERVE_OK;
			break;
		}
	}
	LWLockRelease(pa_shared->lock);

	return result;
}

bool
pa_slot_free(int slot_number, uint64 generation)
{
	PaSlot	   *slot = &pa_shared->slots[slot_number];
	bool		freed = false;

	LWLockAcquire(pa_shared->lock, LW_EXCLUSIVE);
	if (slot->generation == generation && slot->pid == 0)
	{
		slot->database = InvalidOid;
		slot->state = PA_WORKER_NONE;
		freed = true;
	}
	LWLockRelease(pa_shared->lock);

	return freed;
}

int
pa_slot_list(PaSlotInfo **infos)
{
	int			count = 0;

	*infos = palloc(pa_shared->slot_count * sizeof(PaSlotInfo));

	LWLockAcquire(pa_shared->lock, LW_SHARED);
	for (int i = 0; i < pa_shared->slot_count; i++)
	{
		PaSlot	   *slot = &pa_shared->slots[i];
		PaSlotInfo *info = &(*infos)[count];

		if (!OidIsValid(slot->database))
			continue;

		info->slot = i;
		info->generation = slot->generation;
		info->database = slot->database;
		info->state = slot->state;
		info->end = slot->end;
		info->pid = slot->pid;
		info->running_since = slot->running_since;
		count++;
	}
	LWLockRelease(pa_shared->lock);

	return count;
}

int
pa_slot_take_probes(PaProbe **probes, bool *overflow, bool *rescan)
{
	int			count;

	*probes = palloc(PA_MAX_PROBES * sizeof(PaProbe));

	LWLockAcquire(pa_shared->lock, LW_EXCLUSIVE);
	count = pa_shared->probe_count;
	memcpy(*probes, pa_shared->probes, count * sizeof(PaProbe));
	*overflow = pa_shared->probe_overflow;
	*rescan = pa_shared->rescan;
	pa_shared->probe_count = 0;
	pa_shared->probe_overflow = false;
	pa_shared->rescan = false;
	LWLockRelease(pa_shared->lock);

	return count;
}

/*
 * The worker
 */

PaSlot *
pa_slot_mine(void)
{
	PaSlot	   *slot;

	if (my_slot < 0)
		return NULL;

	slot = &pa_shared->slots[my_slot];
	return slot->generation == my_generation ? slot : NULL;
}

static void
detach_worker(int code, Datum arg)
{
	PaSlot	   *slot;

	LWLockAcquire(pa_shared->lock, LW_EXCLUSIVE);
	slot = pa_slot_mine();
	if (slot != NULL)
	{
		slot->left_pid = slot->pid;
		slot->left_database = slot->database;
		slot->pid = 0;
		slot->latch = NULL;
		if (!slot->stop_requested)
			slot->end = my_end == PA_END_NONE ? PA_END_FAILED : my_end;
		set_state(slot, PA_WORKER_NONE);
		pa_shared_forget_agents_locked(slot->database);
		wake_launcher();
	}
	my_slot = -1;
	LWLockRelease(pa_shared->lock);

	ConditionVariableBroadcast(&pa_shared->worker_left);
}

bool
pa_slot_attach(int slot_number, uint64 generation)
{
	PaSlot	   *slot = &pa_shared->slots[slot_number];
	bool		attached = false;

	before_shmem_exit(detach_worker, (Datum) 0);

	LWLockAcquire(pa_shared->lock, LW_EXCLUSIVE);
	if (OidIsValid(slot->database) &&
		slot->generation == generation &&
		slot->state == PA_WORKER_STARTING &&
		!is_held(slot->database))
	{
		slot->pid = MyProcPid;
		slot->latch = MyLatch;
		my_slot = slot_number;
		my_generation = generation;
		attached = true;
	}
	LWLockRelease(pa_shared->lock);

	return attached;
}

void
pa_slot_running(void)
{
	PaSlot	   *slot;

	LWLockAcquire(pa_shared->lock, LW_EXCLUSIVE);
	slot = pa_slot_mine();
	if (slot != NULL && slot->state == PA_WORKER_STARTING)
	{
		set_state(slot, PA_WORKER_RUNNING);
		slot->running_since = pa_clock_now();
		wake_launcher();
	}
	LWLockRelease(pa_shared->lock);
}

bool
pa_slot_stopping(void)
{
	PaSlot	   *slot = pa_slot_mine();

	return slot != NULL && slot->stop_requested;
}

void
pa_slot_set_end(PaWorkerEnd end)
{
	if (my_end == PA_END_NONE)
		my_end = end;
}

/*
 * Sessions
 */

void
pa_slot_request_probe(Oid database, bool prepared)
{
	bool		known = false;

	if (pa_shared == NULL)
		return;

	LWLockAcquire(pa_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < pa_shared->probe_count && !known; i++)
	{
		if (pa_shared->probes[i].database == database)
		{
			pa_shared->probes[i].prepared |= prepared;
			known = true;
		}
	}
	if (!known)
	{
		if (pa_shared->probe_count < PA_MAX_PROBES)
		{
			PaProbe    *probe = &pa_shared->probes[pa_shared->probe_count++];

			probe->database = database;
			probe->prepared = prepared;
		}
		else
			pa_shared->probe_overflow = true;
	}
	wake_launcher();
	LWLockRelease(pa_shared->lock);
}

void
pa_slot_request_rescan(void)
{
	if (pa_shared == NULL)
		return;

	LWLockAcquire(pa_shared->lock, LW_EXCLUSIVE);
	pa_shared->rescan = true;
	wake_launcher();
	LWLockRelease(pa_shared->lock);
}

/*
 * The lock must be held.  A worker that is registered and not attached yet
 * finds the state when it tries to.
 */
static void
stop_locked(Oid database, PaWorkerEnd end)
{
	PaSlot	   *slot = find_slot(database);

	if (slot == NULL || slot->state == PA_WORKER_NONE)
		return;

	if (slot->state != PA_WORKER_STOPPING)
		set_state(slot, PA_WORKER_STOPPING);
	slot->stop_requested = true;
	/* that the extension is gone holds whatever else is wanted */
	if (slot->end != PA_END_NO_EXTENSION)
		slot->end = end;
	if (slot->pid != 0)
	{
		/* the latch alone would not interrupt a statement */
		(void) kill(slot->pid, SIGTERM);
		SetLatch(slot->latch);
	}
}

bool
pa_slot_hold(Oid database)
{
	bool		held = false;

	if (pa_shared == NULL)
		return false;

	LWLockAcquire(pa_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < pa_shared->hold_count && !held; i++)
		held = pa_shared->holds[i].database == database &&
			pa_shared->holds[i].pid == MyProcPid;
	if (!held && pa_shared->hold_count < pa_shared->hold_limit)
	{
		PaHold	   *hold = &pa_shared->holds[pa_shared->hold_count++];

		hold->database = database;
		hold->pid = MyProcPid;
		held = true;
	}
	stop_locked(database, PA_END_STOPPED);
	LWLockRelease(pa_shared->lock);

	return held;
}

void
pa_slot_release_holds(void)
{
	int			i = 0;

	if (pa_shared == NULL)
		return;

	LWLockAcquire(pa_shared->lock, LW_EXCLUSIVE);
	while (i < pa_shared->hold_count)
	{
		if (pa_shared->holds[i].pid == MyProcPid)
			pa_shared->holds[i] =
				pa_shared->holds[--pa_shared->hold_count];
		else
			i++;
	}
	wake_launcher();
	LWLockRelease(pa_shared->lock);
}

void
pa_slot_stop_worker(Oid database, PaWorkerEnd end)
{
	if (pa_shared == NULL)
		return;

	LWLockAcquire(pa_shared->lock, LW_EXCLUSIVE);
	stop_locked(database, end);
	LWLockRelease(pa_shared->lock);
}

/* process id of the worker attached to the slot of a database, 0 if none */
static int
attached_pid(Oid database)
{
	PaSlot	   *slot;
	int			pid;

	LWLockAcquire(pa_shared->lock, LW_SHARED);
	slot = find_slot(database);
	pid = slot != NULL ? slot->pid : 0;
	LWLockRelease(pa_shared->lock);

	return pid;
}

/*
 * true if a worker is attached to no slot any more, but still counts as
 * connected to the database
 */
static bool
one_is_leaving(Oid database)
{
	int		   *pids = palloc(pa_shared->slot_count * sizeof(int));
	int			count = 0;
	bool		found = false;

	LWLockAcquire(pa_shared->lock, LW_SHARED);
	for (int i = 0; i < pa_shared->slot_count; i++)
		if (pa_shared->slots[i].left_pid != 0 &&
			pa_shared->slots[i].left_database == database)
			pids[count++] = pa_shared->slots[i].left_pid;
	LWLockRelease(pa_shared->lock);

	for (int i = 0; i < count && !found; i++)
	{
		PGPROC	   *process = BackendPidGetProc(pids[i]);

		found = process != NULL && process->databaseId == database;
	}
	pfree(pids);
	return found;
}

/*
 * A worker detaches a little before PostgreSQL stops to count it among those
 * connected to the database, and what we are called for would wait 100 ms for
 * that, or, DROP DATABASE ... WITH (FORCE) of somebody who is no superuser,
 * fail because of it: so wait for both.  It may have left before we came.
 */
bool
pa_slot_wait_gone(Oid database, long timeout_ms)
{
	PaInstant	end = pa_clock_after(pa_clock_now(), timeout_ms);
	int			pid;
	long		left;

	if (pa_shared == NULL)
		return true;

	ConditionVariablePrepareToSleep(&pa_shared->worker_left);
	while ((pid = attached_pid(database)) != 0)
	{
		left = pa_clock_left(end);
		if (left <= 0)
			break;
		if (ConditionVariableTimedSleep(&pa_shared->worker_left,
										Min(left, INSIST_INTERVAL),
										pa_wait_event(PA_WAIT_WORKER_EXIT)))
			pa_slot_stop_worker(database, PA_END_STOPPED);
	}
	ConditionVariableCancelSleep();

	while (one_is_leaving(database))
	{
		if (pa_clock_now() >= end)
			return false;

		/* nothing sets our latch at the end of that process */
		(void) WaitLatch(MyLatch, WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 GONE_INTERVAL, pa_wait_event(PA_WAIT_WORKER_EXIT));
		CHECK_FOR_INTERRUPTS();
	}

	return pid == 0;
}
