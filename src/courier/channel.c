/*-------------------------------------------------------------------------
 *
 * src/courier/channel.c
 *		The servers that the worker configured and their connections.
 *
 * See channel.h.  A watch is kept pending for every server in the table: it
 * tells changes, and it makes the completion queue poll the channel, without
 * which core notices a returned agent only every few seconds.
 *
 * Two counts.  "users": the table, calls, the probe; with the last one the
 * channel is destroyed, which ends a pending watch.  "pins": all users
 * together, and the watch; with the last one the memory goes.
 *
 *-------------------------------------------------------------------------
 */
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <grpc/grpc_security.h>
#include <grpc/support/alloc.h>

#include "channel.h"
#include "delivery.h"
#include "frame_format.h"
#include "output.h"
#include "text.h"
#include "unary.h"

#define USER_AGENT				"power_action/1.0"
#define DEFAULT_MESSAGE_SIZE	(4 * 1024 * 1024)
#define INITIAL_BACKOFF_MS		100
#define MAX_BACKOFF_MS			1000
#define MAX_KEEPALIVE_TIMEOUT_MS	10000
#define RESOLVE_AGAIN_MS		1000
#define METADATA_LIMIT			(64 * 1024)

/* how often the reason of a failure that lasts is looked up again */
#define REASON_INTERVAL_MS		2000
#define PROBE_TIMEOUT_MS		500

#define METHODS					4	/* indexed by Courier__Method */

struct PaServer
{
	PaServer   *next;			/* in the table */
	char	   *name;
	uint64_t	generation;
	char	   *target;			/* as gRPC spells it */
	bool		usable;
	grpc_channel *channel;
	void	   *methods[METHODS];

	atomic_uint users;
	atomic_uint pins;

	/*
	 * The guard makes "retired" and starting a watch or a probe exclude each
	 * other: nothing is started on the queue once all servers are retired.
	 */
	pthread_mutex_t guard;
	bool		retired;

	/* the rest is the completion thread's */
	PaTag		watch;
	grpc_connectivity_state state;
	bool		reported;		/* "state" with "reason" was told */
	char		reason[PA_TEXT_MESSAGE_LIMIT + 1];
	bool		probing;
	PaTag		probe;
	PaUnary		probe_call;
};

static grpc_completion_queue *queue;
static PaServer *servers;

static const char *const method_names[METHODS] = {
	[COURIER__METHOD__METHOD_POWER_ON] =
	"/agent.AgentService/PowerOnCluster",
	[COURIER__METHOD__METHOD_POWER_OFF] =
	"/agent.AgentService/PowerOffCluster",
	[COURIER__METHOD__METHOD_GET_POWER_STATE] =
	"/agent.AgentService/GetClusterPowerState"
};

static void watch_done(PaTag *tag, bool success);
static void probe_done(PaTag *tag, bool success);

void
pa_channel_begin(grpc_completion_queue *completion_queue)
{
	queue = completion_queue;
}

/* Where TLS and the tokens of calls will have their place. */
static grpc_channel_credentials *
make_credentials(const Courier__Configure *configure)
{
	return grpc_insecure_credentials_create();
}

static void
add_integer(grpc_channel_args *args, const char *key, int64_t value)
{
	grpc_arg   *arg = &args->args[args->num_args++];

	arg->type = GRPC_ARG_INTEGER;
	arg->key = (char *) key;
	arg->value.integer = value > INT_MAX ? INT_MAX : (int) value;
}

static void
add_string(grpc_channel_args *args, const char *key, const char *value)
{
	grpc_arg   *arg = &args->args[args->num_args++];

	arg->type = GRPC_ARG_STRING;
	arg->key = (char *) key;
	arg->value.string = (char *) value;
}

