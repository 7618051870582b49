/*-------------------------------------------------------------------------
 *
 * src/agent/durability.c
 *		What waits until the store has something on disk.  Contract in
 *		durability.h.
 *
 *-------------------------------------------------------------------------
 */
#include "durability.h"

uint64_t
pa_durability_ticket(const PaDurability *durability)
{
	return durability->store != NULL ?
		pa_store_last_ticket(durability->store) : 0;
}

bool
pa_durability_await(PaDurability *durability, PaDurableWait *wait,
					uint64_t ticket, bool patient,
					void (*go_on) (PaDurableWait *, bool))
{
	PaDurableWait *before = durability->last;

	if (durability->store == NULL ||
		ticket <= pa_store_progress(durability->store).durable)
		return true;
	wait->ticket = ticket;
	wait->patient = patient;
	wait->go_on = go_on;

	/* nearly always the last: only who had to wait for a turn comes late */
	while (before != NULL && before->ticket > ticket)
		before = before->previous;
	wait->previous = before;
	wait->next = before != NULL ? before->next : durability->first;
	if (wait->next != NULL)
		wait->next->previous = wait;
	else
		durability->last = wait;
	if (before != NULL)
		before->next = wait;
	else
		durability->first = wait;
	return false;
}

void
pa_durability_leave(PaDurability *durability, PaDurableWait *wait)
{
	if (wait->go_on == NULL)
		return;
	if (wait->next != NULL)
		wait->next->previous = wait->previous;
	else
		durability->last = wait->previous;
	if (wait->previous != NULL)
		wait->previous->next = wait->next;
	else
		durability->first = wait->next;
	*wait = (PaDurableWait) {0};
}

/* the first of those who may go on now, NULL if there is none */
static PaDurableWait *
find_next(const PaDurability *durability, PaStoreProgress progress)
{
	PaDurableWait *wait = durability->first;

	while (wait != NULL && wait->ticket > progress.durable &&
		   wait->ticket <= progress.failed && wait->patient)
		wait = wait->next;
	return wait != NULL && (wait->ticket <= progress.durable ||
							wait->ticket <= progress.failed) ? wait : NULL;
}

void
pa_durability_advance(PaDurability *durability)
{
	PaStoreProgress progress;
	PaDurableWait *wait;

	if (durability->store == NULL || durability->first == NULL)
		return;
	progress = pa_store_progress(durability->store);

	/* from the first again each time: anybody may have gone meanwhile */
	while ((wait = find_next(durability, progress)) != NULL)
	{
		void		(*go_on) (PaDurableWait *, bool) = wait->go_on;
		bool		durable = wait->ticket <= progress.durable;

		pa_durability_leave(durability, wait);
		go_on(wait, durable);
	}
}
