-- test/sql/waiting.sql
--
-- wait_for and the procedures that wait: what they say when it takes too
-- long, when it cannot work, and when the request fails at once.

\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE EXTENSION power_action;
CREATE SERVER agent FOREIGN DATA WRAPPER power_agent
	OPTIONS (target 'unix:/nonexistent/agent.socket');
INSERT INTO power_action.account (account_name) VALUES ('acme');
INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name)
VALUES ('c-1', 'orders', 'acme');
INSERT INTO power_action.instance (cluster_id, instance_id)
VALUES ('c-1', 'i-1');

-- at the timeout, the unfinished row
SELECT power_action.power_on('c-1');
SELECT event_id, action, cluster_id, finished_at
FROM power_action.wait_for(1, '10 ms');
SELECT event_id FROM power_action.wait_for(1, '0');

-- failed at once
CALL power_action.power_on_and_wait('c-9');
CALL power_action.power_off_and_wait('orders', 'alice', 'by name');
\echo :SQLSTATE

-- the action goes on
CALL power_action.power_on_and_wait('c-1', timeout => '20 ms');
\echo :LAST_ERROR_SQLSTATE
SELECT action, cluster_name, description FROM power_action.history
WHERE event_id IN (3, 4) ORDER BY event_id;

-- mistakes
CALL power_action.power_on_and_wait(NULL);
CALL power_action.power_on_and_wait('c-1', '');
CALL power_action.power_on_and_wait('c-1', timeout => '-1 s');
CALL power_action.power_on_and_wait('c-1', timeout => NULL);
SELECT count(*) FROM power_action.event;

-- where it cannot work
BEGIN;
CALL power_action.power_on_and_wait('c-1');
ROLLBACK;
CREATE FUNCTION pg_temp.call() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	event_id bigint;
	status text;
	message text;
BEGIN
	CALL power_action.power_on_and_wait('c-1', 'x', 'y', '1 s', event_id,
										status, message);
END $$;
SELECT pg_temp.call();
DO $$
DECLARE
	event_id bigint;
	status text;
	message text;
BEGIN
	BEGIN
		CALL power_action.power_on_and_wait('c-1', 'x', 'y', '1 s', event_id,
											status, message);
	EXCEPTION WHEN division_by_zero THEN
		NULL;
	END;
END $$;
BEGIN;
SELECT power_action.power_on('c-1') AS own \gset
SELECT power_action.wait_for(:own);
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT power_action.wait_for(1);
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT power_action.wait_for(1);
ROLLBACK;
SELECT count(*) FROM power_action.event;

-- where it can: a DO block that runs in no transaction may call it and go on
DO $$
DECLARE
	event_id bigint;
	status text;
	message text;
BEGIN
	CALL power_action.power_on_and_wait('c-1', 'x', 'y', '0', event_id,
										status, message);
END $$;
SELECT count(*) FROM power_action.event;

-- statement_timeout ends the waiting, not the action
SET statement_timeout = '50 ms';
CALL power_action.power_on_and_wait('c-1');
SELECT power_action.wait_for(1);
RESET statement_timeout;
SELECT count(*) FROM power_action.event;

DROP EXTENSION power_action CASCADE;
DROP SCHEMA power_action;
