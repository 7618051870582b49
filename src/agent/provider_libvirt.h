/*-------------------------------------------------------------------------
 *
 * src/agent/provider_libvirt.h
 *		Domains of a hypervisor, through libvirt.
 *
 * Every account has a connection and threads of its own.  doc/agent.md tells
 * what it does.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_PROVIDER_LIBVIRT_H
#define PA_AGENT_PROVIDER_LIBVIRT_H

#include "provider_type.h"

extern const PaProviderType pa_provider_type_libvirt;

#endif							/* PA_AGENT_PROVIDER_LIBVIRT_H */
