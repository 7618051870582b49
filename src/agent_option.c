/*-------------------------------------------------------------------------
 *
 * src/agent_option.c
 *		Options of servers of power_agent.  See agent_option.h.
 *
 * Everything that an option means is said once, in the table of options: the
 * validator, the reading of a server and the courier's orders all go by it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/defrem.h"
#include "lib/stringinfo.h"
#include "utils/guc.h"

#include "agent_option.h"
#include "target.h"

typedef enum OptionKind
{
	OPTION_TARGET,
	OPTION_NUMBER,				/* to an int */
	OPTION_CHOICE,				/* to a bool: the second of two words */
	OPTION_FILE,				/* the absolute path of a file */
	OPTION_HOST					/* a name as certificates have it */
} OptionKind;

typedef struct Option
{
	const char *name;
	OptionKind	kind;
	size_t		offset;			/* in PaAgentServer */
	int			unit;			/* of a number: GUC_UNIT_*, 0 for none */
	int			minimum;
	int			maximum;
	bool		or_zero;		/* 0 is allowed besides */
	bool		secret;			/* of a file: for nobody else to read */
	bool		of_connection;	/* a change of it takes another connection */
	const char *words[2];
} Option;

static const Option options_known[] = {
	{.name = "target", .kind = OPTION_TARGET, .of_connection = true,
	.offset = offsetof(PaAgentServer, target)},
	{.name = "tls", .kind = OPTION_CHOICE, .of_connection = true,
		.offset = offsetof(PaAgentServer, tls),
	.words = {"off", "on"}},
	{.name = "root_cert_file", .kind = OPTION_FILE, .of_connection = true,
	.offset = offsetof(PaAgentServer, root_cert_file)},
	{.name = "cert_file", .kind = OPTION_FILE, .of_connection = true,
	.offset = offsetof(PaAgentServer, cert_file)},
	{.name = "key_file", .kind = OPTION_FILE, .of_connection = true,
		.offset = offsetof(PaAgentServer, key_file),
	.secret = true},
	{.name = "tls_server_name", .kind = OPTION_HOST, .of_connection = true,
	.offset = offsetof(PaAgentServer, tls_server_name)},
	{.name = "auth_token_file", .kind = OPTION_FILE, .of_connection = true,
		.offset = offsetof(PaAgentServer, auth_token_file),
	.secret = true},
	{.name = "call_timeout", .kind = OPTION_NUMBER,
		.offset = offsetof(PaAgentServer, call_timeout),
	.unit = GUC_UNIT_MS, .minimum = 10, .maximum = 3600 * 1000},
	{.name = "connect_timeout", .kind = OPTION_NUMBER, .of_connection = true,
		.offset = offsetof(PaAgentServer, connect_timeout),
	.unit = GUC_UNIT_MS, .minimum = 100, .maximum = 300 * 1000},
	{.name = "keepalive_time", .kind = OPTION_NUMBER, .of_connection = true,
		.offset = offsetof(PaAgentServer, keepalive_time),
		.unit = GUC_UNIT_MS, .minimum = 1000, .maximum = 3600 * 1000,
	.or_zero = true},
	{.name = "max_concurrent_calls", .kind = OPTION_NUMBER,
		.offset = offsetof(PaAgentServer, max_concurrent_calls),
	.minimum = 1, .maximum = 10000},
	{.name = "max_message_size", .kind = OPTION_NUMBER, .of_connection = true,
		.offset = offsetof(PaAgentServer, max_message_size),
	.unit = GUC_UNIT_BYTE, .minimum = 1024, .maximum = 32 * 1024 * 1024},
	{.name = "load_balancing", .kind = OPTION_CHOICE, .of_connection = true,
		.offset = offsetof(PaAgentServer, round_robin),
	.words = {"pick_first", "round_robin"}},
	{.name = "streaming", .kind = OPTION_CHOICE, .of_connection = true,
		.offset = offsetof(PaAgentServer, streaming_off),
	.words = {"auto", "off"}},
	{.name = "account_field", .kind = OPTION_CHOICE,
		.offset = offsetof(PaAgentServer, send_account_id),
	.words = {"name", "id"}},
};

static void
set_defaults(PaAgentServer *server)
{
	server->target = NULL;
	server->tls = server->tls_given = false;
	server->root_cert_file = NULL;
	server->cert_file = NULL;
	server->key_file = NULL;
	server->tls_server_name = NULL;
	server->auth_token_file = NULL;
	server->call_timeout = 30 * 1000;
	server->connect_timeout = 10 * 1000;
	server->keepalive_time = 20 * 1000;
	server->max_concurrent_calls = 256;
	server->max_message_size = 4 * 1024 * 1024;
	server->round_robin = false;
	server->streaming_off = false;
	server->send_account_id = false;
}

