-- test/sql/isolation.sql
--
-- What grants give and take, completely; and what a role that may act cannot
-- get at: rows of others, the hands of the worker, who is said to have asked.

\set ON_ERROR_STOP on
\pset format unaligned
\pset tuples_only on
\pset pager off
SET client_min_messages = error;

BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
DROP EXTENSION IF EXISTS power_action CASCADE;
DROP SCHEMA IF EXISTS power_action;
SELECT no_plan();

CREATE TEMP TABLE role_before AS SELECT rolname FROM pg_roles;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TYPES TO PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO PUBLIC;
SELECT throws_ok('CREATE EXTENSION power_action', '42501',
	'schema power_action exists and lets PUBLIC create objects in it',
	'not in a schema where others may create');
ALTER DEFAULT PRIVILEGES REVOKE ALL ON SCHEMAS FROM PUBLIC;
CREATE EXTENSION power_action;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM PUBLIC;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON SEQUENCES FROM PUBLIC;

-- Nothing for PUBLIC ---------------------------------------------------

CREATE TEMP VIEW granted AS
	SELECT 'table ' || c.relname AS object, a.*
	FROM pg_class c, aclexplode(coalesce(c.relacl, acldefault(
			CASE c.relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, c.relowner))) a
	WHERE c.relnamespace = 'power_action'::regnamespace
		  AND c.relkind IN ('r', 'v', 'S')
	UNION ALL
	SELECT format('column %s of %s', t.attname, c.relname), a.*
	FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid,
		 aclexplode(t.attacl) a
	WHERE c.relnamespace = 'power_action'::regnamespace
	UNION ALL
	SELECT 'function ' || p.oid::regprocedure, a.*
	FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
	WHERE p.pronamespace = 'power_action'::regnamespace
	UNION ALL
	SELECT 'schema', a.*
	FROM pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
	WHERE n.nspname = 'power_action'
	UNION ALL
	SELECT 'wrapper', a.*
	FROM pg_foreign_data_wrapper w,
		 aclexplode(coalesce(w.fdwacl, acldefault('F', w.fdwowner))) a
	WHERE w.fdwname = 'power_agent'
	UNION ALL
	SELECT 'type ' || t.typname, a.*
	FROM pg_type t, aclexplode(t.typacl) a
	WHERE t.typnamespace = 'power_action'::regnamespace;

SELECT is_empty('SELECT object, privilege_type FROM granted WHERE grantee = 0',
	'nothing is granted to PUBLIC, whatever the default privileges are');
SELECT is_empty(
	$$ SELECT typname FROM pg_type t
	   WHERE typnamespace = 'power_action'::regnamespace
			 AND typtype <> 'c' AND typelem = 0 $$,
	'there are no types but those of rows, which need the schema to be named');
SELECT is_empty('SELECT rolname FROM pg_roles EXCEPT SELECT rolname FROM role_before',
	'no role was created');

-- What each grant gives ------------------------------------------------

CREATE ROLE regress_viewer;
CREATE ROLE regress_operator;
CREATE ROLE regress_keeper;
CREATE ROLE regress_other;
CREATE SERVER agent FOREIGN DATA WRAPPER power_agent
	OPTIONS (target 'unix:/nonexistent/agent.socket');
INSERT INTO power_action.account (account_name) VALUES ('red'), ('blue');
INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name)
VALUES ('r1', 'one', 'red'), ('b1', 'bee', 'blue');
INSERT INTO power_action.instance (cluster_id, instance_id)
SELECT cluster_id, 'i-' || n FROM power_action.cluster, generate_series(1, 50) n;

CREATE TEMP TABLE acl_before AS SELECT * FROM granted;
SELECT power_action.grant_viewer('regress_viewer', 'red');
SELECT power_action.grant_operator('regress_operator', 'red');
SELECT power_action.grant_inventory('regress_keeper');
SELECT power_action.grant_operator('regress_other', 'blue');
CREATE TEMP TABLE acl_granted AS SELECT * FROM granted;

