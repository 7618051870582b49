/*-------------------------------------------------------------------------
 *
 * src/agent/libvirt_absent.c
 *		Stands for the provider libvirt in a power_agent that was built
 *		without it.
 *
 *-------------------------------------------------------------------------
 */
#include "provider_libvirt.h"

const PaProviderType pa_provider_type_libvirt = {
	.name = "libvirt",
	.absent = "build it without LIBVIRT=no"
};
