/*-------------------------------------------------------------------------
 *
 * src/inventory.c
 *		Who may operate the inventory, and the triggers on the tables.  See
 *		inventory.h.
 *
 * An inventory that is loaded from elsewhere lags behind: while an action for
 * a cluster is due, its word on the status would overwrite what the agent is
 * about to say, or has just said.  It is then ignored rather than refused, so
 * that a load of many rows goes on.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "argument.h"
#include "extension_info.h"
#include "inventory.h"
#include "store_plan.h"

bool		pa_inventory_writing_outcome = false;
bool		pa_inventory_inserting_requests = false;

PG_FUNCTION_INFO_V1(pa_inventory_keep_cluster_status);
PG_FUNCTION_INFO_V1(pa_inventory_keep_instance_status);
PG_FUNCTION_INFO_V1(pa_inventory_cancel_restored);
PG_FUNCTION_INFO_V1(pa_inventory_check_text);

/* ----------------------------------------------------------------------
 * Who the caller is
 * ----------------------------------------------------------------------
 */

/*
 * The extension's owner.  Asked several times for each request, so remembered
 * for the transaction.
 */
static Oid
extension_owner(void)
{
	static TransactionId known_in = InvalidTransactionId;
	static Oid	owner;
	TransactionId transaction = GetTopTransactionIdIfAny();

	if (!TransactionIdIsValid(transaction) || transaction != known_in)
	{
		owner = pa_extension_owner();
		known_in = transaction;
	}
	return owner;
}

void
pa_inventory_become_owner(Oid *user, int *context)
{
	GetUserIdAndSecContext(user, context);
	SetUserIdAndSecContext(extension_owner(),
						   *context | SECURITY_LOCAL_USERID_CHANGE);
}

void
pa_inventory_become_caller(Oid user, int context)
{
	SetUserIdAndSecContext(user, context);
}

bool
pa_inventory_caller_is_owner(void)
{
	return has_privs_of_role(GetUserId(), extension_owner());
}

void
pa_inventory_read_operated(PaOperatedAccounts *accounts)
{
	static PaPlan plan = {
		"SELECT m.account_name FROM power_action.my_access m "
		"WHERE m.privilege OPERATOR(pg_catalog.=) 'operate'",
		0, {0}
	};
	PaResult	result;

	accounts->all = pa_inventory_caller_is_owner();
	accounts->count = 0;
	if (accounts->all)
		return;

	pa_plan_execute(&plan, NULL, NULL, false, 0, &result);
	accounts->names = palloc(sizeof(char *) * (result.count + 1));
	for (uint64 i = 0; i < result.count; i++)
	{
		char	   *name = pa_row_text(&result.rows[i], 1);

		if (name == NULL)
			accounts->all = true;
		else
			accounts->names[accounts->count++] = name;
	}
	pa_plan_finish(&result);
}

bool
pa_inventory_operates(const PaOperatedAccounts *accounts,
					  const text *account_name)
{
	size_t		length;

	if (accounts->all)
		return true;
	length = VARSIZE_ANY_EXHDR(account_name);
	for (int i = 0; i < accounts->count; i++)
		if (strlen(accounts->names[i]) == length &&
			memcmp(accounts->names[i], VARDATA_ANY(account_name), length) == 0)
			return true;
	return false;
}

bool
pa_inventory_may_operate(const text *account_name)
{
	PaOperatedAccounts accounts;

	pa_inventory_read_operated(&accounts);
	return pa_inventory_operates(&accounts, account_name);
}

/* ----------------------------------------------------------------------
 * Triggers
 * ----------------------------------------------------------------------
 */

static TriggerData *
before_update_of_row(FunctionCallInfo fcinfo, const char *table)
{
	TriggerData *trigger;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function must be called as a trigger")));

	trigger = (TriggerData *) fcinfo->context;
	if (!TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		!TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("trigger must be fired before the update of a row of %s",
						table)));
	return trigger;
}

static int
column_number(TupleDesc descriptor, const char *name)
{
	int			column = SPI_fnumber(descriptor, name);

	if (column <= 0)
		elog(ERROR, "column \"%s\" is missing", name);
	return column;
}

