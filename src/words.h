/*-------------------------------------------------------------------------
 *
 * src/words.h
 *		The words of the tables as enums: actions, statuses, results.
 *
 * Pure.  The texts are those of the CHECK constraints in the install script.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_WORDS_H
#define PA_WORDS_H

typedef enum PaAction
{
	PA_ACTION_INVALID = 0,
	PA_ACTION_POWER_ON,
	PA_ACTION_POWER_OFF,
	PA_ACTION_REFRESH
} PaAction;

typedef enum PaEventStatus
{
	PA_EVENT_PENDING = 0,
	PA_EVENT_RUNNING,
	PA_EVENT_SUCCESS,
	PA_EVENT_FAILED,
	PA_EVENT_CANCELLED
} PaEventStatus;

typedef enum PaAgentResult
{
	PA_RESULT_NONE = 0,
	PA_RESULT_ACCEPTED,
	PA_RESULT_CONFIRMED,
	PA_RESULT_PARTIAL,
	PA_RESULT_REFUSED,
	PA_RESULT_UNKNOWN
} PaAgentResult;

typedef enum PaErrorSource
{
	PA_ERROR_NONE = 0,
	PA_ERROR_REQUEST,
	PA_ERROR_TRANSPORT,
	PA_ERROR_AGENT,
	PA_ERROR_DATABASE
} PaErrorSource;

/* The first six are those of agent.PowerState, with the same numbers. */
typedef enum PaPowerState
{
	PA_POWER_UNKNOWN = 0,
	PA_POWER_RUNNING = 1,
	PA_POWER_STOPPED = 2,
	PA_POWER_STARTING = 3,
	PA_POWER_STOPPING = 4,
	PA_POWER_TERMINATED = 5,
	PA_POWER_PARTIAL = 6		/* of clusters only */
} PaPowerState;

/* the text of a value; "none" has no text for PaErrorSource: NULL */
extern const char *pa_action_name(PaAction action);
extern const char *pa_event_status_name(PaEventStatus status);
extern const char *pa_agent_result_name(PaAgentResult result);
extern const char *pa_error_source_name(PaErrorSource source);
extern const char *pa_power_state_name(PaPowerState state);

/* the value of a text; PA_ACTION_INVALID, PA_RESULT_NONE if it is none */
extern PaAction pa_action_from_name(const char *name);
extern PaAgentResult pa_agent_result_from_name(const char *name);

#endif							/* PA_WORDS_H */
