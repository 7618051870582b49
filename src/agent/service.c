/*-------------------------------------------------------------------------
 *
 * src/agent/service.c
 *		The three methods of the agent: from a request over the ledger and the
 *		provider to its answer.  Contract in service.h.
 *
 * A call meets at most one rule.  A fault that strikes before the order
 * takes the place of everything behind it: the ledger does not hear of the
 * call.  Everything else that a rule does to the reply is done to this one
 * transmission of it; what is remembered is the reply as it should have been.
 *
 *-------------------------------------------------------------------------
 */
#include "service.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "metric.h"
#include "program/clock.h"
#include "program/memory.h"
#include "reply_fault.h"
#include "service_state.h"
#include "status_name.h"

#define FLUSH_INTERVAL		50000	/* us that a log line waits at most */
#define REFUSED_INTERVAL	10000000	/* us between words about refused calls */

PaService *
pa_service_create(const PaServiceOptions *options, PaProvider *provider,
				  PaTimers *timers, PaLog *log, PaStore *store, char *problem,
				  size_t size)
{
	PaService  *service = pa_memory_allocate_zeroed(sizeof(*service));

	service->options = *options;
	service->provider = provider;
	service->timers = timers;
	service->log = log;
	service->ledger = pa_ledger_create(options->remembered_requests,
									   options->remembered_bytes,
									   options->remembered_orders, store);
	service->durability.store = store;
	pthread_mutex_init(&service->done_lock, NULL);
	if (store != NULL && !pa_ledger_load(service->ledger, problem, size))
	{
		pa_service_free(service);
		return NULL;
	}
	if (options->behaviour_file != NULL)
	{
		service->rule_file = pa_rule_file_open(options->behaviour_file, problem,
											   size);
		if (service->rule_file == NULL)
		{
			pa_service_free(service);
			return NULL;
		}
	}
	if (options->token_file != NULL)
	{
		service->tokens = pa_token_open(options->token_file, problem, size);
		if (service->tokens == NULL)
		{
			pa_service_free(service);
			return NULL;
		}
	}
	return service;
}

void
pa_service_free(PaService *service)
{
	PaTableNode *node;

	pa_timer_clear(service->timers, &service->flush_timer);
	while ((node = pa_table_take(&service->lanes)) != NULL)
		free(PA_CONTAINER(node, PaLane, node));
	while (service->free_lanes != NULL)
	{
		PaLane	   *lane = service->free_lanes;

		service->free_lanes = lane->next_free;
		free(lane);
	}
	pa_table_free(&service->lanes);
	pa_ledger_free(service->ledger);
	if (service->rule_file != NULL)
		pa_rule_file_close(service->rule_file);
	if (service->tokens != NULL)
		pa_token_close(service->tokens);
	pthread_mutex_destroy(&service->done_lock);
	free(service);
}

void
pa_service_set_wake(PaService *service, void (*wake) (void *), void *data)
{
	service->wake = wake;
	service->wake_data = data;
	if (service->durability.store != NULL)
		pa_store_start(service->durability.store, wake, data);
}

bool
pa_service_busy(const PaService *service)
{
	return service->actions != NULL;
}

void
pa_service_end(PaService *service)
{
	service->ended = true;
	/* the provider takes note, and nobody goes on before this returns */
	for (PaAction *action = service->actions; action; action = action->next)
		pa_action_withdraw(action);
}

void
pa_service_abandon(PaService *service)
{
	while (service->actions != NULL)
		pa_action_abandon(service->actions);
	if (service->durability.store != NULL)
		pa_store_stop(service->durability.store);
}

void
pa_service_reload(PaService *service)
{
	if (service->rule_file != NULL)
		pa_rule_file_rules(service->rule_file, true);
	if (service->tokens != NULL)
		pa_token_reload(service->tokens);
	if (service->provider->reload != NULL)
		service->provider->reload(service->provider);
}