-- Every function and every table is here: a new one has to find its place.
CREATE TEMP TABLE intended (kind text, name text, who text);
INSERT INTO intended
SELECT 'f', unnest(ARRAY['agent_state', 'lock_waits', 'origin_system', 'wait_for', 'worker_state']), 'reader'
UNION ALL
SELECT 'f', unnest(ARRAY['cancel', 'power_off', 'power_off_and_wait', 'power_on', 'power_on_and_wait', 'refresh']), 'operator'
UNION ALL
SELECT 'f', unnest(ARRAY['adopt', 'agent_validator', 'apply_access', 'cancel_restored', 'check_consistency', 'check_text', 'event_keeps_rules', 'grant_access', 'grant_inventory', 'grant_operator', 'grant_viewer', 'keep_cluster_status', 'keep_instance_status', 'revoke_access', 'revoke_inventory', 'revoke_operator', 'revoke_viewer']), 'owner'
UNION ALL
SELECT 'r', unnest(ARRAY['access', 'account', 'activity', 'agent_status', 'attempt', 'cluster', 'event', 'history', 'instance', 'job', 'my_access', 'worker_status']), 'reader'
UNION ALL
SELECT 'r', unnest(ARRAY['cancellation', 'cancellation_cancellation_id_seq', 'event_event_id_seq', 'worker_epoch']), 'owner';

SELECT set_eq(
	$$ SELECT 'f ' || proname FROM pg_proc
	   WHERE pronamespace = 'power_action'::regnamespace
	   UNION ALL
	   SELECT 'r ' || relname FROM pg_class
	   WHERE relnamespace = 'power_action'::regnamespace
			 AND relkind IN ('r', 'v', 'S') $$,
	$$ SELECT kind || ' ' || name FROM intended $$,
	'every function, table and view has its place in this test');
SELECT is_empty(
	$$ SELECT r.role, p.oid::regprocedure
	   FROM pg_proc p
	   JOIN intended i ON i.kind = 'f' AND i.name = p.proname,
			(VALUES ('regress_viewer', '{reader}'::text[]),
					('regress_operator', '{reader,operator}'),
					('regress_keeper', '{reader}')) r (role, may)
	   WHERE p.pronamespace = 'power_action'::regnamespace
			 AND has_function_privilege(r.role, p.oid, 'EXECUTE') <> (i.who = ANY (r.may)) $$,
	'each role may execute just what it should');
SELECT is_empty(
	$$ SELECT r.role, c.relname, p.privilege
	   FROM pg_class c
	   JOIN intended i ON i.kind = 'r' AND i.name = c.relname,
			unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) p (privilege),
			unnest(ARRAY['regress_viewer', 'regress_operator', 'regress_keeper']) r (role)
	   WHERE c.relnamespace = 'power_action'::regnamespace AND c.relkind <> 'S'
			 AND has_table_privilege(r.role, c.oid, p.privilege)
				 <> CASE p.privilege
						WHEN 'SELECT' THEN i.who = 'reader'
						WHEN 'DELETE' THEN r.role = 'regress_keeper' AND c.relname IN ('account', 'cluster', 'instance')
						WHEN 'INSERT' THEN r.role = 'regress_keeper' AND c.relname = 'instance'
						WHEN 'UPDATE' THEN r.role = 'regress_keeper' AND c.relname = 'instance'
						ELSE false END $$,
	'and read and write just what it should');
SELECT results_eq(
	$$ SELECT (regexp_match(object, 'column (\w+) of (\w+)'))[2] COLLATE "default",
			  string_agg((regexp_match(object, 'column (\w+) of (\w+)'))[1], ' ' ORDER BY object) COLLATE "default"
	   FROM granted
	   WHERE object LIKE 'column %' AND privilege_type = 'UPDATE'
			 AND grantee = 'regress_keeper'::regrole GROUP BY 1 ORDER BY 1 $$,
	$$ VALUES ('account', 'account_id account_name labels provider'),
			  ('cluster', 'account_name cluster_id cluster_name labels owner region status') $$,
	'the keeper of the inventory writes these columns');

CREATE FUNCTION pg_temp.tables() RETURNS SETOF text LANGUAGE sql AS
	$$ SELECT name FROM intended WHERE kind = 'r' AND who = 'reader' ORDER BY name $$;
