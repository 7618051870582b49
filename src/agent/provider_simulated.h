/*-------------------------------------------------------------------------
 *
 * src/agent/provider_simulated.h
 *		A cloud that exists only in the memory of the agent.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_PROVIDER_SIMULATED_H
#define PA_AGENT_PROVIDER_SIMULATED_H

#include <stdint.h>

#include "provider.h"
#include "timer.h"

typedef struct PaSimulatedOptions
{
	PaInstanceState initial_state;	/* of an instance that is first named */
	int64_t		transition_time;	/* us from starting to running, and back */
	bool		answer_when_done;	/* answer when the state is reached */
	int64_t		max_instances;		/* that the inventory holds */
	const char *inventory_file;		/* NULL: whatever is named exists */
} PaSimulatedOptions;

/*
 * Returns NULL and writes what is wrong to "problem" if the inventory file
 * cannot be used.  The timers must outlive the provider.
 */
extern PaProvider *pa_provider_simulated_create(const PaSimulatedOptions *options,
												PaTimers *timers,
												char *problem, size_t size);

/* for accounts of a file: what the command line says counts for all of them */
extern const struct PaProviderType pa_provider_type_simulated;

/* the name of a state, in lower case; and back, -1 if there is none */
extern const char *pa_instance_state_name(PaInstanceState state);
extern int	pa_instance_state_code(const char *name);

#endif							/* PA_AGENT_PROVIDER_SIMULATED_H */
