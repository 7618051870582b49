/* objects: */
/* needs: power_agent */
/*-------------------------------------------------------------------------
 *
 * test/unit/agent_stream_test.c
 *		Many calls over one stream: each behaves as a call of its own would.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE 1

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "stream_client.h"

#define MANY	1000

static void
start_with(const char *rules, const char *more)
{
	char		arguments[512];

	unlink(path_of("log"));
	write_file("rules", rules);
	snprintf(arguments, sizeof(arguments), "--behaviour %s --log %s --log-sync %s",
			 path_of("rules"), path_of("log"), more);
	start_agent(arguments);
}

/* the agent's first message has come */
static Stream *
open_ready(void)
{
	Stream	   *stream = open_stream(NULL);

	if (!receive_message(stream))
		give_up("the stream ends before it begins");
	return stream;
}

static void
test_beginning(void)
{
	Stream	   *stream;

	start_with("", "--max-message-size 3MB");
	stream = open_ready();
	is_number(stream->answer_count, 0, "the first message comes before any call");
	is_number(stream->max_message_size, 3 * 1024 * 1024,
			  "and tells the largest request");
	call_by(stream, 1, STATE, (Order) {.cluster = "c", .attempt = "3"});
	expect_state_of(stream, 1, STOPPED, "a question");
	call_by(stream, 2, ON, (Order) {.cluster = "c", .request_id = "r1", .counter = 1});
	expect_state_of(stream, 2, RUNNING, "power on");
	call_by(stream, 3, OFF, (Order) {.cluster = "c", .request_id = "r2", .counter = 2});
	expect_state_of(stream, 3, STOPPED, "power off");
	finish_stream(stream, "half-closed, it ends well");
	is_number(count_lines("log", "\"attempt\":3", "\"stream\":true"), 1,
			  "the log has the attempt, and the stream");
	is_number(count_lines("log", "\"start\"", "\"stream\":true"), 2,
			  "with the orders, too");
	stop_agent();
}

static void
test_many(const char *more)
{
	Stream	   *stream;
	int			wrong = 0;

	start_with("", more);
	stream = open_ready();
	for (int i = 0; i < MANY; i++)
	{
		char		cluster[16];
		char		request_id[16];

		snprintf(cluster, sizeof(cluster), "c%d", i);
		snprintf(request_id, sizeof(request_id), "r%d", i);
		add_call(stream, i, ON, (Order)
				 {
					 .cluster = cluster, .request_id = request_id, .counter = 1
				 });
		if (i % 300 == 299)
			send_request(stream);
	}
	send_request(stream);
	half_close(stream);
	await_end(stream);
	is_number(stream->status, 0, "closed with calls under way, it ends well");
	for (int i = 0; i < MANY; i++)
		wrong += stream->answers[i].count != 1 || stream->answers[i].state != RUNNING;
	is_number(wrong, 0, "each call has one answer");
	is_number(stream->answer_count, MANY, "and there are no others");
	ok(stream->messages < MANY / 4, "in %d messages", stream->messages);
	free_stream(stream);
	stop_agent();
}

