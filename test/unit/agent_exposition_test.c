/* objects: agent/exposition agent/metric agent/method agent/process_usage agent/status_name */
/*-------------------------------------------------------------------------
 *
 * test/unit/agent_exposition_test.c
 *		What is counted, by several threads at once, and the text that it
 *		becomes.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE 1

#include "agent/exposition.h"

#include <pthread.h>
#include <stdlib.h>

#include "agent/status_name.h"

#include "unit.h"

#define THREADS		4
#define ROUNDS		500000

static const PaBuild build = {"1.0", "25.0.0 \"q\" \\ \n end"};
static const PaProcessUsage usage = {
	.start_time = 1700000000123456, .cpu = 1500000, .resident = 4096,
	.virtual = -1, .open_fds = 7, .max_fds = 1024
};

/* all metrics; until the next time */
static const char *
written(void)
{
	static char text[256 * 1024];
	FILE	   *file = fmemopen(text, sizeof(text), "w");

	pa_exposition_write(file, &pa_metrics, &build, &usage);
	fclose(file);
	return text;
}

static bool
has_line(const char *text, const char *line)
{
	size_t		length = strlen(line);

	for (const char *at = text; (at = strstr(at, line)) != NULL; at++)
	{
		if ((at == text || at[-1] == '\n') && at[length] == '\n')
			return true;
	}
	return false;
}

static void
check_line(const char *text, const char *line)
{
	ok(has_line(text, line), "%s", line);
}

static void
check_lacks(const char *text, const char *part)
{
	ok(strstr(text, part) == NULL, "no %s", part);
}

static pthread_barrier_t together;

static void *
count(void *data)
{
	pthread_barrier_wait(&together);
	for (int i = 0; i < ROUNDS; i++)
	{
		pa_metric_call_begin(PA_METHOD_HEALTH);
		pa_metric_call_end(PA_METHOD_HEALTH, PA_STATUS_OK, i % 2000);
	}
	return NULL;
}

/* no bucket is higher than the next, and the last is the count */
static bool
rises(const char *text)
{
	static const char bucket[] = "power_agent_call_duration_seconds_bucket{method=\"HealthCheck\",";
	static const char total[] = "power_agent_call_duration_seconds_count{method=\"HealthCheck\"}";
	const char *count_at = strstr(text, total);
	unsigned long long last = 0;

	for (const char *at = strstr(text, bucket); at != NULL;
		 at = strstr(at + 1, bucket))
	{
		unsigned long long number = strtoull(at + strcspn(at, " "), NULL, 10);

		if (number < last)
			return false;
		last = number;
	}
	return count_at != NULL &&
		strtoull(count_at + strcspn(count_at, " "), NULL, 10) == last;
}

static void
check_threads(void)
{
	pthread_t	threads[THREADS];
	bool		consistent = true;
	const char *text;

	pthread_barrier_init(&together, NULL, THREADS);
	for (int i = 0; i < THREADS; i++)
	{
		if (pthread_create(&threads[i], NULL, count, NULL) != 0)
			abort();
	}
	for (int i = 0; i < 50; i++)
		consistent = rises(written()) && consistent;
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&together);
	ok(consistent, "a histogram is consistent while it is counted");
	text = written();
	check_line(text, "power_agent_calls_total{method=\"HealthCheck\",code=\"OK\"} 2000000");
	check_line(text, "power_agent_call_duration_seconds_count{method=\"HealthCheck\"} 2000000");
	check_line(text, "power_agent_call_duration_seconds_sum{method=\"HealthCheck\"} 1999.000000");
	check_line(text, "power_agent_calls_in_flight{method=\"HealthCheck\"} 0");
}

static void
check_labels(void)
{
	const char *text = written();

	check_line(text, "power_agent_build_info{version=\"1.0\",grpc_version=\"25.0.0 \\\"q\\\" \\\\ \\n end\"} 1");
	check_line(text, "process_start_time_seconds 1700000000.123456");
	check_line(text, "process_cpu_seconds_total 1.500000");
	check_line(text, "process_resident_memory_bytes 4096");
	check_line(text, "process_open_fds 7");
	check_lacks(text, "process_virtual_memory_bytes");
	check_line(text, "# TYPE power_agent_calls_total counter");
	check_line(text, "power_agent_calls_total{method=\"PowerOnCluster\",code=\"UNAVAILABLE\"} 0");
	check_line(text, "power_agent_calls_in_flight{method=\"PowerStream\"} 0");
	check_line(text, "power_agent_provider_requests_in_flight{provider=\"none\"} 0");
	check_line(text, "power_agent_token_refusals_total 0");
	check_lacks(text, "power_agent_provider_requests_total{");
	check_lacks(text, "(null)");
}

