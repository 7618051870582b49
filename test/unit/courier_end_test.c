/* objects: courier/frame */
/* needs: power_action_courier */
/*-------------------------------------------------------------------------
 *
 * test/unit/courier_end_test.c
 *		How the courier starts and ends: on the end of its worker, on protocol
 *		errors, with calls in flight, and while nobody reads its results.
 *
 * argv[1] is the path of power_action_courier.
 *
 *-------------------------------------------------------------------------
 */
#include <sys/un.h>

#include "courier_worker.h"

static void
test_protocol_errors(void)
{
	Client		client;

	client_start(&client, courier);
	client_send_bytes(&client, "\0\0\0\0", 4);
	check_end(&client, 1, "a frame of length 0");
	client_start(&client, courier);
	client_send_bytes(&client, "GET / HTTP/1.1\r\n\r\n", 18);
	check_end(&client, 1, "another protocol");
	client_start(&client, courier);
	client_send_bytes(&client, "\0\0\0\2\xFF\xFF", 6);
	check_end(&client, 1, "a frame that cannot be decoded");
}

static void
test_ends(Agent *agent)
{
	Client		client;
	int			cancelled = agent_count(agent, &agent->cancelled);

	client_start(&client, courier);
	client_close(&client);
	check_end(&client, 0, "hung up at once");

	client_start(&client, courier);
	configure(&client, "a", 1, address("a"));
	configure(&client, "absent", 1, address("absent"));
	ok(reaches(&client, "absent", 1, FAILED, NULL, 0) &&
	   reaches(&client, "a", 1, READY, NULL, 0), "two servers");
	for (int i = 0; i < 100; i++)
		call(&client, "a", "hold", 60000);
	ok(agent_await(agent, &agent->held_count, 100), "100 calls in flight");
	client_close(&client);
	check_end(&client, 0, "hung up with calls in flight");
	ok(agent_await(agent, &agent->cancelled, cancelled + 100),
	   "the agent is told of all");

	client_start(&client, courier);
	configure(&client, "a", 1, address("a"));
	ok(reaches(&client, "a", 1, READY, NULL, 0), "half-closing");
	shutdown(client.fd, SHUT_WR);
	check_end(&client, 0, "half-closed");

	client_start(&client, courier);
	client_send_bytes(&client, "\0\0\1\0half", 8);
	client_close(&client);
	check_end(&client, 0, "hung up within a frame");
}

/*
 * A worker that does not read: the courier stops taking calls, but still
 * notices the end.
 */
static void
test_not_reading(Agent *agent)
{
	Courier__Frame frame = COURIER__FRAME__INIT;
	Courier__Call body = COURIER__CALL__INIT;
	Client		client;
	size_t		size;
	uint8_t    *data;
	int			refused = 0;
	size_t		sent = 0;
	char	   *name = malloc(2001);

	/* calls that fail at once, with a Result not much smaller */
	memset(name, 'n', 400);
	name[400] = '\0';
	body.server_name = name;
	body.call_id = 1;
	frame.body_case = COURIER__FRAME__BODY_CALL;
	frame.call = &body;
	size = courier__frame__get_packed_size(&frame) + PA_FRAME_HEADER;
	data = malloc(size);
	pa_frame_put_header(data, size - PA_FRAME_HEADER);
	courier__frame__pack(&frame, data + PA_FRAME_HEADER);

	client_start(&client, courier);
	/* full for half a second: nobody is reading any more */
	while (refused < 1 && sent < (size_t) 200 * 1024 * 1024)
	{
		struct pollfd fd = {.fd = client.fd, .events = POLLOUT};

		if (poll(&fd, 1, 500) == 0)
			refused++;
		else
		{
			client_send_bytes(&client, data, size);
			sent += size;
		}
	}
	ok(refused == 1, "calls are not taken for ever (%zu MB)", sent >> 20);
	/* the socket is still open, and full, to the other side */
	shutdown(client.fd, SHUT_WR);
	check_end(&client, 0, "hung up while results wait");
	free(data);
	free(name);

	/* less than makes it stop taking calls: we do not read while we send */
	client_start(&client, courier);
	configure(&client, "a", 1, address("a"));
	ok(reaches(&client, "a", 1, READY, NULL, 0), "once more");
	{
		enum
		{
			CALLS = 5000
		};
		uint64_t	first = last_call + 1;
		int			seen = 0;
		int			received = agent_count(agent, &agent->received);

		for (int i = 0; i < CALLS; i++)
			call(&client, "a", "large:2000", 60000);
		ok(agent_await(agent, &agent->received, received + CALLS),
		   "%d calls, results unread", CALLS);
		for (int i = 0; i < CALLS; i++)
		{
			Courier__Frame *result;

			result = client_await_body(&client, COURIER__FRAME__BODY_RESULT);
			if (result == NULL)
				break;
			seen += result->result->status_code == 0 &&
				result->result->call_id >= first;
			courier__frame__free_unpacked(result, NULL);
		}
		is_number(seen, CALLS, "then all are read");
	}
	client_close(&client);
	check_end(&client, 0, "and it ends");
}

static void
test_listen(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	Client		client;
	const char *target = address("listen");
	long		limit = client_now_ms() + CLIENT_PATIENCE_MS;

	memset(&client, 0, sizeof(client));
	pa_frame_init(&client.reader);
	client.pid = client_spawn(courier, "--listen", target, -1);
	client.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", target + 5);
	while (connect(client.fd, (struct sockaddr *) &sun, sizeof(sun)) != 0 &&
		   client_now_ms() < limit)
		poll(NULL, 0, 5);
	test_hello(&client);
	ok(access(target + 5, F_OK) != 0, "its socket takes one connection");
	client_close(&client);
	check_end(&client, 0, "stand-alone");
}

/*
 * Forks a parent that starts a courier, says its process id, and ends; its
 * end of the socket stays open with us.  Before gRPC has threads.
 */
static void
test_parent_death(void)
{
	int			pair[2];
	int			life[2];
	pid_t		middle;
	Client		client;
	Courier__Frame *frame;

	memset(&client, 0, sizeof(client));
	pa_frame_init(&client.reader);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0 ||
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, life) != 0)
		abort();
	middle = fork();
	if (middle == 0)
	{
		char		c;

		client_spawn(courier, "--fd", "3", pair[1]);
		close(life[1]);
		_exit(read(life[0], &c, 1) == 0 ? 0 : 1);
	}
	close(pair[1]);
	close(life[0]);
	client.fd = pair[0];
	frame = client_await_body(&client, COURIER__FRAME__BODY_HELLO);
	ok(frame != NULL, "a courier with a parent");
	/* by now it has asked to die with its parent */
	close(life[1]);
	waitpid(middle, NULL, 0);
	courier__frame__free_unpacked(frame, NULL);
	frame = client_await_body(&client, COURIER__FRAME__BODY_CALL);
	ok(frame == NULL && client.ended, "dies with it");
	client_free(&client);
}

int
main(int argc, char **argv)
{
	Agent	   *agent;

	begin_tests(argc, argv);
	test_parent_death();
	grpc_init();
	agent = agent_start(address("a"));
	if (agent == NULL)
		return 2;

	test_listen();
	test_protocol_errors();
	test_ends(agent);
	test_not_reading(agent);

	agent_stop(agent);
	grpc_shutdown_blocking();
	return end_tests();
}
