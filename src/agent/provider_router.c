/*-------------------------------------------------------------------------
 *
 * src/agent/provider_router.c
 *		The provider that gives each request to the provider of its account.
 *		Contract in provider_router.h.
 *
 * Everything happens under the server's lock but the end of a request, which
 * only counts, under a lock of its own, and leaves the rest to "resume".
 *
 *-------------------------------------------------------------------------
 */
#include "provider_router.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "account_file.h"
#include "program/clock.h"
#include "program/memory.h"
#include "status_name.h"
#include "table.h"
#include "timer.h"

/* what accounts of one type share */
typedef struct Shared
{
	const PaProviderType *type;
	void	   *data;
	int			users;
	struct Shared *next;
} Shared;

typedef struct Route
{
	PaTableNode node;
	struct Router *router;
	PaAccount  *account;
	PaProvider *provider;
	Shared	   *shared;
	int			limit;			/* requests under way */
	int			in_flight;
	struct Routed *first_waiting;
	struct Routed *last_waiting;
	bool		retired;		/* closed when nothing is in flight */
	struct Route *next;			/* of the retired, or of a reload */
	struct Route *next_ready;	/* in resume */

	/* under the router's lock */
	int			returned;		/* done, and still counted as in flight */
	struct Route *next_returned;
} Route;

typedef struct Router
{
	PaProvider	provider;
	const char *path;
	const PaProviderType *const *types;
	const PaProviderSetup *setup;
	PaTable		routes;
	Route	   *others;			/* [*]; NULL: none */
	Route	   *retired;
	Shared	   *shared;
	pthread_mutex_t lock;
	Route	   *returned;		/* routes with requests that are done */
} Router;

/* a request on its way, in its own arena: the provider gets a copy */
typedef struct Routed
{
	PaProviderRequest inner;
	PaProviderRequest *outer;
	Route	   *route;
	bool		waiting;		/* in the route's queue */
	bool		given;			/* to the route's provider */
	struct Routed *previous;
	struct Routed *next;
} Routed;

static Route *
find_route(const Router *router, const char *account)
{
	uint64_t	hash = pa_table_hash_text(account, 0);

	for (PaTableNode *node = pa_table_first(&router->routes, hash);
		 node != NULL; node = pa_table_next(node))
	{
		Route	   *route = PA_CONTAINER(node, Route, node);

		if (strcmp(route->account->name, account) == 0)
			return route;
	}
	return NULL;
}

static void
copy_answer(Routed *routed)
{
	routed->outer->status = routed->inner.status;
	routed->outer->error = routed->inner.error;
	routed->outer->message = routed->inner.message;
}

/* a provider is done with a request; in any thread */
static void
request_done(PaProviderRequest *request)
{
	Routed	   *routed = PA_CONTAINER(request, Routed, inner);
	Route	   *route = routed->route;
	Router	   *router = route->router;
	PaProviderRequest *outer = routed->outer;

	copy_answer(routed);
	pthread_mutex_lock(&router->lock);
	if (route->returned++ == 0)
	{
		route->next_returned = router->returned;
		router->returned = route;
	}
	pthread_mutex_unlock(&router->lock);
	/* "routed" is gone as soon as the caller knows */
	outer->done(outer);
}

/* true: done at once */
static bool
submit_to(Route *route, Routed *routed)
{
	routed->route = route;
	if (routed->inner.deadline <= pa_clock_now())
	{
		routed->outer->status = PA_STATUS_RESOURCE_EXHAUSTED;
		routed->outer->message =
			pa_arena_format(routed->outer->arena,
							"the deadline passed before it was this request's turn: account \"%.255s\" has %d under way",
							routed->outer->account, route->in_flight);
		return true;
	}
	if (route->provider->submit(route->provider, &routed->inner))
	{
		copy_answer(routed);
		return true;
	}
	routed->given = true;
	route->in_flight++;
	return false;
}

static void
enter_queue(Route *route, Routed *routed)
{
	routed->waiting = true;
	routed->previous = route->last_waiting;
	if (route->last_waiting != NULL)
		route->last_waiting->next = routed;
	else
		route->first_waiting = routed;
	route->last_waiting = routed;
}

static void
leave_queue(Route *route, Routed *routed)
{
	routed->waiting = false;
	if (routed->previous != NULL)
		routed->previous->next = routed->next;
	else
		route->first_waiting = routed->next;
	if (routed->next != NULL)
		routed->next->previous = routed->previous;
	else
		route->last_waiting = routed->previous;
}