static void
test_alone(void)
{
	Stream	   *stream;
	Agent__StreamCall *call;

	start_with("slow latency=1h\n"
			   "later latency=100ms\n"
			   "busy status=UNAVAILABLE message=\"try again\" times=1\n"
			   "lost status=ABORTED when=after times=1\n"
			   "stuck hang\n", "");
	stream = open_ready();
	add_call(stream, 1, ON, (Order) {.cluster = "slow"});
	add_call(stream, 2, ON, (Order) {.cluster = "busy", .request_id = "r2"});
	add_call(stream, 3, ON, (Order) {.cluster = "lost", .request_id = "r3"});
	add_call(stream, 4, ON, (Order) {.cluster = "stuck"});
	call = add_call(stream, 5, ON, (Order) {.cluster = "bad"});
	call->request.data[0] = 0xff;
	add_call(stream, 6, 0, (Order) {.cluster = "method"});
	add_call(stream, 7, 99, (Order) {.cluster = "method"});
	call = add_call(stream, 8, OFF, (Order) {.cluster = "empty"});
	call->request.len = 0;
	add_call(stream, 9, ON, (Order) {.cluster = "plain"});
	send_request(stream);
	expect_state_of(stream, 9, RUNNING, "no call waits for another");
	expect_answer(stream, 2, GRPC_STATUS_UNAVAILABLE, "try again",
				  "a status by a rule");
	expect_answer(stream, 3, GRPC_STATUS_ABORTED, "injected",
				  "another one, after the order");
	expect_answer(stream, 5, GRPC_STATUS_INVALID_ARGUMENT, "protobuf",
				  "a request that is none spoils itself");
	expect_answer(stream, 6, GRPC_STATUS_UNIMPLEMENTED, "unknown method",
				  "no method");
	expect_answer(stream, 7, GRPC_STATUS_UNIMPLEMENTED, "unknown method",
				  "an unknown method");
	expect_answer(stream, 8, GRPC_STATUS_INVALID_ARGUMENT, "instances_id_list",
				  "an empty request");
	is_number(stream->answer_count, 7, "two calls are still under way");

	call_by(stream, 10, ON, (Order) {.cluster = "lost", .request_id = "r3"});
	expect_state_of(stream, 10, RUNNING, "a repetition gets its answer");
	add_cancelled(stream, 1);
	add_cancelled(stream, 4);
	add_cancelled(stream, 10);
	add_cancelled(stream, 4711);
	send_request(stream);
	ok(await_lines("log", "\"slow\"", "\"CANCELLED\"", 1), "a call is cancelled");
	ok(await_lines("log", "\"stuck\"", "\"CANCELLED\"", 1), "another, too");
	call_by(stream, 11, ON, (Order) {.cluster = "stuck", .deadline = 1});
	ok(await_lines("log", "\"stuck\"", "\"CANCELLED\"", 2),
	   "so is one whose time is up");
	call_by(stream, 1, ON, (Order) {.cluster = "later"});
	half_close(stream);
	await_end(stream);
	is_number(stream->status, 0, "the stream ends when the last one is answered");
	is_number(stream->answers[1].count, 1, "which it was");
	is_number(stream->answer_count, 9, "those cancelled were not");
	free_stream(stream);
	is_number(count_lines("log", "\"end\"", "\"CANCELLED\""), 3,
			  "nothing else was cancelled");
	stop_agent();
}

/* all metrics, to be freed; the agent has told in "ready" where they are */
static char *
scrape(void)
{
	static const char request[] = "GET /metrics HTTP/1.0\r\n\r\n";
	struct sockaddr_in address = {.sin_family = AF_INET};
	char	   *told = read_file("ready");
	char	   *port = strrchr(told, ':');
	char	   *text = calloc(1, 1 << 18);
	int			fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	address.sin_port = htons(port != NULL ? (uint16_t) atoi(port + 1) : 0);
	if (connect(fd, (struct sockaddr *) &address, sizeof(address)) != 0 ||
		write(fd, request, strlen(request)) != (ssize_t) strlen(request))
		give_up("no metrics");
	read_all(fd, text, 1 << 18);
	free(told);
	return text;
}

/* what is counted comes soon, but perhaps not before the answer */
static void
await_metric(const char *line)
{
	int64_t		end = now_ms() + PATIENCE * 1000;
	bool		found;

	do
	{
		char	   *text = scrape();

		found = strstr(text, line) != NULL;
		free(text);
	}
	while (!found && now_ms() < end);
	ok(found, "%s", line);
}

#define CALLS "power_agent_calls_"

static void
test_metrics(void)
{
	char		arguments[256];
	Stream	   *stream;

	snprintf(arguments, sizeof(arguments),
			 "--metrics 127.0.0.1:0 --ready-file %s", path_of("ready"));
	start_with("stuck hang\n", arguments);
	stream = open_ready();
	add_call(stream, 1, ON, (Order) {.cluster = "stuck"});
	add_call(stream, 2, ON, (Order) {.cluster = "c"});
	add_call(stream, 3, 99, (Order) {.cluster = "c"});
	send_request(stream);
	await_answers(stream, 2);
	await_metric(CALLS "in_flight{method=\"PowerStream\"} 1\n");
	await_metric(CALLS "in_flight{method=\"PowerOnCluster\"} 1\n");
	await_metric(CALLS "total{method=\"PowerOnCluster\",code=\"OK\"} 1\n");
	await_metric(CALLS "total{method=\"unknown\",code=\"UNIMPLEMENTED\"} 1\n");
	cancel_stream(stream);
	await_metric(CALLS "total{method=\"PowerOnCluster\",code=\"CANCELLED\"} 1\n");
	await_metric(CALLS "total{method=\"PowerStream\",code=\"CANCELLED\"} 1\n");
	await_metric(CALLS "in_flight{method=\"PowerOnCluster\"} 0\n");
	await_metric(CALLS "in_flight{method=\"unknown\"} 0\n");
	stream = open_ready();
	finish_stream(stream, "a stream without a call");
	await_metric(CALLS "total{method=\"PowerStream\",code=\"OK\"} 1\n");
	await_metric(CALLS "in_flight{method=\"PowerStream\"} 0\n");
	stop_agent();
}

