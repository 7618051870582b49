/* objects: agent/ec2_query agent/ec2_pace agent/flat_json agent/arena */
/*-------------------------------------------------------------------------
 *
 * test/unit/agent_ec2_test.c
 *		The pure parts of the provider ec2: bodies, answers, errors, pace, and
 *		the JSON of the instance metadata service.
 *
 *-------------------------------------------------------------------------
 */
#include "agent/ec2_pace.h"
#include "agent/ec2_query.h"
#include "agent/flat_json.h"

#include <stdlib.h>

#include "unit.h"

static PaArena arena;

static void
test_bodies(void)
{
	const char *ids[] = {"i-1", "i~/ 2"};

	is_string(pa_ec2_query_body(&arena, PA_PROVIDER_START, ids, 2, NULL),
			  "Action=StartInstances&Version=2016-11-15&InstanceId.1=i-1&InstanceId.2=i~%2F%202",
			  "a start");
	is_string(pa_ec2_query_body(&arena, PA_PROVIDER_STOP, ids, 1, NULL),
			  "Action=StopInstances&Version=2016-11-15&InstanceId.1=i-1",
			  "a stop");
	is_string(pa_ec2_query_body(&arena, PA_PROVIDER_DESCRIBE, ids, 1, "a+/=\xc3\xbc"),
			  "Action=DescribeInstances&Version=2016-11-15&Filter.1.Name=instance-id&MaxResults=1000&Filter.1.Value.1=i-1&NextToken=a%2B%2F%3D%C3%BC",
			  "a further page");
	pa_arena_empty(&arena);
}

static void
test_names(void)
{
	ok(pa_ec2_query_is_id("i-0123456789abcdef0"), "an id");
	ok(!pa_ec2_query_is_id(""), "no id");
	ok(!pa_ec2_query_is_id("i-*"), "a wildcard");
	ok(!pa_ec2_query_is_id("i-?"), "another wildcard");
	ok(!pa_ec2_query_is_id("i-1\\"), "what hides a wildcard");
	ok(pa_ec2_query_is_region("us-gov-west-1"), "a region");
	ok(!pa_ec2_query_is_region(""), "no region");
	ok(!pa_ec2_query_is_region("-eu"), "a hyphen in front");
	ok(!pa_ec2_query_is_region("eu.west"), "a dot");
	ok(!pa_ec2_query_is_region("EU"), "capitals");
	ok(pa_ec2_query_names("The instance IDs 'i-1, i-2' do not exist", "i-2"),
	   "named in a list");
	ok(!pa_ec2_query_names("The instance ID 'i-12' does not exist", "i-1"),
	   "the beginning of another is not named");
	ok(!pa_ec2_query_names("instance/xi-1", "i-1"), "nor its end");
	ok(pa_ec2_query_names("i-12 and i-1", "i-1"), "behind such a one");
	ok(pa_ec2_query_names("i-1", "i-1"), "nothing but the name");
}

static PaEc2Answer *
read_text(const char *text)
{
	return pa_ec2_query_read(&arena, text, strlen(text));
}

#define DESCRIBE(item) \
	"<?xml version=\"1.0\"?><DescribeInstancesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">" \
	"<requestId>r</requestId><reservationSet><item><instancesSet>" item \
	"</instancesSet></item></reservationSet>"
#define STATE(name) \
	"<item><instanceId>i-1</instanceId><instanceState><code>272</code><name>" \
	name "</name></instanceState></item>"

static void
test_states(void)
{
	static const struct
	{
		const char *text;
		PaInstanceState state;
		bool		doomed;
		const char *name;
	}			cases[] = {
		{DESCRIBE(STATE("pending")) "</DescribeInstancesResponse>",
		PA_INSTANCE_STARTING, false, "pending"},
		{DESCRIBE(STATE("running")) "</DescribeInstancesResponse>",
		PA_INSTANCE_RUNNING, false, "running"},
		{DESCRIBE(STATE("stopping")) "</DescribeInstancesResponse>",
		PA_INSTANCE_STOPPING, false, "stopping"},
		{DESCRIBE(STATE("stopped")) "</DescribeInstancesResponse>",
		PA_INSTANCE_STOPPED, false, "stopped"},
		{DESCRIBE(STATE("shutting-down")) "</DescribeInstancesResponse>",
		PA_INSTANCE_STOPPING, true, "shutting-down"},
		{DESCRIBE(STATE("terminated")) "</DescribeInstancesResponse>",
		PA_INSTANCE_TERMINATED, true, "terminated"},
		{DESCRIBE(STATE("new-one")) "</DescribeInstancesResponse>",
		PA_INSTANCE_UNKNOWN, false, "a state that is not known"},
		{DESCRIBE("<item><instanceId>i-1</instanceId></item>")
			"</DescribeInstancesResponse>",
		PA_INSTANCE_UNKNOWN, false, "no state"}
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		PaEc2Answer *answer = read_text(cases[i].text);

		ok(answer != NULL && answer->count == 1 &&
		   strcmp(answer->instances[0].id, "i-1") == 0 &&
		   answer->instances[0].state == cases[i].state &&
		   answer->instances[0].doomed == cases[i].doomed, "%s", cases[i].name);
		pa_arena_empty(&arena);
	}
}

