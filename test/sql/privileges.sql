-- test/sql/privileges.sql
--
-- Who sees what and may do what: two teams with an account each, a viewer, a
-- keeper of the inventory, a member of a team and a stranger.

\set ON_ERROR_STOP on
\pset format unaligned
\pset tuples_only on
\pset pager off
SET client_min_messages = error;

BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
DROP EXTENSION IF EXISTS power_action CASCADE;
CREATE EXTENSION power_action;

CREATE ROLE regress_red;
CREATE ROLE regress_blue;
CREATE ROLE regress_viewer;
CREATE ROLE regress_keeper;
CREATE ROLE regress_stranger;
CREATE ROLE regress_member IN ROLE regress_red;
CREATE ROLE regress_distant NOINHERIT IN ROLE regress_red;

CREATE SERVER agent FOREIGN DATA WRAPPER power_agent
	OPTIONS (target 'unix:/nonexistent/agent.socket');
INSERT INTO power_action.account (account_name) VALUES ('red'), ('blue');
INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name)
VALUES ('r1', 'one', 'red'), ('r2', 'two', 'red'), ('b1', 'three', 'blue');
INSERT INTO power_action.instance (cluster_id, instance_id)
SELECT cluster_id, 'i' FROM power_action.cluster;

SELECT no_plan();

-- What a role sees, as one line.
CREATE FUNCTION pg_temp.sight() RETURNS text LANGUAGE sql AS $$
	SELECT format('%s account, %s cluster, %s instance, %s event, %s attempt, %s job, %s access',
				  (SELECT count(*) FROM power_action.account),
				  (SELECT count(*) FROM power_action.cluster),
				  (SELECT count(*) FROM power_action.instance),
				  (SELECT count(*) FROM power_action.event),
				  (SELECT count(*) FROM power_action.attempt),
				  (SELECT count(*) FROM power_action.job),
				  (SELECT count(*) FROM power_action.access)) $$;

CREATE FUNCTION pg_temp.plan(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	lines text := '';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN ' || query LOOP
		lines := lines || E'\n' || line;
	END LOOP;
	RETURN lines;
END $$;

SELECT power_action.power_on('r1') AS red_event \gset
SELECT power_action.power_on('b1') AS blue_event \gset
INSERT INTO power_action.attempt
SELECT event_id, 1, now(), now(), 'UNAVAILABLE', 'gone'
FROM power_action.event;

-- Without a grant ------------------------------------------------------

SET ROLE regress_stranger;
SELECT throws_ok('SELECT * FROM power_action.cluster', '42501', NULL,
	'a stranger does not get into the schema');
SELECT throws_ok($$ SELECT power_action.power_on('r1') $$, '42501', NULL,
	'a stranger powers nothing');
RESET ROLE;

-- Even who has all the grants sees nothing without a row in access.
GRANT USAGE ON SCHEMA power_action TO regress_stranger;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA power_action
	TO regress_stranger;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA power_action TO regress_stranger;
SET ROLE regress_stranger;
SELECT is(pg_temp.sight(),
	'0 account, 0 cluster, 0 instance, 0 event, 0 attempt, 0 job, 0 access',
	'a role without a row in access sees nothing');
SELECT is((SELECT count(*) FROM power_action.activity)
		  + (SELECT count(*) FROM power_action.history), 0::bigint,
	'and nothing in the views');
SELECT is((SELECT error_code FROM power_action.power_on(ARRAY['r1'])),
	'NOT_FOUND', 'for it the cluster does not exist');
SELECT throws_ok(format('SELECT power_action.cancel(%s)', :red_event),
	'P0002', NULL, 'for it the event does not exist');
SELECT throws_ok(format('SELECT power_action.wait_for(%s)', :red_event),
	'P0002', NULL, 'nor when it waits');
SELECT throws_ok($$ INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name) VALUES ('x', 'x', 'red') $$,
	'42501', NULL, 'it cannot write the inventory');
SELECT throws_ok($$ INSERT INTO power_action.access VALUES ('regress_stranger', 'red', 'operate') $$,
	'42501', NULL, 'it cannot let itself in');
UPDATE power_action.cluster SET status = 'running';
UPDATE power_action.event SET triggered_by = 'nobody';
DELETE FROM power_action.job;
DELETE FROM power_action.access;
SELECT throws_ok('SELECT power_action.adopt()', '42501', NULL,
	'it cannot adopt jobs');
