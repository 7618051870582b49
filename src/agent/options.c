/*-------------------------------------------------------------------------
 *
 * src/agent/options.c
 *		The command line of power_agent.  Contract in options.h.
 *
 *-------------------------------------------------------------------------
 */
#include "options.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

#include "loopback.h"
#include "request.h"
#include "units.h"

typedef enum OptionKind
{
	OPTION_TEXT,				/* const char * */
	OPTION_FLAG,				/* bool */
	OPTION_INT,					/* int, within low and high */
	OPTION_COUNT,				/* size_t, within low and high */
	OPTION_BIG,					/* int64_t, within low and high */
	OPTION_DURATION,			/* int64_t, us */
	OPTION_SIZE,				/* size_t */
	OPTION_SIZE_INT,			/* int */
	OPTION_STATE				/* PaInstanceState */
} OptionKind;

typedef struct Option
{
	const char *name;
	const char *value;			/* what it is called in the help; NULL: none */
	OptionKind	kind;
	size_t		offset;			/* in PaOptions */
	int64_t		low;
	int64_t		high;
	const char *help;			/* NULL: the line is a heading */
} Option;

#define AT(member)	offsetof(PaOptions, member)

static const Option options_known[] = {
	{"Server:", NULL, OPTION_FLAG, 0, 0, 0, NULL},
	{"listen", "ADDRESS", OPTION_TEXT, AT(listen), 0, 0,
		"unix:PATH or HOST:PORT; port 0: any that is free (required)"},
	{"ready-file", "FILE", OPTION_TEXT, AT(ready_file), 0, 0,
		"write the line that says where it listens here too;\n"
		"with --metrics there are two"},
	{"threads", "N", OPTION_INT, AT(server.threads), 1, 64,
		"threads that serve (1)"},
	{"max-concurrent-streams", "N", OPTION_INT,
		AT(server.max_concurrent_streams), 0, INT32_MAX,
		"calls at a time on one connection; 0: no limit (0).\n"
		"With a limit, PowerStream is not offered"},
	{"max-message-size", "SIZE", OPTION_SIZE_INT, AT(server.max_message_size), 0, 0,
		"largest request (32MB)"},
	{"drain-timeout", "TIME", OPTION_DURATION, AT(server.drain_timeout), 0, 0,
		"what calls in progress get at SIGTERM or SIGINT (5s)"},
	{"legacy", NULL, OPTION_FLAG, AT(service.legacy), 0, 0,
		"be an agent that knows no field above 100, replies before it\n"
		"acts, without states, and has neither GetClusterPowerState\n"
		"nor PowerStream"},
	{"help", NULL, OPTION_FLAG, AT(help), 0, 0, "show this and exit"},
	{"version", NULL, OPTION_FLAG, AT(version), 0, 0, "show the version and exit"},

	{"Security:", NULL, OPTION_FLAG, 0, 0, 0, NULL},
	{"tls-cert", "FILE", OPTION_TEXT, AT(tls.certificate_file), 0, 0,
		"the server's certificate, and those between it and the root; PEM"},
	{"tls-key", "FILE", OPTION_TEXT, AT(tls.key_file), 0, 0,
		"its private key, without a passphrase; PEM"},
	{"tls-client-ca", "FILE", OPTION_TEXT, AT(tls.client_ca_file), 0, 0,
		"want a certificate of each client, by one of these authorities; PEM"},
	{"token-file", "FILE", OPTION_TEXT, AT(service.token_file), 0, 0,
		"want \"authorization: Bearer TOKEN\" with each call but health\n"
		"checks; a token a line, any of which will do"},
	{"insecure", NULL, OPTION_FLAG, AT(insecure), 0, 0,
		"listen without TLS on an address that is not loopback"},

	{"Provider:", NULL, OPTION_FLAG, 0, 0, 0, NULL},
	{"accounts", "FILE", OPTION_TEXT, AT(accounts_file), 0, 0,
		"which provider each account has, and its keys; read again at\n"
		"SIGHUP.  See doc/agent.md"},
	{"check-config", NULL, OPTION_FLAG, AT(check_config), 0, 0,
		"read the accounts file, print what is wrong with it or OK, exit"},
	{"provider", "NAME", OPTION_TEXT, AT(provider), 0, 0,
		"of every account, without a file; only simulated (simulated)"},
	{"initial-state", "STATE", OPTION_STATE, AT(simulated.initial_state), 0, 0,
		"of an instance that is first named: running, stopped,\n"
		"starting, stopping or terminated (stopped)"},
	{"transition-time", "TIME", OPTION_DURATION, AT(simulated.transition_time), 0, 0,
		"from starting to running, from stopping to stopped (0)"},
	{"answer-when-done", NULL, OPTION_FLAG, AT(simulated.answer_when_done), 0, 0,
		"reply when that time is over, not at once"},
	{"inventory", "FILE", OPTION_TEXT, AT(simulated.inventory_file), 0, 0,
		"the clusters that exist; without it, whatever is named does"},
	{"max-instances", "N", OPTION_BIG, AT(simulated.max_instances), 1, 100000000,
		"that it makes up, all clusters together (1000000)"},

	{"Memory for repeated and late orders (the oldest are forgotten first):",
	NULL, OPTION_FLAG, 0, 0, 0, NULL},
	{"remember-requests", "N", OPTION_COUNT, AT(service.remembered_requests), 1,
		100000000, "answers, by request id (100000)"},
	{"remember-size", "SIZE", OPTION_SIZE, AT(service.remembered_bytes), 0, 0,
		"bytes of all these replies (64MB)"},
	{"remember-orders", "N", OPTION_COUNT, AT(service.remembered_orders), 1,
		100000000, "clusters whose newest order is known (1000000)"},
	{"state", "FILE", OPTION_TEXT, AT(state_file), 0, 0,
		"keep these, and simulated states, in this SQLite database;\n"
		"without it they end with the agent"},

	{"Log:", NULL, OPTION_FLAG, 0, 0, 0, NULL},
	{"log", "FILE", OPTION_TEXT, AT(log_file), 0, 0,
		"one JSON object for each order and each call; -: standard output"},
	{"log-sync", NULL, OPTION_FLAG, AT(log_sync), 0, 0,
		"write each line at once, not within 50 ms"},

	{"Metrics:", NULL, OPTION_FLAG, 0, 0, 0, NULL},
	{"metrics", "ADDRESS:PORT", OPTION_TEXT, AT(metrics), 0, 0,
		"serve metrics for Prometheus there, at /metrics: an address in\n"
		"127.0.0.0/8, or [::1]; port 0: any that is free"},

	{"Behaviour:", NULL, OPTION_FLAG, 0, 0, 0, NULL},
	{"behaviour", "FILE", OPTION_TEXT, AT(service.behaviour_file), 0, 0,
		"rules for clusters, read again when the file changes (replace\n"
		"it by rename) and at SIGHUP; a bad file changes nothing"},
	{NULL, NULL, OPTION_FLAG, 0, 0, 0, NULL}
};

