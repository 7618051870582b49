/*-------------------------------------------------------------------------
 *
 * src/outcome.c
 *		From the result of a call to what is to be written.  See outcome.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "apply.h"
#include "backoff.h"
#include "ending.h"
#include "outcome.h"
#include "settings.h"
#include "status_code.h"
#include "verdict.h"
#include "wire_text.h"

#define NAMED_INSTANCES		10	/* in a message; the event names all */
#define NOT_DELIVERED_MS	100 /* before a call that did not leave goes again */

/* What the courier said, in the database's encoding. */
typedef struct Answer
{
	int			code;			/* gRPC status */
	const char *message;
	bool		not_delivered;
	TimestampTz now;
} Answer;

/*
 * States of instances
 */

static int
compare_ids(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

/*
 * Copies the reported states to the instances of the call, which are in
 * bytewise order.  Reports usually come in the order of the request; what is
 * not of this cluster is ignored, and of two reports for one instance the
 * later one counts.
 */
static void
take_states(PaCluster *cluster, const Courier__Result *result)
{
	int			count = cluster->instance_count;

	for (size_t r = 0; r < result->n_instances; r++)
	{
		const Courier__InstanceReport *report = result->instances[r];
		char	   *id = pa_wire_text_decode_name(report->instance_id);
		char	  **hit;

		/* none of ours: all of ours went out without a loss */
		if (id == NULL)
			continue;
		if ((int) r < count && strcmp(cluster->instance_ids[r], id) == 0)
			hit = &cluster->instance_ids[r];
		else
			hit = bsearch(&id, cluster->instance_ids, count, sizeof(char *),
						  compare_ids);
		if (hit != NULL)
			cluster->instance_states[hit - cluster->instance_ids] =
				report->state <= PA_POWER_TERMINATED ?
				(int) report->state : PA_POWER_UNKNOWN;
	}
}

/* What the states of the instances mean for the tables. */
static void
set_change(PaUnit *unit, PaCluster *cluster, PaPowerState status,
		   bool from_agent, const int *states)
{
	MemoryContext old = MemoryContextSwitchTo(unit->context);
	PaClusterChange *change = palloc0(sizeof(PaClusterChange));

	change->cluster_id = pstrdup(cluster->cluster_id);
	change->status = status;
	change->from_agent = from_agent;
	change->row = cluster->row;
	if (states != NULL)
	{
		change->instance_count = cluster->instance_count;
		change->instance_ids = palloc(sizeof(char *) * cluster->instance_count);
		change->instance_states = palloc(sizeof(int) * cluster->instance_count);
		change->instance_rows = palloc(sizeof(ItemPointerData) *
									   cluster->instance_count);
		for (int i = 0; i < cluster->instance_count; i++)
		{
			change->instance_ids[i] = pstrdup(cluster->instance_ids[i]);
			change->instance_states[i] = states[i];
			change->instance_rows[i] = cluster->instance_rows[i];
		}
	}
	unit->change = change;
	MemoryContextSwitchTo(old);
}

static void
set_reported_change(PaUnit *unit, PaCluster *cluster)
{
	set_change(unit, cluster,
			   pa_verdict_cluster_state(cluster->instance_states,
										cluster->instance_count),
			   true, cluster->instance_states);
}

/*
 * The instances that did not follow: for a message, and as the text of an
 * array.
 */
static char *
name_laggards(PaCluster *cluster, PaAction action, StringInfo array)
{
	StringInfoData message;
	int			count = 0;

	initStringInfo(&message);
	appendStringInfoChar(array, '{');
	for (int i = 0; i < cluster->instance_count; i++)
	{
		int			state = cluster->instance_states[i];
		char	   *escaped;

		if (pa_verdict_progress(action, state) == PA_PROGRESS_DONE)
			continue;
		count++;
		if (count <= NAMED_INSTANCES)
			appendStringInfo(&message, "%s%s (%s)", count > 1 ? ", " : "",
							 cluster->instance_ids[i],
							 state == PA_POWER_NOT_REPORTED ?
							 "not reported" : pa_power_state_name(state));
		appendStringInfo(array, "%s\"", count > 1 ? "," : "");
		for (escaped = cluster->instance_ids[i]; *escaped; escaped++)
		{
			if (*escaped == '"' || *escaped == '\\')
				appendStringInfoChar(array, '\\');
			appendStringInfoChar(array, *escaped);
		}
		appendStringInfoChar(array, '"');
	}
	appendStringInfoChar(array, '}');
	if (count > NAMED_INSTANCES)
		appendStringInfo(&message, " and %d more", count - NAMED_INSTANCES);
	return psprintf("%d of %d instances did not follow: %s",
					count, cluster->instance_count, message.data);
}

/*
 * Outcomes of the jobs that the call answers
 */

#define foreach_answered(job, cluster, iter) \
	dlist_foreach(iter, &(cluster)->jobs) \
		if (((job) = dlist_container(PaJob, node, (iter).cur))->in_call)

static PaOutcome *
add_answered(PaUnit *unit, PaCluster *cluster, PaJob *job,
			 PaEventStatus status, bool is_attempt)
{
	PaOutcome  *outcome = pa_unit_add(unit, job, status);

	if (outcome->started_at == DT_NOBEGIN)
	{
		outcome->started_at = pa_unit_time(outcome, cluster->sent_at);
		outcome->finished_at = pa_unit_time(outcome, outcome->finished_at);
	}
	if (is_attempt)
		outcome->attempts++;
	return outcome;
}

static void
set_attempt_failed(PaUnit *unit, PaOutcome *outcome, PaCluster *cluster,
				   const char *code, const char *message, TimestampTz now)
{
	outcome->attempt_failed = true;
	outcome->attempt_started = pa_unit_time(outcome, cluster->sent_at);
	outcome->attempt_finished = Max(now, outcome->attempt_started);
	outcome->finished_at = Max(outcome->finished_at,
							   outcome->attempt_finished);
	outcome->attempt_code = pa_unit_strdup(unit, code);
	outcome->attempt_message = pa_unit_strdup(unit, message);
}

/* Did what went wrong go wrong on the way, or at the agent? */
static PaErrorSource
source_of(int code)
{
	return code == PA_STATUS_UNAVAILABLE || code == PA_STATUS_CANCELLED ||
		code == PA_STATUS_DEADLINE_EXCEEDED ?
		PA_ERROR_TRANSPORT : PA_ERROR_AGENT;
}

/* Success, with the states that were reported or (done is -1) without any. */
static void
succeed(PaCluster *cluster, PaAgentResult agent_result, int done)
{
	PaAction	action = pa_queue_first_job(cluster)->action;
	bool		is_attempt = !cluster->confirming;
	int			total = cluster->instance_count;
	PaUnit	   *unit = pa_unit_make(cluster);
	dlist_iter	iter;
	PaJob	   *job;

	foreach_answered(job, cluster, iter)
	{
		PaOutcome  *outcome = add_answered(unit, cluster, job,
										   PA_EVENT_SUCCESS, is_attempt);

		outcome->agent_result = agent_result;
		outcome->instances_total = total;
		outcome->instances_done = done;
	}

	if (agent_result == PA_RESULT_CONFIRMED)
		set_reported_change(unit, cluster);
	else
	{
		PaPowerState target = action == PA_ACTION_POWER_ON ?
			PA_POWER_RUNNING : PA_POWER_STOPPED;

		for (int i = 0; i < total; i++)
			cluster->instance_states[i] = target;
		set_change(unit, cluster, target, false, cluster->instance_states);
	}
	pa_unit_submit(unit);
}

/* Some instances are where they should be, others will not get there. */
static void
end_partial(PaCluster *cluster, int done, const char *code,
			const char *prefix, TimestampTz now)
{
	PaAction	action = pa_queue_first_job(cluster)->action;
	bool		is_attempt = !cluster->confirming;
	PaUnit	   *unit = pa_unit_make(cluster);
	StringInfoData array;
	char	   *message;
	dlist_iter	iter;
	PaJob	   *job;

	initStringInfo(&array);
	message = psprintf("%s%s", prefix, name_laggards(cluster, action, &array));
	foreach_answered(job, cluster, iter)
	{
		PaOutcome  *outcome = add_answered(unit, cluster, job,
										   PA_EVENT_FAILED, is_attempt);

		outcome->agent_result = PA_RESULT_PARTIAL;
		outcome->instances_total = cluster->instance_count;
		outcome->instances_done = done;
		outcome->instances_failed = pa_unit_strdup(unit, array.data);
		pa_unit_fail(unit, outcome, PA_ERROR_AGENT, code, message);
		if (is_attempt)
			set_attempt_failed(unit, outcome, cluster, code, message, now);
	}
	set_reported_change(unit, cluster);
	pa_unit_submit(unit);
}

/*
 * On their way: the events go on, and the agent is asked again.  What is
 * cancelled is not waited for any more.  reported: the agent told states.
 */
static void
keep_confirming(PaCluster *cluster, bool reported)
{
	PaUnit	   *unit = pa_unit_make(cluster);
	bool		first = !cluster->confirming;
	dlist_iter	iter;
	PaJob	   *job;

	if (first)
	{
		cluster->confirming = true;
		cluster->moving_since = pa_clock_now();
	}
	foreach_answered(job, cluster, iter)
	{
		PaOutcome  *outcome;

		if (!first && job->cancelled_by == NULL)
			continue;
		outcome = add_answered(unit, cluster, job, PA_EVENT_RUNNING, first);
		outcome->agent_result = PA_RESULT_ACCEPTED;
		outcome->instances_total = cluster->instance_count;
		job->maybe_sent = false;
		if (job->cancelled_by)
			pa_unit_cancel(unit, outcome, 0, job->cancelled_by,
						   job->cancel_reason);
	}
	if (reported)
		set_reported_change(unit, cluster);
	unit->wait_until = pa_clock_after(pa_clock_now(), pa_confirm_interval);
	pa_unit_submit(unit);
}

/* The event fails for good. */
static void
fail(PaCluster *cluster, PaAgentResult agent_result, PaErrorSource source,
	 const char *code, const char *message, TimestampTz now)
{
	PaUnit	   *unit = pa_unit_make(cluster);
	dlist_iter	iter;
	PaJob	   *job;

	foreach_answered(job, cluster, iter)
	{
		PaOutcome  *outcome = add_answered(unit, cluster, job,
										   PA_EVENT_FAILED, true);

		outcome->agent_result = agent_result;
		/* an attempt before this one may have had effect */
		if ((job->maybe_sent || job->agent_result == PA_RESULT_UNKNOWN) &&
			!cluster->asking)
			outcome->agent_result = PA_RESULT_UNKNOWN;
		outcome->instances_total = cluster->instance_count;
		pa_unit_fail(unit, outcome, source, code, message);
		if (job->cancelled_by &&
			(agent_result == PA_RESULT_UNKNOWN || cluster->asking))
			pa_unit_cancel(unit, outcome, 0, job->cancelled_by,
						   job->cancel_reason);
		set_attempt_failed(unit, outcome, cluster, code, message, now);
	}
	pa_ending_leave_unknown(unit, pa_queue_first_job(cluster), cluster);
	pa_unit_submit(unit);
}

/* Another attempt, if there may be one. */
static void
retry(PaCluster *cluster, const Answer *answer)
{
	const char *code = pa_status_name(answer->code);
	bool		acted = !cluster->asking &&
		pa_status_may_have_acted(answer->code, answer->message);
	int			attempts = pa_queue_first_job(cluster)->attempts + 1;
	PaUnit	   *unit;
	int64		delay;
	TimestampTz again;
	dlist_iter	iter;
	PaJob	   *job;

	delay = pa_backoff_delay(pa_initial_backoff, pa_max_backoff, attempts,
							 pg_prng_double(&pg_global_prng_state));
	again = TimestampTzPlusMilliseconds(answer->now, delay);
	unit = pa_unit_make(cluster);
	foreach_answered(job, cluster, iter)
	{
		PaOutcome  *outcome = add_answered(unit, cluster, job,
										   PA_EVENT_RUNNING, true);

		if (acted || (job->maybe_sent && !cluster->asking))
			outcome->agent_result = PA_RESULT_UNKNOWN;
		set_attempt_failed(unit, outcome, cluster, code, answer->message,
						   answer->now);
		outcome->retry_at = again;
		if (job->cancelled_by)
			pa_unit_cancel(unit, outcome, 0, job->cancelled_by,
						   job->cancel_reason);
		else if (outcome->attempts >= pa_max_attempts)
		{
			if (outcome->agent_result != PA_RESULT_UNKNOWN)
				outcome->agent_result = cluster->asking ?
					PA_RESULT_NONE : PA_RESULT_REFUSED;
			outcome->instances_total = cluster->instance_count;
			pa_unit_fail(unit, outcome, source_of(answer->code), code,
						 answer->message);
		}
	}
	pa_ending_leave_unknown(unit, pa_queue_first_job(cluster), cluster);
	pa_queue_drop_call_data(cluster);
	pa_unit_submit(unit);
}

/* The call did not leave: it goes again, and it was no attempt. */
static void
send_again(PaCluster *cluster)
{
	PaInstant	again = pa_clock_after(pa_clock_now(), NOT_DELIVERED_MS);
	dlist_mutable_iter iter;

	if (!cluster->confirming)
		pa_queue_drop_call_data(cluster);
	dlist_foreach_modify(iter, &cluster->jobs)
	{
		PaJob	   *job = dlist_container(PaJob, node, iter.cur);

		if (job->in_call && job->cancelled_by != NULL)
			pa_ending_cancel(job, job->cancelled_by, job->cancel_reason);
	}
	if (!dlist_is_empty(&cluster->jobs) &&
		pa_queue_first_job(cluster)->in_call)
		pa_queue_wait(cluster, again);
	else
	{
		/* nobody is left who wants this call */
		pa_queue_drop_call_data(cluster);
		pa_queue_load(cluster);
	}
}

/* The agent has seen a later order than ours: nothing more goes to it. */
static void
stop_server(PaCluster *cluster, const Answer *answer)
{
	PaServer   *server = cluster->server;

	if (server->state != PA_AGENT_STOPPED)
		ereport(WARNING,
				(errmsg("power_action sends nothing more to agent \"%s\": it refused an order as stale",
						server->name),
				 errdetail("%s", answer->message),
				 errhint("Another server, perhaps the primary after a fail-over, has sent orders for the same clusters. If this one is right, ALTER SERVER makes it try again; the agent refuses as long as it remembers the later order.")));
	pa_queue_set_server_state(server, PA_AGENT_STOPPED, answer->message,
							  answer->now);
	send_again(cluster);
}

/* An answer to the question how far an order that was taken has come. */
static void
confirm_later(PaCluster *cluster, TimestampTz now)
{
	if (!pa_outcome_confirm_timeout(cluster, now))
		keep_confirming(cluster, false);
}

static void
take_reply(PaCluster *cluster, const Courier__Result *result,
		   const Answer *answer)
{
	PaAction	action = pa_queue_first_job(cluster)->action;
	int			done;

	take_states(cluster, result);
	if (result->reply_error != 0)
	{
		char	   *text = pa_wire_text_decode(result->reply_message);

		if (cluster->confirming)
		{
			confirm_later(cluster, answer->now);
			return;
		}
		fail(cluster, cluster->asking ? PA_RESULT_NONE : PA_RESULT_REFUSED,
			 PA_ERROR_AGENT, "AGENT_ERROR",
			 psprintf("%s (error %d)",
					  text[0] ? text : "the agent gave no message",
					  result->reply_error), answer->now);
		return;
	}

	switch (pa_verdict_of_states(action, cluster->instance_states,
								 cluster->instance_count, &done))
	{
		case PA_VERDICT_CONFIRMED:
			succeed(cluster, PA_RESULT_CONFIRMED, done);
			break;
		case PA_VERDICT_MOVING:
			if (cluster->confirming &&
				pa_outcome_confirm_timeout(cluster, answer->now))
				break;
			keep_confirming(cluster, true);
			break;
		case PA_VERDICT_PARTIAL:
			end_partial(cluster, done, "PARTIAL", "", answer->now);
			break;
		default:
			/* no states at all */
			if (action == PA_ACTION_REFRESH)
				fail(cluster, PA_RESULT_NONE, PA_ERROR_AGENT,
					 pa_status_name(PA_STATUS_UNIMPLEMENTED),
					 "the agent reported no instance states", answer->now);
			else
				succeed(cluster, PA_RESULT_ACCEPTED, -1);
			break;
	}
}

static void
take_answer(PaCluster *cluster, const Answer *answer)
{
	PaVerdict	verdict = pa_verdict_of_status(answer->code, answer->message,
											   answer->not_delivered,
											   cluster->asking);
	const char *code = pa_status_name(answer->code);

	if (cluster->asking && answer->code == PA_STATUS_UNIMPLEMENTED)
		cluster->server->lacks_states = true;
	if (verdict == PA_VERDICT_NOT_DELIVERED)
		send_again(cluster);
	else if (verdict == PA_VERDICT_STALE_ORDER)
		stop_server(cluster, answer);
	else if (cluster->confirming)
	{
		/* an agent that cannot be asked has said all that it will */
		if (verdict == PA_VERDICT_NO_STATES)
			succeed(cluster, PA_RESULT_ACCEPTED, -1);
		else
			confirm_later(cluster, answer->now);
	}
	else if (verdict == PA_VERDICT_RETRY)
		retry(cluster, answer);
	else
		fail(cluster,
			 cluster->asking ? PA_RESULT_NONE :
			 verdict == PA_VERDICT_UNKNOWN ? PA_RESULT_UNKNOWN :
			 PA_RESULT_REFUSED,
			 source_of(answer->code), code, answer->message, answer->now);
}

void
pa_outcome_of_result(const Courier__Result *result, TimestampTz now)
{
	PaCluster  *cluster = pa_queue_find_call(result->call_id);
	Answer		answer;

	if (cluster == NULL)
		return;

	answer.code = (int) result->status_code;
	answer.message = pa_wire_text_decode(result->status_message);
	if (answer.message[0] == '\0')
		answer.message = "the agent gave no message";
	answer.not_delivered = result->not_delivered;
	answer.now = now;

	/* what an administrator has to put right should not need guessing */
	if (answer.code == PA_STATUS_UNAUTHENTICATED)
		answer.message =
			psprintf(cluster->server->options.auth_token_file ?
					 "the agent does not accept the token of server \"%s\": %s" :
					 "the agent wants a token, and server \"%s\" has no auth_token_file: %s",
					 cluster->server->name, answer.message);

	/* one that could not start says that calls take longer now */
	if (answer.code == PA_STATUS_OK ||
		(answer.code == PA_STATUS_DEADLINE_EXCEEDED && answer.not_delivered))
		pa_queue_note_duration(cluster->server, (int64) result->duration_us);

	if (answer.code == PA_STATUS_OK)
		take_reply(cluster, result, &answer);
	else
		take_answer(cluster, &answer);
}

void
pa_outcome_of_lost_courier(TimestampTz now)
{
	dlist_mutable_iter iter;
	Answer		answer = {
		PA_STATUS_UNAVAILABLE,
		"the courier ended before the agent answered",
		false, now
	};

	dlist_foreach_modify(iter, pa_queue_calls())
		take_answer(dlist_container(PaCluster, call_node, iter.cur), &answer);
}

bool
pa_outcome_confirm_timeout(PaCluster *cluster, TimestampTz now)
{
	PaAction	action = pa_queue_first_job(cluster)->action;
	int			done = 0;

	if (pa_clock_now() < pa_clock_after(cluster->moving_since,
										pa_confirm_timeout *
										INT64CONST(1000)))
		return false;
	pa_verdict_of_states(action, cluster->instance_states,
						 cluster->instance_count, &done);
	end_partial(cluster, done, pa_status_name(PA_STATUS_DEADLINE_EXCEEDED),
				psprintf("not confirmed within %d s: ", pa_confirm_timeout),
				now);
	return true;
}
