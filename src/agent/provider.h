/*-------------------------------------------------------------------------
 *
 * src/agent/provider.h
 *		What the agent asks of a cloud: start, stop and describe the
 *		instances of one cluster.
 *
 * A provider takes any number of requests at once and answers each when it
 * knows.  submit is called by one thread at a time, under the server's lock:
 * it must not block.  A provider that has to talk to a cloud hands the
 * request to threads of its own and returns false.
 *
 * The agent sends at most one START or STOP a cluster at a time, and so never
 * two with the same request id at a time, and remembers the answers: a provider
 * needs no memory of its own for that.
 *
 * A request can be withdrawn when nobody waits for it any more.  What the
 * cloud may have seen of an order by then goes on to its end, all of it that
 * can be begun by its deadline, and is answered as ever; an order of which it
 * has seen nothing ends without one, with CANCELLED, and so does a question.
 * Either way "done" is called.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_PROVIDER_H
#define PA_AGENT_PROVIDER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"

typedef enum PaProviderVerb
{
	PA_PROVIDER_START,
	PA_PROVIDER_STOP,
	PA_PROVIDER_DESCRIBE
} PaProviderVerb;

/* numbered as PowerState in proto/agent.proto */
typedef enum PaInstanceState
{
	PA_INSTANCE_UNKNOWN = 0,
	PA_INSTANCE_RUNNING,
	PA_INSTANCE_STOPPED,
	PA_INSTANCE_STARTING,
	PA_INSTANCE_STOPPING,
	PA_INSTANCE_TERMINATED
} PaInstanceState;

typedef struct PaProviderInstance
{
	const char *instance_id;	/* from the caller */
	PaInstanceState state;		/* from the provider: as it is now */
	const char *message;		/* from the provider: why it did not follow;
								 * NULL, constant, or in the arena */
} PaProviderInstance;

typedef struct PaProviderRequest
{
	/* from the caller, unchanged until the request is done */
	PaProviderVerb verb;
	const char *account;
	const char *region;
	const char *cluster_id;
	PaProviderInstance *instances;
	size_t		instance_count;
	PaArena    *arena;			/* for texts; the provider's until it is done */
	int64_t		deadline;		/* us of pa_clock_now: nobody waits any longer;
								 * INT64_MAX: there is none */

	/*
	 * From the provider.  status is a gRPC status code: anything but OK says
	 * that nothing was ordered and why; only UNAVAILABLE and UNKNOWN may come
	 * after a part, or all, of an order that may be given again, and CANCELLED
	 * only after a withdrawal.  error is for an order that the cloud refused
	 * as a whole; instances that did not follow are told one by one.
	 */
	int			status;
	int			error;
	const char *message;		/* NULL, constant, or in the arena */

	/*
	 * Who has the request: the caller names the provider that it gives it to,
	 * and one that hands it on to another, when it does, names that, or NULL
	 * if there is none.  Constant.
	 */
	const char *provider;

	/*
	 * To be called once for a request that was not done at once, by any
	 * thread, even from within a timer.  It only takes note.
	 */
	void		(*done) (struct PaProviderRequest *request);

	/* zeroed by the caller; then only pa_provider_withdraw sets it */
	atomic_bool withdrawn;

	void	   *provider_data;	/* the provider's own, until it is done */
} PaProviderRequest;

typedef struct PaProvider
{
	const char *name;

	/* true: done already, and "done" will not be called */
	bool		(*submit) (struct PaProvider *provider, PaProviderRequest *request);

	/*
	 * A request that was not done at once has been withdrawn; the flag says
	 * so already.  Under the server's lock, as submit: it must not block, but
	 * may call "done".  That may have been called before, in another thread,
	 * without the caller having gone on: the request is still there, until
	 * this returns, and there is nothing to do.  NULL: no order can be taken
	 * back, and no question takes long.
	 */
	void		(*withdraw) (struct PaProvider *provider,
							 PaProviderRequest *request);

	/*
	 * Called under the server's lock, as submit is, soon after something was
	 * done, and before anybody goes on with it.  NULL: nothing to do then.
	 */
	void		(*resume) (struct PaProvider *provider);

	/*
	 * Reads its configuration again; under the server's lock.  What is wrong
	 * with it is told on standard error and changes nothing.  NULL: none.
	 */
	void		(*reload) (struct PaProvider *provider);

	/*
	 * Ends the provider and its threads, and frees it.  What is not done by
	 * then never will be: "done" is not called any more.
	 */
	void		(*close) (struct PaProvider *provider);
} PaProvider;

/* what a withdrawn request without an order tells */
#define PA_PROVIDER_WITHDRAWN	"nothing was ordered: nobody waited for it any more"

/* for the caller: nobody waits for a request any more that is not done yet */
static inline void
pa_provider_withdraw(PaProvider *provider, PaProviderRequest *request)
{
	atomic_store(&request->withdrawn, true);
	if (provider->withdraw != NULL)
		provider->withdraw(provider, request);
}

#endif							/* PA_AGENT_PROVIDER_H */