static bool refuse(char *problem, size_t size, const char *format,...)
			__attribute__((format(printf, 3, 4)));

/* writes the reason and returns false */
static bool
refuse(char *problem, size_t size, const char *format,...)
{
	va_list		arguments;

	va_start(arguments, format);
	vsnprintf(problem, size, format, arguments);
	va_end(arguments);
	return false;
}

static bool
set_number(const Option *option, const char *value, int64_t *number,
		   char *problem, size_t size)
{
	if (pa_units_number(value, option->low, option->high, number))
		return true;
	return refuse(problem, size,
				  "invalid value \"%.80s\" for --%s: valid is a number from %lld to %lld",
				  value, option->name, (long long) option->low,
				  (long long) option->high);
}

static bool
set_size(const Option *option, const char *value, int64_t *bytes,
		 char *problem, size_t size)
{
	if (pa_units_size(value, bytes))
		return true;
	return refuse(problem, size, "invalid value \"%.80s\" for --%s: valid is %s",
				  value, option->name, PA_UNITS_SIZE);
}

static bool
set_option(PaOptions *options, const Option *option, const char *value,
		   char *problem, size_t size)
{
	char	   *place = (char *) options + option->offset;
	int64_t		number = 0;
	int			state;

	switch (option->kind)
	{
		case OPTION_FLAG:
			*(bool *) place = true;
			return true;
		case OPTION_TEXT:
			if (*value == '\0')
				return refuse(problem, size, "the value of --%s is empty",
							  option->name);
			*(const char **) place = value;
			return true;
		case OPTION_INT:
			if (!set_number(option, value, &number, problem, size))
				return false;
			*(int *) place = (int) number;
			return true;
		case OPTION_COUNT:
			if (!set_number(option, value, &number, problem, size))
				return false;
			*(size_t *) place = (size_t) number;
			return true;
		case OPTION_BIG:
			return set_number(option, value, (int64_t *) place, problem, size);
		case OPTION_DURATION:
			if (pa_units_duration(value, (int64_t *) place))
				return true;
			return refuse(problem, size,
						  "invalid value \"%.80s\" for --%s: valid is %s", value,
						  option->name, PA_UNITS_DURATION);
		case OPTION_SIZE:
			if (!set_size(option, value, &number, problem, size))
				return false;
			*(size_t *) place = (size_t) number;
			return true;
		case OPTION_SIZE_INT:
			if (!set_size(option, value, &number, problem, size))
				return false;
			*(int *) place = (int) number;
			return true;
		case OPTION_STATE:
			state = pa_instance_state_code(value);
			if (state <= 0)
				return refuse(problem, size,
							  "invalid value \"%.80s\" for --%s: valid are running, stopped, starting, stopping and terminated",
							  value, option->name);
			*(PaInstanceState *) place = state;
			return true;
	}
	return false;
}

