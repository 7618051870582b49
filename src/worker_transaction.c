/*-------------------------------------------------------------------------
 *
 * src/worker_transaction.c
 *		The transactions of a worker.  See worker_transaction.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "extension_info.h"
#include "miscadmin.h"
#include "phase.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "worker_transaction.h"

/* what commit has to restore */
static MemoryContext caller_context;
static Oid	caller_user;
static int	caller_security;
static int	guc_level;

void
pa_worker_begin_transaction(void)
{
	caller_context = CurrentMemoryContext;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();

	GetUserIdAndSecContext(&caller_user, &caller_security);
	SetUserIdAndSecContext(pa_extension_owner(),
						   caller_security |
						   SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	guc_level = NewGUCNestLevel();

	PushActiveSnapshot(GetTransactionSnapshot());
}

void
pa_worker_commit_transaction(void)
{
	PaPhase		before = pa_phase_enter(PA_PHASE_COMMIT);

	PopActiveSnapshot();

	/* false: not even a plain SET of a user's trigger outlives us */
	AtEOXact_GUC(false, guc_level);
	SetUserIdAndSecContext(caller_user, caller_security);

	CommitTransactionCommand();
	MemoryContextSwitchTo(caller_context);
	pa_phase_enter(before);
}