static void
test_answers(void)
{
	PaEc2Answer *answer;

	answer = read_text(DESCRIBE(STATE("running") STATE("stopped"))
					   "<nextToken>a+/=&amp;</nextToken></DescribeInstancesResponse>");
	if (ok(answer != NULL, "a page"))
	{
		is_number(answer->count, 2, "of two instances");
		is_string(answer->next_token, "a+/=&", "and one that follows");
	}
	answer = read_text(DESCRIBE("<item><instanceId>i-1</instanceId>"
								"<stateReason><code>Server.SpotInstanceShutdown</code>"
								"<message>a\nb</message></stateReason></item>"
								"<item><instanceId>i-2</instanceId>"
								"<stateReason><code>Client.UserInitiatedShutdown</code>"
								"<message>by user</message></stateReason></item>")
					   "</DescribeInstancesResponse>");
	if (ok(answer != NULL && answer->count == 2, "reasons"))
	{
		is_string(answer->instances[0].reason, "a b", "of the cloud, cleaned");
		ok(answer->instances[1].reason == NULL, "not those of users");
	}
	answer = read_text("<StopInstancesResponse><instancesSet><item>"
					   "<instanceId>i-1</instanceId>"
					   "<currentState><name>stopping</name></currentState>"
					   "<previousState><name>running</name></previousState>"
					   "</item></instancesSet></StopInstancesResponse>");
	ok(answer != NULL && answer->count == 1 &&
	   answer->instances[0].state == PA_INSTANCE_STOPPING, "a stop");
	answer = read_text("<Response><Errors><Error><Code>A.B</Code>"
					   "<Message><![CDATA[x <y>]]> z</Message></Error></Errors>"
					   "<RequestID>r</RequestID></Response>");
	if (ok(answer != NULL && answer->error_code != NULL, "an error"))
	{
		is_string(answer->error_code, "A.B", "its code");
		is_string(answer->error_message, "x <y> z", "its message");
		is_string(pa_ec2_query_text(&arena, answer->error_code,
									answer->error_message),
				  "A.B: x <y> z", "for people");
	}
	answer = read_text("<ErrorResponse><Error><Code>C</Code></Error></ErrorResponse>");
	ok(answer != NULL && answer->error_message == NULL,
	   "an error as other services have it");
	pa_arena_empty(&arena);
}

static void
test_bad_answers(void)
{
	char	   *deep = malloc(3000001);

	ok(read_text("") == NULL, "nothing");
	ok(read_text("<a") == NULL, "no XML");
	ok(read_text("<html/>") == NULL, "another document");
	ok(read_text("<Response><Errors/></Response>") == NULL, "an error without a code");
	ok(read_text("<DescribeInstancesResponse/>") == NULL, "no reservations");
	ok(read_text(DESCRIBE("<item><instanceId>i 1</instanceId></item>")
				 "</DescribeInstancesResponse>") == NULL, "an id that is none");
	ok(read_text(DESCRIBE("<item/>") "</DescribeInstancesResponse>") == NULL,
	   "an instance without an id");
	ok(read_text("<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]>"
				 "<Response><Errors><Error><Code>&b;</Code></Error></Errors></Response>")
	   == NULL, "an entity");
	ok(read_text("<!DOCTYPE Response><Response><Errors><Error><Code>A</Code>"
				 "</Error></Errors></Response>") == NULL, "a document type");
	for (int i = 0; i < 1000000; i++)
		memcpy(deep + 3 * i, "<a>", 3);
	deep[3000000] = '\0';
	ok(read_text(deep) == NULL, "no bottom");
	free(deep);
	pa_arena_empty(&arena);
}

