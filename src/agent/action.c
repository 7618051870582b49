/*-------------------------------------------------------------------------
 *
 * src/agent/action.c
 *		Work for the provider: one order, or one question for states, from its
 *		turn to its reply.  Contract in action.h.
 *
 *	pa_action_start -> (wait for the turn) -> take_turn -> (latency) -> act
 *		-> give_order -> (number on disk) -> give_noted_order -> (provider)
 *		-> pa_action_continue -> settle -> (reply on disk) -> deliver -> end
 *
 * An order that is only accepted is settled in "act", before it is given.
 *
 *-------------------------------------------------------------------------
 */
#include "action.h"

#include <grpc/support/time.h>
#include <stdlib.h>
#include <string.h>

#include "metric.h"
#include "program/clock.h"
#include "program/memory.h"
#include "service_state.h"
#include "status_name.h"

#define TOO_LATE	"nothing was ordered: the agent is ending"

static void take_turn(PaAction *action);
static void act(PaAction *action);
static void give_order(PaAction *action);

PaLane *
pa_lane_open(PaService *service, const char *cluster_id)
{
	uint64_t	hash = pa_table_hash_text(cluster_id, 0);
	PaLane	   *lane;

	for (PaTableNode *node = pa_table_first(&service->lanes, hash);
		 node != NULL; node = pa_table_next(node))
	{
		lane = PA_CONTAINER(node, PaLane, node);
		if (strcmp(lane->cluster_id, cluster_id) == 0)
		{
			lane->open++;
			return lane;
		}
	}
	lane = service->free_lanes;
	if (lane != NULL)
		service->free_lanes = lane->next_free;
	else
		lane = pa_memory_allocate(sizeof(*lane));
	lane->open = 1;
	lane->begun = 0;
	lane->running = NULL;
	lane->first_waiting = NULL;
	lane->last_waiting = NULL;
	lane->waiting = 0;
	memcpy(lane->cluster_id, cluster_id, strlen(cluster_id) + 1);
	pa_table_insert(&service->lanes, &lane->node, hash);
	return lane;
}

void
pa_lane_close(PaService *service, PaLane *lane)
{
	if (--lane->open > 0)
		return;
	pa_table_remove(&service->lanes, &lane->node);
	lane->next_free = service->free_lanes;
	service->free_lanes = lane;
}

/* gives the turn to the next, after the one that had it is done */
static void
pass_turn(PaLane *lane)
{
	PaAction   *next = lane->first_waiting;

	lane->running = NULL;
	if (next == NULL)
		return;
	lane->first_waiting = next->next_waiting;
	if (lane->first_waiting == NULL)
		lane->last_waiting = NULL;
	lane->waiting--;
	lane->running = next;
	take_turn(next);
}

static void
leave_queue(PaLane *lane, PaAction *action)
{
	PaAction  **link = &lane->first_waiting;
	PaAction   *previous = NULL;

	while (*link != action)
	{
		previous = *link;
		link = &previous->next_waiting;
	}
	*link = action->next_waiting;
	if (lane->last_waiting == action)
		lane->last_waiting = previous;
	lane->waiting--;
}

void
pa_action_abandon(PaAction *action)
{
	PaService  *service = action->service;

	pa_timer_clear(service->timers, &action->timer);
	pa_durability_leave(&service->durability, &action->wait);
	if (action->entry != NULL)
		pa_ledger_forget(service->ledger, action->entry);
	pa_behaviour_release(action->rules);
	if (action->next != NULL)
		action->next->previous = action->previous;
	if (action->previous != NULL)
		action->previous->next = action->next;
	else
		service->actions = action->next;
	/* the action is part of it */
	pa_call_release(action->creator);
}

/* the action must have no callers any more */
static void
end(PaAction *action)
{
	PaService  *service = action->service;
	PaLane	   *lane = action->lane;
	bool		had_turn = lane != NULL && lane->running == action;
	bool		others;

	if (lane != NULL && action->begun)
		lane->begun--;
	pa_action_abandon(action);
	if (lane == NULL)
		return;
	others = lane->open > 1;
	pa_lane_close(service, lane);
	if (had_turn && others)
		pass_turn(lane);
}

static PaCall *
take_caller(PaAction *action)
{
	PaCall	   *call = action->callers;

	if (call != NULL)
	{
		action->callers = call->next_waiting;
		call->action = NULL;
		call->times = *pa_action_times(action);
	}
	return call;
}

static void
deliver(PaAction *action)
{
	PaCall	   *call;

	while ((call = take_caller(action)) != NULL)
		pa_service_deliver(action->service, call, action->reply,
						   action->reply_length);
	action->go_on(action);
}

/* only a question is not patient: its reply holds, whatever the disk does */
static void
reply_stored(PaDurableWait *wait, bool durable)
{
	deliver(PA_CONTAINER(wait, PaAction, wait));
}

