/*-------------------------------------------------------------------------
 *
 * src/agent/exposition.c
 *		Metrics as text.  Contract in exposition.h.
 *
 * https://prometheus.io/docs/instrumenting/exposition_formats/
 *
 *-------------------------------------------------------------------------
 */
#include "exposition.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "status_name.h"

#define MAX_LABELS		3
#define PREFIX			"power_agent_"

/* the index-th value of a label; NULL: there is no such */
typedef const char *(*LabelValue) (const PaMetrics *metrics, int index);

typedef struct Label
{
	const char *name;			/* NULL: no more labels */
	LabelValue	value;
	int			count;
} Label;

typedef enum FamilyType
{
	FAMILY_COUNTER,
	FAMILY_GAUGE,
	FAMILY_HISTOGRAM
} FamilyType;

/* an array in PaMetrics with a dimension for each label */
typedef struct Family
{
	const char *name;			/* behind the prefix */
	const char *help;
	FamilyType	type;
	bool		sparse;			/* those that are 0 are left out */
	size_t		offset;			/* in PaMetrics */
	Label		labels[MAX_LABELS + 1];
} Family;

/* labels of one sample, as many as are not NULL */
typedef struct Labels
{
	const char *names[MAX_LABELS];
	const char *values[MAX_LABELS];
} Labels;

static const char *
method_name(const PaMetrics *metrics, int index)
{
	return pa_method_name((PaMethod) index);
}

static const char *
code_name(const PaMetrics *metrics, int index)
{
	return pa_status_name(index);
}

static const char *
outcome_name(const PaMetrics *metrics, int index)
{
	return index == PA_METRIC_REFUSED ? "REFUSED" : pa_status_name(index);
}

static const char *
provider_name(const PaMetrics *metrics, int index)
{
	return metrics->providers[index];
}

static const char *
verb_name(const PaMetrics *metrics, int index)
{
	static const char *const names[PA_METRIC_VERBS] = {
		[PA_PROVIDER_START] = "start",
		[PA_PROVIDER_STOP] = "stop",
		[PA_PROVIDER_DESCRIBE] = "describe"
	};

	return names[index];
}

static const char *
ec2_action_name(const PaMetrics *metrics, int index)
{
	static const char *const names[PA_METRIC_VERBS] = {
		[PA_PROVIDER_START] = "StartInstances",
		[PA_PROVIDER_STOP] = "StopInstances",
		[PA_PROVIDER_DESCRIBE] = "DescribeInstances"
	};

	return names[index];
}

static const char *
ec2_outcome_name(const PaMetrics *metrics, int index)
{
	static const char *const names[PA_METRIC_EC2_OUTCOMES] = {
		[PA_METRIC_EC2_OK] = "ok",
		[PA_METRIC_EC2_THROTTLED] = "throttled",
		[PA_METRIC_EC2_REFUSED] = "refused",
		[PA_METRIC_EC2_FAILED] = "failed",
		[PA_METRIC_EC2_UNREACHABLE] = "unreachable"
	};

	return names[index];
}

static const char *
verdict_name(const PaMetrics *metrics, int index)
{
	static const char *const names[PA_METRIC_VERDICTS] = {
		[PA_METRIC_NEW] = "new",
		[PA_METRIC_RUNNING] = "running",
		[PA_METRIC_ANSWERED] = "answered",
		[PA_METRIC_STALE] = "stale",
		[PA_METRIC_CONFLICT] = "conflict"
	};

	return names[index];
}

#define METHOD		{"method", method_name, PA_METRIC_METHODS}
#define PROVIDER	{"provider", provider_name, PA_METRIC_PROVIDERS}
#define VERB		{"verb", verb_name, PA_METRIC_VERBS}