static bool
submit(PaProvider *provider, PaProviderRequest *request)
{
	Router	   *router = PA_CONTAINER(provider, Router, provider);
	Route	   *route = find_route(router, request->account);
	Routed	   *routed;

	if (route == NULL)
		route = router->others;
	request->provider = route != NULL ? route->account->type->name : NULL;
	if (route == NULL)
	{
		request->status = PA_STATUS_NOT_FOUND;
		request->message = pa_arena_format(request->arena,
										   "this agent has no account \"%.255s\"",
										   request->account);
		return true;
	}
	routed = pa_arena_allocate(request->arena, sizeof(*routed));
	memset(routed, 0, sizeof(*routed));
	routed->inner = *request;
	routed->inner.done = request_done;
	routed->outer = request;
	routed->route = route;
	request->provider_data = routed;
	if (route->in_flight < route->limit)
		return submit_to(route, routed);
	enter_queue(route, routed);
	return false;
}

/*
 * The route of a request that its provider has is there as long as the caller
 * does not go on: it is closed after all of its requests are done, in
 * "resume", and the caller goes on right behind that.
 */
static void
withdraw(PaProvider *provider, PaProviderRequest *request)
{
	Routed	   *routed = request->provider_data;

	if (routed->given)
		pa_provider_withdraw(routed->route->provider, &routed->inner);
	else if (routed->waiting)
	{
		leave_queue(routed->route, routed);
		request->status = PA_STATUS_CANCELLED;
		request->message = PA_PROVIDER_WITHDRAWN;
		request->done(request);
	}
}

static void
send_waiting(Route *route)
{
	while (route->first_waiting != NULL && route->in_flight < route->limit)
	{
		Routed	   *routed = route->first_waiting;

		leave_queue(route, routed);
		if (submit_to(route, routed))
			routed->outer->done(routed->outer);
	}
}

static Shared *
open_shared(Router *router, const PaProviderType *type)
{
	Shared	   *shared;

	for (shared = router->shared; shared != NULL; shared = shared->next)
	{
		if (shared->type == type)
			break;
	}
	if (shared == NULL)
	{
		shared = pa_memory_allocate_zeroed(sizeof(*shared));
		shared->type = type;
		shared->next = router->shared;
		router->shared = shared;
	}
	if (shared->users++ == 0 && type->open_shared != NULL)
		shared->data = type->open_shared();
	return shared;
}

static void
release_shared(Shared *shared)
{
	if (--shared->users == 0 && shared->type->close_shared != NULL)
		shared->type->close_shared(shared->data);
}

/* frees the route with its account; its requests are forgotten */
static void
free_route(Route *route)
{
	if (route->provider != NULL)
		route->provider->close(route->provider);
	release_shared(route->shared);
	pa_account_free(route->account);
	free(route);
}

/* takes over the account, even if it fails */
static Route *
create_route(Router *router, PaAccount *account, PaReport *report)
{
	Route	   *route = pa_memory_allocate_zeroed(sizeof(*route));
	char		problem[512];

	route->router = router;
	route->account = account;
	route->limit = (int) pa_account_number(account, "max_parallel");
	if (route->limit == 0)
		route->limit = account->type->max_parallel;
	route->shared = open_shared(router, account->type);
	route->provider = account->type->create(account, router->setup,
											route->shared->data, problem,
											sizeof(problem));
	if (route->provider != NULL)
		return route;
	pa_report_problem(report, account->line, "%s", problem);
	free_route(route);
	return NULL;
}

/* a route goes out of use; what it has in hand is carried on */
static void
retire(Router *router, Route *route)
{
	route->retired = true;
	route->next = router->retired;
	router->retired = route;
}

static void
close_retired(Router *router)
{
	Route	  **link = &router->retired;

	while (*link != NULL)
	{
		Route	   *route = *link;

		if (route->in_flight > 0 || route->first_waiting != NULL)
			link = &route->next;
		else
		{
			*link = route->next;
			free_route(route);
		}
	}
}

static void
resume(PaProvider *provider)
{
	Router	   *router = PA_CONTAINER(provider, Router, provider);
	Route	   *ready = NULL;

	/* once its count is 0 a route may be put into the list again */
	pthread_mutex_lock(&router->lock);
	while (router->returned != NULL)
	{
		Route	   *route = router->returned;

		router->returned = route->next_returned;
		route->in_flight -= route->returned;
		route->returned = 0;
		route->next_ready = ready;
		ready = route;
	}
	pthread_mutex_unlock(&router->lock);
	for (; ready != NULL; ready = ready->next_ready)
		send_waiting(ready);
	close_retired(router);
}

static void
add_route(Router *router, Route *route)
{
	if (strcmp(route->account->name, PA_ACCOUNT_OTHERS) == 0)
		router->others = route;
	else
		pa_table_insert(&router->routes, &route->node,
						pa_table_hash_text(route->account->name, 0));
}

