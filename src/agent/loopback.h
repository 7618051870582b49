/*-------------------------------------------------------------------------
 *
 * src/agent/loopback.h
 *		Addresses that nobody but this machine's own processes can reach.
 *		Pure.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_LOOPBACK_H
#define PA_AGENT_LOOPBACK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

typedef struct PaLoopback
{
	struct sockaddr_storage address;
	socklen_t	length;
	char		host[64];		/* as given, with brackets */
} PaLoopback;

/*
 * Reads ADDRESS:PORT, the address in 127.0.0.0/8 or [::1], the port from 0
 * to 65535.  Returns false, with what is wrong and what is valid, for
 * anything else; names are something else, too: who knows what they mean.
 */
extern bool pa_loopback_read(const char *text, PaLoopback *loopback,
							 char *problem, size_t size);

#endif							/* PA_AGENT_LOOPBACK_H */
