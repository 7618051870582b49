/*-------------------------------------------------------------------------
 *
 * src/agent_server.c
 *		Agents as foreign servers.  See agent_server.h.
 *
 * Everything that an option means is said once, in the table of options: the
 * validator and the reading of a server both go by it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <sys/un.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/reloptions.h"
#include "access/table.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_foreign_server.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "agent_server.h"

#define WRAPPER_NAME "power_agent"

PG_FUNCTION_INFO_V1(pa_agent_server_validator);

/* ----------------------------------------------------------------------
 * Targets
 * ----------------------------------------------------------------------
 */

/* A port from 1 to 65535, in digits up to the end of the text. */
static bool
is_port(const char *text)
{
	int			port = 0;

	if (*text == '\0')
		return false;
	for (; *text; text++)
	{
		if (!isdigit((unsigned char) *text))
			return false;
		port = port * 10 + (*text - '0');
		if (port > 65535)
			return false;
	}
	return port > 0;
}

/* A host name and a port; a literal IPv6 address stands in brackets. */
static bool
is_host_and_port(const char *text)
{
	const char *colon = strrchr(text, ':');
	size_t		length;
	struct in6_addr address;
	char		literal[INET6_ADDRSTRLEN];

	if (colon == NULL || colon == text || !is_port(colon + 1))
		return false;
	length = colon - text;
	if (text[0] == '[')
	{
		if (length < 4 || text[length - 1] != ']' ||
			length - 2 >= sizeof(literal))
			return false;
		strlcpy(literal, text + 1, length - 1);
		return inet_pton(AF_INET6, literal, &address) == 1;
	}
	for (size_t i = 0; i < length; i++)
		if (!isalnum((unsigned char) text[i]) &&
			strchr("-._", text[i]) == NULL)
			return false;
	return length <= 253;
}

/* A list of numeric addresses, each with its port, separated by commas. */
static bool
is_address_list(const char *text, int family)
{
	char	   *list = pstrdup(text);
	char	   *next;

	for (char *item = list; item; item = next)
	{
		struct in6_addr address;
		char	   *colon;

		next = strchr(item, ',');
		if (next)
			*next++ = '\0';
		if (!is_host_and_port(item))
			return false;
		if (family == AF_INET6)
		{
			if (item[0] != '[')
				return false;
			continue;
		}
		colon = strrchr(item, ':');
		*colon = '\0';
		if (inet_pton(AF_INET, item, &address) != 1)
			return false;
	}
	return true;
}

/*
 * The target with its scheme, palloc'd; NULL if it is none, then *hint says
 * what was expected.
 */
static char *
normal_target(const char *target, const char **hint)
{
	if (strncmp(target, "unix:", 5) == 0)
	{
		const char *path = target + 5;

		*hint = "A socket is given by its absolute path: unix:/run/agent/socket.";
		if (strncmp(path, "//", 2) == 0)
			path += 2;
		if (path[0] != '/' || path[1] == '\0' || path[1] == '/')
			return NULL;
		*hint = "The path of a socket is limited to 107 bytes.";
		if (strlen(path) >= sizeof(((struct sockaddr_un *) 0)->sun_path))
			return NULL;
		return psprintf("unix:%s", path);
	}
	if (strncmp(target, "dns:", 4) == 0)
	{
		const char *name = target + 4;

		*hint = "A name needs a port: dns:///agent.example.com:50051.";
		if (strncmp(name, "//", 2) == 0)
		{
			/* between the slashes may be a name server */
			name = strchr(name + 2, '/');
			if (name == NULL)
				return NULL;
			name++;
		}
		return is_host_and_port(name) ? pstrdup(target) : NULL;
	}
	if (strncmp(target, "ipv4:", 5) == 0)
	{
		*hint = "Addresses need ports: ipv4:192.0.2.1:50051,192.0.2.2:50051.";
		return is_address_list(target + 5, AF_INET) ? pstrdup(target) : NULL;
	}
	if (strncmp(target, "ipv6:", 5) == 0)
	{
		*hint = "Addresses need brackets and ports: ipv6:[2001:db8::1]:50051.";
		return is_address_list(target + 5, AF_INET6) ? pstrdup(target) : NULL;
	}

	*hint = "Use host:port, dns:///host:port, ipv4:address:port, ipv6:[address]:port or unix:/path.";
	if (!is_host_and_port(target))
		return NULL;
	return psprintf("dns:///%s", target);
}

