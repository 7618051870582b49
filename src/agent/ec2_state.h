/*-------------------------------------------------------------------------
 *
 * src/agent/ec2_state.h
 *		What the files of the provider ec2 share, and nobody else.
 *
 * An *order* is a request of the agent, an *item* one instance of it, a
 * *batch* one call to the API, for items of many orders.  An item is in one
 * list at a time:
 *
 *	            +--------- cannot follow yet ---------+
 *	            v                                     |
 *	orders -> batch (Start, Stop) -> resting -> looks -> batch (Describe)
 *	                                    ^                 |
 *	                                    +---- moving -----+-> done
 *
 * A withdrawn order leaves all lists unless the cloud may have taken a part
 * of it: an item is in a call, or was in one that had no answer that counts.
 * What such a call comes to is looked at when it is over: an order that was
 * throttled is no order yet.  What is in a Describe is waited for, as others
 * share the call.
 *
 * All of it lives in the thread of the HTTP loop, without locks.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_EC2_STATE_H
#define PA_AGENT_EC2_STATE_H

#include "account.h"
#include "ec2_credentials.h"
#include "ec2_pace.h"
#include "ec2_query.h"
#include "http_loop.h"
#include "provider.h"
#include "table.h"

typedef struct PaEc2Item PaEc2Item;
typedef struct PaEc2Order PaEc2Order;
typedef struct PaEc2Region PaEc2Region;
typedef struct PaEc2Account PaEc2Account;

typedef struct PaEc2List		/* zeroed: empty */
{
	PaEc2Item  *first;
	PaEc2Item  *last;
} PaEc2List;

struct PaEc2Item
{
	PaTableNode node;			/* in a batch, by id */
	PaEc2Order *order;
	PaProviderInstance *instance;
	PaEc2List  *list;			/* that it is in; NULL: none */
	PaEc2Item  *previous;
	PaEc2Item  *next;
	PaInstanceState state;		/* as far as known */
	bool		in_call;		/* the list is a batch's */
	bool		in_order_call;	/* and that one's call is an order */
	bool		ordered;		/* the cloud took the order */
	bool		refused;		/* and will not; message says why */
	bool		done;
	bool		rested;			/* since it could not follow */
	int			incorrect;		/* times that it could not follow */
	int			failures;		/* calls without an answer that counts */
	int64_t		ordered_at;
	const char *message;		/* NULL, constant, or in the order's arena */

	/* what a Describe has found so far */
	bool		seen;
	bool		doomed;
	PaInstanceState seen_state;
	const char *reason;
};

/* in the arena of its request, as its items are */
struct PaEc2Order
{
	PaHttpTask	task;
	PaEc2Account *account;
	PaEc2Region *region;
	PaProviderRequest *request;
	PaEc2Item  *items;
	size_t		open;			/* items that are not done */
	size_t		waiting;		/* of them those not ordered */
	size_t		ordered;		/* that the cloud took */
	size_t		unreached;		/* done, but not for a reason of their own */
	bool		alone;			/* shares no call with other orders */
	bool		late;			/* nothing more is begun for it */
	bool		in_doubt;		/* a call may have ordered it, or not */
	bool		let_go;			/* withdrawn before the cloud took any of it */
	bool		refused;		/* as a whole, by the cloud */
	int			status;			/* gRPC's, of the latest trouble; OK: none */
	const char *problem;
	int64_t		limit;			/* when it is to be answered at the latest */
	int64_t		last_ordered_at;
	PaTimer		timer;
	PaEc2Order *previous;		/* of the account's */
	PaEc2Order *next;
	bool		marked;
	PaEc2Order *next_marked;
};

struct PaEc2Region
{
	PaEc2Account *account;
	char	   *name;
	char	   *url;
	PaEc2List	queues[3];		/* by verb: what waits for a call */
	int			turn;			/* which of them goes first */
	int			orders;			/* that are under way */
	PaEc2List	resting;
	PaTimer		poll_timer;		/* when those that rest are looked at */
	PaEc2Pace	pace;			/* pauses when it cannot be reached */
	PaEc2Region *next;
};

