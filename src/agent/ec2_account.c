/*-------------------------------------------------------------------------
 *
 * src/agent/ec2_account.c
 *		The calls of one account of the provider ec2: which one is next, and
 *		when.  Contract in ec2_state.h.
 *
 *-------------------------------------------------------------------------
 */
#include "ec2_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "program/clock.h"
#include "program/memory.h"
#include "program/secret.h"
#include "status_name.h"

#define MAX_IDLE_REGIONS	50

/* us; a cloud that comes back is found after that */
#define LONGEST_OUTAGE_PAUSE	2000000

void
pa_ec2_batch_free(PaEc2Batch *batch)
{
	PaEc2Account *account = batch->region->account;

	pa_http_cancel(account->loop, &batch->call);
	if (batch->previous != NULL)
		batch->previous->next = batch->next;
	else
		account->batches = batch->next;
	if (batch->next != NULL)
		batch->next->previous = batch->previous;
	pa_table_free(&batch->ids);
	pa_secret_free(batch->session_header);
	free(batch->access_key);
	free(batch->token);
	pa_arena_empty(&batch->arena);
	free(batch);
}

/* the name fits the template, as checked when the accounts were read */
static char *
make_url(const char *template, const char *region)
{
	const char *place = strstr(template, "{region}");
	size_t		size = strlen(template) + strlen(region) + 1;
	char	   *url = pa_memory_allocate(size);

	if (place == NULL)
		snprintf(url, size, "%s", template);
	else
		snprintf(url, size, "%.*s%s%s", (int) (place - template), template,
				 region, place + strlen("{region}"));
	return url;
}

void
pa_ec2_region_free(PaEc2Region *region)
{
	pa_timer_clear(pa_http_loop_timers(region->account->loop),
				   &region->poll_timer);
	free(region->name);
	free(region->url);
	free(region);
}

/* names of regions come with requests: what they made is not kept for ever */
static void
forget_idle_regions(PaEc2Account *account)
{
	PaEc2Region **link = &account->regions;

	while (*link != NULL)
	{
		PaEc2Region *region = *link;

		if (region->orders > 0)
			link = &region->next;
		else
		{
			*link = region->next;
			pa_ec2_region_free(region);
			account->region_count--;
		}
	}
	account->next_region = NULL;
}

PaEc2Region *
pa_ec2_account_region(PaEc2Account *account, const char *name)
{
	PaEc2Region *region;

	for (region = account->regions; region != NULL; region = region->next)
	{
		if (strcmp(region->name, name) == 0)
			return region;
	}
	if (account->region_count >= MAX_IDLE_REGIONS)
		forget_idle_regions(account);
	region = pa_memory_allocate_zeroed(sizeof(*region));
	region->account = account;
	region->name = pa_memory_copy_string(name);
	region->url = make_url(pa_account_text(account->account, "endpoint"), name);
	pa_ec2_pace_init(&region->pace, 0, LONGEST_OUTAGE_PAUSE, pa_clock_now());
	region->next = account->regions;
	account->regions = region;
	account->region_count++;
	return region;
}

static bool
has_work(const PaEc2Region *region)
{
	return region->queues[PA_PROVIDER_START].first ||
		region->queues[PA_PROVIDER_STOP].first ||
		region->queues[PA_PROVIDER_DESCRIBE].first;
}

/*
 * The next region with something to do, in turn; NULL: none, or not before
 * *wait us have passed.
 */
static PaEc2Region *
choose_region(PaEc2Account *account, int64_t now, int64_t *wait)
{
	PaEc2Region *region = account->next_region;
	PaEc2Region *start;

	*wait = INT64_MAX;
	if (region == NULL)
		region = account->regions;
	start = region;
	while (region != NULL)
	{
		PaEc2Region *next = region->next ? region->next : account->regions;

		if (has_work(region))
		{
			int64_t		pause = pa_ec2_pace_take(&region->pace, now);

			if (pause == 0)
			{
				account->next_region = next;
				return region;
			}
			if (pause < *wait)
				*wait = pause;
		}
		region = next != start ? next : NULL;
	}
	return NULL;
}

