/*-------------------------------------------------------------------------
 *
 * src/settings.h
 *		The settings power_action.*, all of them.
 *
 * Defined once in _PG_init; read anywhere.  Units are in the names of the
 * fields or beside them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_SETTINGS_H
#define PA_SETTINGS_H

extern bool pa_enabled;			/* power_action.enabled */
extern int	pa_max_attempts;	/* power_action.max_attempts */
extern int	pa_initial_backoff; /* ms */
extern int	pa_max_backoff;		/* ms */
extern int	pa_give_up_after;	/* s, from due; 0: never */
extern int	pa_confirm_interval;	/* ms between two questions */
extern int	pa_confirm_timeout; /* s, from the reply that was not final */
extern bool pa_resolve_unknown; /* power_action.resolve_unknown */
extern int	pa_event_retention; /* s, -1: keep for ever */
extern int	pa_max_agents;		/* sizes shared memory: needs a restart */

extern void pa_settings_define(void);

#endif							/* PA_SETTINGS_H */