/* ----------------------------------------------------------------------
 * Options
 * ----------------------------------------------------------------------
 */
typedef enum OptionKind
{
	OPTION_TARGET,
	OPTION_NUMBER,				/* to an int */
	OPTION_CHOICE				/* to a bool: the second of two words */
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
	const char *words[2];
} Option;

static const Option options_known[] = {
	{.name = "target", .kind = OPTION_TARGET,
	.offset = offsetof(PaAgentServer, target)},
	{.name = "call_timeout", .kind = OPTION_NUMBER,
		.offset = offsetof(PaAgentServer, call_timeout),
	.unit = GUC_UNIT_MS, .minimum = 10, .maximum = 3600 * 1000},
	{.name = "connect_timeout", .kind = OPTION_NUMBER,
		.offset = offsetof(PaAgentServer, connect_timeout),
	.unit = GUC_UNIT_MS, .minimum = 100, .maximum = 300 * 1000},
	{.name = "keepalive_time", .kind = OPTION_NUMBER,
		.offset = offsetof(PaAgentServer, keepalive_time),
		.unit = GUC_UNIT_MS, .minimum = 1000, .maximum = 3600 * 1000,
	.or_zero = true},
	{.name = "max_concurrent_calls", .kind = OPTION_NUMBER,
		.offset = offsetof(PaAgentServer, max_concurrent_calls),
	.minimum = 1, .maximum = 10000},
	{.name = "max_message_size", .kind = OPTION_NUMBER,
		.offset = offsetof(PaAgentServer, max_message_size),
	.unit = GUC_UNIT_BYTE, .minimum = 1024, .maximum = 32 * 1024 * 1024},
	{.name = "load_balancing", .kind = OPTION_CHOICE,
		.offset = offsetof(PaAgentServer, round_robin),
	.words = {"pick_first", "round_robin"}},
	{.name = "account_field", .kind = OPTION_CHOICE,
		.offset = offsetof(PaAgentServer, send_account_id),
	.words = {"name", "id"}},
};

