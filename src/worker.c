/*-------------------------------------------------------------------------
 *
 * src/worker.c
 *		The worker process of one database: its start, its loop, its end.
 *
 * What it does is behind workload.h.  Started by the launcher; leaves at once
 * if the database does not have the extension, or not any more.  It ends
 * with exit code 0 whenever that was wanted, so that the server's log stays
 * quiet; how it ended is told to the launcher through its slot.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "backoff.h"
#include "clock.h"
#include "extension_info.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "phase.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "wait_event.h"
#include "worker.h"
#include "worker_slot.h"
#include "workload.h"

/* All times in milliseconds. */
#define MIN_ERROR_BACKOFF		100
#define MAX_ERROR_BACKOFF		(60 * 1000)

/* so many times in a row a table that somebody has locked is no news */
#define LOCKED_PATIENCE			3

/*
 * How often an idle worker looks whether the extension is still there.  A
 * DROP EXTENSION normally tells us; a prepared one cannot.
 */
#define EXTENSION_CHECK_INTERVAL	(60 * 1000)

/* Settings of the database or the role must not reach what we do. */
static const struct
{
	const char *name;
	const char *value;
}			own_settings[] =
{
	{"application_name", "power_action worker"},
	{"search_path", "pg_catalog, pg_temp"},
	{"role", "none"},
	{"default_transaction_read_only", "off"},
	{"default_transaction_isolation", "read committed"},
	{"default_transaction_deferrable", "off"},
	{"session_replication_role", "origin"},
	/* rather an error than rows that are silently not there */
	{"row_security", "off"},
	{"statement_timeout", "0"},
	{"lock_timeout", "0"},
	{"idle_in_transaction_session_timeout", "0"},
	{"idle_session_timeout", "0"},
	{"transaction_timeout", "0"},
	/* errors are expected, and survived */
	{"exit_on_error", "off"},
	{"datestyle", "ISO, YMD"},
	{"intervalstyle", "postgres"},
	{"bytea_output", "hex"},
	/* plans are made while the tables are empty, and kept */
	{"plan_cache_mode", "force_generic_plan"},
	{"enable_seqscan", "off"},
	{"enable_indexscan", "on"},
	{"enable_indexonlyscan", "on"},
	{"enable_bitmapscan", "off"},
	{"enable_nestloop", "on"},
	{"enable_hashjoin", "off"},
	{"enable_mergejoin", "off"},
	{"jit", "off"},
};

/* How the errors in a row are remembered. */
static struct
{
	int			count;
	int			sqlstate;		/* of the last one, */
	int			same;			/* and so many of them had that */
	bool		told;			/* one was logged */
	PaInstant	next_attempt;
}			streak;

static volatile sig_atomic_t terminated = false;
static volatile sig_atomic_t in_cycle = false;	/* of the workload */

static bool workload_touched = false;	/* begin was called */
static bool workload_begun = false; /* and succeeded */
static PaInstant last_extension_check = 0;
static MemoryContext cycle_context = NULL;

bool
pa_worker_register(Oid database, const char *database_name, int slot,
				   uint64 generation, BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker;

	memset(&worker, 0, sizeof(worker));
	snprintf(worker.bgw_name, BGW_MAXLEN, "power_action worker: %s",
			 database_name);
	strlcpy(worker.bgw_type, "power_action worker", BGW_MAXLEN);
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "power_action", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "pa_worker_main", BGW_MAXLEN);
	worker.bgw_main_arg = Int32GetDatum(slot);
	memcpy(worker.bgw_extra, &generation, sizeof(generation));
	memcpy(worker.bgw_extra + sizeof(generation), &database, sizeof(database));
	worker.bgw_notify_pid = MyProcPid;

	return RegisterDynamicBackgroundWorker(&worker, handle);
}

/*
 * The end
 */

/*
 * A worker that was asked to leave for the sake of some statement cancels what
 * it is doing and leaves in silence.  If somebody's code has swallowed that
 * (the request is repeated), and for everybody else who sends SIGTERM, it
 * dies as a backend does, inside a statement, too, with a FATAL in the log.
 */
