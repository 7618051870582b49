/*-------------------------------------------------------------------------
 *
 * src/courier/channel.c
 *		One channel to an agent, and what is known of its connections.
 *
 * See channel.h.  A watch is kept pending for every channel in use: it tells
 * changes, and it makes the completion queue poll the channel, without which
 * core notices a returned agent only every few seconds.
 *
 * Two counts.  "users": the server, calls, the probe; with the last one the
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
#include "program/memory.h"
#include "sharing.h"
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


struct PaChannel
{
	char	   *name;			/* of the server */
	uint64_t	generation;
	char	   *target;			/* as gRPC spells it */
	bool		usable;
	grpc_channel *channel;
	void	   *methods[METHODS];
	uint32_t	largest_message;

	/* of the reader */
	void	   *stream_method;	/* NULL: each call is its own */
	PaSharing	sharing;

	PaPace	   *pace;
	atomic_uint users;
	atomic_uint pins;

	/*
	 * The guard makes "retired" and starting a watch or a probe exclude each
	 * other: nothing is started on the queue once all channels are retired.
	 * All that follows is used under it.
	 */
	pthread_mutex_t guard;
	bool		retired;
	bool		announced;		/* the worker is told about it */
	bool		settled;		/* was READY, or failed, at least once */
	grpc_slice	authorization;	/* empty: none */
	char		note[PA_TEXT_MESSAGE_LIMIT + 1];

	PaTag		watch;
	grpc_connectivity_state state;
	bool		reported;		/* "state" with its text was told */
	char		reason[PA_TEXT_MESSAGE_LIMIT + 1];
	bool		probing;
	PaTag		probe;
	PaUnary		probe_call;
};

static grpc_completion_queue *queue;

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

static uint32_t
largest_message(const Courier__Configure *configure)
{
	return configure->max_message_size == 0 ? DEFAULT_MESSAGE_SIZE :
		configure->max_message_size;
}

static grpc_channel *
make_channel(const Courier__Configure *configure,
			 const PaCredentials *files, const char *target)
{
	grpc_arg	storage[32];
	grpc_channel_args args = {0, storage};
	grpc_channel_credentials *credentials = pa_credentials_for_channel(files);
	grpc_channel *channel;
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

	add_integer(&args, GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH,
				largest_message(configure));
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

	/* the name that the certificate must have, and that calls then carry */
	if (configure->tls && configure->tls_server_name[0] != '\0')
	{
		add_string(&args, GRPC_SSL_TARGET_NAME_OVERRIDE_ARG,
				   configure->tls_server_name);
		add_string(&args, GRPC_ARG_DEFAULT_AUTHORITY,
				   configure->tls_server_name);
	}

	channel = grpc_channel_create(target, credentials, &args);
	grpc_channel_credentials_release(credentials);
	return channel;
}

static void
unpin(PaChannel *self)
{
	/*
	 * Counted, which the analyzer cannot follow: who is here holds a pin.
	 * NOLINTBEGIN(clang-analyzer-unix.Malloc)
	 */
	if (atomic_fetch_sub(&self->pins, 1) != 1)
		return;
	pa_unary_destroy(&self->probe_call);
	pthread_mutex_destroy(&self->guard);
	grpc_slice_unref(self->authorization);
	pa_pace_release(self->pace);
	free(self->target);
	free(self->name);
	free(self);
	/* NOLINTEND(clang-analyzer-unix.Malloc) */
}

void
pa_channel_release(PaChannel *self)
{
	if (atomic_fetch_sub(&self->users, 1) != 1)
		return;
	grpc_channel_destroy(self->channel);
	unpin(self);
}

