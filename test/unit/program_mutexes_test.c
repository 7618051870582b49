/* objects: */
/*-------------------------------------------------------------------------
 *
 * test/unit/program_mutexes_test.c
 *		Mutexes of gRPC core, which must not look for deadlocks.
 *
 * Those of Abseil that do end the program, or complain on the standard error
 * output, when they meet an order of locks that might end in one.
 *
 *-------------------------------------------------------------------------
 */
#include "program/mutexes.h"

#include <grpc/support/sync.h>
#include <stdio.h>
#include <unistd.h>

#include "unit.h"

static void
lock_both(gpr_mu *first, gpr_mu *second)
{
	gpr_mu_lock(first);
	gpr_mu_lock(second);
	gpr_mu_unlock(second);
	gpr_mu_unlock(first);
}

int
main(void)
{
	FILE	   *complaints = tmpfile();
	int			error_output = dup(STDERR_FILENO);
	gpr_mu		one;
	gpr_mu		other;

	if (complaints == NULL || error_output < 0 ||
		dup2(fileno(complaints), STDERR_FILENO) < 0)
		return 1;
	pa_mutexes_stay_plain();
	gpr_mu_init(&one);
	gpr_mu_init(&other);
	lock_both(&one, &other);
	lock_both(&other, &one);
	gpr_mu_destroy(&one);
	gpr_mu_destroy(&other);
	dup2(error_output, STDERR_FILENO);

	ok(lseek(fileno(complaints), 0, SEEK_END) == 0,
	   "no order of locks is complained about");
	return unit_done();
}
