/*-------------------------------------------------------------------------
 *
 * src/agent/metrics_server.h
 *		Serves the agent's metrics over HTTP, on loopback: GET /metrics.
 *
 * One thread of its own serves all, takes no lock of the agent's, and only
 * reads: whoever scrapes, however slowly or often, disturbs no call.
 * Connections and their memory are limited; one that is silent is closed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_METRICS_SERVER_H
#define PA_AGENT_METRICS_SERVER_H

#include <stddef.h>

#include "exposition.h"

typedef struct PaMetricsServer PaMetricsServer;

/*
 * Listens on ADDRESS:PORT (loopback.h).  Returns NULL, with the reason, if
 * that cannot be.  The texts of "build" must outlive the server.
 */
extern PaMetricsServer *pa_metrics_server_start(const char *address,
												const PaBuild *build,
												char *problem, size_t size);

/* where the metrics are: the URL, with the port that was taken */
extern const char *pa_metrics_server_url(const PaMetricsServer *server);

/* closes all connections and ends the thread */
extern void pa_metrics_server_stop(PaMetricsServer *server);

#endif							/* PA_AGENT_METRICS_SERVER_H */
