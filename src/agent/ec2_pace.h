/*-------------------------------------------------------------------------
 *
 * src/agent/ec2_pace.h
 *		How fast requests may follow each other: a rate of our own, and
 *		pauses when the other side asks for them.
 *
 * Pure: times are us of the caller's clock, chance is the caller's.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_EC2_PACE_H
#define PA_AGENT_EC2_PACE_H

#include <stdint.h>

typedef struct PaEc2Pace
{
	double		rate;			/* requests a second; 0: no limit */
	double		tokens;			/* of a bucket for one second's requests */
	int64_t		filled_at;
	int			streak;			/* pauses since the last success */
	int64_t		pause_until;
	int64_t		longest_pause;
} PaEc2Pace;

extern void pa_ec2_pace_init(PaEc2Pace *pace, double rate,
							 int64_t longest_pause, int64_t now);

/* takes a token: 0; or how long to wait until there may be one */
extern int64_t pa_ec2_pace_take(PaEc2Pace *pace, int64_t now);

/*
 * The other side wants to be left alone: pauses from 0.2 s, doubling up to
 * the longest, of which between half and all is waited, by "chance" from 0 to 1.
 * Requests that were under way when the pause began do not make it longer.
 */
extern void pa_ec2_pace_pause(PaEc2Pace *pace, int64_t now, int64_t sent_at,
							  double chance);
extern void pa_ec2_pace_succeeded(PaEc2Pace *pace);

#endif							/* PA_AGENT_EC2_PACE_H */
