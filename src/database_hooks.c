/*-------------------------------------------------------------------------
 *
 * src/database_hooks.c
 *		Statements that concern the workers: about the extension, and about
 *		whole databases.
 *
 * Runs in the session that executes such a statement.
 *
 * CREATE and DROP EXTENSION are seen as they happen and passed on when they
 * are committed.  A CREATE that a subtransaction took back is passed on all
 * the same: the launcher looks for itself.
 *
 * DROP DATABASE, RENAME, SET TABLESPACE and CREATE DATABASE ... TEMPLATE want
 * nobody else to be connected to the database, and would wait in vain for a
 * worker to leave.  So before such a statement, if the user is allowed to
 * execute it, the database is held (worker_slot.h) until the end of the
 * transaction, or of the session, and its worker is asked to leave.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_foreign_server.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "compat.h"
#include "database_hooks.h"
#include "extension_info.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "shared_state.h"
#include "storage/ipc.h"
#include "tcop/utility.h"
#include "utils/resowner.h"
#include "utils/syscache.h"
#include "worker_slot.h"

/* How long a worker may take to leave; then the statement says so itself. */
#define LEAVE_TIMEOUT	5000	/* ms */

static object_access_hook_type previous_object_access_hook = NULL;
static ProcessUtility_hook_type previous_ProcessUtility_hook = NULL;

/* what this transaction has done */
static bool extension_created = false;
static bool extension_dropped = false;
static bool databases_changed = false;
static bool servers_changed = false;
static bool servers_committed = false;	/* and not passed on yet */
static bool database_held = false;

/*
 * The end of the transaction
 */

static void
forget_transaction(void)
{
	extension_created = false;
	extension_dropped = false;
	databases_changed = false;
	servers_changed = false;

	if (database_held)
	{
		database_held = false;
		pa_slot_release_holds();
	}
}

static void
transaction_callback(XactEvent event, void *argument)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:

			/*
			 * Dropped and created again, or a subtransaction took the drop
			 * back: then the worker has to start anew, not to stay away.
			 */
			if (extension_dropped && pa_extension_exists())
				extension_created = true;
			break;

		case XACT_EVENT_COMMIT:
			if (extension_dropped)
				pa_slot_stop_worker(MyDatabaseId, PA_END_NO_EXTENSION);
			if (extension_created)
				pa_slot_request_probe(MyDatabaseId, false);
			if (databases_changed)
				pa_slot_request_rescan();
			servers_committed = servers_changed;
			forget_transaction();
			break;

		case XACT_EVENT_PREPARE:
			/* who commits it may be anybody, and need not pass by here */
			if (extension_created)
				pa_slot_request_probe(MyDatabaseId, true);
			forget_transaction();
			break;

		case XACT_EVENT_ABORT:
			forget_transaction();
			break;

		default:
			break;
	}
}

/*
 * At XACT_EVENT_COMMIT the invalidations of this transaction have not been
 * sent yet: a worker that looks then sees nothing new, and does not look again
 * for a long time.
 */
static void
release_callback(ResourceReleasePhase phase, bool is_commit,
				 bool is_top_level, void *argument)
{
	if (phase != RESOURCE_RELEASE_AFTER_LOCKS || !is_top_level)
		return;
	/* it takes in the catalogues whenever it looks at requests */
	if (servers_committed && is_commit)
		pa_shared_notify_cancellation(MyDatabaseId);
	servers_committed = false;
}

static void
exit_callback(int code, Datum argument)
{
	forget_transaction();
}

/* Once per session, before anything is remembered for the first time. */
static void
register_callbacks(void)
{
	static bool registered = false;

	if (registered)
		return;

	RegisterXactCallback(transaction_callback, NULL);
	RegisterResourceReleaseCallback(release_callback, NULL);
	before_shmem_exit(exit_callback, (Datum) 0);
	registered = true;
}

/*
 * The extension
 */

static void
object_access(ObjectAccessType access, Oid class_id, Oid object_id,
			  int sub_id, void *argument)
{
	if (previous_object_access_hook)
		previous_object_access_hook(access, class_id, object_id, sub_id,
									argument);

	if (!pa_shared_available())
		return;
	if (class_id == ForeignServerRelationId)
	{
		register_callbacks();
		servers_changed = true;
		return;
	}
	if (class_id != ExtensionRelationId)
		return;

	/* the row of a new one is not visible yet: any may be ours */
	if (access == OAT_POST_CREATE)
	{
		register_callbacks();
		extension_created = true;
	}
	else if (access == OAT_DROP && pa_extension_is(object_id))
	{
		register_callbacks();
		extension_dropped = true;
	}
}

/*
 * Databases
 */

