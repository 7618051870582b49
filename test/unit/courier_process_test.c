/* objects: courier/frame */
/* needs: power_action_courier */
/*-------------------------------------------------------------------------
 *
 * test/unit/courier_process_test.c
 *		Calls through the courier, between a worker (this program) and agents
 *		(gRPC servers in this program).
 *
 * argv[1] is the path of power_action_courier.  With "--agent ADDRESS" the
 * program is an agent itself, one that can be killed.
 *
 *-------------------------------------------------------------------------
 */
#include <sys/un.h>

#include "courier_worker.h"

static void
test_unreachable(Client *client)
{
	char		reason[256] = "";

	configure(client, "a", 1, address("a"));
	ok(reaches(client, "a", 1, FAILED, reason, sizeof(reason)),
	   "an absent agent is reported as failed");
	ok(strstr(reason, "failed to connect") != NULL &&
	   strstr(reason, "No such file") != NULL, "with the reason: %s", reason);
	check_result(client, call(client, "a", "ok", 5000), 14, true,
				 "failed to connect", "call to an absent agent");
}

/* the agent appears; no fixed time, but far below core's own 5 s */
static Agent *
test_appears(Client *client, const char *name)
{
	Agent	   *agent;
	long		start;
	bool		ready;

	agent = agent_start(address("a"));
	if (agent == NULL)
		return NULL;
	start = client_now_ms();
	ready = reaches(client, "a", 1, READY, NULL, 0);
	ok(ready, "%s: ready", name);
	ok(client_now_ms() - start < 2500, "... soon (%ld ms)",
	   client_now_ms() - start);
	return agent;
}

static void
test_fields(Client *client, Agent *agent)
{
	static const char *const methods[] = {
		"/agent.AgentService/PowerOnCluster",
		"/agent.AgentService/PowerOffCluster",
		"/agent.AgentService/GetClusterPowerState"
	};
	Courier__Frame frame = COURIER__FRAME__INIT;
	Courier__Call body = COURIER__CALL__INIT;
	char	   *ids[] = {"i-1", "i-2", "i-3"};
	AgentSeen  *seen = &agent->seen;
	Courier__Frame *reply;

	frame.body_case = COURIER__FRAME__BODY_CALL;
	frame.call = &body;
	body.server_name = "a";
	body.timeout_ms = 20000;
	body.account = "acc";
	body.region = "reg";
	body.cluster_id = "ok \xC3\xBC";
	body.n_instance_ids = 3;
	body.instance_ids = ids;
	body.requester = "who";
	body.description = "why";
	body.request_id = "77/5/123";
	body.attempt = 4;
	body.order_timeline = 1;
	body.order_epoch = UINT64_C(1) << 40;
	body.order_counter = UINT64_MAX;
	body.source = "77/5";

	for (int i = 0; i < 3; i++)
	{
		body.call_id = ++last_call;
		body.method = (Courier__Method) (i + 1);
		client_send(client, &frame);
		reply = client_await_result(client, last_call);
		if (!ok(reply != NULL, "%s is answered", methods[i]))
			return;
		pthread_mutex_lock(&agent->mutex);
		is_string(seen->method, methods[i], "... the method");
		if (i == 0)
		{
			is_string(seen->request_id, "77/5/123", "metadata x-request-id");
			is_string(seen->attempt, "4", "metadata x-attempt");
			ok(seen->user_agent != NULL &&
			   strncmp(seen->user_agent, "power_action/1.0", 16) == 0,
			   "user agent");
			is_string(seen->request->account_name, "acc", "account_name");
			is_string(seen->request->region, "reg", "region");
			is_string(seen->request->cluster_id, "ok \xC3\xBC", "cluster_id");
			if (is_number(seen->request->n_instances_id_list, 3,
						  "number of instances"))
				is_string(seen->request->instances_id_list[2], "i-3",
						  "the last of them");
			is_string(seen->request->requester, "who", "requester");
			is_string(seen->request->description, "why", "description");
			is_string(seen->request->request_id, "77/5/123", "request_id");
			is_string(seen->request->source, "77/5", "source");
			if (ok(seen->request->order != NULL, "order"))
			{
				is_number(seen->request->order->timeline, 1, "timeline");
				is_number(seen->request->order->epoch, 1LL << 40, "epoch");
				ok(seen->request->order->counter == UINT64_MAX, "counter");
			}
		}
		pthread_mutex_unlock(&agent->mutex);
		if (i == 0)
		{
			Courier__Result *result = reply->result;

			is_number(result->status_code, 0, "result: status");
			is_number(result->not_delivered, false, "result: delivered");
			is_number(result->reply_error, 0, "result: error");
			is_string(result->reply_message, "done", "result: message");
			ok(result->duration_us > 0 && result->duration_us < 20000000,
			   "result: duration");
			if (is_number(result->n_instances, 2, "result: instances"))
			{
				is_string(result->instances[1]->instance_id, "i-2",
						  "result: instance id");
				is_number(result->instances[1]->state, 3,
						  "result: instance state");
				is_string(result->instances[1]->message, "boots",
						  "result: instance message");
			}
		}
		courier__frame__free_unpacked(reply, NULL);
	}
}