static void
handle_sigterm(SIGNAL_ARGS)
{
	if (in_cycle && !terminated && pa_slot_stopping())
	{
		terminated = true;
		QueryCancelPending = true;
		InterruptPending = true;
		SetLatch(MyLatch);
		return;
	}

	terminated = true;
	die(postgres_signal_arg);
}

static void
end_workload(int code, Datum arg)
{
	/* die() makes a statement end with FATAL: then this is where we learn */
	if (terminated)
		pa_slot_set_end(PA_END_TERMINATED);

	if (workload_touched)
		pa_workload_end();
}

static void
leave(PaWorkerEnd end)
{
	pa_slot_set_end(end);
	proc_exit(0);
}

static void
leave_if_asked(void)
{
	if (terminated)
		leave(PA_END_TERMINATED);
	if (pa_shared_stop_requested())
		leave(PA_END_STOPPED);

	/* pg_cancel_backend() has nothing to cancel here */
	QueryCancelPending = false;
	CHECK_FOR_INTERRUPTS();
}

/*
 * The start
 */

static void
apply_own_settings(void)
{
	for (size_t i = 0; i < lengthof(own_settings); i++)
	{
		/* some exist in newer versions only */
		if (GetConfigOption(own_settings[i].name, true, false) == NULL)
			continue;

		/* outlasts what a reload brings, unlike what PGC_S_SESSION would */
		SetConfigOption(own_settings[i].name, own_settings[i].value,
						PGC_SUSET, PGC_S_OVERRIDE);
	}
}

/* In a transaction of its own. */
static bool
extension_is_there(void)
{
	bool		there;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	there = pa_extension_exists();
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(cycle_context);

	last_extension_check = pa_clock_now();
	return there;
}

/*
 * The loop
 */

/*
 * An ERROR was caught.  Says so, once for each kind in a row, together with
 * what happens next, and makes the process fit for another cycle.
 */
static void
recover(void)
{
	ErrorData  *error;
	int64		delay;
	bool		tell;

	HOLD_INTERRUPTS();

	MemoryContextSwitchTo(cycle_context);
	error = CopyErrorData();
	FlushErrorState();

	/* outside of a transaction nobody else would */
	LWLockReleaseAll();
	ConditionVariableCancelSleep();
	pgstat_report_wait_end();
	AbortCurrentTransaction();
	MemoryContextSwitchTo(cycle_context);

	streak.count++;
	delay = pa_backoff_delay(MIN_ERROR_BACKOFF, MAX_ERROR_BACKOFF,
							 streak.count, 1.0);
	streak.next_attempt = pa_clock_after(pa_clock_now(), delay);

	if (streak.count == 1 || error->sqlerrcode != streak.sqlstate)
		streak.same = 0;
	streak.same++;
	streak.sqlstate = error->sqlerrcode;
	tell = error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ?
		streak.same == LOCKED_PATIENCE + 1 : streak.same == 1;

	if (tell && !terminated)
	{
		streak.told = true;
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("power_action worker: %s", error->message),
				 error->detail ?
				 errdetail_internal("%s", error->detail) : 0,
				 errhint("The worker tries again, first after %d ms and then at growing intervals of up to %d s; the same error is not logged again.",
						 MIN_ERROR_BACKOFF, MAX_ERROR_BACKOFF / 1000),
				 error->context ?
				 errcontext("%s", error->context) : 0));
	}

	RESUME_INTERRUPTS();
}

/* One cycle of the workload; returns what it returns, 0 after an error. */
static long
run_cycle(void)
{
	volatile long timeout = 0;

	pgstat_report_activity(STATE_RUNNING, "working");

	in_cycle = true;
	PG_TRY();
	{
		if (!workload_begun)
		{
			workload_touched = true;
			pa_workload_begin();
			workload_begun = true;
		}
		timeout = pa_workload_cycle();

		if (streak.told)
			ereport(LOG,
					(errmsg("power_action worker works again after %d errors",
							streak.count)));
		streak.told = false;
		streak.count = 0;
	}
	PG_CATCH();
	{
		recover();
	}
	PG_END_TRY();
	in_cycle = false;

	return timeout;
}

