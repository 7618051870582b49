/* objects: */
/* needs: power_agent */
/*-------------------------------------------------------------------------
 *
 * test/unit/agent_process_test.c
 *		The agent as a process: its command line, its methods, what it
 *		guarantees about orders, and how it ends.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE 1

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "agent_client.h"

/* runs the agent to its end; checks the exit status and its error message */
static void
fails(const char *arguments, int status, const char *message)
{
	int			output = spawn_agent(arguments);
	int			result = await_agent();
	char	   *errors = read_file("errors");

	close(output);
	if (!ok(result == status && strstr(errors, message) != NULL,
			"refused: %s", message))
		printf("# got: %d %s\n", result, errors);
	free(errors);
}

static void
test_arguments(void)
{
	char		arguments[256];
	char		text[16384];
	int			output;

	fails("", 2, "--listen is required");
	fails("--listen here", 2, "invalid value \"here\" for --listen");
	fails("--listen localhost:99999", 2, "valid is a number from 0 to 65535");
	fails("--listen ::1:5", 2, "in brackets");
	fails("--listen unix:/tmp/x --threads 0", 2, "a number from 1 to 64");
	fails("--listen unix:/tmp/x --frobnicate", 2, "unknown option --frobnicate");
	fails("--listen unix:/tmp/x --status OK", 2, "invalid status \"OK\"");
	fails("--listen unix:/tmp/x --provider moon", 2, "valid is simulated");
	fails("--listen", 2, "--listen needs a value");
	fails("--listen unix:/nonexistent/socket", 1, "could not listen on");

	write_file("rules", "c1 hang\nc2 hagn\n");
	snprintf(arguments, sizeof(arguments), "--listen unix:%s --behaviour %s",
			 path_of("socket"), path_of("rules"));
	fails(arguments, 1, "rules:2: unknown word \"hagn\"");
	write_file("inventory", "prod eu c1 i-1=asleep\n");
	snprintf(arguments, sizeof(arguments), "--listen unix:%s --inventory %s",
			 path_of("socket"), path_of("inventory"));
	fails(arguments, 1, "inventory:1: unknown state \"asleep\"");

	output = spawn_agent("--help");
	read_all(output, text, sizeof(text));
	ok(await_agent() == 0 && strstr(text, "Usage: power_agent"), "--help");
	output = spawn_agent("--version");
	read_all(output, text, sizeof(text));
	ok(await_agent() == 0 && strncmp(text, "power_agent ", 12) == 0, "--version");
}

