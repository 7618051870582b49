/*-------------------------------------------------------------------------
 *
 * test/bench/raw_grpc.c
 *		What gRPC core does on this machine when nothing else is asked of it:
 *		unary calls of proto/agent.proto, one client thread, plaintext.
 *
 * usage: raw_grpc serve ADDRESS READY_FILE
 *		  raw_grpc call ADDRESS power_on|power_off CALLS IN_FLIGHT
 *		  raw_grpc check ADDRESS running|stopped CLUSTERS
 *
 * "serve" answers every order with an empty reply, in one thread, until
 * SIGTERM; it creates READY_FILE when it listens.  "call" keeps IN_FLIGHT
 * calls on their way to such a server, or to power_agent, for the clusters
 * c-1 to c-CALLS, and prints how many were answered a second.  "check" asks
 * power_agent for the state of the clusters c-1 to c-CLUSTERS.
 *
 * A call that fails, or a reply that tells of an error or of another state
 * than the wanted one, ends the program with status 1.
 *
 *-------------------------------------------------------------------------
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>

#include "agent.pb-c.h"

#define MAX_IN_FLIGHT	4096
#define POSTED_CALLS	256		/* that the server waits for at a time */
#define CALL_TIMEOUT_S	30

static const char *const power_on = "/agent.AgentService/PowerOnCluster";
static const char *const power_off = "/agent.AgentService/PowerOffCluster";
static const char *const get_state = "/agent.AgentService/GetClusterPowerState";

static void
fail(const char *what, const char *detail)
{
	fprintf(stderr, "raw_grpc: %s: %s\n", what, detail);
	exit(1);
}

static int
usage(void)
{
	fprintf(stderr,
			"usage: raw_grpc serve ADDRESS READY_FILE\n"
			"       raw_grpc call ADDRESS power_on|power_off CALLS IN_FLIGHT\n"
			"       raw_grpc check ADDRESS running|stopped CLUSTERS\n");
	return 2;
}

static int
positive(const char *text)
{
	char	   *end;
	long		number = strtol(text, &end, 10);

	if (*end != '\0' || number <= 0 || number > 100000000)
		fail("not a number of calls", text);
	return (int) number;
}

/* ----------------------------------------------------------------
 *	The client
 * ----------------------------------------------------------------
 */

typedef struct Call
{
	grpc_call  *call;
	grpc_byte_buffer *request;
	grpc_byte_buffer *reply;
	grpc_metadata_array initial;
	grpc_metadata_array trailing;
	grpc_status_code status;
	grpc_slice	details;
} Call;

typedef struct Client
{
	grpc_completion_queue *queue;
	grpc_channel *channel;
	void	   *method;
	Agent__PowerState wanted;	/* UNKNOWN: whatever the reply says */
} Client;

static void
connect_client(Client *client, const char *address, const char *method,
			   Agent__PowerState wanted)
{
	grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
	grpc_arg	retries = {.type = GRPC_ARG_INTEGER,
		.key = (char *) GRPC_ARG_ENABLE_RETRIES,
	.value.integer = 0};
	grpc_channel_args args = {1, &retries};

	client->queue = grpc_completion_queue_create_for_next(NULL);
	client->channel = grpc_channel_create(address, credentials, &args);
	grpc_channel_credentials_release(credentials);
	client->method = grpc_channel_register_call(client->channel, method,
												NULL, NULL);
	client->wanted = wanted;
}

static void
disconnect_client(Client *client)
{
	grpc_channel_destroy(client->channel);
	grpc_completion_queue_shutdown(client->queue);
	while (grpc_completion_queue_next(client->queue,
									  gpr_inf_future(GPR_CLOCK_MONOTONIC),
									  NULL).type != GRPC_QUEUE_SHUTDOWN)
		;
	grpc_completion_queue_destroy(client->queue);
}

/* the order that power_action would send for this cluster, but for its fields
 * above 100 */
static grpc_byte_buffer *
make_request(int number)
{
	Agent__ClusterStatusChangeRequest request =
		AGENT__CLUSTER_STATUS_CHANGE_REQUEST__INIT;
	char		cluster[32];
	char		instance[32];
	char	   *instances[] = {instance};
	grpc_slice	slice;
	grpc_byte_buffer *buffer;

	snprintf(cluster, sizeof(cluster), "c-%d", number);
	snprintf(instance, sizeof(instance), "i-c-%d", number);
	request.account_name = "bench";
	request.region = "";
	request.cluster_id = cluster;
	request.n_instances_id_list = 1;
	request.instances_id_list = instances;
	request.requester = "bench";

	slice = grpc_slice_malloc(
		agent__cluster_status_change_request__get_packed_size(&request));
	agent__cluster_status_change_request__pack(&request,
											   GRPC_SLICE_START_PTR(slice));
	buffer = grpc_raw_byte_buffer_create(&slice, 1);
	grpc_slice_unref(slice);
	return buffer;
}

