/*-------------------------------------------------------------------------
 *
 * src/agent_server.c
 *		Agents as foreign servers.  See agent_server.h.
 *
 * What the options mean is the business of agent_option.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/reloptions.h"
#include "access/table.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_foreign_server.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "agent_server.h"
#include "file_rule.h"

#define WRAPPER_NAME "power_agent"

PG_FUNCTION_INFO_V1(pa_agent_server_validator);

/* ----------------------------------------------------------------------
 * Validator
 * ----------------------------------------------------------------------
 */

/*
 * Who defines the server reads the file with the rights of the operating
 * system's user, if only in part: the token goes to the target, and messages
 * tell what a file is not.
 */
static void
check_may_use_files(const char *option)
{
	if (superuser() ||
		has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied to define a server with option \"%s\"",
					option),
			 errhint("Only superusers and members of pg_read_server_files may define or alter servers that have one of: %s.",
					 pa_agent_option_file_names())));
}

/*
 * The courier looks for the file whenever it needs it, so one that is not in
 * place yet is no error.
 */
static void
warn_of_file(const char *option, const char *path, bool secret)
{
	char		problem[256];
	struct stat status;
	bool		good = false;
	int			fd;

	/* the courier opens what a frame of UTF-8 says; no waiting for a FIFO */
	fd = OpenTransientFile(pg_server_to_any(path, strlen(path), PG_UTF8),
						   O_RDONLY | O_NONBLOCK | O_NOCTTY | PG_BINARY);
	if (fd < 0 || fstat(fd, &status) != 0)
		snprintf(problem, sizeof(problem), "%m");
	else
		good = pa_file_rule_check(&status, secret, geteuid(), problem,
								  sizeof(problem));
	if (fd >= 0)
		CloseTransientFile(fd);
	if (!good)
		ereport(WARNING,
				(errcode_for_file_access(),
				 errmsg("file \"%s\" of option \"%s\" cannot be used: %s",
						path, option, problem),
				 errhint("It is looked at again about once a second; the agent cannot be reached without it.")));
}

static void
check_files(const PaAgentServer *server)
{
	const char *option;
	const char *path;
	bool		secret;
	int			index = 0;

	while ((option = pa_agent_option_file(server, &index, &path, &secret)))
		if (path)
			check_may_use_files(option);
	index = 0;
	while ((option = pa_agent_option_file(server, &index, &path, &secret)))
		if (path)
			warn_of_file(option, path, secret);
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
	PaOptionProblem problem;

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

	if (!pa_agent_option_read(options, &server, &problem))
		ereport(ERROR,
				(errcode(problem.sqlstate),
				 errmsg("%s", problem.message),
				 problem.hint ? errhint("%s", problem.hint) : 0));
	check_files(&server);
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
	PaOptionProblem problem;

	server->oid = form->oid;
	/* the raw one outlives freezing */
	server->version = HeapTupleHeaderGetRawXmin(tuple->t_data);
	server->server_name = pstrdup(NameStr(form->srvname));
	return pa_agent_option_read(isnull ? NIL : untransformRelOptions(options),
								server, &problem) ? server : NULL;
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
