/* objects: */
/*-------------------------------------------------------------------------
 *
 * test/unit/program_scheduling_test.c
 *		The scheduling policy that a program takes, and that its threads have.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE 1				/* SCHED_BATCH, SCHED_IDLE */

#include "program/scheduling.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

#define NICE	3

static void *
policy_of_thread(void *result)
{
	*(int *) result = sched_getscheduler(0);
	return NULL;
}

/* the policy of a thread that starts after the call; -1: there is none */
static int
policy_after(int policy_before)
{
	struct sched_param parameters = {0};
	pthread_t	thread;
	int			policy = -1;

	if (sched_setscheduler(0, policy_before, &parameters) != 0)
		return -1;
	pa_scheduling_batch();
	if (pthread_create(&thread, NULL, policy_of_thread, &policy) != 0 ||
		pthread_join(thread, NULL) != 0)
		return -1;
	return policy;
}

/* in a process of its own, for some changes cannot be taken back */
static int
in_child(int policy_before)
{
	int			status = 0;
	pid_t		child = fork();

	if (child == 0)
		_exit(policy_after(policy_before));
	if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

int
main(void)
{
	ok(in_child(SCHED_OTHER) == SCHED_BATCH,
	   "threads that are started later are scheduled as a batch");
	ok(in_child(SCHED_IDLE) == SCHED_IDLE,
	   "a policy that somebody chose remains");

	setpriority(PRIO_PROCESS, 0, NICE);
	pa_scheduling_batch();
	ok(sched_getscheduler(0) == SCHED_BATCH &&
	   getpriority(PRIO_PROCESS, 0) == NICE, "the nice value remains");
	return unit_done();
}
