-- test/sql/arguments.sql
--
-- Every argument of every function that users call: what is refused, with
-- which SQLSTATE, and that nothing was written then.

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

-- The values of an argument, and how the message begins.
CREATE TEMP TABLE bad (argument text, value text, state text, message text);
INSERT INTO bad VALUES
	('triggered_by', 'NULL', '22004', 'argument "triggered_by" must not be null'),
	('triggered_by', $$''$$, '22023', 'argument "triggered_by" must not be empty: ""'),
	('triggered_by', $$repeat('x', 256)$$, '22023', 'argument "triggered_by" is too long: "' || repeat('x', 64) || '..."'),
	('triggered_by', $$E'a\nb'$$, '22023', 'argument "triggered_by" has a control character: "a\x0ab"'),
	('description', $$repeat('x', 1001)$$, '22023', 'argument "description" is too long: "' || repeat('x', 64) || '..."'),
	('description', $$E'\x1b[31m'$$, '22023', 'argument "description" has a control character: "\x1b[31m"'),
	('description', $$E'\u009b31m'$$, '22023', 'argument "description" has a control character: "\xc2\x9b31m"'),
	('not_before', $$'infinity'$$, '22023', 'argument "not_before" must be finite: infinity'),
	('not_before', $$'-infinity'$$, '22023', 'argument "not_before" must be finite: -infinity'),
	('expires_at', $$'infinity'$$, '22023', 'argument "expires_at" must be finite: infinity'),
	('expires_at', $$'2001-01-01 UTC'$$, '22023', NULL),
	('expires_at', 'now()', '22023', NULL),
	('priority', 'NULL', '22004', 'argument "priority" must not be null'),
	('priority', '32768', '22023', 'argument "priority" must be between -32768 and 32767: 32768'),
	('priority', '-32769', '22023', 'argument "priority" must be between -32768 and 32767: -32769'),
	('request_key', $$''$$, '22023', 'argument "request_key" must not be empty: ""'),
	('request_key', $$repeat('x', 256)$$, '22023', NULL),
	('request_key', $$E'\t'$$, '22023', 'argument "request_key" has a control character: "\x09"');
INSERT INTO bad VALUES
	('cluster_id', 'NULL::text', '22004', 'argument "cluster_id" must not be null'),
	('cluster_id', $$''$$, '22023', 'argument "cluster_id" must not be empty: ""'),
	('cluster_id', $$repeat('x', 256)$$, '22023', NULL),
	('cluster_id', $$repeat('ä', 128)$$, '22023', NULL),
	('cluster_id', $$E'c\x7f'$$, '22023', 'argument "cluster_id" has a control character: "c\x7f"'),
	('cluster_ids', 'NULL::text[]', '22004', 'argument "cluster_ids" must not be null'),
	('cluster_ids', $$ARRAY['c', NULL]$$, '22023', 'argument "cluster_ids" must not have null elements: element 2'),
	('cluster_ids', $$ARRAY['c', '']$$, '22023', 'argument "cluster_ids" must not be empty: ""'),
	('cluster_ids', $$ARRAY[ARRAY['c'], ARRAY['d']]$$, '22023', 'argument "cluster_ids" must have one dimension, not 2'),
	('cluster_ids', $$array_fill('c'::text, ARRAY[1000001])$$, '22023', 'argument "cluster_ids" has too many elements: 1000001');

SELECT throws_ok(
	format('SELECT power_action.%s(%s%s => %s)', f.name,
		   CASE WHEN b.argument IN ('cluster_id', 'cluster_ids') THEN ''
				ELSE c.value || ', ' END,
		   b.argument, b.value),
	b.state::char(5), b.message,
	format('%s, %s => %s', f.name, b.argument, left(b.value, 40)))
FROM bad b,
	 (VALUES ('power_on'), ('power_off'), ('refresh')) f (name),
	 (VALUES ($$'c'$$), ($$ARRAY['c', 'd']$$)) c (value)
WHERE b.argument NOT IN ('cluster_id', 'cluster_ids') OR c.value = $$'c'$$;

SELECT throws_ok(
	$$ SELECT power_action.power_on('c', not_before => now() + '2h', expires_at => now() + '1h') $$,
	'22023', NULL, 'expires_at before not_before');