/*
 * Remembers the reply, gives it to all callers, and goes on.  The reply to a
 * question waits for what was put before: it may tell of that.
 */
static void
settle(PaAction *action, Agent__ClusterStatusChangeResponse *reply,
	   void (*go_on) (PaAction *))
{
	PaService  *service = action->service;

	action->reply = pa_reply_write(&action->creator->work_arena, reply,
								   &action->reply_length);
	if (action->entry != NULL)
		pa_ledger_finish(service->ledger, action->entry, action->reply,
						 action->reply_length);
	action->entry = NULL;
	action->answered = true;
	action->go_on = go_on;
	if (pa_durability_await(&service->durability, &action->wait,
							pa_durability_ticket(&service->durability),
							action->lane != NULL, reply_stored))
		deliver(action);
}

static void
settle_plain(PaAction *action, int error, const char *message,
			 void (*go_on) (PaAction *))
{
	Agent__ClusterStatusChangeResponse reply =
	AGENT__CLUSTER_STATUS_CHANGE_RESPONSE__INIT;

	reply.error = error;
	if (message != NULL)
		reply.message = (char *) message;
	settle(action, &reply, go_on);
}

static void
fail_callers(PaAction *action, int status, const char *message)
{
	PaCall	   *call;

	/* forgotten first: a caller may come again at once */
	if (action->entry != NULL)
		pa_ledger_forget(action->service->ledger, action->entry);
	action->entry = NULL;
	while ((call = take_caller(action)) != NULL)
		pa_service_fail(action->service, call, status, message);
}

/* true: the provider gets nothing more, and the action has ended without it */
static bool
came_too_late(PaAction *action)
{
	if (!action->service->ended)
		return false;
	fail_callers(action, PA_STATUS_CANCELLED, TOO_LATE);
	end(action);
	return true;
}

static void
fire_act(PaTimer *timer)
{
	act(PA_CONTAINER(timer, PaAction, timer));
}

static void
fire_give_order(PaTimer *timer)
{
	give_order(PA_CONTAINER(timer, PaAction, timer));
}

static void
take_turn(PaAction *action)
{
	int64_t		latency = action->rule->after ? 0 : action->rule->latency;

	if (came_too_late(action))
		return;
	if (latency > 0)
		pa_timer_set(action->service->timers, &action->timer,
					 pa_clock_now() + latency, fire_act);
	else
		act(action);
}

/* the order after its acceptance was told */
static void
act_on_acceptance(PaAction *action)
{
	int64_t		delay = action->rule->act_after;

	if (delay > 0)
		pa_timer_set(action->service->timers, &action->timer,
					 pa_clock_now() + delay, fire_give_order);
	else
		give_order(action);
}

static void
act(PaAction *action)
{
	const PaRule *rule = action->rule;

	if (rule->error != 0 && action->lane != NULL)
		settle_plain(action, rule->error,
					 rule->message ? rule->message : "refused by a rule", end);
	else if (action->lane != NULL &&
			 (rule->accept_only || action->service->options.legacy))
		settle_plain(action, 0, "accepted", act_on_acceptance);
	else
		give_order(action);
}

/*
 * Called by the provider, in any thread.  The action goes on in a thread of
 * the server, under its lock.
 */
static void
provider_done(PaProviderRequest *request)
{
	PaAction   *action = PA_CONTAINER(request, PaAction, request);
	PaService  *service = action->service;

	pthread_mutex_lock(&service->done_lock);
	action->next_done = service->done;
	service->done = action;
	pthread_mutex_unlock(&service->done_lock);
	service->wake(service->wake_data);
}

/* writes down who follows the order, those who do not at the end */
static void
list_instances(PaAction *action)
{
	const Agent__ClusterStatusChangeRequest *request = action->creator->request;
	const PaSelection *partial = &action->rule->partial;
	size_t		count = request->n_instances_id_list;
	size_t		first = 0;
	size_t		last = count;

	action->instances = pa_arena_allocate(&action->creator->work_arena, count *
										  sizeof(*action->instances));
	action->instance_count = count;
	for (size_t i = 0; i < count; i++)
	{
		const char *id = request->instances_id_list[i];
		bool		follows = action->lane == NULL ||
			!pa_behaviour_selects(partial, i, count, id);
		PaProviderInstance *instance =
			&action->instances[follows ? first++ : --last];

		instance->instance_id = id;
		instance->state = PA_INSTANCE_UNKNOWN;
		instance->message = NULL;
	}
	action->follower_count = first;
}

