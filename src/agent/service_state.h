/*-------------------------------------------------------------------------
 *
 * src/agent/service_state.h
 *		What service.c and action.c share, and nobody else.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_SERVICE_STATE_H
#define PA_AGENT_SERVICE_STATE_H

#include <pthread.h>

#include "call.h"
#include "durability.h"
#include "rule_file.h"
#include "service.h"
#include "token.h"

#define PA_STORE_PROBLEM	384		/* room for why the store cannot be written */

struct PaService
{
	PaServiceOptions options;
	PaProvider *provider;
	PaTimers   *timers;
	PaLog	   *log;			/* NULL: none */
	PaTimer		flush_timer;
	PaLedger   *ledger;
	PaDurability durability;
	PaRuleFile *rule_file;		/* NULL: none */
	PaTokens   *tokens;			/* NULL: none are wanted */
	int64_t		refused_told_at;	/* us, of pa_clock_now; 0: never */
	int64_t		refused_untold;
	PaTable		lanes;
	PaLane	   *free_lanes;
	PaAction   *actions;		/* all that are not done with */
	bool		ended;			/* the provider gets nothing more */

	/* done by the provider and not yet gone on with; its lock is taken last */
	pthread_mutex_t done_lock;
	PaAction   *done;
	void		(*wake) (void *);
	void	   *wake_data;
};

/*
 * Answers a call that waited for an action, by way of the call's own rule.
 * The reply is copied if it has to wait.
 */
extern void pa_service_deliver(PaService *service, PaCall *call,
							   const uint8_t *reply, size_t length);

/* ends a call with a status that is not OK */
extern void pa_service_fail(PaService *service, PaCall *call, int status,
							const char *message);

/* why an order was refused whose number could not be stored */
extern void pa_service_store_problem(PaService *service, char *problem,
									 size_t size);

/* writes the start line of an order, or that it was withdrawn */
extern void pa_service_log_order(PaService *service, PaLogEvent event,
								 PaAction *action, const PaCall *call);

/*
 * Writes that the provider is done with an order that nobody waits for.  The
 * error counts with status OK; message: NULL: none.
 */
extern void pa_service_log_done(PaService *service, PaAction *action,
								int status, int error, const char *message);

#endif							/* PA_AGENT_SERVICE_STATE_H */
