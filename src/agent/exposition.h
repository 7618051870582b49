/*-------------------------------------------------------------------------
 *
 * src/agent/exposition.h
 *		Metrics as text, in version 0.0.4 of Prometheus' exposition format.
 *
 * Pure: what is written is what was given.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PA_AGENT_EXPOSITION_H
#define PA_AGENT_EXPOSITION_H

#include <stdint.h>
#include <stdio.h>

#include "metric.h"
#include "process_usage.h"

#define PA_EXPOSITION_TYPE	"text/plain; version=0.0.4; charset=utf-8"

/* what this program is made of */
typedef struct PaBuild
{
	const char *version;
	const char *grpc_version;
} PaBuild;

/*
 * Writes all metrics.  Counters with several labels are left out while they
 * are 0, but for those of calls.
 */
extern void pa_exposition_write(FILE *file, const PaMetrics *metrics,
								const PaBuild *build,
								const PaProcessUsage *usage);

/* a label's value between its quotes */
extern void pa_exposition_write_value(FILE *file, const char *value);

#endif							/* PA_AGENT_EXPOSITION_H */
