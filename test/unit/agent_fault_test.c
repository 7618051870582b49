/* objects: */
/* needs: power_agent */
/*-------------------------------------------------------------------------
 *
 * test/unit/agent_fault_test.c
 *		Every way in which the agent can be made to misbehave, and changing
 *		them while it runs.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE 1

#include "agent_client.h"

static void
start_with_rules(const char *rules)
{
	char		arguments[256];

	unlink(path_of("log"));
	write_file("rules", rules);
	snprintf(arguments, sizeof(arguments), "--behaviour %s --log %s --log-sync",
			 path_of("rules"), path_of("log"));
	start_agent(arguments);
}

static Call *
power_on(const char *cluster)
{
	return make_call(POWER_ON, (Order) {.cluster = cluster});
}

static void
test_status(void)
{
	start_with_rules("busy off status=UNAVAILABLE message=\"try again\" times=2\n"
					 "late status=ABORTED when=after times=1\n"
					 "slow latency=100ms\n"
					 "slower latency=100ms status=INTERNAL\n"
					 "* status=PERMISSION_DENIED state\n");
	expect_state(power_on("busy"), RUNNING, "a rule for one method leaves the others");
	expect_status(make_call(POWER_OFF, (Order) {.cluster = "busy"}),
				  GRPC_STATUS_UNAVAILABLE, "try again", "a status with its message");
	expect_status(make_call(POWER_OFF, (Order) {.cluster = "busy"}),
				  GRPC_STATUS_UNAVAILABLE, "try again", "a second time");
	expect_state(make_call(POWER_OFF, (Order) {.cluster = "busy"}), STOPPED,
				 "then the rule is used up");
	is_number(count_lines("log", "\"start\"", "\"PowerOffCluster\""), 1,
			  "nothing was done before");
	expect_status(make_call(GET_STATE, (Order) {.cluster = "busy"}),
				  GRPC_STATUS_PERMISSION_DENIED, "injected", "* is every cluster");

	expect_status(make_call(POWER_ON, (Order)
							{
								.cluster = "late", .request_id = "r1", .counter = 1
							}), GRPC_STATUS_ABORTED, NULL, "when=after loses the answer");
	expect_state(make_call(POWER_ON, (Order)
						   {
							   .cluster = "late", .request_id = "r1", .counter = 2
						   }), RUNNING, "a repetition gets it");
	is_number(count_lines("log", "\"start\"", "\"late\""), 1, "the order was given once");
	is_number(count_lines("log", "\"ABORTED\"", "\"executed\":true"), 1,
			  "by the call that failed");
	{
		int64_t		began = now_ms();

		expect_state(power_on("slow"), RUNNING, "latency");
		ok(now_ms() - began >= 100, "takes its time");
		began = now_ms();
		expect_status(power_on("slower"), GRPC_STATUS_INTERNAL, NULL,
					  "a status after some latency");
		ok(now_ms() - began >= 100, "takes its time, too");
	}
	stop_agent();
}

static void
test_reply(void)
{
	Call	   *call;

	start_with_rules("refused error=42 message=\"no budget\"\n"
					 "partial partial=1\n"
					 "named partial=i-1 message=\"out of capacity\"\n"
					 "all partial=5\n"
					 "large size=100kB\n"
					 "garbage garbage\n"
					 "binary invalid-utf8\n"
					 "foreign foreign=i-8,i-9\n"
					 "strangers foreign=2\n"
					 "wordy message=\"well done\"\n"
					 "accepts accept-only\n"
					 "lazy accept-only act-after=150ms\n");
	call = power_on("refused");
	ok(call->status == GRPC_STATUS_OK && call->reply->error == 42, "a reply with an error");
	is_string(call->reply->message, "no budget", "and its message");
	free_call(call);
	is_number(count_lines("log", "\"executed\":false", "\"error\":42"), 1,
			  "is not an order");
	expect_state(make_call(GET_STATE, (Order) {.cluster = "refused"}), STOPPED,
				 "and changes nothing");

	call = power_on("partial");
	ok(state_of(call, "i-1") == RUNNING && state_of(call, "i-2") == STOPPED,
	   "the last one does not follow");
	free_call(call);
	call = power_on("named");
	ok(state_of(call, "i-1") == STOPPED && state_of(call, "i-2") == RUNNING,
	   "the named one does not follow");
	for (size_t i = 0; i < call->reply->n_instance_states; i++)
	{
		if (strcmp(call->reply->instance_states[i]->instance_id, "i-1") == 0)
			is_string(call->reply->instance_states[i]->message, "out of capacity",
					  "and says why");
	}
	free_call(call);
	call = power_on("all");
	ok(state_of(call, "i-1") == STOPPED && state_of(call, "i-2") == STOPPED,
	   "none follows");
	free_call(call);
	is_number(count_lines("log", "\"start\"", "\"all\""), 0, "and none was told to");

	call = power_on("large");
	ok(call->reply_length >= 100 * 1024 && call->reply_length < 101 * 1024 &&
	   state_of(call, "i-1") == RUNNING, "a reply of some size");
	free_call(call);
	call = power_on("garbage");
	ok(call->status == GRPC_STATUS_OK && call->reply_length > 0 && call->reply == NULL,
	   "a reply that is garbage");
	free_call(call);
	call = power_on("binary");
	ok(call->reply != NULL && strchr(call->reply->message, 0xff) != NULL &&
	   state_of(call, "i-1") == RUNNING, "a message that is no text");
	free_call(call);
	call = power_on("foreign");
	ok(call->reply->n_instance_states == 4 && state_of(call, "i-8") == RUNNING &&
	   state_of(call, "i-9") == RUNNING, "instances that nobody asked for");
	free_call(call);
	call = power_on("strangers");
	ok(call->reply->n_instance_states == 4 && state_of(call, "foreign-2") == RUNNING,
	   "or some number of them");
	free_call(call);
	call = power_on("wordy");
	is_string(call->reply->message, "well done", "a message of a good reply");
	free_call(call);

	call = power_on("accepts");
	ok(call->reply->error == 0 && call->reply->n_instance_states == 0,
	   "accept-only has no states");
	free_call(call);
	await_state("accepts", RUNNING);
	{
		int64_t		began = now_ms();

		free_call(make_call(POWER_ON, (Order) {.cluster = "lazy", .request_id = "r1"}));
		await_state("lazy", RUNNING);
		ok(now_ms() - began >= 150, "and acts later, if it is told to");
	}
	call = make_call(POWER_ON, (Order) {.cluster = "lazy", .request_id = "r1"});
	ok(call->reply->n_instance_states == 0, "a repetition is accepted alike");
	free_call(call);
	is_number(count_lines("log", "\"start\"", "\"lazy\""), 1, "but not carried out");
	stop_agent();
}

static void
test_hang(void)
{
	Call	   *call;

	start_with_rules("never hang\n"
					 "lost hang when=after times=1\n");
	expect_status(make_call(POWER_ON, (Order) {.cluster = "never", .deadline = 100}),
				  GRPC_STATUS_DEADLINE_EXCEEDED, NULL, "a call that hangs");
	call = begin_call(GET_STATE, (Order) {.cluster = "never"});
	await_arrival();
	grpc_call_cancel(call->call, NULL);
	end_call(call);
	expect_status(call, GRPC_STATUS_CANCELLED, NULL, "until it is cancelled");
	ok(await_lines("log", "\"never\"", "\"CANCELLED\"", 2), "the agent hears of both");
	is_number(count_lines("log", "\"start\"", "\"never\""), 0, "and did nothing");
	expect_status(make_call(POWER_ON, (Order)
							{
								.cluster = "lost", .request_id = "r1", .deadline = 1000
							}), GRPC_STATUS_DEADLINE_EXCEEDED, NULL,
				  "an answer that is lost");
	call = make_call(POWER_ON, (Order) {.cluster = "lost", .request_id = "r1"});
	expect_state(call, RUNNING, "is told to the repetition");
	is_number(count_lines("log", "\"start\"", "\"lost\""), 1, "of the one order");
	stop_agent();
}

/*
 * A call right after a connection has broken may be put on it by the client
 * all the same, and fail with it.
 */
