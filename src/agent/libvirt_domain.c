/*-------------------------------------------------------------------------
 *
 * src/agent/libvirt_domain.c
 *		What is done with one domain, and what is remembered of those that
 *		were asked to shut down.  Contract in libvirt_state.h.
 *
 * Every step looks first: it may be made again at any time, by another
 * worker and over another connection.
 *
 *-------------------------------------------------------------------------
 */
#include "libvirt_state.h"

#include <libvirt/virterror.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "program/clock.h"
#include "program/memory.h"
#include "status_name.h"

/* a domain as it was seen */
typedef struct Look
{
	virDomainPtr domain;
	char		uuid[VIR_UUID_STRING_BUFLEN];
	unsigned	run;
	int			state;			/* libvirt's */
} Look;

/* why a call failed; libvirt forgets that at the next one */
typedef struct Failure
{
	int			code;
	char		text[PA_LIBVIRT_TEXT];
} Failure;

/* what follows from a look */
typedef enum Next
{
	NOTHING,
	CALL_START,
	CALL_RESUME,
	CALL_WAKE,
	CALL_SHUTDOWN,
	CALL_DESTROY
} Next;

static PaLibvirtShutdown *
find_shutdown(PaLibvirtAccount *account, const char *uuid)
{
	for (PaTableNode *node = pa_table_first(&account->shutdowns,
											pa_table_hash_text(uuid, 0));
		 node != NULL; node = pa_table_next(node))
	{
		PaLibvirtShutdown *shutdown = PA_CONTAINER(node, PaLibvirtShutdown, node);

		if (strcmp(shutdown->uuid, uuid) == 0)
			return shutdown;
	}
	return NULL;
}

static void
forget_shutdown(PaLibvirtShutdown *shutdown)
{
	PaLibvirtAccount *account = shutdown->account;

	pa_timer_clear(&account->timers, &shutdown->timer);
	pa_table_remove(&account->shutdowns, &shutdown->node);
	free(shutdown->message);
	free(shutdown);
}

void
pa_libvirt_domain_forget_all(PaLibvirtAccount *account)
{
	PaTableNode *node;

	while ((node = pa_table_take(&account->shutdowns)) != NULL)
	{
		PaLibvirtShutdown *shutdown = PA_CONTAINER(node, PaLibvirtShutdown, node);

		pa_timer_clear(&account->timers, &shutdown->timer);
		free(shutdown->message);
		free(shutdown);
	}
}

static void
time_is_up(PaTimer *timer)
{
	PaLibvirtShutdown *shutdown = PA_CONTAINER(timer, PaLibvirtShutdown, timer);

	if (shutdown->force)
		pa_libvirt_account_force(shutdown->account, shutdown->uuid);
	else
		shutdown->expired = true;
}

static void
remember_shutdown(PaLibvirtAccount *account, const Look *look)
{
	PaLibvirtShutdown *shutdown = find_shutdown(account, look->uuid);

	if (shutdown != NULL)
		forget_shutdown(shutdown);
	shutdown = pa_memory_allocate_zeroed(sizeof(*shutdown));
	shutdown->account = account;
	memcpy(shutdown->uuid, look->uuid, sizeof(shutdown->uuid));
	shutdown->run = look->run;
	shutdown->force = account->force_stop;
	pa_table_insert(&account->shutdowns, &shutdown->node,
					pa_table_hash_text(shutdown->uuid, 0));
	pa_libvirt_account_set_timer(account, &shutdown->timer,
								 pa_clock_now() + account->stop_timeout,
								 time_is_up);
}

/* the one that counts for the domain as it runs now; NULL: none */
static PaLibvirtShutdown *
current_shutdown(PaLibvirtAccount *account, const Look *look)
{
	PaLibvirtShutdown *shutdown = find_shutdown(account, look->uuid);

	if (shutdown == NULL)
		return NULL;
	if (look->state != VIR_DOMAIN_SHUTOFF && look->state != VIR_DOMAIN_CRASHED &&
		shutdown->run == look->run)
		return shutdown;
	/* it has ended since, even if it was started again by somebody */
	if (!shutdown->forcing)
		forget_shutdown(shutdown);
	return NULL;
}

