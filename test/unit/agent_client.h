/*-------------------------------------------------------------------------
 *
 * test/unit/agent_client.h
 *		Runs a real power_agent and calls it, for the tests of the agent.
 *
 * One thread.  Every wait is for a condition and ends the test program if it
 * lasts longer than PATIENCE.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_CLIENT_H
#define PA_AGENT_CLIENT_H

#include <errno.h>
#include <fcntl.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent.pb-c.h"
#include "thread_option.h"
#include "unit.h"

#define PATIENCE		60		/* s */
#define MAX_ARGUMENTS	24

#define POWER_ON		"/agent.AgentService/PowerOnCluster"
#define POWER_OFF		"/agent.AgentService/PowerOffCluster"
#define GET_STATE		"/agent.AgentService/GetClusterPowerState"

#define RUNNING			AGENT__POWER_STATE__POWER_STATE_RUNNING
#define STOPPED			AGENT__POWER_STATE__POWER_STATE_STOPPED
#define STARTING		AGENT__POWER_STATE__POWER_STATE_STARTING
#define STOPPING		AGENT__POWER_STATE__POWER_STATE_STOPPING
#define TERMINATED		AGENT__POWER_STATE__POWER_STATE_TERMINATED
#define UNKNOWN			AGENT__POWER_STATE__POWER_STATE_UNKNOWN

static const char *agent_program;	/* argv[1] */
static char directory[64];			/* for sockets and files */

static pid_t agent_pid;
static char agent_address[512];		/* as told by the agent */
static grpc_channel *channel;

typedef struct Call
{
	grpc_call  *call;
	grpc_completion_queue *queue;
	grpc_metadata_array initial;
	grpc_metadata_array trailing;
	grpc_byte_buffer *reply_buffer;
	grpc_status_code status;
	grpc_slice	details;
	char	   *message;			/* of the status */
	uint8_t    *reply_bytes;
	size_t		reply_length;
	Agent__ClusterStatusChangeResponse *reply;	/* NULL: none, or garbage */
} Call;

/* what to ask; zeroed fields are not sent */
typedef struct Order
{
	const char *cluster;
	const char *instances[4];		/* none given: i-1 and i-2 */
	const char *request_id;
	uint64_t	counter;			/* with timeline and epoch 1 */
	uint64_t	epoch;
	const char *account;
	const char *region;
	const char *requester;
	const char *attempt;
	int			deadline;			/* ms; 0: PATIENCE */
} Order;

static void
give_up(const char *what)
{
	printf("Bail out! %s\n", what);
	fflush(stdout);
	if (agent_pid > 0)
		kill(agent_pid, SIGKILL);
	exit(1);
}

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static const char *
path_of(const char *name)
{
	static char paths[4][128];
	static int	next;
	char	   *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
	return path;
}

/* the file appears complete: the agent looks at it while it is written */
static void
write_file(const char *name, const char *text)
{
	FILE	   *file = fopen(path_of("new"), "w");

	if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0 ||
		rename(path_of("new"), path_of(name)) != 0)
		give_up("could not write a file");
}

/* the text of a file, to be freed; empty if there is none */
static char *
read_file(const char *name)
{
	FILE	   *file = fopen(path_of(name), "r");
	char	   *text = calloc(1, 1);
	size_t		length = 0;
	char		part[4096];
	size_t		count;

	while (file != NULL && (count = fread(part, 1, sizeof(part), file)) > 0)
	{
		text = realloc(text, length + count + 1);
		memcpy(text + length, part, count);
		length += count;
		text[length] = '\0';
	}
	if (file != NULL)
		fclose(file);
	return text;
}

/* how many lines of a file contain both texts */
static int
count_lines(const char *name, const char *first, const char *second)
{
	char	   *text = read_file(name);
	char	   *rest = NULL;
	int			count = 0;

	for (char *line = strtok_r(text, "\n", &rest); line != NULL;
		 line = strtok_r(NULL, "\n", &rest))
		count += strstr(line, first) != NULL && strstr(line, second) != NULL;
	free(text);
	return count;
}

/* waits for the lines to be there; returns whether they came */
static bool
await_lines(const char *name, const char *first, const char *second, int count)
{
	int64_t		end = now_ms() + PATIENCE * 1000;

	while (count_lines(name, first, second) < count)
	{
		if (now_ms() > end)
			return false;
		poll(NULL, 0, 2);
	}
	return true;
}