RESET ROLE;
SELECT is((SELECT count(*) FROM power_action.cluster WHERE status = 'running')
		  + (SELECT count(*) FROM power_action.event
			 WHERE triggered_by = 'nobody'), 0::bigint,
	'what it does not see it does not change');
SELECT is((SELECT count(*) FROM power_action.job), 2::bigint,
	'nor delete');
REVOKE ALL ON ALL TABLES IN SCHEMA power_action FROM regress_stranger;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA power_action FROM regress_stranger;
REVOKE ALL ON SCHEMA power_action FROM regress_stranger;
DELETE FROM power_action.event WHERE account_name IS NULL;

-- Operators of one account ---------------------------------------------

SELECT power_action.grant_operator('regress_red', 'red');
SELECT power_action.grant_operator('regress_red', 'red');
SELECT power_action.grant_operator('regress_blue', 'blue');
SELECT is((SELECT count(*) FROM power_action.access), 2::bigint,
	'granting twice is granting once');

SET ROLE regress_red;
SELECT is(pg_temp.sight(),
	'1 account, 2 cluster, 2 instance, 1 event, 1 attempt, 1 job, 1 access',
	'a team sees what is its own');
SELECT results_eq('SELECT event_id FROM power_action.history',
	format('VALUES (%s::bigint)', :red_event), 'in the history, too');
SELECT results_eq('SELECT event_id FROM power_action.activity',
	format('VALUES (%s::bigint)', :red_event), 'and in the activity');
SELECT is((SELECT waiting FROM power_action.agent_status), 1::bigint,
	'the jobs of others are not counted');
SELECT isnt((SELECT power_action.power_off('r2')), NULL,
	'it powers its cluster');
SELECT is((SELECT error_code FROM power_action.power_on(ARRAY['b1'])),
	'NOT_FOUND', 'the cluster of another team does not exist for it');
SELECT is((SELECT power_action.cancel(:red_event)), 'pending',
	'it cancels what another role has requested for its account');
SELECT throws_ok(format('SELECT power_action.cancel(%s)', :blue_event),
	'P0002', NULL, 'it cannot cancel what another team has requested');
SELECT throws_ok(format('SELECT power_action.wait_for(%s)', :blue_event),
	'P0002', NULL, 'nor wait for it');

SELECT throws_ok(s, '42501', NULL, 'it cannot: ' || s)
FROM unnest(ARRAY[
	'INSERT INTO power_action.account (account_name) VALUES (''x'')',
	'INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name) VALUES (''x'', ''x'', ''red'')',
	'UPDATE power_action.cluster SET status = ''running''',
	'DELETE FROM power_action.instance',
	'INSERT INTO power_action.event (action, cluster_id, triggered_by, status, requested_by, requested_at) VALUES (''power_on'', ''r1'', ''x'', ''pending'', ''x'', now())',
	'UPDATE power_action.event SET status = ''success''',
	'DELETE FROM power_action.event',
	'INSERT INTO power_action.job SELECT * FROM power_action.job',
	'UPDATE power_action.job SET priority = 1',
	'DELETE FROM power_action.job',
	'UPDATE power_action.access SET account_name = NULL',
	'SELECT * FROM power_action.cancellation',
	'INSERT INTO power_action.cancellation (event_id, cancelled_by, requested_at) VALUES (1, ''x'', now())',
	'SELECT * FROM power_action.worker_epoch',
	'SELECT setval(''power_action.event_event_id_seq'', 1)',
	'SELECT power_action.grant_operator(''regress_red'')',
	'SELECT power_action.grant_access(''regress_red'', NULL, ''operate'')',
	'SELECT power_action.revoke_operator(''regress_blue'', ''blue'')',
	'SELECT power_action.apply_access(''regress_red'')',
	'SELECT power_action.adopt()',
	'SELECT * FROM power_action.check_consistency()',
	'CREATE TABLE power_action.mine ()',
	'CREATE SERVER mine FOREIGN DATA WRAPPER power_agent OPTIONS (target ''unix:/x'')',
	'ALTER SERVER agent OPTIONS (SET target ''unix:/x'')',
	'TRUNCATE power_action.event CASCADE'
]) s;

-- Its own objects come before those of pg_catalog and do not matter.
RESET ROLE;
CREATE SCHEMA regress_trap AUTHORIZATION regress_red;
SET ROLE regress_red;
CREATE FUNCTION regress_trap.trap(text, text) RETURNS boolean LANGUAGE plpgsql
	AS $$ BEGIN RAISE EXCEPTION 'trapped as %', current_user; END $$;
