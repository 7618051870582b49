/*-------------------------------------------------------------------------
 *
 * src/agent/provider_command.h
 *		Instances that programs of the administrator's start, stop and
 *		describe.
 *
 * Every account has a thread of its own (process_loop.h).  What a program is
 * told and what it has to print is in doc/agent.md.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_PROVIDER_COMMAND_H
#define PA_AGENT_PROVIDER_COMMAND_H

#include "provider_type.h"

extern const PaProviderType pa_provider_type_command;

#endif							/* PA_AGENT_PROVIDER_COMMAND_H */
