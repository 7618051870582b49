/*-------------------------------------------------------------------------
 *
 * src/agent/metric.c
 *		What the agent counts of itself.  Contract in metric.h.
 *
 *-------------------------------------------------------------------------
 */
#include "metric.h"

#include <string.h>

PaMetrics	pa_metrics = {.providers = {"none"}};

/* from an agent that answers from memory to a cloud that takes its time */
const int64_t pa_metric_bounds[PA_METRIC_BUCKETS] = {
	500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000,
	1000000, 2500000, 5000000, 10000000, 30000000, 60000000
};

static void
add(PaCounter *counter, uint64_t number)
{
	atomic_fetch_add_explicit(counter, number, memory_order_relaxed);
}

static void
subtract(PaCounter *counter, uint64_t number)
{
	atomic_fetch_sub_explicit(counter, number, memory_order_relaxed);
}

static void
observe(PaHistogram *histogram, int64_t duration)
{
	int			bucket = 0;

	if (duration < 0)
		duration = 0;
	while (bucket < PA_METRIC_BUCKETS && duration > pa_metric_bounds[bucket])
		bucket++;
	add(&histogram->sum, (uint64_t) duration);
	add(&histogram->buckets[bucket], 1);
}

void
pa_metric_add_provider(const char *name)
{
	for (int i = 1; i < PA_METRIC_PROVIDERS; i++)
	{
		if (pa_metrics.providers[i] == NULL)
		{
			pa_metrics.providers[i] = name;
			return;
		}
	}
}

/* its place among the names, 0 if it has none */
static int
find_provider(const char *name)
{
	for (int i = 1; name != NULL && i < PA_METRIC_PROVIDERS; i++)
	{
		if (pa_metrics.providers[i] == NULL)
			break;
		if (strcmp(pa_metrics.providers[i], name) == 0)
			return i;
	}
	return 0;
}

/* a code that gRPC does not have is its UNKNOWN, 2 */
static int
known_code(int code)
{
	return code >= 0 && code < PA_METRIC_CODES ? code : 2;
}

void
pa_metric_call_begin(PaMethod method)
{
	add(&pa_metrics.calls_in_flight[method], 1);
}

void
pa_metric_call_end(PaMethod method, int code, int64_t duration)
{
	subtract(&pa_metrics.calls_in_flight[method], 1);
	add(&pa_metrics.calls[method][known_code(code)], 1);
	observe(&pa_metrics.call_durations[method], duration);
}

void
pa_metric_provider_begin(const char *provider)
{
	add(&pa_metrics.provider_in_flight[find_provider(provider)], 1);
}

void
pa_metric_provider_leave(const char *provider)
{
	subtract(&pa_metrics.provider_in_flight[find_provider(provider)], 1);
}

void
pa_metric_provider_end(const char *provider, PaProviderVerb verb, int status,
					   int error, int64_t duration)
{
	int			i = find_provider(provider);
	int			outcome = known_code(status);

	if (outcome == 0 && error != 0)
		outcome = PA_METRIC_REFUSED;
	add(&pa_metrics.provider_requests[i][verb][outcome], 1);
	observe(&pa_metrics.provider_durations[i][verb], duration);
}

void
pa_metric_ec2_call(PaProviderVerb verb, PaMetricEc2 outcome)
{
	add(&pa_metrics.ec2_calls[verb][outcome], 1);
}

void
pa_metric_verdict(PaMetricVerdict verdict)
{
	add(&pa_metrics.verdicts[verdict], 1);
}

void
pa_metric_token_refused(void)
{
	add(&pa_metrics.token_refusals, 1);
}

void
pa_metric_log_dropped(void)
{
	add(&pa_metrics.log_dropped, 1);
}

void
pa_metric_commit(bool good, int64_t duration)
{
	observe(&pa_metrics.commit_durations, duration);
	if (!good)
		add(&pa_metrics.commit_failures, 1);
}