static void flush_log(PaTimer *timer);

static void
flush_log_soon(PaService *service)
{
	if (pa_log_dirty(service->log) && service->flush_timer.position == 0)
		pa_timer_set(service->timers, &service->flush_timer,
					 pa_clock_now() + FLUSH_INTERVAL, flush_log);
}

static void
flush_log(PaTimer *timer)
{
	PaService  *service = PA_CONTAINER(timer, PaService, flush_timer);

	pa_log_flush(service->log);
	flush_log_soon(service);
}

static void
write_log(PaService *service, const PaCall *call, const PaActionTimes *times,
		  PaLogLine *line)
{
	const Agent__ClusterStatusChangeRequest *request = call->request;
	PaOrder		order;

	line->method = call->method;
	if (request != NULL)
	{
		line->request_id = request->request_id;
		line->cluster_id = request->cluster_id;
		line->account = request->account_name;
		line->source = request->source;
		line->requester = request->requester;
		line->instances = request->n_instances_id_list;
		if (request->order != NULL)
		{
			order.timeline = request->order->timeline;
			order.epoch = request->order->epoch;
			order.counter = request->order->counter;
			line->order = &order;
		}
	}
	else
		line->request_id = line->cluster_id = line->account = line->source =
			line->requester = "";
	line->attempt = call->attempt;
	line->stream = call->streamed;
	line->provider = times->provider;
	line->wait = line->provider_time = -1;
	if (times->given_at > 0)
		line->wait = times->given_at > call->received_at ?
			times->given_at - call->received_at : 0;
	if (times->done_at > 0)
		line->provider_time = times->done_at - times->given_at;
	if (!pa_log_write(service->log, line))
		pa_metric_log_dropped();
	line->order = NULL;			/* it was ours */
	flush_log_soon(service);
}

void
pa_service_log_order(PaService *service, PaLogEvent event,
					 PaAction *action, const PaCall *call)
{
	PaLogLine	line = {.event = event};

	if (service->log == NULL)
		return;
	line.in_flight = action->lane->begun - 1;
	write_log(service, call, pa_action_times(action), &line);
}

void
pa_service_log_done(PaService *service, PaAction *action, int status,
					int error, const char *message)
{
	PaLogLine	line = {.event = PA_LOG_DONE};

	if (service->log == NULL)
		return;
	line.in_flight = action->lane->begun - 1;
	line.status = status;
	line.error = status == PA_STATUS_OK ? &error : NULL;
	line.message = message;
	line.duration = action->times.done_at - action->creator->received_at;
	write_log(service, action->creator, pa_action_times(action), &line);
}

static void
log_end(PaService *service, const PaCall *call, int status, const int *error,
		const char *message)
{
	PaLogLine	line = {.event = PA_LOG_END};

	if (service->log == NULL)
		return;
	line.in_flight = call->in_flight;
	line.executed = call->executed;
	line.duplicate = call->duplicate;
	line.status = status;
	line.error = error;
	line.message = message && message[0] != '\0' ? message : NULL;
	line.duration = pa_clock_now() - call->received_at;
	write_log(service, call,
			  call->action ? pa_action_times(call->action) : &call->times, &line);
}

/* the service has done with the call, which was answered or given up */
static void
close_call(PaService *service, PaCall *call)
{
	pa_timer_clear(service->timers, &call->timer);
	pa_durability_leave(&service->durability, &call->wait);
	if (call->lane != NULL)
		pa_lane_close(service, call->lane);
	call->lane = NULL;
	pa_behaviour_release(call->rules);
	call->rules = NULL;
	call->rule = NULL;
	pa_call_close(call);
}

void
pa_service_fail(PaService *service, PaCall *call, int status, const char *message)
{
	log_end(service, call, status, NULL, message);
	pa_call_answer(call, status, message, NULL, 0);
	close_call(service, call);
}