static void
test_statuses(Client *client)
{
	Courier__Frame *frame;

	check_result(client, call(client, "a", "status:9:stale order 5", 20000),
				 9, false, "stale order 5", "refused by the agent");
	check_result(client, call(client, "a", "status:14:failed to connect to all addresses", 20000),
				 14, false, "failed to connect",
				 "an agent that cannot reach its cloud");
	check_result(client, call(client, "a", "status:3:a\nb\x1B[1m", 20000),
				 3, false, "a b[1m", "control characters in a status");
	check_result(client, call(client, "a", "status:42:", 20000), 2, false,
				 "", "a status that does not exist");
	check_result(client, call(client, "a", "garbage", 20000), 13, false,
				 "cannot be decoded", "a reply that is garbage");
	check_result(client, call(client, "a", "silent", 20000), 13, false,
				 NULL, "OK without a reply");
	check_result(client, call(client, "a", "large:5000000", 20000), 8, false,
				 "larger than max", "a reply above the limit");

	frame = client_await_result(client, call(client, "a", "error:5", 20000));
	if (ok(frame != NULL, "a reply with an error"))
	{
		is_number(frame->result->status_code, 0, "... has status OK");
		is_number(frame->result->reply_error, 5, "... and the error");
		courier__frame__free_unpacked(frame, NULL);
	}
	frame = client_await_result(client,
								call(client, "a", "large:3000000", 20000));
	if (ok(frame != NULL, "a large reply"))
	{
		is_number(strlen(frame->result->reply_message), 2000,
				  "... is cut to what is useful");
		courier__frame__free_unpacked(frame, NULL);
	}
}

static void
test_no_server(Client *client)
{
	Courier__Frame frame = COURIER__FRAME__INIT;
	Courier__Call body = COURIER__CALL__INIT;

	check_result(client, call(client, "nobody", "ok", 1000), 14, true,
				 "server \"nobody\" is not configured", "unknown server");
	body.call_id = ++last_call;
	body.server_name = "a";
	body.timeout_ms = 1000;
	frame.body_case = COURIER__FRAME__BODY_CALL;
	frame.call = &body;
	client_send(client, &frame);
	check_result(client, last_call, 14, true, "no known method",
				 "call without a method");
	body.call_id = ++last_call;
	body.method = (Courier__Method) 77;
	client_send(client, &frame);
	check_result(client, last_call, 14, true, "no known method",
				 "call with a method of the future");
	body.call_id = ++last_call;
	body.method = COURIER__METHOD__METHOD_POWER_ON;
	body.request_id = "a\nb";
	client_send(client, &frame);
	check_result(client, last_call, 3, true, "refuses the request id",
				 "request id that is no metadata");
}

