/*-------------------------------------------------------------------------
 *
 * src/agent/command_answer.h
 *		What a program of the provider command prints, and what its exit
 *		status means.  Pure, but for memory.
 *
 * It prints one JSON object, either or both of
 *
 *	{"instances": [{"id": "i-1", "state": "stopping", "message": "..."}, ...]}
 *	{"error": 17, "message": "..."}
 *
 * state is running, stopped, starting, stopping, terminated or unknown; a
 * message may be left out, and other keys may be there.  Instances that were
 * not asked for are passed over, so that a program may list all it knows.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_COMMAND_ANSWER_H
#define PA_AGENT_COMMAND_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

#include "provider.h"

/*
 * Fills in the request's answer.  Instances that the program did not speak
 * of are unknown, with a message that says so.  Returns false, with what is
 * wrong in the request's arena, if it is no such object.
 */
extern bool pa_command_answer_read(PaProviderRequest *request,
								   const char *text, size_t length,
								   const char **problem);

/* the gRPC status code of an exit status that is not 0 */
extern int	pa_command_answer_status(int exit_status);

#endif							/* PA_AGENT_COMMAND_ANSWER_H */