/* does what the call's rule does instead of an answer */
static void
strike(PaService *service, PaCall *call)
{
	const PaRule *rule = call->rule;

	switch (rule->fault)
	{
		case PA_FAULT_STATUS:
			pa_service_fail(service, call, rule->status,
							rule->message ? rule->message : "injected by a rule");
			break;
		case PA_FAULT_DROP:
			/* core then tells that the call was cancelled */
			pa_call_drop_connection(call);
			break;
		case PA_FAULT_CRASH:
			if (service->log != NULL)
				pa_log_flush(service->log);
			kill(getpid(), SIGKILL);
			break;
		case PA_FAULT_HANG:
		case PA_FAULT_NONE:
			break;
	}
}

static void
transmit(PaService *service, PaCall *call, const uint8_t *reply, size_t length)
{
	int			error;

	if (call->rule->fault != PA_FAULT_NONE)
	{
		strike(service, call);
		return;
	}
	error = pa_reply_error(reply, length);
	reply = pa_reply_mangle(call->rule, &call->arena, reply, &length);
	log_end(service, call, PA_STATUS_OK, &error, NULL);
	pa_call_answer(call, PA_STATUS_OK, NULL, reply, length);
	close_call(service, call);
}

static void
fire_transmit(PaTimer *timer)
{
	PaCall	   *call = PA_CONTAINER(timer, PaCall, timer);

	transmit(call->service, call, call->reply, call->reply_length);
}

void
pa_service_deliver(PaService *service, PaCall *call, const uint8_t *reply,
				   size_t length)
{
	if (!call->rule->after || call->rule->latency == 0)
	{
		transmit(service, call, reply, length);
		return;
	}
	call->reply = memcpy(pa_arena_allocate(&call->arena, length), reply, length);
	call->reply_length = length;
	pa_timer_set(service->timers, &call->timer,
				 pa_clock_now() + call->rule->latency, fire_transmit);
}

static void
fire_strike(PaTimer *timer)
{
	PaCall	   *call = PA_CONTAINER(timer, PaCall, timer);

	strike(call->service, call);
}

static void
strike_after_latency(PaService *service, PaCall *call)
{
	if (call->rule->latency > 0)
		pa_timer_set(service->timers, &call->timer,
					 pa_clock_now() + call->rule->latency, fire_strike);
	else
		strike(service, call);
}

static void
receive_question(PaService *service, PaCall *call)
{
	if (call->rule->fault != PA_FAULT_NONE)
		strike_after_latency(service, call);
	else
		pa_action_start(service, call, NULL, NULL, false);
}

static void
start_order(PaService *service, PaCall *call, PaLedgerEntry *entry, PaLane *lane)
{
	if (pa_action_start(service, call, entry, lane, !service->options.legacy))
		return;
	if (entry != NULL)
		pa_ledger_forget(service->ledger, entry);
	pa_lane_close(service, lane);
	pa_service_fail(service, call, PA_STATUS_ABORTED,
					"too many orders are waiting for this cluster");
}

static void
refuse_stale(PaService *service, PaCall *call, const PaOrder *newest)
{
	const Agent__Order *order = call->request->order;
	char		message[256];

	snprintf(message, sizeof(message),
			 "stale order: %llu/%llu/%llu came after %llu/%llu/%llu",
			 (unsigned long long) order->timeline,
			 (unsigned long long) order->epoch,
			 (unsigned long long) order->counter,
			 (unsigned long long) newest->timeline,
			 (unsigned long long) newest->epoch,
			 (unsigned long long) newest->counter);
	pa_service_fail(service, call, PA_STATUS_FAILED_PRECONDITION, message);
}

