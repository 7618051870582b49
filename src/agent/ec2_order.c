/*-------------------------------------------------------------------------
 *
 * src/agent/ec2_order.c
 *		Orders of the provider ec2 and their instances, from the request to
 *		its answer.  Contract in ec2_state.h.
 *
 * What Describe says may be some seconds old: an order is never left out
 * because of it, and for a while after an order an instance that still looks
 * as before is told as moving.
 *
 *-------------------------------------------------------------------------
 */
#include "ec2_state.h"

#include <string.h>

#include "program/clock.h"
#include "status_name.h"

#define STALE_TIME		10000000	/* us that Describe may be behind */
#define ANSWER_MARGIN	1000000 /* us before the caller's deadline */

void
pa_ec2_list_push(PaEc2List *list, PaEc2Item *item, bool in_call)
{
	item->list = list;
	item->in_call = in_call;
	item->next = NULL;
	item->previous = list->last;
	if (list->last != NULL)
		list->last->next = item;
	else
		list->first = item;
	list->last = item;
}

void
pa_ec2_list_push_front(PaEc2List *list, PaEc2Item *item)
{
	item->list = list;
	item->in_call = false;
	item->previous = NULL;
	item->next = list->first;
	if (list->first != NULL)
		list->first->previous = item;
	else
		list->last = item;
	list->first = item;
}

void
pa_ec2_list_remove(PaEc2Item *item)
{
	PaEc2List  *list = item->list;

	if (list == NULL)
		return;
	if (item->previous != NULL)
		item->previous->next = item->next;
	else
		list->first = item->next;
	if (item->next != NULL)
		item->next->previous = item->previous;
	else
		list->last = item->previous;
	item->list = NULL;
	item->in_call = item->in_order_call = false;
}

static PaInstanceState
goal(const PaEc2Order *order)
{
	return order->request->verb == PA_PROVIDER_START ? PA_INSTANCE_RUNNING :
		PA_INSTANCE_STOPPED;
}

/* the state between here and the goal */
static PaInstanceState
way(const PaEc2Order *order)
{
	return order->request->verb == PA_PROVIDER_START ? PA_INSTANCE_STARTING :
		PA_INSTANCE_STOPPING;
}

static bool
is_order(const PaEc2Order *order)
{
	return order->request->verb != PA_PROVIDER_DESCRIBE;
}

static void
mark(PaEc2Order *order)
{
	if (order->marked)
		return;
	order->marked = true;
	order->next_marked = order->account->marked;
	order->account->marked = order;
}

void
pa_ec2_order_trouble(PaEc2Order *order, int status, const char *text)
{
	order->status = status;
	order->problem = text;
}

void
pa_ec2_item_finish(PaEc2Item *item)
{
	PaEc2Order *order = item->order;

	pa_ec2_list_remove(item);
	item->done = true;
	item->instance->state = item->state;
	item->instance->message = item->message;
	order->open--;
	if (!item->ordered)
		order->waiting--;
	mark(order);
}

void
pa_ec2_item_give_up(PaEc2Item *item)
{
	PaEc2Order *order = item->order;

	/* an order that was taken is one, whether it can be looked at or not */
	if (!item->ordered && !item->refused)
	{
		order->unreached++;
		if (order->status == PA_STATUS_OK)
			pa_ec2_order_trouble(order, PA_STATUS_RESOURCE_EXHAUSTED,
								 "the account's rate of requests left no time for it");
		item->message = order->problem;
	}
	pa_ec2_item_finish(item);
}

void
pa_ec2_item_requeue(PaEc2Item *item, PaProviderVerb verb)
{
	PaEc2Order *order = item->order;

	pa_ec2_list_remove(item);
	if (order->late)
		pa_ec2_item_give_up(item);
	else
		pa_ec2_list_push_front(&order->region->queues[verb], item);
}

void
pa_ec2_item_look(PaEc2Item *item)
{
	pa_ec2_list_remove(item);
	if (item->order->late)
		pa_ec2_item_give_up(item);
	else
		pa_ec2_list_push(&item->order->region->queues[PA_PROVIDER_DESCRIBE], item,
						 false);
}

static void
look_at_resting(PaTimer *timer)
{
	PaEc2Region *region = PA_CONTAINER(timer, PaEc2Region, poll_timer);
	PaEc2Account *account = region->account;

	while (region->resting.first != NULL)
		pa_ec2_item_look(region->resting.first);
	pa_ec2_account_pump(account);
	pa_ec2_account_settle(account);
}

