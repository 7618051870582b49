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

int
main(int argc, char **argv)
{
	begin_tests(argc, argv);
	test_beginning();
	test_many("");
	return end_tests();
}