static void
start_call(Client *client, Call *call, int number)
{
	grpc_op		ops[6];

	call->call = grpc_channel_create_registered_call(
		client->channel, NULL, GRPC_PROPAGATE_DEFAULTS, client->queue,
		client->method,
		gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
					 gpr_time_from_seconds(CALL_TIMEOUT_S, GPR_TIMESPAN)),
		NULL);
	call->request = make_request(number);
	call->reply = NULL;
	grpc_metadata_array_init(&call->initial);
	grpc_metadata_array_init(&call->trailing);

	memset(ops, 0, sizeof(ops));
	ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
	ops[1].op = GRPC_OP_SEND_MESSAGE;
	ops[1].data.send_message.send_message = call->request;
	ops[2].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
	ops[3].op = GRPC_OP_RECV_INITIAL_METADATA;
	ops[3].data.recv_initial_metadata.recv_initial_metadata = &call->initial;
	ops[4].op = GRPC_OP_RECV_MESSAGE;
	ops[4].data.recv_message.recv_message = &call->reply;
	ops[5].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
	ops[5].data.recv_status_on_client.trailing_metadata = &call->trailing;
	ops[5].data.recv_status_on_client.status = &call->status;
	ops[5].data.recv_status_on_client.status_details = &call->details;
	if (grpc_call_start_batch(call->call, ops, 6, call, NULL) != GRPC_CALL_OK)
		fail("call", "cannot be started");
}

/* ends the program unless the reply is a good one */
static void
check_reply(Client *client, Call *call)
{
	Agent__ClusterStatusChangeResponse *response;
	grpc_byte_buffer_reader reader;
	grpc_slice	slice;

	if (call->status != GRPC_STATUS_OK)
	{
		char	   *details = grpc_slice_to_c_string(call->details);

		fail("a call failed", details);
	}
	if (call->reply == NULL ||
		!grpc_byte_buffer_reader_init(&reader, call->reply))
		fail("a call failed", "no reply");
	slice = grpc_byte_buffer_reader_readall(&reader);
	response = agent__cluster_status_change_response__unpack(
		NULL, GRPC_SLICE_LENGTH(slice), GRPC_SLICE_START_PTR(slice));
	if (response == NULL)
		fail("a call failed", "the reply cannot be decoded");
	if (response->error != 0)
		fail("the agent refused", response->message);
	if (client->wanted != AGENT__POWER_STATE__POWER_STATE_UNKNOWN &&
		(response->n_instance_states != 1 ||
		 response->instance_states[0]->state != client->wanted))
		fail("check", "an instance is not in the wanted state");
	agent__cluster_status_change_response__free_unpacked(response, NULL);
	grpc_slice_unref(slice);
	grpc_byte_buffer_reader_destroy(&reader);
}

static void
end_call(Call *call)
{
	grpc_byte_buffer_destroy(call->request);
	grpc_byte_buffer_destroy(call->reply);
	grpc_metadata_array_destroy(&call->initial);
	grpc_metadata_array_destroy(&call->trailing);
	grpc_slice_unref(call->details);
	grpc_call_unref(call->call);
}

/* the clusters from "first" to "last", and so many of them at a time */
static void
make_calls(Client *client, int first, int last, int in_flight)
{
	static Call calls[MAX_IN_FLIGHT];
	int			next = first;
	int			left = last - first + 1;

	for (int i = 0; i < in_flight && next <= last; i++)
		start_call(client, &calls[i], next++);
	while (left > 0)
	{
		grpc_event	event = grpc_completion_queue_next(
			client->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
		Call	   *call = event.tag;

		check_reply(client, call);
		end_call(call);
		left--;
		if (next <= last)
			start_call(client, call, next++);
	}
}

static double
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double) time.tv_sec + (double) time.tv_nsec / 1e9;
}

static int
call_main(const char *address, const char *action, int calls, int in_flight)
{
	Client		client;
	double		start;

	if (in_flight > MAX_IN_FLIGHT)
		fail("too many in flight", "at most 4096");
	connect_client(&client, address,
				   strcmp(action, "power_on") == 0 ? power_on : power_off,
				   AGENT__POWER_STATE__POWER_STATE_UNKNOWN);
	/* the first call also connects */
	make_calls(&client, 1, 1, 1);
	start = now();
	make_calls(&client, 1, calls, in_flight);
	printf("%.0f\n", calls / (now() - start));
	disconnect_client(&client);
	return 0;
}

static int
check_main(const char *address, const char *state, int clusters)
{
	Client		client;

	connect_client(&client, address, get_state,
				   strcmp(state, "running") == 0 ?
				   AGENT__POWER_STATE__POWER_STATE_RUNNING :
				   AGENT__POWER_STATE__POWER_STATE_STOPPED);
	make_calls(&client, 1, clusters, 64);
	disconnect_client(&client);
	return 0;
}

