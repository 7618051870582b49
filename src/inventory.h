/*-------------------------------------------------------------------------
 *
 * src/inventory.h
 *		Who may operate the accounts of the inventory; and the triggers on the
 *		tables, which keep cluster.status and instance.status honest and
 *		cancel events that come from a dump.
 *
 * The triggers run in any backend that writes these tables, the worker
 * included; the rest is called in client backends, inside a transaction with
 * an active snapshot.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_INVENTORY_H
#define PA_INVENTORY_H

#include "fmgr.h"

/* The triggers. */
extern Datum pa_inventory_keep_cluster_status(PG_FUNCTION_ARGS);
extern Datum pa_inventory_keep_instance_status(PG_FUNCTION_ARGS);
extern Datum pa_inventory_cancel_restored(PG_FUNCTION_ARGS);
extern Datum pa_inventory_check_text(PG_FUNCTION_ARGS);

/*
 * Set by the worker around the statements that write what an agent said, and
 * cleared on error too.  While it is set the triggers leave every column as
 * the statement has it: status_source and status_changed_at are the worker's
 * to set.
 */
extern bool pa_inventory_writing_outcome;

/*
 * Set around the statement that inserts events together with their jobs, and
 * cleared on error too.  Every other event that is inserted and not final
 * becomes cancelled.
 */
extern bool pa_inventory_inserting_requests;

/*
 * Is he the extension's owner, a member of it, or a superuser?  Then he may
 * do everything, with no row in access.
 */
extern bool pa_inventory_caller_is_owner(void);

/* The accounts that the caller may operate. */
typedef struct PaOperatedAccounts
{
	bool		all;
	int			count;
	char	  **names;
} PaOperatedAccounts;

/* Reads them as the caller, into the current memory context. */
extern void pa_inventory_read_operated(PaOperatedAccounts *accounts);

extern bool pa_inventory_operates(const PaOperatedAccounts *accounts,
								  const text *account_name);

/* Both in one, for one account. */
extern bool pa_inventory_may_operate(const text *account_name);

/*
 * Acts as the owner from here on; *user and *context are for become_caller.
 * If an ERROR is raised in between, the end of the transaction, or of the
 * subtransaction, makes him the caller again.
 */
extern void pa_inventory_become_owner(Oid *user, int *context);
extern void pa_inventory_become_caller(Oid user, int context);

#endif							/* PA_INVENTORY_H */