static const Family families[] = {
	{"calls_total", "Calls that have ended, by the gRPC status they ended with; PowerStream is a stream as a whole.",
		FAMILY_COUNTER, false, offsetof(PaMetrics, calls),
	{METHOD, {"code", code_name, PA_METRIC_CODES}}},
	{"calls_in_flight", "Calls that have come and not ended.",
		FAMILY_GAUGE, false, offsetof(PaMetrics, calls_in_flight), {METHOD}},
	{"call_duration_seconds", "From the receipt of a call to its end.",
		FAMILY_HISTOGRAM, false, offsetof(PaMetrics, call_durations), {METHOD}},
	{"provider_requests_total",
		"Orders (start, stop) and questions (describe) that a provider is done with.",
		FAMILY_COUNTER, true, offsetof(PaMetrics, provider_requests),
		{PROVIDER, VERB, {"outcome", outcome_name, PA_METRIC_OUTCOMES}}},
	{"provider_requests_in_flight",
		"Orders and questions that a provider has, those that wait for their account's turn included.",
		FAMILY_GAUGE, false, offsetof(PaMetrics, provider_in_flight), {PROVIDER}},
	{"provider_request_duration_seconds",
		"From giving a request to its provider to the provider's answer.",
		FAMILY_HISTOGRAM, true, offsetof(PaMetrics, provider_durations),
	{PROVIDER, VERB}},
	{"ec2_calls_total", "Calls to the EC2 API that have ended.",
		FAMILY_COUNTER, false, offsetof(PaMetrics, ec2_calls),
		{{"action", ec2_action_name, PA_METRIC_VERBS},
		{"outcome", ec2_outcome_name, PA_METRIC_EC2_OUTCOMES}}},
	{"ledger_orders_total",
		"Orders by what was known of them: new, a repetition of one running or answered, stale, or the request id of another.",
		FAMILY_COUNTER, false, offsetof(PaMetrics, verdicts),
	{{"verdict", verdict_name, PA_METRIC_VERDICTS}}},
	{"token_refusals_total", "Calls that were refused for want of a valid token.",
		FAMILY_COUNTER, false, offsetof(PaMetrics, token_refusals), {{NULL}}},
	{"log_lines_dropped_total", "Lines of the log that its reader left no room for.",
		FAMILY_COUNTER, false, offsetof(PaMetrics, log_dropped), {{NULL}}},
	{"state_commit_duration_seconds",
		"Transactions on the state file, those that failed included.",
		FAMILY_HISTOGRAM, false, offsetof(PaMetrics, commit_durations), {{NULL}}},
	{"state_commit_failures_total", "Transactions on the state file that failed.",
		FAMILY_COUNTER, false, offsetof(PaMetrics, commit_failures), {{NULL}}}
};

static const char *const type_names[] = {
	[FAMILY_COUNTER] = "counter",
	[FAMILY_GAUGE] = "gauge",
	[FAMILY_HISTOGRAM] = "histogram"
};

void
pa_exposition_write_value(FILE *file, const char *value)
{
	for (; *value != '\0'; value++)
	{
		if (*value == '\n')
			fputs("\\n", file);
		else
		{
			if (*value == '\\' || *value == '"')
				fputc('\\', file);
			fputc(*value, file);
		}
	}
}

/* "more" is one more label, of this name; NULL: none */
static void
write_labels(FILE *file, const Labels *labels, const char *more,
			 const char *value)
{
	const char *separator = "{";

	for (int i = 0; i < MAX_LABELS && labels->names[i] != NULL; i++)
	{
		fprintf(file, "%s%s=\"", separator, labels->names[i]);
		pa_exposition_write_value(file, labels->values[i]);
		fputc('"', file);
		separator = ",";
	}
	if (more != NULL)
	{
		fprintf(file, "%s%s=\"%s\"", separator, more, value);
		separator = ",";
	}
	if (separator[0] == ',')
		fputc('}', file);
}

static void
write_head(FILE *file, const char *prefix, const char *name, FamilyType type,
		   const char *help)
{
	fprintf(file, "# HELP %s%s %s\n# TYPE %s%s %s\n", prefix, name, help,
			prefix, name, type_names[type]);
}

static void
write_seconds(FILE *file, uint64_t microseconds)
{
	fprintf(file, "%" PRIu64 ".%06" PRIu64 "\n", microseconds / 1000000,
			microseconds % 1000000);
}