static void
test_kinds(void)
{
	is_number(pa_ec2_query_kind(503, "RequestLimitExceeded"), PA_EC2_THROTTLED,
			  "RequestLimitExceeded");
	is_number(pa_ec2_query_kind(429, NULL), PA_EC2_THROTTLED, "429");
	is_number(pa_ec2_query_kind(503, NULL), PA_EC2_BROKEN, "503");
	is_number(pa_ec2_query_kind(500, "NewError"), PA_EC2_BROKEN, "500");
	is_number(pa_ec2_query_kind(500, "InsufficientInstanceCapacity"),
			  PA_EC2_REFUSED, "capacity");
	is_number(pa_ec2_query_kind(400, "InvalidInstanceID.NotFound"),
			  PA_EC2_MISSING, "missing");
	is_number(pa_ec2_query_kind(400, "IncorrectInstanceState"), PA_EC2_STATE,
			  "state");
	is_number(pa_ec2_query_kind(400, "RequestExpired"), PA_EC2_EXPIRED, "clock");
	is_number(pa_ec2_query_kind(401, "AuthFailure"), PA_EC2_UNAUTHENTICATED,
			  "keys");
	is_number(pa_ec2_query_kind(403, "UnauthorizedOperation"), PA_EC2_DENIED,
			  "rights");
	is_number(pa_ec2_query_kind(403, NULL), PA_EC2_DENIED, "403");
	is_number(pa_ec2_query_kind(400, "NewError"), PA_EC2_REFUSED, "anything else");
}

static void
test_pace(void)
{
	PaEc2Pace	pace;
	int64_t		now = 1000;

	pa_ec2_pace_init(&pace, 0, 1000000, now);
	is_number(pa_ec2_pace_take(&pace, now), 0, "no rate, no wait");

	pa_ec2_pace_init(&pace, 2, 1000000, now);
	ok(pa_ec2_pace_take(&pace, now) == 0 && pa_ec2_pace_take(&pace, now) == 0,
	   "as many at once as in a second");
	is_number(pa_ec2_pace_take(&pace, now) / 1000, 500, "then each has to wait");
	is_number(pa_ec2_pace_take(&pace, now + 500001), 0, "its time");
	ok(pa_ec2_pace_take(&pace, now + 500001) > 0, "and no longer");
	now += 60000000;
	ok(pa_ec2_pace_take(&pace, now) == 0 && pa_ec2_pace_take(&pace, now) == 0 &&
	   pa_ec2_pace_take(&pace, now) > 0, "nothing is saved up");

	pa_ec2_pace_init(&pace, 0, 1000000, now);
	pa_ec2_pace_pause(&pace, now, now, 1);
	is_number(pa_ec2_pace_take(&pace, now), 200000, "a pause");
	pa_ec2_pace_pause(&pace, now + 10, now, 1);
	is_number(pa_ec2_pace_take(&pace, now), 200000,
			  "not longer by what was under way");
	now += 200000;
	is_number(pa_ec2_pace_take(&pace, now), 0, "is over");
	pa_ec2_pace_pause(&pace, now, now, 0);
	is_number(pa_ec2_pace_take(&pace, now), 200000, "the next: 0.4 s, by chance half");
	for (int i = 0; i < 100; i++)
	{
		now += 1000000;
		pa_ec2_pace_pause(&pace, now, now, 1);
	}
	is_number(pa_ec2_pace_take(&pace, now), 1000000, "up to the longest");
	pa_ec2_pace_succeeded(&pace);
	now += 1000000;
	pa_ec2_pace_pause(&pace, now, now, 1);
	is_number(pa_ec2_pace_take(&pace, now), 200000, "short again after a success");
}

/* the member "b" of the text */
static void
is_member(const char *text, const char *expected, const char *name)
{
	char	   *value = pa_flat_json_string(text, "b");

	if (expected != NULL)
		is_string(value, expected, name);
	else
		ok(value == NULL, "%s", name);
	free(value);
}

static void
test_json(void)
{
	is_member("{\"b\":\"x\"}", "x", "a member");
	is_member(" { \"a\" : 1.5e3 , \"c\":null,\n\"b\" : \"y\" } ", "y", "another");
	is_member("{\"a\":\"b\",\"b\":\"\\\"\\\\\\/\\n\\u0041\"}", "\"\\/\nA", "escapes");
	is_member("{\"b\":5}", NULL, "a number");
	is_member("{\"c\":\"x\"}", NULL, "not there");
	is_member("{\"a\":{\"b\":\"x\"}}", NULL, "nested");
	is_member("{\"a\":[\"b\"],\"b\":\"x\"}", NULL, "a list");
	is_member("{\"b\":\"x", NULL, "no end");
	is_member("{\"b\":\"\\u00fc\"}", NULL, "beyond ASCII");
	is_member("{\"b\":\"\\", NULL, "half an escape");
	is_member("{\"b\":\"\\u00", NULL, "half of one with digits");
	is_member("{\"b", NULL, "half a name");
	is_member("", NULL, "nothing");
	is_member("[\"b\"]", NULL, "no object");
}

int
main(void)
{
	test_bodies();
	test_names();
	test_states();
	test_answers();
	test_bad_answers();
	test_kinds();
	test_pace();
	test_json();
	return unit_done();
}