static void
test_methods(void)
{
	Order		c1 = {.cluster = "c1"};
	Call	   *call;
	grpc_slice	slice;

	start_agent("");
	expect_state(make_call(GET_STATE, c1), STOPPED, "what is first named is stopped");
	expect_state(make_call(POWER_ON, c1), RUNNING, "power on");
	expect_state(make_call(GET_STATE, c1), RUNNING, "it runs");
	expect_state(make_call(POWER_ON, c1), RUNNING, "power on once more");
	expect_state(make_call(POWER_OFF, c1), STOPPED, "power off");
	expect_state(make_call(GET_STATE, (Order) {.cluster = "c2"}), STOPPED,
				 "another cluster is another cluster");
	expect_status(make_call("/agent.AgentService/Reboot", c1),
				  GRPC_STATUS_UNIMPLEMENTED, NULL, "a method that is not there");
	expect_status(make_call("/other.Service/PowerOnCluster", c1),
				  GRPC_STATUS_UNIMPLEMENTED, NULL, "a service that is not there");
	expect_status(make_call(POWER_ON, (Order) {.cluster = ""}),
				  GRPC_STATUS_INVALID_ARGUMENT, "cluster_id is empty", "no cluster");

	slice = grpc_slice_from_static_string("\x1a\x05" "abc");
	call = begin_bytes(POWER_ON, grpc_raw_byte_buffer_create(&slice, 1), NULL,
					   PATIENCE * 1000);
	end_call(call);
	expect_status(call, GRPC_STATUS_INVALID_ARGUMENT, "not a valid protobuf",
				  "a request that is none");
	slice = grpc_slice_malloc(0);
	call = begin_bytes(POWER_ON, grpc_raw_byte_buffer_create(&slice, 1), NULL,
					   PATIENCE * 1000);
	end_call(call);
	expect_status(call, GRPC_STATUS_INVALID_ARGUMENT, "instances_id_list is empty",
				  "an empty request");
	is_number(stop_agent(), 0, "ends well");
	ok(access(path_of("socket"), F_OK) != 0, "takes its socket with it");

	/* two of them for the cluster that the connection was tried with */
	start_agent("--max-instances 5");
	expect_state(make_call(POWER_ON, c1), RUNNING, "there is room for two");
	expect_status(make_call(POWER_ON, (Order) {.cluster = "c2"}),
				  GRPC_STATUS_RESOURCE_EXHAUSTED, "--max-instances",
				  "but not for two more");
	expect_state(make_call(POWER_OFF, c1), STOPPED, "known ones need no room");
	stop_agent();

	start_agent("--initial-state running --max-message-size 1kB");
	expect_state(make_call(GET_STATE, c1), RUNNING, "--initial-state");
	slice = grpc_slice_malloc(2000);
	memset(GRPC_SLICE_START_PTR(slice), 0, 2000);
	call = begin_bytes(POWER_ON, grpc_raw_byte_buffer_create(&slice, 1), NULL,
					   PATIENCE * 1000);
	grpc_slice_unref(slice);
	end_call(call);
	expect_status(call, GRPC_STATUS_RESOURCE_EXHAUSTED, NULL, "too large a request");
	expect_state(make_call(GET_STATE, c1), RUNNING, "and life goes on");
	stop_agent();
}

static void
test_transitions(void)
{
	int64_t		began;

	start_agent("--transition-time 200ms");
	began = now_ms();
	expect_state(make_call(POWER_ON, (Order) {.cluster = "c1"}), STARTING,
				 "with a transition time it is only starting");
	await_state("c1", RUNNING);
	ok(now_ms() - began >= 200, "not before its time");
	expect_state(make_call(POWER_OFF, (Order) {.cluster = "c1"}), STOPPING,
				 "or stopping");
	expect_state(make_call(POWER_ON, (Order) {.cluster = "c1"}), STARTING,
				 "and can be turned round");
	await_state("c1", RUNNING);
	stop_agent();

	start_agent("--transition-time 150ms --answer-when-done");
	began = now_ms();
	expect_state(make_call(POWER_ON, (Order) {.cluster = "c1"}), RUNNING,
				 "--answer-when-done");
	ok(now_ms() - began >= 150, "takes its time");
	stop_agent();
}

static void
test_inventory(void)
{
	char		arguments[256];
	Call	   *call;

	write_file("inventory", "# account region cluster instances\n"
			   "prod eu c1 i-1=running i-2\n"
			   "prod eu c1 i-3=terminated\n"
			   "* * c2 i-1 i-2\n");
	snprintf(arguments, sizeof(arguments), "--inventory %s", path_of("inventory"));
	start_agent(arguments);
	expect_state(make_call(GET_STATE, (Order) {.cluster = "c1"}), RUNNING,
				 "the inventory tells the state");
	expect_status(make_call(POWER_ON, (Order) {.cluster = "c3"}),
				  GRPC_STATUS_NOT_FOUND, "no cluster \"c3\"", "an unknown cluster");
	for (int i = 0; i < 2; i++)
		expect_status(make_call(POWER_ON, (Order)
								{
									.cluster = "c3", .request_id = "r1"
								}), GRPC_STATUS_NOT_FOUND, "no cluster \"c3\"",
					  "every time it is asked for");
	expect_status(make_call(POWER_ON, (Order) {.cluster = "c1", .account = "test"}),
				  GRPC_STATUS_NOT_FOUND, "in account \"test\"", "another account");
	expect_status(make_call(POWER_ON, (Order) {.cluster = "c1", .region = "us"}),
				  GRPC_STATUS_NOT_FOUND, "in region \"us\"", "another region");
	expect_state(make_call(POWER_ON, (Order) {.cluster = "c2", .account = "any"}),
				 RUNNING, "a cluster of any account");
	call = make_call(POWER_OFF, (Order)
					 {
						 .cluster = "c1", .instances = {"i-2", "i-3", "i-4"}
					 });
	ok(state_of(call, "i-3") == TERMINATED, "terminated stays terminated");
	ok(state_of(call, "i-4") == UNKNOWN, "an instance that is not there");
	free_call(call);
	stop_agent();
}

