/*-------------------------------------------------------------------------
 *
 * src/agent/provider_router.h
 *		The provider that gives each request to the provider of its account,
 *		as the accounts file has it.
 *
 * Every account has a provider of its own and, beyond "max_parallel", a
 * queue of its own: accounts do not wait for each other.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_PROVIDER_ROUTER_H
#define PA_AGENT_PROVIDER_ROUTER_H

#include "provider.h"
#include "provider_type.h"

/*
 * Returns NULL and writes what is wrong to "problem" if the file cannot be
 * used; the problems of the file itself go to standard error.  Path, types
 * and setup must outlive the provider.
 *
 * It reads the file again when reload is called.  A file with problems
 * changes nothing.  Providers whose accounts stay the same go on; others
 * are closed when what they have in hand is done.
 */
extern PaProvider *pa_provider_router_create(const char *path,
											 const PaProviderType *const *types,
											 const PaProviderSetup *setup,
											 char *problem, size_t size);

#endif							/* PA_AGENT_PROVIDER_ROUTER_H */
