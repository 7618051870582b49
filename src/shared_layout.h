/*-------------------------------------------------------------------------
 *
 * src/shared_layout.h
 *		How the shared memory of power_action is laid out.
 *
 * Private to shared_state.c and worker_slot.c; everybody else goes through
 * the functions of their headers.
 *
 * One lock protects all of it.  It is held for a few dozen instructions and a
 * SetLatch at most, nothing that may raise runs under it, and a latch or a
 * process id found in a slot belongs to a live process as long as it is held:
 * a worker takes them out of its slot, under the lock, before it exits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_SHARED_LAYOUT_H
#define PA_SHARED_LAYOUT_H

#include "shared_state.h"
#include "storage/condition_variable.h"
#include "storage/lwlock.h"
#include "worker_slot.h"

#define PA_EVENT_CHANNELS	256
#define PA_MAX_PROBES		64

/* One worker of one database. */
typedef struct PaSlot
{
	Oid			database;		/* InvalidOid: the slot is free */
	uint64		generation;		/* counts the workers it was given to */
	PaWorkerState state;
	PaWorkerEnd end;			/* how it ended, or how it was asked to */
	int			pid;			/* 0: no process is attached */
	int			left_pid;		/* of the last that was, perhaps still exiting */
	Oid			left_database;
	Latch	   *latch;			/* of that process */
	bool		stop_requested;
	TimestampTz since;			/* of state */
	PaInstant	running_since;	/* 0: has not been in state RUNNING */

	/* what was notified and not taken yet: sorted, apart from each other */
	int			range_count;
	PaEventRange ranges[PA_MAX_RANGES];
	bool		cancellations;

	PaWorkerCounters counters;
	int			lock_wait_count;
	int64		lock_waits[PA_MAX_LOCK_WAITS];
} PaSlot;

/* While it is there, no worker starts in the database. */
typedef struct PaHold
{
	Oid			database;
	int			pid;			/* of the session that wants it */
} PaHold;

typedef struct PaShared
{
	LWLock	   *lock;

	/* for the launcher */
	Latch	   *launcher_latch; /* NULL: there is no launcher now */
	bool		rescan;			/* pg_database has changed */
	bool		probe_overflow; /* more probes were asked for than fit */
	int			probe_count;
	PaProbe		probes[PA_MAX_PROBES];

	/* broadcast whenever a worker detaches from its slot */
	ConditionVariable worker_left;

	ConditionVariable events[PA_EVENT_CHANNELS];

	int			slot_count;		/* max_worker_processes */
	PaSlot	   *slots;
	int			hold_count;
	int			hold_limit;
	PaHold	   *holds;
	int			agent_count;
	int			agent_limit;
	PaAgentStatus *agents;
} PaShared;

/* NULL: the library was not preloaded */
extern PaShared *pa_shared;

/* the slot of this process, NULL if it has none; the lock must be held */
extern PaSlot *pa_slot_mine(void);

/* forgets the agents of a database; the lock must be held */
extern void pa_shared_forget_agents_locked(Oid database);

#endif							/* PA_SHARED_LAYOUT_H */
