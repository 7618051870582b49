/*-------------------------------------------------------------------------
 *
 * src/agent/libvirt_order.c
 *		Orders of the provider libvirt and what is known of their domains.
 *		Contract in libvirt_state.h.
 *
 *-------------------------------------------------------------------------
 */
#include "libvirt_state.h"

#include <stdlib.h>
#include <string.h>

#include "program/memory.h"
#include "status_name.h"

PaLibvirtOrder *
pa_libvirt_order_create(PaLibvirtAccount *account, PaProviderVerb verb,
						const char *cluster, size_t count)
{
	PaLibvirtOrder *order = pa_memory_allocate_zeroed(sizeof(*order));

	order->account = account;
	order->verb = verb;
	order->cluster = pa_memory_copy_string(cluster);
	order->items = pa_memory_allocate_zeroed((count + 1) * sizeof(*order->items));
	order->count = order->open = count;
	order->next = account->orders;
	if (order->next != NULL)
		order->next->previous = order;
	account->orders = order;
	return order;
}

void
pa_libvirt_order_free(PaLibvirtOrder *order)
{
	PaLibvirtAccount *account = order->account;

	pa_timer_clear(&account->timers, &order->limit);
	pa_timer_clear(&account->timers, &order->rest);
	if (order->previous != NULL)
		order->previous->next = order->next;
	else
		account->orders = order->next;
	if (order->next != NULL)
		order->next->previous = order->previous;
	for (size_t i = 0; i < order->count; i++)
	{
		free(order->items[i].id);
		free(order->items[i].message);
	}
	free(order->items);
	free(order->problem);
	free(order->cluster);
	free(order);
}

bool
pa_libvirt_order_wanted(const PaLibvirtOrder *order)
{
	return (order->request != NULL || order->forced) &&
		!order->account->closing && !pa_libvirt_order_let_go(order);
}

bool
pa_libvirt_order_let_go(const PaLibvirtOrder *order)
{
	if (order->request == NULL || !atomic_load(&order->request->withdrawn))
		return false;
	return order->verb == PA_PROVIDER_DESCRIBE ||
		(order->ordered == 0 && !order->ordering && !order->in_doubt &&
		 !order->disarmed);
}

void
pa_libvirt_item_moving(PaLibvirtOrder *order, PaLibvirtItem *item,
					   PaInstanceState state, const char *message)
{
	item->state = state;
	free(item->message);
	item->message = message != NULL ? pa_memory_copy_string(message) : NULL;
}

void
pa_libvirt_item_ordered(PaLibvirtOrder *order, PaLibvirtItem *item)
{
	if (!item->ordered)
		order->ordered++;
	item->ordered = true;
	pa_libvirt_item_moving(order, item, order->verb == PA_PROVIDER_START ?
						   PA_INSTANCE_STARTING : PA_INSTANCE_STOPPING, NULL);
}

void
pa_libvirt_item_finish(PaLibvirtOrder *order, PaLibvirtItem *item,
					   PaInstanceState state, const char *message)
{
	pa_libvirt_item_moving(order, item, state, message);
	if (!item->done)
		order->open--;
	item->done = true;
}

void
pa_libvirt_order_trouble(PaLibvirtOrder *order, int status,
						 const char *problem)
{
	order->status = status;
	free(order->problem);
	order->problem = pa_memory_copy_string(problem);
}

PaProviderRequest *
pa_libvirt_order_answer(PaLibvirtOrder *order)
{
	PaProviderRequest *request = order->request;
	size_t		unreached = 0;

	for (size_t i = 0; i < order->count; i++)
	{
		PaLibvirtItem *item = &order->items[i];

		request->instances[i].state = item->state;
		request->instances[i].message = item->message == NULL ? NULL :
			pa_arena_format(request->arena, "%s", item->message);
		if (!item->done && !item->ordered)
			unreached++;
	}
	request->status = PA_STATUS_OK;
	request->error = 0;
	request->message = NULL;
	if (unreached > 0 && pa_libvirt_order_let_go(order))
	{
		request->status = PA_STATUS_CANCELLED;
		request->message = PA_PROVIDER_WITHDRAWN;
	}
	else if (unreached > 0)
	{
		if (order->status == PA_STATUS_OK || order->in_call)
			pa_libvirt_order_trouble(order, PA_STATUS_UNAVAILABLE,
									 "the hypervisor did not answer in time");
		/* a part was ordered, or may have been: that is not nothing */
		request->status = order->ordered > 0 ? PA_STATUS_UNAVAILABLE :
			order->status;
		request->message = pa_arena_format(request->arena, "%s", order->problem);
	}
	order->request = NULL;
	return request;
}
