/*-------------------------------------------------------------------------
 *
 * src/agent/metric.h
 *		What the agent counts of itself, for whoever watches it.
 *
 * One set a process, since threads of several modules count.  Counting takes
 * no lock, orders nothing and may be done by any thread; a reader gets each
 * number as it is, not all of them as of one moment.  exposition.h writes
 * them as text.
 *
 * Nothing is counted by cluster, instance or account: these come from
 * callers, and each would be a time series.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_METRIC_H
#define PA_AGENT_METRIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "method.h"
#include "provider.h"

#define PA_METRIC_METHODS	(PA_METHOD_STREAM + 1)
#define PA_METRIC_CODES		17	/* of gRPC: 0 to 16 */
#define PA_METRIC_PROVIDERS 8	/* types; the first stands for all unnamed */
#define PA_METRIC_VERBS		(PA_PROVIDER_DESCRIBE + 1)
#define PA_METRIC_OUTCOMES	(PA_METRIC_CODES + 1)	/* and: refused */
#define PA_METRIC_REFUSED	PA_METRIC_CODES
#define PA_METRIC_BUCKETS	16	/* that have a bound */

/* what the ledger said of an order */
typedef enum PaMetricVerdict
{
	PA_METRIC_NEW,
	PA_METRIC_RUNNING,			/* joined one under way */
	PA_METRIC_ANSWERED,			/* repeated, answered from memory */
	PA_METRIC_STALE,
	PA_METRIC_CONFLICT,
	PA_METRIC_VERDICTS
} PaMetricVerdict;

/* what became of a call to the API of ec2 */
typedef enum PaMetricEc2
{
	PA_METRIC_EC2_OK,
	PA_METRIC_EC2_THROTTLED,
	PA_METRIC_EC2_REFUSED,		/* an error that is the request's */
	PA_METRIC_EC2_FAILED,		/* an error that is the cloud's */
	PA_METRIC_EC2_UNREACHABLE,
	PA_METRIC_EC2_OUTCOMES
} PaMetricEc2;

typedef _Atomic uint64_t PaCounter;

/* not cumulative; the last bucket is for all beyond the highest bound */
typedef struct PaHistogram
{
	PaCounter	buckets[PA_METRIC_BUCKETS + 1];
	PaCounter	sum;			/* us */
} PaHistogram;

typedef struct PaMetrics
{
	PaCounter	calls[PA_METRIC_METHODS][PA_METRIC_CODES];
	PaCounter	calls_in_flight[PA_METRIC_METHODS];
	PaHistogram call_durations[PA_METRIC_METHODS];
	PaCounter	provider_requests[PA_METRIC_PROVIDERS][PA_METRIC_VERBS][PA_METRIC_OUTCOMES];
	PaCounter	provider_in_flight[PA_METRIC_PROVIDERS];
	PaHistogram provider_durations[PA_METRIC_PROVIDERS][PA_METRIC_VERBS];
	PaCounter	ec2_calls[PA_METRIC_VERBS][PA_METRIC_EC2_OUTCOMES];
	PaCounter	verdicts[PA_METRIC_VERDICTS];
	PaCounter	token_refusals;
	PaCounter	log_dropped;
	PaHistogram commit_durations;
	PaCounter	commit_failures;
	const char *providers[PA_METRIC_PROVIDERS]; /* NULL: no such */
} PaMetrics;

extern PaMetrics pa_metrics;

/* upper bounds of the buckets, us, inclusive */
extern const int64_t pa_metric_bounds[PA_METRIC_BUCKETS];

/*
 * Makes the name of a provider type known, before any thread counts.  What
 * has no known name is counted as "none".
 */
extern void pa_metric_add_provider(const char *name);

extern void pa_metric_call_begin(PaMethod method);

/* code: of gRPC; duration: us since the call came */
extern void pa_metric_call_end(PaMethod method, int code, int64_t duration);

/* a provider has taken a request, and will be done with it later */
extern void pa_metric_provider_begin(const char *provider);


/* it is; the name is that of the beginning, whoever has the request by now */
extern void pa_metric_provider_leave(const char *provider);

/*
 * A provider is done with a request, begun or not.  status and error are those
 * of the request; duration in us.
 */
extern void pa_metric_provider_end(const char *provider, PaProviderVerb verb,
								   int status, int error, int64_t duration);

extern void pa_metric_ec2_call(PaProviderVerb verb, PaMetricEc2 outcome);
extern void pa_metric_verdict(PaMetricVerdict verdict);
extern void pa_metric_token_refused(void);
extern void pa_metric_log_dropped(void);

/* the store has written, or not, what was in its queue; duration in us */
extern void pa_metric_commit(bool good, int64_t duration);

#endif							/* PA_AGENT_METRIC_H */