/* false: the channel is gone, or about to go */
static bool
acquire_again(PaChannel *self)
{
	unsigned	users = atomic_load(&self->users);

	while (users > 0)
	{
		if (atomic_compare_exchange_weak(&self->users, &users, users + 1))
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

void
pa_channel_tell(const char *server_name, uint64_t generation,
				grpc_connectivity_state state, const char *message)
{
	Courier__Frame frame = COURIER__FRAME__INIT;
	Courier__Connectivity connectivity = COURIER__CONNECTIVITY__INIT;

	connectivity.server_name = (char *) server_name;
	connectivity.generation = generation;
	connectivity.message = (char *) message;
	switch (state)
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
			break;
	}
	frame.body_case = COURIER__FRAME__BODY_CONNECTIVITY;
	frame.connectivity = &connectivity;
	pa_output_add(&frame);
}

/* the guard is held */
static void
report(PaChannel *self)
{
	if (!self->announced || self->retired)
		return;
	pa_channel_tell(self->name, self->generation, self->state,
					self->state == GRPC_CHANNEL_READY ? self->note :
					self->state == GRPC_CHANNEL_IDLE ||
					self->state == GRPC_CHANNEL_CONNECTING ? "" :
					self->reason);
	self->reported = true;
}

/* the guard is held; the reference to the value stays the channel's */
static size_t
authorize(PaChannel *self, grpc_metadata *metadata)
{
	if (GRPC_SLICE_IS_EMPTY(self->authorization))
		return 0;
	memset(metadata, 0, sizeof(*metadata));
	metadata->key = grpc_slice_from_static_string("authorization");
	metadata->value = self->authorization;
	return 1;
}

/*
 * Core does not say why a channel fails, but a call that does not wait for a
 * connection fails at once with the reason.  The method is one that changes
 * nothing, should the agent come back in this very moment.
 */
static void
start_probe(PaChannel *self)
{
	grpc_slice	method =
		grpc_slice_from_static_string("/grpc.health.v1.Health/Check");
	grpc_call  *call;
	grpc_metadata metadata;
	size_t		metadata_count;

	metadata_count = authorize(self, &metadata);
	call = grpc_channel_create_call(self->channel, NULL,
									GRPC_PROPAGATE_DEFAULTS, queue, method,
									NULL, after_ms(PROBE_TIMEOUT_MS), NULL);
	pa_unary_prepare(&self->probe_call, call, grpc_empty_slice());
	atomic_fetch_add(&self->users, 1);
	self->probing = true;
	if (!pa_unary_start(&self->probe_call, &metadata, metadata_count,
						&self->probe, probe_done))
	{
		pa_unary_clear(&self->probe_call);
		self->probing = false;
		pa_channel_release(self);
	}
}

static void
probe_done(PaTag *tag, bool success)
{
	PaChannel  *self = (PaChannel *) ((char *) tag -
									   offsetof(PaChannel, probe));
	PaUnary    *unary = &self->probe_call;
	const char *details =
		(const char *) GRPC_SLICE_START_PTR(unary->status_details);
	char		reason[PA_TEXT_MESSAGE_LIMIT + 1] = "";

	pthread_mutex_lock(&self->guard);
	if (unary->status == GRPC_STATUS_UNAVAILABLE)
		pa_text_clean(reason, PA_TEXT_MESSAGE_LIMIT, details,
					  GRPC_SLICE_LENGTH(unary->status_details));
	if (!self->retired && self->state == GRPC_CHANNEL_TRANSIENT_FAILURE)
	{
		bool		news = reason[0] != '\0' &&
			strcmp(reason, self->reason) != 0;

		if (news)
			memcpy(self->reason, reason, sizeof(reason));
		if (news || !self->reported)
			report(self);
	}
	self->probing = false;
	pa_unary_clear(unary);
	pthread_mutex_unlock(&self->guard);

	pa_channel_release(self);
}

static void
start_watch(PaChannel *self, gpr_timespec deadline)
{
	/* counted, too: who is here holds the guard of a channel in use */
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
	grpc_channel *channel = self->channel;
	grpc_connectivity_state state = self->state;

	atomic_fetch_add(&self->pins, 1);
	pa_tag_arm(&self->watch, watch_done);
	grpc_channel_watch_connectivity_state(channel, state, deadline, queue,
										  &self->watch);
}

/* the state has changed, or it is time to look at it again */
static void
look(PaChannel *self)
{
	/* asking also makes an idle channel connect */
	grpc_connectivity_state state =
		grpc_channel_check_connectivity_state(self->channel, 1);

	if (state != self->state)
	{
		self->state = state;
		self->reported = false;
		self->reason[0] = '\0';
	}
	if (!self->settled && (state == GRPC_CHANNEL_READY ||
						   state == GRPC_CHANNEL_TRANSIENT_FAILURE))
	{
		self->settled = true;
		if (!self->announced)
			pa_output_wake();
	}

	if (state != GRPC_CHANNEL_TRANSIENT_FAILURE)
	{
		if (!self->reported)
			report(self);
		start_watch(self, gpr_inf_future(GPR_CLOCK_MONOTONIC));
	}
	else
	{
		if (!self->probing)
			start_probe(self);
		start_watch(self, after_ms(REASON_INTERVAL_MS));
	}
}

static void
watch_done(PaTag *tag, bool success)
{
	PaChannel  *self = (PaChannel *) ((char *) tag -
									   offsetof(PaChannel, watch));

	if (acquire_again(self))
	{
		pthread_mutex_lock(&self->guard);
		if (!self->retired)
			look(self);
		pthread_mutex_unlock(&self->guard);
		pa_channel_release(self);
	}
	unpin(self);
}

PaChannel *
pa_channel_open(const Courier__Configure *configure,
				const PaCredentials *credentials, PaPace *pace)
{
	PaChannel  *self = pa_memory_allocate_zeroed(sizeof(*self));
	char	   *target = pa_delivery_target(configure->target);
	char	   *canonical;

	if (target == NULL)
		abort();				/* the worker starts another courier */
	self->name = pa_memory_copy_string(configure->server_name);
	self->generation = configure->generation;
	self->pace = pa_pace_share(pace);
	self->authorization = grpc_empty_slice();
	self->channel = make_channel(configure, credentials, target);
	free(target);
	canonical = grpc_channel_get_target(self->channel);
	self->target = pa_memory_copy_string(canonical);
	gpr_free(canonical);
	for (int i = 0; i < METHODS; i++)
	{
		if (method_names[i] != NULL)
			self->methods[i] = grpc_channel_register_call(self->channel,
														  method_names[i],
														  NULL, NULL);
	}
	self->largest_message = largest_message(configure);
	if (configure->streaming)
		self->stream_method =
			grpc_channel_register_call(self->channel,
									   "/agent.AgentService/PowerStream",
									   NULL, NULL);

	atomic_init(&self->users, 1);
	atomic_init(&self->pins, 1);
	pthread_mutex_init(&self->guard, NULL);

	pthread_mutex_lock(&self->guard);
	self->usable = configure->target[0] != '\0' &&
		grpc_channel_support_connectivity_watcher(self->channel);
	if (!self->usable)
	{
		self->state = GRPC_CHANNEL_TRANSIENT_FAILURE;
		self->settled = true;
		snprintf(self->reason, sizeof(self->reason),
				 "the target is not valid");
	}
	else
	{
		/* one that ends at once lets the completion thread have a first look */
		self->state = grpc_channel_check_connectivity_state(self->channel, 1);
		start_watch(self, gpr_now(GPR_CLOCK_MONOTONIC));
	}
	pthread_mutex_unlock(&self->guard);
	return self;
}

void
pa_channel_retire(PaChannel *self)
{
	pa_sharing_leave(&self->sharing);
	pthread_mutex_lock(&self->guard);
	self->retired = true;
	pthread_mutex_unlock(&self->guard);
	pa_channel_release(self);
}

void
pa_channel_announce(PaChannel *self)
{
	pthread_mutex_lock(&self->guard);
	self->announced = true;
	/* why it fails may still have to be found out, and is told then */
	if (self->state != GRPC_CHANNEL_IDLE &&
		(self->state != GRPC_CHANNEL_TRANSIENT_FAILURE ||
		 self->reason[0] != '\0'))
		report(self);
	pthread_mutex_unlock(&self->guard);
}

bool
pa_channel_settled(PaChannel *self)
{
	bool		result;

	pthread_mutex_lock(&self->guard);
	result = self->settled;
	pthread_mutex_unlock(&self->guard);
	return result;
}

bool
pa_channel_ready(PaChannel *self)
{
	bool		result;

	pthread_mutex_lock(&self->guard);
	result = self->state == GRPC_CHANNEL_READY;
	pthread_mutex_unlock(&self->guard);
	return result;
}

void
pa_channel_set_authorization(PaChannel *self, grpc_slice authorization)
{
	bool		changed;

	pthread_mutex_lock(&self->guard);
	changed = !grpc_slice_eq(self->authorization, authorization);
	grpc_slice_unref(self->authorization);
	self->authorization = grpc_slice_ref(authorization);
	pthread_mutex_unlock(&self->guard);
	/* a stream has that of its start */
	if (changed)
		pa_sharing_leave(&self->sharing);
}

void
pa_channel_set_note(PaChannel *self, const char *note)
{
	pthread_mutex_lock(&self->guard);
	if (strcmp(self->note, note) != 0)
	{
		snprintf(self->note, sizeof(self->note), "%s", note);
		if (self->state == GRPC_CHANNEL_READY && self->reported)
			report(self);
	}
	pthread_mutex_unlock(&self->guard);
}

void
pa_channel_acquire(PaChannel *self)
{
	atomic_fetch_add(&self->users, 1);
}

size_t
pa_channel_authorize(PaChannel *self, grpc_metadata *metadata)
{
	size_t		count;

	pthread_mutex_lock(&self->guard);
	count = authorize(self, metadata);
	if (count > 0)
		grpc_slice_ref(metadata->value);
	pthread_mutex_unlock(&self->guard);
	return count;
}

PaPace *
pa_channel_pace(const PaChannel *self)
{
	return self->pace;
}

bool
pa_channel_has_method(const PaChannel *self, Courier__Method method)
{
	return (unsigned) method < METHODS && self->methods[method] != NULL;
}

grpc_call *
pa_channel_create_call(PaChannel *self, Courier__Method method,
					   gpr_timespec deadline)
{
	return grpc_channel_create_registered_call(self->channel, NULL,
											   GRPC_PROPAGATE_DEFAULTS, queue,
											   self->methods[method],
											   deadline, NULL);
}

static void
stream_released(void *data)
{
	pa_channel_release(data);
}

static void
open_stream(PaChannel *self, int64_t now)
{
	grpc_metadata metadata[1];
	size_t		metadata_count = pa_channel_authorize(self, metadata);
	grpc_call  *call =
		grpc_channel_create_registered_call(self->channel, NULL,
											GRPC_PROPAGATE_DEFAULTS, queue,
											self->stream_method,
											gpr_inf_future(GPR_CLOCK_MONOTONIC),
											NULL);
	PaStream   *stream;

	pa_channel_acquire(self);
	stream = pa_stream_open(call, metadata, metadata_count,
							self->largest_message, stream_released, self);
	pa_sharing_opened(&self->sharing, stream, now);
	for (size_t i = 0; i < metadata_count; i++)
		grpc_slice_unref(metadata[i].value);
}

PaStream *
pa_channel_stream(PaChannel *self, int64_t now)
{
	PaStream   *stream;
	bool		wanted;

	if (self->stream_method == NULL)
		return NULL;
	stream = pa_sharing_stream(&self->sharing, pa_pace_started(self->pace), now,
							   &wanted);
	if (wanted && pa_channel_ready(self))
		open_stream(self, now);
	return stream;
}

bool
pa_channel_usable(const PaChannel *self)
{
	return self->usable;
}

const char *
pa_channel_target(const PaChannel *self)
{
	return self->target;
}
