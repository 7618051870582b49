/*-------------------------------------------------------------------------
 *
 * src/agent/ec2_result.c
 *		What the answer to a call of the provider ec2 means for the instances
 *		that it was for.  Contract in ec2_state.h.
 *
 * The API takes an order for all instances that a call names, or for none.
 * So where an error names some of them, these leave and the others go again;
 * and where it does not, orders that shared the call go alone, so that none
 * fails for another's reasons.
 *
 *-------------------------------------------------------------------------
 */
#include "ec2_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "metric.h"
#include "program/clock.h"
#include "program/memory.h"
#include "status_name.h"

#define MAX_FAILURES	4		/* calls in vain for an instance */
#define CLOCK_TOLERANCE	60		/* s */

static double
draw(PaEc2Account *account)
{
	account->chance = account->chance * 6364136223846793005u +
		1442695040888963407u;
	return (double) (account->chance >> 40) / (double) (1 << 24);
}

static void
trouble(PaEc2Item *item, int status, const char *text)
{
	PaEc2Order *order = item->order;

	/* one text for all instances of an order */
	if (order->problem == NULL || order->status != status ||
		strcmp(order->problem, text) != 0)
		pa_ec2_order_trouble(order, status,
							 pa_arena_format(order->request->arena, "%s", text));
}

/* all items wait for the same call again, in their order */
static void
requeue_all(PaEc2Batch *batch)
{
	while (batch->items.last != NULL)
		pa_ec2_item_requeue(batch->items.last, batch->verb);
}

/* no answer that counts: again, unless it was often enough */
static void
fail_all(PaEc2Batch *batch, const char *text)
{
	PaEc2Region *region = batch->region;

	pa_ec2_pace_pause(&region->pace, pa_clock_now(), batch->sent_at,
					  draw(region->account));
	while (batch->items.last != NULL)
	{
		PaEc2Item  *item = batch->items.last;

		trouble(item, PA_STATUS_UNAVAILABLE, text);
		item->order->in_doubt |= item->in_order_call;
		if (++item->failures >= MAX_FAILURES)
			pa_ec2_item_give_up(item);
		else
			pa_ec2_item_requeue(item, batch->verb);
	}
}

static void
give_up_all(PaEc2Batch *batch, int status, const char *text)
{
	while (batch->items.first != NULL)
	{
		PaEc2Item  *item = batch->items.first;

		trouble(item, status, text);
		pa_ec2_item_give_up(item);
	}
}

static void
throttled(PaEc2Batch *batch, const char *text)
{
	PaEc2Account *account = batch->region->account;

	pa_ec2_pace_pause(&account->pace, pa_clock_now(), batch->sent_at,
					  draw(account));
	for (PaEc2Item *item = batch->items.first; item != NULL; item = item->next)
		trouble(item, PA_STATUS_RESOURCE_EXHAUSTED, text);
	requeue_all(batch);
}

/* true: our clock was wrong, and is right now as far as signing goes */
static bool
set_clock(PaEc2Account *account, time_t date)
{
	int64_t		offset;

	if (date == 0)
		return false;
	offset = (int64_t) date - (int64_t) time(NULL);
	if (offset - account->clock_offset < CLOCK_TOLERANCE &&
		offset - account->clock_offset > -CLOCK_TOLERANCE)
		return false;
	account->clock_offset = offset;
	return true;
}

static void
not_authenticated(PaEc2Batch *batch, const char *text)
{
	PaEc2Account *account = batch->region->account;

	if (set_clock(account, batch->call.date) ||
		pa_ec2_credentials_renew(account->credentials, batch->access_key))
		requeue_all(batch);
	else
		give_up_all(batch, PA_STATUS_UNAUTHENTICATED, text);
}

static bool
has_several_orders(const PaEc2Batch *batch)
{
	return batch->items.first != NULL &&
		batch->items.first->order != batch->items.last->order;
}

/* each of the orders in the batch goes in calls of its own from now on */
static void
part(PaEc2Batch *batch)
{
	for (PaEc2Item *item = batch->items.first; item != NULL; item = item->next)
		item->order->alone = true;
	requeue_all(batch);
}

/*
 * Puts the items that the text names into a list; returns false, and names
 * none, if it names none or all.
 */
