/*-------------------------------------------------------------------------
 *
 * test/unit/target_test.c
 *		Where an agent may listen: targets accepted, in their normal form,
 *		and refused.
 *
 *-------------------------------------------------------------------------
 */
#include "target.h"
#include "unit.h"

static void
accepted(const char *text, const char *expected)
{
	PaTarget	target;
	const char *hint;
	char		normal[512] = "";

	if (pa_target_parse(text, &target, &hint))
		snprintf(normal, sizeof(normal), "%s%s", target.prefix, target.rest);
	is_string(normal, expected, text);
}

/* refused with a hint that contains the text */
static void
refused(const char *text, const char *expected)
{
	PaTarget	target;
	const char *hint = "";

	ok(!pa_target_parse(text, &target, &hint) &&
	   strstr(hint, expected) != NULL, "\"%s\" is refused: %s", text, hint);
}

static void
test_names(void)
{
	char		longest[300];

	accepted("agent:50051", "dns:///agent:50051");
	accepted("[2001:db8::1]:1", "dns:///[2001:db8::1]:1");
	accepted("dns:agent:65535", "dns:agent:65535");
	accepted("dns:///a-b_c.d:1", "dns:///a-b_c.d:1");

	refused("", "host:port");
	refused("agent", "host:port");
	refused("agent:0", "host:port");
	refused("agent:65536", "host:port");
	refused("agent:99999999999999999999", "host:port");
	refused("agent:1 ", "host:port");
	refused(":1", "host:port");
	refused("a b:1", "host:port");
	refused("http://agent:1", "host:port");
	refused("dns:///agent", "needs a port");
	/* no letters, whatever the locale says */
	refused("\xE9t\xE9:1", "host:port");

	memset(longest, 'a', sizeof(longest));
	strcpy(longest + 253, ":1");
	ok(strlen(longest) == 255, "a name of 253 bytes");
	{
		char		normal[300];

		snprintf(normal, sizeof(normal), "dns:///%s", longest);
		accepted(longest, normal);
	}
	memset(longest, 'a', sizeof(longest));
	strcpy(longest + 254, ":1");
	refused(longest, "host:port");
}

/* found by fuzzing: what is between the slashes was not looked at */
static void
test_name_servers(void)
{
	accepted("dns://192.0.2.53/agent:1", "dns://192.0.2.53/agent:1");
	accepted("dns://192.0.2.53:5353/agent:1", "dns://192.0.2.53:5353/agent:1");
	accepted("dns://[2001:db8::53]:53/agent:1",
			 "dns://[2001:db8::53]:53/agent:1");
	refused("dns://.v:\xB3\xB3/agent:1", "name server");
	refused("dns://a b/agent:1", "name server");
	refused("dns://a:0/agent:1", "name server");
	refused("dns://a\n/agent:1", "name server");
	refused("dns://192.0.2.53", "needs a port");
}

static void
test_addresses(void)
{
	accepted("ipv4:192.0.2.1:1", "ipv4:192.0.2.1:1");
	accepted("ipv4:192.0.2.1:1,192.0.2.2:2", "ipv4:192.0.2.1:1,192.0.2.2:2");
	accepted("ipv6:[::1]:1,[2001:db8::1]:2", "ipv6:[::1]:1,[2001:db8::1]:2");
	accepted("ipv6:[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535",
			 "ipv6:[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535");

	refused("ipv4:", "need ports");
	refused("ipv4:192.0.2.1", "need ports");
	refused("ipv4:agent:1", "need ports");
	refused("ipv4:192.0.2.1:1,", "need ports");
	refused("ipv4:192.0.2.1:1,,192.0.2.2:2", "need ports");
	refused("ipv4:192.0.2.1111111111111111111111:1", "need ports");
	refused("ipv4:[::1]:1", "need ports");
	refused("ipv6:::1:1", "brackets");
	refused("ipv6:192.0.2.1:1", "brackets");
	refused("ipv6:[::1:1", "brackets");
	refused("ipv6:[]:1", "brackets");
	/* one byte longer than any address, and much longer */
	refused("ipv6:[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.2550]:1",
			"brackets");
	refused("ipv6:[0000000000000000000000000000000000000000000000000000000000]:1",
			"brackets");
}

static void
test_sockets(void)
{
	char		path[160];

	accepted("unix:/run/agent", "unix:/run/agent");
	accepted("unix:///run/agent", "unix:/run/agent");
	refused("unix:", "absolute path");
	refused("unix:/", "absolute path");
	refused("unix:agent", "absolute path");
	refused("unix:////a", "absolute path");

	snprintf(path, sizeof(path), "unix:/%0106d", 0);
	accepted(path, path);
	snprintf(path, sizeof(path), "unix:/%0107d", 0);
	refused(path, "107 bytes");
}

int
main(void)
{
	test_names();
	test_name_servers();
	test_addresses();
	test_sockets();
	return unit_done();
}
