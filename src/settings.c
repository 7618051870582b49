/*-------------------------------------------------------------------------
 *
 * src/settings.c
 *		The settings power_action.*, all of them.
 *
 * Called once by _PG_init, in the postmaster or, without preloading, in the
 * backend that loads the library.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "miscadmin.h"
#include "settings.h"
#include "utils/guc.h"

bool		pa_enabled = true;
int			pa_max_attempts = 5;
int			pa_initial_backoff = 1000;
int			pa_max_backoff = 60 * 1000;
int			pa_give_up_after = 60 * 60;
int			pa_confirm_interval = 5 * 1000;
int			pa_confirm_timeout = 10 * 60;
bool		pa_resolve_unknown = true;
int			pa_event_retention = -1;
int			pa_max_agents = 64;

static void
define_reloadable(void)
{
	DefineCustomBoolVariable("power_action.enabled",
							 "Lets the workers send orders to the agents.",
							 "When off, requests are accepted and wait.",
							 &pa_enabled,
							 true,
							 PGC_SIGHUP, 0,
							 NULL, NULL, NULL);

	DefineCustomIntVariable("power_action.max_attempts",
							"Number of attempts after which an action fails.",
							"An agent that cannot be reached uses up none.",
							&pa_max_attempts,
							5, 1, INT_MAX,
							PGC_SIGHUP, 0,
							NULL, NULL, NULL);

	DefineCustomIntVariable("power_action.initial_backoff",
							"Longest wait before the second attempt of an action.",
							"It doubles with each further attempt.",
							&pa_initial_backoff,
							1000, 1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS,
							NULL, NULL, NULL);

	DefineCustomIntVariable("power_action.max_backoff",
							"Longest wait between two attempts of an action.",
							NULL,
							&pa_max_backoff,
							60 * 1000, 1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS,
							NULL, NULL, NULL);

	DefineCustomIntVariable("power_action.give_up_after",
							"Time from when an action is due after which it is not tried again.",
							"0 means that only the number of attempts counts.",
							&pa_give_up_after,
							60 * 60, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S,
							NULL, NULL, NULL);

	DefineCustomIntVariable("power_action.confirm_interval",
							"Time between two questions for the state of instances that are starting or stopping.",
							NULL,
							&pa_confirm_interval,
							5 * 1000, 1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS,
							NULL, NULL, NULL);

	DefineCustomIntVariable("power_action.confirm_timeout",
							"Time after which an action whose instances are still starting or stopping fails.",
							NULL,
							&pa_confirm_timeout,
							10 * 60, 1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S,
							NULL, NULL, NULL);

	DefineCustomBoolVariable("power_action.resolve_unknown",
							 "Asks the agent for the state of a cluster after an action with an unknown result.",
							 "The question is an event of its own, a refresh, requested by the worker.",
							 &pa_resolve_unknown,
							 true,
							 PGC_SIGHUP, 0,
							 NULL, NULL, NULL);

	DefineCustomIntVariable("power_action.event_retention",
							"Time for which finished events are kept.",
							"-1 means for ever.",
							&pa_event_retention,
							-1, -1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S,
							NULL, NULL, NULL);
}

/* Settings that size shared memory exist only where there is some. */
static void
define_fixed(void)
{
	DefineCustomIntVariable("power_action.max_agents",
							"Number of agents whose state can be shown, in all databases together.",
							NULL,
							&pa_max_agents,
							64, 1, 65536,
							PGC_POSTMASTER, 0,
							NULL, NULL, NULL);
}

void
pa_settings_define(void)
{
	define_reloadable();

	/*
	 * Without preloading the prefix is not reserved, either: a configuration
	 * that sets max_agents is right all the same, and must not draw a warning
	 * from every session that happens to load the library.
	 */
	if (process_shared_preload_libraries_in_progress)
	{
		define_fixed();
		MarkGUCPrefixReserved("power_action");
	}
}
