/*-------------------------------------------------------------------------
 *
 * src/stats.h
 *		What the processes know, as SQL functions for the views.
 *
 * Called from SQL only.  They read shared memory and this server's identity;
 * they see no table, so the roles that may call them learn nothing of events
 * or clusters.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_STATS_H
#define PA_STATS_H

#include "shared_state.h"

/* The words that the views show. */
extern const char *pa_stats_worker_state_name(PaWorkerState state);
extern const char *pa_stats_agent_state_name(PaAgentState state);

#endif							/* PA_STATS_H */