static Call *
call_again(const char *method, const char *cluster)
{
	int64_t		end = now_ms() + PATIENCE * 1000;
	Call	   *call = make_call(method, (Order) {.cluster = cluster});

	while (call->status == GRPC_STATUS_UNAVAILABLE && now_ms() < end)
	{
		free_call(call);
		call = make_call(method, (Order) {.cluster = cluster});
	}
	return call;
}

static void
test_drop_at(const char *address)
{
	char		arguments[256];
	Call	   *other;

	write_file("rules", "dropped drop times=1\nafter drop when=after times=1\nwaits hang\n");
	snprintf(arguments, sizeof(arguments), "--behaviour %s", path_of("rules"));
	start_agent_at(address, arguments);
	other = begin_call(POWER_ON, (Order) {.cluster = "waits"});
	await_arrival();
	expect_status(power_on("dropped"), GRPC_STATUS_UNAVAILABLE, NULL,
				  "the connection breaks");
	end_call(other);
	expect_status(other, GRPC_STATUS_UNAVAILABLE, NULL, "for other calls on it, too");
	expect_state(call_again(POWER_ON, "dropped"), RUNNING, "and can be made again");
	expect_status(power_on("after"), GRPC_STATUS_UNAVAILABLE, NULL,
				  "after the order, too");
	expect_state(call_again(GET_STATE, "after"), RUNNING, "which was carried out");
	stop_agent();
}

