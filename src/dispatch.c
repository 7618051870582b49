/*-------------------------------------------------------------------------
 *
 * src/dispatch.c
 *		From a ready cluster to a call in flight.  See dispatch.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "apply.h"
#include "courier_link.h"
#include "dispatch.h"
#include "ending.h"
#include "settings.h"
#include "status_code.h"
#include "target_store.h"
#include "wire_text.h"

#define CALLS_AT_ONCE	256
#define LONGEST_WAIT	1000	/* ms, of a call in the courier */

static char source[64];			/* "system identifier/database OID" */
static uint64 order_timeline;
static uint64 order_epoch;
static uint64 order_counter;
static uint64 last_call_id;
static uint64 last_generation;
static MemoryContext server_context;	/* options of the servers */

/* taken out of the ready lists, and not sent yet */
static PaCluster *taken[CALLS_AT_ONCE];
static int	taken_count;
static int	taken_done;

void
pa_dispatch_set_source(uint64 system_identifier, Oid database, uint64 epoch)
{
	snprintf(source, sizeof(source), UINT64_FORMAT "/%u",
			 system_identifier, database);
	order_timeline = GetWALInsertionTimeLine();
	order_epoch = epoch;
	order_counter = 0;
}

int64
pa_dispatch_calls_sent(void)
{
	return (int64) last_call_id;
}

/*
 * Servers
 */

/* an option that need not be given */
static char *
encode_option(const char *text)
{
	return text ? pa_wire_text_encode(text) : (char *) "";
}

/*
 * The courier knows servers by name.  One that UTF-8 does not have must not
 * become the name of another.
 */
static char *
wire_server_name(const PaServer *server)
{
	char	   *name = pa_wire_text_encode_name(server->name);

	return name ? name : psprintf("server %u of %s", server->options.oid,
								  pa_wire_text_encode(server->name));
}

static void
send_configure(const PaServer *server)
{
	Courier__Frame frame = COURIER__FRAME__INIT;
	Courier__Configure configure = COURIER__CONFIGURE__INIT;

	configure.server_name = wire_server_name(server);
	configure.generation = server->generation;
	configure.target = pa_wire_text_encode(server->options.target);
	configure.connect_timeout_ms = server->options.connect_timeout;
	configure.keepalive_time_ms = server->options.keepalive_time;
	configure.max_message_size = server->options.max_message_size;
	configure.round_robin = server->options.round_robin;
	/* a stream is with one agent: it would leave the others without calls */
	configure.streaming = !server->options.streaming_off &&
		!server->options.round_robin;
	configure.tls = server->options.tls;
	configure.root_cert_file = encode_option(server->options.root_cert_file);
	configure.cert_file = encode_option(server->options.cert_file);
	configure.key_file = encode_option(server->options.key_file);
	configure.tls_server_name = encode_option(server->options.tls_server_name);
	configure.auth_token_file = encode_option(server->options.auth_token_file);
	frame.body_case = COURIER__FRAME__BODY_CONFIGURE;
	frame.configure = &configure;
	pa_courier_send(&frame);
}

static void
send_remove(const PaServer *server)
{
	Courier__Frame frame = COURIER__FRAME__INIT;
	Courier__Remove message = COURIER__REMOVE__INIT;

	message.server_name = wire_server_name(server);
	frame.body_case = COURIER__FRAME__BODY_REMOVE;
	frame.remove = &message;
	pa_courier_send(&frame);
}

static void
copy_options(PaServer *server, const PaAgentServer *options)
{
	MemoryContext old = MemoryContextSwitchTo(server_context);

	pa_agent_option_free_texts(&server->options);
	server->options = *options;
	server->options.server_name = server->name;
	pa_agent_option_own_texts(&server->options);
	MemoryContextSwitchTo(old);
}

void
pa_dispatch_servers(TimestampTz now)
{
	List	   *defined = pa_agent_server_list();
	List	   *known = pa_queue_servers();
	ListCell   *cell;

	if (server_context == NULL)
		server_context = AllocSetContextCreate(TopMemoryContext,
											   "power_action agent servers",
											   ALLOCSET_DEFAULT_SIZES);

	foreach(cell, defined)
	{
		const PaAgentServer *options = lfirst(cell);
		PaServer   *server = pa_queue_server(options->server_name);
		bool		connect = !server->defined ||
			!pa_agent_option_same_connection(&server->options, options);

		/* an administrator who alters a stopped server wants it to go on */
		if (server->state == PA_AGENT_STOPPED &&
			server->options.version != options->version)
			connect = true;
		copy_options(server, options);
		server->defined = true;
		server->changed = true;
		known = list_delete_ptr(known, server);
		if (!connect)
			continue;
		server->generation = ++last_generation;
		server->lacks_states = false;
		pa_queue_set_server_state(server, PA_AGENT_CONNECTING, NULL, now);
		send_configure(server);
	}

	foreach(cell, known)
	{
		PaServer   *server = lfirst(cell);

		if (!server->defined)
			continue;
		server->defined = false;
		server->generation = ++last_generation;
		pa_queue_set_server_state(server, PA_AGENT_UNREACHABLE,
								  "the foreign server does not exist", now);
		pa_shared_forget_agent(server->name);
		send_remove(server);
	}
}

