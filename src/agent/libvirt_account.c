/*-------------------------------------------------------------------------
 *
 * src/agent/libvirt_account.c
 *		The connection of an account of the provider libvirt, and its
 *		threads.  Contract in libvirt_state.h.
 *
 *-------------------------------------------------------------------------
 */
#include "libvirt_state.h"

#include <errno.h>
#include <libvirt/virterror.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plain_text.h"
#include "program/clock.h"
#include "program/memory.h"
#include "status_name.h"

#define SECOND			INT64_C(1000000)
#define ANSWER_MARGIN	SECOND	/* before the caller's deadline */

/* for what is in a call at the end of the agent, and for the connection */
#define CALL_PATIENCE	(3 * SECOND)
#define CLOSE_PATIENCE	(SECOND / 5)

/* a hypervisor that is silent for that long is lost, in s and times */
#define KEEPALIVE_INTERVAL	5
#define KEEPALIVE_COUNT		3

void
pa_libvirt_error_text(char *text)
{
	const char *message = virGetLastErrorMessage();

	pa_plain_text(text, PA_LIBVIRT_TEXT, message, strlen(message));
}

/* to be unlocked by the caller no more: true, the account is gone */
static bool
leave(PaLibvirtAccount *account)
{
	bool		last = !account->owned && !account->keeper;

	pthread_cond_broadcast(&account->change);
	pthread_mutex_unlock(&account->lock);
	if (!last)
		return false;
	pa_timer_free(&account->timers);
	pa_table_free(&account->shutdowns);
	pthread_cond_destroy(&account->work);
	pthread_cond_destroy(&account->clock);
	pthread_cond_destroy(&account->change);
	pthread_mutex_destroy(&account->lock);
	free(account->uri);
	free(account);
	return true;
}

static int
status_of_connect(int code)
{
	switch (code)
	{
		case VIR_ERR_AUTH_FAILED:
		case VIR_ERR_AUTH_CANCELLED:
			return PA_STATUS_UNAUTHENTICATED;
		case VIR_ERR_OPERATION_DENIED:
		case VIR_ERR_ACCESS_DENIED:
			return PA_STATUS_PERMISSION_DENIED;
		case VIR_ERR_NO_CONNECT:
		case VIR_ERR_INVALID_ARG:
		case VIR_ERR_CONFIG_UNSUPPORTED:
		case VIR_ERR_NO_SUPPORT:
			return PA_STATUS_FAILED_PRECONDITION;
		default:
			return PA_STATUS_UNAVAILABLE;
	}
}

static virConnectPtr
open_connection(const PaLibvirtAccount *account, int *status, char *problem)
{
	virConnectPtr connection;

	virResetLastError();
	connection = virConnectOpen(account->uri);
	if (connection == NULL)
	{
		*status = status_of_connect(virGetLastErrorCode());
		pa_libvirt_error_text(problem);
		return NULL;
	}
	/* drivers within this process have no connection to keep alive */
	virConnectSetKeepAlive(connection, KEEPALIVE_INTERVAL, KEEPALIVE_COUNT);
	return connection;
}

virConnectPtr
pa_libvirt_account_connect(PaLibvirtAccount *account, int *status,
						   char *problem)
{
	virConnectPtr lost = NULL;
	virConnectPtr connection;

	pthread_mutex_lock(&account->lock);
	/* what another worker makes is ours, too */
	while (account->connecting && !account->closing)
		pthread_cond_wait(&account->change, &account->lock);
	connection = account->connection;
	/* this does not leave the process */
	if (connection != NULL && virConnectIsAlive(connection) != 1)
	{
		lost = connection;
		connection = account->connection = NULL;
	}
	if (connection != NULL)
		virConnectRef(connection);
	else if (!account->closing)
	{
		account->connecting = true;
		pthread_mutex_unlock(&account->lock);
		if (lost != NULL)
			virConnectClose(lost);
		lost = NULL;
		connection = open_connection(account, status, problem);
		pthread_mutex_lock(&account->lock);
		account->connecting = false;
		account->connection = connection;
		if (connection != NULL)
			virConnectRef(connection);
		pthread_cond_broadcast(&account->change);
	}
	else
	{
		*status = PA_STATUS_UNAVAILABLE;
		snprintf(problem, PA_LIBVIRT_TEXT, "the account is being closed");
	}
	pthread_mutex_unlock(&account->lock);
	if (lost != NULL)
		virConnectClose(lost);
	return connection;
}

void
pa_libvirt_account_set_timer(PaLibvirtAccount *account, PaTimer *timer,
							 int64_t due, void (*fire) (PaTimer *))
{
	bool		earlier = due < pa_timer_next(&account->timers);

	pa_timer_set(&account->timers, timer, due, fire);
	if (earlier)
		pthread_cond_signal(&account->clock);
}

static void
unqueue(PaLibvirtOrder *order)
{
	PaLibvirtAccount *account = order->account;
	PaLibvirtOrder *before = NULL;

	for (PaLibvirtOrder *at = account->first_queued; at != NULL;
		 before = at, at = at->next_queued)
	{
		if (at != order)
			continue;
		if (before != NULL)
			before->next_queued = order->next_queued;
		else
			account->first_queued = order->next_queued;
		if (account->last_queued == order)
			account->last_queued = before;
		account->queued--;
		return;
	}
}