/*
 * Is an action for the cluster due?  Asked as the owner: a role that writes
 * the inventory need not see the queue.  Jobs of another origin do not run,
 * so they protect nothing.
 */
static bool
action_is_due(Datum cluster_id)
{
	static PaPlan plan = {
		"SELECT 1 FROM power_action.job j "
		"WHERE j.cluster_id OPERATOR(pg_catalog.=) $1 "
		"AND j.due_at OPERATOR(pg_catalog.<=) $2 "
		"AND j.origin_system OPERATOR(pg_catalog.=) $3 "
		"AND j.origin_database OPERATOR(pg_catalog.=) $4 "
		"LIMIT 1",
		4, {TEXTOID, TIMESTAMPTZOID, INT8OID, OIDOID}, PA_PLANNER_LOOK_UPS
	};
	Datum		values[4];
	PaResult	result;
	Oid			user;
	int			context;
	bool		due;

	values[0] = cluster_id;
	values[1] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[2] = Int64GetDatum((int64) GetSystemIdentifier());
	values[3] = ObjectIdGetDatum(MyDatabaseId);

	pa_inventory_become_owner(&user, &context);
	/* not read-only: a job of the same transaction counts */
	pa_plan_execute(&plan, values, NULL, false, 1, &result);
	due = result.count > 0;
	pa_plan_finish(&result);
	pa_inventory_become_caller(user, context);
	return due;
}

/* A null is no change: the NOT NULL constraint refuses it. */
static bool
status_changes(HeapTuple old, HeapTuple new, TupleDesc descriptor, int column)
{
	bool		isnull;
	Datum		before = SPI_getbinval(old, descriptor, column, &isnull);
	Datum		after = SPI_getbinval(new, descriptor, column, &isnull);

	return !isnull &&
		strcmp(TextDatumGetCString(before), TextDatumGetCString(after)) != 0;
}

/*
 * Trigger on cluster, before the update of a row: who changed the status, and
 * when.
 */
Datum
pa_inventory_keep_cluster_status(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = before_update_of_row(fcinfo, "cluster");
	TupleDesc	descriptor = trigger->tg_relation->rd_att;
	HeapTuple	old = trigger->tg_trigtuple;
	HeapTuple	new = trigger->tg_newtuple;
	int			columns[3];
	Datum		values[3];
	bool		nulls[3] = {false, false, false};
	bool		isnull;
	int			first = 1;

	if (pa_inventory_writing_outcome)
		return PointerGetDatum(new);

	columns[0] = column_number(descriptor, "status");
	columns[1] = column_number(descriptor, "status_source");
	columns[2] = column_number(descriptor, "status_changed_at");
	for (int i = 0; i < 3; i++)
		values[i] = SPI_getbinval(old, descriptor, columns[i], &isnull);

	if (status_changes(old, new, descriptor, columns[0]))
	{
		if (action_is_due(SPI_getbinval(old, descriptor,
										column_number(descriptor,
													  "cluster_id"),
										&isnull)))
			first = 0;			/* the old status stays, too */
		else
		{
			values[1] = CStringGetTextDatum("inventory");
			values[2] = TimestampTzGetDatum(
				GetCurrentTransactionStartTimestamp());
		}
	}

	return PointerGetDatum(heap_modify_tuple_by_cols(new, descriptor,
													 3 - first,
													 columns + first,
													 values + first,
													 nulls + first));
}

/*
 * Trigger on instance, before the update of a row.
 */
Datum
pa_inventory_keep_instance_status(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = before_update_of_row(fcinfo, "instance");
	TupleDesc	descriptor = trigger->tg_relation->rd_att;
	HeapTuple	old = trigger->tg_trigtuple;
	HeapTuple	new = trigger->tg_newtuple;
	int			column;
	Datum		status;
	bool		isnull = false;

	if (pa_inventory_writing_outcome)
		return PointerGetDatum(new);

	column = column_number(descriptor, "status");
	if (!status_changes(old, new, descriptor, column) ||
		!action_is_due(SPI_getbinval(old, descriptor,
									 column_number(descriptor, "cluster_id"),
									 &isnull)))
		return PointerGetDatum(new);

	status = SPI_getbinval(old, descriptor, column, &isnull);
	return PointerGetDatum(heap_modify_tuple_by_cols(new, descriptor, 1,
													 &column, &status,
													 &isnull));
}

