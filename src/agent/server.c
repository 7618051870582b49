/*-------------------------------------------------------------------------
 *
 * src/agent/server.c
 *		The gRPC server: a completion queue, and the threads that serve it.
 *		Contract in server.h; the lives of calls are in call.c and stream.c.
 *
 * For each method a number of requests for calls is always posted, each with
 * a PaCall from the pool, so that a burst needs no turn-round.  The payload
 * comes with the call (the methods are registered that way), and an answer
 * that is known at once is one batch: two events a call.  Only a call that
 * has to wait is watched for the client's end of patience.
 *
 * One lock covers everything but the waiting in the completion queue.  Timers
 * and the completions of the provider have a thread of their own, the clock:
 * the queue cannot be woken by anything that is not gRPC.  More serving
 * threads do not make it faster (gRPC core's own work is the cost), they only
 * keep one slow system call from holding up everybody.
 *
 *-------------------------------------------------------------------------
 */
/* for ppoll */
#define _GNU_SOURCE 1

#include "server.h"

#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc_security.h>
#include <grpc/support/time.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "call.h"
#include "health.h"
#include "metric.h"
#include "program/bearer.h"
#include "program/clock.h"
#include "program/memory.h"
#include "status_name.h"
#include "stream.h"

#define POSTED_CALLS		256 /* for each method of the service */
#define POSTED_UNKNOWN		4	/* for methods that are not ours */
#define POSTED_STREAMS		16
#define MAX_METADATA		(PA_BEARER_LIMIT + 8192)	/* bytes a call */

/* times that the watchdog's is divided by: so often a thread goes round ... */
#define TURNS				8
/* ... and so often it is looked whether all of them have */
#define LOOKS				4

static const char *const method_paths[] = {
	[PA_METHOD_POWER_ON] = "/agent.AgentService/PowerOnCluster",
	[PA_METHOD_POWER_OFF] = "/agent.AgentService/PowerOffCluster",
	[PA_METHOD_GET_STATE] = "/agent.AgentService/GetClusterPowerState",
	[PA_METHOD_HEALTH] = PA_HEALTH_PATH,
	[PA_METHOD_STREAM] = "/agent.AgentService/PowerStream"
};

#define METHOD_COUNT		((int) (sizeof(method_paths) / sizeof(method_paths[0])))

typedef struct ServingThread
{
	PaServer   *server;
	pthread_t	thread;
	bool		turned;			/* has gone round since the last look */
} ServingThread;

struct PaServer
{
	PaServerOptions options;
	PaTls	   *tls;			/* NULL: none */
	PaService  *service;
	PaTimers   *timers;
	grpc_server *grpc;
	grpc_completion_queue *queue;
	void	   *methods[METHOD_COUNT];	/* NULL: not one to register */
	ServingThread *threads;
	int			thread_count;
	pthread_mutex_t lock;

	PaCallPool	pool;
	PaStreams	streams;
	bool		draining;
	bool		impatient;		/* the drain timeout has passed */
	bool		shut_down;		/* core has no more calls */
	bool		queue_shut_down;
	PaTimer		drain_timer;
	PaTag		shutdown_tag;

	pthread_t	clock;
	bool		clock_started;
	int			wakeup;			/* an eventfd that ends the clock's sleep */
	int64_t		clock_until;	/* how long it sleeps */
	PaTimer		watch_timer;
	bool		alive;			/* to be told */
};

static void
post_call(PaServer *server, PaMethod method)
{
	PaCall	   *call = pa_call_take(&server->pool);

	call->method = method;
	if (method == PA_METHOD_UNKNOWN)
	{
		grpc_call_details_init(&call->details);
		grpc_server_request_call(server->grpc, &call->call, &call->details,
								 &call->metadata, server->queue,
								 server->queue, &call->received);
	}
	else
		grpc_server_request_registered_call(server->grpc,
											server->methods[method],
											&call->call, &call->deadline,
											&call->metadata,
											method == PA_METHOD_STREAM ? NULL :
											&call->payload,
											server->queue, server->queue,
											&call->received);
}