/* a call that was given up on may still do something to its cluster */
static bool
may_begin(const PaLibvirtOrder *order)
{
	const PaLibvirtAccount *account = order->account;

	if (account->abandoned == 0)
		return true;
	for (const PaLibvirtOrder *other = account->orders; other != NULL;
		 other = other->next)
	{
		if (other->abandoned && strcmp(other->cluster, order->cluster) == 0)
			return false;
	}
	return true;
}

/* takes the next order off the queue that may begin; NULL: none */
static PaLibvirtOrder *
take_queued(PaLibvirtAccount *account)
{
	PaLibvirtOrder *order = account->first_queued;

	while (order != NULL && !may_begin(order))
		order = order->next_queued;
	if (order != NULL)
		unqueue(order);
	return order;
}

static void
answer(PaLibvirtOrder *order)
{
	PaProviderRequest *request = pa_libvirt_order_answer(order);

	/* only takes note, so it may be called under our lock */
	request->done(request);
}

/* answers an order, whatever it is in */
static void
give_up(PaLibvirtOrder *order)
{
	answer(order);
	if (order->in_call)
	{
		order->abandoned = true;
		order->account->abandoned++;
		return;
	}
	unqueue(order);
	pa_libvirt_order_free(order);
}

static void
limit_is_reached(PaTimer *timer)
{
	give_up(PA_CONTAINER(timer, PaLibvirtOrder, limit));
}

static void
rested(PaTimer *timer)
{
	PaLibvirtOrder *order = PA_CONTAINER(timer, PaLibvirtOrder, rest);

	pa_libvirt_account_queue(order->account, order);
}

/* without the lock */
static void
make_step(PaLibvirtOrder *order)
{
	PaLibvirtAccount *account = order->account;
	char		problem[PA_LIBVIRT_TEXT] = "";
	int			status = PA_STATUS_OK;
	virConnectPtr connection;

	connection = pa_libvirt_account_connect(account, &status, problem);
	if (connection == NULL)
	{
		pthread_mutex_lock(&account->lock);
		pa_libvirt_order_trouble(order, status, problem);
		/* who cannot be reached is asked again by those who want it */
		order->hopeless = true;
		pthread_mutex_unlock(&account->lock);
		return;
	}
	for (size_t i = 0; i < order->count; i++)
	{
		bool		wanted;

		pthread_mutex_lock(&account->lock);
		wanted = pa_libvirt_order_wanted(order) && !order->items[i].done;
		pthread_mutex_unlock(&account->lock);
		if (wanted && !pa_libvirt_domain_step(order, &order->items[i], connection))
			break;
	}
	virConnectClose(connection);
}

/* a step was made: what becomes of the order */
static void
go_on(PaLibvirtOrder *order)
{
	PaLibvirtAccount *account = order->account;
	int64_t		now = pa_clock_now();
	bool		waiting = false;

	if (order->abandoned)
		account->abandoned--;
	if (pa_libvirt_order_let_go(order))
	{
		answer(order);
		pa_libvirt_order_free(order);
		return;
	}
	if (!pa_libvirt_order_wanted(order))
	{
		/* at the end, those that are not answered are forgotten */
		pa_libvirt_order_free(order);
		/* others of its cluster may begin */
		pthread_cond_broadcast(&account->work);
		return;
	}
	if (order->confirm_until == 0)
		order->confirm_until = now + account->confirm_wait;
	for (size_t i = 0; i < order->count; i++)
		waiting |= !order->items[i].done && !order->items[i].ordered;
	if (order->open == 0 ||
		(order->request != NULL &&
		 (order->hopeless || (!waiting && now >= order->confirm_until))))
	{
		if (order->request != NULL)
			answer(order);
		pa_libvirt_order_free(order);
		return;
	}
	order->hopeless = false;
	pa_libvirt_account_set_timer(account, &order->rest,
								 now + account->poll_interval, rested);
}

static void *
work(void *data)
{
	PaLibvirtAccount *account = data;

	pthread_mutex_lock(&account->lock);
	while (!account->closing)
	{
		PaLibvirtOrder *order = take_queued(account);

		if (order == NULL)
		{
			account->idle++;
			pthread_cond_wait(&account->work, &account->lock);
			account->idle--;
			continue;
		}
		order->in_call = true;
		pthread_mutex_unlock(&account->lock);
		make_step(order);
		pthread_mutex_lock(&account->lock);
		order->in_call = false;
		go_on(order);
	}
	account->workers--;
	pthread_cond_signal(&account->clock);
	leave(account);
	return NULL;
}

static bool
start_thread(void *(*run) (void *), PaLibvirtAccount *account)
{
	pthread_t	thread;

	if (pthread_create(&thread, NULL, run, account) != 0)
		return false;
	pthread_detach(thread);
	return true;
}

