/*-------------------------------------------------------------------------
 *
 * src/launcher.c
 *		The process that keeps a worker in every database that has the
 *		extension.
 *
 * One per server, started when recovery has finished, so that there is none
 * on a standby.  It is connected to no database and can read pg_database
 * only; whether a database has the extension is found out by starting a
 * worker there, which looks and leaves at once if there is none.
 *
 * What the launcher knows of a database:
 *
 *	UNKNOWN		to be probed: seen for the first time, or something happened
 *				there that may have brought the extension
 *	ABSENT		probed; left alone until a session says otherwise (the hooks
 *				in database_hooks.c)
 *	PRESENT		a worker has run there; started again whenever it ends
 *
 * A worker reports in its slot that it runs, or how it ended (worker_slot.h);
 * a process that does not come as far as that is noticed by its handle.  All
 * knowledge is private to this process: a new launcher probes everything and
 * finds running workers in their slots.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "backoff.h"
#include "catalog/pg_database.h"
#include "clock.h"
#include "compat.h"
#include "launcher.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "wait_event.h"
#include "worker.h"
#include "worker_slot.h"

/* All times in milliseconds. */
#define RESTART_AFTER_CRASH		5	/* of the launcher, in seconds */
#define RESCAN_INTERVAL			(60 * 1000) /* for what no hook can see */
#define PROBE_PATIENCE			1000	/* a slow start holds up no other */
#define FULL_RETRY_INTERVAL		5000	/* when there are no worker slots */
#define MIN_RESTART_INTERVAL	1000	/* between two starts of a worker */
#define MIN_BACKOFF				1000	/* after a worker failed */
#define MAX_BACKOFF				(60 * 1000)
#define RAN_WELL				(60 * 1000) /* then failures are forgotten */

typedef enum Knowledge
{
	EXTENSION_UNKNOWN = 0,
	EXTENSION_ABSENT,
	EXTENSION_PRESENT
} Knowledge;

typedef struct DatabaseEntry
{
	Oid			database;		/* hash key */
	char		name[NAMEDATALEN];
	Knowledge	knowledge;
	bool		listed;			/* by the last scan, as one to work in */
	bool		busy;			/* a slot is in use for it */
	bool		probe_again;	/* asked for while one was under way */
	bool		prepared;		/* the extension may come by COMMIT PREPARED */
	int			failures;		/* in a row */
	PaInstant	last_start;
	PaInstant	next_start;		/* not before */
	BackgroundWorkerHandle *handle; /* of a start under way */
} DatabaseEntry;

static HTAB *databases = NULL;
static MemoryContext pass_context = NULL;

/* while max_worker_processes are in use: said so, and when to try again */
static bool full_reported = false;
static PaInstant full_until = 0;

static PaInstant last_scan = 0;