static void
test_drop(void)
{
	Stream	   *stream;

	start_with("cut drop times=1\nstuck hang\n", "");
	stream = open_ready();
	add_call(stream, 1, ON, (Order) {.cluster = "stuck"});
	add_call(stream, 2, ON, (Order) {.cluster = "cut"});
	send_request(stream);
	await_end(stream);
	ok(stream->status == GRPC_STATUS_UNAVAILABLE && stream->answer_count == 0,
	   "a rule drops the connection of the stream");
	free_stream(stream);
	ok(await_lines("log", "\"end\"", "\"CANCELLED\"", 2), "all its calls have lost");
	stream = open_ready();
	call_by(stream, 1, ON, (Order) {.cluster = "cut"});
	expect_state_of(stream, 1, RUNNING, "the next stream works");
	finish_stream(stream, "to its end");
	stop_agent();
}

/* one order, whichever way its repetitions come */
static void
test_ledger(void)
{
	Stream	   *stream;
	Order		order = {.cluster = "c", .request_id = "r1", .counter = 5};
	Call	   *call;

	start_with("c latency=100ms times=1\n", "");
	stream = open_ready();
	call_by(stream, 1, ON, order);
	call = begin_call(POWER_ON, order);
	expect_state_of(stream, 1, RUNNING, "is answered by the stream");
	end_call(call);
	expect_state(call, RUNNING, "and by a call of its own");
	call_by(stream, 2, ON, order);
	expect_state_of(stream, 2, RUNNING, "and from memory");
	is_number(count_lines("log", "\"start\"", "\"r1\""), 1, "but is one order");
	is_number(count_lines("log", "\"end\"", "\"duplicate\":true"), 2,
			  "with two repetitions");
	order.request_id = "r2";
	order.counter = 4;
	call_by(stream, 3, OFF, order);
	expect_answer(stream, 3, GRPC_STATUS_FAILED_PRECONDITION, "stale order",
				  "a stale order is refused");
	finish_stream(stream, "the stream goes on to its end");
	stop_agent();
}

static void
test_size(void)
{
	Stream	   *stream;
	int			wrong = 0;

	start_with("large size=100kB\n", "--max-message-size 100kB");
	stream = open_ready();
	stream->request.max_message_size = 2000;
	add_call(stream, 1000, ON, (Order) {.cluster = "large"});
	for (int i = 0; i < 200; i++)
		add_call(stream, i, ON, (Order) {.cluster = "c"});
	send_request(stream);
	expect_answer(stream, 1000, GRPC_STATUS_RESOURCE_EXHAUSTED, "2000",
				  "a reply that is too large for the client");
	await_answers(stream, 201);
	for (int i = 0; i < 200; i++)
		wrong += stream->answers[i].count != 1;
	is_number(wrong, 0, "is alone with that");
	ok(stream->largest <= 2000, "no message is too large: %zu", stream->largest);
	finish_stream(stream, "the stream goes on");
	is_number(count_lines("log", "\"start\"", "\"large\""), 1,
			  "the order was carried out");

	stream = open_ready();
	for (int i = 0; i < 100; i++)
		add_call(stream, i, ON, (Order) {.cluster = "large"});
	send_request(stream);
	await_answers(stream, 100);
	ok(stream->answers[99].length > 100 * 1024 && stream->messages >= 101,
	   "large replies have a message each");
	send_bytes(stream, calloc(1, 200 * 1024), 200 * 1024);
	expect_end(stream, GRPC_STATUS_RESOURCE_EXHAUSTED, "",
			   "a request that is too large for the agent ends the stream");
	stop_agent();
}

static void
test_token(void)
{
	char		arguments[160];
	mode_t		mask = umask(077);
	Stream	   *stream;

	write_file("tokens", "good\n");
	snprintf(arguments, sizeof(arguments), "--token-file %s", path_of("tokens"));
	start_with("stuck hang\n", arguments);
	expect_end(open_stream(NULL), GRPC_STATUS_UNAUTHENTICATED, "no token",
			   "a stream without a token");
	expect_end(open_stream("Bearer bad"), GRPC_STATUS_UNAUTHENTICATED, "not one of",
			   "with a wrong one");
	stream = open_stream("Bearer good");
	ok(receive_message(stream), "with a good one");
	add_call(stream, 1, ON, (Order) {.cluster = "c"});
	add_call(stream, 2, ON, (Order) {.cluster = "stuck"});
	send_request(stream);
	expect_state_of(stream, 1, RUNNING, "which is that of its calls");
	write_file("tokens", "other\n");
	call_by(stream, 3, ON, (Order) {.cluster = "c"});
	expect_answer(stream, 3, GRPC_STATUS_UNAUTHENTICATED, "not one of",
				  "until it is revoked");
	write_file("tokens", "good\n");
	add_call(stream, 4, ON, (Order) {.cluster = "c"});
	add_cancelled(stream, 2);
	send_request(stream);
	expect_state_of(stream, 4, RUNNING, "or again when it is not");
	finish_stream(stream, "the stream goes on meanwhile");
	stop_agent();
	unlink(path_of("tokens"));
	umask(mask);
}