static void
test_addresses(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char		arguments[600];
	char	   *ready;
	int			fd;

	snprintf(arguments, sizeof(arguments), "--ready-file %s", path_of("ready"));
	start_agent_at("127.0.0.1:0", arguments);
	ok(strncmp(agent_address, "127.0.0.1:", 10) == 0 && atoi(agent_address + 10) > 0,
	   "a port of its own choice");
	ready = read_file("ready");
	ok(strstr(ready, agent_address) != NULL, "the ready file tells it");
	free(ready);
	expect_state(make_call(POWER_ON, (Order) {.cluster = "c1"}), RUNNING, "over TCP");
	{
		pid_t		first = agent_pid;

		snprintf(arguments, sizeof(arguments), "--listen %s", agent_address);
		fails(arguments, 1, "could not listen on");
		agent_pid = first;
	}
	stop_agent();

	/* a socket that nobody listens on any more */
	strcpy(address.sun_path, path_of("socket"));
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (bind(fd, (struct sockaddr *) &address, sizeof(address)) != 0)
		give_up("could not bind");
	close(fd);
	start_agent("");
	expect_state(make_call(POWER_ON, (Order) {.cluster = "c1"}), RUNNING,
				 "replaces the socket of a dead agent");
	{
		pid_t		first = agent_pid;

		snprintf(arguments, sizeof(arguments), "--listen unix:%s", path_of("socket"));
		fails(arguments, 1, "another process is listening on");
		agent_pid = first;
	}
	expect_state(make_call(GET_STATE, (Order) {.cluster = "c1"}), RUNNING,
				 "and does not lose its own to another");
	stop_agent();

	write_file("socket", "precious");
	snprintf(arguments, sizeof(arguments), "--listen unix:%s", path_of("socket"));
	fails(arguments, 1, "is not a socket");
	ready = read_file("socket");
	is_string(ready, "precious", "leaves a file alone");
	free(ready);
	unlink(path_of("socket"));
}

static void
test_repetition(void)
{
	char		arguments[256];
	Call	   *first;
	Call	   *second;

	unlink(path_of("log"));
	snprintf(arguments, sizeof(arguments),
			 "--transition-time 200ms --answer-when-done --log %s --log-sync",
			 path_of("log"));
	start_agent(arguments);
	first = begin_call(POWER_ON, (Order)
					   {
						   .cluster = "c1", .request_id = "r1", .counter = 1
					   });
	second = begin_call(POWER_ON, (Order)
						{
							.cluster = "c1", .request_id = "r1", .counter = 2,
							.attempt = "2"
						});
	end_call(second);
	end_call(first);
	ok(first->reply_length == second->reply_length && first->reply_length > 0 &&
	   memcmp(first->reply_bytes, second->reply_bytes, first->reply_length) == 0,
	   "a repetition while it runs gets the same reply");
	free_call(second);
	free_call(make_call(POWER_OFF, (Order)
						{
							.cluster = "c1", .request_id = "r2", .counter = 3
						}));
	second = make_call(POWER_ON, (Order)
					   {
						   .cluster = "c1", .request_id = "r1", .counter = 4
					   });
	ok(first->reply_length == second->reply_length &&
	   memcmp(first->reply_bytes, second->reply_bytes, first->reply_length) == 0,
	   "and one after it was done");
	free_call(first);
	free_call(second);
	expect_state(make_call(GET_STATE, (Order) {.cluster = "c1"}), STOPPED,
				 "without another order");
	is_number(count_lines("log", "\"event\":\"start\"", "\"request_id\":\"r1\""), 1,
			  "the log has one order");
	is_number(count_lines("log", "\"event\":\"end\"", "\"request_id\":\"r1\""), 3,
			  "and three calls");
	is_number(count_lines("log", "\"duplicate\":true", "\"executed\":false"), 2,
			  "two of them repetitions");
	is_number(count_lines("log", "\"attempt\":2", "\"order\":[1,1,2]"), 1,
			  "with the attempt");
	is_number(count_lines("log", "\"request_id\":\"r1\"", "same_cluster\":0"), 4,
			  "a repetition is no other order in flight");
	expect_status(make_call(POWER_OFF, (Order)
							{
								.cluster = "c1", .request_id = "r1"
							}), GRPC_STATUS_INVALID_ARGUMENT, "request_id",
				  "a request id serves for one request");

	expect_status(make_call(POWER_OFF, (Order)
							{
								.cluster = "c1", .request_id = "r3", .counter = 1
							}), GRPC_STATUS_FAILED_PRECONDITION,
				  "stale order: 1/1/1 came after 1/1/4", "a stale order");
	expect_status(make_call(GET_STATE, (Order)
							{
								.cluster = "c1", .request_id = "r4", .counter = 1
							}), GRPC_STATUS_OK, NULL, "a question is never stale");
	expect_state(make_call(POWER_ON, (Order)
						   {
							   .cluster = "c1", .request_id = "r5", .counter = 1,
							   .epoch = 2
						   }), RUNNING, "a new epoch");
	stop_agent();
}