static PaInstanceState
power_state(int state)
{
	switch (state)
	{
		case VIR_DOMAIN_RUNNING:
		case VIR_DOMAIN_BLOCKED:
		case VIR_DOMAIN_PAUSED:
		case VIR_DOMAIN_PMSUSPENDED:
			return PA_INSTANCE_RUNNING;
		case VIR_DOMAIN_SHUTDOWN:
			return PA_INSTANCE_STOPPING;
		case VIR_DOMAIN_SHUTOFF:
		case VIR_DOMAIN_CRASHED:
			return PA_INSTANCE_STOPPED;
		default:
			return PA_INSTANCE_UNKNOWN;
	}
}

static const char *
state_message(int state)
{
	switch (state)
	{
		case VIR_DOMAIN_PAUSED:
			return "the domain is paused";
		case VIR_DOMAIN_PMSUSPENDED:
			return "the domain is suspended";
		case VIR_DOMAIN_CRASHED:
			return "the domain has crashed";
		default:
			return NULL;
	}
}

static void
take_failure(Failure *failure)
{
	failure->code = virGetLastErrorCode();
	pa_libvirt_error_text(failure->text);
}

/* A call has failed.  False: it is no use to go on with others. */
static bool
call_failed(PaLibvirtOrder *order, PaLibvirtItem *item, PaInstanceState state,
			virConnectPtr connection, const Failure *failure)
{
	PaLibvirtAccount *account = order->account;
	const char *text = failure->text;
	bool		denied = failure->code == VIR_ERR_OPERATION_DENIED ||
		failure->code == VIR_ERR_ACCESS_DENIED ||
		failure->code == VIR_ERR_AUTH_UNAVAILABLE;
	bool		lost = virConnectIsAlive(connection) != 1;

	pthread_mutex_lock(&account->lock);
	order->in_doubt |= lost && order->ordering;
	order->ordering = false;
	if (lost)
		pa_libvirt_order_trouble(order, PA_STATUS_UNAVAILABLE, text);
	else if (denied && order->ordered == 0 && !order->forced)
	{
		pa_libvirt_order_trouble(order, PA_STATUS_PERMISSION_DENIED, text);
		order->hopeless = true;
	}
	else
	{
		pa_libvirt_item_finish(order, item, state, text);
		denied = false;
	}
	pthread_mutex_unlock(&account->lock);
	return !lost && !denied;
}

/* false: it could not be looked at, and the item knows */
static bool
look_at(PaLibvirtOrder *order, PaLibvirtItem *item, virConnectPtr connection,
		Look *look, bool *go_on)
{
	Failure		failure;

	virResetLastError();
	look->domain = virDomainLookupByName(connection, item->id);
	if (look->domain == NULL && virGetLastErrorCode() == VIR_ERR_NO_DOMAIN)
		look->domain = virDomainLookupByUUIDString(connection, item->id);
	if (look->domain != NULL)
	{
		if (virDomainGetUUIDString(look->domain, look->uuid) == 0 &&
			virDomainGetState(look->domain, &look->state, NULL, 0) == 0)
		{
			look->run = virDomainGetID(look->domain);
			return true;
		}
		take_failure(&failure);
		virDomainFree(look->domain);
	}
	else
		take_failure(&failure);
	/* what is no UUID is an invalid argument for that lookup */
	if (failure.code == VIR_ERR_NO_DOMAIN || failure.code == VIR_ERR_INVALID_ARG)
	{
		pthread_mutex_lock(&order->account->lock);
		pa_libvirt_item_finish(order, item, PA_INSTANCE_UNKNOWN, "no such domain");
		pthread_mutex_unlock(&order->account->lock);
		*go_on = true;
	}
	else
		*go_on = call_failed(order, item, PA_INSTANCE_UNKNOWN, connection,
							 &failure);
	return false;
}

