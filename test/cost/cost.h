/*-------------------------------------------------------------------------
 *
 * test/cost/cost.h
 *		Counts the instructions of an operation, under callgrind.
 *
 * A program is one file, test/cost/NAME_cost.c, whose first line says which
 * objects it is linked with; it calls cost_count for each operation.  The
 * script test/cost/run starts it under valgrind, reads the counts and compares
 * them with test/cost/instructions.
 *
 * The instructions are those of the operation with all that it calls, the
 * C library among it; not those of the kernel.  Texts that are read or compared
 * are static: where the stack is, some functions of the C library take another
 * way close to the end of a page.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_COST_H
#define PA_COST_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <valgrind/callgrind.h>

#define COST_WARM_UP	16
#define COST_TIMES		512

/* what was not as it should be: the operation counted would be another one */
#define must(condition) \
	do { \
		if (!(condition)) \
		{ \
			fprintf(stderr, "%s:%d: must hold: %s\n", __FILE__, __LINE__, \
					#condition); \
			exit(1); \
		} \
	} while (0)

/*
 * Calls the operation with 0, 1, 2, ... and leaves a dump of callgrind with
 * its name: what COST_TIMES calls took.  The first calls do not count, in
 * which memory is got that is kept.
 */
static void
cost_count(const char *name, void (*operation) (int))
{
	char		label[100];

	snprintf(label, sizeof(label), "%d %s", COST_TIMES, name);
	for (int i = 0; i < COST_WARM_UP; i++)
		operation(i);
	CALLGRIND_ZERO_STATS;
	for (int i = COST_WARM_UP; i < COST_WARM_UP + COST_TIMES; i++)
		operation(i);
	CALLGRIND_DUMP_STATS_AT(label);
}

#endif							/* PA_COST_H */