void
pa_dispatch_courier_lost(TimestampTz now)
{
	List	   *servers = pa_queue_servers();
	ListCell   *cell;

	foreach(cell, servers)
	{
		PaServer   *server = lfirst(cell);

		if (server->state == PA_AGENT_READY)
			pa_queue_set_server_state(server, PA_AGENT_CONNECTING, NULL, now);
	}
}

void
pa_dispatch_tell_courier(void)
{
	List	   *servers = pa_queue_servers();
	ListCell   *cell;

	foreach(cell, servers)
	{
		PaServer   *server = lfirst(cell);

		if (!server->defined)
			continue;
		server->generation = ++last_generation;
		send_configure(server);
	}
}

void
pa_dispatch_connectivity(const Courier__Connectivity *word, TimestampTz now)
{
	PaServer   *server = pa_queue_find_generation(word->generation);
	const char *message = pa_wire_text_decode(word->message);
	PaAgentState state;

	if (server == NULL || !server->defined ||
		server->state == PA_AGENT_STOPPED)
		return;

	switch (word->state)
	{
		case COURIER__CONNECTIVITY_STATE__CONNECTIVITY_READY:
			state = PA_AGENT_READY;
			break;
		case COURIER__CONNECTIVITY_STATE__CONNECTIVITY_FAILED:
			state = PA_AGENT_UNREACHABLE;
			break;
		default:
			/* on its way back; it stays what it was until it is there */
			state = server->state == PA_AGENT_UNREACHABLE ?
				PA_AGENT_UNREACHABLE : PA_AGENT_CONNECTING;
			break;
	}

	if (state != server->state && state == PA_AGENT_UNREACHABLE)
		ereport(LOG,
				(errmsg("power_action agent \"%s\" cannot be reached: %s",
						server->name, message),
				 errdetail("Its actions wait; the connection is tried again.")));
	else if (state == PA_AGENT_READY && server->state == PA_AGENT_UNREACHABLE)
		ereport(LOG,
				(errmsg("power_action agent \"%s\" is connected",
						server->name)));
	pa_queue_set_server_state(server, state, message, now);
}

/*
 * Calls
 */

/* The part of a cluster's jobs that its next call answers. */
static void
choose_group(PaCluster *cluster)
{
	PaJob	   *first = pa_queue_first_job(cluster);
	bool		open = true;
	dlist_iter	iter;

	/* of every job: those behind may have been in an earlier call */
	dlist_foreach(iter, &cluster->jobs)
	{
		PaJob	   *job = dlist_container(PaJob, node, iter.cur);

		job->in_call = open && job->action == first->action;
		/* a refresh after an order tells something else than one before */
		if (first->action == PA_ACTION_REFRESH && !job->in_call)
			open = false;
	}
}

/* What makes a call impossible: the group's events fail. */
static void
fail_group(PaCluster *cluster, int code, const char *message)
{
	PaUnit	   *unit;
	dlist_iter	iter;

	choose_group(cluster);
	unit = pa_unit_make(cluster);
	dlist_foreach(iter, &cluster->jobs)
	{
		PaJob	   *job = dlist_container(PaJob, node, iter.cur);
		PaOutcome  *outcome;

		if (!job->in_call)
			continue;
		outcome = pa_unit_add(unit, job, PA_EVENT_FAILED);
		outcome->agent_result = pa_ending_result(job);
		pa_unit_fail(unit, outcome, PA_ERROR_REQUEST, pa_status_name(code),
					 message);
	}
	pa_ending_leave_unknown(unit, pa_queue_first_job(cluster), cluster);
	pa_unit_submit(unit);
}