static uint64_t
read_counter(const PaCounter *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static void
write_counter(FILE *file, const Family *family, const PaCounter *counter,
			  const Labels *labels)
{
	uint64_t	number = read_counter(counter);

	if (number == 0 && family->sparse)
		return;
	fprintf(file, PREFIX "%s", family->name);
	write_labels(file, labels, NULL, NULL);
	/* what is subtracted may be seen before what it was added to */
	if (family->type == FAMILY_GAUGE)
		fprintf(file, " %" PRId64 "\n", (int64_t) number);
	else
		fprintf(file, " %" PRIu64 "\n", number);
}

/*
 * Each bucket is read once, and the count is their sum: it is that of the
 * last bucket, whatever is counted meanwhile.
 */
static void
write_histogram(FILE *file, const Family *family, const PaHistogram *histogram,
				const Labels *labels)
{
	uint64_t	buckets[PA_METRIC_BUCKETS + 1];
	uint64_t	count = 0;

	for (int i = 0; i <= PA_METRIC_BUCKETS; i++)
		buckets[i] = count += read_counter(&histogram->buckets[i]);
	if (count == 0 && family->sparse)
		return;
	for (int i = 0; i <= PA_METRIC_BUCKETS; i++)
	{
		char		bound[32] = "+Inf";

		if (i < PA_METRIC_BUCKETS)
			snprintf(bound, sizeof(bound), "%g",
					 (double) pa_metric_bounds[i] / 1e6);
		fprintf(file, PREFIX "%s_bucket", family->name);
		write_labels(file, labels, "le", bound);
		fprintf(file, " %" PRIu64 "\n", buckets[i]);
	}
	fprintf(file, PREFIX "%s_sum", family->name);
	write_labels(file, labels, NULL, NULL);
	fputc(' ', file);
	write_seconds(file, read_counter(&histogram->sum));
	fprintf(file, PREFIX "%s_count", family->name);
	write_labels(file, labels, NULL, NULL);
	fprintf(file, " %" PRIu64 "\n", count);
}

/* false: one of the labels has no value at this place */
static bool
find_labels(const PaMetrics *metrics, const Family *family, int place,
			Labels *labels)
{
	int			count = 0;

	while (family->labels[count].name != NULL)
		count++;
	for (int i = count - 1; i >= 0; i--)
	{
		const Label *label = &family->labels[i];

		labels->names[i] = label->name;
		labels->values[i] = label->value(metrics, place % label->count);
		if (labels->values[i] == NULL)
			return false;
		place /= label->count;
	}
	return true;
}

static void
write_family(FILE *file, const PaMetrics *metrics, const Family *family)
{
	const char *base = (const char *) metrics + family->offset;
	int			places = 1;

	write_head(file, PREFIX, family->name, family->type, family->help);
	for (const Label *label = family->labels; label->name != NULL; label++)
		places *= label->count;
	for (int place = 0; place < places; place++)
	{
		Labels		labels = {{NULL}, {NULL}};

		if (!find_labels(metrics, family, place, &labels))
			continue;
		if (family->type == FAMILY_HISTOGRAM)
			write_histogram(file, family, (const PaHistogram *) (const void *) base + place,
							&labels);
		else
			write_counter(file, family, (const PaCounter *) (const void *) base + place,
						  &labels);
	}
}

/* a metric that every program has, by its standard name */
static void
write_process(FILE *file, const char *name, FamilyType type, const char *help,
			  int64_t number, bool seconds)
{
	if (number < 0)
		return;
	write_head(file, "process_", name, type, help);
	fprintf(file, "process_%s ", name);
	if (seconds)
		write_seconds(file, (uint64_t) number);
	else
		fprintf(file, "%" PRId64 "\n", number);
}

static void
write_build(FILE *file, const PaBuild *build)
{
	Labels		labels = {
		{"version", "grpc_version"},
		{build->version, build->grpc_version}
	};

	write_head(file, PREFIX, "build_info", FAMILY_GAUGE,
			   "1, with what power_agent is made of.");
	fputs(PREFIX "build_info", file);
	write_labels(file, &labels, NULL, NULL);
	fputs(" 1\n", file);
}

void
pa_exposition_write(FILE *file, const PaMetrics *metrics, const PaBuild *build,
					const PaProcessUsage *usage)
{
	write_build(file, build);
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		write_family(file, metrics, &families[i]);
	write_process(file, "start_time_seconds", FAMILY_GAUGE,
				  "Start of the process since the Unix epoch.",
				  usage->start_time, true);
	write_process(file, "cpu_seconds_total", FAMILY_COUNTER,
				  "Processor time of all threads, user and system.",
				  usage->cpu, true);
	write_process(file, "resident_memory_bytes", FAMILY_GAUGE,
				  "Resident memory.", usage->resident, false);
	write_process(file, "virtual_memory_bytes", FAMILY_GAUGE,
				  "Size of the address space.", usage->virtual, false);
	write_process(file, "open_fds", FAMILY_GAUGE, "Open file descriptors.",
				  usage->open_fds, false);
	write_process(file, "max_fds", FAMILY_GAUGE,
				  "How many file descriptors may be open.", usage->max_fds,
				  false);
}
