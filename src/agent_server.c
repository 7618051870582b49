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
#include "target.h"

#define WRAPPER_NAME "power_agent"

PG_FUNCTION_INFO_V1(pa_agent_server_validator);

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