void
pa_launcher_register(void)
{
	BackgroundWorker worker;

	/* pg_upgrade wants databases that nobody else is connected to */
	if (IsBinaryUpgrade)
		return;

	memset(&worker, 0, sizeof(worker));
	strlcpy(worker.bgw_name, "power_action launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "power_action launcher", BGW_MAXLEN);
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = RESTART_AFTER_CRASH;
	strlcpy(worker.bgw_library_name, "power_action", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "pa_launcher_main", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

/*
 * What there is
 */

static DatabaseEntry *
enter_database(Oid database)
{
	DatabaseEntry *entry;
	bool		found;

	entry = hash_search(databases, &database, HASH_ENTER, &found);
	if (!found)
	{
		memset(entry, 0, sizeof(DatabaseEntry));
		entry->database = database;
	}

	return entry;
}

/* something happened that may have brought the extension */
static void
forget_absence(DatabaseEntry *entry)
{
	if (entry->busy)
		entry->probe_again = true;
	else if (entry->knowledge == EXTENSION_ABSENT)
		entry->knowledge = EXTENSION_UNKNOWN;
	entry->next_start = 0;
}

/*
 * Reads pg_database.  Databases that nobody may connect to, and templates,
 * are not for us: a worker that is in one, because it has just become such a
 * database, is asked to leave.
 */
static void
scan_databases(void)
{
	HASH_SEQ_STATUS status;
	DatabaseEntry *entry;
	Relation	relation;
	TableScanDesc scan;
	HeapTuple	tuple;

	hash_seq_init(&status, databases);
	while ((entry = hash_seq_search(&status)) != NULL)
		entry->listed = false;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	(void) GetTransactionSnapshot();

	relation = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(relation, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);

		if (form->datistemplate || !form->datallowconn ||
			form->datconnlimit == DATCONNLIMIT_INVALID_DB)
			continue;

		entry = enter_database(form->oid);
		entry->listed = true;
		strlcpy(entry->name, NameStr(form->datname), NAMEDATALEN);
		if (entry->prepared)
			forget_absence(entry);
	}
	table_endscan(scan);
	table_close(relation, AccessShareLock);

	CommitTransactionCommand();
	MemoryContextSwitchTo(pass_context);

	hash_seq_init(&status, databases);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		if (entry->listed)
			continue;

		pa_slot_stop_worker(entry->database, PA_END_STOPPED);

		/* if it comes back it is as good as new */
		if (entry->busy)
			entry->probe_again = true;
		else
			(void) hash_search(databases, &entry->database, HASH_REMOVE, NULL);
	}

	last_scan = pa_clock_now();
}

/* What sessions asked for since the last pass. */
static void
take_requests(void)
{
	PaProbe    *probes;
	bool		overflow;
	bool		rescan;
	int			count;

	count = pa_slot_take_probes(&probes, &overflow, &rescan);

	/* a database that we do not know yet is a new one */
	for (int i = 0; i < count; i++)
	{
		if (hash_search(databases, &probes[i].database, HASH_FIND, NULL) == NULL)
			rescan = true;
	}

	if (rescan || last_scan == 0 ||
		pa_clock_now() >= pa_clock_after(last_scan, RESCAN_INTERVAL))
		scan_databases();

	for (int i = 0; i < count; i++)
	{
		DatabaseEntry *entry = hash_search(databases, &probes[i].database,
										   HASH_FIND, NULL);

		if (entry == NULL)
			continue;
		if (probes[i].prepared)
			entry->prepared = true;
		else
			forget_absence(entry);
	}

	if (overflow)
	{
		HASH_SEQ_STATUS status;
		DatabaseEntry *entry;

		hash_seq_init(&status, databases);
		while ((entry = hash_seq_search(&status)) != NULL)
			forget_absence(entry);
	}
}

/*
 * What has become of the workers
 */

static void
drop_handle(DatabaseEntry *entry)
{
	if (entry->handle != NULL)
		pfree(entry->handle);
	entry->handle = NULL;
}

/* A worker ended by an error, or did not come up. */
static void
worker_failed(DatabaseEntry *entry, PaInstant running_since)
{
	PaInstant	now = pa_clock_now();
	int64		delay;

	if (running_since != 0 &&
		now >= pa_clock_after(running_since, RAN_WELL))
		entry->failures = 0;

	entry->failures++;
	delay = pa_backoff_delay(MIN_BACKOFF, MAX_BACKOFF, entry->failures, 1.0);
	entry->next_start = pa_clock_after(now, delay);

	/* why it failed is in the log already, and each failure anew */
	if (entry->failures == 1)
		ereport(LOG,
				(errmsg("power_action worker for database \"%s\" ended unexpectedly",
						entry->name),
				 errdetail("It is started again, first after %d s and then at growing intervals of up to %d s.",
						   MIN_BACKOFF / 1000, MAX_BACKOFF / 1000)));

	/* perhaps the database is not there any more */
	pa_slot_request_rescan();
}

static void
worker_ended(DatabaseEntry *entry, PaWorkerEnd end, PaInstant running_since)
{
	drop_handle(entry);

	switch (end)
	{
		case PA_END_NO_EXTENSION:
			entry->knowledge = EXTENSION_ABSENT;
			entry->failures = 0;
			break;

		case PA_END_STOPPED:
			entry->next_start = 0;
			break;

		case PA_END_TERMINATED:
			entry->next_start = pa_clock_after(entry->last_start,
											   MIN_RESTART_INTERVAL);
			break;

		case PA_END_NONE:
		case PA_END_FAILED:
			worker_failed(entry, running_since);
			break;
	}

	if (entry->probe_again)
	{
		entry->probe_again = false;
		entry->busy = false;
		forget_absence(entry);
	}
}

/*
 * Looks at all slots.  Returns the end of our patience with the youngest
 * start under way, 0 if there is none: until then no other is made, so that
 * many databases do not start many processes at once.
 */
static PaInstant
inspect_workers(void)
{
	HASH_SEQ_STATUS status;
	DatabaseEntry *entry;
	PaSlotInfo *infos;
	PaInstant	patience = 0;
	int			count;

	hash_seq_init(&status, databases);
	while ((entry = hash_seq_search(&status)) != NULL)
		entry->busy = false;

	count = pa_slot_list(&infos);
	for (int i = 0; i < count; i++)
	{
		PaSlotInfo *info = &infos[i];
		pid_t		pid;

		entry = enter_database(info->database);

		if (info->state == PA_WORKER_NONE)
		{
			(void) pa_slot_free(info->slot, info->generation);
			worker_ended(entry, info->end, info->running_since);
			continue;
		}

		/* A process that is over without having attached never will. */
		if (info->pid == 0 && entry->handle != NULL &&
			GetBackgroundWorkerPid(entry->handle, &pid) == BGWH_STOPPED &&
			pa_slot_free(info->slot, info->generation))
		{
			worker_ended(entry,
						 info->state == PA_WORKER_STOPPING ?
						 info->end : PA_END_FAILED, 0);
			continue;
		}

		entry->busy = true;
		if (info->state == PA_WORKER_RUNNING)
		{
			entry->knowledge = EXTENSION_PRESENT;
			entry->prepared = false;
			drop_handle(entry);
		}
		else if (info->state == PA_WORKER_STARTING)
		{
			PaInstant	limit = pa_clock_after(entry->last_start,
											   PROBE_PATIENCE);

			if (limit > pa_clock_now())
				patience = Max(patience, limit);
		}
	}

	return patience;
}

/*
 * Starting them
 */

/* Said once until every database that wants a worker has got one. */
static void
report_full(bool full)
{
	if (full && !full_reported)
		ereport(LOG,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("out of background worker slots for power_action"),
				 errdetail("Not every database with the extension has its worker."),
				 errhint("Raise max_worker_processes, now %d; one is needed for each database with the extension and two for all of them.",
						 max_worker_processes)));
	else if (!full && full_reported)
		ereport(LOG,
				(errmsg("background worker slots for power_action suffice again")));

	full_reported = full;
}

