-- test/sql/states.sql
--
-- The rules that the tables keep by themselves: what goes with each status of
-- an event, who may say what a cluster's status is, what a restore brings.

\set ON_ERROR_STOP on
\pset format unaligned
\pset tuples_only on
\pset pager off
SET client_min_messages = error;

BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
DROP EXTENSION IF EXISTS power_action CASCADE;
CREATE EXTENSION power_action;

CREATE SERVER agent FOREIGN DATA WRAPPER power_agent
	OPTIONS (target 'unix:/nonexistent/agent.socket');
INSERT INTO power_action.account (account_name) VALUES ('a');
INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name)
VALUES ('c', 'one', 'a'), ('d', 'two', 'a');
INSERT INTO power_action.instance (cluster_id, instance_id)
VALUES ('c', 'i'), ('d', 'i');

SELECT no_plan();

-- Events ---------------------------------------------------------------

SELECT power_action.power_on('c') AS id \gset
SELECT set_config('regress.id', :'id', true) \gset

-- Breaks a rule by an update; the row is as it was afterwards.
CREATE FUNCTION pg_temp.breaks(changes text, rule text, starting text)
	RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	broken text;
	result text;
BEGIN
	BEGIN
		IF starting <> '' THEN
			EXECUTE format('UPDATE power_action.event SET %s WHERE event_id = %s',
						   starting, current_setting('regress.id'));
		END IF;
		BEGIN
			EXECUTE format('UPDATE power_action.event SET %s WHERE event_id = %s',
						   changes, current_setting('regress.id'));
			broken := 'none';
		EXCEPTION WHEN check_violation THEN
			GET STACKED DIAGNOSTICS broken = CONSTRAINT_NAME;
		END;
		RAISE EXCEPTION 'back';
	EXCEPTION WHEN raise_exception THEN
		NULL;
	END;
	RETURN is(broken, rule, coalesce(nullif(starting, '') || ', then ', '')
			  || changes);
END $$;

SELECT pg_temp.breaks(changes, rule, starting)
FROM (VALUES
	-- the words
	('action = ''reboot''', 'event_action_check', ''),
	('status = ''done''', 'event_status_check', ''),
	('agent_result = ''maybe''', 'event_agent_result_check', ''),
	('error_source = ''weather''', 'event_error_source_check', ''),
	-- what is final, and only that, has an end
	('finished_at = now()', 'event_finished_check', ''),
	('status = ''success'', agent_result = ''confirmed'', started_at = now()', 'event_finished_check', ''),
	('finished_at = NULL', 'event_finished_check', 'status = ''cancelled'', cancelled_by = ''me'', finished_at = now()'),
	-- what goes with each
	('started_at = now()', 'event_pending_check', ''),
	('started_at = now(), attempts = 1', 'none', ''),
	('status = ''running''', 'event_running_check', ''),
	('status = ''running'', started_at = now()', 'none', ''),
	('status = ''success'', agent_result = ''confirmed'', finished_at = now()', 'event_running_check', ''),
	('status = ''success'', started_at = now(), finished_at = now()', 'event_success_check', ''),
	('status = ''success'', agent_result = ''partial'', started_at = now(), finished_at = now()', 'event_success_check', ''),
	('status = ''success'', agent_result = ''accepted'', started_at = now(), finished_at = now()', 'none', ''),
	('status = ''failed'', finished_at = now()', 'event_failed_check', ''),
	('status = ''failed'', finished_at = now(), error_source = ''agent'', error_code = ''X''', 'event_failed_check', ''),
	('error_source = ''agent'', error_code = ''X'', error_message = ''x''', 'event_failed_check', ''),
	('status = ''failed'', finished_at = now(), error_source = ''agent'', error_code = ''X'', error_message = ''x''', 'none', ''),
	('status = ''cancelled'', finished_at = now()', 'event_cancelled_check', ''),
	('cancelled_by = ''me''', 'event_cancelled_check', ''),
	('superseded_by = 999', 'event_cancelled_check', ''),
	('cancel_reason = ''x''', 'event_cancelled_check', ''),
	('status = ''cancelled'', finished_at = now(), superseded_by = 999', 'none', ''),
	('superseded_by = event_id', 'event_superseded_check', 'status = ''cancelled'', finished_at = now(), superseded_by = 999'),
	('account_name = NULL', 'event_request_check', ''),
	('server_name = NULL', 'event_request_check', ''),
	('cluster_name = NULL', 'event_request_check', ''),
	-- values
	('cluster_id = ''''', 'event_cluster_id_check', ''),
	('cluster_id = repeat(''x'', 256)', 'event_cluster_id_check', ''),
	('triggered_by = ''''', 'event_triggered_by_check', ''),
	('request_key = ''''', 'event_request_key_check', ''),
	('attempts = -1', 'event_attempts_check', ''),
	('expires_at = requested_at', 'event_expires_check', ''),
	('not_before = now() + ''1 h'', expires_at = now() + ''1 h''', 'event_expires_check', ''),
	('expires_at = now() + ''1 h''', 'none', ''),
	('instances_total = -1', 'event_instances_check', ''),
	('instances_done = -1', 'event_instances_check', ''),
	('instances_total = 2, instances_done = 3', 'event_instances_check', ''),
	('instances_total = 3, instances_done = 3', 'none', '')
) t (changes, rule, starting);