static void
test_many(Client *client, Agent *agent)
{
	enum
	{
		CALLS = 1000
	};
	int			before = agent_count(agent, &agent->held_count);
	uint64_t	first = last_call + 1;
	static int	answers[CALLS];
	int			ok_count = 0;
	int			once = 0;
	Courier__Frame *frame;

	memset(answers, 0, sizeof(answers));
	for (int i = 0; i < CALLS; i++)
		call(client, "a", "hold", 60000);
	ok(agent_await(agent, &agent->held_count, before + CALLS),
	   "%d calls are in flight", CALLS);
	agent_release(agent);
	for (int i = 0; i < CALLS; i++)
	{
		frame = client_await_body(client, COURIER__FRAME__BODY_RESULT);
		if (frame == NULL)
			break;
		if (frame->result->call_id - first < CALLS)
			answers[frame->result->call_id - first]++;
		if (frame->result->status_code == 0)
			ok_count++;
		courier__frame__free_unpacked(frame, NULL);
	}
	/* another result of theirs would come before that of this one */
	check_result(client, call(client, "a", "ok", 20000), 0, false, "",
				 "one more");
	for (size_t i = 0; i < client->count; i++)
	{
		frame = client->frames[i];
		if (frame->body_case == COURIER__FRAME__BODY_RESULT &&
			frame->result->call_id - first < CALLS)
			answers[frame->result->call_id - first]++;
	}
	for (int i = 0; i < CALLS; i++)
		once += answers[i] == 1;
	is_number(once, CALLS, "each is answered exactly once");
	is_number(ok_count, CALLS, "with success");
}

static void
test_deadline(Client *client, Agent *agent)
{
	int			cancelled = agent_count(agent, &agent->cancelled);
	uint64_t	id = call(client, "a", "hold", 100);
	Courier__Frame *frame = client_await_result(client, id);

	if (!ok(frame != NULL, "a call that outlives its deadline has a result"))
		return;
	is_number(frame->result->status_code, 4, "... DEADLINE_EXCEEDED");
	is_number(frame->result->not_delivered, false, "... perhaps delivered");
	ok(frame->result->duration_us >= 99000, "... not before the deadline");
	courier__frame__free_unpacked(frame, NULL);
	ok(agent_await(agent, &agent->cancelled, cancelled + 1),
	   "the agent is told");
}

static void
test_cancel(Client *client, Agent *agent)
{
	int			cancelled = agent_count(agent, &agent->cancelled);
	uint64_t	id = call(client, "a", "hold", 60000);

	ok(agent_await(agent, &agent->held_count, 1), "the agent has the call");
	cancel(client, 999999);
	cancel(client, id);
	check_result(client, id, 1, false, "cancelled by the worker",
				 "a call that was cancelled");
	ok(agent_await(agent, &agent->cancelled, cancelled + 1),
	   "the agent is told");
	cancel(client, id);
	check_result(client, call(client, "a", "ok", 20000), 0, false, "",
				 "cancelling what has ended does nothing");
}

static void
test_unexpected_body(Client *client)
{
	Courier__Frame frame = COURIER__FRAME__INIT;
	Courier__Hello hello = COURIER__HELLO__INIT;
	Courier__Frame *log;

	frame.body_case = COURIER__FRAME__BODY_HELLO;
	frame.hello = &hello;
	client_send(client, &frame);
	/* field 99, which does not exist */
	client_send_bytes(client, "\0\0\0\4\x9A\x06\x01x", 8);
	for (int i = 0; i < 2; i++)
	{
		log = client_await_body(client, COURIER__FRAME__BODY_LOG);
		if (ok(log != NULL, "a frame with a strange body is logged"))
			courier__frame__free_unpacked(log, NULL);
	}
	check_result(client, call(client, "a", "ok", 20000), 0, false, "",
				 "and ignored");
}

