/*-------------------------------------------------------------------------
 *
 * src/worker_slot.h
 *		Who may run a worker where: the slots that the launcher gives to
 *		workers, the holds that keep workers out of a database, and what
 *		sessions want the launcher to look at.
 *
 * A slot lives like this:
 *
 *	free --reserve--> STARTING --attach--> STARTING --running--> RUNNING
 *	 ^                    |   (has a pid)     |                     |
 *	 |                    |                   |   stop requested    |
 *	 |                    |                   +----> STOPPING <-----+
 *	 |                    |                   |         |           |
 *	 +------free----------+                   +--detach-+-----------+
 *	 |                                            |
 *	 +------free------ NONE (has an end) <--------+
 *
 * Only the launcher reserves and frees, only the worker attaches and
 * detaches.  A slot's generation tells its workers apart: one that was
 * registered for an earlier generation cannot attach.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_WORKER_SLOT_H
#define PA_WORKER_SLOT_H

#include "clock.h"
#include "shared_state.h"

/* How a worker ended, as it said itself. */
typedef enum PaWorkerEnd
{
	PA_END_NONE = 0,			/* it has not */
	PA_END_FAILED,				/* by an error */
	PA_END_NO_EXTENSION,		/* the database has none */
	PA_END_STOPPED,				/* asked to make room */
	PA_END_TERMINATED			/* SIGTERM from somebody else */
} PaWorkerEnd;

/* A slot that is not free, as the launcher sees it. */
typedef struct PaSlotInfo
{
	int			slot;
	uint64		generation;
	Oid			database;
	PaWorkerState state;
	PaWorkerEnd end;
	int			pid;
	PaInstant	running_since;	/* 0: has not been in state RUNNING */
} PaSlotInfo;

/* A database that may have got the extension. */
typedef struct PaProbe
{
	Oid			database;
	bool		prepared;		/* by a transaction that is only prepared */
} PaProbe;

typedef enum PaReserveResult
{
	PA_RESERVE_OK = 0,
	PA_RESERVE_HELD,			/* the database is held, or has a worker */
	PA_RESERVE_FULL				/* no slot is free */
} PaReserveResult;

/*
 * The launcher
 */

/*
 * Makes this process the one that is woken, until it exits.  Slots whose
 * worker never attached are freed: they belong to a launcher that is gone.
 */
extern void pa_slot_attach_launcher(void);

extern PaReserveResult pa_slot_reserve(Oid database, int *slot,
									   uint64 *generation);

/*
 * Frees a slot that no process is attached to.  Returns false, and does
 * nothing, if one is, or if the slot has gone to another worker.
 */
extern bool pa_slot_free(int slot, uint64 generation);

/* all slots that are not free, palloc'd; returns their number */
extern int	pa_slot_list(PaSlotInfo **infos);

/*
 * Takes and forgets what sessions asked for.  Returns the number of probes,
 * palloc'd.  overflow: there were more, any database may be meant.
 */
extern int	pa_slot_take_probes(PaProbe **probes, bool *overflow,
								bool *rescan);

/*
 * The worker
 */

/*
 * Attaches this process to its slot and registers its detaching at exit;
 * returns false if it is not wanted any more.  Call before connecting to the
 * database: from here on whoever wants that for himself waits for us.
 */
extern bool pa_slot_attach(int slot, uint64 generation);

extern void pa_slot_running(void);

/* true: this worker was asked to leave.  Takes no lock: for signal handlers. */
extern bool pa_slot_stopping(void);

/* how the end of this process is to be understood; the first call wins */
extern void pa_slot_set_end(PaWorkerEnd end);

/*
 * Sessions.  None of these raises, except pa_slot_wait_gone if the wait is
 * interrupted.  They do nothing without shared memory.
 */

/* the launcher shall look for the extension in a database */
extern void pa_slot_request_probe(Oid database, bool prepared);

/* the launcher shall read pg_database again */
extern void pa_slot_request_rescan(void);

/*
 * Keeps workers out of a database until released; a worker that is there is
 * asked to leave.  Returns false if there is no room for another hold, then
 * the worker is asked all the same.
 */
extern bool pa_slot_hold(Oid database);
extern void pa_slot_release_holds(void);

/*
 * Asks the worker of a database, if any, to leave, by SIGTERM, too.  The end
 * is what the launcher is told: PA_END_STOPPED or PA_END_NO_EXTENSION.
 */
extern void pa_slot_stop_worker(Oid database, PaWorkerEnd end);

/*
 * Waits until no worker of the database is connected to it, and insists if
 * one does not leave.  Returns false if one is still there after timeout_ms.
 */
extern bool pa_slot_wait_gone(Oid database, long timeout_ms);

#endif							/* PA_WORKER_SLOT_H */