/* with the client everything goes that waits, and nobody's turn comes */
static void
test_vanishing(void)
{
	Stream	   *stream;

	start_with("lane latency=1h times=1\n", "");
	stream = open_ready();
	for (int i = 0; i < 5; i++)
		add_call(stream, i, ON, (Order) {.cluster = "lane"});
	add_call(stream, 5, STATE, (Order) {.cluster = "other"});
	send_request(stream);
	await_answer(stream, 5);
	is_number(stream->answer_count, 1, "orders that wait for each other");
	cancel_stream(stream);
	ok(await_lines("log", "\"lane\"", "\"CANCELLED\"", 5), "go with their client");
	await_arrival();
	is_number(count_lines("log", "\"start\"", ""), 0, "none was given");
	stop_agent();
}

static void
test_broken(void)
{
	Stream	   *stream;
	uint8_t    *bytes;
	size_t		length;

	start_with("stuck hang\n", "");
	stream = open_ready();
	call_by(stream, 1, ON, (Order) {.cluster = "stuck"});
	add_call(stream, 2, ON, (Order) {.cluster = "c"});
	add_call(stream, 1, ON, (Order) {.cluster = "twice"});
	add_call(stream, 3, ON, (Order) {.cluster = "behind"});
	send_request(stream);
	expect_end(stream, GRPC_STATUS_INVALID_ARGUMENT, "call_id",
			   "a call_id that is in use ends the stream");
	ok(await_lines("log", "\"stuck\"", "\"CANCELLED\"", 1), "and its calls");
	is_number(count_lines("log", "\"twice\"", "") + count_lines("log", "\"behind\"", ""),
			  0, "what comes behind is not begun");

	stream = open_ready();
	add_call(stream, 1, ON, (Order) {.cluster = "before"});
	bytes = take_request_bytes(stream, &length);
	bytes = realloc(bytes, length + 1);
	bytes[length] = 0xff;
	send_bytes(stream, bytes, length + 1);
	expect_end(stream, GRPC_STATUS_INVALID_ARGUMENT, "StreamRequest",
			   "so does a message that is none");
	await_arrival();
	is_number(count_lines("log", "\"before\"", ""), 0, "of which nothing is begun");
	stop_agent();
}

static void
test_slow_reader(void)
{
	Stream	   *stream;
	int			wrong = 0;
	int			taken;

	start_with("* size=100kB on\n", "");
	stream = open_ready();
	for (int i = 0; i < 200; i++)
		call_by(stream, i, ON, (Order) {.cluster = "c"});
	/* each goes round the agent's only thread */
	for (int i = 0; i < 50; i++)
		await_arrival();
	taken = count_lines("log", "\"end\"", "PowerOnCluster");
	ok(taken < 150, "nothing is taken from a client that does not read: %d", taken);
	half_close(stream);
	await_end(stream);
	for (int i = 0; i < 200; i++)
		wrong += stream->answers[i].count != 1 || stream->answers[i].status != 0;
	ok(stream->status == 0 && wrong == 0, "until it does");
	free_stream(stream);

	/* such a one does not keep the agent, either */
	stream = open_ready();
	for (int i = 0; i < 50; i++)
		call_by(stream, i, ON, (Order) {.cluster = "c"});
	cancel_stream(stream);
	is_number(stop_agent(), 0, "the agent ends");
}