static bool
split_named(PaEc2Batch *batch, const char *text, PaEc2List *named, bool all_too)
{
	PaEc2Item  *next;
	size_t		count = 0;
	size_t		total = 0;

	memset(named, 0, sizeof(*named));
	if (text == NULL)
		return false;
	for (PaEc2Item *item = batch->items.first; item != NULL; item = item->next)
	{
		total++;
		count += pa_ec2_query_names(text, item->instance->instance_id);
	}
	if (count == 0 || (count == total && !all_too))
		return false;
	for (PaEc2Item *item = batch->items.first; item != NULL; item = next)
	{
		next = item->next;
		if (pa_ec2_query_names(text, item->instance->instance_id))
		{
			pa_ec2_list_remove(item);
			pa_ec2_list_push(named, item, true);
		}
	}
	return true;
}

/* its message is the order's latest trouble */
static void
refuse_item(PaEc2Item *item)
{
	item->refused = true;
	item->message = item->order->problem;
	pa_ec2_item_look(item);
}

static void
missing(PaEc2Batch *batch, const char *message, const char *text)
{
	PaEc2List	named;

	if (!split_named(batch, message, &named, true))
	{
		/* Describe tells which */
		while (batch->items.first != NULL)
		{
			batch->items.first->incorrect++;
			pa_ec2_item_look(batch->items.first);
		}
		return;
	}
	while (named.first != NULL)
	{
		PaEc2Item  *item = named.first;

		item->state = PA_INSTANCE_UNKNOWN;
		item->message = pa_arena_format(item->order->request->arena, "%s", text);
		pa_ec2_item_finish(item);
	}
	requeue_all(batch);
}

static void
wrong_state(PaEc2Batch *batch, const char *message, const char *text)
{
	PaEc2List	named;

	if (!split_named(batch, message, &named, true))
	{
		named = batch->items;
		for (PaEc2Item *item = named.first; item != NULL; item = item->next)
			item->list = &named;
		memset(&batch->items, 0, sizeof(batch->items));
	}
	while (named.first != NULL)
	{
		PaEc2Item  *item = named.first;

		/* if nothing changes until the end, the same may be tried later */
		trouble(item, PA_STATUS_ABORTED, text);
		item->incorrect++;
		pa_ec2_item_look(item);
	}
	requeue_all(batch);
}

static void
refused(PaEc2Batch *batch, const char *message, const char *text)
{
	PaEc2List	named;

	if (split_named(batch, message, &named, false))
	{
		while (named.first != NULL)
		{
			trouble(named.first, PA_STATUS_FAILED_PRECONDITION, text);
			refuse_item(named.first);
		}
		requeue_all(batch);
	}
	else if (has_several_orders(batch))
		part(batch);
	else
	{
		while (batch->items.first != NULL)
		{
			PaEc2Item  *item = batch->items.first;

			trouble(item, PA_STATUS_FAILED_PRECONDITION, text);
			item->order->refused = true;
			refuse_item(item);
		}
	}
}

static void
order_failed(PaEc2Batch *batch, PaEc2Kind kind, const char *message,
			 const char *text)
{
	switch (kind)
	{
		case PA_EC2_MISSING:
			missing(batch, message, text);
			break;
		case PA_EC2_STATE:
			wrong_state(batch, message, text);
			break;
		case PA_EC2_DENIED:
			/* rights may depend on the instance */
			if (has_several_orders(batch))
				part(batch);
			else
				give_up_all(batch, PA_STATUS_PERMISSION_DENIED, text);
			break;
		default:
			refused(batch, message, text);
			break;
	}
}

/* what was ordered stays so, whether it may be looked at or not */
static void
look_failed(PaEc2Batch *batch, PaEc2Kind kind, const char *text)
{
	/* a page that is too old begins anew */
	if (batch->token != NULL && kind == PA_EC2_REFUSED)
		fail_all(batch, text);
	else
		give_up_all(batch, kind == PA_EC2_DENIED ? PA_STATUS_PERMISSION_DENIED :
					PA_STATUS_FAILED_PRECONDITION, text);
}