/* two orders for one cluster do not overlap, and not too many wait */
static void
test_turns(void)
{
	char		arguments[256];
	Call	   *calls[20];
	int			aborted = 0;
	int			answered = 0;

	unlink(path_of("log"));
	snprintf(arguments, sizeof(arguments),
			 "--transition-time 100ms --answer-when-done --log %s --log-sync",
			 path_of("log"));
	start_agent(arguments);
	calls[0] = begin_call(POWER_ON, (Order) {.cluster = "c1"});
	calls[1] = begin_call(POWER_OFF, (Order) {.cluster = "c1"});
	end_call(calls[1]);
	end_call(calls[0]);
	expect_state(calls[0], RUNNING, "the first order of two");
	expect_state(calls[1], STOPPED, "the second one, when the first is done");
	is_number(count_lines("log", "\"start\"", "same_cluster\":0"), 2,
			  "the log tells that they did not overlap");
	stop_agent();

	/* the first one thinks until it is cancelled */
	unlink(path_of("log"));
	snprintf(arguments, sizeof(arguments), "--latency 1h --method on --log %s --log-sync",
			 path_of("log"));
	start_agent(arguments);
	for (int i = 0; i < 20; i++)
		calls[i] = begin_call(i == 0 ? POWER_ON : POWER_OFF, (Order) {.cluster = "c2"});
	await_arrival();
	is_number(count_lines("log", "\"start\"", ""), 0, "while one has its turn, the others wait");
	grpc_call_cancel(calls[0]->call, NULL);
	for (int i = 0; i < 20; i++)
	{
		end_call(calls[i]);
		aborted += calls[i]->status == GRPC_STATUS_ABORTED;
		answered += calls[i]->status == GRPC_STATUS_OK;
		free_call(calls[i]);
	}
	is_number(aborted, 3, "sixteen wait, the rest is aborted");
	is_number(answered, 16, "and those are all answered");
	is_number(count_lines("log", "\"end\"", "same_cluster\":17"), 3,
			  "the log tells who found how many before him");
	stop_agent();
}