void
pa_ec2_item_rest(PaEc2Item *item)
{
	PaEc2Region *region = item->order->region;
	PaEc2Account *account = region->account;

	pa_ec2_list_remove(item);
	if (item->order->late)
	{
		pa_ec2_item_give_up(item);
		return;
	}
	pa_ec2_list_push(&region->resting, item, false);
	if (region->poll_timer.position == 0)
		pa_timer_set(pa_http_loop_timers(account->loop), &region->poll_timer,
					 pa_clock_now() + account->poll_interval, look_at_resting);
}

void
pa_ec2_item_ordered(PaEc2Item *item, PaInstanceState state)
{
	PaEc2Order *order = item->order;

	item->ordered = true;
	item->ordered_at = pa_clock_now();
	item->state = state == PA_INSTANCE_UNKNOWN ? way(order) : state;
	order->ordered++;
	order->waiting--;
	order->last_ordered_at = item->ordered_at;
	mark(order);
	if (state == goal(order) || order->account->wait == 0)
		pa_ec2_item_finish(item);
	else
		pa_ec2_item_rest(item);
}

/* looked at after the cloud took the order */
static void
ordered_item_looked(PaEc2Item *item)
{
	PaEc2Order *order = item->order;
	PaInstanceState before = order->request->verb == PA_PROVIDER_START ?
		PA_INSTANCE_STOPPED : PA_INSTANCE_RUNNING;
	bool		fresh = pa_clock_now() - item->ordered_at < STALE_TIME;

	if (!item->seen)
	{
		if (!fresh)
			item->state = PA_INSTANCE_UNKNOWN;
		pa_ec2_item_rest(item);
		return;
	}
	if (item->seen_state == before && item->reason != NULL)
	{
		/* it began to follow, and could not */
		item->state = before;
		item->message = item->reason;
		pa_ec2_item_finish(item);
		return;
	}
	item->state = item->seen_state == before && fresh ? way(order) :
		item->seen_state;
	if (item->state == goal(order))
		pa_ec2_item_finish(item);
	else
		pa_ec2_item_rest(item);
}

/* looked at because it could not follow, or something could not be found */
static void
waiting_item_looked(PaEc2Item *item)
{
	PaEc2Order *order = item->order;
	PaInstanceState against = order->request->verb == PA_PROVIDER_START ?
		PA_INSTANCE_STOPPING : PA_INSTANCE_STARTING;

	item->state = item->seen_state;
	if (!item->seen)
	{
		item->state = PA_INSTANCE_UNKNOWN;
		item->message = "no such instance";
		pa_ec2_item_finish(item);
	}
	else if (item->state == against || (item->incorrect > 1 && !item->rested))
	{
		item->rested = true;
		pa_ec2_item_rest(item);
	}
	else
	{
		item->rested = false;
		pa_ec2_item_requeue(item, order->request->verb);
	}
}

void
pa_ec2_item_looked(PaEc2Item *item)
{
	if (item->seen && item->doomed && is_order(item->order))
	{
		item->state = item->seen_state;
		item->message = item->state == PA_INSTANCE_TERMINATED ?
			"the instance is terminated" : "the instance is being terminated";
		pa_ec2_item_finish(item);
	}
	else if (!is_order(item->order) || item->refused)
	{
		item->state = item->seen ? item->seen_state : PA_INSTANCE_UNKNOWN;
		if (!item->seen && !item->refused)
			item->message = "no such instance";
		pa_ec2_item_finish(item);
	}
	else if (item->ordered)
		ordered_item_looked(item);
	else
		waiting_item_looked(item);
}

static void
answer(PaEc2Order *order)
{
	PaEc2Account *account = order->account;
	PaProviderRequest *request = order->request;
	bool		passes = order->status == PA_STATUS_UNAVAILABLE ||
		order->status == PA_STATUS_RESOURCE_EXHAUSTED ||
		order->status == PA_STATUS_ABORTED;

	order->region->orders--;
	pa_timer_clear(pa_http_loop_timers(account->loop), &order->timer);
	if (order->previous != NULL)
		order->previous->next = order->next;
	else
		account->orders = order->next;
	if (order->next != NULL)
		order->next->previous = order->previous;

	request->status = PA_STATUS_OK;
	request->error = 0;
	request->message = NULL;
	if (order->unreached > 0 && order->let_go)
	{
		request->status = PA_STATUS_CANCELLED;
		request->message = PA_PROVIDER_WITHDRAWN;
	}
	else if (order->unreached > 0 && order->ordered == 0)
	{
		request->status = order->status;
		request->message = order->problem;
	}
	else if (order->unreached > 0 && passes)
	{
		/* a part was ordered: it is to be repeated, and is not nothing */
		request->status = PA_STATUS_UNAVAILABLE;
		request->message = order->problem;
	}
	else if (order->refused && order->ordered == 0)
	{
		request->error = 1;
		request->message = order->problem;
	}
	request->done(request);
}