static void
failed(PaEc2Batch *batch, const char *code, const char *message)
{
	PaEc2Kind	kind = pa_ec2_query_kind(batch->call.status, code);
	const char *text;

	pa_metric_ec2_call(batch->verb,
					   kind == PA_EC2_THROTTLED ? PA_METRIC_EC2_THROTTLED :
					   kind == PA_EC2_BROKEN ? PA_METRIC_EC2_FAILED :
					   PA_METRIC_EC2_REFUSED);
	if (code == NULL)
		text = pa_arena_format(&batch->arena, "the cloud answered with HTTP status %d",
							   batch->call.status);
	else
		text = pa_ec2_query_text(&batch->arena, code, message);
	switch (kind)
	{
		case PA_EC2_THROTTLED:
			throttled(batch, text);
			break;
		case PA_EC2_BROKEN:
			fail_all(batch, text);
			break;
		case PA_EC2_EXPIRED:
		case PA_EC2_UNAUTHENTICATED:
			not_authenticated(batch, text);
			break;
		default:
			if (batch->verb == PA_PROVIDER_DESCRIBE)
				look_failed(batch, kind, text);
			else
				order_failed(batch, kind, message, text);
			break;
	}
}

/* the items of the batch with this id, one after the other from NULL */
static PaEc2Item *
next_item(const PaEc2Batch *batch, const char *id, uint64_t hash,
		  PaEc2Item *previous)
{
	PaTableNode *node = previous ? pa_table_next(&previous->node) :
		pa_table_first(&batch->ids, hash);

	for (; node != NULL; node = pa_table_next(node))
	{
		PaEc2Item  *item = PA_CONTAINER(node, PaEc2Item, node);

		if (strcmp(item->instance->instance_id, id) == 0)
			return item;
	}
	return NULL;
}

/* true: there is one more page */
static bool
looked(PaEc2Batch *batch, const PaEc2Answer *answer)
{
	for (size_t i = 0; i < answer->count; i++)
	{
		const PaEc2Instance *instance = &answer->instances[i];
		uint64_t	hash = pa_table_hash_text(instance->id, 0);
		PaEc2Item  *item = NULL;

		while ((item = next_item(batch, instance->id, hash, item)) != NULL)
		{
			item->seen = true;
			item->seen_state = instance->state;
			item->doomed = instance->doomed;
			if (instance->reason != NULL)
				item->reason = pa_arena_format(item->order->request->arena, "%s",
											   instance->reason);
		}
	}
	free(batch->token);
	batch->token = NULL;
	if (answer->next_token != NULL)
	{
		batch->token = pa_memory_copy_string(answer->next_token);
		return true;
	}
	while (batch->items.first != NULL)
		pa_ec2_item_looked(batch->items.first);
	return false;
}

static void
ordered(PaEc2Batch *batch, const PaEc2Answer *answer)
{
	for (size_t i = 0; i < answer->count; i++)
	{
		const PaEc2Instance *instance = &answer->instances[i];
		uint64_t	hash = pa_table_hash_text(instance->id, 0);
		PaEc2Item  *item = NULL;

		while ((item = next_item(batch, instance->id, hash, item)) != NULL)
		{
			item->seen = true;
			item->seen_state = instance->state;
		}
	}
	/* the order counts for all, whether the answer lists them or not */
	while (batch->items.first != NULL)
	{
		PaEc2Item  *item = batch->items.first;

		pa_ec2_item_ordered(item, item->seen ? item->seen_state :
							PA_INSTANCE_UNKNOWN);
	}
}

bool
pa_ec2_batch_result(PaEc2Batch *batch)
{
	PaHttpCall *call = &batch->call;
	PaEc2Account *account = batch->region->account;
	PaArena		arena = {0};
	PaEc2Answer *answer;
	bool		more = false;

	if (call->status == 0)
	{
		char		text[400];

		pa_metric_ec2_call(batch->verb, PA_METRIC_EC2_UNREACHABLE);
		snprintf(text, sizeof(text), "could not reach the cloud: %s",
				 call->problem);
		fail_all(batch, text);
		return false;
	}
	answer = pa_ec2_query_read(&arena, call->answer, call->length);
	if (call->status == 200 && answer != NULL && answer->error_code == NULL)
	{
		pa_metric_ec2_call(batch->verb, PA_METRIC_EC2_OK);
		pa_ec2_pace_succeeded(&account->pace);
		pa_ec2_pace_succeeded(&batch->region->pace);
		if (batch->verb == PA_PROVIDER_DESCRIBE)
			more = looked(batch, answer);
		else
			ordered(batch, answer);
	}
	else if (call->status == 200 && answer == NULL)
	{
		pa_metric_ec2_call(batch->verb, PA_METRIC_EC2_FAILED);
		fail_all(batch, "the cloud's answer could not be read");
	}
	else if (answer != NULL)
		failed(batch, answer->error_code, answer->error_message);
	else
		failed(batch, NULL, NULL);
	pa_arena_empty(&arena);
	return more;
}
