/*-------------------------------------------------------------------------
 *
 * src/courier/channel.h
 *		One channel to an agent, and what is known of its connections.
 *
 * The reader thread opens and retires channels, on behalf of a server
 * (server.h).  A channel is counted: it lives until it is retired and no call
 * uses it.  Changes of connectivity arrive at the completion thread, which
 * tells the worker about a channel that was announced.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_COURIER_CHANNEL_H
#define PA_COURIER_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>

#include <grpc/grpc.h>

#include "courier.pb-c.h"
#include "credentials.h"
#include "pace.h"
#include "stream.h"

typedef struct PaChannel PaChannel;

/* all events go to this queue */
extern void pa_channel_begin(grpc_completion_queue *queue);

/* Starts to connect; nobody is told yet.  The pace is shared. */
extern PaChannel *pa_channel_open(const Courier__Configure *configure,
								  const PaCredentials *credentials,
								  PaPace *pace);

/* The owner of an open channel gives it up; its calls go on. */
extern void pa_channel_retire(PaChannel *channel);

/* From now on the worker is told about its connectivity. */
extern void pa_channel_announce(PaChannel *channel);

/*
 * true if it has been connected, or could not be; before it is announced the
 * reader is woken when this becomes true
 */
extern bool pa_channel_settled(PaChannel *channel);

/* true if it is connected */
extern bool pa_channel_ready(PaChannel *channel);

/* the metadata of calls from now on; takes a reference of its own */
extern void pa_channel_set_authorization(PaChannel *channel,
										 grpc_slice authorization);

/* what the worker is told while the channel is READY; clean text, "": nothing */
extern void pa_channel_set_note(PaChannel *channel, const char *note);

/* For calls: acquired by the reader thread, released by any thread. */
extern void pa_channel_acquire(PaChannel *channel);
extern void pa_channel_release(PaChannel *channel);

/* false: gRPC cannot make sense of the target, calls would be in vain */
extern bool pa_channel_usable(const PaChannel *channel);

/* that of its server; lives as long as the channel */
extern PaPace *pa_channel_pace(const PaChannel *channel);

/*
 * A new call, which the caller owns, of a method that there is.  The channel
 * must be acquired.
 */
extern bool pa_channel_has_method(const PaChannel *channel,
								  Courier__Method method);
extern grpc_call *pa_channel_create_call(PaChannel *channel,
										 Courier__Method method,
										 gpr_timespec deadline);

/*
 * The stream for a new call, which the reader thread may use until it asks
 * again; NULL: the call is to be one of its own.  There is one while many
 * calls are under way, if the agent has it.
 */
extern PaStream *pa_channel_stream(PaChannel *channel, int64_t now);

/*
 * Sets one piece of metadata, whose value the caller has to unreference, and
 * returns 1; returns 0 if there is none.
 */
extern size_t pa_channel_authorize(PaChannel *channel,
								   grpc_metadata *metadata);

/* the target as gRPC knows it, owned by the channel */
extern const char *pa_channel_target(const PaChannel *channel);

/* tells the worker how a server is; the message is clean text */
extern void pa_channel_tell(const char *server_name, uint64_t generation,
							grpc_connectivity_state state,
							const char *message);

#endif							/* PA_COURIER_CHANNEL_H */