static void
answer_health(PaCall *call, const uint8_t *bytes, size_t length)
{
	uint8_t		reply[PA_HEALTH_REPLY];
	size_t		reply_length = 0;
	const char *message = NULL;
	int			status = pa_health_check(bytes, length, reply, &reply_length,
										 &message);

	pa_call_answer(call, status, message, reply, reply_length);
	pa_call_close(call);
}

static void
take_request(PaServer *server, PaCall *call, const uint8_t *bytes, size_t length)
{
	if (call->method == PA_METHOD_HEALTH)
		answer_health(call, bytes, length);
	else
		pa_service_receive(server->service, call, bytes, length);
}

/* hands the request on, without a copy where it is in one piece */
static void
receive_payload(PaServer *server, PaCall *call)
{
	grpc_byte_buffer_reader reader;
	grpc_slice	slice;

	if (!grpc_byte_buffer_reader_init(&reader, call->payload))
	{
		take_request(server, call, NULL, 0);
		return;
	}
	slice = grpc_byte_buffer_reader_readall(&reader);
	grpc_byte_buffer_reader_destroy(&reader);
	take_request(server, call, GRPC_SLICE_START_PTR(slice),
				 GRPC_SLICE_LENGTH(slice));
	grpc_slice_unref(slice);
}

/*
 * Who asks for the health has none, and learns no more than that.  Clients
 * that find no Watch there, which is UNIMPLEMENTED, do without; with any other
 * status some send nothing to the agent at all.
 */
static bool
needs_token(const PaCall *call)
{
	if (call->method == PA_METHOD_UNKNOWN)
	{
		const grpc_slice *path = &call->details.method;
		size_t		length = strlen(PA_HEALTH_SERVICE);

		return GRPC_SLICE_LENGTH(*path) < length ||
			memcmp(GRPC_SLICE_START_PTR(*path), PA_HEALTH_SERVICE, length) != 0;
	}
	return call->method != PA_METHOD_HEALTH;
}

static void
receive(PaServer *server, PaCall *call, bool success)
{
	if (!success)
	{
		pa_call_release(call);
		return;
	}
	pa_call_begin(call);
	call->received_at = pa_clock_now();
	pa_metric_call_begin(call->method);
	if (!server->draining)
		post_call(server, call->method);

	if (needs_token(call) && !pa_service_admit(server->service, call))
		return;
	if (call->method == PA_METHOD_UNKNOWN)
	{
		pa_call_answer(call, PA_STATUS_UNIMPLEMENTED, "unknown method", NULL, 0);
		pa_call_close(call);
		return;
	}
	if (call->method == PA_METHOD_STREAM)
	{
		pa_stream_begin(&server->streams, call);
		return;
	}
	if (call->payload == NULL)
	{
		pa_call_answer(call, PA_STATUS_INVALID_ARGUMENT,
					   "the call came without a request message", NULL, 0);
		pa_call_close(call);
		return;
	}

	/* the service may be done with the call before it returns */
	pa_call_retain(call);
	receive_payload(server, call);
	if (!call->answered)
		pa_call_watch(call);
	pa_call_release(call);
}

static void
handle(PaServer *server, PaTag *tag, bool success)
{
	switch (tag->kind)
	{
		case PA_TAG_RECEIVED:
			receive(server, tag->call, success);
			break;
		case PA_TAG_CLOSED:
			if (!tag->call->answered)
				pa_service_cancelled(server->service, tag->call);
			pa_call_end_batch(tag->call);
			break;
		case PA_TAG_SENT:
			pa_call_end_batch(tag->call);
			break;
		case PA_TAG_STREAM_RECEIVED:
		case PA_TAG_STREAM_SENT:
		case PA_TAG_STREAM_CLOSED:
		case PA_TAG_STREAM_ENDED:
			pa_stream_go_on(tag, success);
			break;
		case PA_TAG_SHUTDOWN:
			server->shut_down = true;
			break;
	}
}