GRANT SELECT ON intended TO regress_viewer, regress_operator, regress_keeper;
SELECT power_action.power_on('r1') AS red_event \gset
SELECT power_action.power_on('b1') AS blue_event \gset
SET ROLE regress_viewer;
SELECT lives_ok(format('SELECT * FROM power_action.%I', t), 'a viewer reads ' || t)
FROM pg_temp.tables() t;
SELECT throws_ok(format('SELECT power_action.wait_for(%s)', :red_event),
	'55000', NULL, 'a viewer may wait');
SET ROLE regress_operator;
SELECT lives_ok(format('SELECT * FROM power_action.%I', t), 'an operator reads ' || t)
FROM pg_temp.tables() t;
SELECT lives_ok(s, 'an operator can: ' || s) FROM unnest(ARRAY[
	'SELECT power_action.power_on(''r1'')',
	'SELECT power_action.power_off(''r1'')',
	'SELECT power_action.refresh(''r1'')',
	'SELECT * FROM power_action.power_on(ARRAY[''r1''])',
	'SELECT * FROM power_action.power_off(ARRAY[''r1''])',
	'SELECT * FROM power_action.refresh(ARRAY[''r1''])',
	'SELECT power_action.power_on(''r1'', request_key => ''k'')',
	format('SELECT power_action.cancel(%s)', :red_event)]) s;
SET ROLE regress_keeper;
SELECT lives_ok(format('SELECT * FROM power_action.%I', t), 'a keeper reads ' || t)
FROM pg_temp.tables() t;
RESET ROLE;

-- Repairing and taking back --------------------------------------------

SELECT power_action.grant_viewer('regress_viewer', 'red');
SELECT power_action.grant_operator('regress_operator', 'red');
SELECT power_action.grant_inventory('regress_keeper');
SELECT set_eq('SELECT * FROM granted', 'SELECT * FROM acl_granted',
	'repeating a grant changes no privilege');

REVOKE ALL ON ALL TABLES IN SCHEMA power_action FROM regress_operator, regress_keeper, regress_viewer;
REVOKE ALL ON ALL ROUTINES IN SCHEMA power_action FROM regress_operator, regress_keeper, regress_viewer;
REVOKE ALL ON SCHEMA power_action FROM regress_operator, regress_keeper, regress_viewer;
SELECT power_action.apply_access(role_name)
FROM (SELECT DISTINCT role_name FROM power_action.access) a;
SELECT set_eq('SELECT * FROM granted', 'SELECT * FROM acl_granted',
	'apply_access makes the privileges that belong to the rows');

SELECT power_action.grant_viewer(current_user);
SELECT power_action.revoke_viewer(current_user);
SELECT set_eq('SELECT * FROM granted', 'SELECT * FROM acl_granted',
	'what is taken back from the owner stays with the owner');

SELECT power_action.revoke_viewer('regress_viewer', 'red');
SELECT power_action.revoke_inventory('regress_keeper');
SELECT is_empty(
	$$ SELECT object, privilege_type FROM granted
	   WHERE grantee IN ('regress_viewer'::regrole, 'regress_keeper'::regrole) $$,
	'revoking takes all of it');

-- Others' clusters and events ------------------------------------------

INSERT INTO power_action.attempt
SELECT event_id, 1, now(), now(), 'UNAVAILABLE', 'gone' FROM power_action.event;