static const Option *
find_option(const char *name)
{
	for (const Option *option = options_known; option->name != NULL; option++)
	{
		if (option->help != NULL && strcmp(option->name, name) == 0)
			return option;
	}
	return NULL;
}

static bool
check_listen(const PaOptions *options, char *problem, size_t size)
{
	static const char valid[] = "valid are unix:PATH and HOST:PORT";
	const char *path;
	const char *colon;
	int64_t		port;

	if (options->listen == NULL)
		return refuse(problem, size, "--listen is required: %s", valid);
	path = pa_options_unix_path(options);
	if (path != NULL)
	{
		if (*path == '\0')
			return refuse(problem, size, "--listen has an empty path: %s", valid);
		if (strlen(path) >= sizeof(((struct sockaddr_un *) NULL)->sun_path))
			return refuse(problem, size,
						  "the path of --listen is too long for a unix socket: valid are up to %zu bytes",
						  sizeof(((struct sockaddr_un *) NULL)->sun_path) - 1);
		return true;
	}
	colon = strrchr(options->listen, ':');
	if (colon == NULL || colon == options->listen)
		return refuse(problem, size, "invalid value \"%.80s\" for --listen: %s",
					  options->listen, valid);
	if (memchr(options->listen, ':', (size_t) (colon - options->listen)) != NULL &&
		(options->listen[0] != '[' || colon[-1] != ']'))
		return refuse(problem, size,
					  "invalid value \"%.80s\" for --listen: an IPv6 address is written in brackets, as in [::1]:50051",
					  options->listen);
	if (!pa_units_number(colon + 1, 0, 65535, &port))
		return refuse(problem, size,
					  "invalid port \"%.80s\" in --listen: valid is a number from 0 to 65535",
					  colon + 1);
	return true;
}

/* true if nobody but this machine's own processes can reach the address */
static bool
is_local(const PaOptions *options)
{
	const char *listen = options->listen;
	char		host[INET6_ADDRSTRLEN];
	bool		brackets = listen[0] == '[';
	size_t		length = (size_t) (strrchr(listen, ':') - listen);
	struct in_addr in;
	struct in6_addr in6;

	if (pa_options_unix_path(options) != NULL)
		return true;
	if (brackets)
	{
		listen++;
		length -= 2;
	}
	if (length >= sizeof(host))
		return false;
	memcpy(host, listen, length);
	host[length] = '\0';
	/* any other name is what a name server says, now or later */
	if (!brackets && strcasecmp(host, "localhost") == 0)
		return true;
	if (!brackets && inet_pton(AF_INET, host, &in) == 1)
		return ntohl(in.s_addr) >> 24 == IN_LOOPBACKNET;
	if (brackets && inet_pton(AF_INET6, host, &in6) == 1)
		return IN6_IS_ADDR_LOOPBACK(&in6) ||
			(IN6_IS_ADDR_V4MAPPED(&in6) && in6.s6_addr[12] == IN_LOOPBACKNET);
	return false;
}