static void
fire_pump(PaTimer *timer)
{
	PaEc2Account *account = PA_CONTAINER(timer, PaEc2Account, timer);

	pa_ec2_account_pump(account);
	pa_ec2_account_settle(account);
}

static void
give_up_all(PaEc2List *list, int status, const char *problem)
{
	while (list->first != NULL)
	{
		PaEc2Item  *item = list->first;
		PaEc2Order *order = item->order;

		pa_ec2_order_trouble(order, status,
							 pa_arena_format(order->request->arena, "%s", problem));
		pa_ec2_item_give_up(item);
	}
}

/* without keys nothing that waits for a call gets on */
static void
fail_waiting(PaEc2Account *account, const char *problem)
{
	int			status = pa_ec2_credentials_may_come(account->credentials) ?
		PA_STATUS_UNAVAILABLE : PA_STATUS_UNAUTHENTICATED;

	for (PaEc2Region *region = account->regions; region; region = region->next)
	{
		for (int verb = 0; verb < 3; verb++)
			give_up_all(&region->queues[verb], status, problem);
	}
	while (account->paged != NULL)
	{
		PaEc2Batch *batch = account->paged;

		account->paged = batch->next_page;
		give_up_all(&batch->items, status, problem);
		pa_ec2_batch_free(batch);
	}
}

static void
call_done(PaHttpCall *call)
{
	PaEc2Batch *batch = PA_CONTAINER(call, PaEc2Batch, call);
	PaEc2Account *account = batch->region->account;

	account->in_flight--;
	if (pa_ec2_batch_result(batch))
	{
		batch->next_page = account->paged;
		account->paged = batch;
	}
	else
		pa_ec2_batch_free(batch);
	pa_ec2_account_pump(account);
	pa_ec2_account_settle(account);
}

static void
send_batch(PaEc2Account *account, PaEc2Batch *batch, const PaEc2Keys *keys)
{
	if (!pa_ec2_batch_sign(batch, keys))
	{
		give_up_all(&batch->items, PA_STATUS_UNAUTHENTICATED,
					"the request could not be signed: the keys of the account are too long");
		pa_ec2_batch_free(batch);
		return;
	}
	batch->sent_at = pa_clock_now();
	batch->call.done = call_done;
	account->in_flight++;
	pa_http_start(account->loop, &batch->call);
}

void
pa_ec2_account_pump(PaEc2Account *account)
{
	PaTimers   *timers = pa_http_loop_timers(account->loop);

	pa_ec2_order_withdraw(account);
	while (account->in_flight < account->max_connections)
	{
		int64_t		now = pa_clock_now();
		PaEc2Batch *batch = account->paged;
		PaEc2Region *region = NULL;
		const PaEc2Keys *keys;
		const char *problem;
		int64_t		wait;
		bool		pending;

		if (batch == NULL)
		{
			region = choose_region(account, now, &wait);
			if (region == NULL)
			{
				if (wait != INT64_MAX)
					pa_timer_set(timers, &account->timer, now + wait,
								 fire_pump);
				return;
			}
		}
		keys = pa_ec2_credentials_get(account->credentials, &pending, &problem);
		if (keys == NULL)
		{
			/* if they are on their way we are called again */
			if (!pending)
				fail_waiting(account, problem);
			return;
		}
		wait = pa_ec2_pace_take(&account->pace, now);
		if (wait > 0)
		{
			pa_timer_set(timers, &account->timer, now + wait, fire_pump);
			return;
		}
		if (batch != NULL)
			account->paged = batch->next_page;
		else
			batch = pa_ec2_batch_create(region);
		send_batch(account, batch, keys);
	}
}
