/*-------------------------------------------------------------------------
 *
 * src/agent/ec2_query.h
 *		The EC2 Query API, pure: bodies of requests, answers and their errors.
 *
 * Version 2016-11-15 of the API, as the Amazon EC2 API Reference has it.
 * Answers are not trusted: no entities, no network, bounded sizes; texts are
 * cut and cleaned.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_EC2_QUERY_H
#define PA_AGENT_EC2_QUERY_H

#include <stdbool.h>
#include <stddef.h>

#include "arena.h"
#include "provider.h"

#define PA_EC2_MAX_FILTER	200 /* values of one filter */
#define PA_EC2_PAGE			1000	/* instances in an answer */

/*
 * The body of a request, in the arena.  DESCRIBE filters by id, which unlike
 * naming ids is not refused if one of them does not exist, and comes in
 * pages: token is NULL for the first.
 */
extern const char *pa_ec2_query_body(PaArena *arena, PaProviderVerb verb,
									 const char *const *ids, size_t count,
									 const char *token);

/* false: not an id to send; filters would take some characters for wildcards */
extern bool pa_ec2_query_is_id(const char *id);
extern bool pa_ec2_query_is_region(const char *region);

typedef struct PaEc2Instance
{
	const char *id;
	PaInstanceState state;		/* shutting-down counts as stopping */
	bool		doomed;			/* shutting down or terminated */
	const char *reason;			/* why it stopped by itself; NULL: not told */
} PaEc2Instance;

typedef struct PaEc2Answer
{
	PaEc2Instance *instances;
	size_t		count;
	const char *next_token;		/* NULL: no more pages */
	const char *error_code;		/* NULL: not an error document */
	const char *error_message;
} PaEc2Answer;

/*
 * Reads an answer into the arena.  Returns NULL if it is none: not XML, not
 * one of the documents that are known, or beyond the limits.
 */
extern PaEc2Answer *pa_ec2_query_read(PaArena *arena, const char *bytes,
									  size_t length);

/* "code: message", cut to a length that people read */
extern const char *pa_ec2_query_text(PaArena *arena, const char *code,
									 const char *message);

/* the text names the id as a word of its own */
extern bool pa_ec2_query_names(const char *text, const char *id);

typedef enum PaEc2Kind
{
	PA_EC2_THROTTLED,			/* too many requests */
	PA_EC2_BROKEN,				/* the cloud's own fault, passes */
	PA_EC2_MISSING,				/* instances do not exist */
	PA_EC2_STATE,				/* instances cannot follow in this state */
	PA_EC2_EXPIRED,				/* credentials or the clock are out of date */
	PA_EC2_UNAUTHENTICATED,
	PA_EC2_DENIED,
	PA_EC2_REFUSED				/* everything else */
} PaEc2Kind;

/* what an error means; code NULL: there was no error document */
extern PaEc2Kind pa_ec2_query_kind(int http_status, const char *code);

#endif							/* PA_AGENT_EC2_QUERY_H */
