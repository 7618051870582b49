/* objects: verdict status_code words */
/*-------------------------------------------------------------------------
 *
 * test/unit/verdict_test.c
 *		What statuses and states mean for an action and for its cluster.
 *
 *-------------------------------------------------------------------------
 */
#include "status_code.h"
#include "unit.h"
#include "verdict.h"

#define ON PA_ACTION_POWER_ON
#define OFF PA_ACTION_POWER_OFF
#define R PA_POWER_RUNNING
#define S PA_POWER_STOPPED
#define UP PA_POWER_STARTING
#define DOWN PA_POWER_STOPPING
#define T PA_POWER_TERMINATED
#define U PA_POWER_UNKNOWN
#define NONE PA_POWER_NOT_REPORTED

#define STATES(...) \
	(const int[]) {__VA_ARGS__}, \
	(int) (sizeof((const int[]) {__VA_ARGS__}) / sizeof(int))

static void
check_states(PaAction action, const int *states, int count,
			 PaVerdict expected, int expected_done, const char *name)
{
	int			done;

	is_number(pa_verdict_of_states(action, states, count, &done), expected,
			  name);
	is_number(done, expected_done, "... and how many are done");
}

static void
check_cluster(const int *states, int count, PaPowerState expected,
			  const char *name)
{
	is_number(pa_verdict_cluster_state(states, count), expected, name);
}

static void
check_statuses(void)
{
	is_number(pa_verdict_of_status(PA_STATUS_UNAVAILABLE, "x", true, false),
			  PA_VERDICT_NOT_DELIVERED, "what did not leave is no attempt");
	is_number(pa_verdict_of_status(PA_STATUS_UNAVAILABLE, "x", false, false),
			  PA_VERDICT_RETRY, "a lost connection is retried");
	is_number(pa_verdict_of_status(PA_STATUS_DEADLINE_EXCEEDED, "x", false,
								   false),
			  PA_VERDICT_RETRY, "a deadline is retried");
	is_number(pa_verdict_of_status(PA_STATUS_PERMISSION_DENIED, "x", false,
								   false),
			  PA_VERDICT_REFUSED, "a refusal is final");
	is_number(pa_verdict_of_status(PA_STATUS_CANCELLED, "x", false, false),
			  PA_VERDICT_UNKNOWN, "a cancelled order may have had effect");
	is_number(pa_verdict_of_status(PA_STATUS_CANCELLED, "x", false, true),
			  PA_VERDICT_REFUSED, "a cancelled question has none");
	is_number(pa_verdict_of_status(PA_STATUS_FAILED_PRECONDITION,
								   "stale order: 1 < 2", false, false),
			  PA_VERDICT_STALE_ORDER, "a stale order is told apart");
	is_number(pa_verdict_of_status(PA_STATUS_UNIMPLEMENTED, "x", false, true),
			  PA_VERDICT_NO_STATES, "an agent that cannot be asked");
	is_number(pa_verdict_of_status(PA_STATUS_UNIMPLEMENTED, "x", false,
								   false),
			  PA_VERDICT_REFUSED, "an agent without the order");
}

int
main(void)
{
	check_statuses();

	check_states(ON, STATES(R, R), PA_VERDICT_CONFIRMED, 2, "all running");
	check_states(OFF, STATES(S, S, T), PA_VERDICT_CONFIRMED, 3,
				 "a terminated instance is off");
	check_states(ON, STATES(R, T), PA_VERDICT_PARTIAL, 1,
				 "and cannot be on");
	check_states(ON, STATES(R, UP), PA_VERDICT_MOVING, 1, "one is starting");
	check_states(ON, STATES(DOWN, R), PA_VERDICT_MOVING, 1,
				 "one has to stop first");
	check_states(OFF, STATES(S, NONE), PA_VERDICT_MOVING, 1,
				 "one that is not reported is asked for");
	check_states(OFF, STATES(S, U), PA_VERDICT_MOVING, 1,
				 "as is one of unknown state");
	check_states(OFF, STATES(S, R, S), PA_VERDICT_PARTIAL, 2,
				 "one did not follow");
	check_states(OFF, STATES(R), PA_VERDICT_PARTIAL, 0, "none followed");
	check_states(OFF, STATES(NONE, NONE), PA_VERDICT_ACCEPTED, 0,
				 "no states at all");
	check_states(PA_ACTION_REFRESH, STATES(R, S, UP, U), PA_VERDICT_CONFIRMED,
				 4, "any state answers a question");
	check_states(PA_ACTION_REFRESH, STATES(R, NONE), PA_VERDICT_PARTIAL, 1,
				 "silence does not");

	check_cluster(STATES(R, R), PA_POWER_RUNNING, "cluster running");
	check_cluster(STATES(S), PA_POWER_STOPPED, "cluster stopped");
	check_cluster(STATES(R, T), PA_POWER_RUNNING,
				  "terminated instances do not count");
	check_cluster(STATES(T, T), PA_POWER_TERMINATED,
				  "unless there are no others");
	check_cluster(STATES(R, UP), PA_POWER_STARTING, "cluster starting");
	check_cluster(STATES(S, DOWN, R), PA_POWER_STOPPING, "cluster stopping");
	check_cluster(STATES(UP, DOWN), PA_POWER_PARTIAL, "in both directions");
	check_cluster(STATES(R, S), PA_POWER_PARTIAL, "some of each");
	check_cluster(STATES(R, U), PA_POWER_UNKNOWN, "one unknown");
	check_cluster(STATES(R, NONE), PA_POWER_UNKNOWN, "one not reported");
	check_cluster(NULL, 0, PA_POWER_UNKNOWN, "no instances");

	is_string(pa_action_name(pa_action_from_name("power_off")), "power_off",
			  "actions have names");
	is_number(pa_action_from_name("explode"), PA_ACTION_INVALID,
			  "and no others");
	is_string(pa_agent_result_name(pa_agent_result_from_name("partial")),
			  "partial", "as have results");
	return unit_done();
}