/* what is in a call is waited for */
static void
begin_nothing_more(PaEc2Order *order)
{
	order->late = true;
	for (size_t i = 0; i < order->request->instance_count; i++)
	{
		if (!order->items[i].done && !order->items[i].in_call)
			pa_ec2_item_give_up(&order->items[i]);
	}
}

static void
time_is_up(PaTimer *timer)
{
	PaEc2Order *order = PA_CONTAINER(timer, PaEc2Order, timer);

	begin_nothing_more(order);
	pa_ec2_account_settle(order->account);
}

/* whatever becomes of it now, the cloud has no part of the order */
static bool
is_untouched(const PaEc2Order *order)
{
	if (!is_order(order))
		return true;
	if (order->ordered > 0 || order->in_doubt)
		return false;
	for (size_t i = 0; i < order->request->instance_count; i++)
	{
		if (order->items[i].in_order_call)
			return false;
	}
	return true;
}

void
pa_ec2_order_withdraw(PaEc2Account *account)
{
	if (!atomic_exchange(&account->withdrawn, false) && !account->in_question)
		return;
	account->in_question = false;
	for (PaEc2Order *order = account->orders; order; order = order->next)
	{
		if (order->late || !atomic_load(&order->request->withdrawn))
			continue;
		if (is_untouched(order))
		{
			order->let_go = true;
			begin_nothing_more(order);
		}
		else
			account->in_question |= order->ordered == 0 && !order->in_doubt;
	}
}

void
pa_ec2_account_settle(PaEc2Account *account)
{
	while (account->marked != NULL)
	{
		PaEc2Order *order = account->marked;
		int64_t		due = order->limit;

		account->marked = order->next_marked;
		order->marked = false;
		if (order->open == 0)
		{
			answer(order);
			continue;
		}
		if (order->late)
			continue;
		if (is_order(order) && order->waiting == 0 &&
			order->last_ordered_at + account->wait < due)
			due = order->last_ordered_at + account->wait;
		pa_timer_set(pa_http_loop_timers(account->loop), &order->timer, due,
					 time_is_up);
	}
}

void
pa_ec2_order_begin(PaHttpTask *task)
{
	PaEc2Order *order = PA_CONTAINER(task, PaEc2Order, task);
	PaEc2Account *account = order->account;
	PaProviderRequest *request = order->request;
	int64_t		now = pa_clock_now();
	const char *region = request->region;

	if (region[0] == '\0')
		region = pa_account_text(account->account, "region");
	order->region = pa_ec2_account_region(account, region);
	order->region->orders++;
	order->limit = now + account->order_timeout;
	if (request->deadline != INT64_MAX)
	{
		int64_t		left = request->deadline - now;
		int64_t		margin = left / 5 < ANSWER_MARGIN ? left / 5 : ANSWER_MARGIN;

		if (request->deadline - margin < order->limit)
			order->limit = request->deadline - margin;
	}
	order->next = account->orders;
	if (order->next != NULL)
		order->next->previous = order;
	account->orders = order;
	order->open = order->waiting = request->instance_count;
	mark(order);
	for (size_t i = 0; i < request->instance_count; i++)
	{
		PaEc2Item  *item = &order->items[i];

		item->order = order;
		item->instance = &request->instances[i];
		if (pa_ec2_query_is_id(item->instance->instance_id))
			pa_ec2_list_push(&order->region->queues[request->verb], item, false);
		else
		{
			item->message = "not a valid instance id";
			pa_ec2_item_finish(item);
		}
	}
	/* who looked for withdrawn orders before could not find it */
	if (atomic_load(&request->withdrawn))
		atomic_store(&account->withdrawn, true);
	pa_ec2_account_pump(account);
	pa_ec2_account_settle(account);
}