/* generations: calls in flight stay where they are, new ones go elsewhere */
static void
test_generation(Client *client, Agent *agent)
{
	Agent	   *other = agent_start(address("b"));
	uint64_t	ids[10];
	int			received;

	for (int i = 0; i < 10; i++)
		ids[i] = call(client, "a", "hold", 60000);
	ok(agent_await(agent, &agent->held_count, 10), "ten calls in flight");

	configure(client, "a", 2, address("b"));
	ok(reaches(client, "a", 2, READY, NULL, 0), "generation 2 is ready");
	received = agent_count(agent, &agent->received);
	check_result(client, call(client, "a", "ok", 20000), 0, false, "",
				 "a new call");
	is_number(agent_count(other, &other->received), 1,
			  "goes to the new agent");
	is_number(agent_count(agent, &agent->received), received,
			  "not to the old one");
	agent_release(agent);
	for (int i = 0; i < 10; i++)
		check_result(client, ids[i], 0, false, "", "a call in flight goes on");

	ids[0] = call(client, "a", "hold", 60000);
	ok(agent_await(other, &other->held_count, 1), "one in flight");
	remove_server(client, "a");
	check_result(client, call(client, "a", "ok", 20000), 14, true,
				 "not configured", "a removed server");
	agent_release(other);
	check_result(client, ids[0], 0, false, "", "its call goes on, too");
	remove_server(client, "a");

	configure(client, "a", 1, address("a"));
	ok(reaches(client, "a", 1, READY, NULL, 0), "configured again");
	agent_stop(other);
}

static void
test_round_robin(Client *client)
{
	Courier__Frame frame = COURIER__FRAME__INIT;
	Courier__Configure body = COURIER__CONFIGURE__INIT;
	Agent	   *first = agent_start("127.0.0.1:42101");
	Agent	   *second = agent_start("127.0.0.1:42102");

	if (first == NULL || second == NULL)
	{
		ok(true, "round robin # SKIP ports are in use");
		return;
	}
	body.server_name = "rr";
	body.generation = 1;
	body.target = "ipv4:127.0.0.1:42101,127.0.0.1:42102";
	body.round_robin = true;
	frame.body_case = COURIER__FRAME__BODY_CONFIGURE;
	frame.configure = &body;
	client_send(client, &frame);
	ok(reaches(client, "rr", 1, READY, NULL, 0), "round robin: ready");
	/* both are connected at some time: then both get calls */
	for (int i = 0; i < 10000 &&
		 (agent_count(first, &first->received) == 0 ||
		  agent_count(second, &second->received) == 0); i++)
	{
		Courier__Frame *result;

		result = client_await_result(client, call(client, "rr", "ok", 20000));
		if (result == NULL)
			break;
		courier__frame__free_unpacked(result, NULL);
	}
	ok(agent_count(first, &first->received) > 0 &&
	   agent_count(second, &second->received) > 0, "both agents get calls");
	remove_server(client, "rr");
	agent_stop(first);
	agent_stop(second);
}

static void
test_strange_targets(Client *client)
{
	char		reason[256] = "";

	configure(client, "s", 1, "");
	ok(reaches(client, "s", 1, FAILED, reason, sizeof(reason)),
	   "an empty target fails: %s", reason);
	check_result(client, call(client, "s", "ok", 5000), 14, true,
				 "not valid", "a call to it");
	configure(client, "s", 2, "nothing://like:this");
	ok(reaches(client, "s", 2, FAILED, reason, sizeof(reason)),
	   "so does an unknown scheme: %s", reason);
	configure(client, "s", 3, "ipv4:not an address");
	ok(reaches(client, "s", 3, FAILED, reason, sizeof(reason)),
	   "and what is no address: %s", reason);
	check_result(client, call(client, "s", "ok", 5000), 14, true, NULL,
				 "a call to it");
	remove_server(client, "s");
}

/* somebody accepts the connection and never says a word */
static void
test_mute(Client *client)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	const char *target = address("mute");
	int			listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", target + 5);
	if (bind(listener, (struct sockaddr *) &sun, sizeof(sun)) != 0 ||
		listen(listener, 5) != 0)
		abort();
	configure(client, "mute", 1, target);
	ok(reaches(client, "mute", 1, CONNECTING, NULL, 0),
	   "connecting to a mute agent");
	/* nothing proves it: a connection may have come and gone unseen */
	check_result(client, call(client, "mute", "ok", 200), 4, false, NULL,
				 "a call that waits for a connection");
	remove_server(client, "mute");
	close(listener);
	unlink(target + 5);
}

