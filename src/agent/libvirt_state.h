/*-------------------------------------------------------------------------
 *
 * src/agent/libvirt_state.h
 *		What the files of the provider libvirt share, and nobody else.
 *
 * libvirt's calls block, for as long as a hypervisor pleases.  So they are
 * made by threads of the account's own, its *workers*, and nothing waits for
 * them: one more thread, the *keeper*, has the timers and answers what is
 * late, whatever the workers are stuck in.  An order that was answered while
 * a call was under way is *abandoned*: its worker makes no further call for
 * it, and until that call has returned no other order of its cluster begins.
 * So it is with a withdrawn order, unless the hypervisor may have taken a part
 * of it, or it has changed what becomes of an earlier one.
 *
 *	submit -> queue -> a worker's step -> resting -> queue ... -> answered
 *
 * A *shutdown* is what the provider remembers of a domain that was asked to
 * shut down: until it is off, hypervisors call it running.
 *
 * One lock for everything of an account.  No call to libvirt is made under
 * it, but the few that do not leave this process.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_LIBVIRT_STATE_H
#define PA_AGENT_LIBVIRT_STATE_H

#include <libvirt/libvirt.h>
#include <pthread.h>

#include "provider.h"
#include "table.h"
#include "timer.h"

#define PA_LIBVIRT_TEXT		512 /* bytes of a message */

typedef struct PaLibvirtAccount PaLibvirtAccount;

typedef struct PaLibvirtItem
{
	char	   *id;
	PaInstanceState state;		/* as far as known */
	bool		done;
	bool		ordered;		/* the hypervisor took the order */
	char	   *message;		/* NULL: none */
} PaLibvirtItem;

/*
 * A request under way; or, without one, the forced stop of a single domain.
 * It has copies of all that it needs, as it may outlive its request.
 */
typedef struct PaLibvirtOrder
{
	PaLibvirtAccount *account;
	PaProviderRequest *request; /* NULL: abandoned, or a forced stop */
	PaProviderVerb verb;
	bool		forced;
	char	   *cluster;
	PaLibvirtItem *items;
	size_t		count;
	size_t		open;			/* items that are not done */
	size_t		ordered;
	bool		in_call;		/* a worker has it */
	bool		abandoned;		/* answered while a worker had it */
	bool		hopeless;		/* no use to go on before it is answered */
	bool		ordering;		/* a call that orders is under way */
	bool		in_doubt;		/* such a call was lost with its connection */
	bool		disarmed;		/* it took an earlier stop its force */
	int			status;			/* gRPC's, of the latest trouble; OK: none */
	char	   *problem;
	int64_t		confirm_until;	/* us of pa_clock_now; 0: no step was made */
	PaTimer		limit;			/* when it is to be answered at the latest */
	PaTimer		rest;			/* when it is looked at again */
	struct PaLibvirtOrder *previous;	/* of the account's */
	struct PaLibvirtOrder *next;
	struct PaLibvirtOrder *next_queued;
} PaLibvirtOrder;

typedef struct PaLibvirtShutdown
{
	PaTableNode node;			/* by uuid */
	PaLibvirtAccount *account;
	char		uuid[VIR_UUID_STRING_BUFLEN];
	unsigned	run;			/* the domain's number: another one after a
								 * start */
	bool		force;			/* stop it when the time is up */
	bool		forcing;		/* that is under way */
	bool		expired;		/* it did not follow in time */
	char	   *message;		/* why forcing it failed */
	PaTimer		timer;
} PaLibvirtShutdown;

struct PaLibvirtAccount
{
	PaProvider	provider;
	char	   *uri;
	int			max_workers;
	int64_t		order_timeout;	/* us, as the rest */
	int64_t		confirm_wait;
	int64_t		poll_interval;
	int64_t		stop_timeout;
	bool		force_stop;