SELECT throws_ok(s, '23502', NULL, s) FROM unnest(ARRAY[
	'UPDATE power_action.event SET status = NULL',
	'UPDATE power_action.event SET action = NULL',
	'UPDATE power_action.event SET agent_result = NULL',
	'UPDATE power_action.event SET requested_by = NULL']) s;

-- The inventory --------------------------------------------------------

SELECT throws_ok(s, '23514', NULL, s) FROM unnest(ARRAY[
	'UPDATE power_action.cluster SET status = ''on'' WHERE cluster_id = ''d''',
	'UPDATE power_action.instance SET status = ''partial'' WHERE cluster_id = ''d''',
	'INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name) VALUES ('''', ''x'', ''a'')',
	'INSERT INTO power_action.account (account_name, server_name) VALUES (''x'', '''')',
	'INSERT INTO power_action.access VALUES (''x'', ''a'', ''inventory'')',
	'INSERT INTO power_action.access VALUES (''x'', NULL, ''own'')']) s;
SELECT throws_ok($$ DELETE FROM power_action.account $$, '23503', NULL,
	'an account with clusters stays');

-- While an action is due, what the inventory says of the status is ignored.
UPDATE power_action.cluster SET status = 'running', region = 'north';
UPDATE power_action.instance SET status = 'running', zone = 'z';
SELECT results_eq(
	$$ SELECT cluster_id COLLATE "default", status, status_source, region
	   FROM power_action.cluster ORDER BY 1 $$,
	$$ VALUES ('c', 'unknown', 'inventory', 'north'),
			  ('d', 'running', 'inventory', 'north') $$,
	'the status of a cluster stays while an action for it is due');
SELECT results_eq(
	$$ SELECT cluster_id COLLATE "default", status, zone
	   FROM power_action.instance ORDER BY 1 $$,
	$$ VALUES ('c', 'unknown', 'z'), ('d', 'running', 'z') $$,
	'and that of its instances; other columns change');

UPDATE power_action.job SET due_at = now() + interval '1 h';
UPDATE power_action.cluster SET status = 'stopped' WHERE cluster_id = 'c';
SELECT is((SELECT status FROM power_action.cluster WHERE cluster_id = 'c'),
	'stopped', 'an action for later protects nothing yet');
UPDATE power_action.job SET due_at = now(), origin_system = 1;
UPDATE power_action.cluster SET status = 'running' WHERE cluster_id = 'c';
SELECT is((SELECT status FROM power_action.cluster WHERE cluster_id = 'c'),
	'running', 'nor does one that another database has left');
DELETE FROM power_action.job;

