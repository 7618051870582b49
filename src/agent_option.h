/*-------------------------------------------------------------------------
 *
 * src/agent_option.h
 *		What the options of a server of power_agent mean, which values they
 *		take, and which of them go together.
 *
 * Looks at nothing but the options: no catalogue, no file, no privilege.
 * What it returns is palloc'd in the current memory context.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_OPTION_H
#define PA_AGENT_OPTION_H

#include "nodes/pg_list.h"

typedef struct PaAgentServer
{
	Oid			oid;
	TransactionId version;		/* who wrote the definition as it is */
	char	   *server_name;
	char	   *target;			/* gRPC target with its scheme */
	bool		tls;			/* in effect, whether given or by default */
	bool		tls_given;
	char	   *root_cert_file; /* these five: NULL if not given */
	char	   *cert_file;
	char	   *key_file;
	char	   *tls_server_name;
	char	   *auth_token_file;
	int			call_timeout;	/* ms, the deadline of one call */
	int			connect_timeout;	/* ms */
	int			keepalive_time; /* ms, 0: off */
	int			max_concurrent_calls;
	int			max_message_size;	/* bytes of a reply */
	bool		round_robin;	/* else pick_first */
	bool		streaming_off;	/* else 'auto': many calls share a stream */
	bool		send_account_id;	/* account_field 'id' */
} PaAgentServer;

/* what is wrong with options, for ereport */
typedef struct PaOptionProblem
{
	int			sqlstate;
	const char *message;
	const char *hint;			/* what is valid */
} PaOptionProblem;

/*
 * Sets everything that options tell of a server, given or by default, from a
 * List of DefElem.  False if they are no good; then *problem says why.
 */
extern bool pa_agent_option_read(List *options, PaAgentServer *server,
								 PaOptionProblem *problem);

/*
 * The options that name files, one after the other from *index = 0: the name
 * of the option, NULL at the end.  *path is NULL if it is not given, *secret
 * is true if nobody else may be able to read the file.
 */
extern const char *pa_agent_option_file(const PaAgentServer *server,
										int *index, const char **path,
										bool *secret);

/* all options that name files, separated by commas */
extern char *pa_agent_option_file_names(void);

/* false if a connection made for one does not do for the other */
extern bool pa_agent_option_same_connection(const PaAgentServer *a,
											const PaAgentServer *b);

/*
 * Makes the texts of options the server's own, and frees those that were
 * made its own; server_name is not one of them.
 */
extern void pa_agent_option_own_texts(PaAgentServer *server);
extern void pa_agent_option_free_texts(PaAgentServer *server);

#endif							/* PA_AGENT_OPTION_H */
