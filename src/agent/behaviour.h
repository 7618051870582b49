/*-------------------------------------------------------------------------
 *
 * src/agent/behaviour.h
 *		Rules that make the agent misbehave: their language, and which one a
 *		call meets.
 *
 * Pure: no files, no clock, no gRPC.  The language is described by
 * pa_behaviour_help, which --help prints.  Not locked.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_BEHAVIOUR_H
#define PA_AGENT_BEHAVIOUR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "method.h"

typedef enum PaFault
{
	PA_FAULT_NONE,
	PA_FAULT_STATUS,			/* a gRPC status instead of a reply */
	PA_FAULT_HANG,				/* no answer at all */
	PA_FAULT_DROP,				/* the connection breaks */
	PA_FAULT_CRASH				/* the agent dies */
} PaFault;

/* instances, by number or by name; neither: none */
typedef struct PaSelection
{
	int64_t		count;
	char	  **ids;
	size_t		id_count;
} PaSelection;

typedef struct PaRule
{
	bool		methods[PA_METHOD_UNKNOWN]; /* that it applies to */
	bool		after;			/* latency and fault: after the order was given */
	int64_t		latency;		/* us */
	PaFault		fault;
	int			status;			/* of PA_FAULT_STATUS */
	int			error;			/* the order is refused with it; 0: it is not */
	char	   *message;		/* for status, error or reply; NULL: none */
	PaSelection partial;		/* instances that do not follow */
	bool		accept_only;	/* the reply comes first and has no states */
	int64_t		act_after;		/* us from the reply to the order */
	int64_t		size;			/* bytes that the reply has at least */
	bool		garbage;		/* the reply is no protobuf message */
	bool		invalid_utf8;	/* its message is no text */
	PaSelection foreign;		/* instances in the reply that nobody asked for */
} PaRule;

typedef struct PaRules PaRules;

/*
 * Reads rules, one a line.  Returns NULL if a line is not valid and writes
 * "name:line: what is wrong" to "problem".  The caller owns one reference.
 */
extern PaRules *pa_behaviour_parse(const char *text, const char *name,
								   char *problem, size_t size);

/* one rule for every cluster, without any misbehaviour yet */
extern PaRules *pa_behaviour_create_default(void);

/*
 * Adds a word of the language to the rule of pa_behaviour_create_default;
 * value is NULL for a word without one.  Returns false, with the reason, if
 * the value is not valid.
 */
extern bool pa_behaviour_set_default(PaRules *rules, const char *word,
									 const char *value, char *problem,
									 size_t size);

/*
 * Checks the words of the default rule against each other.  "accepts": the
 * agent only accepts anyway.
 */
extern bool pa_behaviour_check_default(const PaRules *rules, bool accepts,
									   char *problem, size_t size);

/* true if it is a word; *takes_value tells whether it has a value */
extern bool pa_behaviour_is_word(const char *word, bool *takes_value);

/*
 * The first rule that applies to the call and is not used up, and uses it
 * once; NULL if there is none.  It is valid while the rules are referred to.
 */
extern const PaRule *pa_behaviour_match(PaRules *rules, const char *cluster_id,
										PaMethod method);

/* a rule without any misbehaviour; lives for ever */
extern const PaRule *pa_behaviour_none(void);

/* true: this instance, the index-th of count in a request, is selected */
extern bool pa_behaviour_selects(const PaSelection *selection, size_t index,
								 size_t count, const char *instance_id);

extern PaRules *pa_behaviour_retain(PaRules *rules);
extern void pa_behaviour_release(PaRules *rules);	/* NULL is allowed */

extern void pa_behaviour_help(FILE *file);

#endif							/* PA_AGENT_BEHAVIOUR_H */