SELECT is((SELECT count(*) FROM power_action.event)
		  + (SELECT count(*) FROM power_action.job), 0::bigint,
	'nothing was written');

-- What is allowed at the limits ----------------------------------------

SELECT lives_ok(s, left(s, 60)) FROM unnest(ARRAY[
	$$ SELECT power_action.power_on('c', repeat('ä', 255)) $$,
	$$ SELECT power_action.power_on('c', description => repeat('ä', 1000)) $$,
	$$ SELECT power_action.power_on('c', description => '') $$,
	$$ SELECT power_action.power_on('c', request_key => repeat('ä', 255)) $$,
	$$ SELECT power_action.power_on('c', priority => '-32768') $$,
	$$ SELECT power_action.power_on('c', not_before => '2001-01-01 UTC') $$,
	$$ SELECT power_action.power_on(repeat('ä', 127)) $$
]) s;
SELECT is_empty('SELECT * FROM power_action.power_on(''{}''::text[])',
	'an empty array has no rows');
SELECT results_eq(
	$$ SELECT cluster_id, status, error_code
	   FROM power_action.power_on(ARRAY['d', 'x', 'c', 'd', 'x']) $$,
	$$ VALUES ('d', 'pending', NULL), ('x', 'failed', 'NOT_FOUND'),
			  ('c', 'pending', NULL) $$,
	'duplicates count once, in the order of the array');

-- What is recorded -----------------------------------------------------

SET LOCAL application_name = 'regress';
SELECT power_action.power_off('c', 'alice', 'maintenance',
	not_before => '2100-01-01 UTC', expires_at => '2100-01-02 UTC',
	priority => 7, request_key => 'key') AS id \gset
SELECT results_eq(
	format('SELECT action, cluster_id, cluster_name, account_name, server_name, triggered_by, description, status, agent_result, requested_by::text, application_name, not_before, expires_at, attempts, priority, request_key, instances_total, requested_at BETWEEN now() AND clock_timestamp() FROM power_action.event WHERE event_id = %s', :id),
	$$ VALUES ('power_off', 'c' COLLATE "C", 'one', 'a' COLLATE "C",
			   'agent' COLLATE "C", 'alice', 'maintenance', 'pending',
			   'none', session_user::text, 'regress',
			   '2100-01-01 UTC'::timestamptz, '2100-01-02 UTC'::timestamptz,
			   0, 7::smallint, 'key' COLLATE "C", 1, true) $$,
	'the event says what was asked, by whom, and for what');
SELECT results_eq(
	format('SELECT cluster_id, server_name, account_name, priority, due_at, not_before, expires_at, retry_at, origin_system = power_action.origin_system(), origin_database = (SELECT oid FROM pg_database WHERE datname = current_database()) FROM power_action.job WHERE event_id = %s', :id),
	$$ VALUES ('c' COLLATE "C", 'agent' COLLATE "C", 'a' COLLATE "C",
			   7::smallint, '2100-01-01 UTC'::timestamptz,
			   '2100-01-01 UTC'::timestamptz,
			   '2100-01-02 UTC'::timestamptz, NULL::timestamptz,
			   true, true) $$,
	'the job says what the worker needs');
SELECT power_action.power_off('c', not_before => '2001-01-01 UTC') AS id \gset
SELECT is(
	(SELECT j.due_at = e.requested_at FROM power_action.job j
	 JOIN power_action.event e USING (event_id) WHERE event_id = :id), true,
	'what is due in the past is due from the request on');

-- request_key ----------------------------------------------------------

SELECT power_action.power_on('c', 'me', 'why', request_key => 'k') AS id \gset
SELECT is(power_action.power_on('c', 'me', 'why', request_key => 'k'),
	:id::bigint, 'the same request again is the same event');
SELECT is((SELECT count(*) FROM power_action.job WHERE event_id = :id),
	1::bigint, 'with one job');
SELECT isnt(power_action.power_on('d', 'me', 'why', request_key => 'k'),
	:id::bigint, 'another cluster may have the same key');
SELECT throws_ok(s, '23505',
	'request_key "k" was used with other arguments for cluster "c"', s)