-- The statement's SQLSTATE and all that goes with it, or its result.
CREATE FUNCTION pg_temp.answer(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
	state text;
	message text;
	detail text;
	hint text;
	context text;
BEGIN
	EXECUTE statement INTO result;
	RETURN 'result ' || coalesce(result, 'null');
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE,
		message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
		hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT;
	RETURN concat_ws('|', state, message, detail, hint, context);
END $$;

-- Without what was asked for, and which event it became.
CREATE FUNCTION pg_temp.general(answer text) RETURNS text LANGUAGE sql AS
	$$ SELECT regexp_replace(answer, '\m(b1|zz|\d+)\M', 'X', 'g') $$;

SELECT 'power_action.instance_pkey'::regclass::oid AS instances \gset
-- Not by our functions: but even then, keys are no oracle.
GRANT INSERT ON power_action.account, power_action.cluster, power_action.instance
	TO regress_operator;
SET ROLE regress_operator;
SELECT is(pg_temp.general(pg_temp.answer(format(s, 'b1'))),
	pg_temp.general(pg_temp.answer(format(s, 'zz'))),
	'of others'' cluster as of none: ' || s)
FROM unnest(ARRAY[
	'SELECT (SELECT status || error_code || error_message || (server_name IS NULL) || (account_name IS NULL) || (cluster_name IS NULL) || (instances_total IS NULL) FROM power_action.event WHERE event_id = e) FROM power_action.power_on(%L) e',
	'SELECT power_action.power_on(%L) IS NULL',
	'SELECT status || error_code FROM power_action.power_off(ARRAY[''r1'', %L]) p WHERE cluster_id <> ''r1''',
	'SELECT status || error_code FROM power_action.refresh(ARRAY[%L], request_key => ''new'')',
	'SELECT power_action.refresh(%1$L, ''another'', request_key => ''new'') IS NULL',
	'SELECT count(*) FROM power_action.cluster WHERE cluster_id = %L',
	'SELECT count(*) FROM power_action.instance WHERE cluster_id = %L',
	'SELECT count(*) FROM power_action.history WHERE cluster_name = %L',
	'SELECT count(*) FROM power_action.job WHERE cluster_id = %L',
	'INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name) VALUES (%L, ''x'', ''blue'')',
	'INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name) VALUES (%L, ''x'', ''blue'') ON CONFLICT DO NOTHING',
	'INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name) VALUES (%L, ''x'', ''none'')',
	'INSERT INTO power_action.account (account_name) SELECT CASE %L WHEN ''b1'' THEN ''blue'' ELSE ''none'' END',
	'INSERT INTO power_action.instance (cluster_id, instance_id) VALUES (%L, ''i-1'')',
	'UPDATE power_action.cluster SET status = ''running'' WHERE cluster_id = %L',
	'SELECT 1 FROM power_action.cluster WHERE cluster_id = %L FOR UPDATE'
]) s;
SELECT is(pg_temp.general(pg_temp.answer(format(s, :blue_event))),
	pg_temp.general(pg_temp.answer(format(s, 987654321))),
	'of others'' event as of none: ' || s)
FROM unnest(ARRAY[
	'SELECT power_action.cancel(%s)',
	'SELECT power_action.cancel(%s, ''me'', ''why'')',
	'SELECT power_action.wait_for(%s)',
	'SELECT power_action.wait_for(%s, ''0'')',
	'SELECT count(*) FROM power_action.event WHERE event_id = %s',
	'SELECT count(*) FROM power_action.attempt WHERE event_id = %s',
	'SELECT count(*) FROM power_action.activity WHERE event_id = %s',
	'SELECT count(*) FROM power_action.history WHERE event_id = %s'
]) s;

RESET ROLE;
REVOKE INSERT ON power_action.account, power_action.cluster, power_action.instance
	FROM regress_operator;
SET ROLE regress_operator;

-- The time of a look-up must not grow with what is not seen.
SELECT pg_stat_get_xact_tuples_fetched(:instances)
	   + pg_stat_get_xact_tuples_returned(:instances) AS before \gset
SELECT count(power_action.power_on(id)) AS asked FROM unnest('{b1,b1,b1}'::text[]) id \gset
SELECT count(*) AS asked FROM power_action.power_on('{b1,zz}'::text[]) \gset
SELECT is(pg_stat_get_xact_tuples_fetched(:instances)
		  + pg_stat_get_xact_tuples_returned(:instances) - :before, 0::bigint,
	'no instance of others'' cluster is read for a request');
SELECT power_action.refresh('r1') AS own \gset
SELECT is(pg_stat_get_xact_tuples_fetched(:instances)
		  + pg_stat_get_xact_tuples_returned(:instances) - :before >= 50, true,
	'as those of its own are');

-- Keys of one session user, whose roles see different things.
RESET ROLE;
CREATE ROLE regress_pool IN ROLE regress_operator, regress_other NOINHERIT;
SET SESSION AUTHORIZATION regress_pool;
SET ROLE regress_operator;
SELECT power_action.power_on('r1', request_key => 'pool') AS pooled \gset
SET ROLE regress_other;
SELECT results_eq(
	$$ SELECT status, error_code FROM power_action.power_on(ARRAY['r1'], request_key => 'pool') $$,
	$$ VALUES ('failed', 'NOT_FOUND') $$,
	'a key of another role is not seen');
SELECT isnt(power_action.power_on('r1', request_key => 'pool'), :pooled::bigint,
	'nor when repeated');
SET ROLE regress_operator;
SELECT is(power_action.power_on('r1', request_key => 'pool'), :pooled::bigint,
	'its own key is');
SELECT power_action.power_on('later', request_key => 'pool') AS early \gset
RESET SESSION AUTHORIZATION;
INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name)
VALUES ('later', 'later', 'red');
INSERT INTO power_action.instance (cluster_id, instance_id) VALUES ('later', 'i');
SET SESSION AUTHORIZATION regress_pool;
SET ROLE regress_operator;
SELECT power_action.power_on('later', request_key => 'pool') AS late \gset
SELECT isnt(:late, :early, 'a key is free until its cluster is there');
SELECT is(power_action.power_on('later', request_key => 'pool'), :late::bigint,
	'then it is used');
