/*-------------------------------------------------------------------------
 *
 * src/agent_server.h
 *		Agents as foreign servers: the validator of the foreign-data wrapper
 *		power_agent, and how a worker reads its servers.
 *
 * Reading needs a transaction.  What it returns is palloc'd in the current
 * memory context and belongs to the caller.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_SERVER_H
#define PA_AGENT_SERVER_H

#include "agent_option.h"

/* all servers of the wrapper power_agent: a List of PaAgentServer pointers */
extern List *pa_agent_server_list(void);

/* true if a foreign server of that name exists and uses power_agent */
extern bool pa_agent_server_exists(const char *server_name);

/*
 * Counts up whenever a foreign server may have changed (catalogue
 * invalidation).  The first call registers the callback.
 */
extern uint64 pa_agent_server_version(void);

#endif							/* PA_AGENT_SERVER_H */
