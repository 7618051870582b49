/* sql/power_action--1.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION power_action" to load this file. \quit

-- Nothing but what is named here in full is found outside of pg_catalog.
SET LOCAL search_path TO pg_catalog, pg_temp;

--
-- A schema of that name may exist: after DROP EXTENSION, or because pg_dump
-- creates it first.  Whoever else owns it, may create objects in it or has
-- done so could replace what is called here, so all that is refused.
--
DO $$
DECLARE
	schema_owner pg_catalog.oid;
	stranger pg_catalog.text;
BEGIN
	SELECT n.nspowner INTO schema_owner
	FROM pg_catalog.pg_namespace n
	WHERE n.nspname = 'power_action';

	IF schema_owner <> (SELECT r.oid FROM pg_catalog.pg_roles r
						WHERE r.rolname = current_user)
	   AND NOT (SELECT r.rolsuper FROM pg_catalog.pg_roles r
				WHERE r.oid = schema_owner)
	THEN
		RAISE EXCEPTION 'schema power_action exists and belongs to "%"',
				pg_catalog.pg_get_userbyid(schema_owner)
			USING ERRCODE = 'insufficient_privilege',
				  HINT = 'Drop or rename that schema, or give it to the owner of the extension.';
	END IF;

	SELECT CASE WHEN a.grantee = 0 THEN 'PUBLIC'
				ELSE pg_catalog.pg_get_userbyid(a.grantee)::pg_catalog.text END
	INTO stranger
	FROM pg_catalog.pg_namespace n,
		 pg_catalog.aclexplode(n.nspacl) a
	WHERE n.nspname = 'power_action'
		  AND a.privilege_type = 'CREATE'
		  AND a.grantee <> n.nspowner
	LIMIT 1;

	IF stranger IS NOT NULL THEN
		RAISE EXCEPTION 'schema power_action exists and lets % create objects in it',
				stranger
			USING ERRCODE = 'insufficient_privilege',
				  HINT = 'REVOKE CREATE ON SCHEMA power_action first.';
	END IF;

	SELECT pg_catalog.pg_get_userbyid(o.refobjid)
	INTO stranger
	FROM pg_catalog.pg_namespace n,
		 pg_catalog.pg_depend d,
		 pg_catalog.pg_shdepend o
	WHERE n.nspname = 'power_action'
		  AND d.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
		  AND d.refobjid = n.oid
		  AND o.dbid = (SELECT b.oid FROM pg_catalog.pg_database b
						WHERE b.datname = pg_catalog.current_database())
		  AND o.classid = d.classid
		  AND o.objid = d.objid
		  AND o.deptype = 'o'
		  AND o.refobjid <> n.nspowner
		  AND NOT (SELECT r.rolsuper FROM pg_catalog.pg_roles r
				   WHERE r.oid = o.refobjid)
	LIMIT 1;

	IF stranger IS NOT NULL THEN
		RAISE EXCEPTION 'schema power_action exists and has objects of "%"',
				stranger
			USING ERRCODE = 'insufficient_privilege',
				  HINT = 'Drop them, or move them to another schema.';
	END IF;
END
$$;

REVOKE ALL ON SCHEMA power_action FROM PUBLIC;
COMMENT ON SCHEMA power_action IS
	'Cluster power operations: requests, their queue, inventory and history';

--
-- Inventory
--
CREATE TABLE power_action.account (
	account_name text COLLATE "C" PRIMARY KEY
		CHECK (account_name <> '' AND octet_length(account_name) <= 255),
	account_id text CHECK (octet_length(account_id) <= 255),
	provider text,
	server_name text COLLATE "C" NOT NULL DEFAULT 'agent'
		CHECK (server_name <> '' AND octet_length(server_name) <= 63),
	labels jsonb NOT NULL DEFAULT '{}'
);

-- The worker tells lanes apart by this (job_lane_idx).  No two have the same by
-- chance, but names can be made up that do.
CREATE UNIQUE INDEX account_lane_idx ON power_action.account
	((hashtextextended(server_name, hashtextextended(account_name, 0))));

REVOKE ALL ON power_action.account FROM PUBLIC;
COMMENT ON INDEX power_action.account_lane_idx IS
	'no two accounts share a hash of server_name and account_name: 23505';
COMMENT ON TABLE power_action.account IS
	'Cloud accounts, and the agent that acts in each';
COMMENT ON COLUMN power_action.account.account_name IS
	'name of the account, sent to the agent; at most 255 bytes';
COMMENT ON COLUMN power_action.account.account_id IS
	'id of the account at its provider; sent instead of the name if the server has account_field ''id''; at most 255 bytes';
COMMENT ON COLUMN power_action.account.provider IS
	'cloud provider, in free words';
COMMENT ON COLUMN power_action.account.server_name IS
	'foreign server of the wrapper power_agent through which the agent is reached; set by the owner of the extension only';
COMMENT ON COLUMN power_action.account.labels IS
	'anything the users want to keep; never read by power_action';

CREATE TABLE power_action.cluster (
	cluster_id text COLLATE "C" PRIMARY KEY
		CHECK (cluster_id <> '' AND octet_length(cluster_id) <= 255),
	cluster_name text NOT NULL
		CHECK (cluster_name <> '' AND octet_length(cluster_name) <= 255),
	account_name text COLLATE "C" NOT NULL
		REFERENCES power_action.account ON UPDATE CASCADE,
	region text NOT NULL DEFAULT '' CHECK (octet_length(region) <= 255),
	owner text,
	status text NOT NULL DEFAULT 'unknown'
		CHECK (status IN ('running', 'stopped', 'starting', 'stopping',
						  'partial', 'terminated', 'unknown')),
	status_source text NOT NULL DEFAULT 'inventory'
		CHECK (status_source IN ('agent', 'accepted', 'inventory')),
	status_changed_at timestamptz NOT NULL DEFAULT now(),
	labels jsonb NOT NULL DEFAULT '{}'
) WITH (fillfactor = 50);

CREATE INDEX cluster_account_name_idx ON power_action.cluster (account_name);
CREATE INDEX cluster_cluster_name_idx ON power_action.cluster (cluster_name);

REVOKE ALL ON power_action.cluster FROM PUBLIC;
COMMENT ON TABLE power_action.cluster IS
	'Clusters that can be powered on and off';
COMMENT ON COLUMN power_action.cluster.cluster_id IS
	'id of the cluster, as requests and the agent use it; at most 255 bytes';
COMMENT ON COLUMN power_action.cluster.cluster_name IS
	'name for people; need not be unique; at most 255 bytes';
COMMENT ON COLUMN power_action.cluster.account_name IS
	'account that the cluster belongs to; decides who sees it and which agent acts';
COMMENT ON COLUMN power_action.cluster.region IS
	'region at the provider, sent to the agent; empty if there is none; at most 255 bytes';
COMMENT ON COLUMN power_action.cluster.owner IS
	'who the cluster is for, in free words';
COMMENT ON COLUMN power_action.cluster.status IS
	'running, stopped, starting, stopping, partial, terminated or unknown; written by the outcome of actions, and by the inventory only while no action for the cluster is due (else its change is ignored)';
COMMENT ON COLUMN power_action.cluster.status_source IS
	'who says so: agent (confirmed), accepted (ordered, the agent did not wait for the result) or inventory; kept by trigger';
COMMENT ON COLUMN power_action.cluster.status_changed_at IS
	'when the status became what it is; kept by trigger';
COMMENT ON COLUMN power_action.cluster.labels IS
	'anything the users want to keep; never read by power_action';
COMMENT ON INDEX power_action.cluster_account_name_idx IS
	'clusters of an account';
COMMENT ON INDEX power_action.cluster_cluster_name_idx IS
	'clusters by name: for people, and for the hint of a request that names a cluster instead of giving its id';

CREATE TABLE power_action.instance (
	cluster_id text COLLATE "C" NOT NULL
		REFERENCES power_action.cluster ON UPDATE CASCADE ON DELETE CASCADE,
	instance_id text COLLATE "C" NOT NULL
		CHECK (instance_id <> '' AND octet_length(instance_id) <= 255),
	instance_name text,
	zone text,
	status text NOT NULL DEFAULT 'unknown'
		CHECK (status IN ('running', 'stopped', 'starting', 'stopping',
						  'terminated', 'unknown')),
	labels jsonb NOT NULL DEFAULT '{}',
	PRIMARY KEY (cluster_id, instance_id)
) WITH (fillfactor = 50);

REVOKE ALL ON power_action.instance FROM PUBLIC;
COMMENT ON TABLE power_action.instance IS
	'Instances of the clusters; those that are not terminated are what an action is about';
COMMENT ON COLUMN power_action.instance.cluster_id IS
	'cluster that the instance belongs to';
COMMENT ON COLUMN power_action.instance.instance_id IS
	'id of the instance, sent to the agent; unique within its cluster; at most 255 bytes';
COMMENT ON COLUMN power_action.instance.instance_name IS 'name for people';
COMMENT ON COLUMN power_action.instance.zone IS
	'zone at the provider, in free words';
COMMENT ON COLUMN power_action.instance.status IS
	'running, stopped, starting, stopping, terminated or unknown; written as cluster.status is';
COMMENT ON COLUMN power_action.instance.labels IS
	'anything the users want to keep; never read by power_action';

--
-- Events and what belongs to them
--
CREATE TABLE power_action.event (
	event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	action text NOT NULL,
	cluster_id text COLLATE "C" NOT NULL,
	cluster_name text,
	account_name text COLLATE "C",
	server_name text COLLATE "C",
	triggered_by text NOT NULL,
	description text,
	status text NOT NULL,
	agent_result text NOT NULL DEFAULT 'none',
	error_source text,
	error_code text,
	error_message text,
	requested_by text COLLATE "C" NOT NULL,
	client_addr inet,
	application_name text,
	requested_at timestamptz NOT NULL,
	not_before timestamptz,
	expires_at timestamptz,
	started_at timestamptz,
	finished_at timestamptz,
	attempts integer NOT NULL DEFAULT 0,
	priority smallint NOT NULL DEFAULT 0,
	request_key text COLLATE "C",
	superseded_by bigint,
	cancelled_by text,
	cancel_reason text,
	instances_total integer,
	instances_done integer,
	instances_failed text[]
) WITH (fillfactor = 45);

-- Without a SET clause, which would cost more than the checks: it runs no SQL.
CREATE FUNCTION power_action.event_keeps_rules(event power_action.event)
	RETURNS boolean
	AS 'MODULE_PATHNAME', 'pa_event_rule_check'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
REVOKE ALL ON FUNCTION power_action.event_keeps_rules(power_action.event)
	FROM PUBLIC;
COMMENT ON FUNCTION power_action.event_keeps_rules(power_action.event) IS
	'The CHECK of the table event: true, or error 23514 with the rule that is broken as its constraint name (event_action_check, event_status_check, event_agent_result_check, event_error_source_check, event_finished_check, event_pending_check, event_running_check, event_success_check, event_failed_check, event_cancelled_check, event_request_check, event_cluster_id_check, event_triggered_by_check, event_request_key_check, event_attempts_check, event_expires_check, event_superseded_check, event_instances_check)';

ALTER TABLE power_action.event
	ADD CONSTRAINT event_check CHECK (power_action.event_keeps_rules(event));
COMMENT ON CONSTRAINT event_check ON power_action.event IS
	'the words that action, status, agent_result and error_source know, and what goes with each status; one function, since CHECKs are compiled anew for each statement';

-- Roles of one session user may differ in what they see.  A request for a
-- cluster that does not exist, or that its role must take for that, must not
-- meet the key of another role's request.
CREATE UNIQUE INDEX event_request_key_idx
	ON power_action.event (requested_by, request_key, cluster_id,
						   (account_name IS NULL))
	WHERE request_key IS NOT NULL;
CREATE INDEX event_cluster_id_idx ON power_action.event (cluster_id);

REVOKE ALL ON power_action.event FROM PUBLIC;
REVOKE ALL ON SEQUENCE power_action.event_event_id_seq FROM PUBLIC;
COMMENT ON SEQUENCE power_action.event_event_id_seq IS
	'ids of events; dumped with them, so that ids do not repeat after a restore';
COMMENT ON TABLE power_action.event IS
	'Every request that was ever made, and what became of it; changed by the worker only';
COMMENT ON COLUMN power_action.event.event_id IS 'what the request returned';
COMMENT ON COLUMN power_action.event.action IS
	'power_on, power_off or refresh';
COMMENT ON COLUMN power_action.event.cluster_id IS
	'id as it was requested; the cluster need not exist, or exist any more';
COMMENT ON COLUMN power_action.event.cluster_name IS
	'copy at the time of the request; null if there was no such cluster';
COMMENT ON COLUMN power_action.event.account_name IS
	'copy at the time of the request; decides who sees the event; null if there was no such cluster';
COMMENT ON COLUMN power_action.event.server_name IS
	'copy at the time of the request: the agent that gets the order; null if there was no such cluster';
COMMENT ON COLUMN power_action.event.triggered_by IS
	'on whose behalf, in the caller''s words; at most 255 characters';
COMMENT ON COLUMN power_action.event.description IS
	'why, in the caller''s words; at most 1000 characters';
COMMENT ON COLUMN power_action.event.status IS
	'pending, running, or finally success, failed or cancelled; running is informative and may be skipped';
COMMENT ON COLUMN power_action.event.agent_result IS
	'what is known of the agent''s side: none (nothing was sent, or a question was refused), accepted, confirmed, partial, refused or unknown (it may or may not have acted)';
COMMENT ON COLUMN power_action.event.error_source IS
	'if failed, where: request, transport, agent or database';
COMMENT ON COLUMN power_action.event.error_code IS
	'if failed: name of a gRPC status code, AGENT_ERROR for a reply whose error is not 0, PARTIAL for instances that did not follow, or SQLSTATE if the source is database';
COMMENT ON COLUMN power_action.event.error_message IS
	'if failed: why, in the words of the source';
COMMENT ON COLUMN power_action.event.requested_by IS
	'session user of the request';
COMMENT ON COLUMN power_action.event.client_addr IS
	'address of the client; null for a local socket or a background process';
COMMENT ON COLUMN power_action.event.application_name IS
	'application_name of the session';
COMMENT ON COLUMN power_action.event.requested_at IS
	'when the function was called (clock time, not the start of its transaction)';
COMMENT ON COLUMN power_action.event.not_before IS
	'earliest time to act; null: at once';
COMMENT ON COLUMN power_action.event.expires_at IS
	'if no order was sent or accepted by then, it fails rather than act, or act again, too late; null: never';
COMMENT ON COLUMN power_action.event.started_at IS
	'when the first call was sent';
COMMENT ON COLUMN power_action.event.finished_at IS
	'when the final status was known';
COMMENT ON COLUMN power_action.event.attempts IS
	'number of calls sent; those that did not succeed are in attempt';
COMMENT ON COLUMN power_action.event.priority IS
	'higher goes first, between clusters only';
COMMENT ON COLUMN power_action.event.request_key IS
	'key for safe repetition, unique for requested_by and cluster_id, apart from requests for a cluster that did not exist; at most 255 characters';
COMMENT ON COLUMN power_action.event.superseded_by IS
	'event of an opposite action that took its place';
COMMENT ON COLUMN power_action.event.cancelled_by IS
	'who cancelled it, in the caller''s words';
COMMENT ON COLUMN power_action.event.cancel_reason IS
	'why it was cancelled; "restored": it came from a dump and was not final';
COMMENT ON COLUMN power_action.event.instances_total IS
	'number of instances that it is about; null if it never came to that';
COMMENT ON COLUMN power_action.event.instances_done IS
	'number of instances that reached the wanted state, if the agent told';
COMMENT ON COLUMN power_action.event.instances_failed IS
	'ids of the instances that did not, if the agent told';
COMMENT ON INDEX power_action.event_request_key_idx IS
	'one event for each request_key of a role and cluster, and one for when there was no such cluster';
COMMENT ON INDEX power_action.event_cluster_id_idx IS
	'history of a cluster';

CREATE TABLE power_action.attempt (
	event_id bigint NOT NULL
		REFERENCES power_action.event ON DELETE CASCADE,
	attempt integer NOT NULL CHECK (attempt > 0),
	started_at timestamptz NOT NULL,
	finished_at timestamptz NOT NULL,
	status_code text NOT NULL,
	message text NOT NULL,
	PRIMARY KEY (event_id, attempt)
);

REVOKE ALL ON power_action.attempt FROM PUBLIC;
COMMENT ON TABLE power_action.attempt IS
	'Calls that did not succeed, one row each';
COMMENT ON COLUMN power_action.attempt.event_id IS
	'event that the call was made for';
COMMENT ON COLUMN power_action.attempt.attempt IS
	'number of the call within its event, from 1';
COMMENT ON COLUMN power_action.attempt.started_at IS 'when it was sent';
COMMENT ON COLUMN power_action.attempt.finished_at IS
	'when its result was known';
COMMENT ON COLUMN power_action.attempt.status_code IS
	'name of a gRPC status code, AGENT_ERROR or PARTIAL, as event.error_code';
COMMENT ON COLUMN power_action.attempt.message IS
	'message of the agent or of the transport';

CREATE TABLE power_action.cancellation (
	cancellation_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	event_id bigint NOT NULL,
	cancelled_by text NOT NULL,
	reason text,
	requested_at timestamptz NOT NULL
);

REVOKE ALL ON power_action.cancellation FROM PUBLIC;
REVOKE ALL ON SEQUENCE power_action.cancellation_cancellation_id_seq
	FROM PUBLIC;
COMMENT ON SEQUENCE power_action.cancellation_cancellation_id_seq IS
	'ids of cancellations';
COMMENT ON TABLE power_action.cancellation IS
	'Requests to cancel, until the worker has dealt with them';
COMMENT ON COLUMN power_action.cancellation.cancellation_id IS
	'order of the requests';
COMMENT ON COLUMN power_action.cancellation.event_id IS 'event to cancel';
COMMENT ON COLUMN power_action.cancellation.cancelled_by IS
	'who asked, in the caller''s words';
COMMENT ON COLUMN power_action.cancellation.reason IS
	'why, in the caller''s words';
COMMENT ON COLUMN power_action.cancellation.requested_at IS
	'when cancel was called';

-- Small and hot: what the worker searches.  due_at changes only if the clock is
-- set back.
CREATE TABLE power_action.job (
	event_id bigint PRIMARY KEY,
	cluster_id text COLLATE "C" NOT NULL,
	server_name text COLLATE "C" NOT NULL,
	account_name text COLLATE "C" NOT NULL,
	priority smallint NOT NULL,
	due_at timestamptz NOT NULL,
	not_before timestamptz,
	expires_at timestamptz,
	retry_at timestamptz,
	origin_system bigint NOT NULL,
	origin_database oid NOT NULL
);

-- Plans are made while the table is empty, and reading the whole of any index
-- then costs the same.  So no two indexes have a plain column in common that a
-- query looks up: event_id belongs to the primary key, due_at to the lanes,
-- and the others have expressions of the same value.
--
-- The names of a lane are found by a hash of both only: a new entry is compared
-- with some 17 others, and columns of a fixed width take half the time for it.
CREATE INDEX job_lane_idx ON power_action.job
	((hashtextextended(server_name, hashtextextended(account_name, 0))),
	 priority, due_at, (event_id + 0));
CREATE INDEX job_cluster_idx ON power_action.job
	(cluster_id, (GREATEST(due_at, '-infinity'::timestamptz)), (event_id + 0));
CREATE INDEX job_expires_at_idx ON power_action.job (expires_at)
	WHERE expires_at IS NOT NULL;

REVOKE ALL ON power_action.job FROM PUBLIC;
COMMENT ON TABLE power_action.job IS
	'The queue: one row for each event that is not final, deleted when it is; not dumped';
COMMENT ON COLUMN power_action.job.event_id IS 'event to be done';
COMMENT ON COLUMN power_action.job.cluster_id IS 'copy from the event';
COMMENT ON COLUMN power_action.job.server_name IS 'copy from the event';
COMMENT ON COLUMN power_action.job.account_name IS 'copy from the event';
COMMENT ON COLUMN power_action.job.priority IS 'copy from the event';
COMMENT ON COLUMN power_action.job.due_at IS
	'the later of requested_at and not_before, or earlier, but not before not_before, if the clock was set back since; with event_id the order of the actions of a cluster';
COMMENT ON COLUMN power_action.job.not_before IS 'copy from the event';
COMMENT ON COLUMN power_action.job.expires_at IS 'copy from the event';
COMMENT ON COLUMN power_action.job.retry_at IS
	'when the next call may be made after one that did not settle it';
COMMENT ON COLUMN power_action.job.origin_system IS
	'identifier of the server that made the job (as a signed number)';
COMMENT ON COLUMN power_action.job.origin_database IS
	'OID of the database that made the job; jobs of another origin are held until adopt()';
COMMENT ON INDEX power_action.job_lane_idx IS
	'jobs in the order in which the worker takes them, by a hash of server_name and account_name';
COMMENT ON INDEX power_action.job_cluster_idx IS
	'actions of a cluster in their order';
COMMENT ON INDEX power_action.job_expires_at_idx IS 'the next to expire';

-- One row: which database this is, and how often its worker has started.
CREATE TABLE power_action.worker_epoch (
	only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
	system_identifier bigint NOT NULL,
	database_oid oid NOT NULL,
	epoch bigint NOT NULL
);

REVOKE ALL ON power_action.worker_epoch FROM PUBLIC;
COMMENT ON TABLE power_action.worker_epoch IS
	'How often the worker of this database has started; part of the order that agents check';
COMMENT ON COLUMN power_action.worker_epoch.only_row IS 'always true';
COMMENT ON COLUMN power_action.worker_epoch.system_identifier IS
	'server for which the epoch counts (as a signed number)';
COMMENT ON COLUMN power_action.worker_epoch.database_oid IS
	'database for which the epoch counts';
COMMENT ON COLUMN power_action.worker_epoch.epoch IS
	'grows by one with each start of a worker and is durable before its first call; begins with the clock in milliseconds, so that it also outlasts DROP EXTENSION';

--
-- Who may see and power what
--
CREATE TABLE power_action.access (
	role_name name NOT NULL,
	account_name text COLLATE "C"
		REFERENCES power_action.account ON UPDATE CASCADE ON DELETE CASCADE,
	privilege text NOT NULL
		CHECK (privilege IN ('operate', 'view', 'inventory')),
	UNIQUE NULLS NOT DISTINCT (role_name, account_name, privilege),
	CHECK (privilege <> 'inventory' OR account_name IS NULL)
);

CREATE INDEX access_account_name_idx ON power_action.access (account_name);

REVOKE ALL ON power_action.access FROM PUBLIC;
COMMENT ON TABLE power_action.access IS
	'Who may see and power what; a role without a row sees nothing. Kept by grant_operator, grant_viewer, grant_inventory and their revokes';
COMMENT ON COLUMN power_action.access.role_name IS
	'a role; its members that inherit from it count too; a role that no longer exists is harmless';
COMMENT ON COLUMN power_action.access.account_name IS
	'account that may be seen; null: all, also those to come';
COMMENT ON COLUMN power_action.access.privilege IS
	'operate: see, power and cancel; view: see; inventory: see and write the inventory, always of all accounts';
COMMENT ON INDEX power_action.access_account_name_idx IS
	'rows of an account that is renamed or deleted';

--
-- Row-level security.  Each policy looks up the accounts of the current role
-- once for each query, in sub-selects that do not depend on the row.  What
-- may be written is decided by the grants and an access row "inventory".
--
CREATE VIEW power_action.my_access
WITH (security_invoker = true) AS
	SELECT a.role_name, a.account_name, a.privilege
	FROM power_action.access a
	WHERE pg_catalog.pg_has_role(
			pg_catalog.to_regrole(pg_catalog.quote_ident(a.role_name)),
			'USAGE');

REVOKE ALL ON power_action.my_access FROM PUBLIC;
COMMENT ON VIEW power_action.my_access IS
	'The rows of access that hold for the current role, directly or by membership';
COMMENT ON COLUMN power_action.my_access.role_name IS
	'the current role, or one that it inherits from';
COMMENT ON COLUMN power_action.my_access.account_name IS
	'account; null: all accounts';
COMMENT ON COLUMN power_action.my_access.privilege IS
	'operate, view or inventory';

ALTER TABLE power_action.account ENABLE ROW LEVEL SECURITY;
ALTER TABLE power_action.cluster ENABLE ROW LEVEL SECURITY;
ALTER TABLE power_action.instance ENABLE ROW LEVEL SECURITY;
ALTER TABLE power_action.event ENABLE ROW LEVEL SECURITY;
ALTER TABLE power_action.attempt ENABLE ROW LEVEL SECURITY;
ALTER TABLE power_action.cancellation ENABLE ROW LEVEL SECURITY;
ALTER TABLE power_action.job ENABLE ROW LEVEL SECURITY;
ALTER TABLE power_action.worker_epoch ENABLE ROW LEVEL SECURITY;
ALTER TABLE power_action.access ENABLE ROW LEVEL SECURITY;

CREATE POLICY access_read ON power_action.access FOR SELECT
	USING (pg_catalog.pg_has_role(
			pg_catalog.to_regrole(pg_catalog.quote_ident(role_name)),
			'USAGE'));
COMMENT ON POLICY access_read ON power_action.access IS
	'a role sees its own rows';

CREATE POLICY account_read ON power_action.account FOR SELECT
	USING (EXISTS (SELECT FROM power_action.my_access m
				   WHERE m.account_name IS NULL)
		   OR account_name = ANY (ARRAY(SELECT m.account_name
										FROM power_action.my_access m)));
COMMENT ON POLICY account_read ON power_action.account IS
	'accounts that the role has an access row for';

CREATE POLICY cluster_read ON power_action.cluster FOR SELECT
	USING (EXISTS (SELECT FROM power_action.my_access m
				   WHERE m.account_name IS NULL)
		   OR account_name = ANY (ARRAY(SELECT m.account_name
										FROM power_action.my_access m)));
COMMENT ON POLICY cluster_read ON power_action.cluster IS
	'clusters of accounts that the role has an access row for';

CREATE POLICY instance_read ON power_action.instance FOR SELECT
	USING (EXISTS (SELECT FROM power_action.my_access m
				   WHERE m.account_name IS NULL)
		   OR EXISTS (SELECT FROM power_action.cluster c
					  WHERE c.cluster_id = instance.cluster_id));
COMMENT ON POLICY instance_read ON power_action.instance IS
	'instances of clusters that the role sees';

-- A request for a cluster that does not exist belongs to no account.
CREATE POLICY event_read ON power_action.event FOR SELECT
	USING (EXISTS (SELECT FROM power_action.my_access m
				   WHERE m.account_name IS NULL)
		   OR account_name = ANY (ARRAY(SELECT m.account_name
										FROM power_action.my_access m))
		   OR (account_name IS NULL AND requested_by = session_user));
COMMENT ON POLICY event_read ON power_action.event IS
	'events of accounts that the role has an access row for, and those of its session user that belong to no account';

CREATE POLICY attempt_read ON power_action.attempt FOR SELECT
	USING (EXISTS (SELECT FROM power_action.my_access m
				   WHERE m.account_name IS NULL)
		   OR EXISTS (SELECT FROM power_action.event e
					  WHERE e.event_id = attempt.event_id));
COMMENT ON POLICY attempt_read ON power_action.attempt IS
	'attempts of events that the role sees';

CREATE POLICY job_read ON power_action.job FOR SELECT
	USING (EXISTS (SELECT FROM power_action.my_access m
				   WHERE m.account_name IS NULL)
		   OR account_name = ANY (ARRAY(SELECT m.account_name
										FROM power_action.my_access m)));
COMMENT ON POLICY job_read ON power_action.job IS
	'jobs of accounts that the role has an access row for';

CREATE POLICY account_write ON power_action.account
	USING (EXISTS (SELECT FROM power_action.my_access m
				   WHERE m.privilege = 'inventory'));
CREATE POLICY cluster_write ON power_action.cluster
	USING (EXISTS (SELECT FROM power_action.my_access m
				   WHERE m.privilege = 'inventory'));
CREATE POLICY instance_write ON power_action.instance
	USING (EXISTS (SELECT FROM power_action.my_access m
				   WHERE m.privilege = 'inventory'));
COMMENT ON POLICY account_write ON power_action.account IS
	'everything, for a role with the privilege inventory';
COMMENT ON POLICY cluster_write ON power_action.cluster IS
	'everything, for a role with the privilege inventory';
COMMENT ON POLICY instance_write ON power_action.instance IS
	'everything, for a role with the privilege inventory';

--
-- Triggers.  They fire for each row that the worker writes, so they do
-- without a SET clause and without WHEN, which is compiled anew for each
-- statement; what SQL they run is qualified, operators too.
--
CREATE FUNCTION power_action.keep_cluster_status() RETURNS trigger
	AS 'MODULE_PATHNAME', 'pa_inventory_keep_cluster_status'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION power_action.keep_cluster_status() FROM PUBLIC;
COMMENT ON FUNCTION power_action.keep_cluster_status() IS
	'trigger: a change of status by anybody but the worker is marked as one of the inventory, and ignored while an action for the cluster is due';

CREATE FUNCTION power_action.keep_instance_status() RETURNS trigger
	AS 'MODULE_PATHNAME', 'pa_inventory_keep_instance_status'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION power_action.keep_instance_status() FROM PUBLIC;
COMMENT ON FUNCTION power_action.keep_instance_status() IS
	'trigger: a change of status by anybody but the worker is ignored while an action for the cluster is due';

CREATE FUNCTION power_action.cancel_restored() RETURNS trigger
	AS 'MODULE_PATHNAME', 'pa_inventory_cancel_restored'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION power_action.cancel_restored() FROM PUBLIC;
COMMENT ON FUNCTION power_action.cancel_restored() IS
	'trigger: an event that does not come from a request function and is not final becomes cancelled, with the reason "restored"';

CREATE FUNCTION power_action.check_text() RETURNS trigger
	AS 'MODULE_PATHNAME', 'pa_inventory_check_text'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION power_action.check_text() FROM PUBLIC;
COMMENT ON FUNCTION power_action.check_text() IS
	'trigger: refuses control characters in the columns that are its arguments, which go to agents, messages and the log. Error 23514';

CREATE TRIGGER check_text
	BEFORE INSERT OR UPDATE OF account_name, account_id, server_name
	ON power_action.account FOR EACH ROW
	EXECUTE FUNCTION power_action.check_text(account_name, account_id, server_name);
COMMENT ON TRIGGER check_text ON power_action.account IS
	'no control characters in what agents and logs get';

CREATE TRIGGER check_text
	BEFORE INSERT OR UPDATE OF cluster_id, cluster_name, account_name, region
	ON power_action.cluster FOR EACH ROW
	EXECUTE FUNCTION power_action.check_text(cluster_id, cluster_name, account_name, region);
COMMENT ON TRIGGER check_text ON power_action.cluster IS
	'no control characters in what agents and logs get';

CREATE TRIGGER check_text
	BEFORE INSERT OR UPDATE OF cluster_id, instance_id
	ON power_action.instance FOR EACH ROW
	EXECUTE FUNCTION power_action.check_text(cluster_id, instance_id);
COMMENT ON TRIGGER check_text ON power_action.instance IS
	'no control characters in what agents and logs get';

CREATE TRIGGER keep_cluster_status
	BEFORE UPDATE OF status, status_source, status_changed_at
	ON power_action.cluster FOR EACH ROW
	EXECUTE FUNCTION power_action.keep_cluster_status();
COMMENT ON TRIGGER keep_cluster_status ON power_action.cluster IS
	'says who changed the status and when; protects it while an action runs';

CREATE TRIGGER keep_instance_status
	BEFORE UPDATE OF status ON power_action.instance FOR EACH ROW
	EXECUTE FUNCTION power_action.keep_instance_status();
COMMENT ON TRIGGER keep_instance_status ON power_action.instance IS
	'protects the status while an action for the cluster runs';

CREATE TRIGGER cancel_restored
	BEFORE INSERT ON power_action.event FOR EACH ROW
	EXECUTE FUNCTION power_action.cancel_restored();
COMMENT ON TRIGGER cancel_restored ON power_action.event IS
	'jobs are not dumped, so nothing that comes from a dump may be open';

--
-- Requests
--
-- They find clusters and instances by index whatever the planner believes of
-- the size of the tables: a plan kept from when they were small would
-- otherwise read all of them.
--
CREATE FUNCTION power_action.power_on(
	cluster_id text,
	triggered_by text DEFAULT session_user,
	description text DEFAULT NULL,
	not_before timestamptz DEFAULT NULL,
	expires_at timestamptz DEFAULT NULL,
	priority integer DEFAULT 0,
	request_key text DEFAULT NULL)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'pa_request_power_on'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp;
REVOKE ALL ON FUNCTION power_action.power_on(text, text, text, timestamptz, timestamptz, integer, text)
	FROM PUBLIC;
COMMENT ON FUNCTION power_action.power_on(text, text, text, timestamptz, timestamptz, integer, text) IS
	'Starts the instances of a cluster; returns the id of the event. The order goes out after the commit, never after a rollback. A cluster that does not exist, has no instances or cannot be reached through its account gives a failed event and a WARNING. Errors: 22004 and 22023 for arguments, 42501 without the privilege operate, 23505 for a request_key that was used with other arguments, 55000 if power_action is not preloaded';

CREATE FUNCTION power_action.power_on(
	cluster_ids text[],
	triggered_by text DEFAULT session_user,
	description text DEFAULT NULL,
	not_before timestamptz DEFAULT NULL,
	expires_at timestamptz DEFAULT NULL,
	priority integer DEFAULT 0,
	request_key text DEFAULT NULL)
	RETURNS TABLE (cluster_id text, event_id bigint, status text, error_code text)
	AS 'MODULE_PATHNAME', 'pa_request_power_on_set'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE ROWS 1000
	SET search_path = pg_catalog, pg_temp;
REVOKE ALL ON FUNCTION power_action.power_on(text[], text, text, timestamptz, timestamptz, integer, text)
	FROM PUBLIC;
COMMENT ON FUNCTION power_action.power_on(text[], text, text, timestamptz, timestamptz, integer, text) IS
	'Starts the instances of a cluster, for up to 1,000,000 clusters, each once; as the form for one cluster, but returns a row for each and warns once for all';

CREATE FUNCTION power_action.power_off(
	cluster_id text,
	triggered_by text DEFAULT session_user,
	description text DEFAULT NULL,
	not_before timestamptz DEFAULT NULL,
	expires_at timestamptz DEFAULT NULL,
	priority integer DEFAULT 0,
	request_key text DEFAULT NULL)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'pa_request_power_off'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp;
REVOKE ALL ON FUNCTION power_action.power_off(text, text, text, timestamptz, timestamptz, integer, text)
	FROM PUBLIC;
COMMENT ON FUNCTION power_action.power_off(text, text, text, timestamptz, timestamptz, integer, text) IS
	'Stops the instances of a cluster; returns the id of the event. The order goes out after the commit, never after a rollback. A cluster that does not exist, has no instances or cannot be reached through its account gives a failed event and a WARNING. Errors: 22004 and 22023 for arguments, 42501 without the privilege operate, 23505 for a request_key that was used with other arguments, 55000 if power_action is not preloaded';

CREATE FUNCTION power_action.power_off(
	cluster_ids text[],
	triggered_by text DEFAULT session_user,
	description text DEFAULT NULL,
	not_before timestamptz DEFAULT NULL,
	expires_at timestamptz DEFAULT NULL,
	priority integer DEFAULT 0,
	request_key text DEFAULT NULL)
	RETURNS TABLE (cluster_id text, event_id bigint, status text, error_code text)
	AS 'MODULE_PATHNAME', 'pa_request_power_off_set'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE ROWS 1000
	SET search_path = pg_catalog, pg_temp;
REVOKE ALL ON FUNCTION power_action.power_off(text[], text, text, timestamptz, timestamptz, integer, text)
	FROM PUBLIC;
COMMENT ON FUNCTION power_action.power_off(text[], text, text, timestamptz, timestamptz, integer, text) IS
	'Stops the instances of a cluster, for up to 1,000,000 clusters, each once; as the form for one cluster, but returns a row for each and warns once for all';

CREATE FUNCTION power_action.refresh(
	cluster_id text,
	triggered_by text DEFAULT session_user,
	description text DEFAULT NULL,
	not_before timestamptz DEFAULT NULL,
	expires_at timestamptz DEFAULT NULL,
	priority integer DEFAULT 0,
	request_key text DEFAULT NULL)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'pa_request_refresh'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp;
REVOKE ALL ON FUNCTION power_action.refresh(text, text, text, timestamptz, timestamptz, integer, text)
	FROM PUBLIC;
COMMENT ON FUNCTION power_action.refresh(text, text, text, timestamptz, timestamptz, integer, text) IS
	'Asks the agent for the true state of a cluster and writes it to the inventory; returns the id of the event. The order goes out after the commit, never after a rollback. A cluster that does not exist, has no instances or cannot be reached through its account gives a failed event and a WARNING. Errors: 22004 and 22023 for arguments, 42501 without the privilege operate, 23505 for a request_key that was used with other arguments, 55000 if power_action is not preloaded';

CREATE FUNCTION power_action.refresh(
	cluster_ids text[],
	triggered_by text DEFAULT session_user,
	description text DEFAULT NULL,
	not_before timestamptz DEFAULT NULL,
	expires_at timestamptz DEFAULT NULL,
	priority integer DEFAULT 0,
	request_key text DEFAULT NULL)
	RETURNS TABLE (cluster_id text, event_id bigint, status text, error_code text)
	AS 'MODULE_PATHNAME', 'pa_request_refresh_set'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE ROWS 1000
	SET search_path = pg_catalog, pg_temp;
REVOKE ALL ON FUNCTION power_action.refresh(text[], text, text, timestamptz, timestamptz, integer, text)
	FROM PUBLIC;
COMMENT ON FUNCTION power_action.refresh(text[], text, text, timestamptz, timestamptz, integer, text) IS
	'Asks the agent for the true state of a cluster and writes it to the inventory, for up to 1,000,000 clusters, each once; as the form for one cluster, but returns a row for each and warns once for all';

CREATE FUNCTION power_action.cancel(
	event_id bigint,
	cancelled_by text DEFAULT session_user,
	reason text DEFAULT NULL)
	RETURNS text
	AS 'MODULE_PATHNAME', 'pa_request_cancel'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp;
REVOKE ALL ON FUNCTION power_action.cancel(bigint, text, text) FROM PUBLIC;
COMMENT ON FUNCTION power_action.cancel(bigint, text, text) IS
	'Asks the worker to cancel an event, at commit; returns the status as it is now. One that is final already stays as it is, without an error. Errors: P0002 if there is no such event or it is not visible, 42501 without the privilege operate, 22004 and 22023 for arguments';

--
-- Waiting.  The procedures commit, which a SET clause would forbid: all SQL
-- that they run is qualified, operators too.
--
CREATE FUNCTION power_action.wait_for(
	event_id bigint,
	timeout interval DEFAULT '1 min')
	RETURNS power_action.event
	AS 'MODULE_PATHNAME', 'pa_wait_for'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp;
REVOKE ALL ON FUNCTION power_action.wait_for(bigint, interval) FROM PUBLIC;
COMMENT ON FUNCTION power_action.wait_for(bigint, interval) IS
	'Waits until an event is final and returns it; after the timeout (0 to 1 year) as it is then. Errors: P0002 if there is no such event or it is not visible, 55000 in the transaction that requested it or under REPEATABLE READ and SERIALIZABLE, 22004 and 22023 for arguments';

CREATE PROCEDURE power_action.power_on_and_wait(
	cluster_id text,
	triggered_by text DEFAULT session_user,
	description text DEFAULT NULL,
	timeout interval DEFAULT '5 min',
	INOUT event_id bigint DEFAULT NULL,
	INOUT status text DEFAULT NULL,
	INOUT message text DEFAULT NULL)
	AS 'MODULE_PATHNAME', 'pa_wait_power_on'
	LANGUAGE C SECURITY INVOKER;
REVOKE ALL ON PROCEDURE power_action.power_on_and_wait(text, text, text, interval, bigint, text, text)
	FROM PUBLIC;
COMMENT ON PROCEDURE power_action.power_on_and_wait(text, text, text, interval, bigint, text, text) IS
	'Starts the instances of a cluster, commits, and waits for the outcome (timeout 0 to 1 year); success sets event_id, status and message, whose values at the call are ignored. Errors, all with the event id in the DETAIL: PA001 failed, PA002 outcome unknown, PA003 cancelled, PA004 timed out (the action goes on); 25001 in a transaction block or function; and those of power_on';

CREATE PROCEDURE power_action.power_off_and_wait(
	cluster_id text,
	triggered_by text DEFAULT session_user,
	description text DEFAULT NULL,
	timeout interval DEFAULT '5 min',
	INOUT event_id bigint DEFAULT NULL,
	INOUT status text DEFAULT NULL,
	INOUT message text DEFAULT NULL)
	AS 'MODULE_PATHNAME', 'pa_wait_power_off'
	LANGUAGE C SECURITY INVOKER;
REVOKE ALL ON PROCEDURE power_action.power_off_and_wait(text, text, text, interval, bigint, text, text)
	FROM PUBLIC;
COMMENT ON PROCEDURE power_action.power_off_and_wait(text, text, text, interval, bigint, text, text) IS
	'Stops the instances of a cluster, commits, and waits for the outcome (timeout 0 to 1 year); success sets event_id, status and message, whose values at the call are ignored. Errors, all with the event id in the DETAIL: PA001 failed, PA002 outcome unknown, PA003 cancelled, PA004 timed out (the action goes on); 25001 in a transaction block or function; and those of power_off';

--
-- What the processes know
--
CREATE FUNCTION power_action.worker_state(
	OUT database oid, OUT pid integer, OUT state text, OUT since timestamptz,
	OUT in_flight bigint, OUT deferred bigint, OUT calls bigint,
	OUT finished bigint, OUT errors bigint, OUT courier_pid integer,
	OUT courier_starts bigint, OUT receive_time double precision,
	OUT read_time double precision, OUT send_time double precision,
	OUT write_time double precision, OUT commit_time double precision)
	RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'pa_stats_worker_state'
	LANGUAGE C VOLATILE STRICT PARALLEL SAFE ROWS 5
	SET search_path = pg_catalog, pg_temp;
REVOKE ALL ON FUNCTION power_action.worker_state() FROM PUBLIC;
COMMENT ON FUNCTION power_action.worker_state() IS
	'The workers of this server and their counters since each started; what the view worker_status shows. No rows if power_action is not preloaded';

CREATE FUNCTION power_action.agent_state(
	OUT server_name text, OUT state text, OUT since timestamptz,
	OUT in_flight integer, OUT last_error text)
	RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'pa_stats_agent_state'
	LANGUAGE C VOLATILE STRICT PARALLEL SAFE ROWS 5
	SET search_path = pg_catalog, pg_temp;
REVOKE ALL ON FUNCTION power_action.agent_state() FROM PUBLIC;
COMMENT ON FUNCTION power_action.agent_state() IS
	'What the worker of this database knows of its agents: unknown, connecting, ready, unreachable (calls wait until it is back) or stopped (it refused an order as stale). No rows without a worker';

CREATE FUNCTION power_action.lock_waits()
	RETURNS SETOF bigint
	AS 'MODULE_PATHNAME', 'pa_stats_lock_waits'
	LANGUAGE C VOLATILE STRICT PARALLEL SAFE ROWS 5
	SET search_path = pg_catalog, pg_temp;
REVOKE ALL ON FUNCTION power_action.lock_waits() FROM PUBLIC;
COMMENT ON FUNCTION power_action.lock_waits() IS
	'Ids of events whose outcome waits for a row that another session has locked; the first 32';

CREATE FUNCTION power_action.origin_system()
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'pa_stats_origin_system'
	LANGUAGE C STABLE STRICT PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp;
REVOKE ALL ON FUNCTION power_action.origin_system() FROM PUBLIC;
COMMENT ON FUNCTION power_action.origin_system() IS
	'Identifier of this server as job.origin_system has it (a signed number)';

--
-- Agents
--
CREATE FUNCTION power_action.agent_validator(options text[], catalog oid)
	RETURNS void
	AS 'MODULE_PATHNAME', 'pa_agent_server_validator'
	LANGUAGE C STABLE STRICT PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp;
REVOKE ALL ON FUNCTION power_action.agent_validator(text[], oid) FROM PUBLIC;
COMMENT ON FUNCTION power_action.agent_validator(text[], oid) IS
	'Checks the options of foreign servers of power_agent. Errors: HV00D unknown option, HV024 bad value, HV002 no target, HV021 options that do not go together, 42501 files named by others than superusers and members of pg_read_server_files, HV00D any option of something that is no server. A file that cannot be used is a WARNING';

CREATE FOREIGN DATA WRAPPER power_agent
	NO HANDLER VALIDATOR power_action.agent_validator;
REVOKE ALL ON FOREIGN DATA WRAPPER power_agent FROM PUBLIC;
COMMENT ON FOREIGN DATA WRAPPER power_agent IS
	'Agents that power clusters: CREATE SERVER agent FOREIGN DATA WRAPPER power_agent OPTIONS (target ''dns:///host:port'')';

--
-- Views
--
CREATE VIEW power_action.activity
WITH (security_invoker = true) AS
	SELECT e.event_id,
		   e.action,
		   coalesce(e.cluster_name, e.cluster_id) AS cluster_name,
		   e.status,
		   date_trunc('second', clock_timestamp() - e.requested_at) AS age,
		   e.attempts,
		   CASE WHEN j.not_before > clock_timestamp()
				THEN date_trunc('second', j.not_before)
				WHEN j.retry_at > clock_timestamp()
				THEN date_trunc('second', j.retry_at) END AS next_attempt,
		   CASE
			   WHEN j.origin_system <> here.system
					OR j.origin_database <> here.database
			   THEN 'foreign origin'
			   WHEN j.event_id IN (SELECT l.event_id
								   FROM power_action.lock_waits()
									   AS l (event_id))
			   THEN 'lock'
			   WHEN j.not_before > clock_timestamp() THEN 'not before'
			   WHEN NOT here.worker THEN 'worker'
			   WHEN NOT here.enabled THEN 'disabled'
			   WHEN e.status = 'running' AND e.agent_result = 'accepted'
			   THEN 'confirmation'
			   WHEN e.status = 'pending' AND earlier.event_id IS NOT NULL
			   THEN 'event ' || earlier.event_id
			   WHEN a.state IS DISTINCT FROM 'ready' THEN 'agent'
			   WHEN j.retry_at > clock_timestamp() THEN 'retry'
		   END AS waits_for
	FROM (SELECT power_action.origin_system() AS system,
				 (SELECT d.oid FROM pg_catalog.pg_database d
				  WHERE d.datname = current_database()) AS database,
				 EXISTS (SELECT FROM power_action.worker_state() w
						 JOIN pg_catalog.pg_database d ON d.oid = w.database
						 WHERE d.datname = current_database()
							   AND w.state = 'running') AS worker,
				 coalesce(current_setting('power_action.enabled', true)::boolean,
						  true) AS enabled
		  OFFSET 0) AS here
	CROSS JOIN power_action.job j
	JOIN power_action.event e ON e.event_id = j.event_id
	LEFT JOIN power_action.agent_state() a ON a.server_name = j.server_name
	LEFT JOIN LATERAL (
		SELECT o.event_id
		FROM power_action.job o
		WHERE o.cluster_id = j.cluster_id
			  AND (o.due_at, o.event_id) < (j.due_at, j.event_id)
			  AND o.origin_system = here.system
			  AND o.origin_database = here.database
		ORDER BY o.due_at, o.event_id
		LIMIT 1) AS earlier ON true
	ORDER BY e.event_id;

REVOKE ALL ON power_action.activity FROM PUBLIC;
COMMENT ON VIEW power_action.activity IS
	'What is not final yet, oldest first, and what each waits for';
COMMENT ON COLUMN power_action.activity.event_id IS 'event';
COMMENT ON COLUMN power_action.activity.action IS
	'power_on, power_off or refresh';
COMMENT ON COLUMN power_action.activity.cluster_name IS
	'name of the cluster at the time of the request';
COMMENT ON COLUMN power_action.activity.status IS
	'pending, or running for a call that lasts';
COMMENT ON COLUMN power_action.activity.age IS
	'since the request, in whole seconds';
COMMENT ON COLUMN power_action.activity.attempts IS
	'calls that are known to have been sent';
COMMENT ON COLUMN power_action.activity.next_attempt IS
	'when the next call may be sent; null: at once';
COMMENT ON COLUMN power_action.activity.waits_for IS
	'worker (none runs), disabled (power_action.enabled is off), not before, event N (of the same cluster), agent (not reachable), retry (in backoff), confirmation (the agent acts), lock (a row is locked by another session), foreign origin (needs adopt()); null: a call is in flight or about to be sent';

CREATE VIEW power_action.history
WITH (security_invoker = true) AS
	SELECT e.event_id,
		   date_trunc('second', e.requested_at) AS requested_at,
		   e.action,
		   coalesce(e.cluster_name, e.cluster_id) AS cluster_name,
		   e.status,
		   date_trunc('milliseconds',
					  e.finished_at - least(greatest(e.requested_at, e.not_before),
											e.finished_at))
			   AS took,
		   e.triggered_by,
		   e.requested_by,
		   e.description,
		   CASE e.status
			   WHEN 'success' THEN
				   e.agent_result
				   || CASE WHEN e.instances_done IS NOT NULL
						   THEN format(', %s of %s instances',
									   e.instances_done, e.instances_total)
						   ELSE '' END
			   WHEN 'failed' THEN
				   CASE WHEN e.agent_result = 'partial'
						THEN format('partial, %s of %s instances: ',
									coalesce(e.instances_done, 0),
									e.instances_total)
						ELSE e.error_code || ': ' END
				   || e.error_message
			   WHEN 'cancelled' THEN
				   CASE WHEN e.superseded_by IS NOT NULL
						THEN 'superseded by ' || e.superseded_by
						WHEN e.cancelled_by IS NOT NULL
						THEN 'cancelled by ' || e.cancelled_by
							 || coalesce(': ' || e.cancel_reason, '')
						ELSE e.cancel_reason END
		   END
		   || CASE WHEN e.agent_result = 'unknown'
				   THEN ' (the agent may have acted)' ELSE '' END AS outcome
	FROM power_action.event e
	ORDER BY e.event_id DESC;

REVOKE ALL ON power_action.history FROM PUBLIC;
COMMENT ON VIEW power_action.history IS
	'All events, newest first, and how each ended';
COMMENT ON COLUMN power_action.history.event_id IS 'event';
COMMENT ON COLUMN power_action.history.requested_at IS
	'when it was requested, in whole seconds';
COMMENT ON COLUMN power_action.history.action IS
	'power_on, power_off or refresh';
COMMENT ON COLUMN power_action.history.cluster_name IS
	'name of the cluster at the time of the request; its id if it did not exist';
COMMENT ON COLUMN power_action.history.status IS
	'pending, running, success, failed or cancelled';
COMMENT ON COLUMN power_action.history.took IS
	'from when it was due to its final status, in whole milliseconds; null while it is not final';
COMMENT ON COLUMN power_action.history.triggered_by IS
	'on whose behalf, in the caller''s words';
COMMENT ON COLUMN power_action.history.requested_by IS
	'session user of the request';
COMMENT ON COLUMN power_action.history.description IS
	'why, in the caller''s words';
COMMENT ON COLUMN power_action.history.outcome IS
	'how it ended, in one line; null while it is not final';

CREATE VIEW power_action.agent_status
WITH (security_invoker = true) AS
	SELECT s.srvname::text AS server_name,
		   (SELECT o.option_value
			FROM pg_catalog.pg_options_to_table(s.srvoptions) o
			WHERE o.option_name = 'target') AS target,
		   coalesce(a.state, 'unknown') AS state,
		   date_trunc('second', a.since) AS since,
		   coalesce(a.in_flight, 0) AS in_flight,
		   greatest(coalesce(q.jobs, 0) - coalesce(a.in_flight, 0), 0)
			   AS waiting,
		   a.last_error
	FROM pg_catalog.pg_foreign_server s
	JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = s.srvfdw
	LEFT JOIN power_action.agent_state() a ON a.server_name = s.srvname
	LEFT JOIN (SELECT j.server_name, count(*) AS jobs FROM power_action.job j
			   GROUP BY j.server_name) q ON q.server_name = s.srvname
	WHERE w.fdwname = 'power_agent'
	ORDER BY s.srvname;

REVOKE ALL ON power_action.agent_status FROM PUBLIC;
COMMENT ON VIEW power_action.agent_status IS
	'The agents of this database, and how the worker gets on with each';
COMMENT ON COLUMN power_action.agent_status.server_name IS 'foreign server';
COMMENT ON COLUMN power_action.agent_status.target IS
	'its option target: where the agent listens';
COMMENT ON COLUMN power_action.agent_status.state IS
	'unknown, connecting, ready, unreachable (calls wait until it is back) or stopped (it refused an order as stale)';
COMMENT ON COLUMN power_action.agent_status.since IS
	'since when, in whole seconds';
COMMENT ON COLUMN power_action.agent_status.in_flight IS
	'calls under way, and the few that wait for the next free place';
COMMENT ON COLUMN power_action.agent_status.waiting IS
	'jobs for this agent that the current role may see, less those in flight';
COMMENT ON COLUMN power_action.agent_status.last_error IS
	'why it could not be reached the last time; while it is ready, what is wrong with the files of the server, NULL for nothing';

CREATE VIEW power_action.worker_status
WITH (security_invoker = true) AS
	SELECT coalesce(d.datname::text, w.database::text) AS database,
		   w.pid,
		   w.state,
		   date_trunc('second', w.since) AS since,
		   w.in_flight,
		   w.deferred,
		   w.calls,
		   w.finished,
		   w.errors,
		   w.courier_pid,
		   w.courier_starts,
		   w.receive_time,
		   w.read_time,
		   w.send_time,
		   w.write_time,
		   w.commit_time
	FROM power_action.worker_state() w
	LEFT JOIN pg_catalog.pg_database d ON d.oid = w.database
	ORDER BY 1;

REVOKE ALL ON power_action.worker_status FROM PUBLIC;
COMMENT ON VIEW power_action.worker_status IS
	'The workers of this server, one for each database with the extension';
COMMENT ON COLUMN power_action.worker_status.database IS 'database';
COMMENT ON COLUMN power_action.worker_status.pid IS
	'process id, as in pg_stat_activity';
COMMENT ON COLUMN power_action.worker_status.state IS
	'starting, running or stopping';
COMMENT ON COLUMN power_action.worker_status.since IS
	'since when, in whole seconds';
COMMENT ON COLUMN power_action.worker_status.in_flight IS
	'calls under way, and the few that wait for the next free place';
COMMENT ON COLUMN power_action.worker_status.deferred IS
	'outcomes that wait for a locked row, or for the end of an error that passes, such as a full disk';
COMMENT ON COLUMN power_action.worker_status.calls IS
	'calls sent since it started';
COMMENT ON COLUMN power_action.worker_status.finished IS
	'events brought to a final status since it started';
COMMENT ON COLUMN power_action.worker_status.errors IS
	'transactions of the worker that failed since it started; see the server log';
COMMENT ON COLUMN power_action.worker_status.courier_pid IS
	'process id of its courier; null: none';
COMMENT ON COLUMN power_action.worker_status.courier_starts IS
	'how often it started a courier';
COMMENT ON COLUMN power_action.worker_status.receive_time IS
	'time that it spent with results of calls, and on what is not said below, since it started, in milliseconds';
COMMENT ON COLUMN power_action.worker_status.read_time IS
	'time that it spent on finding jobs that are due, since it started, in milliseconds';
COMMENT ON COLUMN power_action.worker_status.send_time IS
	'time that it spent on reading clusters and instances and on calls that go to the courier, since it started, in milliseconds';
COMMENT ON COLUMN power_action.worker_status.write_time IS
	'time that it spent on writing outcomes, since it started, in milliseconds';
COMMENT ON COLUMN power_action.worker_status.commit_time IS
	'time that it spent on ending transactions, WAL flushed to disk included, since it started, in milliseconds';

--
-- Granting.  The rows of access are the truth; apply_access makes the grants
-- of a role follow them.
--
CREATE FUNCTION power_action.apply_access(role_name name) RETURNS void
	LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	reads boolean;
	operates boolean;
	keeps_inventory boolean;
	-- what each needs; %s is "GRANT" or "REVOKE" and "TO" or "FROM" the role
	reader_needs CONSTANT text[] := ARRAY[
		'USAGE ON SCHEMA power_action',
		'SELECT ON power_action.account, power_action.cluster, power_action.instance, power_action.event, power_action.attempt, power_action.job, power_action.access, power_action.my_access, power_action.activity, power_action.history, power_action.agent_status, power_action.worker_status',
		'EXECUTE ON FUNCTION power_action.wait_for, power_action.worker_state, power_action.agent_state, power_action.lock_waits, power_action.origin_system'];
	operator_needs CONSTANT text[] := ARRAY[
		'EXECUTE ON FUNCTION power_action.power_on(text, text, text, timestamptz, timestamptz, integer, text), power_action.power_on(text[], text, text, timestamptz, timestamptz, integer, text), power_action.power_off(text, text, text, timestamptz, timestamptz, integer, text), power_action.power_off(text[], text, text, timestamptz, timestamptz, integer, text), power_action.refresh(text, text, text, timestamptz, timestamptz, integer, text), power_action.refresh(text[], text, text, timestamptz, timestamptz, integer, text), power_action.cancel',
		'EXECUTE ON PROCEDURE power_action.power_on_and_wait, power_action.power_off_and_wait'];
	inventory_needs CONSTANT text[] := ARRAY[
		'INSERT (account_name, account_id, provider, labels), UPDATE (account_name, account_id, provider, labels), DELETE ON power_action.account',
		'INSERT (cluster_id, cluster_name, account_name, region, owner, status, labels), UPDATE (cluster_id, cluster_name, account_name, region, owner, status, labels), DELETE ON power_action.cluster',
		'INSERT, UPDATE, DELETE ON power_action.instance'];
	need text;
BEGIN
	IF NOT EXISTS (SELECT FROM pg_roles r
				   WHERE r.rolname = apply_access.role_name)
	THEN
		RETURN;
	END IF;

	-- The owner may do everything; a REVOKE would take it away.
	IF EXISTS (SELECT FROM pg_extension e
			   JOIN pg_roles r ON r.oid = e.extowner
			   WHERE e.extname = 'power_action'
					 AND r.rolname = apply_access.role_name)
	THEN
		RETURN;
	END IF;

	SELECT count(*) > 0,
		   count(*) FILTER (WHERE a.privilege = 'operate') > 0,
		   count(*) FILTER (WHERE a.privilege = 'inventory') > 0
	INTO reads, operates, keeps_inventory
	FROM power_action.access a
	WHERE a.role_name = apply_access.role_name;

	FOREACH need IN ARRAY reader_needs LOOP
		EXECUTE format(CASE WHEN reads THEN 'GRANT %s TO %I'
							ELSE 'REVOKE %s FROM %I' END, need, role_name);
	END LOOP;
	FOREACH need IN ARRAY operator_needs LOOP
		EXECUTE format(CASE WHEN operates THEN 'GRANT %s TO %I'
							ELSE 'REVOKE %s FROM %I' END, need, role_name);
	END LOOP;
	FOREACH need IN ARRAY inventory_needs LOOP
		EXECUTE format(CASE WHEN keeps_inventory THEN 'GRANT %s TO %I'
							ELSE 'REVOKE %s FROM %I' END, need, role_name);
	END LOOP;
END
$$;
REVOKE ALL ON FUNCTION power_action.apply_access(name) FROM PUBLIC;
COMMENT ON FUNCTION power_action.apply_access(name) IS
	'Makes the grants of a role follow its rows of access; a role that does not exist is skipped';

CREATE FUNCTION power_action.grant_access(
	role_name name, account_name text, privilege text) RETURNS void
	LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF role_name IS NULL THEN
		RAISE EXCEPTION 'argument "role_name" must not be null'
			USING ERRCODE = 'null_value_not_allowed';
	END IF;
	IF NOT EXISTS (SELECT FROM pg_roles r
				   WHERE r.rolname = grant_access.role_name)
	THEN
		RAISE EXCEPTION 'role "%" does not exist', role_name
			USING ERRCODE = 'undefined_object';
	END IF;
	IF account_name IS NOT NULL
	   AND NOT EXISTS (SELECT FROM power_action.account a
					   WHERE a.account_name = grant_access.account_name)
	THEN
		RAISE EXCEPTION 'account "%" does not exist', account_name
			USING ERRCODE = 'undefined_object',
				  HINT = 'Insert it into power_action.account first.';
	END IF;

	INSERT INTO power_action.access (role_name, account_name, privilege)
	VALUES (grant_access.role_name, grant_access.account_name,
			grant_access.privilege)
	ON CONFLICT DO NOTHING;
	PERFORM power_action.apply_access(role_name);
END
$$;
REVOKE ALL ON FUNCTION power_action.grant_access(name, text, text) FROM PUBLIC;
COMMENT ON FUNCTION power_action.grant_access(name, text, text) IS
	'Adds a row to access and the grants that go with it; what grant_operator, grant_viewer and grant_inventory do';

CREATE FUNCTION power_action.revoke_access(
	role_name name, account_name text, privilege text) RETURNS void
	LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF role_name IS NULL THEN
		RAISE EXCEPTION 'argument "role_name" must not be null'
			USING ERRCODE = 'null_value_not_allowed';
	END IF;

	DELETE FROM power_action.access a
	WHERE a.role_name = revoke_access.role_name
		  AND a.privilege = revoke_access.privilege
		  AND a.account_name IS NOT DISTINCT FROM revoke_access.account_name;
	PERFORM power_action.apply_access(role_name);
END
$$;
REVOKE ALL ON FUNCTION power_action.revoke_access(name, text, text)
	FROM PUBLIC;
COMMENT ON FUNCTION power_action.revoke_access(name, text, text) IS
	'Removes a row from access and the grants that nothing else needs; what revoke_operator, revoke_viewer and revoke_inventory do';

CREATE FUNCTION power_action.grant_operator(
	role_name name, account_name text DEFAULT NULL) RETURNS void
	LANGUAGE sql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT power_action.grant_access(role_name, account_name, 'operate');
$$;
REVOKE ALL ON FUNCTION power_action.grant_operator(name, text) FROM PUBLIC;
COMMENT ON FUNCTION power_action.grant_operator(name, text) IS
	'Lets a role see, power and cancel what belongs to an account (null: all, also those to come). Repeating it changes nothing. Errors: 42704 if there is no such role or account, 22004 without a role';

CREATE FUNCTION power_action.revoke_operator(
	role_name name, account_name text DEFAULT NULL) RETURNS void
	LANGUAGE sql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT power_action.revoke_access(role_name, account_name, 'operate');
$$;
REVOKE ALL ON FUNCTION power_action.revoke_operator(name, text) FROM PUBLIC;
COMMENT ON FUNCTION power_action.revoke_operator(name, text) IS
	'Takes back what grant_operator gave with the same arguments; what was granted otherwise stays. A role that no longer exists is no error';

CREATE FUNCTION power_action.grant_viewer(
	role_name name, account_name text DEFAULT NULL) RETURNS void
	LANGUAGE sql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT power_action.grant_access(role_name, account_name, 'view');
$$;
REVOKE ALL ON FUNCTION power_action.grant_viewer(name, text) FROM PUBLIC;
COMMENT ON FUNCTION power_action.grant_viewer(name, text) IS
	'Lets a role see what belongs to an account (null: all, also those to come). Repeating it changes nothing. Errors: 42704 if there is no such role or account, 22004 without a role';

CREATE FUNCTION power_action.revoke_viewer(
	role_name name, account_name text DEFAULT NULL) RETURNS void
	LANGUAGE sql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT power_action.revoke_access(role_name, account_name, 'view');
$$;
REVOKE ALL ON FUNCTION power_action.revoke_viewer(name, text) FROM PUBLIC;
COMMENT ON FUNCTION power_action.revoke_viewer(name, text) IS
	'Takes back what grant_viewer gave with the same arguments; what was granted otherwise stays. A role that no longer exists is no error';

CREATE FUNCTION power_action.grant_inventory(role_name name) RETURNS void
	LANGUAGE sql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT power_action.grant_access(role_name, NULL, 'inventory');
$$;
REVOKE ALL ON FUNCTION power_action.grant_inventory(name) FROM PUBLIC;
COMMENT ON FUNCTION power_action.grant_inventory(name) IS
	'Lets a role see everything and write account (without server_name), cluster and instance. Repeating it changes nothing. Errors: 42704 if there is no such role, 22004 without one';

CREATE FUNCTION power_action.revoke_inventory(role_name name) RETURNS void
	LANGUAGE sql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT power_action.revoke_access(role_name, NULL, 'inventory');
$$;
REVOKE ALL ON FUNCTION power_action.revoke_inventory(name) FROM PUBLIC;
COMMENT ON FUNCTION power_action.revoke_inventory(name) IS
	'Takes back what grant_inventory gave; what was granted otherwise stays. A role that no longer exists is no error';

--
-- For the owner
--
CREATE FUNCTION power_action.adopt() RETURNS bigint
	AS 'MODULE_PATHNAME', 'pa_request_adopt'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp;
REVOKE ALL ON FUNCTION power_action.adopt() FROM PUBLIC;
COMMENT ON FUNCTION power_action.adopt() IS
	'Makes jobs that were made in another database or server (a copy, an upgrade, a replica) this one''s, which runs them from the commit on; returns their number. Make sure that the other one does not run them too. For the owner of the extension and superusers: else 42501';

CREATE FUNCTION power_action.check_consistency()
	RETURNS TABLE (problem text, event_id bigint, cluster_id text, detail text)
	LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE ROWS 10
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT 'event that is not final has no job', e.event_id, e.cluster_id,
		   format('status is %s', e.status)
	FROM power_action.event e
	WHERE e.status IN ('pending', 'running')
		  AND NOT EXISTS (SELECT FROM power_action.job j
						  WHERE j.event_id = e.event_id)
	UNION ALL
	SELECT 'job has no event', j.event_id, j.cluster_id, NULL
	FROM power_action.job j
	WHERE NOT EXISTS (SELECT FROM power_action.event e
					  WHERE e.event_id = j.event_id)
	UNION ALL
	SELECT 'job of a final event', j.event_id, j.cluster_id,
		   format('status is %s', e.status)
	FROM power_action.job j
	JOIN power_action.event e ON e.event_id = j.event_id
	WHERE e.status IN ('success', 'failed', 'cancelled')
	UNION ALL
	SELECT 'job differs from its event', j.event_id, j.cluster_id,
		   concat_ws(', ',
			   CASE WHEN j.cluster_id <> e.cluster_id
					THEN 'cluster_id' END,
			   CASE WHEN j.server_name IS DISTINCT FROM e.server_name
					THEN 'server_name' END,
			   CASE WHEN j.account_name IS DISTINCT FROM e.account_name
					THEN 'account_name' END,
			   CASE WHEN j.priority <> e.priority
					THEN 'priority' END,
			   CASE WHEN j.not_before IS DISTINCT FROM e.not_before
					THEN 'not_before' END,
			   CASE WHEN j.expires_at IS DISTINCT FROM e.expires_at
					THEN 'expires_at' END,
			   CASE WHEN j.due_at > greatest(e.requested_at, e.not_before)
						 OR j.due_at < e.not_before
					THEN 'due_at' END)
	FROM power_action.job j
	JOIN power_action.event e ON e.event_id = j.event_id
	WHERE (j.cluster_id, j.server_name, j.account_name, j.priority,
		   j.not_before, j.expires_at)
		  IS DISTINCT FROM
		  (e.cluster_id, e.server_name, e.account_name, e.priority,
		   e.not_before, e.expires_at)
		  OR j.due_at > greatest(e.requested_at, e.not_before)
		  OR j.due_at < e.not_before
	UNION ALL
	-- Identical ones may run together: one call answers all of them.
	SELECT 'different actions of one cluster are running', min(e.event_id),
		   e.cluster_id,
		   format('events %s', string_agg(e.event_id::text, ', '
										  ORDER BY e.event_id))
	FROM power_action.event e
	WHERE e.status = 'running'
	GROUP BY e.cluster_id
	HAVING count(DISTINCT e.action) > 1
	UNION ALL
	SELECT 'attempts do not fit the event', e.event_id, e.cluster_id,
		   format('%s calls, %s of them without success, the last is %s',
				  e.attempts, a.failed, a.last)
	FROM power_action.event e
	JOIN (SELECT x.event_id, count(*) AS failed, max(x.attempt) AS last
		  FROM power_action.attempt x
		  GROUP BY x.event_id) a ON a.event_id = e.event_id
	WHERE a.last > e.attempts
		  OR (e.status = 'success' AND a.failed >= e.attempts)
	UNION ALL
	SELECT 'superseded by an event of another cluster', e.event_id,
		   e.cluster_id, format('event %s', s.event_id)
	FROM power_action.event e
	CROSS JOIN LATERAL (SELECT x.event_id, x.cluster_id
						FROM power_action.event x
						WHERE x.event_id = e.superseded_by
						LIMIT 1) s
	WHERE e.superseded_by IS NOT NULL
		  AND s.cluster_id <> e.cluster_id
	UNION ALL
	-- The status of a cluster that the agent has told is what its last event
	-- confirmed.  Any other event after that may have changed it again.  Times
	-- alone do not tell which was the last if the clock was set back: so there
	-- must be none that was requested later and may have changed something.
	SELECT 'cluster contradicts its last event', e.event_id, c.cluster_id,
		   format('%s was confirmed, the status is %s', e.action, c.status)
	FROM power_action.cluster c
	CROSS JOIN LATERAL (
		SELECT x.event_id, x.action, x.status, x.agent_result
		FROM power_action.event x
		WHERE x.cluster_id = c.cluster_id
			  AND x.finished_at IS NOT NULL
			  AND (x.error_source IS DISTINCT FROM 'request'
				   OR x.agent_result = 'unknown')
		ORDER BY x.finished_at DESC, x.event_id DESC
		LIMIT 1) e
	WHERE c.status_source = 'agent'
		  AND e.status = 'success'
		  AND e.agent_result = 'confirmed'
		  AND NOT EXISTS (SELECT FROM power_action.event x
						  WHERE x.cluster_id = c.cluster_id
								AND x.event_id > e.event_id
								AND x.agent_result <> 'none')
		  AND ((e.action = 'power_on' AND c.status <> 'running')
			   OR (e.action = 'power_off' AND c.status <> 'stopped'))
	UNION ALL
	SELECT 'next event id was used already', max(e.event_id), NULL,
		   format('the sequence is at %s', s.last_value)
	FROM power_action.event e, power_action.event_event_id_seq s
	GROUP BY s.last_value
	HAVING max(e.event_id) > s.last_value;
$$;
REVOKE ALL ON FUNCTION power_action.check_consistency() FROM PUBLIC;
COMMENT ON FUNCTION power_action.check_consistency() IS
	'Contradictions between events, jobs, attempts and clusters that must never be; no rows: all is well. Reads everything. For the owner of the extension and superusers';

--
-- What pg_dump takes along: everything but the queue
--
SELECT pg_catalog.pg_extension_config_dump('power_action.account', '');
SELECT pg_catalog.pg_extension_config_dump('power_action.cluster', '');
SELECT pg_catalog.pg_extension_config_dump('power_action.instance', '');
SELECT pg_catalog.pg_extension_config_dump('power_action.access', '');
SELECT pg_catalog.pg_extension_config_dump('power_action.event', '');
SELECT pg_catalog.pg_extension_config_dump('power_action.event_event_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('power_action.attempt', '');