/*
 * Starts a worker.  Returns false if there are no worker slots; true does
 * not tell that it could be started: the database may be held.
 */
static bool
start_worker(DatabaseEntry *entry)
{
	MemoryContext old_context;
	uint64		generation;
	int			slot;
	bool		registered;

	switch (pa_slot_reserve(entry->database, &slot, &generation))
	{
		case PA_RESERVE_OK:
			break;
		case PA_RESERVE_HELD:
			return true;
		case PA_RESERVE_FULL:
			return false;
	}

	drop_handle(entry);
	old_context = MemoryContextSwitchTo(TopMemoryContext);
	registered = pa_worker_register(entry->database, entry->name,
									slot, generation, &entry->handle);
	MemoryContextSwitchTo(old_context);

	if (!registered)
	{
		(void) pa_slot_free(slot, generation);
		return false;
	}

	entry->busy = true;
	entry->last_start = pa_clock_now();
	return true;
}

/*
 * Starts at most one worker.  Returns when to try again, 0 if only an event
 * can bring something new.
 */
static PaInstant
start_next_worker(PaInstant patience)
{
	HASH_SEQ_STATUS status;
	DatabaseEntry *entry;
	PaInstant	now = pa_clock_now();
	PaInstant	wake = 0;
	List	   *first = NIL;
	List	   *second = NIL;
	ListCell   *cell;

	if (patience != 0)
		return patience;

	if (full_until > now)
		return full_until;

	hash_seq_init(&status, databases);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		if (!entry->listed || entry->busy ||
			entry->knowledge == EXTENSION_ABSENT)
			continue;

		if (entry->next_start > now)
			wake = wake == 0 ? entry->next_start :
				Min(wake, entry->next_start);
		else if (entry->knowledge == EXTENSION_PRESENT)
			first = lappend(first, entry);
		else
			second = lappend(second, entry);
	}

	/* where work is known to wait before where it may not */
	foreach(cell, list_concat(first, second))
	{
		entry = (DatabaseEntry *) lfirst(cell);

		if (!start_worker(entry))
		{
			report_full(true);
			full_until = pa_clock_after(now, FULL_RETRY_INTERVAL);
			return full_until;
		}
		if (entry->busy)
			return pa_clock_after(now, PROBE_PATIENCE);
	}

	report_full(false);

	return wake;
}

/*
 * The process
 */

static void
report_idle(void)
{
	HASH_SEQ_STATUS status;
	DatabaseEntry *entry;
	char		text[128];
	int			listed = 0;
	int			workers = 0;

	hash_seq_init(&status, databases);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		listed += entry->listed;
		workers += entry->busy;
	}

	snprintf(text, sizeof(text), "watching %d databases, %d workers",
			 listed, workers);
	pgstat_report_activity(STATE_IDLE, text);
}

/* One pass over everything; returns the milliseconds to the next. */
static long
launcher_pass(void)
{
	PaInstant	wake;
	PaInstant	scan_due;

	/* also tells take_requests which databases are busy */
	wake = inspect_workers();
	take_requests();
	wake = start_next_worker(wake);

	scan_due = pa_clock_after(last_scan, RESCAN_INTERVAL + 1);
	wake = wake == 0 ? scan_due : Min(wake, scan_due);

	return pa_clock_left(wake) + 1;
}

void
pa_launcher_main(Datum argument)
{
	HASHCTL		control;

	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();

	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	pgstat_report_activity(STATE_RUNNING, "looking at the databases");

	pass_context = AllocSetContextCreate(TopMemoryContext,
										 "power_action launcher pass",
										 ALLOCSET_DEFAULT_SIZES);

	memset(&control, 0, sizeof(control));
	control.keysize = sizeof(Oid);
	control.entrysize = sizeof(DatabaseEntry);
	databases = hash_create("power_action databases", 64, &control,
							HASH_ELEM | HASH_BLOBS);

	pa_slot_attach_launcher();

	/* with exit code 0 the postmaster would not start us again */
	while (!ShutdownRequestPending)
	{
		long		timeout;

		ResetLatch(MyLatch);

		/* pg_cancel_backend() has nothing to cancel here */
		QueryCancelPending = false;
		CHECK_FOR_INTERRUPTS();

		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}

		MemoryContextSwitchTo(pass_context);
		timeout = launcher_pass();
		MemoryContextSwitchTo(TopMemoryContext);
		MemoryContextReset(pass_context);

		(void) pgstat_report_stat(false);
		report_idle();
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 timeout, pa_wait_event(PA_WAIT_LAUNCHER));
	}

	proc_exit(1);
}