/* how a domain is told that was asked to shut down */
static void
tell_shutdown(PaLibvirtOrder *order, PaLibvirtItem *item,
			  const PaLibvirtShutdown *shutdown)
{
	char		text[PA_LIBVIRT_TEXT];

	if (!shutdown->expired)
	{
		if (order->verb == PA_PROVIDER_DESCRIBE)
			pa_libvirt_item_finish(order, item, PA_INSTANCE_STOPPING, NULL);
		else
			pa_libvirt_item_moving(order, item, PA_INSTANCE_STOPPING, NULL);
		return;
	}
	if (shutdown->message != NULL)
		snprintf(text, sizeof(text), "it could not be stopped by force: %s",
				 shutdown->message);
	else
		snprintf(text, sizeof(text),
				 "it did not shut down within %lld ms%s",
				 (long long) (order->account->stop_timeout / 1000),
				 order->account->force_stop ? "" : ", and force_stop is off");
	pa_libvirt_item_finish(order, item, PA_INSTANCE_RUNNING, text);
}

/* the next three are under the lock */
static Next
next_of_start(PaLibvirtOrder *order, PaLibvirtItem *item, const Look *look)
{
	PaLibvirtShutdown *shutdown = current_shutdown(order->account, look);

	/* the last order counts */
	if (shutdown != NULL)
	{
		order->disarmed |= shutdown->force;
		shutdown->force = false;
	}
	if (look->state == VIR_DOMAIN_SHUTDOWN ||
		(shutdown != NULL && (!shutdown->expired || shutdown->forcing)))
	{
		pa_libvirt_item_moving(order, item, PA_INSTANCE_STOPPING,
							   "it is still shutting down");
		pa_libvirt_order_trouble(order, PA_STATUS_ABORTED,
								 "domains are still shutting down");
		return NOTHING;
	}
	if (shutdown != NULL)
		forget_shutdown(shutdown);
	switch (look->state)
	{
		case VIR_DOMAIN_SHUTOFF:
		case VIR_DOMAIN_CRASHED:
			if (!item->ordered)
				return CALL_START;
			pa_libvirt_item_finish(order, item, PA_INSTANCE_STOPPED,
								   "it was started, and has ended since");
			return NOTHING;
		case VIR_DOMAIN_PAUSED:
			return CALL_RESUME;
		case VIR_DOMAIN_PMSUSPENDED:
			return CALL_WAKE;
		case VIR_DOMAIN_RUNNING:
		case VIR_DOMAIN_BLOCKED:
			pa_libvirt_item_finish(order, item, PA_INSTANCE_RUNNING, NULL);
			return NOTHING;
		default:
			pa_libvirt_item_moving(order, item, PA_INSTANCE_UNKNOWN, NULL);
			return NOTHING;
	}
}

static Next
next_of_stop(PaLibvirtOrder *order, PaLibvirtItem *item, const Look *look)
{
	PaLibvirtShutdown *shutdown = current_shutdown(order->account, look);

	if (look->state == VIR_DOMAIN_SHUTOFF || look->state == VIR_DOMAIN_CRASHED)
	{
		pa_libvirt_item_finish(order, item, PA_INSTANCE_STOPPED, NULL);
		return NOTHING;
	}
	if (shutdown != NULL && item->ordered)
	{
		tell_shutdown(order, item, shutdown);
		return NOTHING;
	}
	if (shutdown != NULL && !shutdown->expired)
	{
		/* asked already: some systems take a second time for "cancel" */
		shutdown->force = order->account->force_stop;
		pa_libvirt_item_ordered(order, item);
		return NOTHING;
	}
	if (item->ordered)
	{
		pa_libvirt_item_finish(order, item, PA_INSTANCE_RUNNING,
							   "it was stopped, and has been started since");
		return NOTHING;
	}
	return CALL_SHUTDOWN;
}

static Next
next_of_force(PaLibvirtOrder *order, PaLibvirtItem *item, const Look *look)
{
	PaLibvirtShutdown *shutdown = current_shutdown(order->account, look);

	if (shutdown == NULL || !shutdown->force)
	{
		/* it has ended, or the last order is a start */
		if (shutdown != NULL)
			shutdown->expired = true;
		pa_libvirt_item_finish(order, item, PA_INSTANCE_UNKNOWN, NULL);
		return NOTHING;
	}
	shutdown->forcing = true;
	return CALL_DESTROY;
}

