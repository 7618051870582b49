/*-------------------------------------------------------------------------
 *
 * src/agent/ec2_pace.c
 *		How fast requests may follow each other.  Contract in ec2_pace.h.
 *
 *-------------------------------------------------------------------------
 */
#include "ec2_pace.h"

#include <string.h>

#define FIRST_PAUSE		200000

void
pa_ec2_pace_init(PaEc2Pace *pace, double rate, int64_t longest_pause,
				 int64_t now)
{
	memset(pace, 0, sizeof(*pace));
	pace->rate = rate;
	pace->tokens = rate > 1 ? rate : 1;
	pace->filled_at = now;
	pace->longest_pause = longest_pause;
}

int64_t
pa_ec2_pace_take(PaEc2Pace *pace, int64_t now)
{
	double		most = pace->rate > 1 ? pace->rate : 1;

	if (now < pace->pause_until)
		return pace->pause_until - now;
	if (pace->rate <= 0)
		return 0;
	if (now > pace->filled_at)
	{
		pace->tokens += (double) (now - pace->filled_at) / 1e6 * pace->rate;
		if (pace->tokens > most)
			pace->tokens = most;
		pace->filled_at = now;
	}
	if (pace->tokens < 1)
		return (int64_t) ((1 - pace->tokens) / pace->rate * 1e6) + 1;
	pace->tokens -= 1;
	return 0;
}

void
pa_ec2_pace_pause(PaEc2Pace *pace, int64_t now, int64_t sent_at, double chance)
{
	int64_t		pause = FIRST_PAUSE;

	if (pace->streak > 0 && sent_at < pace->pause_until)
		return;
	for (int i = 0; i < pace->streak && pause < pace->longest_pause; i++)
		pause *= 2;
	if (pause > pace->longest_pause)
		pause = pace->longest_pause;
	pace->streak++;
	pace->pause_until = now + (int64_t) ((double) pause * (0.5 + chance / 2));
}

void
pa_ec2_pace_succeeded(PaEc2Pace *pace)
{
	pace->streak = 0;
}
