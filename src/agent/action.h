/*-------------------------------------------------------------------------
 *
 * src/agent/action.h
 *		Work for the provider: one order, or one question for states, from its
 *		turn to its reply.
 *
 * One order a cluster is under way at a time; the next ones wait in the order
 * of their arrival, which is that of their numbers: the ledger has refused
 * the others.  An action belongs to no call: its caller may go, another may
 * join by repeating the request.
 *
 * What nobody waits for any more is dropped if it has not begun, and
 * withdrawn from the provider if it has: an order that the cloud has seen
 * goes on to its end and its reply is remembered, one that it has not is
 * forgotten, as is every order that failed.  If somebody joins before the
 * provider is done with a withdrawn order, it is given again after that.
 * Until then it keeps its cluster's turn: no two orders ever overlap.
 *
 * When the service has been ended (service.h), nothing more is given to the
 * provider, and what it has is withdrawn, whoever waits for it.
 *
 * The number of an order that was dropped or withdrawn stays the highest
 * seen (ledger.h).
 *
 * With a store, the provider gets an order only when its number is on disk,
 * and callers get an answer only when that is: whatever happens to the agent
 * then, no older order is taken, and a repetition is answered again.
 *
 * Everything happens under the server's lock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_ACTION_H
#define PA_AGENT_ACTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "behaviour.h"
#include "durability.h"
#include "ledger.h"
#include "method.h"
#include "provider.h"
#include "table.h"
#include "timer.h"

struct PaCall;
struct PaService;

#define PA_LANE_LIMIT	16		/* orders that wait for one cluster's turn */

typedef struct PaAction PaAction;

/* when the provider had an action; us of pa_clock_now, 0: not so far */
typedef struct PaActionTimes
{
	const char *provider;		/* its type; constant; NULL: none */
	int64_t		given_at;
	int64_t		done_at;
} PaActionTimes;

/* a cluster with anything going on */
typedef struct PaLane
{
	PaTableNode node;
	struct PaLane *next_free;
	int			open;			/* orders that are not done with yet, */
	int			begun;			/* of which the provider has that many */
	PaAction   *running;
	PaAction   *first_waiting;
	PaAction   *last_waiting;
	int			waiting;
	char		cluster_id[256];
} PaLane;

/* part of the call that it came with, which it keeps until it is done */
struct PaAction
{
	struct PaService *service;
	struct PaCall *creator;
	PaRules    *rules;
	const PaRule *rule;
	PaLedgerEntry *entry;		/* NULL: not to be remembered */
	PaLane	   *lane;			/* NULL: a question */
	bool		takes_turns;
	bool		begun;			/* the provider has it, or had it */
	bool		withdrawn;		/* from the provider */
	bool		answered;		/* callers have their reply, or it is stored */
	uint64_t	noted;			/* ticket of the order's number */
	PaDurableWait wait;			/* for the number, or for the reply */
	const uint8_t *reply;		/* once answered; in the work arena */
	size_t		reply_length;
	void		(*go_on) (struct PaAction *action); /* after the reply */
	struct PaCall *callers;		/* that wait for it */
	PaTimer		timer;
	PaProviderRequest request;
	bool		at_once;		/* the provider was done with it in no time */
	int64_t		asked_at;		/* when the provider was given the request */
	const char *counted;		/* as whose request, if not at once */
	PaActionTimes times;		/* its provider: of pa_action_times */
	int			error;			/* of the order, as in the request */
	const char *message;
	bool		done_told;		/* in the log, by a line of its own */
	PaProviderInstance *instances;	/* those that follow first */
	size_t		instance_count;
	size_t		follower_count;
	PaAction   *previous;		/* of all of the service's */
	PaAction   *next;
	PaAction   *next_waiting;	/* in the lane */
	PaAction   *next_done;
};

/* the lane of a cluster, made if there is none, with one more order open */
extern PaLane *pa_lane_open(struct PaService *service, const char *cluster_id);
extern void pa_lane_close(struct PaService *service, PaLane *lane);

/*
 * Starts the call's own action, with the call as its first caller.  Returns
 * false if too many orders wait for the same cluster: nothing was done then,
 * the lane stays the call's, and so does the entry.
 */
extern bool pa_action_start(struct PaService *service, struct PaCall *call,
							PaLedgerEntry *entry, PaLane *lane,
							bool takes_turns);

/* another call waits for the same */
extern void pa_action_join(PaAction *action, struct PaCall *call);

/* a caller has gone; drops or withdraws the action if it was the last */
extern void pa_action_leave(PaAction *action, struct PaCall *call);

/*
 * Withdraws the action if its provider has it, whoever waits for it: the
 * service gives nothing more.
 */
extern void pa_action_withdraw(PaAction *action);

/* with the provider that has it now: another since the accounts were reloaded */
extern const PaActionTimes *pa_action_times(PaAction *action);

/* frees an action that will never be done: the provider has been closed */
extern void pa_action_abandon(PaAction *action);

/* goes on after the provider is done with the action's request */
extern void pa_action_continue(PaAction *action);

#endif							/* PA_AGENT_ACTION_H */
