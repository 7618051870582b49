/*-------------------------------------------------------------------------
 *
 * src/event_store.h
 *		The SQL of sessions about events that exist: reading one that is
 *		waited for, cancelling, adopting, and the frame of procedures.
 *
 * Called in client backends, inside a transaction.  What is returned is
 * palloc'd in the current memory context.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_EVENT_STORE_H
#define PA_EVENT_STORE_H

typedef struct PaEventState
{
	char	   *status;
	text	   *account_name;	/* NULL: of a cluster that did not exist */
	char	   *agent_result;
	char	   *error_code;		/* NULL: none */
	char	   *error_message;	/* NULL: none */
	bool		final;
	bool		own;			/* written by the current transaction */
} PaEventState;

/*
 * Reads an event as the caller, with a new snapshot.  false: there is none,
 * or he may not see it.
 */
extern bool pa_event_store_read(int64 event_id, PaEventState *state);

/* How it ended, as the view history says it; NULL: not final. */
extern char *pa_event_store_outcome(int64 event_id);

/* The row as a value of type power_action.event; 0: not visible any more. */
extern Datum pa_event_store_row(int64 event_id);

/* Asks the worker to cancel, as the owner.  reason: NULL for none. */
extern void pa_event_store_cancel(int64 event_id, const text *cancelled_by,
								  const text *reason);

/*
 * Makes all jobs of other origins this database's, as the caller; returns
 * their number, and the lowest and highest event id.
 */
extern int64 pa_event_store_adopt(int64 *low, int64 *high);

/*
 * The frame of a procedure that commits: begin before everything else, end
 * before it returns.  commit ends the transaction and starts the next; what
 * was palloc'd since begin survives it, and is freed by end.
 */
extern void pa_event_store_begin_procedure(void);
extern void pa_event_store_commit(void);
extern void pa_event_store_end_procedure(void);

#endif							/* PA_EVENT_STORE_H */