/*
 * After an error: the workload gets its chance to put itself in order, and
 * the error may well be that the extension is gone.  Returns false if it is.
 */
static bool
after_error(void)
{
	volatile bool there = true;

	PG_TRY();
	{
		there = extension_is_there();
		if (there && workload_begun)
			pa_workload_recover();
	}
	PG_CATCH();
	{
		recover();
	}
	PG_END_TRY();

	return there;
}

/* Waits at most timeout ms. */
static void
wait_for_work(long timeout)
{
	uint32		events = 0;
	pgsocket	socket;

	socket = pa_workload_socket(&events);
	if (socket == PGINVALID_SOCKET)
		events = 0;

	pgstat_report_activity(STATE_IDLE, "waiting for requests");
	pa_phase_enter(PA_PHASE_WAIT);
	(void) WaitLatchOrSocket(MyLatch,
							 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH |
							 events,
							 socket, timeout, pa_wait_event(PA_WAIT_WORKER));
	ResetLatch(MyLatch);
}

/* Waits for the end of the backoff, or for the latch. */
static void
wait_after_error(void)
{
	char		text[96];
	long		timeout;

	timeout = pa_clock_left(streak.next_attempt);
	(void) pgstat_report_stat(true);

	snprintf(text, sizeof(text), "failed %d times, next attempt in %ld ms",
			 streak.count, timeout);
	pgstat_report_activity(STATE_IDLE, text);
	pa_phase_enter(PA_PHASE_WAIT);
	(void) WaitLatch(MyLatch,
					 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 timeout, pa_wait_event(PA_WAIT_WORKER_BACKOFF));
	ResetLatch(MyLatch);
}

static void
run_loop(void)
{
	for (;;)
	{
		long		timeout;
		long		stat_delay;

		leave_if_asked();

		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}

		MemoryContextSwitchTo(cycle_context);
		MemoryContextReset(cycle_context);

		/* requests set the latch, but do not shorten the backoff */
		if (streak.count > 0 && pa_clock_now() < streak.next_attempt)
		{
			wait_after_error();
			continue;
		}

		timeout = run_cycle();
		leave_if_asked();
		if (streak.count > 0)
		{
			if (!after_error())
				leave(PA_END_NO_EXTENSION);
			continue;
		}

		if (pa_clock_now() >= pa_clock_after(last_extension_check,
											 EXTENSION_CHECK_INTERVAL) &&
			!extension_is_there())
			leave(PA_END_NO_EXTENSION);

		if (timeout < 0 || timeout > EXTENSION_CHECK_INTERVAL)
			timeout = EXTENSION_CHECK_INTERVAL;

		/* statistics are sent at most once a second: the rest of them later */
		stat_delay = pgstat_report_stat(false);
		if (stat_delay > 0)
			timeout = Min(timeout, stat_delay);

		if (timeout > 0)
			wait_for_work(timeout);
	}
}

void
pa_worker_main(Datum argument)
{
	uint64		generation;
	Oid			database;

	memcpy(&generation, MyBgworkerEntry->bgw_extra, sizeof(generation));
	memcpy(&database, MyBgworkerEntry->bgw_extra + sizeof(generation),
		   sizeof(database));

	pqsignal(SIGTERM, handle_sigterm);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();

	if (!pa_slot_attach(DatumGetInt32(argument), generation))
		proc_exit(0);
	before_shmem_exit(end_workload, (Datum) 0);

	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);

	cycle_context = AllocSetContextCreate(TopMemoryContext,
										  "power_action worker cycle",
										  ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(cycle_context);

	pgstat_report_activity(STATE_RUNNING, "looking for the extension");
	if (!extension_is_there())
		leave(PA_END_NO_EXTENSION);

	apply_own_settings();
	pa_slot_running();
	run_loop();
}