FROM unnest(ARRAY[
	$$ SELECT power_action.power_off('c', 'me', 'why', request_key => 'k') $$,
	$$ SELECT power_action.power_on('c', 'you', 'why', request_key => 'k') $$,
	$$ SELECT power_action.power_on('c', 'me', 'not', request_key => 'k') $$,
	$$ SELECT power_action.power_on('c', 'me', request_key => 'k') $$,
	$$ SELECT power_action.power_on('c', 'me', 'why', '2100-01-01', request_key => 'k') $$,
	$$ SELECT power_action.power_on('c', 'me', 'why', expires_at => '2100-01-01', request_key => 'k') $$,
	$$ SELECT power_action.power_on('c', 'me', 'why', priority => '1', request_key => 'k') $$
]) s;
SELECT results_eq(
	$$ SELECT cluster_id, status, error_code
	   FROM power_action.power_on(ARRAY['x', 'd', 'c'], 'me', 'why', request_key => 'k') $$,
	$$ VALUES ('c', 'pending', NULL), ('d', 'pending', NULL),
			  ('x', 'failed', 'NOT_FOUND') $$,
	'many clusters: those that are there are taken, the others inserted');
SELECT results_eq(
	$$ SELECT cluster_id COLLATE "default", count(*) FROM power_action.event
	   WHERE request_key = 'k' GROUP BY 1 ORDER BY 1 $$,
	$$ VALUES ('c', 1::bigint), ('d', 1), ('x', 1) $$,
	'each only once');
SELECT results_eq(
	$$ SELECT cluster_id, status, error_code
	   FROM power_action.power_on(ARRAY['x'], 'me', 'why', request_key => 'k') $$,
	$$ VALUES ('x', 'failed', 'NOT_FOUND') $$,
	'a repeated one that has failed says so');

-- A trigger of the users that drops the row.
CREATE FUNCTION pg_temp.drop_row() RETURNS trigger LANGUAGE plpgsql AS
	'BEGIN RETURN NULL; END';
CREATE TRIGGER regress_drop BEFORE INSERT ON power_action.event
	FOR EACH ROW EXECUTE FUNCTION pg_temp.drop_row();
SELECT throws_ok(s, '09000', 'the event for cluster "c" was not inserted', s)
FROM unnest(ARRAY[
	$$ SELECT power_action.power_on('c') $$,
	$$ SELECT power_action.power_on(ARRAY['c', 'd']) $$,
	$$ SELECT power_action.power_on('c', request_key => 'new') $$]) s;
DROP TRIGGER regress_drop ON power_action.event;

-- cancel and wait_for --------------------------------------------------