/*
 * Trigger on event, before the insert of a row.  Only the request functions
 * insert a job along with an event that is not final; what comes from a dump,
 * or by hand, would never be done.  Whether it had been sent is not known.
 */
Datum
pa_inventory_cancel_restored(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TimestampTz now = GetCurrentTransactionStartTimestamp();
	TupleDesc	descriptor;
	HeapTuple	new;
	TimestampTz finished = now;
	int			columns[4];
	Datum		values[4];
	bool		nulls[4] = {false, false, false, false};
	Datum		not_before;
	char	   *status;
	bool		isnull;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		!TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("trigger must be fired before the insert of a row of event")));

	new = trigger->tg_trigtuple;
	if (pa_inventory_inserting_requests)
		return PointerGetDatum(new);

	descriptor = trigger->tg_relation->rd_att;
	columns[0] = column_number(descriptor, "status");
	values[0] = SPI_getbinval(new, descriptor, columns[0], &isnull);
	if (isnull)
		return PointerGetDatum(new);
	status = TextDatumGetCString(values[0]);
	if (strcmp(status, "pending") != 0 && strcmp(status, "running") != 0)
		return PointerGetDatum(new);

	columns[1] = column_number(descriptor, "cancel_reason");
	columns[2] = column_number(descriptor, "finished_at");
	columns[3] = column_number(descriptor, "agent_result");
	values[0] = CStringGetTextDatum("cancelled");
	values[1] = CStringGetTextDatum("restored");
	/* not before it began, whatever the clock of that server said */
	for (int i = 0; i < 2; i++)
	{
		Datum		began = SPI_getbinval(new, descriptor,
										  column_number(descriptor,
														i == 0 ? "requested_at" :
														"started_at"),
										  &isnull);

		if (!isnull)
			finished = Max(finished, DatumGetTimestampTz(began));
	}
	values[2] = TimestampTzGetDatum(finished);
	values[3] = SPI_getbinval(new, descriptor, columns[3], &nulls[3]);

	/* what was due may have been sent, as far as anybody can tell now */
	not_before = SPI_getbinval(new, descriptor,
							   column_number(descriptor, "not_before"),
							   &isnull);
	if (!nulls[3] && strcmp(TextDatumGetCString(values[3]), "none") == 0 &&
		(isnull || DatumGetTimestampTz(not_before) <= now))
		values[3] = CStringGetTextDatum("unknown");

	return PointerGetDatum(heap_modify_tuple_by_cols(new, descriptor, 4,
													 columns, values, nulls));
}

/*
 * Trigger on the tables of the inventory, before the insert of a row or the
 * update of one of the columns that are its arguments.
 */
Datum
pa_inventory_check_text(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	HeapTuple	row;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_BEFORE(data->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(data->tg_event) ||
		TRIGGER_FIRED_BY_DELETE(data->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("trigger must be fired before the insert or update of a row")));

	row = TRIGGER_FIRED_BY_INSERT(data->tg_event) ?
		data->tg_trigtuple : data->tg_newtuple;
	for (int i = 0; i < data->tg_trigger->tgnargs; i++)
	{
		const char *name = data->tg_trigger->tgargs[i];
		TupleDesc	descriptor = data->tg_relation->rd_att;
		bool		isnull;
		Datum		value = SPI_getbinval(row, descriptor,
										  column_number(descriptor, name),
										  &isnull);

		if (!isnull && pa_argument_has_control(DatumGetTextPP(value)))
			ereport(ERROR,
					(errcode(ERRCODE_CHECK_VIOLATION),
					 errmsg("column \"%s\" of table \"%s\" has a control character: \"%s\"",
							name, RelationGetRelationName(data->tg_relation),
							pa_argument_shown(DatumGetTextPP(value))),
					 errtablecol(data->tg_relation,
								 column_number(descriptor, name))));
	}
	return PointerGetDatum(row);
}
