/* test/bench/rivals/rivals.sql */

-- What the other products work on: tables of the shape that power_action's
-- have, with their indexes and fillfactors, but without foreign keys, checks,
-- triggers and policies, which spares them work that ours do.  Variable:
-- clusters.

SET client_min_messages = warning;
DROP SCHEMA IF EXISTS pgboss, graphile_worker, rival CASCADE;
CREATE SCHEMA rival;

CREATE TABLE rival.cluster (
	cluster_id text COLLATE "C" PRIMARY KEY,
	cluster_name text NOT NULL,
	account_name text COLLATE "C" NOT NULL,
	region text NOT NULL DEFAULT '',
	owner text,
	status text NOT NULL DEFAULT 'unknown',
	status_source text NOT NULL DEFAULT 'inventory',
	status_changed_at timestamptz NOT NULL DEFAULT now(),
	labels jsonb NOT NULL DEFAULT '{}'
) WITH (fillfactor = 50);
CREATE INDEX ON rival.cluster (account_name);
CREATE INDEX ON rival.cluster (cluster_name);

CREATE TABLE rival.instance (
	cluster_id text COLLATE "C" NOT NULL,
	instance_id text COLLATE "C" NOT NULL,
	instance_name text,
	zone text,
	status text NOT NULL DEFAULT 'unknown',
	labels jsonb NOT NULL DEFAULT '{}',
	PRIMARY KEY (cluster_id, instance_id)
) WITH (fillfactor = 50);

CREATE TABLE rival.event (
	event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	action text NOT NULL,
	cluster_id text COLLATE "C" NOT NULL,
	cluster_name text,
	account_name text COLLATE "C",
	triggered_by text NOT NULL,
	description text,
	status text NOT NULL,
	agent_result text NOT NULL DEFAULT 'none',
	error_source text,
	error_code text,
	error_message text,
	requested_by text COLLATE "C" NOT NULL DEFAULT session_user,
	client_addr inet,
	application_name text,
	requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	started_at timestamptz,
	finished_at timestamptz,
	attempts integer NOT NULL DEFAULT 0,
	instances_total integer,
	instances_done integer
) WITH (fillfactor = 50);
CREATE INDEX ON rival.event (cluster_id);

INSERT INTO rival.cluster (cluster_id, cluster_name, account_name, status)
	SELECT 'c-' || n, 'cluster ' || n, 'bench', 'running'
	FROM generate_series(1, :clusters) n;
INSERT INTO rival.instance (cluster_id, instance_id, status)
	SELECT cluster_id, 'i-' || cluster_id, 'running' FROM rival.cluster;
VACUUM ANALYZE rival.cluster, rival.instance;
