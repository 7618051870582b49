/*-------------------------------------------------------------------------
 *
 * src/phase.h
 *		What a worker does with its time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_PHASE_H
#define PA_PHASE_H

typedef enum PaPhase
{
	PA_PHASE_WAIT,				/* there is nothing to do */
	PA_PHASE_RECEIVE,			/* results of calls, and the rest */
	PA_PHASE_READ,				/* what is due */
	PA_PHASE_SEND,				/* calls: clusters read, frames made */
	PA_PHASE_WRITE,				/* outcomes */
	PA_PHASE_COMMIT,			/* of any transaction */
	PA_PHASES
} PaPhase;

/* From now on; returns what was done until now. */
extern PaPhase pa_phase_enter(PaPhase phase);

/* For how long it was done since the process started, in microseconds. */
extern int64 pa_phase_time(PaPhase phase);

#endif							/* PA_PHASE_H */