CREATE OPERATOR regress_trap.= (LEFTARG = text, RIGHTARG = text,
	FUNCTION = regress_trap.trap);
CREATE FUNCTION regress_trap.unnest(text[]) RETURNS SETOF text
	LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped'; END $$;
SET LOCAL search_path = regress_trap, pg_catalog;
SELECT power_action.power_on('r1') AS trap_one \gset
SELECT count(*) AS trap_many
FROM power_action.power_on('{r1,r2}'::text[], request_key => 'k') \gset
RESET search_path;
RESET ROLE;
SELECT isnt(:trap_one, NULL::integer, 'the caller''s search path does not matter');
SELECT is(:trap_many, 2, 'nor for many clusters');

-- Members ---------------------------------------------------------------

SET ROLE regress_member;
SELECT is((SELECT count(*) FROM power_action.cluster), 2::bigint,
	'a member of a team sees what the team sees');
SELECT lives_ok($$ SELECT power_action.refresh('r1') $$,
	'and may do what the team may');
SET ROLE regress_distant;
SELECT throws_ok('SELECT count(*) FROM power_action.cluster', '42501', NULL,
	'a member that does not inherit has to become the team first');
RESET ROLE;
GRANT SELECT ON power_action.cluster, power_action.my_access,
	power_action.access TO regress_distant;
GRANT USAGE ON SCHEMA power_action TO regress_distant;
SET ROLE regress_distant;
SELECT is((SELECT count(*) FROM power_action.cluster), 0::bigint,
	'whatever it was granted itself');
RESET ROLE;

-- Viewers ----------------------------------------------------------------

SELECT power_action.grant_viewer('regress_viewer');
SET ROLE regress_viewer;
SELECT is((SELECT count(*) FROM power_action.cluster), 3::bigint,
	'without an account, a viewer sees all');
SELECT is((SELECT count(*) FROM power_action.history),
	(SELECT count(*) FROM power_action.event), 'all events, too');
SELECT throws_ok($$ SELECT power_action.power_on('r1') $$, '42501', NULL,
	'a viewer powers nothing');
RESET ROLE;
GRANT EXECUTE ON FUNCTION
	power_action.power_on(text, text, text, timestamptz, timestamptz,
						  integer, text),
	power_action.cancel TO regress_viewer;
SET ROLE regress_viewer;
SELECT throws_ok($$ SELECT power_action.power_on('r1') $$, '42501',
	'permission denied to power on cluster "r1"',
	'not even with the function granted');
SELECT throws_ok(format('SELECT power_action.cancel(%s)', :red_event),
	'42501', format('permission denied to cancel event %s', :red_event),
	'nor does it cancel');
RESET ROLE;

-- What belongs to no account ---------------------------------------------

SET SESSION AUTHORIZATION regress_red;
SELECT power_action.power_on('nowhere') AS lost_event \gset
SELECT is((SELECT requested_by::text COLLATE "default"
		   FROM power_action.event WHERE event_id = :lost_event),
	'regress_red', 'who asked for a cluster that does not exist sees the event');
SELECT is((SELECT power_action.cancel(:lost_event)), 'failed',
	'to cancel what is final is no error');
SET SESSION AUTHORIZATION regress_blue;
SELECT is((SELECT count(*) FROM power_action.event
		   WHERE event_id = :lost_event), 0::bigint,
	'another team does not see it');
RESET SESSION AUTHORIZATION;

-- The inventory ----------------------------------------------------------

SELECT power_action.grant_inventory('regress_keeper');
SELECT power_action.grant_inventory('regress_keeper');
SET ROLE regress_keeper;
SELECT lives_ok(s, 'the keeper of the inventory can: ' || s)
FROM unnest(ARRAY[
	'INSERT INTO power_action.account (account_name, account_id) VALUES (''green'', ''42'')',
	'INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name, status) VALUES (''g1'', ''g'', ''green'', ''running'')',
	'INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name) VALUES (''g1'', ''h'', ''green'') ON CONFLICT (cluster_id) DO UPDATE SET cluster_name = excluded.cluster_name',
	'INSERT INTO power_action.instance (cluster_id, instance_id, status) VALUES (''g1'', ''i'', ''running'')',
	'UPDATE power_action.cluster SET status = ''stopped'' WHERE cluster_id = ''g1''',
	'UPDATE power_action.instance SET status = ''stopped'' WHERE cluster_id = ''g1''',
	'UPDATE power_action.account SET account_name = ''lime'' WHERE account_name = ''green''',
	'DELETE FROM power_action.cluster WHERE cluster_id = ''g1''',
	'DELETE FROM power_action.account WHERE account_name = ''lime'''
]) s;
SELECT throws_ok(s, '42501', NULL, 'it cannot: ' || s)
FROM unnest(ARRAY[
	'INSERT INTO power_action.account (account_name, server_name) VALUES (''x'', ''y'')',
	'UPDATE power_action.account SET server_name = ''y''',
	'UPDATE power_action.cluster SET status_source = ''agent''',
	'UPDATE power_action.cluster SET status_changed_at = now()',
	'INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name, status_source) VALUES (''x'', ''x'', ''red'', ''agent'')',
	'INSERT INTO power_action.access VALUES (''regress_keeper'', NULL, ''operate'')',
	'UPDATE power_action.event SET status = ''success''',
	'DELETE FROM power_action.job',
	'SELECT power_action.power_on(''r1'')'
]) s;
RESET ROLE;