static const Option *
find_option(const char *name)
{
	for (size_t i = 0; i < lengthof(options_known); i++)
		if (strcmp(options_known[i].name, name) == 0)
			return &options_known[i];
	return NULL;
}

/* the names of all options, or of those that are files */
static char *
option_names(bool files_only)
{
	StringInfoData names;

	initStringInfo(&names);
	for (size_t i = 0; i < lengthof(options_known); i++)
		if (!files_only || options_known[i].kind == OPTION_FILE)
			appendStringInfo(&names, "%s%s", names.len > 0 ? ", " : "",
							 options_known[i].name);
	return names.data;
}

/* A number with its unit, as a hint shows it. */
static char *
number_shown(const Option *option, int value)
{
	if (option->unit == GUC_UNIT_MS)
		return value % 1000 == 0 ? psprintf("%ds", value / 1000) :
			psprintf("%dms", value);
	if (option->unit == GUC_UNIT_BYTE)
		return psprintf("%dkB", value / 1024);
	return psprintf("%d", value);
}

static bool
set_number(const Option *option, const char *value, int *number,
		   const char **hint)
{
	*hint = NULL;
	if (!parse_int(value, number, option->unit, hint))
	{
		if (*hint == NULL)
			*hint = option->unit == GUC_UNIT_MS ?
				"It must be a time, such as \"500ms\" or \"30s\"." :
				option->unit == GUC_UNIT_BYTE ?
				"It must be a size, such as \"512kB\" or \"4MB\"." :
				"It must be a whole number.";
		return false;
	}
	if ((*number >= option->minimum && *number <= option->maximum) ||
		(*number == 0 && option->or_zero))
		return true;
	*hint = psprintf("It must be between %s and %s%s.",
					 number_shown(option, option->minimum),
					 number_shown(option, option->maximum),
					 option->or_zero ? ", or 0 for none" : "");
	return false;
}

/* the place of an option's value, for the kinds that are texts */
static char **
text_of(const PaAgentServer *server, const Option *option)
{
	return (char **) ((char *) server + option->offset);
}

static bool
is_text(const Option *option)
{
	return option->kind == OPTION_TARGET || option->kind == OPTION_FILE ||
		option->kind == OPTION_HOST;
}

/* control characters in a path are nothing but a way to deceive who reads it */
static bool
is_path(const char *value)
{
	if (!is_absolute_path(value) || strlen(value) >= MAXPGPATH)
		return false;
	for (; *value; value++)
		if ((unsigned char) *value < ' ' || *value == '\177')
			return false;
	return true;
}

/* Sets what the option means; false: a bad value, then *hint says why. */
static bool
set_option(PaAgentServer *server, const Option *option, const char *value,
		   const char **hint)
{
	void	   *place = (char *) server + option->offset;
	PaTarget	target;

	switch (option->kind)
	{
		case OPTION_TARGET:
			if (!pa_target_parse(value, &target, hint))
				return false;
			*(char **) place = psprintf("%s%s", target.prefix, target.rest);
			return true;
		case OPTION_NUMBER:
			return set_number(option, value, place, hint);
		case OPTION_CHOICE:
			for (int i = 0; i < 2; i++)
				if (strcmp(value, option->words[i]) == 0)
				{
					*(bool *) place = i == 1;
					return true;
				}
			*hint = psprintf("It must be \"%s\" or \"%s\".",
							 option->words[0], option->words[1]);
			return false;
		case OPTION_FILE:
			if (!is_path(value))
			{
				*hint = psprintf("It must be the absolute path of a file on the server, of less than %d bytes.",
								 MAXPGPATH);
				return false;
			}
			*(char **) place = pstrdup(value);
			return true;
		case OPTION_HOST:
			if (!pa_target_is_host(value))
			{
				*hint = "It must be a host name without a port, such as \"agent.example.com\".";
				return false;
			}
			*(char **) place = pstrdup(value);
			return true;
	}
	return false;
}

/*
 * Which options go together; and what tls is if it was not given.
 */

/* the first given option that is of use with TLS only, NULL if there is none */
static const char *
option_for_tls(const PaAgentServer *server)
{
	return server->root_cert_file ? "root_cert_file" :
		server->cert_file ? "cert_file" :
		server->key_file ? "key_file" :
		server->tls_server_name ? "tls_server_name" : NULL;
}

