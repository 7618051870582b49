/*-------------------------------------------------------------------------
 *
 * src/agent/service.h
 *		The three methods of the agent: from a request over the ledger and the
 *		provider to its answer.
 *
 * Everything but pa_service_create, _abandon and _free is called by the
 * server, under its lock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_SERVICE_H
#define PA_AGENT_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "behaviour.h"
#include "log.h"
#include "provider.h"
#include "timer.h"

typedef struct PaService PaService;
struct PaCall;
struct PaStore;

typedef struct PaServiceOptions
{
	bool		legacy;			/* be an agent that only accepts */
	PaRules    *defaults;		/* for calls that no rule of the file matches */
	const char *behaviour_file; /* NULL: none */
	const char *token_file;		/* NULL: calls need no token */
	size_t		remembered_requests;
	size_t		remembered_bytes;
	size_t		remembered_orders;
} PaServiceOptions;

/*
 * Provider, timers, log and store (NULL: none) stay the caller's and must
 * outlive the service.  The store has been read by nobody but the provider,
 * nor was it started.  Returns NULL, with the reason, if the rules or the
 * tokens are not valid, or the store cannot be read.
 */
extern PaService *pa_service_create(const PaServiceOptions *options,
									PaProvider *provider, PaTimers *timers,
									PaLog *log, struct PaStore *store,
									char *problem, size_t size);

/*
 * What to call, from any thread, when the provider or the store has done
 * something.  Starts the store.
 */
extern void pa_service_set_wake(PaService *service, void (*wake) (void *),
								void *data);

/*
 * A call has come, for whichever method.  Returns true if it may go on: into
 * pa_service_receive, or to an answer of the server's.  False: it had no valid
 * token, and was answered, logged and closed.
 */
extern bool pa_service_admit(PaService *service, struct PaCall *call);

/*
 * The request of a call that was admitted.  The service has the reference that the
 * call was born with and closes the call when it is done; if the call is not
 * answered on return, the server tells when its client gives up.
 */
extern void pa_service_receive(PaService *service, struct PaCall *call,
							   const uint8_t *bytes, size_t length);
extern void pa_service_cancelled(PaService *service, struct PaCall *call);

/* goes on with what the provider and the store have done since */
extern void pa_service_take_done(PaService *service);

/* true while an order is waiting or under way */
extern bool pa_service_busy(const PaService *service);

/*
 * The drain timeout has passed: what the cloud has not seen of an order is not
 * given to it any more.  Whoever waits for it is told CANCELLED.
 */
extern void pa_service_end(PaService *service);

/*
 * Forgets the orders that are still under way and stops the store, after the
 * provider was closed and before the server is freed.
 */
extern void pa_service_abandon(PaService *service);

/*
 * Reads the behaviour file, the tokens and the accounts file again; a bad one
 * is reported and changes nothing.
 */
extern void pa_service_reload(PaService *service);

extern void pa_service_free(PaService *service);

#endif							/* PA_AGENT_SERVICE_H */
