/*-------------------------------------------------------------------------
 *
 * src/agent/durability.h
 *		What waits until the store has something on disk.
 *
 * Nothing here blocks: whoever has to wait is called when it may go on.
 * Everything happens under the server's lock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_DURABILITY_H
#define PA_AGENT_DURABILITY_H

#include <stdbool.h>
#include <stdint.h>

#include "store.h"

/* somebody who waits; part of whatever that is.  Zeroed: does not wait */
typedef struct PaDurableWait
{
	uint64_t	ticket;
	bool		patient;
	void		(*go_on) (struct PaDurableWait *wait, bool durable);
	struct PaDurableWait *previous;
	struct PaDurableWait *next;
} PaDurableWait;

typedef struct PaDurability		/* zeroed: without a store */
{
	PaStore    *store;
	PaDurableWait *first;		/* by ticket */
	PaDurableWait *last;
} PaDurability;

/* the ticket of all that was put so far; 0 without a store */
extern uint64_t pa_durability_ticket(const PaDurability *durability);

/*
 * True: the ticket is durable, or there is no store.  False: "go_on" will be
 * called once, with true when it is, or, unless it is patient, with false
 * when writing it has failed.  It may wait again, or end others that wait.
 */
extern bool pa_durability_await(PaDurability *durability, PaDurableWait *wait,
								uint64_t ticket, bool patient,
								void (*go_on) (PaDurableWait *, bool));

/* does not wait any more; allowed for who does not */
extern void pa_durability_leave(PaDurability *durability, PaDurableWait *wait);

/* lets those go on who may, after the progress of the store has changed */
extern void pa_durability_advance(PaDurability *durability);

#endif							/* PA_AGENT_DURABILITY_H */