typedef struct PaEc2Batch
{
	PaHttpCall	call;
	PaEc2Region *region;
	PaProviderVerb verb;
	PaEc2List	items;
	PaTable		ids;
	const char **names;			/* each id once */
	size_t		count;
	char	   *token;			/* of the next page; NULL: the first */
	char	   *session_header; /* a secret; NULL: none */
	char	   *access_key;		/* that it was signed with */
	int64_t		sent_at;
	PaArena		arena;
	struct PaEc2Batch *previous;	/* of the account's */
	struct PaEc2Batch *next;
	struct PaEc2Batch *next_page;	/* among those with pages to come */
} PaEc2Batch;

struct PaEc2Account
{
	PaProvider	provider;
	const PaAccount *account;
	PaHttpLoop *loop;
	PaEc2Credentials *credentials;
	PaEc2Pace	pace;
	PaTimer		timer;			/* when a call may be made */
	PaEc2Region *regions;
	PaEc2Region *next_region;	/* whose turn it is */
	int			region_count;
	PaEc2Order *orders;
	PaEc2Order *marked;			/* to be looked at before we return */
	PaHttpTask	withdrawal;
	atomic_bool withdrawal_posted;
	atomic_bool withdrawn;		/* some orders are, since we last looked */
	bool		in_question;	/* some were when we last looked, in a call */
	PaEc2Batch *batches;
	PaEc2Batch *paged;			/* with pages to come */
	int			in_flight;
	int64_t		clock_offset;	/* s that the cloud is ahead */
	uint64_t	chance;

	/* from the account's keys */
	int			max_connections;
	int			max_instances;	/* in a Start or Stop */
	int			timeout;		/* ms of a call */
	int64_t		order_timeout;	/* us */
	int64_t		wait;			/* us for the state to be reached */
	int64_t		poll_interval;	/* us */
};

/*
 * ec2_order.c
 */
extern void pa_ec2_list_push(PaEc2List *list, PaEc2Item *item, bool in_call);
extern void pa_ec2_list_push_front(PaEc2List *list, PaEc2Item *item);
extern void pa_ec2_list_remove(PaEc2Item *item);

/* takes an order up; its request is all that it has */
extern void pa_ec2_order_begin(PaHttpTask *task);

/* lets go of withdrawn orders that the cloud cannot have taken */
extern void pa_ec2_order_withdraw(PaEc2Account *account);

/*
 * An item waits for a call of this kind, in front of the others; or is given
 * up if it is too late.
 */
extern void pa_ec2_item_requeue(PaEc2Item *item, PaProviderVerb verb);

/* an item is looked at as soon as possible, or later */
extern void pa_ec2_item_look(PaEc2Item *item);
extern void pa_ec2_item_rest(PaEc2Item *item);

/* the cloud took the order of an item, which was in this state then */
extern void pa_ec2_item_ordered(PaEc2Item *item, PaInstanceState state);

/* a Describe is over: goes on by what it has found */
extern void pa_ec2_item_looked(PaEc2Item *item);

/* done, in the state that is known */
extern void pa_ec2_item_finish(PaEc2Item *item);

/* done, because of what pa_ec2_order_trouble was told */
extern void pa_ec2_item_give_up(PaEc2Item *item);

/* why its items do not get on; text: constant, or in the order's arena */
extern void pa_ec2_order_trouble(PaEc2Order *order, int status,
								 const char *text);

/* answers what is done, and sets the timers of the rest */
extern void pa_ec2_account_settle(PaEc2Account *account);

/*
 * ec2_account.c
 */

/* makes the calls that can be made now */
extern void pa_ec2_account_pump(PaEc2Account *account);

/* the region of this name, made if need be; idle ones may go meanwhile */
extern PaEc2Region *pa_ec2_account_region(PaEc2Account *account,
										  const char *name);

extern void pa_ec2_region_free(PaEc2Region *region);
extern void pa_ec2_batch_free(PaEc2Batch *batch);

/*
 * ec2_batch.c
 */

/* takes items from the region's queues, which are not all empty */
extern PaEc2Batch *pa_ec2_batch_create(PaEc2Region *region);

/* signs the batch's call; false: it cannot be signed */
extern bool pa_ec2_batch_sign(PaEc2Batch *batch, const PaEc2Keys *keys);

/*
 * ec2_result.c
 */

/* the batch's call is over; true: it has one more page */
extern bool pa_ec2_batch_result(PaEc2Batch *batch);

#endif							/* PA_AGENT_EC2_STATE_H */