static bool
check_security(const PaOptions *options, char *problem, size_t size)
{
	const PaTlsOptions *tls = &options->tls;

	if (tls->certificate_file != NULL && tls->key_file == NULL)
		return refuse(problem, size, "--tls-cert needs --tls-key");
	if (tls->key_file != NULL && tls->certificate_file == NULL)
		return refuse(problem, size, "--tls-key needs --tls-cert");
	if (tls->client_ca_file != NULL && tls->certificate_file == NULL)
		return refuse(problem, size,
					  "--tls-client-ca needs --tls-cert and --tls-key");
	if (tls->certificate_file != NULL && options->insecure)
		return refuse(problem, size,
					  "--insecure and --tls-cert contradict each other: leave one out");
	if (tls->certificate_file != NULL || is_local(options))
		return true;
	if (options->service.token_file != NULL)
		return refuse(problem, size,
					  "--token-file needs --tls-cert and --tls-key to listen on %.80s: without TLS everybody on the way could read the token",
					  options->listen);
	if (!options->insecure)
		return refuse(problem, size,
					  "without TLS whoever can reach %.80s could give orders: give --tls-cert and --tls-key, listen on unix:PATH, localhost, 127.0.0.1 or [::1], or say --insecure",
					  options->listen);
	return true;
}

static bool
check_metrics(const PaOptions *options, char *problem, size_t size)
{
	PaLoopback	loopback;
	char		reason[256];

	if (options->metrics == NULL ||
		pa_loopback_read(options->metrics, &loopback, reason, sizeof(reason)))
		return true;
	return refuse(problem, size, "--metrics: %s", reason);
}

static bool
check(PaOptions *options, char *problem, size_t size)
{
	if (options->help || options->version)
		return true;
	if (options->check_config && options->accounts_file == NULL)
		return refuse(problem, size, "--check-config needs --accounts");
	if (options->check_config)
		return true;
	if (!check_listen(options, problem, size) ||
		!check_security(options, problem, size) ||
		!check_metrics(options, problem, size))
		return false;
	if (options->accounts_file != NULL && options->provider != NULL)
		return refuse(problem, size,
					  "--provider and --accounts exclude each other: the file names the providers");
	if (options->accounts_file == NULL && options->provider == NULL)
		options->provider = "simulated";
	if (options->provider != NULL && strcmp(options->provider, "simulated") != 0)
		return refuse(problem, size,
					  "unknown provider \"%.80s\": valid is simulated; others are for --accounts",
					  options->provider);
	if (options->state_file != NULL && options->service.legacy)
		return refuse(problem, size,
					  "--state and --legacy contradict each other: such an agent knows no request again");
	if (options->log_sync && options->log_file == NULL)
		return refuse(problem, size, "--log-sync needs --log");
	if (options->simulated.answer_when_done &&
		options->simulated.transition_time == 0)
		return refuse(problem, size, "--answer-when-done needs --transition-time");
	return pa_behaviour_check_default(options->service.defaults,
									  options->service.legacy, problem, size);
}

static void
set_defaults(PaOptions *options)
{
	memset(options, 0, sizeof(*options));
	options->server.threads = 1;
	options->server.max_message_size = 32 * 1024 * 1024;
	options->server.drain_timeout = 5000000;
	options->service.remembered_requests = 100000;
	options->service.remembered_bytes = 64 * 1024 * 1024;
	options->service.remembered_orders = 1000000;
	options->service.defaults = pa_behaviour_create_default();
	options->simulated.initial_state = PA_INSTANCE_STOPPED;
	options->simulated.max_instances = 1000000;
}

/* one argument, --NAME, --NAME=VALUE or --NAME VALUE; counts what it took */
static bool
read_argument(PaOptions *options, char **argv, int *index, char *problem,
			  size_t size)
{
	const char *argument = argv[*index];
	char		name[64];
	const char *equals = strchr(argument, '=');
	size_t		length = equals ? (size_t) (equals - argument) : strlen(argument);
	const char *value = equals ? equals + 1 : NULL;
	const Option *option;
	bool		takes_value = false;
	bool		word;

	if (strncmp(argument, "--", 2) != 0 || length < 3)
		return refuse(problem, size, "unexpected argument \"%.80s\"", argument);
	if (length - 2 >= sizeof(name))
		return refuse(problem, size, "unknown option %.80s", argument);
	memcpy(name, argument + 2, length - 2);
	name[length - 2] = '\0';
	option = find_option(name);
	word = option == NULL && pa_behaviour_is_word(name, &takes_value);
	if (option == NULL && !word)
		return refuse(problem, size, "unknown option --%s", name);
	if (option != NULL)
		takes_value = option->value != NULL;
	if (takes_value && value == NULL)
	{
		value = argv[++*index];
		if (value == NULL)
			return refuse(problem, size, "--%s needs a value", name);
	}
	if (!takes_value && value != NULL)
		return refuse(problem, size, "--%s takes no value", name);
	if (word)
		return pa_behaviour_set_default(options->service.defaults, name, value,
										problem, size);
	return set_option(options, option, takes_value ? value : "", problem, size);
}