/* makes the clock thread look round; from any thread, with any lock */
static void
wake(void *data)
{
	PaServer   *server = data;
	uint64_t	one = 1;
	ssize_t		ignored;

	/* fails only if it is full, and then it is awake already */
	ignored = write(server->wakeup, &one, sizeof(one));
	(void) ignored;
}

/* after the last call and the last order the queue may go */
static void
finish_drain(PaServer *server)
{
	if (server->queue_shut_down || !server->shut_down ||
		server->pool.live > 0 ||
		(!server->impatient && pa_service_busy(server->service)))
		return;
	server->queue_shut_down = true;
	grpc_completion_queue_shutdown(server->queue);
	wake(server);
}

/* how long to wait for an event: without a watchdog, until there is one */
static gpr_timespec
end_of_turn(const PaServer *server)
{
	if (server->options.watchdog == 0)
		return gpr_inf_future(GPR_CLOCK_MONOTONIC);
	return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
						gpr_time_from_micros(server->options.watchdog / TURNS,
											 GPR_TIMESPAN));
}

static void *
serve(void *data)
{
	ServingThread *thread = data;
	PaServer   *server = thread->server;

	for (;;)
	{
		grpc_event	event =
			grpc_completion_queue_next(server->queue, end_of_turn(server), NULL);

		if (event.type == GRPC_QUEUE_SHUTDOWN)
			break;
		pthread_mutex_lock(&server->lock);
		thread->turned = true;
		if (event.type == GRPC_OP_COMPLETE)
			handle(server, event.tag, event.success);
		pa_streams_flush(&server->streams);
		if (server->draining)
			finish_drain(server);
		if (pa_timer_next(server->timers) < server->clock_until)
		{
			server->clock_until = INT64_MIN;
			wake(server);
		}
		pthread_mutex_unlock(&server->lock);
	}
	return NULL;
}

/* waits until "until" on the clock of the timers, or for a wake-up */
static void
sleep_until(PaServer *server, int64_t until)
{
	struct pollfd fd = {.fd = server->wakeup, .events = POLLIN};
	struct timespec timeout = {0};
	int64_t		left = until == INT64_MAX ? 0 : until - pa_clock_now();
	uint64_t	count;

	if (left > 0)
	{
		timeout.tv_sec = left / 1000000;
		timeout.tv_nsec = left % 1000000 * 1000;
	}
	if (ppoll(&fd, 1, until == INT64_MAX ? NULL : &timeout, NULL) > 0)
	{
		ssize_t		ignored = read(server->wakeup, &count, sizeof(count));

		(void) ignored;
	}
}

/* a sign of life is due if every thread has gone round, this one included */
static void
look_round(PaTimer *timer)
{
	PaServer   *server = PA_CONTAINER(timer, PaServer, watch_timer);
	bool		all = true;

	for (int i = 0; i < server->thread_count; i++)
		all = all && server->threads[i].turned;
	for (int i = 0; all && i < server->thread_count; i++)
		server->threads[i].turned = false;
	server->alive = all;
	pa_timer_set(server->timers, timer,
				 pa_clock_now() + server->options.watchdog / LOOKS, look_round);
}

/* runs the timers, and goes on with what the provider has done */
static void *
keep_time(void *data)
{
	PaServer   *server = data;

	for (;;)
	{
		int64_t		until;
		bool		over;
		bool		alive;

		pthread_mutex_lock(&server->lock);
		if (pa_timer_next(server->timers) != INT64_MAX)
			pa_timer_run(server->timers, pa_clock_now());
		pa_service_take_done(server->service);
		pa_streams_flush(&server->streams);
		if (server->draining)
			finish_drain(server);
		until = server->clock_until = pa_timer_next(server->timers);
		over = server->queue_shut_down;
		alive = server->alive;
		server->alive = false;
		pthread_mutex_unlock(&server->lock);
		if (over)
			break;
		if (alive)
			server->options.alive();
		sleep_until(server, until);
	}
	return NULL;
}