RESET SESSION AUTHORIZATION;
DELETE FROM power_action.cluster WHERE cluster_id = 'later';
SET SESSION AUTHORIZATION regress_pool;
SET ROLE regress_operator;
SELECT is(power_action.power_on('later', request_key => 'pool'), :late::bigint,
	'and stays so when the cluster is gone');
RESET SESSION AUTHORIZATION;

-- Functions that tell, in front of the policies and the views.
CREATE SCHEMA regress_leak AUTHORIZATION regress_operator;
SET ROLE regress_operator;
CREATE TABLE regress_leak.seen (what text);
CREATE FUNCTION regress_leak.leak(what text) RETURNS boolean LANGUAGE plpgsql COST 0.0001
	AS $$ BEGIN INSERT INTO regress_leak.seen VALUES (what); RETURN true; END $$;
CREATE FUNCTION pg_temp.look(statement text) RETURNS void LANGUAGE plpgsql
	AS $$ BEGIN EXECUTE statement; END $$;
SELECT pg_temp.look(format('SELECT count(*) FROM power_action.%s WHERE regress_leak.leak(%s)', t, c))
FROM (VALUES ('account', 'account_name'), ('cluster', 'cluster_id'),
			 ('instance', 'cluster_id'), ('event', 'cluster_id'),
			 ('job', 'cluster_id'), ('access', 'account_name'),
			 ('history', 'cluster_name'), ('activity', 'cluster_name'),
			 ('attempt', 'event_id::text'), ('my_access', 'account_name')) v (t, c);
SELECT is_empty(
	$$ SELECT what FROM regress_leak.seen WHERE what IN ('blue', 'bee') $$,
	'what is not seen is not shown to functions, either');
SELECT is_empty(format(
	$$ SELECT what FROM regress_leak.seen WHERE what = '%s' $$, :blue_event),
	'nor events');
SELECT cmp_ok((SELECT count(*) FROM regress_leak.seen WHERE what = 'r1'), '>=', 4::bigint,
	'what is seen is');
RESET ROLE;
ANALYZE power_action.cluster, power_action.event;
SET ROLE regress_operator;
SELECT is_empty($$ SELECT * FROM pg_stats WHERE schemaname = 'power_action' $$,
	'statistics show no values');