void
pa_libvirt_account_queue(PaLibvirtAccount *account, PaLibvirtOrder *order)
{
	order->next_queued = NULL;
	if (account->last_queued != NULL)
		account->last_queued->next_queued = order;
	else
		account->first_queued = order;
	account->last_queued = order;
	account->queued++;
	if (account->idle < account->queued && account->workers < account->max_workers &&
		start_thread(work, account))
		account->workers++;
	pthread_cond_signal(&account->work);
}

void
pa_libvirt_account_force(PaLibvirtAccount *account, const char *uuid)
{
	PaLibvirtOrder *order = pa_libvirt_order_create(account, PA_PROVIDER_STOP,
													"", 1);

	order->forced = true;
	order->items[0].id = pa_memory_copy_string(uuid);
	pa_libvirt_account_queue(account, order);
}

static void *
keep(void *data)
{
	PaLibvirtAccount *account = data;
	virConnectPtr connection;

	pthread_mutex_lock(&account->lock);
	while (!account->closing || account->workers > 0)
	{
		int64_t		next;
		struct timespec until;

		if (!account->closing)
			pa_timer_run(&account->timers, pa_clock_now());
		next = account->closing ? INT64_MAX : pa_timer_next(&account->timers);
		if (next == INT64_MAX)
		{
			pthread_cond_wait(&account->clock, &account->lock);
			continue;
		}
		until.tv_sec = next / SECOND;
		until.tv_nsec = next % SECOND * 1000;
		pthread_cond_timedwait(&account->clock, &account->lock, &until);
	}
	while (account->orders != NULL)
		pa_libvirt_order_free(account->orders);
	pa_libvirt_domain_forget_all(account);
	connection = account->connection;
	pthread_mutex_unlock(&account->lock);
	if (connection != NULL)
		virConnectClose(connection);
	pthread_mutex_lock(&account->lock);
	account->keeper = false;
	leave(account);
	return NULL;
}

bool
pa_libvirt_account_open(PaLibvirtAccount *account, char *problem, size_t size)
{
	pthread_condattr_t monotonic;

	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_mutex_init(&account->lock, NULL);
	pthread_cond_init(&account->work, NULL);
	pthread_cond_init(&account->clock, &monotonic);
	pthread_cond_init(&account->change, &monotonic);
	pthread_condattr_destroy(&monotonic);
	account->owned = account->keeper = true;
	if (start_thread(keep, account))
		return true;
	snprintf(problem, size, "could not start a thread for libvirt");
	pthread_mutex_lock(&account->lock);
	account->owned = account->keeper = false;
	leave(account);
	return false;
}

void
pa_libvirt_account_close(PaLibvirtAccount *account)
{
	int64_t		end;
	struct timespec until;
	bool		busy = false;

	pthread_mutex_lock(&account->lock);
	account->closing = true;
	for (PaLibvirtOrder *order = account->orders; order; order = order->next)
	{
		busy |= order->request != NULL;
		order->request = NULL;
	}
	/* while the agent runs on, nobody may be held up by what hangs */
	end = pa_clock_now() + (busy ? CALL_PATIENCE :
							account->abandoned > 0 ? 0 : CLOSE_PATIENCE);
	until.tv_sec = end / SECOND;
	until.tv_nsec = end % SECOND * 1000;
	pthread_cond_broadcast(&account->work);
	pthread_cond_broadcast(&account->clock);
	pthread_cond_broadcast(&account->change);
	while (account->keeper &&
		   pthread_cond_timedwait(&account->change, &account->lock,
								  &until) != ETIMEDOUT)
		;
	account->owned = false;
	leave(account);
}

void
pa_libvirt_account_submit(PaLibvirtAccount *account,
						  PaProviderRequest *request)
{
	int64_t		now = pa_clock_now();
	int64_t		limit = now + account->order_timeout;
	PaLibvirtOrder *order;

	if (request->deadline != INT64_MAX)
	{
		int64_t		left = request->deadline - now;
		int64_t		margin = left / 5 < ANSWER_MARGIN ? left / 5 : ANSWER_MARGIN;

		if (request->deadline - margin < limit)
			limit = request->deadline - margin;
	}
	pthread_mutex_lock(&account->lock);
	order = pa_libvirt_order_create(account, request->verb, request->cluster_id,
									request->instance_count);
	order->request = request;
	for (size_t i = 0; i < order->count; i++)
		order->items[i].id =
			pa_memory_copy_string(request->instances[i].instance_id);
	pa_libvirt_account_set_timer(account, &order->limit, limit, limit_is_reached);
	pa_libvirt_account_queue(account, order);
	pthread_mutex_unlock(&account->lock);
}

void
pa_libvirt_account_withdraw(PaLibvirtAccount *account,
							PaProviderRequest *request)
{
	PaLibvirtOrder *order;

	pthread_mutex_lock(&account->lock);
	for (order = account->orders; order != NULL; order = order->next)
	{
		if (order->request == request)
			break;
	}
	/* one whose call is under way is looked at when that has returned */
	if (order != NULL && pa_libvirt_order_let_go(order))
		give_up(order);
	pthread_mutex_unlock(&account->lock);
}