/* what its client gave up before it began is not done */
static void
test_cancellation(void)
{
	char		arguments[256];
	Call	   *first;
	Call	   *second;

	unlink(path_of("log"));
	snprintf(arguments, sizeof(arguments), "--latency 500ms --method on --log %s --log-sync",
			 path_of("log"));
	start_agent(arguments);
	expect_status(make_call(POWER_ON, (Order)
							{
								.cluster = "c1", .request_id = "r1", .deadline = 50
							}), GRPC_STATUS_DEADLINE_EXCEEDED, NULL,
				  "the deadline passes first");
	ok(await_lines("log", "\"r1\"", "\"CANCELLED\"", 1), "the agent notices");
	is_number(count_lines("log", "\"start\"", ""), 0, "and has not begun");
	expect_state(make_call(POWER_ON, (Order)
						   {
							   .cluster = "c1", .request_id = "r1"
						   }), RUNNING, "the same request again is a new one");
	is_number(count_lines("log", "\"r1\"", "\"duplicate\":true"), 0,
			  "not a repetition");

	/* one waits for its turn, is given up, and the next one gets it */
	first = begin_call(POWER_ON, (Order) {.cluster = "c2", .request_id = "a"});
	second = begin_call(POWER_ON, (Order) {.cluster = "c2", .request_id = "b"});
	await_arrival();
	grpc_call_cancel(second->call, NULL);
	end_call(second);
	expect_status(second, GRPC_STATUS_CANCELLED, NULL, "one that waits is cancelled");
	second = begin_call(POWER_OFF, (Order) {.cluster = "c2", .request_id = "c"});
	end_call(first);
	expect_state(first, RUNNING, "the one before it is not");
	end_call(second);
	expect_state(second, STOPPED, "nor the one behind it");
	is_number(count_lines("log", "\"start\"", "\"b\""), 0, "it was never begun");

	/* its client goes, its repetition stays */
	first = begin_call(POWER_ON, (Order) {.cluster = "c3", .request_id = "x"});
	second = begin_call(POWER_ON, (Order) {.cluster = "c3", .request_id = "x"});
	await_arrival();
	grpc_call_cancel(first->call, NULL);
	end_call(first);
	free_call(first);
	end_call(second);
	expect_state(second, RUNNING, "a repetition outlives the first call");
	is_number(count_lines("log", "\"start\"", "\"x\""), 1, "with one order");
	stop_agent();
}

static void
test_legacy(void)
{
	char		arguments[256];
	Call	   *call;

	unlink(path_of("log"));
	snprintf(arguments, sizeof(arguments), "--legacy --log %s --log-sync",
			 path_of("log"));
	start_agent(arguments);
	call = make_call(POWER_ON, (Order)
					 {
						 .cluster = "c1", .request_id = "r1", .counter = 5
					 });
	ok(call->status == GRPC_STATUS_OK && call->reply->error == 0 &&
	   call->reply->n_instance_states == 0, "a legacy agent only accepts");
	free_call(call);
	expect_status(make_call(GET_STATE, (Order) {.cluster = "c1"}),
				  GRPC_STATUS_UNIMPLEMENTED, NULL, "and cannot be asked");
	expect_status(make_call(POWER_ON, (Order)
							{
								.cluster = "c1", .request_id = "r1", .counter = 1
							}), GRPC_STATUS_OK, NULL, "knows no order");
	ok(await_lines("log", "\"start\"", "\"r1\"", 2), "and no repetition");
	stop_agent();
}

