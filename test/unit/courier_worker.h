/*-------------------------------------------------------------------------
 *
 * test/unit/courier_worker.h
 *		What the tests of the courier as a process have in common: orders as
 *		a worker gives them, and checks of what comes back.
 *
 * One thread.  main() begins with begin_tests, which sets "courier",
 * "self" and "directory", and ends with end_tests.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_COURIER_WORKER_H
#define PA_COURIER_WORKER_H

/* no test uses all of it */
#pragma GCC diagnostic ignored "-Wunused-function"

#include <sys/stat.h>

#include "courier_agent.h"
#include "courier_client.h"
#include "thread_option.h"
#include "unit.h"

#define TEST_LIMIT	300			/* seconds; none takes a tenth of it */

#define READY	COURIER__CONNECTIVITY_STATE__CONNECTIVITY_READY
#define FAILED	COURIER__CONNECTIVITY_STATE__CONNECTIVITY_FAILED
#define CONNECTING	COURIER__CONNECTIVITY_STATE__CONNECTIVITY_CONNECTING

static const char *courier;
static const char *self;
static char directory[64];
static uint64_t last_call;
static bool streaming;			/* of servers from now on */

/* "unix:" and a path in our directory; one of a few static buffers */
static const char *
address(const char *name)
{
	static char buffers[8][128];
	static int	next;
	char	   *buffer = buffers[next++ % 8];

	snprintf(buffer, sizeof(buffers[0]), "unix:%s/%s", directory, name);
	return buffer;
}

static void
configure_keepalive(Client *client, const char *name, uint64_t generation,
					const char *target, uint32_t keepalive_time_ms)
{
	Courier__Frame frame = COURIER__FRAME__INIT;
	Courier__Configure body = COURIER__CONFIGURE__INIT;

	body.server_name = (char *) name;
	body.generation = generation;
	body.target = (char *) target;
	body.connect_timeout_ms = 5000;
	body.keepalive_time_ms = keepalive_time_ms;
	body.max_message_size = 4 * 1024 * 1024;
	body.streaming = streaming;
	frame.body_case = COURIER__FRAME__BODY_CONFIGURE;
	frame.configure = &body;
	client_send(client, &frame);
}

static void
configure(Client *client, const char *name, uint64_t generation,
		  const char *target)
{
	configure_keepalive(client, name, generation, target, 20000);
}

static void
remove_server(Client *client, const char *name)
{
	Courier__Frame frame = COURIER__FRAME__INIT;
	Courier__Remove body = COURIER__REMOVE__INIT;

	body.server_name = (char *) name;
	frame.body_case = COURIER__FRAME__BODY_REMOVE;
	frame.remove = &body;
	client_send(client, &frame);
}

/* returns the call's id; with at most so many calls at a time, 0: any number */
static uint64_t
limited_call(Client *client, const char *server, const char *cluster,
			 uint32_t timeout_ms, uint32_t max_concurrent_calls)
{
	Courier__Frame frame = COURIER__FRAME__INIT;
	Courier__Call body = COURIER__CALL__INIT;

	body.call_id = ++last_call;
	body.server_name = (char *) server;
	body.method = COURIER__METHOD__METHOD_POWER_ON;
	body.timeout_ms = timeout_ms;
	body.cluster_id = (char *) cluster;
	body.request_id = "1/2/3";
	body.attempt = 1;
	body.max_concurrent_calls = max_concurrent_calls;
	frame.body_case = COURIER__FRAME__BODY_CALL;
	frame.call = &body;
	client_send(client, &frame);
	return last_call;
}

static uint64_t
call(Client *client, const char *server, const char *cluster,
	 uint32_t timeout_ms)
{
	return limited_call(client, server, cluster, timeout_ms, 0);
}

static void
cancel(Client *client, uint64_t call_id)
{
	Courier__Frame frame = COURIER__FRAME__INIT;
	Courier__Cancel body = COURIER__CANCEL__INIT;

	body.call_id = call_id;
	frame.body_case = COURIER__FRAME__BODY_CANCEL;
	frame.cancel = &body;
	client_send(client, &frame);
}

/* waits for a state and says whether it came; the message is copied */
static bool
reaches(Client *client, const char *name, uint64_t generation,
		Courier__ConnectivityState state, char *message, size_t size)
{
	Courier__Frame *frame = client_await_state(client, name, generation,
											   state);

	if (frame == NULL)
		return false;
	if (message != NULL)
		snprintf(message, size, "%s", frame->connectivity->message);
	courier__frame__free_unpacked(frame, NULL);
	return true;
}

static void
check_result(Client *client, uint64_t call_id, uint32_t status,
			 bool not_delivered, const char *message, const char *name)
{
	Courier__Frame *frame = client_await_result(client, call_id);

	if (!ok(frame != NULL, "%s: a result", name))
		return;
	is_number(frame->result->status_code, status, "... its status");
	is_number(frame->result->not_delivered, not_delivered,
			  not_delivered ? "... surely not delivered" :
			  "... perhaps delivered");
	if (message != NULL &&
		!ok(strstr(frame->result->status_message, message) != NULL,
			"... says \"%s\"", message))
		printf("# it says \"%s\"\n", frame->result->status_message);
	courier__frame__free_unpacked(frame, NULL);
}

/* the worker hangs up, or has; the courier ends in time and in order */
static void
check_end(Client *client, int exit_code, const char *name)
{
	long		start = client_now_ms();
	int			status = client_reap(client);
	long		took = client_now_ms() - start;

	ok(status != -1 && WIFEXITED(status) &&
	   WEXITSTATUS(status) == exit_code,
	   "%s: exit code %d (wait status %d)", name, exit_code, status);
	ok(took < 1500, "... within a second (%ld ms)", took);
	client_free(client);
}

static void
test_hello(Client *client)
{
	Courier__Frame *frame = client_await_body(client,
											  COURIER__FRAME__BODY_HELLO);

	if (!ok(frame != NULL, "the courier says hello"))
		return;
	is_number(frame->hello->protocol_version, 1, "version of the protocol");
	is_number(frame->hello->process_id, client->pid, "its process id");
	ok(frame->hello->grpc_version[0] != '\0', "version of gRPC");
	courier__frame__free_unpacked(frame, NULL);
}

static void
begin_tests(int argc, char **argv)
{
	if (argc != 2)
	{
		fprintf(stderr, "usage: %s COURIER\n", argv[0]);
		exit(2);
	}
	/* a test that hangs ends with its last line telling where */
	alarm(TEST_LIMIT);
	setvbuf(stdout, NULL, _IOLBF, 0);
	self = argv[0];
	courier = argv[1];
	hand_on_thread_option();
	snprintf(directory, sizeof(directory), "/tmp/courier_test_%d",
			 (int) getpid());
	if (mkdir(directory, 0700) != 0)
	{
		perror(directory);
		exit(2);
	}
}

static int
end_tests(void)
{
	ok(rmdir(directory) == 0, "no file is left behind");
	return unit_done();
}

#endif							/* PA_COURIER_WORKER_H */