ALTER TABLE power_action.cluster DISABLE TRIGGER keep_cluster_status;
UPDATE power_action.cluster
SET status_source = 'agent', status_changed_at = '2001-01-01 UTC';
ALTER TABLE power_action.cluster ENABLE TRIGGER keep_cluster_status;
UPDATE power_action.cluster SET cluster_name = 'three', status = 'running'
WHERE cluster_id = 'd';
SELECT results_eq(
	$$ SELECT status_source, status_changed_at FROM power_action.cluster
	   WHERE cluster_id = 'd' $$,
	$$ VALUES ('agent', '2001-01-01 UTC'::timestamptz) $$,
	'the same status again changes nothing');
UPDATE power_action.cluster SET status_source = 'accepted',
	status_changed_at = now() WHERE cluster_id = 'd';
SELECT results_eq(
	$$ SELECT status_source, status_changed_at FROM power_action.cluster
	   WHERE cluster_id = 'd' $$,
	$$ VALUES ('agent', '2001-01-01 UTC'::timestamptz) $$,
	'who said it, and when, is not for anybody to write');
UPDATE power_action.cluster SET status = 'stopped' WHERE cluster_id = 'd';
SELECT results_eq(
	$$ SELECT status, status_source, status_changed_at = now()
	   FROM power_action.cluster WHERE cluster_id = 'd' $$,
	$$ VALUES ('stopped', 'inventory', true) $$,
	'a change is marked as one of the inventory');

-- A restore ------------------------------------------------------------

CREATE TEMP TABLE dumped AS
	SELECT * FROM power_action.event WHERE event_id = :id;
DELETE FROM power_action.event;
UPDATE dumped SET requested_at = now() - interval '1 day';
INSERT INTO power_action.event OVERRIDING SYSTEM VALUE SELECT * FROM dumped;
SELECT results_eq(
	$$ SELECT status, cancel_reason, finished_at = now(), agent_result
	   FROM power_action.event $$,
	$$ VALUES ('cancelled', 'restored', true, 'unknown') $$,
	'an event that is not final does not come back to life');
DELETE FROM power_action.event;
UPDATE dumped SET requested_at = now() + interval '1 h';
INSERT INTO power_action.event OVERRIDING SYSTEM VALUE SELECT * FROM dumped;
SELECT is((SELECT finished_at = requested_at FROM power_action.event), true,
	'from a server with its clock ahead: not before it was requested');
DELETE FROM power_action.event;
UPDATE dumped SET not_before = now() + interval '1 day';
INSERT INTO power_action.event OVERRIDING SYSTEM VALUE SELECT * FROM dumped;
SELECT results_eq(
	$$ SELECT status, agent_result FROM power_action.event $$,
	$$ VALUES ('cancelled', 'none') $$,
	'one that was not due has not been sent');
DELETE FROM power_action.event;
UPDATE dumped SET status = 'running', started_at = now() + interval '2 h',
	agent_result = 'accepted';
INSERT INTO power_action.event OVERRIDING SYSTEM VALUE SELECT * FROM dumped;
SELECT results_eq(
	$$ SELECT status, agent_result FROM power_action.event $$,
	$$ VALUES ('cancelled', 'accepted') $$,
	'what the agent has said is kept');
SELECT is((SELECT finished_at = greatest(requested_at, started_at)
		   FROM power_action.event), true, 'nor before it was started');
DELETE FROM power_action.event;
UPDATE dumped SET status = 'success', finished_at = now();
INSERT INTO power_action.event OVERRIDING SYSTEM VALUE SELECT * FROM dumped;
SELECT results_eq(
	$$ SELECT status, agent_result FROM power_action.event $$,
	$$ VALUES ('success', 'accepted') $$,
	'what is final comes back as it was');
SELECT is_empty('SELECT * FROM power_action.check_consistency()',
	'there is no contradiction after that');

-- Contradictions are found ---------------------------------------------

DELETE FROM power_action.event;
SELECT power_action.power_on('c') AS one \gset
SELECT power_action.power_off('c') AS two \gset
SELECT power_action.power_on('d') AS three \gset
SELECT is_empty('SELECT * FROM power_action.check_consistency()',
	'requests are consistent');