/* an agent that only accepts knows none of the fields from 101 up */
static PaLedgerVerdict
admit(PaService *service, const PaCall *call, PaLedgerEntry **entry,
	  PaOrder *newest)
{
	const Agent__ClusterStatusChangeRequest *request = call->request;
	PaLedgerRequest described = {
		.request_id = request->request_id,
		.method = call->method,
		.cluster_id = request->cluster_id,
		.source = request->source
	};
	PaOrder		order;

	if (service->options.legacy)
	{
		*entry = NULL;
		return PA_LEDGER_NEW;
	}
	if (request->order != NULL)
	{
		order.timeline = request->order->timeline;
		order.epoch = request->order->epoch;
		order.counter = request->order->counter;
		described.order = &order;
	}
	return pa_ledger_admit(service->ledger, &described, entry, newest);
}

void
pa_service_store_problem(PaService *service, char *problem, size_t size)
{
	if (pa_store_works(service->durability.store, problem, size))
		snprintf(problem, size, "the state file could not be written");
}

/* the reply of a request that was answered before, once its order is stored */
static void
repeat_reply(PaDurableWait *wait, bool durable)
{
	PaCall	   *call = PA_CONTAINER(wait, PaCall, wait);
	char		problem[PA_STORE_PROBLEM];

	if (durable)
	{
		pa_service_deliver(call->service, call, call->reply,
						   call->reply_length);
		return;
	}
	pa_service_store_problem(call->service, problem, sizeof(problem));
	pa_service_fail(call->service, call, PA_STATUS_RESOURCE_EXHAUSTED, problem);
}

static void
receive_repetition(PaService *service, PaCall *call, PaLedgerEntry *entry)
{
	PaDurability *durability = &service->durability;
	size_t		length;
	const uint8_t *reply = pa_ledger_reply(entry, &length);

	call->duplicate = true;
	if (pa_durability_await(durability, &call->wait,
							pa_durability_ticket(durability), false,
							repeat_reply))
	{
		pa_service_deliver(service, call, reply, length);
		return;
	}
	call->reply = memcpy(pa_arena_allocate(&call->arena, length), reply, length);
	call->reply_length = length;
}

static void
receive_order(PaService *service, PaCall *call)
{
	static const PaMetricVerdict metric_verdicts[] = {
		[PA_LEDGER_NEW] = PA_METRIC_NEW,
		[PA_LEDGER_RUNNING] = PA_METRIC_RUNNING,
		[PA_LEDGER_DONE] = PA_METRIC_ANSWERED,
		[PA_LEDGER_STALE] = PA_METRIC_STALE,
		[PA_LEDGER_CONFLICT] = PA_METRIC_CONFLICT
	};
	PaLane	   *lane = pa_lane_open(service, call->request->cluster_id);
	PaLedgerVerdict verdict;
	PaLedgerEntry *entry;
	PaOrder		newest;
	char		problem[PA_STORE_PROBLEM];

	call->in_flight = lane->open - 1;
	if (call->rule->fault != PA_FAULT_NONE && !call->rule->after)
	{
		call->lane = lane;
		strike_after_latency(service, call);
		return;
	}
	if (service->durability.store != NULL &&
		!pa_store_works(service->durability.store, problem, sizeof(problem)))
	{
		pa_lane_close(service, lane);
		pa_service_fail(service, call, PA_STATUS_RESOURCE_EXHAUSTED, problem);
		return;
	}
	verdict = admit(service, call, &entry, &newest);
	pa_metric_verdict(metric_verdicts[verdict]);
	if (verdict == PA_LEDGER_NEW)
	{
		start_order(service, call, entry, lane);
		return;
	}
	pa_lane_close(service, lane);
	switch (verdict)
	{
		case PA_LEDGER_RUNNING:
			/* the first one is not another order */
			call->in_flight--;
			call->duplicate = true;
			pa_action_join(pa_ledger_owner(entry), call);
			break;
		case PA_LEDGER_DONE:
			receive_repetition(service, call, entry);
			break;
		case PA_LEDGER_STALE:
			refuse_stale(service, call, &newest);
			break;
		case PA_LEDGER_CONFLICT:
			pa_service_fail(service, call, PA_STATUS_INVALID_ARGUMENT,
							"this request_id was used for another request");
			break;
		case PA_LEDGER_NEW:
			break;
	}
}