/* when the last of those who wait will have given up */
static int64_t
deadline(const PaAction *action)
{
	int64_t		now = pa_clock_now();
	int64_t		latest = now;

	/* an order goes on without them */
	if (action->callers == NULL)
		return INT64_MAX;
	for (const PaCall *call = action->callers; call; call = call->next_waiting)
	{
		gpr_timespec left = gpr_time_sub(call->deadline,
										 gpr_now(call->deadline.clock_type));

		if (left.tv_sec > INT32_MAX)
			return INT64_MAX;
		if (now + gpr_timespec_to_micros(left) > latest)
			latest = now + (int64_t) gpr_timespec_to_micros(left);
	}
	return latest;
}

static bool
submit(PaAction *action, PaProviderVerb verb, size_t from, size_t to)
{
	const Agent__ClusterStatusChangeRequest *request = action->creator->request;
	PaProviderRequest *work = &action->request;
	PaProvider *provider = action->service->provider;

	memset(work, 0, sizeof(*work));
	work->verb = verb;
	work->account = request->account_name;
	work->region = request->region;
	work->cluster_id = request->cluster_id;
	work->instances = action->instances + from;
	work->instance_count = to - from;
	work->arena = &action->creator->work_arena;
	work->deadline = deadline(action);
	work->done = provider_done;
	work->provider = provider->name;
	action->asked_at = pa_clock_now();
	action->at_once = provider->submit(provider, work);
	if (action->times.given_at == 0)
		action->times.given_at = action->asked_at;
	if (!action->at_once)
		pa_metric_provider_begin(work->provider);
	action->counted = work->provider;
	return action->at_once;
}

static void
give_noted_order(PaAction *action)
{
	PaCall	   *creator = action->creator;
	PaCall	   *call = action->callers;
	PaProviderVerb verb = PA_PROVIDER_DESCRIBE;
	size_t		count;
	bool		at_once;

	if (came_too_late(action))
		return;
	/* it is the creator's order, unless only a repetition still waits */
	if (call == NULL || creator->action == action)
		call = creator;
	action->begun = true;
	if (action->lane != NULL)
		action->lane->begun++;
	list_instances(action);
	count = action->instance_count;
	if (action->lane != NULL && action->follower_count > 0)
	{
		verb = call->method == PA_METHOD_POWER_ON ? PA_PROVIDER_START :
			PA_PROVIDER_STOP;
		count = action->follower_count;
	}
	at_once = submit(action, verb, 0, count);
	if (verb != PA_PROVIDER_DESCRIBE &&
		(!at_once || action->request.status == PA_STATUS_OK))
	{
		call->executed = true;
		pa_service_log_order(action->service, PA_LOG_START, action, call);
	}
	if (at_once)
		pa_action_continue(action);
}

/* nothing was done yet, and nothing is done without the number on disk */
static void
number_stored(PaDurableWait *wait, bool durable)
{
	PaAction   *action = PA_CONTAINER(wait, PaAction, wait);
	char		problem[PA_STORE_PROBLEM];

	if (durable)
	{
		give_noted_order(action);
		return;
	}
	pa_service_store_problem(action->service, problem, sizeof(problem));
	fail_callers(action, PA_STATUS_RESOURCE_EXHAUSTED, problem);
	end(action);
}

static void
give_order(PaAction *action)
{
	if (action->lane == NULL ||
		pa_durability_await(&action->service->durability, &action->wait,
							action->noted, false, number_stored))
		give_noted_order(action);
}

/*
 * The provider has let go of an action that nobody waited for.  True: of an
 * order that somebody has come for since, so it is given again, after what is
 * known now of its number.
 */
static bool
give_again(PaAction *action)
{
	PaService  *service = action->service;

	if (action->callers == NULL || service->ended)
		return false;
	action->times = (PaActionTimes) {0};
	action->lane->begun--;
	action->begun = false;
	action->withdrawn = false;
	action->noted = pa_durability_ticket(&service->durability);
	give_order(action);
	return true;
}

static void
settle_with_states(PaAction *action)
{
	PaArena    *arena = &action->creator->work_arena;
	size_t		count = action->instance_count;
	Agent__ClusterStatusChangeResponse reply =
	AGENT__CLUSTER_STATUS_CHANGE_RESPONSE__INIT;
	Agent__InstanceState *states = pa_arena_allocate(arena, count * sizeof(*states));

	reply.instance_states = pa_arena_allocate(arena, count *
											  sizeof(*reply.instance_states));
	reply.n_instance_states = count;
	for (size_t i = 0; i < count; i++)
	{
		const PaProviderInstance *instance = &action->instances[i];
		const char *message = instance->message;

		agent__instance_state__init(&states[i]);
		if (i >= action->follower_count)
			message = action->rule->message ? action->rule->message :
				"did not follow the order";
		states[i].instance_id = (char *) instance->instance_id;
		states[i].state = (Agent__PowerState) instance->state;
		if (message != NULL)
			states[i].message = (char *) message;
		reply.instance_states[i] = &states[i];
	}
	reply.error = action->error;
	if (action->message != NULL)
		reply.message = (char *) action->message;
	settle(action, &reply, end);
}