static void
drain_over(PaTimer *timer)
{
	PaServer   *server = PA_CONTAINER(timer, PaServer, drain_timer);

	server->impatient = true;
	/* first: with each call that ends another's turn may come */
	pa_service_end(server->service);
	grpc_server_cancel_all_calls(server->grpc);
}

void
pa_server_drain(PaServer *server)
{
	pthread_mutex_lock(&server->lock);
	if (!server->draining)
	{
		server->draining = true;
		grpc_server_shutdown_and_notify(server->grpc, server->queue,
										&server->shutdown_tag);
		pa_streams_drain(&server->streams);
		pa_timer_set(server->timers, &server->drain_timer,
					 pa_clock_now() + server->options.drain_timeout, drain_over);
	}
	else if (!server->impatient)
		pa_timer_set(server->timers, &server->drain_timer, 0, drain_over);
	pthread_mutex_unlock(&server->lock);
	wake(server);
}

void
pa_server_reload(PaServer *server)
{
	pthread_mutex_lock(&server->lock);
	pa_service_reload(server->service);
	pthread_mutex_unlock(&server->lock);
	if (server->tls != NULL)
		pa_tls_reload(server->tls);
}

/* there must be room */
static void
add_argument(grpc_channel_args *list, const char *key, int value)
{
	grpc_arg   *argument = &list->args[list->num_args++];

	argument->type = GRPC_ARG_INTEGER;
	argument->key = (char *) key;
	argument->value.integer = value;
}

/* any number of calls come by one stream: a limit for them excludes it */
static bool
offers(const PaServerOptions *options, int method)
{
	if (method_paths[method] == NULL)
		return false;
	if (method == PA_METHOD_STREAM)
		return !options->legacy && options->max_concurrent_streams == 0;
	return !options->legacy || method != PA_METHOD_GET_STATE;
}

