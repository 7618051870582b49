/*-------------------------------------------------------------------------
 *
 * src/agent/provider_ec2.h
 *		Instances of Amazon EC2, and of clouds that speak its Query API.
 *
 * Accounts share one thread (http_loop.h) and nothing else: each has its own
 * connections, pace and keys.  doc/agent.md tells what it does.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_PROVIDER_EC2_H
#define PA_AGENT_PROVIDER_EC2_H

#include "provider_type.h"

extern const PaProviderType pa_provider_type_ec2;

#endif							/* PA_AGENT_PROVIDER_EC2_H */