static void
check_histogram(void)
{
	static const int64_t durations[] = {-5, 500, 501, 1000, 60000000, 60000001};
	const char *text;

	for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++)
		pa_metric_commit(i > 0, durations[i]);
	text = written();
	check_line(text, "# TYPE power_agent_state_commit_duration_seconds histogram");
	check_line(text, "power_agent_state_commit_duration_seconds_bucket{le=\"0.0005\"} 2");
	check_line(text, "power_agent_state_commit_duration_seconds_bucket{le=\"0.001\"} 4");
	check_line(text, "power_agent_state_commit_duration_seconds_bucket{le=\"30\"} 4");
	check_line(text, "power_agent_state_commit_duration_seconds_bucket{le=\"60\"} 5");
	check_line(text, "power_agent_state_commit_duration_seconds_bucket{le=\"+Inf\"} 6");
	check_line(text, "power_agent_state_commit_duration_seconds_count 6");
	check_line(text, "power_agent_state_commit_duration_seconds_sum 120.002002");
	check_line(text, "power_agent_state_commit_failures_total 1");
}

static void
check_counts(void)
{
	const char *text;

	pa_metric_call_begin(PA_METHOD_POWER_ON);
	pa_metric_call_begin(PA_METHOD_POWER_ON);
	pa_metric_call_end(PA_METHOD_POWER_ON, PA_STATUS_UNAVAILABLE, 1);
	pa_metric_call_end(PA_METHOD_UNKNOWN, 99, 1);
	pa_metric_add_provider("ec2");
	pa_metric_add_provider("simulated");
	pa_metric_log_dropped();
	pa_metric_provider_begin("simulated");
	pa_metric_provider_begin("simulated");
	pa_metric_provider_leave("simulated");
	pa_metric_provider_end("simulated", PA_PROVIDER_STOP, PA_STATUS_OK, 0, 1);
	pa_metric_provider_end("simulated", PA_PROVIDER_STOP, PA_STATUS_OK, 7, 1);
	pa_metric_provider_end("ec2", PA_PROVIDER_START, PA_STATUS_ABORTED, 7, 1);
	pa_metric_provider_end(NULL, PA_PROVIDER_DESCRIBE, PA_STATUS_NOT_FOUND, 0, 1);
	pa_metric_provider_end("unheard-of", PA_PROVIDER_DESCRIBE, PA_STATUS_NOT_FOUND, 0, 1);
	pa_metric_ec2_call(PA_PROVIDER_STOP, PA_METRIC_EC2_THROTTLED);
	pa_metric_verdict(PA_METRIC_STALE);
	pa_metric_token_refused();
	text = written();
	check_line(text, "power_agent_log_lines_dropped_total 1");
	check_line(text, "power_agent_calls_total{method=\"PowerOnCluster\",code=\"UNAVAILABLE\"} 1");
	check_line(text, "power_agent_calls_total{method=\"unknown\",code=\"UNKNOWN\"} 1");
	/* one more of these has ended than has begun, which a scrape may see */
	check_line(text, "power_agent_calls_in_flight{method=\"unknown\"} -1");
	check_line(text, "power_agent_calls_in_flight{method=\"PowerOnCluster\"} 1");
	check_line(text, "power_agent_provider_requests_total{provider=\"simulated\",verb=\"stop\",outcome=\"OK\"} 1");
	check_line(text, "power_agent_provider_requests_total{provider=\"simulated\",verb=\"stop\",outcome=\"REFUSED\"} 1");
	check_line(text, "power_agent_provider_requests_total{provider=\"ec2\",verb=\"start\",outcome=\"ABORTED\"} 1");
	check_line(text, "power_agent_provider_requests_total{provider=\"none\",verb=\"describe\",outcome=\"NOT_FOUND\"} 2");
	check_line(text, "power_agent_provider_requests_in_flight{provider=\"simulated\"} 1");
	check_line(text, "power_agent_provider_request_duration_seconds_count{provider=\"simulated\",verb=\"stop\"} 2");
	check_lacks(text, "power_agent_provider_requests_total{provider=\"ec2\",verb=\"stop\"");
	check_line(text, "power_agent_ec2_calls_total{action=\"StopInstances\",outcome=\"throttled\"} 1");
	check_line(text, "power_agent_ledger_orders_total{verdict=\"stale\"} 1");
	check_line(text, "power_agent_token_refusals_total 1");
	check_lacks(text, "unheard-of");
}

static void
check_usage(void)
{
	PaProcessUsage own = {0};

	pa_process_usage_read(&own);
	ok(pa_process_start_time() > 1500000000000000, "when the process began");
	ok(own.cpu > 0 && own.resident > 0 && own.virtual >= own.resident,
	   "what it uses");
	ok(own.open_fds >= 3 && own.open_fds <= own.max_fds,
	   "file descriptors: %lld", (long long) own.open_fds);
}

int
main(void)
{
	check_labels();
	check_histogram();
	check_threads();
	check_counts();
	check_usage();
	return unit_done();
}