static grpc_channel *
make_channel(const Courier__Configure *configure, const char *target)
{
	grpc_arg	storage[32];
	grpc_channel_args args = {0, storage};
	grpc_channel_credentials *credentials = make_credentials(configure);
	grpc_channel *channel;
	uint32_t	message_size = configure->max_message_size;

	if (message_size == 0)
		message_size = DEFAULT_MESSAGE_SIZE;

	/* repeating calls is the worker's business */
	add_integer(&args, GRPC_ARG_ENABLE_RETRIES, 0);
	add_string(&args, GRPC_ARG_PRIMARY_USER_AGENT_STRING, USER_AGENT);

	/* a replaced server makes connections of its own, with its options */
	add_integer(&args, GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);

	add_integer(&args, GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS,
				INITIAL_BACKOFF_MS);
	add_integer(&args, GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, MAX_BACKOFF_MS);
	/* in spite of its name: the time limit of one attempt to connect */
	if (configure->connect_timeout_ms > 0)
		add_integer(&args, GRPC_ARG_MIN_RECONNECT_BACKOFF_MS,
					configure->connect_timeout_ms);
	add_integer(&args, GRPC_ARG_CLIENT_IDLE_TIMEOUT_MS, INT_MAX);

	/*
	 * Pings only while calls are in flight: a strict agent drops a client
	 * that pings an idle connection.  Without the third argument core stops
	 * pinging after two of them in a long call.
	 */
	if (configure->keepalive_time_ms > 0)
	{
		uint32_t	timeout = configure->keepalive_time_ms;

		if (timeout > MAX_KEEPALIVE_TIMEOUT_MS)
			timeout = MAX_KEEPALIVE_TIMEOUT_MS;
		add_integer(&args, GRPC_ARG_KEEPALIVE_TIME_MS,
					configure->keepalive_time_ms);
		add_integer(&args, GRPC_ARG_KEEPALIVE_TIMEOUT_MS, timeout);
		add_integer(&args, GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
	}
	else
		add_integer(&args, GRPC_ARG_KEEPALIVE_TIME_MS, INT_MAX);
	add_integer(&args, GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 0);

	add_integer(&args, GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, message_size);
	add_integer(&args, GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, PA_FRAME_LIMIT);
	add_integer(&args, GRPC_ARG_MAX_METADATA_SIZE, METADATA_LIMIT);

	/* the options of the server decide, not DNS records or a proxy variable */
	add_string(&args, GRPC_ARG_LB_POLICY_NAME,
			   configure->round_robin ? "round_robin" : "pick_first");
	add_integer(&args, GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
	add_integer(&args, GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS,
				RESOLVE_AGAIN_MS);
	add_integer(&args, GRPC_ARG_ENABLE_HTTP_PROXY, 0);

	add_integer(&args, GRPC_ARG_ENABLE_CHANNELZ, 0);

	channel = grpc_channel_create(target, credentials, &args);
	grpc_channel_credentials_release(credentials);
	return channel;
}

static void
unpin(PaServer *server)
{
	/*
	 * Counted, which the analyzer cannot follow: who is here holds a pin.
	 * NOLINTBEGIN(clang-analyzer-unix.Malloc)
	 */
	if (atomic_fetch_sub(&server->pins, 1) != 1)
		return;
	pa_unary_destroy(&server->probe_call);
	pthread_mutex_destroy(&server->guard);
	free(server->target);
	free(server->name);
	free(server);
	/* NOLINTEND(clang-analyzer-unix.Malloc) */
}

void
pa_channel_release(PaServer *server)
{
	if (atomic_fetch_sub(&server->users, 1) != 1)
		return;
	grpc_channel_destroy(server->channel);
	unpin(server);
}

/* false: the channel is gone, or about to go */
static bool
acquire_again(PaServer *server)
{
	unsigned	users = atomic_load(&server->users);

	while (users > 0)
	{
		if (atomic_compare_exchange_weak(&server->users, &users, users + 1))
			return true;
	}
	return false;
}

static gpr_timespec
after_ms(int64_t ms)
{
	return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
						gpr_time_from_millis(ms, GPR_TIMESPAN));
}

static void
report(PaServer *server)
{
	Courier__Frame frame = COURIER__FRAME__INIT;
	Courier__Connectivity connectivity = COURIER__CONNECTIVITY__INIT;

	connectivity.server_name = server->name;
	connectivity.generation = server->generation;
	switch (server->state)
	{
		case GRPC_CHANNEL_IDLE:
			connectivity.state =
				COURIER__CONNECTIVITY_STATE__CONNECTIVITY_IDLE;
			break;
		case GRPC_CHANNEL_CONNECTING:
			connectivity.state =
				COURIER__CONNECTIVITY_STATE__CONNECTIVITY_CONNECTING;
			break;
		case GRPC_CHANNEL_READY:
			connectivity.state =
				COURIER__CONNECTIVITY_STATE__CONNECTIVITY_READY;
			break;
		default:
			connectivity.state =
				COURIER__CONNECTIVITY_STATE__CONNECTIVITY_FAILED;
			connectivity.message = server->reason;
			break;
	}
	frame.body_case = COURIER__FRAME__BODY_CONNECTIVITY;
	frame.connectivity = &connectivity;
	pa_output_add(&frame);
	server->reported = true;
}

/*
 * Core does not say why a channel fails, but a call that does not wait for a
 * connection fails at once with the reason.  The method is one that changes
 * nothing, should the agent come back in this very moment.
 */
static void
start_probe(PaServer *server)
{
	grpc_slice	method =
		grpc_slice_from_static_string("/grpc.health.v1.Health/Check");
	grpc_call  *call;

	call = grpc_channel_create_call(server->channel, NULL,
									GRPC_PROPAGATE_DEFAULTS, queue, method,
									NULL, after_ms(PROBE_TIMEOUT_MS), NULL);
	pa_unary_prepare(&server->probe_call, call, grpc_empty_slice());
	atomic_fetch_add(&server->users, 1);
	server->probing = true;
	if (!pa_unary_start(&server->probe_call, NULL, 0, &server->probe,
						probe_done))
	{
		pa_unary_clear(&server->probe_call);
		server->probing = false;
		pa_channel_release(server);
	}
}

static void
probe_done(PaTag *tag, bool success)
{
	PaServer   *server = (PaServer *) ((char *) tag -
									   offsetof(PaServer, probe));
	PaUnary    *unary = &server->probe_call;
	const char *details =
		(const char *) GRPC_SLICE_START_PTR(unary->status_details);
	char		reason[PA_TEXT_MESSAGE_LIMIT + 1] = "";

	pthread_mutex_lock(&server->guard);
	if (unary->status == GRPC_STATUS_UNAVAILABLE)
		pa_text_clean(reason, PA_TEXT_MESSAGE_LIMIT, details,
					  GRPC_SLICE_LENGTH(unary->status_details));
	if (!server->retired && server->state == GRPC_CHANNEL_TRANSIENT_FAILURE)
	{
		bool		news = reason[0] != '\0' &&
			strcmp(reason, server->reason) != 0;

		if (news)
			memcpy(server->reason, reason, sizeof(reason));
		if (news || !server->reported)
			report(server);
	}
	server->probing = false;
	pa_unary_clear(unary);
	pthread_mutex_unlock(&server->guard);

	pa_channel_release(server);
}

static void
start_watch(PaServer *server, gpr_timespec deadline)
{
	/* counted, too: who is here holds the guard of a server in use */
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
	grpc_channel *channel = server->channel;
	grpc_connectivity_state state = server->state;

	atomic_fetch_add(&server->pins, 1);
	pa_tag_arm(&server->watch, watch_done);
	grpc_channel_watch_connectivity_state(channel, state, deadline, queue,
										  &server->watch);
}

/* the state has changed, or it is time to look at it again */
static void
look(PaServer *server)
{
	/* asking also makes an idle channel connect */
	grpc_connectivity_state state =
		grpc_channel_check_connectivity_state(server->channel, 1);

	if (state != server->state)
	{
		server->state = state;
		server->reported = false;
		server->reason[0] = '\0';
	}

	if (state != GRPC_CHANNEL_TRANSIENT_FAILURE)
	{
		if (!server->reported)
			report(server);
		start_watch(server, gpr_inf_future(GPR_CLOCK_MONOTONIC));
	}
	else
	{
		if (!server->probing)
			start_probe(server);
		start_watch(server, after_ms(REASON_INTERVAL_MS));
	}
}

static void
watch_done(PaTag *tag, bool success)
{
	PaServer   *server = (PaServer *) ((char *) tag -
									   offsetof(PaServer, watch));

	if (acquire_again(server))
	{
		pthread_mutex_lock(&server->guard);
		if (!server->retired)
			look(server);
		pthread_mutex_unlock(&server->guard);
		pa_channel_release(server);
	}
	unpin(server);
}

/* takes a server out of the table; its calls go on */
static void
retire(PaServer *server)
{
	pthread_mutex_lock(&server->guard);
	server->retired = true;
	pthread_mutex_unlock(&server->guard);
	pa_channel_release(server);
}

void
pa_channel_remove(const char *server_name)
{
	for (PaServer **link = &servers; *link != NULL; link = &(*link)->next)
	{
		PaServer   *server = *link;

		if (strcmp(server->name, server_name) == 0)
		{
			*link = server->next;
			retire(server);
			return;
		}
	}
}

void
pa_channel_remove_all(void)
{
	while (servers != NULL)
	{
		PaServer   *server = servers;

		servers = server->next;
		retire(server);
	}
}

void
pa_channel_configure(const Courier__Configure *configure)
{
	PaServer   *server = calloc(1, sizeof(*server));
	char	   *target = pa_delivery_target(configure->target);
	char	   *canonical;

	if (server == NULL || target == NULL ||
		(server->name = strdup(configure->server_name)) == NULL)
		abort();				/* the worker starts another courier */

	server->generation = configure->generation;
	server->channel = make_channel(configure, target);
	free(target);
	canonical = grpc_channel_get_target(server->channel);
	server->target = strdup(canonical);
	gpr_free(canonical);
	for (int i = 0; i < METHODS; i++)
	{
		if (method_names[i] != NULL)
			server->methods[i] = grpc_channel_register_call(server->channel,
															method_names[i],
															NULL, NULL);
	}

	atomic_init(&server->users, 1);
	atomic_init(&server->pins, 1);
	pthread_mutex_init(&server->guard, NULL);

	pa_channel_remove(configure->server_name);
	server->next = servers;
	servers = server;

	pthread_mutex_lock(&server->guard);
	server->usable = configure->target[0] != '\0' &&
		grpc_channel_support_connectivity_watcher(server->channel);
	if (!server->usable)
	{
		server->state = GRPC_CHANNEL_TRANSIENT_FAILURE;
		snprintf(server->reason, sizeof(server->reason),
				 "the target is not valid");
		report(server);
		pthread_mutex_unlock(&server->guard);
		return;
	}

	/* one that ends at once lets the completion thread have a first look */
	server->state = grpc_channel_check_connectivity_state(server->channel, 1);
	start_watch(server, gpr_now(GPR_CLOCK_MONOTONIC));
	pthread_mutex_unlock(&server->guard);
}

PaServer *
pa_channel_acquire(const char *server_name)
{
	for (PaServer *server = servers; server != NULL; server = server->next)
	{
		if (strcmp(server->name, server_name) == 0)
		{
			atomic_fetch_add(&server->users, 1);
			return server;
		}
	}
	return NULL;
}

grpc_call *
pa_channel_create_call(PaServer *server, Courier__Method method,
					   gpr_timespec deadline)
{
	if ((unsigned) method >= METHODS || server->methods[method] == NULL)
		return NULL;
	return grpc_channel_create_registered_call(server->channel, NULL,
											   GRPC_PROPAGATE_DEFAULTS, queue,
											   server->methods[method],
											   deadline, NULL);
}

bool
pa_channel_usable(const PaServer *server)
{
	return server->usable;
}

const char *
pa_channel_target(const PaServer *server)
{
	return server->target;
}
