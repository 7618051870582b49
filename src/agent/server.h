/*-------------------------------------------------------------------------
 *
 * src/agent/server.h
 *		The gRPC server: a completion queue, the threads that serve it, and
 *		the life of calls.
 *
 * Created, started and freed by the main thread; drain and reload may come
 * from another.  grpc_init is the caller's.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_SERVER_H
#define PA_AGENT_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "service.h"
#include "timer.h"
#include "tls.h"

typedef struct PaServer PaServer;

typedef struct PaServerOptions
{
	const char *address;		/* unix:PATH or HOST:PORT */
	int			threads;
	int			max_concurrent_streams; /* a connection; 0: no limit; else no
										 * PowerStream */
	int			max_message_size;	/* bytes of a request */
	int64_t		drain_timeout;	/* us */
	bool		legacy;			/* no GetClusterPowerState, no PowerStream */
	int64_t		watchdog;		/* us; 0: nobody asks for signs of life */
	void		(*alive) (void);	/* gives one; from a thread of the server */
} PaServerOptions;

/*
 * The timers are those of the service; all of these must outlive the server.
 * Without TLS (NULL) it serves in the clear.  With a watchdog, "alive" is
 * called more often than that as long as every thread of the server goes
 * round and gets the lock; what providers do in their own threads is not seen.
 */
extern PaServer *pa_server_create(const PaServerOptions *options, PaTls *tls,
								  PaService *service, PaTimers *timers);

/*
 * Binds and starts to serve.  Returns the port (1 for a unix socket), or 0
 * if the address cannot be bound, with the reason in "problem".
 */
extern int	pa_server_start(PaServer *server, char *problem, size_t size);

/*
 * Takes no more calls and ends when those in progress are answered, or at
 * the drain timeout.  A second call ends the patience.
 */
extern void pa_server_drain(PaServer *server);

/* reads all files again that serve: rules, tokens, certificates, accounts */
extern void pa_server_reload(PaServer *server);

/* returns when the server has drained; true: everything was answered */
extern bool pa_server_join(PaServer *server);

extern void pa_server_free(PaServer *server);

#endif							/* PA_AGENT_SERVER_H */