-- Sequences, and ways round the functions.
SELECT throws_ok(s, '42501', NULL, 'an operator cannot: ' || s) FROM unnest(ARRAY[
	'SELECT currval(''power_action.event_event_id_seq'')',
	'SELECT nextval(''power_action.event_event_id_seq'')',
	'SELECT last_value FROM power_action.event_event_id_seq',
	'COPY power_action.event FROM ''/dev/null''',
	'COPY power_action.cancellation TO ''/dev/null''',
	'MERGE INTO power_action.event e USING (VALUES (1)) v (n) ON e.event_id = v.n WHEN MATCHED THEN UPDATE SET status = ''success''',
	'LOCK TABLE power_action.job',
	'SELECT * FROM power_action.event FOR SHARE',
	'CREATE TRIGGER mine BEFORE INSERT ON power_action.event FOR EACH ROW EXECUTE FUNCTION tsvector_update_trigger(cluster_id)',
	'CREATE RULE mine AS ON INSERT TO power_action.event DO INSTEAD NOTHING',
	'CREATE INDEX ON power_action.cluster (regress_leak.leak(cluster_id))',
	'CREATE POLICY mine ON power_action.cluster USING (true)',
	'ALTER TABLE power_action.cluster DISABLE ROW LEVEL SECURITY',
	'ALTER TABLE power_action.event ADD CHECK (regress_leak.leak(cluster_id))',
	'ALTER TABLE power_action.cluster ALTER owner SET DEFAULT regress_leak.leak(''x'')',
	'CREATE TABLE regress_leak.child () INHERITS (power_action.event)',
	'CREATE TABLE regress_leak.probe (id text REFERENCES power_action.cluster)',
	'CREATE STATISTICS regress_leak.mine ON cluster_id, account_name FROM power_action.cluster',
	'CREATE FUNCTION power_action.mine() RETURNS int LANGUAGE sql AS ''SELECT 1''',
	'CREATE OPERATOR power_action.=== (LEFTARG = text, RIGHTARG = text, FUNCTION = texteq)',
	'ALTER FUNCTION power_action.cancel OWNER TO regress_operator',
	'COMMENT ON TABLE power_action.event IS NULL',
	'ALTER FOREIGN DATA WRAPPER power_agent OPTIONS (ADD x ''y'')',
	'DROP SERVER agent',
	'ALTER EXTENSION power_action DROP TABLE power_action.event',
	'DROP EXTENSION power_action',
	'CREATE CAST (bigint AS text) WITHOUT FUNCTION AS IMPLICIT',
	'CREATE EVENT TRIGGER mine ON ddl_command_start EXECUTE FUNCTION tsvector_update_trigger()',
	'CREATE PUBLICATION mine FOR TABLE power_action.event',
	'REINDEX TABLE power_action.event',
	'CREATE DOMAIN power_action.mine AS text',
	'CREATE COLLATION power_action.mine FROM "C"',
	'SET session_replication_role = replica'
]) s;
SET row_security = off;
SELECT throws_ok(s, '42501', NULL, 'without row_security: ' || s) FROM unnest(ARRAY[
	'SELECT * FROM power_action.cluster',
	'SELECT power_action.power_on(''b1'')',
	'SELECT power_action.cancel(1)']) s;
RESET row_security;
RESET ROLE;

-- The keeper of the inventory has no more than that.
SELECT power_action.grant_inventory('regress_keeper');
SET ROLE regress_keeper;
SELECT throws_ok(s, '42501', NULL, 'a keeper cannot: ' || s) FROM unnest(ARRAY[
	'CREATE TRIGGER mine BEFORE UPDATE ON power_action.cluster FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()',
	'CREATE RULE mine AS ON UPDATE TO power_action.cluster DO INSTEAD NOTHING',
	'CREATE INDEX ON power_action.cluster (owner)',
	'ALTER TABLE power_action.instance DISABLE TRIGGER ALL',
	'TRUNCATE power_action.instance',
	'DELETE FROM power_action.access',
	'UPDATE power_action.access SET account_name = ''red''',
	'UPDATE power_action.account SET server_name = DEFAULT',
	'INSERT INTO power_action.account (account_name, server_name) VALUES (''x'', DEFAULT) ON CONFLICT (account_name) DO UPDATE SET server_name = ''x''',
	'MERGE INTO power_action.account a USING (VALUES (''red'')) v (n) ON a.account_name = v.n WHEN MATCHED THEN UPDATE SET server_name = ''x''',
	'SELECT power_action.grant_operator(''regress_keeper'')',
	'SELECT power_action.cancel(1)'
]) s;
SELECT throws_ok(format('INSERT INTO power_action.%s VALUES (%s)', t, v), '23514',
	NULL, format('%s: control characters are refused in %s', t, c))
FROM (VALUES
	('account (account_name)', $$E'a\nb'$$, 'the name'),
	('account (account_name, account_id)', $$'x', E'\x1b[2J'$$, 'the id'),
	('cluster (cluster_id, cluster_name, account_name)', $$E'a\x7f', 'x', 'red'$$, 'the id'),
	('cluster (cluster_id, cluster_name, account_name)', $$'a', E'\u009b31m', 'red'$$, 'the name'),
	('cluster (cluster_id, cluster_name, account_name, region)', $$'a', 'x', 'red', E'\t'$$, 'the region'),
	('instance (cluster_id, instance_id)', $$'r1', E'i\r'$$, 'the id')) v (t, v, c);
