/*-------------------------------------------------------------------------
 *
 * src/stats.c
 *		What the processes know, as SQL functions.  See stats.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "stats.h"

PG_FUNCTION_INFO_V1(pa_stats_worker_state);
PG_FUNCTION_INFO_V1(pa_stats_agent_state);
PG_FUNCTION_INFO_V1(pa_stats_lock_waits);
PG_FUNCTION_INFO_V1(pa_stats_origin_system);

const char *
pa_stats_worker_state_name(PaWorkerState state)
{
	switch (state)
	{
		case PA_WORKER_NONE:
			return "none";
		case PA_WORKER_STARTING:
			return "starting";
		case PA_WORKER_RUNNING:
			return "running";
		case PA_WORKER_STOPPING:
			return "stopping";
	}
	return "unknown";
}

const char *
pa_stats_agent_state_name(PaAgentState state)
{
	switch (state)
	{
		case PA_AGENT_UNKNOWN:
			return "unknown";
		case PA_AGENT_CONNECTING:
			return "connecting";
		case PA_AGENT_READY:
			return "ready";
		case PA_AGENT_UNREACHABLE:
			return "unreachable";
		case PA_AGENT_STOPPED:
			return "stopped";
	}
	return "unknown";
}

Datum
pa_stats_worker_state(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rows = (ReturnSetInfo *) fcinfo->resultinfo;
	PaWorkerStatus *workers = NULL;
	int			count = 0;

	InitMaterializedSRF(fcinfo, 0);
	if (pa_shared_available())
		count = pa_shared_read_workers(InvalidOid, &workers);

	for (int i = 0; i < count; i++)
	{
		const PaWorkerStatus *worker = &workers[i];
		/* the columns after the counters */
		static const PaPhase phases[] = {
			PA_PHASE_RECEIVE, PA_PHASE_READ, PA_PHASE_SEND, PA_PHASE_WRITE,
			PA_PHASE_COMMIT
		};
		Datum		values[11 + lengthof(phases)];
		bool		nulls[11 + lengthof(phases)] = {false};

		values[0] = ObjectIdGetDatum(worker->database);
		values[1] = Int32GetDatum(worker->pid);
		nulls[1] = worker->pid == 0;
		values[2] = CStringGetTextDatum(
			pa_stats_worker_state_name(worker->state));
		values[3] = TimestampTzGetDatum(worker->since);
		nulls[3] = worker->since == 0;
		values[4] = Int64GetDatum(worker->counters.in_flight);
		values[5] = Int64GetDatum(worker->counters.deferred);
		values[6] = Int64GetDatum(worker->counters.calls);
		values[7] = Int64GetDatum(worker->counters.finished);
		values[8] = Int64GetDatum(worker->counters.errors);
		values[9] = Int32GetDatum(worker->counters.courier_pid);
		nulls[9] = worker->counters.courier_pid == 0;
		values[10] = Int64GetDatum(worker->counters.courier_starts);
		for (size_t p = 0; p < lengthof(phases); p++)
			values[11 + p] = Float8GetDatum((double)
											worker->counters.spent[phases[p]] /
											1000);
		tuplestore_putvalues(rows->setResult, rows->setDesc, values, nulls);
	}
	return (Datum) 0;
}

Datum
pa_stats_agent_state(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rows = (ReturnSetInfo *) fcinfo->resultinfo;
	PaAgentStatus *agents = NULL;
	int			count = 0;

	InitMaterializedSRF(fcinfo, 0);
	if (pa_shared_available())
		count = pa_shared_read_agents(MyDatabaseId, &agents);

	for (int i = 0; i < count; i++)
	{
		const PaAgentStatus *agent = &agents[i];
		Datum		values[5];
		bool		nulls[5] = {false};

		values[0] = CStringGetTextDatum(agent->server_name);
		values[1] = CStringGetTextDatum(
			pa_stats_agent_state_name(agent->state));
		values[2] = TimestampTzGetDatum(agent->since);
		nulls[2] = agent->since == 0;
		values[3] = Int32GetDatum(agent->in_flight);
		nulls[4] = agent->last_error[0] == '\0';
		values[4] = nulls[4] ? 0 : CStringGetTextDatum(agent->last_error);
		tuplestore_putvalues(rows->setResult, rows->setDesc, values, nulls);
	}
	return (Datum) 0;
}

Datum
pa_stats_lock_waits(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rows = (ReturnSetInfo *) fcinfo->resultinfo;
	int64	   *event_ids = NULL;
	int			count = 0;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (pa_shared_available())
		count = pa_shared_read_lock_waits(MyDatabaseId, &event_ids);

	for (int i = 0; i < count; i++)
	{
		Datum		value = Int64GetDatum(event_ids[i]);
		bool		isnull = false;

		tuplestore_putvalues(rows->setResult, rows->setDesc, &value, &isnull);
	}
	return (Datum) 0;
}

Datum
pa_stats_origin_system(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64((int64) GetSystemIdentifier());
}