static void
test_drain(void)
{
	Stream	   *idle;
	Stream	   *stream;
	int			id = 3;

	start_with("later latency=300ms\nstuck hang\n", "--drain-timeout 1h");
	idle = open_ready();
	stream = open_ready();
	add_call(stream, 1, ON, (Order) {.cluster = "later"});
	add_call(stream, 2, ON, (Order) {.cluster = "stuck"});
	add_call(stream, 3, ON, (Order) {.cluster = "c"});
	send_request(stream);
	await_answer(stream, 3);
	kill(agent_pid, SIGTERM);
	expect_end(idle, GRPC_STATUS_UNAVAILABLE, "shutting down",
			   "an idle stream ends with the agent");
	expect_state_of(stream, 1, RUNNING, "calls under way are answered");
	call_by(stream, ++id, ON, (Order) {.cluster = "c"});
	expect_answer(stream, id, GRPC_STATUS_UNAVAILABLE, "shutting down",
				  "new ones are refused");
	ok(stream->answers[id].not_started, "and not started");
	add_cancelled(stream, 2);
	send_request(stream);
	expect_end(stream, GRPC_STATUS_UNAVAILABLE, "shutting down",
			   "with the last call the stream ends");
	is_number(await_agent(), 0, "and so does the agent");
	is_number(count_lines("log", "\"end\"", "\"c\""), 1, "which took nothing more");
	stop_agent();

	start_with("stuck hang\n", "--drain-timeout 100ms");
	stream = open_ready();
	add_call(stream, 1, ON, (Order) {.cluster = "stuck"});
	add_call(stream, 2, ON, (Order) {.cluster = "c"});
	send_request(stream);
	await_answer(stream, 2);
	kill(agent_pid, SIGTERM);
	await_end(stream);
	ok(stream->status != GRPC_STATUS_OK, "the patience ends with the drain timeout");
	free_stream(stream);
	is_number(await_agent(), 0, "and the agent with it");
	stop_agent();
}

#define ORDERS	300
#define ROUNDS	4

static void
add_order(Stream *stream, int number)
{
	char		cluster[16];
	char		request_id[16];

	snprintf(cluster, sizeof(cluster), "c%d.", number % 100);
	snprintf(request_id, sizeof(request_id), "r%d.", number);
	add_call(stream, number, number % 2 ? ON : OFF, (Order)
			 {
				 .cluster = cluster, .request_id = request_id
			 });
}

/*
 * Calls and streams end at any moment, and what was not answered comes again
 * by another: each request is carried out exactly once.
 */
static void
test_once(const char *more)
{
	static bool answered[ORDERS];
	unsigned	chance = 1;
	int			left = ORDERS;
	int			wrong = 0;

	memset(answered, 0, sizeof(answered));
	start_with("* latency=3ms\n", more);
	for (int round = 0; left > 0 && round < ROUNDS; round++)
	{
		bool		last = round == ROUNDS - 1;

		Stream	   *stream = open_ready();

		for (int i = 0; i < ORDERS; i++)
		{
			chance = chance * 1103515245u + 12345u;
			if (answered[i])
				continue;
			add_order(stream, i);
			if (chance >> 28 == 0)
				send_request(stream);
			if (!last && chance >> 30 == 1)
				add_cancelled(stream, i - (chance >> 20) % 8);
		}
		send_request(stream);
		await_answers(stream, last ? left : left / 2);
		for (int i = 0; i < ORDERS; i++)
		{
			const Answer *answer = &stream->answers[i];

			if (answer->count > 0 && answer->status == 0)
				answered[i] = true;
			wrong += answer->count > 1 ||
				(answer->status != 0 && answer->status != GRPC_STATUS_ABORTED);
		}
		left = 0;
		for (int i = 0; i < ORDERS; i++)
			left += !answered[i];
		cancel_stream(stream);
	}
	is_number(left, 0, "every request is answered in the end");
	is_number(stop_agent(), 0, "the agent ends");
	for (int i = 0; i < ORDERS; i++)
	{
		char		request_id[20];
		int			orders;

		snprintf(request_id, sizeof(request_id), "\"r%d.\"", i);
		orders = count_lines("log", "\"start\"", request_id) -
			count_lines("log", "\"withdrawn\"", request_id);
		if (orders != 1)
		{
			wrong++;
			printf("# request %d: %d orders\n", i, orders);
		}
	}
	is_number(wrong, 0, "each was carried out once");
}

static void
test_not_offered(const char *arguments)
{
	start_agent(arguments);
	expect_end(open_stream(NULL), GRPC_STATUS_UNIMPLEMENTED, "", arguments);
	stop_agent();
}

int
main(int argc, char **argv)
{
	char		state[160];

	begin_tests(argc, argv);
	snprintf(state, sizeof(state), "--threads 2 --state %s", path_of("state"));
	test_beginning();
	test_many("");
	test_many("--threads 4");
	test_many(state);
	test_alone();
	test_metrics();
	test_drop();
	test_ledger();
	test_size();
	test_token();
	test_vanishing();
	test_broken();
	test_slow_reader();
	test_drain();
	test_once("");
	test_once("--threads 4");
	test_once(state);
	test_not_offered("--legacy");
	test_not_offered("--max-concurrent-streams 100");
	return end_tests();
}