static void
test_drop(void)
{
	char		address[160];

	snprintf(address, sizeof(address), "unix:%s", path_of("socket"));
	test_drop_at(address);
	test_drop_at("127.0.0.1:0");
	test_drop_at("[::1]:0");

	start_with_rules("crash crash when=after\n");
	expect_status(power_on("crash"), GRPC_STATUS_UNAVAILABLE, NULL, "the agent dies");
	is_number(await_agent(), -SIGKILL, "by a signal");
	is_number(count_lines("log", "\"start\"", "\"crash\""), 1,
			  "the log knows what it did");
	stop_agent();
}

static void
test_reload(void)
{
	char		arguments[256];
	char	   *errors;

	start_with_rules("c1 status=ABORTED\n");
	expect_status(power_on("c1"), GRPC_STATUS_ABORTED, NULL, "the first rules");
	write_file("rules", "c1 status=INTERNAL\n");
	expect_status(power_on("c1"), GRPC_STATUS_INTERNAL, NULL,
				  "the next call meets the new rules");
	write_file("rules", "c1 status=ABORTED\nc1 nonsense\n");
	expect_status(power_on("c1"), GRPC_STATUS_INTERNAL, NULL,
				  "bad rules leave the old ones in place");
	free_call(power_on("c1"));
	errors = read_file("errors");
	ok(strstr(errors, "rules:2: unknown word \"nonsense\"; the rules stay as they are") &&
	   strstr(strstr(errors, "nonsense") + 1, "nonsense") == NULL,
	   "and are told of once");
	free(errors);
	unlink(path_of("rules"));
	expect_status(power_on("c1"), GRPC_STATUS_INTERNAL, NULL, "so does no file at all");
	write_file("rules", "c1 error=1 times=1\n");
	free_call(power_on("c1"));
	expect_state(power_on("c1"), RUNNING, "new rules again, and used up");
	kill(agent_pid, SIGHUP);
	{
		int64_t		end = now_ms() + PATIENCE * 1000;
		bool		refused;

		do
		{
			Call	   *call = power_on("c1");

			refused = call->reply != NULL && call->reply->error == 1;
			free_call(call);
		}
		while (!refused && now_ms() < end);
		ok(refused, "SIGHUP reads the file again, and it counts anew");
	}
	stop_agent();

	write_file("rules", "c1 latency=1ms\n");
	snprintf(arguments, sizeof(arguments),
			 "--behaviour %s --error 7 --message=no --method off --times 1",
			 path_of("rules"));
	start_agent(arguments);
	expect_state(make_call(POWER_OFF, (Order) {.cluster = "c1"}), STOPPED,
				 "a rule of the file goes before the options");
	{
		Call	   *call = make_call(POWER_OFF, (Order) {.cluster = "c2"});

		ok(call->reply != NULL && call->reply->error == 7, "which are for all others");
		free_call(call);
	}
	stop_agent();
}

int
main(int argc, char **argv)
{
	begin_tests(argc, argv);
	test_status();
	test_reply();
	test_hang();
	test_drop();
	test_reload();
	return end_tests();
}