static void
test_end(void)
{
	char		arguments[256];
	Call	   *call;
	char	   *errors;

	start_agent("--latency 300ms --method on");
	call = begin_call(POWER_ON, (Order) {.cluster = "c1"});
	await_arrival();
	kill(agent_pid, SIGTERM);
	end_call(call);
	expect_state(call, RUNNING, "a call in progress is answered");
	is_number(await_agent(), 0, "then the agent ends");
	stop_agent();

	start_agent("--hang --method on --drain-timeout 100ms");
	call = begin_call(POWER_ON, (Order) {.cluster = "c1"});
	await_arrival();
	kill(agent_pid, SIGINT);
	end_call(call);
	ok(call->status != GRPC_STATUS_OK, "a call that hangs ends with the patience");
	free_call(call);
	is_number(await_agent(), 0, "and so does the agent");
	errors = read_file("errors");
	ok(strstr(errors, "drain timeout") != NULL, "which says so");
	free(errors);
	stop_agent();

	start_agent("--hang --method on --drain-timeout 1h");
	call = begin_call(POWER_ON, (Order) {.cluster = "c1"});
	await_arrival();
	kill(agent_pid, SIGTERM);
	/* two signals that are pending together are one */
	{
		siginfo_t	info = {0};
		int64_t		end = now_ms() + PATIENCE * 1000;

		while (waitid(P_PID, agent_pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
			   info.si_pid == 0 && now_ms() < end)
		{
			kill(agent_pid, SIGTERM);
			poll(NULL, 0, 10);
		}
	}
	end_call(call);
	free_call(call);
	is_number(await_agent(), 0, "a second signal ends the patience");
	stop_agent();

	start_agent("--transition-time 1h --answer-when-done --drain-timeout 100ms");
	call = begin_call(POWER_ON, (Order) {.cluster = "c1", .request_id = "r1"});
	free_call(make_call(POWER_OFF, (Order) {.cluster = "c1", .deadline = 50}));
	expect_state(make_call(GET_STATE, (Order) {.cluster = "c1"}), STARTING,
				 "an order that takes an hour");
	kill(agent_pid, SIGTERM);
	end_call(call);
	free_call(call);
	is_number(await_agent(), 0, "does not keep the agent");
	stop_agent();

	/* the order is under way, and its client has gone */
	unlink(path_of("log"));
	snprintf(arguments, sizeof(arguments),
			 "--transition-time 200ms --answer-when-done --log %s --log-sync",
			 path_of("log"));
	start_agent(arguments);
	expect_status(make_call(POWER_ON, (Order)
							{
								.cluster = "c1", .request_id = "r1", .deadline = 50
							}), GRPC_STATUS_DEADLINE_EXCEEDED, NULL,
				  "an order outlives its call");
	call = make_call(POWER_ON, (Order) {.cluster = "c1", .request_id = "r1"});
	expect_state(call, RUNNING, "and its repetition gets the reply");
	is_number(count_lines("log", "\"start\"", "\"r1\""), 1, "of the one order");
	is_number(stop_agent(), 0, "the agent ends");
}

static void
test_log(void)
{
	char		arguments[256];
	char	   *log;

	unlink(path_of("log"));
	snprintf(arguments, sizeof(arguments), "--log %s", path_of("log"));
	start_agent(arguments);
	free_call(make_call(POWER_ON, (Order)
						{
							.cluster = "c\"1\\\n\x7f\xc3\xa9", .request_id = "1/2/3",
							.counter = 9, .requester = "alice", .attempt = "3"
						}));
	ok(await_lines("log", "\"event\":\"end\"", "", 1), "the log is written by itself");
	log = read_file("log");
	ok(strstr(log, "\"cluster_id\":\"c\\\"1\\\\\\u000a\\u007f\xc3\xa9\"") != NULL,
	   "text is escaped");
	ok(strstr(log, "\"request_id\":\"1/2/3\",\"attempt\":3,") != NULL &&
	   strstr(log, "\"account\":\"prod\",\"source\":\"7/16384\",\"requester\":\"alice\",\"order\":[1,1,9],\"instances\":2") != NULL &&
	   strstr(log, "\"executed\":true,\"duplicate\":false,\"status\":\"OK\",\"error\":0,\"message\":null,\"duration_us\":") != NULL,
	   "with everything in it");
	free(log);
	stop_agent();
}

/* several threads, many calls */
static void
test_threads(void)
{
	static Call *calls[200];
	int			wrong = 0;

	start_agent("--threads 4 --latency 1ms --max-concurrent-streams 100");
	for (int i = 0; i < 200; i++)
	{
		char		cluster[16];

		snprintf(cluster, sizeof(cluster), "c%d", i % 40);
		calls[i] = begin_call(i % 3 ? POWER_ON : GET_STATE, (Order) {.cluster = cluster});
	}
	for (int i = 0; i < 200; i++)
	{
		end_call(calls[i]);
		wrong += calls[i]->status != GRPC_STATUS_OK;
		free_call(calls[i]);
	}
	is_number(wrong, 0, "200 calls with four threads");
	is_number(stop_agent(), 0, "which end");
}

int
main(int argc, char **argv)
{
	begin_tests(argc, argv);
	test_arguments();
	test_methods();
	test_transitions();
	test_inventory();
	test_addresses();
	test_repetition();
	test_turns();
	test_cancellation();
	test_legacy();
	test_end();
	test_log();
	test_threads();
	return end_tests();
}