/* ----------------------------------------------------------------
 *	The empty server
 *
 * Two events a call: it has come with its payload, and it is answered.
 * ----------------------------------------------------------------
 */

typedef struct Served
{
	grpc_call  *call;			/* NULL: posted, none has come */
	void	   *method;
	gpr_timespec deadline;
	grpc_metadata_array metadata;
	grpc_byte_buffer *payload;
	bool		answered;
	int			cancelled;
} Served;

static grpc_server *server;
static grpc_completion_queue *server_queue;
static char shutdown_tag;

static void
post(Served *served)
{
	served->answered = false;
	served->payload = NULL;
	grpc_metadata_array_init(&served->metadata);
	grpc_server_request_registered_call(server, served->method, &served->call,
										&served->deadline, &served->metadata,
										&served->payload, server_queue,
										server_queue, served);
}

static void
answer(Served *served, grpc_byte_buffer *reply)
{
	grpc_op		ops[4];

	memset(ops, 0, sizeof(ops));
	ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
	ops[1].op = GRPC_OP_SEND_MESSAGE;
	ops[1].data.send_message.send_message = reply;
	ops[2].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
	ops[2].data.send_status_from_server.status = GRPC_STATUS_OK;
	ops[3].op = GRPC_OP_RECV_CLOSE_ON_SERVER;
	ops[3].data.recv_close_on_server.cancelled = &served->cancelled;
	served->answered = true;
	if (grpc_call_start_batch(served->call, ops, 4, served, NULL) !=
		GRPC_CALL_OK)
		fail("answer", "cannot be started");
}

static void
forget(Served *served)
{
	grpc_byte_buffer_destroy(served->payload);
	grpc_metadata_array_destroy(&served->metadata);
	if (served->call != NULL)
		grpc_call_unref(served->call);
	served->call = NULL;
}

/* ends the server at SIGTERM */
static void *
await_signal(void *argument)
{
	int			number;

	sigwait(argument, &number);
	grpc_server_shutdown_and_notify(server, server_queue, &shutdown_tag);
	grpc_server_cancel_all_calls(server);
	return NULL;
}

static int
serve_main(const char *address, const char *ready_file)
{
	static Served served[2 * POSTED_CALLS];
	grpc_server_credentials *credentials =
		grpc_insecure_server_credentials_create();
	grpc_byte_buffer *reply = grpc_raw_byte_buffer_create(NULL, 0);
	void	   *methods[2];
	sigset_t	signals;
	pthread_t	waiter;
	grpc_event	event;
	bool		ending = false;
	int			file;

	/* before any thread of core is made, so that none of them gets it */
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	grpc_init();

	server = grpc_server_create(NULL, NULL);
	server_queue = grpc_completion_queue_create_for_next(NULL);
	grpc_server_register_completion_queue(server, server_queue, NULL);
	methods[0] = grpc_server_register_method(
		server, power_on, NULL, GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER, 0);
	methods[1] = grpc_server_register_method(
		server, power_off, NULL, GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER, 0);
	if (!grpc_server_add_http2_port(server, address, credentials))
		fail("cannot listen", address);
	grpc_server_credentials_release(credentials);
	grpc_server_start(server);
	for (int i = 0; i < 2 * POSTED_CALLS; i++)
	{
		served[i].method = methods[i % 2];
		post(&served[i]);
	}
	if (pthread_create(&waiter, NULL, await_signal, &signals) != 0)
		fail("thread", "cannot be started");
	file = open(ready_file, O_WRONLY | O_CREAT, 0644);
	if (file < 0)
		fail("cannot create", ready_file);
	close(file);

	for (;;)
	{
		event = grpc_completion_queue_next(
			server_queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
		if (event.type == GRPC_QUEUE_SHUTDOWN)
			break;
		if (event.tag == &shutdown_tag)
		{
			ending = true;
			grpc_completion_queue_shutdown(server_queue);
			continue;
		}

		Served	   *one = event.tag;

		if (!one->answered && event.success)
			answer(one, reply);
		else
		{
			bool		again = one->answered && !ending;

			forget(one);
			if (again)
				post(one);
		}
	}

	pthread_join(waiter, NULL);
	grpc_byte_buffer_destroy(reply);
	grpc_server_destroy(server);
	grpc_completion_queue_destroy(server_queue);
	grpc_shutdown();
	return 0;
}

int
main(int argc, char **argv)
{
	int			status;

	if (argc == 4 && strcmp(argv[1], "serve") == 0)
		return serve_main(argv[2], argv[3]);

	grpc_init();
	if (argc == 6 && strcmp(argv[1], "call") == 0)
		status = call_main(argv[2], argv[3], positive(argv[4]),
						   positive(argv[5]));
	else if (argc == 5 && strcmp(argv[1], "check") == 0)
		status = check_main(argv[2], argv[3], positive(argv[4]));
	else
		status = usage();
	grpc_shutdown();
	return status;
}
