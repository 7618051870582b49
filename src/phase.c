/*-------------------------------------------------------------------------
 *
 * src/phase.c
 *		What a worker does with its time.  See phase.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "clock.h"
#include "phase.h"

static PaPhase current = PA_PHASE_WAIT;
static PaInstant since;			/* 0: not yet */
static int64 spent[PA_PHASES];

PaPhase
pa_phase_enter(PaPhase phase)
{
	PaPhase		before = current;
	PaInstant	now = pa_clock_now();

	if (since != 0)
		spent[before] += now - since;
	since = now;
	current = phase;
	return before;
}

int64
pa_phase_time(PaPhase phase)
{
	return spent[phase];
}