static Next
next_call(PaLibvirtOrder *order, PaLibvirtItem *item, const Look *look)
{
	PaLibvirtShutdown *shutdown;

	if (order->forced)
		return next_of_force(order, item, look);
	if (order->verb == PA_PROVIDER_START)
		return next_of_start(order, item, look);
	if (order->verb == PA_PROVIDER_STOP)
		return next_of_stop(order, item, look);
	shutdown = current_shutdown(order->account, look);
	if (shutdown != NULL)
		tell_shutdown(order, item, shutdown);
	else
		pa_libvirt_item_finish(order, item, power_state(look->state),
							   state_message(look->state));
	return NOTHING;
}

static int
call(Next next, virDomainPtr domain)
{
	virResetLastError();
	switch (next)
	{
		case CALL_START:
			return virDomainCreate(domain);
		case CALL_RESUME:
			return virDomainResume(domain);
		case CALL_WAKE:
			return virDomainPMWakeup(domain, 0);
		case CALL_SHUTDOWN:
			return virDomainShutdown(domain);
		case CALL_DESTROY:
			return virDomainDestroy(domain);
		case NOTHING:
			break;
	}
	return 0;
}

/* a call was refused: because somebody was faster? */
static bool
has_changed(const Look *look)
{
	int			state = look->state;

	virDomainGetState(look->domain, &state, NULL, 0);
	return state != look->state;
}

/* a forced stop is over, with success or without */
static bool
forced(PaLibvirtOrder *order, PaLibvirtItem *item, const Look *look,
	   virConnectPtr connection, bool done)
{
	PaLibvirtAccount *account = order->account;
	PaLibvirtShutdown *shutdown;
	Failure		failure;
	bool		lost;

	take_failure(&failure);
	lost = !done && virConnectIsAlive(connection) != 1;
	pthread_mutex_lock(&account->lock);
	shutdown = find_shutdown(account, look->uuid);
	if (shutdown != NULL)
	{
		shutdown->forcing = false;
		if (done)
			forget_shutdown(shutdown);
		else if (!lost)
		{
			shutdown->expired = true;
			free(shutdown->message);
			shutdown->message = pa_memory_copy_string(failure.text);
		}
	}
	if (!lost)
		pa_libvirt_item_finish(order, item, PA_INSTANCE_UNKNOWN, NULL);
	pthread_mutex_unlock(&account->lock);
	return !lost;
}

/* the call was taken */
static void
ordered(PaLibvirtOrder *order, PaLibvirtItem *item, const Look *look, Next next)
{
	pthread_mutex_lock(&order->account->lock);
	order->ordering = false;
	pa_libvirt_item_ordered(order, item);
	if (next == CALL_SHUTDOWN)
		remember_shutdown(order->account, look);
	pthread_mutex_unlock(&order->account->lock);
}

bool
pa_libvirt_domain_step(PaLibvirtOrder *order, PaLibvirtItem *item,
					   virConnectPtr connection)
{
	PaLibvirtAccount *account = order->account;
	bool		go_on = true;

	/* a second look: many orders are done as soon as they are given */
	for (int i = 0; i < 2 && go_on; i++)
	{
		Look		look = {0};
		Next		next = NOTHING;
		Failure		failure;
		int			result;

		if (!look_at(order, item, connection, &look, &go_on))
			return go_on;
		pthread_mutex_lock(&account->lock);
		if (pa_libvirt_order_wanted(order))
			next = next_call(order, item, &look);
		order->ordering = next != NOTHING;
		pthread_mutex_unlock(&account->lock);
		if (next == NOTHING)
		{
			virDomainFree(look.domain);
			return true;
		}
		result = call(next, look.domain);
		if (next == CALL_DESTROY)
		{
			go_on = forced(order, item, &look, connection, result == 0);
			virDomainFree(look.domain);
			return go_on;
		}
		if (result == 0)
			ordered(order, item, &look, next);
		else
		{
			take_failure(&failure);
			if (i > 0 || !has_changed(&look))
			{
				go_on = call_failed(order, item, power_state(look.state),
									connection, &failure);
				virDomainFree(look.domain);
				return go_on;
			}
			pthread_mutex_lock(&account->lock);
			order->ordering = false;
			pthread_mutex_unlock(&account->lock);
		}
		virDomainFree(look.domain);
	}
	return go_on;
}
