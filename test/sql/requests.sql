-- test/sql/requests.sql
--
-- What a user of psql sees: requests, warnings, errors, the history.  No
-- agent can be reached, so nothing goes further than being requested.

SET client_min_messages = warning;
CREATE EXTENSION power_action;
CREATE SERVER agent FOREIGN DATA WRAPPER power_agent
	OPTIONS (target 'unix:/nonexistent/agent.socket');
INSERT INTO power_action.account (account_name, provider)
VALUES ('acme', 'simulated');
INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name)
VALUES ('c-1', 'orders', 'acme'), ('c-2', 'billing', 'acme'),
	   ('c-3', 'empty', 'acme'), ('c-4', 'search', 'acme');
INSERT INTO power_action.instance (cluster_id, instance_id)
VALUES ('c-1', 'i-1'), ('c-1', 'i-2'), ('c-2', 'i-1'), ('c-4', 'i-1');

-- one cluster
SELECT power_action.power_on('c-1', 'alice', 'month end');

-- the name instead of the id; no such cluster; no instances
SELECT power_action.power_off('orders', 'alice');
SELECT power_action.power_off('c-9', 'alice');
SELECT power_action.refresh('c-3', 'alice');

-- many
SELECT * FROM power_action.power_on(ARRAY['c-2', 'c-9', 'c-2', 'c-3'], 'bob');
SELECT * FROM power_action.power_on(ARRAY['billing'], 'bob');
SELECT * FROM power_action.power_on('{}'::text[]);

-- safe repetition
SELECT power_action.power_off('c-4', 'bob', request_key => 'night');
SELECT power_action.power_off('c-4', 'bob', request_key => 'night');
SELECT power_action.power_off('c-4', 'eve', request_key => 'night');

-- nothing happens that is not committed
BEGIN;
SELECT power_action.power_on('c-2') IS NOT NULL AS requested;
ROLLBACK;
BEGIN;
SAVEPOINT inside;
SELECT power_action.power_on('c-2') IS NOT NULL AS requested;
ROLLBACK TO inside;
COMMIT;

-- mistakes
SELECT power_action.power_on(NULL::text);
SELECT power_action.power_on('');
SELECT power_action.power_on('c-1', description => repeat('x', 1001));
SELECT power_action.power_on('c-1', expires_at => '2001-01-01 00:00 UTC');
SELECT power_action.power_on(ARRAY['c-1', NULL]);
SELECT power_action.cancel(4711);
SELECT power_action.wait_for(4711);

-- the history
SELECT event_id, action, cluster_name, triggered_by, description, outcome
FROM power_action.history WHERE status = 'failed';
SELECT event_id, action, cluster_name, status, took, triggered_by,
	   description
FROM power_action.history WHERE status <> 'failed';
SELECT error_source, error_code, count(*) FROM power_action.event
WHERE status = 'failed' GROUP BY 1, 2 ORDER BY 1, 2;

SELECT * FROM power_action.check_consistency();
DROP EXTENSION power_action CASCADE;
DROP SCHEMA power_action;
