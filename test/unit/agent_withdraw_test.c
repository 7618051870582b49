/* objects: */
/* needs: power_agent */
/*-------------------------------------------------------------------------
 *
 * test/unit/agent_withdraw_test.c
 *		Calls are cancelled at any moment and made again: each request is
 *		carried out exactly once, and the log says so.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE 1

#include "agent_client.h"

#include <sys/stat.h>

#define MANY	60

/* a program that writes down which cluster it is for */
static void
start_with_program(const char *more)
{
	char		text[600];

	unlink(path_of("log"));
	unlink(path_of("ran"));
	snprintf(text, sizeof(text), "#!/bin/sh\n"
			 "echo \"$POWER_ACTION_VERB=$POWER_ACTION_CLUSTER.\" >>%s\n"
			 "printf '{\"instances\": [{\"id\": \"i-1\", \"state\": \"running\"}]}'\n",
			 path_of("ran"));
	write_file("program", text);
	chmod(path_of("program"), 0700);
	snprintf(text, sizeof(text), "[prod]\nprovider = command\nprogram = %s\n"
			 "max_parallel = 3\n", path_of("program"));
	write_file("accounts", text);
	chmod(path_of("accounts"), 0600);
	snprintf(text, sizeof(text), "--accounts %s --log %s --log-sync %s",
			 path_of("accounts"), path_of("log"), more);
	start_agent(text);
}

static Call *
begin(int number)
{
	char		cluster[16];
	char		request_id[16];

	snprintf(cluster, sizeof(cluster), "c%d.", number);
	snprintf(request_id, sizeof(request_id), "r%d.", number);
	return begin_call(POWER_ON, (Order)
					  {
						  .cluster = cluster, .request_id = request_id,
						  .instances = {"i-1"}
					  });
}

static void
test_once(const char *more, const char *name)
{
	static Call *first[MANY];
	static Call *second[MANY];
	int			wrong = 0;
	int			withdrawn;
	unsigned	chance = 1;

	start_with_program(more);
	for (int i = 0; i < MANY; i++)
		first[i] = begin(i);
	for (int i = 0; i < MANY; i++)
	{
		int			which = (i * 37 + 11) % MANY;

		second[which] = NULL;
		chance = chance * 1103515245u + 12345u;
		if (which % 3 != 0)
			grpc_call_cancel(first[which]->call, NULL);
		/* some come again at once, some when the agent has some done */
		if (chance >> 30 == 0)
			await_lines("log", "\"end\"", "", i / 2);
		if (chance >> 31 == 0)
			second[which] = begin(which);
	}
	for (int i = 0; i < MANY; i++)
	{
		end_call(first[i]);
		if (second[i] == NULL)
			second[i] = begin(i);
		wrong += first[i]->status != GRPC_STATUS_OK &&
			(i % 3 == 0 || first[i]->status != GRPC_STATUS_CANCELLED);
		free_call(first[i]);
	}
	for (int i = 0; i < MANY; i++)
	{
		end_call(second[i]);
		wrong += second[i]->status != GRPC_STATUS_OK ||
			state_of(second[i], "i-1") != RUNNING;
		free_call(second[i]);
	}
	is_number(wrong, 0, name);
	is_number(stop_agent(), 0, "the agent ends");
	for (int i = 0; i < MANY; i++)
	{
		char		cluster[20];
		int			ran;
		int			orders;

		snprintf(cluster, sizeof(cluster), "\"c%d.\"", i);
		orders = count_lines("log", "\"start\"", cluster) -
			count_lines("log", "\"withdrawn\"", cluster);
		snprintf(cluster, sizeof(cluster), "=c%d.", i);
		ran = count_lines("ran", "start", cluster);
		if (ran != 1 || orders != 1)
		{
			wrong++;
			printf("# request %d: ran %d times, orders %d\n", i, ran, orders);
		}
	}
	is_number(wrong, 0, "each request was carried out once");
	withdrawn = count_lines("log", "\"withdrawn\"", "");
	ok(withdrawn > 0, "%d orders were withdrawn", withdrawn);
}

int
main(int argc, char **argv)
{
	char		state[200];

	begin_tests(argc, argv);
	test_once("", "with one thread");
	test_once("--threads 4", "with four threads");
	snprintf(state, sizeof(state), "--threads 2 --state %s", path_of("state"));
	test_once(state, "with a store");
	unlink(path_of("program"));
	unlink(path_of("accounts"));
	unlink(path_of("ran"));
	return end_tests();
}
