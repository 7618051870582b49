/* objects: agent/options agent/loopback agent/behaviour agent/units agent/status_name */
/* objects: agent/table agent/arena agent/provider_simulated agent/store agent/store_file agent/metric agent/timer */
/*-------------------------------------------------------------------------
 *
 * test/unit/agent_options_test.c
 *		Which combinations of options about security an agent starts with,
 *		and where it serves metrics.
 *
 *-------------------------------------------------------------------------
 */
#include "agent/options.h"

#include "unit.h"

#define MAX_ARGUMENTS	24

static char problem[1024];

/* reads a command line, its words separated by single blanks */
static bool
reads(const char *line)
{
	PaOptions	options;
	char		copy[512];
	char	   *argv[MAX_ARGUMENTS + 1] = {"power_agent"};
	int			argc = 1;
	bool		good;

	snprintf(copy, sizeof(copy), "%s", line);
	for (char *word = strtok(copy, " "); word != NULL && argc < MAX_ARGUMENTS;
		 word = strtok(NULL, " "))
		argv[argc++] = word;
	problem[0] = '\0';
	good = pa_options_read(&options, argc, argv, problem, sizeof(problem));
	pa_options_free(&options);
	return good;
}

static void
accepted(const char *line)
{
	if (!ok(reads(line), "accepted: %s", line))
		printf("# %s\n", problem);
}

static void
refused(const char *line, const char *expected)
{
	bool		good = reads(line);

	if (!ok(!good && strstr(problem, expected) != NULL, "refused: %s", line))
		printf("# %s\n", good ? "it was not" : problem);
}

#define TLS "--tls-cert c --tls-key k"

int
main(void)
{
	static const char *const local[] = {
		"unix:/tmp/x", "127.0.0.1:1", "127.255.0.7:1", "[::1]:1",
		"[::ffff:127.0.0.1]:1", "localhost:0", "LocalHost:1"
	};
	static const char *const remote[] = {
		"0.0.0.0:1", "[::]:1", "10.0.0.1:1", "126.0.0.1:1", "128.0.0.1:1",
		"1.0.0.127:1", "[::ffff:10.0.0.1]:1", "[fe80::1]:1", "example.com:1", "127.1:1", "0:1",
		"localhost.example.com:1", "localhos:1", "[localhost]:1", "[127.0.0.1]:1",
		"127.0.0.1.example.com:1", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:1"
	};
	static const char *const no_loopback[] = {
		"0.0.0.0:1", "[::]:1", "10.0.0.1:1", "126.0.0.1:1", "128.0.0.1:1",
		"1.0.0.127:1", "[fe80::1]:1", "[::ffff:127.0.0.1]:1", "[::ffff:10.0.0.1]:1",
		"[127.0.0.1]:1", "::1:1", "localhost:1", "example.com:1", "127.1:1", "127.0.0.1",
		"127.0.0.1.example.com:1", "*:1", ":1", "[]:1", "[:1", "1", "unix:/tmp/y",
		"[::1%lo]:1", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:1"
	};
	char		line[256];

	for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++)
	{
		snprintf(line, sizeof(line), "--listen %s", local[i]);
		accepted(line);
		snprintf(line, sizeof(line), "--listen %s --insecure", local[i]);
		accepted(line);
		snprintf(line, sizeof(line), "--listen %s --token-file t", local[i]);
		accepted(line);
		snprintf(line, sizeof(line), "--listen %s " TLS, local[i]);
		accepted(line);
	}
	for (size_t i = 0; i < sizeof(remote) / sizeof(remote[0]); i++)
	{
		snprintf(line, sizeof(line), "--listen %s", remote[i]);
		refused(line, "or say --insecure");
		snprintf(line, sizeof(line), "--listen %s --insecure", remote[i]);
		accepted(line);
		snprintf(line, sizeof(line), "--listen %s --token-file t", remote[i]);
		refused(line, "--token-file needs --tls-cert and --tls-key");
		snprintf(line, sizeof(line), "--listen %s --token-file t --insecure", remote[i]);
		refused(line, "--token-file needs --tls-cert and --tls-key");
		snprintf(line, sizeof(line), "--listen %s --token-file t " TLS, remote[i]);
		accepted(line);
	}

	accepted("--listen [::]:1 " TLS " --tls-client-ca a --token-file t");
	refused("--listen unix:/tmp/x --tls-cert c", "--tls-cert needs --tls-key");
	refused("--listen unix:/tmp/x --tls-key k", "--tls-key needs --tls-cert");
	refused("--listen [::]:1 --tls-key k --insecure", "--tls-key needs --tls-cert");
	refused("--listen unix:/tmp/x --tls-client-ca a",
			"--tls-client-ca needs --tls-cert and --tls-key");
	refused("--listen [::]:1 --insecure " TLS, "contradict each other");
	refused("--listen unix:/tmp/x --tls-key= --tls-cert c", "--tls-key is empty");
	for (size_t i = 0; i < sizeof(no_loopback) / sizeof(no_loopback[0]); i++)
	{
		snprintf(line, sizeof(line), "--listen unix:/tmp/x --metrics %s",
				 no_loopback[i]);
		refused(line, "127.0.0.0/8");
	}
	accepted("--listen unix:/tmp/x --metrics 127.0.0.1:0");
	accepted("--listen unix:/tmp/x --metrics 127.255.0.7:65535");
	accepted("--listen unix:/tmp/x --metrics [::1]:9100");
	refused("--listen unix:/tmp/x --metrics 127.0.0.1:65536", "invalid port \"65536\"");
	refused("--listen unix:/tmp/x --metrics 127.0.0.1:", "invalid port \"\"");
	refused("--listen unix:/tmp/x --metrics [::1]:-1", "invalid port \"-1\"");
	refused("--listen unix:/tmp/x --metrics=", "--metrics is empty");
	accepted("--version");
	accepted("--help");
	return unit_done();
}