/*
 * Starts the agent with these arguments, separated by single blanks; errors
 * go to the file "errors".  Returns the reading end of its standard output.
 */
static int
spawn_agent(const char *arguments)
{
	char	   *copy = strdup(arguments);
	char	   *argv[MAX_ARGUMENTS + 2] = {(char *) agent_program};
	char	   *rest = NULL;
	int			count = 1;
	int			ends[2];
	int			errors;

	for (char *word = strtok_r(copy, " ", &rest);
		 word != NULL && count <= MAX_ARGUMENTS; word = strtok_r(NULL, " ", &rest))
		argv[count++] = word;
	if (pipe2(ends, O_CLOEXEC) != 0)
		give_up("no pipe");
	errors = open(path_of("errors"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	agent_pid = fork();
	if (agent_pid == 0)
	{
		/* an agent must not outlive a test that is killed */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(ends[1], STDOUT_FILENO);
		dup2(errors, STDERR_FILENO);
		execv(agent_program, argv);
		_exit(127);
	}
	if (agent_pid < 0)
		give_up("could not start the agent");
	close(errors);
	close(ends[1]);
	free(copy);
	return ends[0];
}

/* all of what a file descriptor has to tell; closes it */
__attribute__((unused))
static void
read_all(int fd, char *text, size_t size)
{
	size_t		length = 0;
	ssize_t		count;

	alarm(PATIENCE);
	while (length + 1 < size && (count = read(fd, text + length, size - length - 1)) > 0)
		length += count;
	alarm(0);
	text[length] = '\0';
	close(fd);
}

/* waits for the agent to end; its exit status, or minus the signal */
static int
await_agent(void)
{
	int			status;

	alarm(PATIENCE);
	if (waitpid(agent_pid, &status, 0) != agent_pid)
		give_up("the agent is not a child");
	alarm(0);
	agent_pid = 0;
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void
connect_to(const char *address)
{
	grpc_arg	arguments[3];
	grpc_channel_args list = {3, arguments};
	grpc_channel_credentials *credentials = grpc_insecure_credentials_create();

	memset(arguments, 0, sizeof(arguments));
	arguments[0].type = arguments[1].type = arguments[2].type = GRPC_ARG_INTEGER;
	arguments[0].key = GRPC_ARG_ENABLE_RETRIES;
	arguments[1].key = GRPC_ARG_MAX_RECONNECT_BACKOFF_MS;
	arguments[1].value.integer = 100;
	/* each agent gets a connection of its own */
	arguments[2].key = GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL;
	arguments[2].value.integer = 1;
	channel = grpc_channel_create(address, credentials, &list);
	grpc_channel_credentials_release(credentials);
}

static int
stop_agent(void)
{
	if (channel != NULL)
		grpc_channel_destroy(channel);
	channel = NULL;
	if (agent_pid == 0)
		return 0;
	kill(agent_pid, SIGTERM);
	return await_agent();
}

/* the request in bytes, to be freed */
static uint8_t *
order_bytes(const Order *order, size_t *length)
{
	Agent__ClusterStatusChangeRequest request =
	AGENT__CLUSTER_STATUS_CHANGE_REQUEST__INIT;
	Agent__Order number = AGENT__ORDER__INIT;
	char	   *instances[4] = {"i-1", "i-2"};
	uint8_t    *bytes;

	request.account_name = (char *) (order->account ? order->account : "prod");
	request.region = (char *) (order->region ? order->region : "eu");
	request.cluster_id = (char *) order->cluster;
	request.requester = (char *) (order->requester ? order->requester : "tester");
	request.instances_id_list = instances;
	request.n_instances_id_list = 2;
	for (int i = 0; i < 4 && order->instances[i] != NULL; i++)
	{
		instances[i] = (char *) order->instances[i];
		request.n_instances_id_list = i + 1;
	}
	if (order->request_id != NULL)
		request.request_id = (char *) order->request_id;
	request.source = "7/16384";
	if (order->counter > 0)
	{
		request.order = &number;
		number.timeline = 1;
		number.epoch = order->epoch > 0 ? order->epoch : 1;
		number.counter = order->counter;
	}
	*length = agent__cluster_status_change_request__get_packed_size(&request);
	bytes = malloc(*length + 1);
	agent__cluster_status_change_request__pack(&request, bytes);
	return bytes;
}

/* takes the bytes */
static grpc_byte_buffer *
buffer_of(uint8_t *bytes, size_t length)
{
	grpc_slice	slice = grpc_slice_from_copied_buffer((const char *) bytes, length);
	grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&slice, 1);

	grpc_slice_unref(slice);
	free(bytes);
	return buffer;
}

static grpc_byte_buffer *
pack_order(const Order *order)
{
	size_t		length;
	uint8_t    *bytes = order_bytes(order, &length);

	return buffer_of(bytes, length);
}

static gpr_timespec
deadline_after(int milliseconds)
{
	return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
						gpr_time_from_millis(milliseconds, GPR_TIMESPAN));
}

static Call *
begin_bytes(const char *method, grpc_byte_buffer *message, const char *attempt,
			int deadline)
{
	Call	   *call = calloc(1, sizeof(*call));
	grpc_op		ops[6];
	grpc_metadata metadata;

	memset(ops, 0, sizeof(ops));
	call->queue = grpc_completion_queue_create_for_pluck(NULL);
	grpc_metadata_array_init(&call->initial);
	grpc_metadata_array_init(&call->trailing);
	call->details = grpc_empty_slice();
	call->call = grpc_channel_create_call(channel, NULL, 0, call->queue,
										  grpc_slice_from_static_string(method),
										  NULL, deadline_after(deadline), NULL);
	ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
	ops[0].flags = GRPC_INITIAL_METADATA_WAIT_FOR_READY;
	if (attempt != NULL)
	{
		memset(&metadata, 0, sizeof(metadata));
		metadata.key = grpc_slice_from_static_string("x-attempt");
		metadata.value = grpc_slice_from_copied_string(attempt);
		ops[0].data.send_initial_metadata.count = 1;
		ops[0].data.send_initial_metadata.metadata = &metadata;
	}
	ops[1].op = GRPC_OP_SEND_MESSAGE;
	ops[1].data.send_message.send_message = message;
	ops[2].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
	ops[3].op = GRPC_OP_RECV_INITIAL_METADATA;
	ops[3].data.recv_initial_metadata.recv_initial_metadata = &call->initial;
	ops[4].op = GRPC_OP_RECV_MESSAGE;
	ops[4].data.recv_message.recv_message = &call->reply_buffer;
	ops[5].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
	ops[5].data.recv_status_on_client.trailing_metadata = &call->trailing;
	ops[5].data.recv_status_on_client.status = &call->status;
	ops[5].data.recv_status_on_client.status_details = &call->details;
	if (grpc_call_start_batch(call->call, ops, 6, call, NULL) != GRPC_CALL_OK)
		give_up("could not start a call");
	if (attempt != NULL)
		grpc_slice_unref(metadata.value);
	grpc_byte_buffer_destroy(message);
	return call;
}

static Call *
begin_call(const char *method, Order order)
{
	return begin_bytes(method, pack_order(&order), order.attempt,
					   order.deadline ? order.deadline : PATIENCE * 1000);
}

/* waits for the call to end */
static void
end_call(Call *call)
{
	grpc_completion_queue_pluck(call->queue, call,
								gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
	call->message = grpc_slice_to_c_string(call->details);
	if (call->reply_buffer != NULL)
	{
		grpc_byte_buffer_reader reader;
		grpc_slice	slice;

		grpc_byte_buffer_reader_init(&reader, call->reply_buffer);
		slice = grpc_byte_buffer_reader_readall(&reader);
		grpc_byte_buffer_reader_destroy(&reader);
		call->reply_length = GRPC_SLICE_LENGTH(slice);
		call->reply_bytes = malloc(call->reply_length + 1);
		memcpy(call->reply_bytes, GRPC_SLICE_START_PTR(slice), call->reply_length);
		call->reply =
			agent__cluster_status_change_response__unpack(NULL, call->reply_length,
														  call->reply_bytes);
		grpc_slice_unref(slice);
		grpc_byte_buffer_destroy(call->reply_buffer);
	}
	grpc_metadata_array_destroy(&call->initial);
	grpc_metadata_array_destroy(&call->trailing);
	grpc_slice_unref(call->details);
	grpc_call_unref(call->call);
	grpc_completion_queue_shutdown(call->queue);
	grpc_completion_queue_destroy(call->queue);
}

static void
free_call(Call *call)
{
	if (call->reply != NULL)
		agent__cluster_status_change_response__free_unpacked(call->reply, NULL);
	free(call->reply_bytes);
	gpr_free(call->message);
	free(call);
}

/* one call from beginning to end; to be freed */
static Call *
make_call(const char *method, Order order)
{
	Call	   *call = begin_call(method, order);

	end_call(call);
	return call;
}

/* the state that a reply tells of an instance, -1 if it does not */
static int
state_of(const Call *call, const char *instance)
{
	for (size_t i = 0; call->reply != NULL && i < call->reply->n_instance_states; i++)
	{
		if (strcmp(call->reply->instance_states[i]->instance_id, instance) == 0)
			return call->reply->instance_states[i]->state;
	}
	return -1;
}

/* checks the status, and frees the call */
__attribute__((unused))
static bool
expect_status(Call *call, grpc_status_code status, const char *message,
			  const char *name)
{
	bool		good = call->status == status &&
		(message == NULL || strstr(call->message, message) != NULL);

	if (!ok(good, "%s", name))
		printf("# got: %d %s\n", call->status, call->message);
	free_call(call);
	return good;
}

/* checks the state of i-1, of two, and frees the call */
__attribute__((unused))
static bool
expect_state(Call *call, int state, const char *name)
{
	bool		good = call->status == GRPC_STATUS_OK && call->reply != NULL &&
		call->reply->error == 0 && call->reply->n_instance_states == 2 &&
		state_of(call, "i-1") == state;

	if (!ok(good, "%s", name))
		printf("# got: status %d %s, state %d\n", call->status, call->message,
			   state_of(call, "i-1"));
	free_call(call);
	return good;
}

/* asks until the first instance is in the state; ends the test otherwise */
__attribute__((unused))
static void
await_state(const char *cluster, int state)
{
	int64_t		end = now_ms() + PATIENCE * 1000;
	int			found;

	do
	{
		Call	   *call = make_call(GET_STATE, (Order) {.cluster = cluster});

		found = state_of(call, "i-1");
		free_call(call);
	}
	while (found != state && now_ms() < end);
	ok(found == state, "%s gets there", cluster);
}

/*
 * The calls that were begun on the channel before have reached the agent: it
 * has one thread and takes them in the order of the connection.
 */
static void
await_arrival(void)
{
	free_call(make_call(GET_STATE, (Order) {.cluster = "nothing-else"}));
}

/*
 * Starts an agent, waits until it listens, and connects to it: calls that
 * wait for a connection would arrive in any order.
 */
static void
start_agent_at(const char *address, const char *arguments)
{
	char		all[2048];
	char		line[600];
	size_t		length = 0;
	int			output;
	static const char expected[] = "power_agent: listening on ";

	snprintf(all, sizeof(all), "--listen %s %s", address, arguments);
	output = spawn_agent(all);
	alarm(PATIENCE);
	while (length + 1 < sizeof(line) && read(output, line + length, 1) == 1 &&
		   line[length] != '\n')
		length++;
	alarm(0);
	line[length] = '\0';
	close(output);
	if (strncmp(line, expected, strlen(expected)) != 0)
	{
		char	   *errors = read_file("errors");

		printf("# %s\n", errors);
		free(errors);
		give_up("the agent does not listen");
	}
	snprintf(agent_address, sizeof(agent_address), "%.511s",
			 line + strlen(expected));
	connect_to(agent_address);
	await_arrival();
}

static void
start_agent(const char *arguments)
{
	char		address[160];

	snprintf(address, sizeof(address), "unix:%s", path_of("socket"));
	start_agent_at(address, arguments);
}

static void
out_of_patience(int number)
{
	if (agent_pid > 0)
		kill(agent_pid, SIGKILL);
	_exit(3);
}

static void
begin_tests(int argc, char **argv)
{
	hand_on_thread_option();
	if (argc < 2)
	{
		fprintf(stderr, "usage: %s POWER_AGENT\n", argv[0]);
		exit(2);
	}
	agent_program = argv[1];
	strcpy(directory, "/tmp/agent-test-XXXXXX");
	if (mkdtemp(directory) == NULL)
		give_up("no directory");
	signal(SIGALRM, out_of_patience);
	grpc_init();
}

static int
end_tests(void)
{
	static const char *const names[] = {
		"socket", "errors", "log", "rules", "ready", "inventory", "new", "other",
		"state", "state-wal"
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(path_of(names[i]));
	rmdir(directory);
	grpc_shutdown_blocking();
	return unit_done();
}

#endif							/* PA_AGENT_CLIENT_H */
