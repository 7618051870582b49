-- test/sql/views.sql
--
-- What the views tell while nothing can be done: why each action waits.

SET client_min_messages = warning;
CREATE EXTENSION power_action;
CREATE SERVER agent FOREIGN DATA WRAPPER power_agent
	OPTIONS (target 'unix:/nonexistent/agent.socket');
INSERT INTO power_action.account (account_name) VALUES ('acme');
INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name)
VALUES ('c-1', 'orders', 'acme'), ('c-2', 'billing', 'acme'),
	   ('c-3', 'search', 'acme');
INSERT INTO power_action.instance (cluster_id, instance_id)
SELECT cluster_id, 'i-1' FROM power_action.cluster;

-- Waits until a query says true; what it says is up to the worker.
CREATE PROCEDURE pg_temp.until(query text) LANGUAGE plpgsql AS $$
DECLARE
	reached boolean;
	give_up timestamptz := clock_timestamp() + interval '30 s';
BEGIN
	LOOP
		EXECUTE query INTO reached;
		EXIT WHEN reached;
		IF clock_timestamp() > give_up THEN
			RAISE EXCEPTION 'still not true: %', query;
		END IF;
		COMMIT;
		PERFORM pg_sleep(0.01);
	END LOOP;
END $$;

CALL pg_temp.until($$ SELECT count(*) = 1 FROM power_action.worker_status
	WHERE database = current_database() AND state = 'running' $$);
CALL pg_temp.until($$ SELECT state = 'unreachable'
	FROM power_action.agent_status $$);

SELECT power_action.refresh('c-1');
SELECT power_action.refresh('c-1', not_before => '2100-01-01 00:00 UTC');
SELECT power_action.power_on('c-2');
SELECT power_action.refresh('c-2');

SET timezone = 'UTC';
SELECT event_id, action, cluster_name, status, attempts, next_attempt,
	   waits_for
FROM power_action.activity;
SELECT server_name, target, in_flight, waiting,
	   last_error IS NOT NULL AS has_error
FROM power_action.agent_status;
SELECT count(*) FROM power_action.worker_status
WHERE database = current_database() AND pid IS NOT NULL AND since <= now();

-- switched off
ALTER SYSTEM SET power_action.enabled = off;
SELECT pg_reload_conf();
\c
SET client_min_messages = warning;
SELECT power_action.power_on('c-3');
SELECT * FROM power_action.power_on(ARRAY['c-3', 'c-2']);
SELECT event_id, waits_for FROM power_action.activity;
ALTER SYSTEM RESET power_action.enabled;
SELECT pg_reload_conf();
\c
SET client_min_messages = warning;

-- jobs of another database, as a copy has them
UPDATE power_action.job SET origin_database = 1 WHERE event_id < 4;
SELECT event_id, waits_for FROM power_action.activity WHERE event_id < 5;
SELECT power_action.adopt();
SELECT power_action.adopt();
SELECT event_id, waits_for FROM power_action.activity WHERE event_id < 5;

-- how an event ended, in one line
CREATE FUNCTION pg_temp.ended(changes text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE 'UPDATE power_action.event SET finished_at = now(), ' || changes
		|| ' WHERE event_id = 1';
	SELECT outcome INTO result FROM power_action.history WHERE event_id = 1;
	RAISE EXCEPTION USING MESSAGE = 'undo', DETAIL = result;
EXCEPTION WHEN raise_exception THEN
	GET STACKED DIAGNOSTICS result = PG_EXCEPTION_DETAIL;
	RETURN result;
END $$;
SELECT pg_temp.ended(changes) FROM (VALUES
	('status = ''success'', started_at = now(), agent_result = ''confirmed'', instances_total = 3, instances_done = 3'),
	('status = ''success'', started_at = now(), agent_result = ''accepted'''),
	('status = ''failed'', agent_result = ''partial'', error_source = ''agent'', error_code = ''PARTIAL'', error_message = ''i-2 did not follow'', instances_total = 3, instances_done = 2'),
	('status = ''failed'', agent_result = ''refused'', error_source = ''agent'', error_code = ''PERMISSION_DENIED'', error_message = ''no quota'''),
	('status = ''failed'', agent_result = ''unknown'', error_source = ''transport'', error_code = ''DEADLINE_EXCEEDED'', error_message = ''no answer'''),
	('status = ''cancelled'', superseded_by = 17'),
	('status = ''cancelled'', superseded_by = 17, agent_result = ''unknown'''),
	('status = ''cancelled'', cancelled_by = ''alice'', cancel_reason = ''a mistake'''),
	('status = ''cancelled'', cancelled_by = ''alice'''),
	('status = ''cancelled'', cancel_reason = ''restored''')
) t (changes);

DROP EXTENSION power_action CASCADE;
DROP SCHEMA power_action;
