/*-------------------------------------------------------------------------
 *
 * src/agent_server.h
 *		Agents as foreign servers: the options of the foreign-data wrapper
 *		power_agent, their validator, and how a worker reads them.
 *
 * Reading needs a transaction.  What it returns is palloc'd in the current
 * memory context and belongs to the caller.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_SERVER_H
#define PA_AGENT_SERVER_H

#include "nodes/pg_list.h"

typedef struct PaAgentServer
{
	Oid			oid;
	TransactionId version;		/* who wrote the definition as it is */
	char	   *server_name;
	char	   *target;			/* gRPC target with its scheme */
	int			call_timeout;	/* ms, the deadline of one call */
	int			connect_timeout;	/* ms */
	int			keepalive_time; /* ms, 0: off */
	int			max_concurrent_calls;
	int			max_message_size;	/* bytes of a reply */
	bool		round_robin;	/* else pick_first */
	bool		send_account_id;	/* account_field 'id' */
} PaAgentServer;

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
