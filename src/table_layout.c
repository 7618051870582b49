/*-------------------------------------------------------------------------
 *
 * src/table_layout.c
 *		The columns of tables.  See table_layout.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "table_layout.h"

const PaColumn pa_account_columns[PA_ACCOUNT_COLUMNS] = {
	{"account_name", TEXTOID}, {"account_id", TEXTOID},
	{"provider", TEXTOID}, {"server_name", TEXTOID}, {"labels", JSONBOID}
};

const PaColumn pa_cluster_columns[PA_CLUSTER_COLUMNS] = {
	{"cluster_id", TEXTOID}, {"cluster_name", TEXTOID},
	{"account_name", TEXTOID}, {"region", TEXTOID}, {"owner", TEXTOID},
	{"status", TEXTOID}, {"status_source", TEXTOID},
	{"status_changed_at", TIMESTAMPTZOID}, {"labels", JSONBOID}
};

const PaColumn pa_instance_columns[PA_INSTANCE_COLUMNS] = {
	{"cluster_id", TEXTOID}, {"instance_id", TEXTOID},
	{"instance_name", TEXTOID}, {"zone", TEXTOID}, {"status", TEXTOID},
	{"labels", JSONBOID}
};

const PaColumn pa_event_columns[PA_EVENT_COLUMNS] = {
	{"event_id", INT8OID}, {"action", TEXTOID}, {"cluster_id", TEXTOID},
	{"cluster_name", TEXTOID}, {"account_name", TEXTOID},
	{"server_name", TEXTOID}, {"triggered_by", TEXTOID},
	{"description", TEXTOID}, {"status", TEXTOID},
	{"agent_result", TEXTOID, "none"}, {"error_source", TEXTOID},
	{"error_code", TEXTOID}, {"error_message", TEXTOID},
	{"requested_by", TEXTOID}, {"client_addr", INETOID},
	{"application_name", TEXTOID}, {"requested_at", TIMESTAMPTZOID},
	{"not_before", TIMESTAMPTZOID}, {"expires_at", TIMESTAMPTZOID},
	{"started_at", TIMESTAMPTZOID}, {"finished_at", TIMESTAMPTZOID},
	{"attempts", INT4OID, "0"}, {"priority", INT2OID, "0"},
	{"request_key", TEXTOID},
	{"superseded_by", INT8OID}, {"cancelled_by", TEXTOID},
	{"cancel_reason", TEXTOID}, {"instances_total", INT4OID},
	{"instances_done", INT4OID}, {"instances_failed", TEXTARRAYOID}
};

const PaColumn pa_job_columns[PA_JOB_COLUMNS] = {
	{"event_id", INT8OID}, {"cluster_id", TEXTOID},
	{"server_name", TEXTOID}, {"account_name", TEXTOID},
	{"priority", INT2OID}, {"due_at", TIMESTAMPTZOID},
	{"not_before", TIMESTAMPTZOID}, {"expires_at", TIMESTAMPTZOID},
	{"retry_at", TIMESTAMPTZOID}, {"origin_system", INT8OID},
	{"origin_database", OIDOID}
};