static void
log_done(PaAction *action, int status, int error, const char *message)
{
	action->done_told = true;
	pa_service_log_done(action->service, action, status, error, message);
}

void
pa_action_continue(PaAction *action)
{
	const PaProviderRequest *request = &action->request;
	bool		laggards_asked = request->instances != action->instances;
	bool		taken_back = action->withdrawn &&
		request->status == PA_STATUS_CANCELLED && !laggards_asked;

	action->times.done_at = pa_clock_now();
	if (!action->at_once)
		pa_metric_provider_leave(action->counted);
	pa_metric_provider_end(request->provider, request->verb, request->status,
						   request->error,
						   action->times.done_at - action->asked_at);
	if (request->verb != PA_PROVIDER_DESCRIBE && taken_back)
		pa_service_log_order(action->service, PA_LOG_WITHDRAWN, action,
							 action->creator);
	else if (request->verb != PA_PROVIDER_DESCRIBE && action->callers == NULL)
		log_done(action, request->status, request->error, request->message);
	if (action->answered)
	{
		end(action);
		return;
	}
	if (!laggards_asked)
	{
		if (taken_back && give_again(action))
			return;
		if (request->status != PA_STATUS_OK)
		{
			fail_callers(action, request->status,
						 request->message ? request->message : "");
			end(action);
			return;
		}
		action->error = request->error;
		action->message = request->message;

		/* what does not follow is only asked how it is */
		if (request->instance_count == action->follower_count &&
			action->follower_count < action->instance_count &&
			!submit(action, PA_PROVIDER_DESCRIBE, action->follower_count,
					action->instance_count))
			return;
	}
	settle_with_states(action);
}

bool
pa_action_start(PaService *service, PaCall *call, PaLedgerEntry *entry,
				PaLane *lane, bool takes_turns)
{
	PaAction   *action = &call->own_action;
	bool		waits = takes_turns && lane->running != NULL;

	if (waits && lane->waiting >= PA_LANE_LIMIT)
		return false;
	memset(action, 0, sizeof(*action));
	action->service = service;
	action->creator = call;
	pa_call_retain(call);
	action->rules = pa_behaviour_retain(call->rules);
	action->rule = call->rule;
	action->entry = entry;
	action->lane = lane;
	action->takes_turns = takes_turns;
	action->noted = pa_durability_ticket(&service->durability);
	action->next = service->actions;
	if (action->next != NULL)
		action->next->previous = action;
	service->actions = action;
	if (entry != NULL)
		pa_ledger_set_owner(entry, action);
	pa_action_join(action, call);
	if (waits)
	{
		if (lane->last_waiting != NULL)
			lane->last_waiting->next_waiting = action;
		else
			lane->first_waiting = action;
		lane->last_waiting = action;
		lane->waiting++;
		return true;
	}
	if (takes_turns)
		lane->running = action;
	take_turn(action);
	return true;
}

const PaActionTimes *
pa_action_times(PaAction *action)
{
	if (action->times.given_at > 0)
		action->times.provider = action->request.provider;
	return &action->times;
}

void
pa_action_join(PaAction *action, PaCall *call)
{
	call->action = action;
	call->next_waiting = action->callers;
	action->callers = call;
}

/* nobody waits for what the provider has */
static void
withdraw(PaAction *action)
{
	PaService  *service = action->service;

	/* an order that was given has the states of laggards in its reply */
	if (action->withdrawn || action->request.instances != action->instances)
		return;
	action->withdrawn = true;
	pa_provider_withdraw(service->provider, &action->request);
}

void
pa_action_withdraw(PaAction *action)
{
	if (action->begun && action->times.done_at == 0)
		withdraw(action);
}

/*
 * The provider is done with an order, but its reply is not ready: the disk or
 * the laggards are still to be waited for.
 */
static bool
has_outcome(const PaAction *action)
{
	return action->lane != NULL && action->follower_count > 0 &&
		action->times.done_at > 0;
}

void
pa_action_leave(PaAction *action, PaCall *call)
{
	PaCall	  **link = &action->callers;

	while (*link != call)
		link = &(*link)->next_waiting;
	*link = call->next_waiting;
	call->action = NULL;
	if (action->callers != NULL)
		return;
	if (has_outcome(action) && !action->done_told)
		log_done(action, PA_STATUS_OK, action->error, action->message);
	if (action->answered)
		return;
	if (action->begun)
	{
		withdraw(action);
		return;
	}
	if (action->takes_turns && action->lane->running != action)
		leave_queue(action->lane, action);
	end(action);
}
