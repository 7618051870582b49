/* objects: courier/delivery */
/*-------------------------------------------------------------------------
 *
 * test/unit/courier_delivery_test.c
 *		Which failed calls surely never reached their agent.
 *
 *-------------------------------------------------------------------------
 */
#include <stdint.h>
#include <stdlib.h>

#include "courier/delivery.h"
#include "unit.h"

#define UNAVAILABLE			14
#define DEADLINE_EXCEEDED	4
#define CANCELLED			1

static void
check_target(const char *target, const char *expected)
{
	char	   *result = pa_delivery_target(target);

	is_string(result, expected, target);
	free(result);
}

static void
test_target(void)
{
	check_target("unix:/run/agent.sock", "unix:///run/agent.sock");
	check_target("unix:///run/agent.sock", "unix:///run/agent.sock");
	check_target("unix:agent.sock", "unix:agent.sock");
	check_target("ipv4:127.0.0.1:50051", "ipv4:///127.0.0.1:50051");
	check_target("ipv4:10.0.0.1:1,10.0.0.2:2", "ipv4:///10.0.0.1:1,10.0.0.2:2");
	check_target("ipv6:[::1]:50051", "ipv6:///[::1]:50051");
	check_target("dns:///agent:50051", "dns:///agent:50051");
	check_target("", "");
}

/*
 * The strings are what gRPC core 1.51 says.  True if "not delivered".
 */
static bool
excluded(uint32_t status, const char *details, const char *error_string,
		 const char *target, const char *peer)
{
	PaDeliverySigns signs = {0};
	char	   *exact = NULL;
	bool		result;

	signs.status = status;
	if (details != NULL)
	{
		signs.details_length = strlen(details);
		/* details are not terminated */
		exact = malloc(signs.details_length > 0 ? signs.details_length : 1);
		memcpy(exact, details, signs.details_length);
	}
	signs.details = exact;
	signs.error_string = error_string;
	signs.target = target;
	signs.peer = peer;
	result = pa_delivery_excluded(&signs);
	free(exact);
	return result;
}

#define DNS		"dns:///agent:50051"
#define UNIX	"unix:///run/a"
#define LOCAL	"UNKNOWN:some text {grpc_status:14, created_time:\"...\"}"
#define REMOTE	"UNKNOWN:Error received from peer unix:/run/a {grpc_status:14}"

static void
test_excluded(void)
{
	ok(excluded(UNAVAILABLE, "failed to connect to all addresses; last error: "
				"UNKNOWN: unix:/run/a: No such file or directory",
				LOCAL, UNIX, UNIX), "nobody listens: not delivered");
	ok(excluded(UNAVAILABLE, "connections to all backends failing; last error: "
				"UNKNOWN: ipv4:1.2.3.4:5: Connection refused",
				LOCAL, "ipv4:///1.2.3.4:5", "ipv4:///1.2.3.4:5"),
	   "nobody listens, round robin: not delivered");
	ok(excluded(UNAVAILABLE, "DNS resolution failed for agent:50051: C-ares "
				"status is not ARES_SUCCESS", LOCAL, DNS, DNS),
	   "name unknown: not delivered");
	ok(excluded(UNAVAILABLE, "empty address list: ", LOCAL, DNS, DNS),
	   "name without addresses: not delivered");
}

static void
test_doubt(void)
{
	const char *const lost[] = {
		"Socket closed",
		"keepalive watchdog timeout",
		"Transport closed",
		"GOAWAY received",
		"Broken pipe",
		"Connection reset by peer",
		""
	};
	const char *refused = "failed to connect to all addresses; last error: x";

	for (size_t i = 0; i < sizeof(lost) / sizeof(lost[0]); i++)
	{
		ok(!excluded(UNAVAILABLE, lost[i], LOCAL, DNS, "ipv4:10.0.0.1:50051"),
		   "\"%s\" in the middle of a call: doubt", lost[i]);
		ok(!excluded(UNAVAILABLE, lost[i], LOCAL, DNS, DNS),
		   "... also when core has forgotten the connection");
	}
	ok(!excluded(UNAVAILABLE, refused, REMOTE, UNIX, "unix:/run/a"),
	   "an agent that cannot reach its cloud: doubt");
	ok(!excluded(UNAVAILABLE, refused, REMOTE, UNIX, UNIX),
	   "... also when core has forgotten the connection");
	ok(!excluded(UNAVAILABLE, refused, LOCAL, UNIX, "unix:/run/a"),
	   "... or words its error strings in another way");
	ok(!excluded(UNAVAILABLE, "x: failed to connect to all addresses", LOCAL,
				 DNS, DNS), "the text must begin with it");
	ok(!excluded(DEADLINE_EXCEEDED, "Deadline Exceeded", LOCAL, DNS, DNS),
	   "a deadline: doubt");
	ok(!excluded(DEADLINE_EXCEEDED, refused, LOCAL, DNS, DNS),
	   "... whatever the text");
	ok(!excluded(CANCELLED, "CANCELLED", LOCAL, DNS, DNS),
	   "a cancellation: doubt");
	ok(!excluded(0, refused, LOCAL, UNIX, UNIX), "success is delivered");

	ok(!excluded(UNAVAILABLE, refused, LOCAL, "unix:/run/a", "unix:/run/a"),
	   "the target may be the name of the connection: doubt");
	ok(!excluded(UNAVAILABLE, refused, LOCAL, "unix-abstract:a",
				 "unix-abstract:a"), "a scheme that is not known: doubt");
	ok(!excluded(UNAVAILABLE, NULL, LOCAL, DNS, DNS), "no details: doubt");
	ok(!excluded(UNAVAILABLE, refused, NULL, DNS, DNS),
	   "no error string: doubt");
	ok(!excluded(UNAVAILABLE, refused, LOCAL, NULL, DNS), "no target: doubt");
	ok(!excluded(UNAVAILABLE, refused, LOCAL, DNS, NULL), "no peer: doubt");
}

int
main(void)
{
	test_target();
	test_excluded();
	test_doubt();
	return unit_done();
}