/* an agent in a process of its own */
static pid_t
start_killable(const char *target)
{
	const char *argv[] = {self, "--agent", target, NULL};
	pid_t		pid;

	if (posix_spawn(&pid, self, NULL, NULL, (char **) argv, environ) != 0)
		abort();
	return pid;
}

static void
test_killed(Client *client)
{
	const char *target = address("k");
	pid_t		pid = start_killable(target);
	uint64_t	probe;
	uint64_t	ids[20];

	configure(client, "k", 1, target);
	ok(reaches(client, "k", 1, READY, NULL, 0), "an agent in its own process");
	for (int i = 0; i < 20; i++)
		ids[i] = call(client, "k", "hold", 60000);
	/* calls of one connection arrive in order */
	probe = call(client, "k", "ok", 20000);
	check_result(client, probe, 0, false, "", "it has our calls");

	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	for (int i = 0; i < 20; i++)
		check_result(client, ids[i], 14, false, NULL,
					 "killed in the middle of a call");
	ok(reaches(client, "k", 1, FAILED, NULL, 0), "reported as failed");

	/* kill leaves the socket file behind */
	unlink(target + 5);
	pid = start_killable(target);
	ok(reaches(client, "k", 1, READY, NULL, 0), "a new one is found");
	check_result(client, call(client, "k", "ok", 20000), 0, false, "",
				 "and answers");
	remove_server(client, "k");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	unlink(target + 5);
}

/* keepalive finds an agent that has stopped in the middle of a call */
static void
test_stopped(Client *client)
{
	const char *target = address("s");
	pid_t		pid = start_killable(target);
	uint64_t	id;

	configure_keepalive(client, "s", 1, target, 1000);
	ok(reaches(client, "s", 1, READY, NULL, 0), "an agent that will stop");
	id = call(client, "s", "hold", 60000);
	check_result(client, call(client, "s", "ok", 20000), 0, false, "",
				 "it has our call");
	kill(pid, SIGSTOP);
	check_result(client, id, 14, false, "keepalive", "stopped");
	remove_server(client, "s");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	unlink(target + 5);
}

static int
be_agent(const char *target)
{
	Agent	   *agent;

	grpc_init();
	agent = agent_start(target);
	if (agent == NULL)
		return 1;
	pthread_join(agent->thread, NULL);
	return 0;
}

int
main(int argc, char **argv)
{
	Client		client;
	Agent	   *agent;

	if (argc == 3 && strcmp(argv[1], "--agent") == 0)
		return be_agent(argv[2]);
	begin_tests(argc, argv);
	grpc_init();

	client_start(&client, courier);
	test_hello(&client);
	test_unreachable(&client);
	agent = test_appears(&client, "the agent appears");
	if (agent == NULL)
		return 2;
	is_number(agent_count(agent, &agent->others), 0,
			  "it never sees what asks for reasons");
	test_fields(&client, agent);
	test_statuses(&client);
	test_no_server(&client);
	test_many(&client, agent);
	test_deadline(&client, agent);
	test_cancel(&client, agent);
	test_unexpected_body(&client);
	test_generation(&client, agent);
	test_round_robin(&client);
	test_strange_targets(&client);
	test_mute(&client);
	test_killed(&client);
	test_stopped(&client);

	agent_stop(agent);
	ok(reaches(&client, "a", 1, FAILED, NULL, 0), "the agent goes away");
	agent = test_appears(&client, "it comes back");
	check_result(&client, call(&client, "a", "ok", 20000), 0, false, "",
				 "and answers");
	client_close(&client);
	check_end(&client, 0, "after all this");

	agent_stop(agent);
	grpc_shutdown_blocking();
	return end_tests();
}