-- A privilege to write that is left over does not help without the row.
GRANT INSERT (account_name) ON power_action.account TO regress_viewer;
SET ROLE regress_viewer;
SELECT throws_ok($$ INSERT INTO power_action.account (account_name) VALUES ('x') $$,
	'42501', NULL, 'a grant alone does not open the inventory');
RESET ROLE;

-- Taking back ------------------------------------------------------------

SELECT power_action.grant_viewer('regress_red', 'red');
SELECT power_action.revoke_operator('regress_red', 'red');
SET ROLE regress_red;
SELECT is((SELECT count(*) FROM power_action.cluster), 2::bigint,
	'who is a viewer, too, still sees');
SELECT throws_ok($$ SELECT power_action.power_on('r1') $$, '42501', NULL,
	'but powers no more');
RESET ROLE;
SELECT power_action.revoke_viewer('regress_red', 'red');
SELECT power_action.revoke_viewer('regress_red', 'red');
SELECT power_action.revoke_operator('regress_blue', 'blue');
SELECT power_action.revoke_viewer('regress_viewer');
SELECT power_action.revoke_inventory('regress_keeper');
REVOKE ALL ON power_action.account FROM regress_viewer;
REVOKE ALL ON FUNCTION
	power_action.power_on(text, text, text, timestamptz, timestamptz,
						  integer, text),
	power_action.cancel FROM regress_viewer;
SELECT is((SELECT count(*) FROM power_action.access), 0::bigint,
	'revoking leaves no row');
SELECT lives_ok('DROP ROLE ' || r, r || ' has no privilege left')
FROM unnest(ARRAY['regress_blue', 'regress_viewer', 'regress_keeper']) r;

-- Roles and accounts that do not exist -----------------------------------

SELECT throws_ok($$ SELECT power_action.grant_operator('regress_none') $$,
	'42704', 'role "regress_none" does not exist', 'no such role');
SELECT throws_ok($$ SELECT power_action.grant_operator('public') $$,
	'42704', 'role "public" does not exist', 'PUBLIC is no role');
SELECT throws_ok($$ SELECT power_action.grant_operator(NULL) $$,
	'22004', NULL, 'null is no role');
SELECT throws_ok($$ SELECT power_action.grant_viewer('regress_red', 'pink') $$,
	'42704', 'account "pink" does not exist', 'no such account');
SELECT lives_ok($$ SELECT power_action.revoke_operator('regress_none') $$,
	'revoking from a role that is gone is no error');
INSERT INTO power_action.access VALUES
	('regress_none', NULL, 'operate'), ('regress "x"', 'red', 'view');
SELECT power_action.grant_operator('regress_red', 'red');
SET ROLE regress_red;
SELECT is((SELECT count(*) FROM power_action.cluster), 2::bigint,
	'rows of roles that are gone are harmless');
RESET ROLE;

-- An account takes its rows along.
UPDATE power_action.account SET account_name = 'crimson'
WHERE account_name = 'red';
SET ROLE regress_red;
SELECT is((SELECT array_agg(cluster_id ORDER BY cluster_id)
		   FROM power_action.cluster), ARRAY['r1', 'r2'],
	'access follows an account that is renamed');

-- Once for each query, not for each row.
SELECT matches(pg_temp.plan('SELECT * FROM power_action.cluster'), 'InitPlan',
	'the policy looks up the accounts once for each query');
SELECT doesnt_match(pg_temp.plan('SELECT * FROM power_action.cluster'),
	' SubPlan', 'and not for each row');
RESET ROLE;

SELECT * FROM finish();
ROLLBACK;
