/*-------------------------------------------------------------------------
 *
 * src/agent/provider_types.c
 *		The kinds of providers that power_agent has.
 *
 *-------------------------------------------------------------------------
 */
#include "provider_simulated.h"
#include "provider_type.h"

const PaProviderType *const pa_provider_types[] = {
	&pa_provider_type_simulated,
	NULL
};