CREATE FUNCTION pg_temp.finds(statement text, problem text) RETURNS text
	LANGUAGE plpgsql AS $$
DECLARE
	found text;
BEGIN
	BEGIN
		EXECUTE statement;
		SELECT string_agg(DISTINCT c.problem, ', ') INTO found
		FROM power_action.check_consistency() c;
		RAISE EXCEPTION 'back';
	EXCEPTION WHEN raise_exception THEN
		NULL;
	END;
	RETURN is(found, problem, problem);
END $$;

SELECT pg_temp.finds(statement, problem) FROM (VALUES
	(format('DELETE FROM power_action.job WHERE event_id = %s', :one), 'event that is not final has no job'),
	(format('DELETE FROM power_action.event WHERE event_id = %s', :one), 'job has no event'),
	(format('UPDATE power_action.event SET status = ''cancelled'', cancelled_by = ''x'', finished_at = now() WHERE event_id = %s', :one), 'job of a final event'),
	(format('UPDATE power_action.job SET priority = 1 WHERE event_id = %s', :one), 'job differs from its event'),
	(format('UPDATE power_action.job SET due_at = now() + ''1 h'' WHERE event_id = %s', :one), 'job differs from its event'),
	(format('UPDATE power_action.job SET not_before = now() WHERE event_id = %s', :one), 'job differs from its event'),
	(format('UPDATE power_action.job SET due_at = due_at - interval ''1 h'' WHERE event_id = %s', :one), NULL),
	(format('WITH e AS (UPDATE power_action.event SET not_before = now() WHERE event_id = %s) UPDATE power_action.job SET not_before = now(), due_at = now() - interval ''1 h'' WHERE event_id = %1$s', :one), 'job differs from its event'),
	('UPDATE power_action.event SET status = ''running'', started_at = now() WHERE cluster_id = ''c''', 'different actions of one cluster are running'),
	(format('INSERT INTO power_action.attempt VALUES (%s, 1, now(), now(), ''UNAVAILABLE'', ''x'')', :one), 'attempts do not fit the event'),
	(format('WITH d AS (DELETE FROM power_action.job WHERE event_id = %s) UPDATE power_action.event SET status = ''cancelled'', superseded_by = %s, finished_at = now() WHERE event_id = %1$s', :one, :three), 'superseded by an event of another cluster'),
	(format('WITH d AS (DELETE FROM power_action.job WHERE event_id = %s), c AS (UPDATE power_action.cluster SET labels = ''{}'') UPDATE power_action.event SET status = ''success'', started_at = now(), finished_at = now(), agent_result = ''confirmed'' WHERE event_id = %1$s', :three), NULL),
	('ALTER SEQUENCE power_action.event_event_id_seq RESTART', 'next event id was used already')
) t (statement, problem);

ALTER TABLE power_action.cluster DISABLE TRIGGER keep_cluster_status;
SELECT pg_temp.finds(format('WITH d AS (DELETE FROM power_action.job WHERE event_id = %s), c AS (UPDATE power_action.cluster SET status = ''stopped'', status_source = ''agent'' WHERE cluster_id = ''d'') UPDATE power_action.event SET status = ''success'', started_at = now(), finished_at = now(), agent_result = ''confirmed'' WHERE event_id = %1$s', :three),
	'cluster contradicts its last event');
SELECT pg_temp.finds(format('WITH d AS (DELETE FROM power_action.job WHERE event_id IN (%s, %s)), c AS (UPDATE power_action.cluster SET status = ''stopped'', status_source = ''agent'' WHERE cluster_id = ''c'') UPDATE power_action.event SET status = ''success'', started_at = now(), finished_at = now() - interval ''1 h'' * (event_id - %1$s), agent_result = ''confirmed'' WHERE event_id IN (%1$s, %2$s)', :one, :two),
	NULL);

SELECT * FROM finish();
ROLLBACK;