static void
set_defaults(PaAgentServer *server)
{
	server->target = NULL;
	server->call_timeout = 30 * 1000;
	server->connect_timeout = 10 * 1000;
	server->keepalive_time = 20 * 1000;
	server->max_concurrent_calls = 256;
	server->max_message_size = 4 * 1024 * 1024;
	server->round_robin = false;
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

static char *
option_names(void)
{
	StringInfoData names;

	initStringInfo(&names);
	for (size_t i = 0; i < lengthof(options_known); i++)
		appendStringInfo(&names, "%s%s", i > 0 ? ", " : "",
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

/* Sets what the option means; false: a bad value, then *hint says why. */
static bool
set_option(PaAgentServer *server, const Option *option, const char *value,
		   const char **hint)
{
	void	   *place = (char *) server + option->offset;

	switch (option->kind)
	{
		case OPTION_TARGET:
			*(char **) place = normal_target(value, hint);
			return server->target != NULL;
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
	}
	return false;
}

/*
 * Called for every object that belongs to the wrapper; only servers have
 * options.
 */
Datum
pa_agent_server_validator(PG_FUNCTION_ARGS)
{
	List	   *options = untransformRelOptions(PG_GETARG_DATUM(0));
	Oid			catalog = PG_GETARG_OID(1);
	PaAgentServer server;
	ListCell   *cell;

	if (catalog != ForeignServerRelationId)
	{
		if (options != NIL)
			ereport(ERROR,
					(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
					 errmsg("invalid option \"%s\"",
							((DefElem *) linitial(options))->defname),
					 errhint("Only servers of %s have options, not %s.",
							 WRAPPER_NAME,
							 catalog == ForeignDataWrapperRelationId ?
							 "the wrapper itself" :
							 "user mappings or foreign tables")));
		PG_RETURN_VOID();
	}

	set_defaults(&server);
	foreach(cell, options)
	{
		DefElem    *element = lfirst(cell);
		const Option *option = find_option(element->defname);
		const char *value = defGetString(element);
		const char *hint = NULL;

		if (option == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
					 errmsg("invalid option \"%s\"", element->defname),
					 errhint("Valid options are: %s.", option_names())));
		if (!set_option(&server, option, value, &hint))
			ereport(ERROR,
					(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
					 errmsg("invalid value for option \"%s\": \"%s\"",
							option->name, value),
					 hint ? errhint("%s", hint) : 0));
	}
	if (server.target == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
				 errmsg("option \"target\" is required"),
				 errhint("It says where the agent listens: target 'dns:///host:port'.")));
	PG_RETURN_VOID();
}

/* ----------------------------------------------------------------------
 * Reading
 * ----------------------------------------------------------------------
 */

/* NULL if its options were stored without the validator and are no good. */
static PaAgentServer *
read_server(HeapTuple tuple, TupleDesc descriptor)
{
	Form_pg_foreign_server form = (Form_pg_foreign_server) GETSTRUCT(tuple);
	PaAgentServer *server = palloc0(sizeof(PaAgentServer));
	bool		isnull;
	Datum		options = heap_getattr(tuple,
									   Anum_pg_foreign_server_srvoptions,
									   descriptor, &isnull);
	ListCell   *cell;

	server->oid = form->oid;
	/* the raw one outlives freezing */
	server->version = HeapTupleHeaderGetRawXmin(tuple->t_data);
	server->server_name = pstrdup(NameStr(form->srvname));
	set_defaults(server);
	foreach(cell, isnull ? NIL : untransformRelOptions(options))
	{
		DefElem    *element = lfirst(cell);
		const Option *option = find_option(element->defname);
		const char *hint;

		if (option == NULL ||
			!set_option(server, option, defGetString(element), &hint))
			return NULL;
	}
	return server->target ? server : NULL;
}

List *
pa_agent_server_list(void)
{
	Oid			wrapper = get_foreign_data_wrapper_oid(WRAPPER_NAME, true);
	List	   *servers = NIL;
	Relation	relation;
	SysScanDesc scan;
	HeapTuple	tuple;

	if (!OidIsValid(wrapper))
		return NIL;

	relation = table_open(ForeignServerRelationId, AccessShareLock);
	scan = systable_beginscan(relation, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		PaAgentServer *server;

		if (((Form_pg_foreign_server) GETSTRUCT(tuple))->srvfdw != wrapper)
			continue;
		server = read_server(tuple, RelationGetDescr(relation));
		if (server)
			servers = lappend(servers, server);
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return servers;
}

bool
pa_agent_server_exists(const char *server_name)
{
	HeapTuple	tuple = SearchSysCache1(FOREIGNSERVERNAME,
										CStringGetDatum(server_name));
	Oid			wrapper;

	if (!HeapTupleIsValid(tuple))
		return false;
	wrapper = ((Form_pg_foreign_server) GETSTRUCT(tuple))->srvfdw;
	ReleaseSysCache(tuple);
	return wrapper == get_foreign_data_wrapper_oid(WRAPPER_NAME, true);
}

/* ----------------------------------------------------------------------
 * Changes
 * ----------------------------------------------------------------------
 */
static uint64 version = 0;

static void
server_may_have_changed(Datum arg, int cache, uint32 hash)
{
	version++;
}

uint64
pa_agent_server_version(void)
{
	static bool registered = false;

	if (!registered)
	{
		CacheRegisterSyscacheCallback(FOREIGNSERVEROID,
									  server_may_have_changed, (Datum) 0);
		CacheRegisterSyscacheCallback(FOREIGNDATAWRAPPEROID,
									  server_may_have_changed, (Datum) 0);
		registered = true;
		version = 1;
	}
	return version;
}