	pthread_mutex_t lock;
	pthread_cond_t work;		/* for the workers */
	pthread_cond_t clock;		/* for the keeper; on CLOCK_MONOTONIC */
	pthread_cond_t change;		/* of the connection, or the threads */
	PaTimers	timers;
	PaLibvirtOrder *orders;		/* all */
	PaLibvirtOrder *first_queued;
	PaLibvirtOrder *last_queued;
	int			queued;			/* how many */
	int			abandoned;		/* how many are still in a call */
	PaTable		shutdowns;
	int			workers;
	int			idle;			/* of them */
	bool		closing;
	bool		owned;			/* by the agent: its provider is open */
	bool		keeper;			/* runs */
	virConnectPtr connection;	/* NULL: none */
	bool		connecting;
};

/*
 * libvirt_account.c
 */

/* in the provider's part of a request: takes it up */
extern void pa_libvirt_account_submit(PaLibvirtAccount *account,
									  PaProviderRequest *request);

/* nobody waits for a request any more, which may be done already */
extern void pa_libvirt_account_withdraw(PaLibvirtAccount *account,
										PaProviderRequest *request);

/* starts the keeper; false, with the reason, if that fails */
extern bool pa_libvirt_account_open(PaLibvirtAccount *account, char *problem,
									size_t size);

/*
 * Waits for what is in a call for some seconds if requests are open, which
 * is so only at the end of the agent, else hardly.  The account is freed by
 * whoever leaves it last; a hypervisor that never answers keeps it for ever.
 */
extern void pa_libvirt_account_close(PaLibvirtAccount *account);

/*
 * The connection, made if need be; to be closed by the caller, as it is
 * counted.  NULL, with a status and the reason, if there is none.  Without
 * the lock.
 */
extern virConnectPtr pa_libvirt_account_connect(PaLibvirtAccount *account,
												int *status, char *problem);

/* under the lock: sets a timer and tells the keeper */
extern void pa_libvirt_account_set_timer(PaLibvirtAccount *account,
										 PaTimer *timer, int64_t due,
										 void (*fire) (PaTimer *));

/* under the lock: an order is to be gone on with by a worker */
extern void pa_libvirt_account_queue(PaLibvirtAccount *account,
									 PaLibvirtOrder *order);

/* under the lock: the forced stop of a domain */
extern void pa_libvirt_account_force(PaLibvirtAccount *account,
									 const char *uuid);

/* the libvirt error of this thread, as plain text */
extern void pa_libvirt_error_text(char *text);

/*
 * libvirt_order.c; all under the lock
 */
extern PaLibvirtOrder *pa_libvirt_order_create(PaLibvirtAccount *account,
											   PaProviderVerb verb,
											   const char *cluster,
											   size_t count);
extern void pa_libvirt_order_free(PaLibvirtOrder *order);

/* somebody still wants further calls to be made for it */
extern bool pa_libvirt_order_wanted(const PaLibvirtOrder *order);

/* what is known of an item; message: copied, NULL: none */
extern void pa_libvirt_item_moving(PaLibvirtOrder *order, PaLibvirtItem *item,
								   PaInstanceState state, const char *message);
extern void pa_libvirt_item_ordered(PaLibvirtOrder *order, PaLibvirtItem *item);
extern void pa_libvirt_item_finish(PaLibvirtOrder *order, PaLibvirtItem *item,
								   PaInstanceState state, const char *message);

/* why it does not get on; copied */
extern void pa_libvirt_order_trouble(PaLibvirtOrder *order, int status,
									 const char *problem);

/* withdrawn, and the hypervisor has no part of it */
extern bool pa_libvirt_order_let_go(const PaLibvirtOrder *order);

/* fills in the answer; the request is the caller's again */
extern PaProviderRequest *pa_libvirt_order_answer(PaLibvirtOrder *order);

/*
 * libvirt_domain.c
 */

/*
 * Makes one step with an item of an order: looks at its domain and gives the
 * order that is due.  Without the lock.  Returns false, and puts the reason
 * into the order's trouble, if the connection is lost.
 */
extern bool pa_libvirt_domain_step(PaLibvirtOrder *order, PaLibvirtItem *item,
								   virConnectPtr connection);

/* the time of the shutdowns, at the end; under the lock */
extern void pa_libvirt_domain_forget_all(PaLibvirtAccount *account);

#endif							/* PA_AGENT_LIBVIRT_STATE_H */
