/*-------------------------------------------------------------------------
 *
 * src/agent/provider_types.c
 *		The kinds of providers that power_agent has.
 *
 *-------------------------------------------------------------------------
 */
#include "provider_command.h"
#include "provider_ec2.h"
#include "provider_libvirt.h"
#include "provider_simulated.h"
#include "provider_type.h"

const PaProviderType *const pa_provider_types[] = {
	&pa_provider_type_simulated,
	&pa_provider_type_ec2,
	&pa_provider_type_libvirt,
	&pa_provider_type_command,
	NULL
};