PaServer *
pa_server_create(const PaServerOptions *options, PaTls *tls,
				 PaService *service, PaTimers *timers)
{
	PaServer   *server = pa_memory_allocate_zeroed(sizeof(*server));
	grpc_arg	arguments[8];
	grpc_channel_args list = {0, arguments};

	server->options = *options;
	server->tls = tls;
	server->service = service;
	server->timers = timers;
	server->streams.pool = &server->pool;
	server->streams.service = service;
	server->streams.timers = timers;
	server->streams.max_message_size = (uint32_t) options->max_message_size;
	server->shutdown_tag.kind = PA_TAG_SHUTDOWN;
	pthread_mutex_init(&server->lock, NULL);
	server->wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (server->wakeup < 0)
	{
		perror("power_agent: could not create an eventfd");
		abort();
	}

	/* or a second agent would quietly share the port of the first */
	add_argument(&list, GRPC_ARG_ALLOW_REUSEPORT, 0);
	add_argument(&list, GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH,
				 options->max_message_size);
	/* a token may take most of it */
	add_argument(&list, GRPC_ARG_MAX_METADATA_SIZE, MAX_METADATA);
	/* clients keep idle connections alive as often as they like */
	add_argument(&list, GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
				 1000);
	add_argument(&list, GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
	add_argument(&list, GRPC_ARG_ENABLE_CHANNELZ, 0);
	if (options->max_concurrent_streams > 0)
		add_argument(&list, GRPC_ARG_MAX_CONCURRENT_STREAMS,
					 options->max_concurrent_streams);
	server->grpc = grpc_server_create(&list, NULL);
	server->queue = grpc_completion_queue_create_for_next(NULL);
	grpc_server_register_completion_queue(server->grpc, server->queue, NULL);
	for (int method = 0; method < METHOD_COUNT; method++)
	{
		if (offers(options, method))
			server->methods[method] =
				grpc_server_register_method(server->grpc, method_paths[method],
											NULL,
											method == PA_METHOD_STREAM ?
											GRPC_SRM_PAYLOAD_NONE :
											GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER,
											0);
	}
	pa_service_set_wake(service, wake, server);
	return server;
}

/* ends a server that cannot serve, but has taken calls, perhaps */
static void
stop_half_started(PaServer *server)
{
	ServingThread self = {.server = server};

	pa_server_drain(server);
	pthread_mutex_lock(&server->lock);
	drain_over(&server->drain_timer);
	pthread_mutex_unlock(&server->lock);
	/* there may be no other thread that would */
	serve(&self);
	pa_server_join(server);
}

int
pa_server_start(PaServer *server, char *problem, size_t size)
{
	grpc_server_credentials *credentials = server->tls ?
		pa_tls_credentials(server->tls) : grpc_insecure_server_credentials_create();
	int			port;

	port = grpc_server_add_http2_port(server->grpc, server->options.address,
									  credentials);
	grpc_server_credentials_release(credentials);
	if (port == 0)
	{
		snprintf(problem, size, "could not listen on %s",
				 server->options.address);
		return 0;
	}
	grpc_server_start(server->grpc);
	pthread_mutex_lock(&server->lock);
	for (int method = 0; method < METHOD_COUNT; method++)
	{
		int			posted = method == PA_METHOD_STREAM ? POSTED_STREAMS :
			POSTED_CALLS;

		for (int i = 0; server->methods[method] && i < posted; i++)
			post_call(server, method);
	}
	for (int i = 0; i < POSTED_UNKNOWN; i++)
		post_call(server, PA_METHOD_UNKNOWN);
	server->threads = pa_memory_allocate_zeroed(server->options.threads *
												sizeof(*server->threads));
	for (int i = 0; i < server->options.threads; i++)
	{
		ServingThread *thread = &server->threads[i];

		thread->server = server;
		if (pthread_create(&thread->thread, NULL, serve, thread) != 0)
			break;
		server->thread_count++;
	}
	if (server->options.watchdog > 0)
		look_round(&server->watch_timer);
	server->clock_started = pthread_create(&server->clock, NULL, keep_time,
										   server) == 0;
	pthread_mutex_unlock(&server->lock);
	if (server->thread_count == 0 || !server->clock_started)
	{
		snprintf(problem, size, "could not start a thread");
		stop_half_started(server);
		return 0;
	}
	return port;
}

bool
pa_server_join(PaServer *server)
{
	for (int i = 0; i < server->thread_count; i++)
		pthread_join(server->threads[i].thread, NULL);
	server->thread_count = 0;
	if (server->clock_started)
		pthread_join(server->clock, NULL);
	server->clock_started = false;
	return !server->impatient;
}

void
pa_server_free(PaServer *server)
{
	pa_timer_clear(server->timers, &server->drain_timer);
	pa_timer_clear(server->timers, &server->watch_timer);
	if (!server->queue_shut_down)
	{
		/* never started: there is nothing on its way but the shutdown itself */
		grpc_server_shutdown_and_notify(server->grpc, server->queue,
										&server->shutdown_tag);
		grpc_completion_queue_next(server->queue,
								   gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
		grpc_completion_queue_shutdown(server->queue);
		while (grpc_completion_queue_next(server->queue,
										  gpr_inf_future(GPR_CLOCK_REALTIME),
										  NULL).type != GRPC_QUEUE_SHUTDOWN)
			;
	}
	grpc_server_destroy(server->grpc);
	grpc_completion_queue_destroy(server->queue);
	pa_call_empty_pool(&server->pool);
	pthread_mutex_destroy(&server->lock);
	close(server->wakeup);
	free(server->threads);
	free(server);
}