static void
choose_rule(PaService *service, PaCall *call)
{
	PaRules    *candidates[2] = {NULL, service->options.defaults};

	if (service->rule_file != NULL)
		candidates[0] = pa_rule_file_rules(service->rule_file, false);
	for (int i = 0; i < 2; i++)
	{
		const PaRule *rule;

		if (candidates[i] == NULL)
			continue;
		rule = pa_behaviour_match(candidates[i], call->request->cluster_id,
								  call->method);
		if (rule != NULL)
		{
			call->rule = rule;
			call->rules = pa_behaviour_retain(candidates[i]);
			return;
		}
	}
}

/* tells of calls without a token, but not of each: there may be any number */
static void
tell_refused(PaService *service, const PaCall *call, const char *problem)
{
	int64_t		now = pa_clock_now();
	char		peer[256];

	if (service->refused_told_at != 0 &&
		now - service->refused_told_at < REFUSED_INTERVAL)
	{
		service->refused_untold++;
		return;
	}
	pa_call_peer(call, peer, sizeof(peer));
	fprintf(stderr, "power_agent: refused a call from %s: %s", peer, problem);
	if (service->refused_untold > 0)
		fprintf(stderr, " (and %lld calls before it)",
				(long long) service->refused_untold);
	fputc('\n', stderr);
	service->refused_told_at = now;
	service->refused_untold = 0;
}

bool
pa_service_admit(PaService *service, PaCall *call)
{
	const char *problem;
	const char *value;
	size_t		length;
	int			count;

	call->service = service;
	call->request = NULL;
	call->rules = NULL;
	call->rule = pa_behaviour_none();
	call->action = NULL;
	call->lane = NULL;
	call->attempt = -1;
	if (service->log != NULL)
		call->attempt = pa_call_attempt(call);
	call->in_flight = 0;
	call->executed = false;
	call->duplicate = false;
	call->times = (PaActionTimes) {0};
	if (service->tokens == NULL)
		return true;
	value = pa_call_metadata(call, "authorization", &length, &count);
	problem = pa_token_check(service->tokens, value, length, count);
	if (problem == NULL)
		return true;
	pa_metric_token_refused();
	tell_refused(service, call, problem);
	pa_service_fail(service, call, PA_STATUS_UNAUTHENTICATED, problem);
	return false;
}

void
pa_service_receive(PaService *service, PaCall *call, const uint8_t *bytes,
				   size_t length)
{
	const char *problem;

	call->request = pa_request_read(&call->arena, bytes, length, &problem);
	if (call->request == NULL)
	{
		pa_service_fail(service, call, PA_STATUS_INVALID_ARGUMENT, problem);
		return;
	}
	choose_rule(service, call);
	if (call->method == PA_METHOD_GET_STATE)
		receive_question(service, call);
	else
		receive_order(service, call);
}

void
pa_service_cancelled(PaService *service, PaCall *call)
{
	pa_metric_call_end(call->method, PA_STATUS_CANCELLED,
					   pa_clock_now() - call->received_at);
	log_end(service, call, PA_STATUS_CANCELLED, NULL, NULL);
	if (call->action != NULL)
		pa_action_leave(call->action, call);
	close_call(service, call);
}

void
pa_service_take_done(PaService *service)
{
	PaAction   *done;

	if (service->provider->resume != NULL)
		service->provider->resume(service->provider);
	pthread_mutex_lock(&service->done_lock);
	done = service->done;
	service->done = NULL;
	pthread_mutex_unlock(&service->done_lock);
	while (done != NULL)
	{
		PaAction   *next = done->next_done;

		pa_action_continue(done);
		done = next;
	}
	pa_durability_advance(&service->durability);
}