static Route *
current_route(const Router *router, const char *name)
{
	/* the analyzer takes it for a name freed by load, see there */
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
	return strcmp(name, PA_ACCOUNT_OTHERS) == 0 ? router->others :
		find_route(router, name);
}

/* what waits for an account goes to its new route */
static void
hand_over(Route *from, Route *to)
{
	if (to == NULL || from->first_waiting == NULL)
		return;
	to->first_waiting = from->first_waiting;
	to->last_waiting = from->last_waiting;
	from->first_waiting = from->last_waiting = NULL;
	for (Routed *routed = to->first_waiting; routed; routed = routed->next)
	{
		routed->route = to;
		routed->outer->provider = to->account->type->name;
	}
	send_waiting(to);
}

/* puts routes, linked by next, in the place of all that there are */
static void
replace_routes(Router *router, Route *routes)
{
	PaTable		old = router->routes;
	Route	   *old_others = router->others;
	PaTableNode *node;

	memset(&router->routes, 0, sizeof(router->routes));
	router->others = NULL;
	while (routes != NULL)
	{
		Route	   *route = routes;
		Route	   *next = route->next;
		const char *name = route->account->name;

		routes = next;
		/* one that goes on was in the old table */
		for (node = pa_table_first(&old, pa_table_hash_text(name, 0));
			 node != NULL; node = pa_table_next(node))
		{
			if (node == &route->node)
			{
				pa_table_remove(&old, node);
				break;
			}
		}
		if (old_others == route)
			old_others = NULL;
		add_route(router, route);
	}
	while ((node = pa_table_take(&old)) != NULL)
	{
		Route	   *route = PA_CONTAINER(node, Route, node);

		retire(router, route);
		hand_over(route, find_route(router, route->account->name));
	}
	pa_table_free(&old);
	if (old_others != NULL)
	{
		retire(router, old_others);
		hand_over(old_others, router->others);
	}
	close_retired(router);
}

/* reads the file; false: it has problems, and nothing has changed */
static bool
load(Router *router)
{
	PaReport	report;
	PaAccount  *accounts;
	Route	   *routes = NULL;

	pa_report_to_stderr(&report, router->path);
	accounts = pa_account_file_read(router->path, router->types, &report);
	if (accounts == NULL)
		return false;
	while (accounts != NULL)
	{
		PaAccount  *account = accounts;
		Route	   *route = current_route(router, account->name);

		accounts = account->next;
		if (route != NULL && pa_account_same(route->account, account))
			pa_account_free(account);
		else
			route = create_route(router, account, &report);
		if (route == NULL)
			continue;
		route->next = routes;
		routes = route;
	}
	if (report.problems == 0)
	{
		replace_routes(router, routes);
		return true;
	}
	while (routes != NULL)
	{
		Route	   *route = routes;

		/* no two accounts have one name, so no route is here twice */
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
		routes = route->next;
		if (route != current_route(router, route->account->name))
			free_route(route);
	}
	return false;
}

static void
reload(PaProvider *provider)
{
	Router	   *router = PA_CONTAINER(provider, Router, provider);

	if (!load(router))
		fprintf(stderr, "power_agent: accounts file \"%s\" was not loaded: the accounts stay as they were\n",
				router->path);
	else
		fprintf(stderr, "power_agent: accounts file \"%s\" was loaded: %zu accounts\n",
				router->path, router->routes.count + (router->others != NULL));
}

static void
close_router(PaProvider *provider)
{
	Router	   *router = PA_CONTAINER(provider, Router, provider);
	PaTableNode *node;

	while ((node = pa_table_take(&router->routes)) != NULL)
		free_route(PA_CONTAINER(node, Route, node));
	pa_table_free(&router->routes);
	if (router->others != NULL)
		free_route(router->others);
	while (router->retired != NULL)
	{
		Route	   *route = router->retired;

		router->retired = route->next;
		free_route(route);
	}
	while (router->shared != NULL)
	{
		Shared	   *shared = router->shared;

		router->shared = shared->next;
		free(shared);
	}
	pthread_mutex_destroy(&router->lock);
	free(router);
}

PaProvider *
pa_provider_router_create(const char *path, const PaProviderType *const *types,
						  const PaProviderSetup *setup, char *problem,
						  size_t size)
{
	Router	   *router = pa_memory_allocate_zeroed(sizeof(*router));

	router->provider.name = "accounts";
	router->provider.submit = submit;
	router->provider.withdraw = withdraw;
	router->provider.resume = resume;
	router->provider.reload = reload;
	router->provider.close = close_router;
	router->path = path;
	router->types = types;
	router->setup = setup;
	pthread_mutex_init(&router->lock, NULL);
	if (load(router))
		return &router->provider;
	snprintf(problem, size, "accounts file \"%s\" cannot be used", path);
	close_router(&router->provider);
	return NULL;
}