SELECT throws_ok($$ UPDATE power_action.cluster SET cluster_name = E'x\ny' WHERE cluster_id = 'r1' $$,
	'23514', 'column "cluster_name" of table "cluster" has a control character: "x\x0ay"',
	'also when they come later');
SELECT throws_ok($$ UPDATE power_action.instance SET instance_id = E'\n' WHERE instance_id = 'i-1' $$,
	'23514', NULL, 'in an instance, too');
RESET ROLE;

-- Who asked -------------------------------------------------------------

CREATE FUNCTION regress_leak.button(text) RETURNS bigint LANGUAGE sql SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$ SELECT power_action.power_on($1, 'whoever', 'through the button') $$;
ALTER FUNCTION regress_leak.button OWNER TO regress_operator;
CREATE VIEW regress_leak.window AS SELECT cluster_id FROM power_action.cluster;
ALTER VIEW regress_leak.window OWNER TO regress_operator;
CREATE ROLE regress_clerk;
GRANT USAGE ON SCHEMA regress_leak TO regress_clerk, regress_other;
GRANT SELECT ON regress_leak.window TO regress_clerk, regress_other;
GRANT EXECUTE ON FUNCTION regress_leak.button TO regress_clerk, regress_other;

SET SESSION AUTHORIZATION regress_clerk;
SET application_name = E'spread\nsheet \x1b[2Jé';
SELECT regress_leak.button('r1') AS pressed \gset
SELECT regress_leak.button('b1') AS missed \gset
SELECT throws_ok('SELECT power_action.power_on(''r1'')', '42501', NULL,
	'a clerk has nothing but the button');
SELECT throws_ok('SELECT * FROM regress_leak.window', '42501', NULL,
	'a view of others does not show what its owner may see');
SET SESSION AUTHORIZATION regress_other;
SELECT results_eq('SELECT cluster_id COLLATE "default" FROM regress_leak.window', ARRAY['b1'],
	'but what its reader may');
RESET SESSION AUTHORIZATION;
RESET application_name;
SELECT results_eq(format(
	$$ SELECT requested_by::text COLLATE "default", triggered_by, status
	   FROM power_action.event WHERE event_id = %s $$, :pressed),
	$$ VALUES ('regress_clerk', 'whoever', 'pending') $$,
	'the event says who was at the keyboard, not whose function it was');
SELECT is((SELECT error_code FROM power_action.event WHERE event_id = :missed),
	'NOT_FOUND', 'the button reaches what its owner reaches');
SELECT doesnt_match((SELECT application_name FROM power_action.event WHERE event_id = :pressed),
	'[^ -~]', 'the name of the application has no control character');
SET SESSION AUTHORIZATION regress_pool;
SET ROLE regress_operator;
SELECT power_action.power_on('r1') AS borrowed \gset
RESET SESSION AUTHORIZATION;
SELECT is((SELECT requested_by::text COLLATE "default" FROM power_action.event
		   WHERE event_id = :borrowed),
	'regress_pool', 'SET ROLE does not change who asked');

-- A hostile session ------------------------------------------------------

SET ROLE regress_operator;
CREATE FUNCTION regress_leak.trap() RETURNS text LANGUAGE plpgsql
	AS $$ BEGIN RAISE EXCEPTION 'trapped as %', current_user; END $$;
CREATE FUNCTION regress_leak.trap(text, text) RETURNS boolean LANGUAGE plpgsql
	AS $$ BEGIN PERFORM regress_leak.trap(); RETURN true; END $$;
CREATE FUNCTION regress_leak.trap(bigint, bigint) RETURNS boolean LANGUAGE plpgsql
	AS $$ BEGIN PERFORM regress_leak.trap(); RETURN true; END $$;