SELECT throws_ok(s, state::char(5), message, s)
FROM (VALUES
	('SELECT power_action.cancel(NULL)', '22004', 'argument "event_id" must not be null'),
	('SELECT power_action.cancel(0)', 'P0002', 'event 0 does not exist'),
	('SELECT power_action.cancel(1, NULL)', '22004', 'argument "cancelled_by" must not be null'),
	('SELECT power_action.cancel(1, '''')', '22023', 'argument "cancelled_by" must not be empty: ""'),
	('SELECT power_action.cancel(1, repeat(''x'', 256))', '22023', NULL),
	('SELECT power_action.cancel(1, ''me'', repeat(''x'', 1001))', '22023', NULL),
	('SELECT power_action.cancel(1, ''me'', E''\x07'')', '22023', NULL),
	('SELECT power_action.wait_for(NULL)', '22004', 'argument "event_id" must not be null'),
	('SELECT power_action.wait_for(0)', 'P0002', 'event 0 does not exist'),
	('SELECT power_action.wait_for(0, NULL)', '22004', 'argument "timeout" must not be null'),
	('SELECT power_action.wait_for(0, ''-1 ms'')', '22023', 'argument "timeout" must be between 0 and 1 year: -00:00:00.001'),
	('SELECT power_action.wait_for(0, ''2 years'')', '22023', 'argument "timeout" must be between 0 and 1 year: 2 years'),
	('SELECT power_action.wait_for(0, ''100000000 years'')', '22023', NULL)
) t (s, state, message);
SELECT is((SELECT count(*) FROM power_action.cancellation), 0::bigint,
	'no cancellation was written');
SELECT is(power_action.cancel(:id, 'me', 'why not'), 'pending',
	'cancel returns the status as it is');
SELECT results_eq(
	'SELECT event_id, cancelled_by, reason FROM power_action.cancellation',
	format('VALUES (%s::bigint, ''me'', ''why not'')', :id),
	'and asks the worker');
SELECT throws_ok(format('SELECT power_action.wait_for(%s)', :id), '55000',
	format('event %s was requested in this transaction', :id),
	'what is not committed cannot be waited for');
SELECT is((power_action.wait_for(event_id)).status, 'failed',
	'what is final need not be waited for')
FROM power_action.event WHERE status = 'failed' LIMIT 1;

-- What cannot be done --------------------------------------------------

SELECT throws_ok(
	$$ CALL power_action.power_on_and_wait('c') $$, '25001',
	'power_on_and_wait() cannot run in a transaction block or a function',
	'the procedures need a transaction of their own');
SELECT throws_ok(
	$$ CALL power_action.power_off_and_wait('c') $$, '25001',
	'power_off_and_wait() cannot run in a transaction block or a function',
	'both of them');

SAVEPOINT here;
SET TRANSACTION READ ONLY;
SELECT throws_ok($$ SELECT power_action.power_on('c') $$, '25006',
	'cannot execute power_on() in a read-only transaction',
	'nothing is requested in a read-only transaction');
ROLLBACK TO here;

UPDATE power_action.cluster SET status = 'terminated' WHERE cluster_id = 'd';
DELETE FROM power_action.job;
UPDATE power_action.cluster SET status = 'terminated' WHERE cluster_id = 'd';
INSERT INTO power_action.account (account_name, server_name)
VALUES ('lost', 'nowhere');
INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name)
VALUES ('empty', 'e', 'a'), ('gone', 'g', 'a'), ('lost', 'l', 'lost');
INSERT INTO power_action.instance (cluster_id, instance_id, status)
VALUES ('gone', 'i', 'terminated'), ('lost', 'i', 'running');
SELECT min(event_id) AS first, count(*) AS five
FROM power_action.power_on(ARRAY['d', 'empty', 'gone', 'lost', 'one']) \gset
SELECT results_eq(
	format('SELECT cluster_id COLLATE "default", status, error_source, error_code, error_message, finished_at = requested_at FROM power_action.event WHERE event_id >= %s ORDER BY event_id', :first),
	$$ VALUES
	('d', 'failed', 'request', 'FAILED_PRECONDITION', 'cluster "d" is terminated', true),
	('empty', 'failed', 'request', 'FAILED_PRECONDITION', 'cluster "empty" has no instances, or only terminated ones', true),
	('gone', 'failed', 'request', 'FAILED_PRECONDITION', 'cluster "gone" has no instances, or only terminated ones', true),
	('lost', 'failed', 'request', 'FAILED_PRECONDITION', 'server "nowhere" of account "lost" is not a foreign server of power_agent', true),
	('one', 'failed', 'request', 'NOT_FOUND', 'cluster "one" does not exist', true) $$,
	'what cannot be done fails at once, and says why');
SELECT is((SELECT count(*) FROM power_action.job), 0::bigint,
	'and leaves no job');

-- One and many are looked up by statements of their own.  An account can only
-- be missing where foreign keys were switched off.
SET LOCAL session_replication_role = replica;
INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name)
VALUES ('orphan', 'orphan', 'nobody');
SET LOCAL session_replication_role = origin;
SELECT power_action.power_on('empty') AS empty,
	power_action.power_on('lost') AS lost,
	power_action.power_on('orphan') AS orphan \gset
SELECT results_eq(
	format('SELECT error_message, instances_total FROM power_action.event WHERE event_id IN (%s, %s, %s) ORDER BY event_id', :empty, :lost, :orphan),
	$$ VALUES
	('cluster "empty" has no instances, or only terminated ones', 0),
	('server "nowhere" of account "lost" is not a foreign server of power_agent', 1),
	('cluster "orphan" does not exist', NULL) $$,
	'so it is for one');
SELECT results_eq(
	$$ SELECT error_code FROM power_action.power_on(ARRAY['one', 'orphan']) $$,
	$$ VALUES ('NOT_FOUND'), ('NOT_FOUND') $$,
	'a cluster whose account is missing, among others');

SELECT * FROM finish();
ROLLBACK;