static bool
combine(PaAgentServer *server, PaOptionProblem *problem)
{
	bool		local = pa_target_is_local(server->target);
	const char *useless;

	if (!server->tls_given)
		server->tls = !local;
	problem->sqlstate = ERRCODE_FDW_INCONSISTENT_DESCRIPTOR_INFORMATION;

	if (!server->tls && !local && server->auth_token_file)
	{
		problem->message =
			psprintf("option \"auth_token_file\" requires TLS to target \"%s\"",
					 server->target);
		problem->hint =
			"Without TLS, tokens go to unix sockets and loopback addresses only: set tls to \"on\", or drop auth_token_file.";
		return false;
	}
	useless = server->tls ? NULL : option_for_tls(server);
	if (useless)
	{
		problem->message = psprintf("option \"%s\" requires TLS, which is off",
									useless);
		problem->hint = server->tls_given ?
			"Set tls to \"on\", or drop root_cert_file, cert_file, key_file and tls_server_name." :
			"Unix sockets and loopback addresses are reached without TLS unless tls is \"on\".";
		return false;
	}
	if ((server->cert_file == NULL) != (server->key_file == NULL))
	{
		problem->message = psprintf("option \"%s\" requires option \"%s\"",
									server->cert_file ? "cert_file" : "key_file",
									server->cert_file ? "key_file" : "cert_file");
		problem->hint =
			"A client certificate takes both cert_file and key_file; without one, give neither.";
		return false;
	}
	if (server->tls && server->tls_server_name == NULL &&
		pa_target_is_list(server->target))
	{
		problem->message =
			"option \"tls_server_name\" is required for several addresses with TLS";
		problem->hint =
			"It is the name that the certificates of all of them have, such as \"agent.example.com\".";
		return false;
	}
	return true;
}

bool
pa_agent_option_read(List *options, PaAgentServer *server,
					 PaOptionProblem *problem)
{
	ListCell   *cell;

	set_defaults(server);
	foreach(cell, options)
	{
		DefElem    *element = lfirst(cell);
		const Option *option = find_option(element->defname);
		const char *value = defGetString(element);

		problem->hint = NULL;
		if (option == NULL)
		{
			problem->sqlstate = ERRCODE_FDW_INVALID_OPTION_NAME;
			problem->message = psprintf("invalid option \"%s\"",
										element->defname);
			problem->hint = psprintf("Valid options are: %s.",
									 option_names(false));
			return false;
		}
		if (!set_option(server, option, value, &problem->hint))
		{
			problem->sqlstate = ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE;
			problem->message =
				psprintf("invalid value for option \"%s\": \"%s\"",
						 option->name, value);
			return false;
		}
		if (option->offset == offsetof(PaAgentServer, tls))
			server->tls_given = true;
	}
	if (server->target == NULL)
	{
		problem->sqlstate = ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED;
		problem->message = "option \"target\" is required";
		problem->hint =
			"It says where the agent listens: target 'dns:///host:port'.";
		return false;
	}
	return combine(server, problem);
}

const char *
pa_agent_option_file(const PaAgentServer *server, int *index,
					 const char **path, bool *secret)
{
	while (*index < (int) lengthof(options_known))
	{
		const Option *option = &options_known[(*index)++];

		if (option->kind != OPTION_FILE)
			continue;
		*path = *text_of(server, option);
		*secret = option->secret;
		return option->name;
	}
	return NULL;
}

char *
pa_agent_option_file_names(void)
{
	return option_names(true);
}

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

bool
pa_agent_option_same_connection(const PaAgentServer *a,
								const PaAgentServer *b)
{
	for (size_t i = 0; i < lengthof(options_known); i++)
	{
		const Option *option = &options_known[i];
		const char *in_a = (const char *) a + option->offset;
		const char *in_b = (const char *) b + option->offset;

		if (!option->of_connection)
			continue;
		if (is_text(option) ?
			!same_text(*text_of(a, option), *text_of(b, option)) :
			option->kind == OPTION_NUMBER ?
			*(const int *) in_a != *(const int *) in_b :
			*(const bool *) in_a != *(const bool *) in_b)
			return false;
	}
	return true;
}

void
pa_agent_option_own_texts(PaAgentServer *server)
{
	for (size_t i = 0; i < lengthof(options_known); i++)
	{
		char	  **text = text_of(server, &options_known[i]);

		if (is_text(&options_known[i]) && *text)
			*text = pstrdup(*text);
	}
}

void
pa_agent_option_free_texts(PaAgentServer *server)
{
	for (size_t i = 0; i < lengthof(options_known); i++)
	{
		char	  **text = text_of(server, &options_known[i]);

		if (is_text(&options_known[i]) && *text)
		{
			pfree(*text);
			*text = NULL;
		}
	}
}