CREATE OPERATOR regress_leak.= (LEFTARG = text, RIGHTARG = text, FUNCTION = regress_leak.trap);
CREATE OPERATOR regress_leak.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = regress_leak.trap);
CREATE OPERATOR regress_leak.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = regress_leak.trap);
CREATE FUNCTION regress_leak.count(anyelement) RETURNS bigint LANGUAGE plpgsql
	AS $$ BEGIN PERFORM regress_leak.trap(); RETURN 0; END $$;
CREATE FUNCTION regress_leak.unnest(text[]) RETURNS SETOF text LANGUAGE plpgsql
	AS $$ BEGIN PERFORM regress_leak.trap(); END $$;
CREATE FUNCTION regress_leak.pg_has_role(text, text) RETURNS boolean LANGUAGE plpgsql
	AS $$ BEGIN PERFORM regress_leak.trap(); RETURN true; END $$;
CREATE DOMAIN regress_leak.text AS pg_catalog.text CHECK (regress_leak.trap() IS NULL);
CREATE DOMAIN regress_leak.int8 AS pg_catalog.int8 CHECK (regress_leak.trap() IS NULL);
CREATE TEMP TABLE account (account_name text, server_name text);
CREATE TEMP TABLE cluster (cluster_id text, account_name text);
CREATE TEMP TABLE event (event_id bigint);
CREATE TEMP TABLE job (event_id bigint);
CREATE TEMP TABLE my_access AS SELECT NULL::text AS account_name, 'operate' AS privilege;
CREATE TEMP VIEW pg_extension AS SELECT regress_leak.trap();
CREATE TEMP VIEW pg_roles AS SELECT regress_leak.trap() AS rolname;
SET search_path = pg_temp, regress_leak, pg_catalog;
SELECT power_action.power_on('r1') AS one \gset
SELECT power_action.power_off('r1', request_key => 'hostile') AS two \gset
SELECT power_action.power_off('r1', request_key => 'hostile') AS three \gset
SELECT status AS four FROM power_action.refresh(ARRAY['r1', 'b1']) WHERE cluster_id OPERATOR(pg_catalog.=) 'r1' \gset
SELECT power_action.cancel(:two) AS five \gset
SELECT pg_catalog.count(*) AS six FROM power_action.activity \gset
SELECT pg_catalog.count(*) AS seven FROM power_action.history \gset
SELECT pg_catalog.count(*) AS eight FROM power_action.agent_status \gset
SELECT pg_catalog.count(*) AS nine FROM power_action.cluster \gset
RESET search_path;
RESET ROLE;
SELECT is(:two, :three, 'hostile schemas: keys are found');
SELECT is(:'four' || :'five', 'pendingpending', 'hostile schemas: requests work');
SELECT is(:nine, 1, 'hostile schemas: what is seen is what may be seen');
SELECT is((SELECT count(*) FROM power_action.event WHERE event_id IN (:one, :two)), 2::bigint,
	'hostile schemas: events are where they belong');

-- The owner may have a hostile schema in the path, too.
SET search_path = regress_leak, pg_temp, pg_catalog;
SELECT power_action.grant_viewer('regress_clerk', 'red');
SELECT power_action.revoke_viewer('regress_clerk', 'red');
SELECT pg_catalog.count(*) AS problems FROM power_action.check_consistency() \gset
UPDATE power_action.cluster SET status = 'running' WHERE cluster_id OPERATOR(pg_catalog.=) 'b1';
RESET search_path;
SELECT pass('hostile schemas: grants, consistency and triggers work');

CREATE COLLATION regress_leak.nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
SELECT is((SELECT error_code FROM power_action.power_on(
			   ARRAY['R1' COLLATE regress_leak.nocase])), 'NOT_FOUND', 'ids are compared by their bytes, whatever the collation');

-- A schema with something of others in it -----------------------------

DROP EXTENSION power_action CASCADE;
CREATE ROLE regress_early;
CREATE FUNCTION power_action.early() RETURNS int LANGUAGE sql AS 'SELECT 1';
ALTER FUNCTION power_action.early OWNER TO regress_early;
SELECT throws_ok('CREATE EXTENSION power_action', '42501',
	'schema power_action exists and has objects of "regress_early"',
	'what others have put into the schema is refused');
DROP FUNCTION power_action.early();
SELECT lives_ok('CREATE EXTENSION power_action', 'without it, it is taken');

SELECT * FROM finish();
ROLLBACK;