/* what have_createdb_privilege() tells, which 15 keeps to itself */
static bool
may_create_databases(void)
{
	HeapTuple	tuple;
	bool		allowed = superuser();

	if (allowed)
		return true;

	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	if (HeapTupleIsValid(tuple))
	{
		allowed = ((Form_pg_authid) GETSTRUCT(tuple))->rolcreatedb;
		ReleaseSysCache(tuple);
	}

	return allowed;
}

static bool
is_template(Oid database)
{
	HeapTuple	tuple;
	bool		result = false;

	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
	if (HeapTupleIsValid(tuple))
	{
		result = ((Form_pg_database) GETSTRUCT(tuple))->datistemplate;
		ReleaseSysCache(tuple);
	}

	return result;
}

/* The database that CREATE DATABASE copies, InvalidOid if there is none. */
static Oid
template_database(CreatedbStmt *statement)
{
	const char *name = "template1";
	ListCell   *cell;

	foreach(cell, statement->options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, "template") == 0 && option->arg != NULL)
			name = defGetString(option);
	}

	return get_database_oid(name, true);
}

static bool
has_option(List *options, const char *name)
{
	ListCell   *cell;

	foreach(cell, options)
	{
		if (strcmp(lfirst_node(DefElem, cell)->defname, name) == 0)
			return true;
	}

	return false;
}

/*
 * The database that nobody else may be connected to while the statement runs,
 * InvalidOid if there is none, or if the user may not execute the statement:
 * nobody stops a worker by a statement that is bound to fail.
 */
static Oid
database_to_clear(Node *statement)
{
	Oid			database = InvalidOid;
	bool		allowed = false;

	switch (nodeTag(statement))
	{
		case T_DropdbStmt:
			database = get_database_oid(((DropdbStmt *) statement)->dbname,
										true);
			break;

		case T_RenameStmt:
			if (((RenameStmt *) statement)->renameType != OBJECT_DATABASE ||
				!may_create_databases())
				return InvalidOid;
			database = get_database_oid(((RenameStmt *) statement)->subname,
										true);
			break;

		case T_AlterDatabaseStmt:
			if (!has_option(((AlterDatabaseStmt *) statement)->options,
							"tablespace"))
				return InvalidOid;
			database = get_database_oid(((AlterDatabaseStmt *) statement)->dbname,
										true);
			break;

		case T_CreatedbStmt:
			if (!may_create_databases())
				return InvalidOid;
			database = template_database((CreatedbStmt *) statement);
			allowed = OidIsValid(database) && is_template(database);
			break;

		default:
			return InvalidOid;
	}

	if (!OidIsValid(database))
		return InvalidOid;
	if (!allowed && !pa_compat_owns_database(database, GetUserId()))
		return InvalidOid;

	/* all but CREATE refuse the database that they are executed in */
	if (database == MyDatabaseId && !IsA(statement, CreatedbStmt))
		return InvalidOid;

	return database;
}

static bool
changes_databases(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_CreatedbStmt:
		case T_DropdbStmt:
		case T_AlterDatabaseStmt:
			return true;
		case T_RenameStmt:
			return ((RenameStmt *) statement)->renameType == OBJECT_DATABASE;
		default:
			return false;
	}
}

static void
before_database_statement(Node *statement, ProcessUtilityContext context)
{
	Oid			database;

	register_callbacks();
	databases_changed = true;

	/* these cannot run in a transaction block, and will say so */
	if (!IsA(statement, RenameStmt) &&
		(context != PROCESS_UTILITY_TOPLEVEL || IsTransactionBlock()))
		return;

	database = database_to_clear(statement);
	if (!OidIsValid(database))
		return;

	database_held = true;
	(void) pa_slot_hold(database);
	(void) pa_slot_wait_gone(database, LEAVE_TIMEOUT);
}

static void
process_utility(PlannedStmt *statement, const char *query_string,
				bool read_only_tree, ProcessUtilityContext context,
				ParamListInfo params, QueryEnvironment *query_environment,
				DestReceiver *dest, QueryCompletion *completion)
{
	if (changes_databases(statement->utilityStmt) && pa_shared_available())
		before_database_statement(statement->utilityStmt, context);

	if (previous_ProcessUtility_hook)
		previous_ProcessUtility_hook(statement, query_string, read_only_tree,
									 context, params, query_environment, dest,
									 completion);
	else
		standard_ProcessUtility(statement, query_string, read_only_tree,
								context, params, query_environment, dest,
								completion);
}

void
pa_database_hooks_install(void)
{
	previous_object_access_hook = object_access_hook;
	object_access_hook = object_access;
	previous_ProcessUtility_hook = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}