bool
pa_options_read(PaOptions *options, int argc, char **argv, char *problem,
				size_t size)
{
	set_defaults(options);
	for (int i = 1; i < argc; i++)
	{
		if (!read_argument(options, argv, &i, problem, size))
			return false;
	}
	options->server.address = options->listen;
	options->server.legacy = options->service.legacy;
	return check(options, problem, size);
}

void
pa_options_free(PaOptions *options)
{
	pa_behaviour_release(options->service.defaults);
}

const char *
pa_options_unix_path(const PaOptions *options)
{
	return strncmp(options->listen, "unix:", 5) == 0 ? options->listen + 5 : NULL;
}

static void
help_option(FILE *file, const Option *option)
{
	char		name[64];
	const char *line = option->help;

	snprintf(name, sizeof(name), "--%s%s%s", option->name,
			 option->value ? "=" : "", option->value ? option->value : "");
	for (bool first = true; line != NULL; first = false)
	{
		int			length = (int) strcspn(line, "\n");

		fprintf(file, "  %-28s  %.*s\n", first ? name : "", length, line);
		line = line[length] == '\n' ? line + length + 1 : NULL;
	}
}

void
pa_options_help(FILE *file)
{
	fputs("power_agent is the agent of power_action: it takes orders over gRPC\n"
		  "(proto/agent.proto) and starts and stops the instances of clusters.\n"
		  "\n"
		  "Usage: power_agent --listen ADDRESS [OPTION]...\n", file);
	for (const Option *option = options_known; option->name != NULL; option++)
	{
		if (option->help == NULL)
			fprintf(file, "\n%s\n", option->name);
		else
			help_option(file, option);
	}
	fputs("  and each word below as an option, such as --latency=50ms: a rule for\n"
		  "  all calls that no rule of the file applies to.\n"
		  "\n"
		  "Times have a unit of us, ms, s, min or h; without one they are\n"
		  "milliseconds.  Sizes have a unit of B, kB or MB.\n"
		  "\n"
		  "When it listens it prints a line, \"power_agent: listening on ADDRESS\",\n"
		  "and with --metrics another, \"power_agent: metrics on URL\".\n"
		  "Exit status: 0 after SIGTERM or SIGINT, 1 if it could not start, 2 if\n"
		  "an argument is not valid.\n"
		  "\n"
		  "A behaviour file has one rule a line: a cluster (* stands for any text),\n"
		  "then words.  The first rule that applies counts, and only that.  A text\n"
		  "with blanks is put in \"quotes\"; # begins a comment.\n"
		  "  cluster-7 off latency=50ms status=UNAVAILABLE times=2\n"
		  "  test-*    partial=i-1,i-2 message=\"out of capacity\"\n"
		  "Words: on, off, state or any for the method (any), and\n", file);
	pa_behaviour_help(file);
	fputs("\n"
		  "Certificates, keys and tokens are read again when their files change, and\n"
		  "at SIGHUP; calls in progress stay.  Files with keys or tokens must have\n"
		  "mode 0600 or less, or 0640 or less if they are owned by root.\n"
		  "\n"
		  "An inventory file has one cluster a line, and more lines if they do not\n"
		  "fit; * is any account or region; STATE is --initial-state without it:\n"
		  "  ACCOUNT REGION CLUSTER INSTANCE[=STATE]...\n"
		  "  prod eu-west-1 cluster-7 i-1=running i-2=stopped i-3\n"
		  "\n"
		  "Orders for one cluster are carried out one after the other; up to 16\n"
		  "wait, more are ABORTED.  An order whose number is lower than one seen\n"
		  "is refused as stale; a request id that was seen is answered as before.\n",
		  file);
}
