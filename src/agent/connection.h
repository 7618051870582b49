/*-------------------------------------------------------------------------
 *
 * src/agent/connection.h
 *		Sockets, where gRPC core's interface does not reach: unix sockets of
 *		dead agents, and connections that are to break.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_CONNECTION_H
#define PA_AGENT_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Core unlinks whatever is in the way of a unix socket before it binds.
 * Returns false, with the reason, if that would take the path from an agent
 * that lives, or delete what is not a socket.
 */
extern bool pa_connection_check_unix_path(const char *path, char *problem,
										  size_t size);

/*
 * Shuts down the connection with this peer, as grpc_call_get_peer names it.
 * Peers on unix sockets have no name: all of them are cut off.
 */
extern void pa_connection_drop(const char *peer);

#endif							/* PA_AGENT_CONNECTION_H */
