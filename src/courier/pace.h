/*-------------------------------------------------------------------------
 *
 * src/courier/pace.h
 *		When the calls of a server may start.
 *
 * No more at a time than its limit.  And not all together: calls that start
 * together are answered together, and so are those that follow them.  Then
 * they wait for each other at every stage, in gRPC and in the agent, and
 * between two such crowds nobody has anything to do.  So they are spread over
 * a part of the shortest time that a call took of late, with gaps of some
 * microseconds.  Where calls take next to no time, or are few, none waits.
 *
 * Times are in microseconds of one clock that never goes back.  All belongs to
 * the reader thread, but for pa_pace_end, which the completion thread calls -
 * any may with a duration of -1 -, and pa_pace_release, which any thread may.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_COURIER_PACE_H
#define PA_COURIER_PACE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct PaPace PaPace;

/* part of what waits */
typedef struct PaPaced
{
	struct PaPaced *next;
	PaPace	   *pace;
	int64_t		start_by;
} PaPaced;

/* counted: whoever has something that waits or has started keeps it */
extern PaPace *pa_pace_create(void);
extern PaPace *pa_pace_share(PaPace *pace);
extern void pa_pace_release(PaPace *pace);

/* calls that have started and not ended; 0: as many as there are */
extern void pa_pace_set_limit(PaPace *pace, unsigned limit);

/* do calls cost little, since they share a stream?  Not at first. */
extern void pa_pace_set_light(PaPace *pace, bool light);

extern unsigned pa_pace_started(PaPace *pace);

/* May one more start now?  If so, it has. */
extern bool pa_pace_admit(PaPace *pace, int64_t now);

/* It may not, and waits until a time; or it need not any more. */
extern void pa_pace_wait(PaPace *pace, PaPaced *paced, int64_t start_by);
extern void pa_pace_withdraw(PaPaced *paced);

/*
 * One that waited, for whatever pace, and has started now; or one whose time
 * to start is over, among those that have waited longest for their pace.  It
 * waits no more; NULL: there is none.  And when to ask for either again;
 * INT64_MAX: not before a call waits.
 */
extern PaPaced *pa_pace_take(int64_t now);
extern PaPaced *pa_pace_overdue(int64_t now);
extern int64_t pa_pace_due(void);

/*
 * A call has ended that took so long; -1: that says nothing.  True: the reader
 * is to ask for those that wait.
 */
extern bool pa_pace_end(PaPace *pace, int64_t now, int64_t duration);

#endif							/* PA_COURIER_PACE_H */