/* The instances of the call, kept with the cluster until it is answered. */
static void
keep_instances(PaCluster *cluster, const PaTarget *target)
{
	MemoryContext old;

	pa_queue_drop_call_data(cluster);
	cluster->call_context = AllocSetContextCreate(TopMemoryContext,
												  "power_action call",
												  ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(cluster->call_context);
	cluster->row = target->row;
	cluster->instance_count = target->instance_count;
	cluster->instance_ids = palloc(sizeof(char *) * target->instance_count);
	cluster->instance_rows = palloc(sizeof(ItemPointerData) *
									target->instance_count);
	cluster->instance_states = palloc(sizeof(int) * target->instance_count);
	for (int i = 0; i < target->instance_count; i++)
	{
		cluster->instance_ids[i] = pstrdup(target->instance_ids[i]);
		cluster->instance_rows[i] = target->instance_rows[i];
		cluster->instance_states[i] = -1;
	}
	MemoryContextSwitchTo(old);
}

static Courier__Method
method_of(PaAction action, bool asking)
{
	if (asking || action == PA_ACTION_REFRESH)
		return COURIER__METHOD__METHOD_GET_POWER_STATE;
	return action == PA_ACTION_POWER_ON ?
		COURIER__METHOD__METHOD_POWER_ON : COURIER__METHOD__METHOD_POWER_OFF;
}

static const char *
account_of_call(const PaCluster *cluster, const PaTarget *target)
{
	return cluster->server->options.send_account_id ?
		target->account_id : target->account_name;
}

/*
 * How long the call may wait in the courier, in ms.  Then what is to be done
 * with the cluster is decided anew; nothing is done that has expired.
 */
static uint32
start_within(PaCluster *cluster, TimestampTz now)
{
	TimestampTz expires_at = DT_NOBEGIN;
	dlist_iter	iter;
	int64		left;

	dlist_foreach(iter, &cluster->jobs)
	{
		const PaJob *job = dlist_container(PaJob, node, iter.cur);

		if (!job->in_call)
			continue;
		/* what an agent has taken is not too late */
		if (cluster->confirming || job->agent_result == PA_RESULT_ACCEPTED)
			return LONGEST_WAIT;
		expires_at = Max(expires_at, job->expires_at);
	}
	left = TimestampDifferenceMilliseconds(now, expires_at);
	return (uint32) Max(1, Min(left, LONGEST_WAIT));
}

static void
send_call(PaCluster *cluster, const PaTarget *target, TimestampTz now)
{
	PaServer   *server = cluster->server;
	PaJob	   *first = pa_queue_first_job(cluster);
	Courier__Frame frame = COURIER__FRAME__INIT;
	Courier__Call call = COURIER__CALL__INIT;
	char		request_id[128];
	char	  **ids;

	/*
	 * An event id alone may come again: what a standby had not received when
	 * it was promoted leaves its ids to others, and an extension that is
	 * dropped and made again begins anew.
	 */
	snprintf(request_id, sizeof(request_id),
			 "%s/" INT64_FORMAT "/" INT64_FORMAT,
			 source, first->event_id, first->requested_at);
	ids = palloc(sizeof(char *) * Max(cluster->instance_count, 1));
	for (int i = 0; i < cluster->instance_count; i++)
		ids[i] = pa_wire_text_encode(cluster->instance_ids[i]);

	call.call_id = ++last_call_id;
	call.server_name = wire_server_name(server);
	call.method = method_of(first->action, cluster->asking);
	call.timeout_ms = server->options.call_timeout;
	call.account = pa_wire_text_encode(account_of_call(cluster, target));
	call.region = pa_wire_text_encode(target->region);
	call.cluster_id = pa_wire_text_encode(cluster->cluster_id);
	call.n_instance_ids = cluster->instance_count;
	call.instance_ids = ids;
	call.requester = pa_wire_text_encode(first->triggered_by);
	call.description = pa_wire_text_encode(first->description);
	call.request_id = request_id;
	call.attempt = first->attempts + (cluster->confirming ? 0 : 1);
	call.order_timeline = order_timeline;
	call.order_epoch = order_epoch;
	call.order_counter = ++order_counter;
	call.source = source;
	call.start_within_ms = start_within(cluster, now);
	call.max_concurrent_calls = server->options.max_concurrent_calls;
	frame.body_case = COURIER__FRAME__BODY_CALL;
	frame.call = &call;
	pa_courier_send(&frame);
	pa_queue_start_call(cluster, call.call_id, now);
}

/* NULL if all names can be told to the agent; or what is wrong with one. */
static char *
name_that_cannot_be_sent(const PaCluster *cluster, const PaTarget *target)
{
	const char *names[] = {
		cluster->cluster_id, account_of_call(cluster, target), target->region
	};
	const char *kinds[] = {"cluster_id", "account", "region", "instance_id"};

	for (int i = 0; i < 3 + target->instance_count; i++)
	{
		const char *name = i < 3 ? names[i] : target->instance_ids[i - 3];

		if (pa_wire_text_encode_name(name) == NULL)
			return psprintf("%s \"%s\" cannot be sent: it is not valid in the encoding of the database, or UTF-8 does not have it",
							kinds[Min(i, 3)],
							pa_wire_text_decode(pa_wire_text_encode(name)));
	}
	return NULL;
}

/* A cluster with what was read of it: its call, or why there is none. */
static void
dispatch_cluster(PaCluster *cluster, const PaTarget *target, TimestampTz now)
{
	char	   *problem;

	if (pa_queue_first_job(cluster)->action == PA_ACTION_INVALID)
		fail_group(cluster, PA_STATUS_INTERNAL, "the event does not exist");
	else if (!target->found)
		fail_group(cluster, PA_STATUS_NOT_FOUND,
				   psprintf("cluster \"%s\" does not exist any more",
							cluster->cluster_id));
	else if (target->terminated)
		fail_group(cluster, PA_STATUS_FAILED_PRECONDITION,
				   psprintf("cluster \"%s\" is terminated",
							cluster->cluster_id));
	else if (target->instance_count == 0)
		fail_group(cluster, PA_STATUS_FAILED_PRECONDITION,
				   psprintf("cluster \"%s\" has no instances",
							cluster->cluster_id));
	else if (cluster->server->options.send_account_id &&
			 target->account_id == NULL)
		fail_group(cluster, PA_STATUS_FAILED_PRECONDITION,
				   psprintf("account \"%s\" has no account_id, which server \"%s\" sends",
							target->account_name, cluster->server->name));
	else if (!cluster->confirming &&
			 (problem = name_that_cannot_be_sent(cluster, target)) != NULL)
		fail_group(cluster, PA_STATUS_FAILED_PRECONDITION, problem);
	else
	{
		/* who only asks again keeps to the instances that were ordered */
		if (!cluster->confirming)
		{
			choose_group(cluster);
			keep_instances(cluster, target);
			cluster->asking =
				pa_queue_first_job(cluster)->action == PA_ACTION_REFRESH;
		}
		else
		{
			cluster->row = target->row;
			cluster->asking = true;
		}
		send_call(cluster, target, now);
	}
}

bool
pa_dispatch_has_work(void)
{
	List	   *servers;
	ListCell   *cell;
	bool		found = false;

	if (!pa_enabled)
		return false;
	servers = pa_queue_servers();
	foreach(cell, servers)
	{
		PaServer   *server = lfirst(cell);

		if (server->state == PA_AGENT_READY && server->held > 0 &&
			pa_queue_room(server) > 0)
		{
			found = true;
			break;
		}
	}
	list_free(servers);
	return found;
}

void
pa_dispatch_calls(TimestampTz now)
{
	List	   *servers = pa_queue_servers();
	char	  **ids = palloc(sizeof(char *) * CALLS_AT_ONCE);
	PaTarget   *targets;
	ListCell   *cell;

	if (!pa_enabled)
		return;
	/* left from a cycle that failed and whose recovery failed, too */
	pa_dispatch_recover();
	taken_count = taken_done = 0;
	foreach(cell, servers)
	{
		PaServer   *server = lfirst(cell);
		int			room = pa_queue_room(server);

		if (server->state != PA_AGENT_READY)
			continue;
		for (; room > 0 && taken_count < CALLS_AT_ONCE; room--)
		{
			PaCluster  *cluster = pa_queue_next_ready(server);

			if (cluster == NULL)
				break;
			pa_queue_write(cluster);
			ids[taken_count] = cluster->cluster_id;
			taken[taken_count++] = cluster;
		}
	}
	if (taken_count == 0)
		return;

	targets = pa_target_store_read(ids, taken_count);
	for (; taken_done < taken_count; taken_done++)
		dispatch_cluster(taken[taken_done], &targets[taken_done], now);
}

void
pa_dispatch_recover(void)
{
	for (; taken_done < taken_count; taken_done++)
	{
		if (taken[taken_done]->state != PA_CLUSTER_WRITING)
			continue;
		if (taken[taken_done]->confirming)
			pa_queue_make_ready(taken[taken_done]);
		else
			pa_queue_load(taken[taken_done]);
	}
}

void
pa_dispatch_cancel(PaCluster *cluster)
{
	Courier__Frame frame = COURIER__FRAME__INIT;
	Courier__Cancel message = COURIER__CANCEL__INIT;

	if (cluster->cancelling)
		return;
	cluster->cancelling = true;
	message.call_id = cluster->call_id;
	frame.body_case = COURIER__FRAME__BODY_CANCEL;
	frame.cancel = &message;
	pa_courier_send(&frame);
}
