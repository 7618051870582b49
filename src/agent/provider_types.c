/*-------------------------------------------------------------------------
 *
 * src/agent/provider_types.c
 *		The kinds of providers that power_agent has.
 *
 *-------------------------------------------------------------------------
 */
#include "provider_ec2.h"
#include "provider_simulated.h"
#include "provider_type.h"

const PaProviderType *const pa_provider_types[] = {
	&pa_provider_type_simulated,
	&pa_provider_type_ec2,
	NULL
};
