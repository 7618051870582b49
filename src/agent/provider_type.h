/*-------------------------------------------------------------------------
 *
 * src/agent/provider_type.h
 *		What a kind of provider tells of itself, so that accounts can be given
 *		to it by a file.
 *
 * To add one: a file with its PaProviderType, and a line in
 * provider_types.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_PROVIDER_TYPE_H
#define PA_AGENT_PROVIDER_TYPE_H

#include "account.h"
#include "provider.h"
#include "report.h"

struct PaSimulatedOptions;
struct PaTimers;

/* what the agent has for all providers; outlives them */
typedef struct PaProviderSetup
{
	struct PaTimers *timers;	/* only under the server's lock */
	const struct PaSimulatedOptions *simulated; /* from the command line */
} PaProviderSetup;

typedef struct PaProviderType
{
	const char *name;			/* the value of the key "provider" */
	const char *synonym;		/* another one; NULL: none */
	const PaSetting *settings;	/* its keys, up to one without a name */
	int			max_parallel;	/* requests of an account at a time, if the
								 * account does not say */

	/*
	 * Checks keys against each other, each being valid by itself.  NULL:
	 * nothing to check.  Must neither block nor change anything.
	 */
	void		(*check) (const PaAccount *account, PaReport *report);

	/*
	 * Begins and ends what accounts of this type share, such as a thread:
	 * called before the first create, after the last close.  NULL: nothing.
	 */
	void	   *(*open_shared) (void);
	void		(*close_shared) (void *shared);

	/*
	 * One provider for one account.  Must not block.  The account outlives
	 * it.  Returns NULL, with the reason, if that fails.
	 */
	PaProvider *(*create) (const PaAccount *account,
						   const PaProviderSetup *setup, void *shared,
						   char *problem, size_t size);
} PaProviderType;

/* those that there are, up to NULL */
extern const PaProviderType *const pa_provider_types[];

#endif							/* PA_AGENT_PROVIDER_TYPE_H */
