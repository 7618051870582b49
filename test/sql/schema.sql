-- test/sql/schema.sql
--
-- What the install script promises of every object: a comment, nothing for
-- PUBLIC, a pinned search path, row-level security; and the names, arguments
-- and columns that users rely on.

\set ON_ERROR_STOP on
\pset format unaligned
\pset tuples_only on
\pset pager off
SET client_min_messages = warning;

BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
DROP EXTENSION IF EXISTS power_action CASCADE;
CREATE EXTENSION power_action;

SELECT no_plan();

-- Members of the extension, with what COMMENT ON calls them.
CREATE TEMP VIEW member AS
	SELECT d.classid, d.objid,
		   pg_describe_object(d.classid, d.objid, 0) AS name
	FROM pg_depend d
	JOIN pg_extension e ON e.oid = d.refobjid
	WHERE d.refclassid = 'pg_extension'::regclass
		  AND d.deptype = 'e'
		  AND e.extname = 'power_action';

CREATE TEMP VIEW our_class AS
	SELECT c.* FROM pg_class c
	WHERE c.relnamespace = 'power_action'::regnamespace;

CREATE TEMP VIEW our_function AS
	SELECT p.* FROM pg_proc p
	WHERE p.pronamespace = 'power_action'::regnamespace;

-- Comments -------------------------------------------------------------

SELECT is_empty(
	$$ SELECT m.name FROM member m
	   LEFT JOIN pg_type t ON m.classid = 'pg_type'::regclass
						   AND t.oid = m.objid
	   WHERE t.oid IS NULL
			 AND obj_description(m.objid, m.classid::regclass::name) IS NULL $$,
	'every member of the extension has a comment');
SELECT is_empty(
	$$ SELECT c.relname, a.attname FROM our_class c
	   JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
	   WHERE c.relkind IN ('r', 'v')
			 AND col_description(c.oid, a.attnum) IS NULL $$,
	'every column has a comment');
SELECT is_empty(
	$$ SELECT t.tgname FROM pg_trigger t JOIN our_class c ON c.oid = t.tgrelid
	   WHERE NOT t.tgisinternal
			 AND obj_description(t.oid, 'pg_trigger') IS NULL $$,
	'every trigger has a comment');
SELECT is_empty(
	$$ SELECT p.polname FROM pg_policy p JOIN our_class c ON c.oid = p.polrelid
	   WHERE obj_description(p.oid, 'pg_policy') IS NULL $$,
	'every policy has a comment');
SELECT is_empty(
	$$ SELECT c.relname FROM our_class c
	   WHERE c.relkind = 'i' AND c.relname LIKE '%\_idx'
			 AND obj_description(c.oid, 'pg_class') IS NULL $$,
	'every index of ours has a comment');
SELECT isnt(obj_description('power_action'::regnamespace, 'pg_namespace'),
			NULL, 'the schema has a comment');
SELECT is_empty(
	$$ SELECT oid::regprocedure FROM our_function
	   WHERE prorettype <> 'trigger'::regtype AND prokind = 'f'
			 AND proname ~ '^(power_|refresh|cancel$|wait)'
			 AND obj_description(oid, 'pg_proc') !~ '(Errors:|as the form)' $$,
	'the functions for users tell their errors');

-- Nothing for PUBLIC ---------------------------------------------------

SELECT is_empty(
	$$ SELECT c.relname, a.privilege_type
	   FROM our_class c, aclexplode(c.relacl) a WHERE a.grantee = 0 $$,
	'nothing on tables, views and sequences is granted to PUBLIC');
SELECT is_empty(
	$$ SELECT c.relname FROM our_class c
	   WHERE c.relkind IN ('r', 'v', 'S') AND c.relacl IS NULL $$,
	'it was revoked explicitly, default privileges notwithstanding');
SELECT is_empty(
	$$ SELECT c.relname, t.attname
	   FROM our_class c JOIN pg_attribute t ON t.attrelid = c.oid,
			aclexplode(t.attacl) a WHERE a.grantee = 0 $$,
	'nothing on columns is granted to PUBLIC');
SELECT is_empty(
	$$ SELECT p.oid::regprocedure FROM our_function p,
			  aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
	   WHERE a.grantee = 0 $$,
	'no function may be executed by PUBLIC');
SELECT is_empty(
	$$ SELECT n.nspname FROM pg_namespace n, aclexplode(n.nspacl) a
	   WHERE n.nspname = 'power_action' AND a.grantee = 0 $$,
	'nothing on the schema is granted to PUBLIC');
SELECT is_empty(
	$$ SELECT w.fdwname FROM pg_foreign_data_wrapper w,
			  aclexplode(coalesce(w.fdwacl, acldefault('F', w.fdwowner))) a
	   WHERE w.fdwname = 'power_agent' AND a.grantee = 0 $$,
	'nothing on the wrapper is granted to PUBLIC');

-- Functions ------------------------------------------------------------

-- Without SET: the procedures, which commit, and what is called for each row
-- that is written and runs no SQL, or only qualified SQL.
SELECT results_eq(
	$$ SELECT proname::text COLLATE "default" FROM our_function
	   WHERE 'search_path=pg_catalog, pg_temp' <> ALL (coalesce(proconfig, '{}'))
	   ORDER BY 1 $$,
	ARRAY['cancel_restored', 'check_text', 'event_keeps_rules',
		  'keep_cluster_status', 'keep_instance_status', 'power_off_and_wait',
		  'power_on_and_wait'],
	'every other function pins the search path');
SELECT is_empty(
	$$ SELECT oid::regprocedure FROM our_function WHERE prosecdef $$,
	'no function is SECURITY DEFINER');
SELECT is_empty(
	$$ SELECT oid::regprocedure FROM our_function
	   WHERE provolatile = 'v' AND proparallel <> 'u'
			 AND proname NOT IN ('worker_state', 'agent_state',
								 'lock_waits') $$,
	'what may write is not parallel safe');

SELECT results_eq(
	$$ SELECT format('%s(%s) %s', proname::text COLLATE "default",
					 pg_get_function_arguments(oid),
					 pg_get_function_result(oid))
	   FROM our_function
	   WHERE proname IN ('power_on', 'cancel', 'wait_for',
						 'power_on_and_wait', 'grant_operator',
						 'grant_viewer', 'grant_inventory', 'adopt',
						 'check_consistency')
	   ORDER BY proname, pg_get_function_arguments(oid) $$,
	ARRAY[
	'adopt() bigint',
	'cancel(event_id bigint, cancelled_by text DEFAULT SESSION_USER, reason text DEFAULT NULL::text) text',
	'check_consistency() TABLE(problem text, event_id bigint, cluster_id text, detail text)',
	'grant_inventory(role_name name) void',
	'grant_operator(role_name name, account_name text DEFAULT NULL::text) void',
	'grant_viewer(role_name name, account_name text DEFAULT NULL::text) void',
	'power_on(cluster_id text, triggered_by text DEFAULT SESSION_USER, description text DEFAULT NULL::text, not_before timestamp with time zone DEFAULT NULL::timestamp with time zone, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone, priority integer DEFAULT 0, request_key text DEFAULT NULL::text) bigint',
	'power_on(cluster_ids text[], triggered_by text DEFAULT SESSION_USER, description text DEFAULT NULL::text, not_before timestamp with time zone DEFAULT NULL::timestamp with time zone, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone, priority integer DEFAULT 0, request_key text DEFAULT NULL::text) TABLE(cluster_id text, event_id bigint, status text, error_code text)',
	'power_on_and_wait(IN cluster_id text, IN triggered_by text DEFAULT SESSION_USER, IN description text DEFAULT NULL::text, IN timeout interval DEFAULT ''00:05:00''::interval, INOUT event_id bigint DEFAULT NULL::bigint, INOUT status text DEFAULT NULL::text, INOUT message text DEFAULT NULL::text) ',
	'wait_for(event_id bigint, timeout interval DEFAULT ''00:01:00''::interval) power_action.event'],
	'arguments and results are as promised');
SELECT is(
	(SELECT array_agg(DISTINCT pg_get_function_arguments(oid)
					  ORDER BY pg_get_function_arguments(oid))
	 FROM our_function WHERE proname = a.name),
	(SELECT array_agg(DISTINCT pg_get_function_arguments(oid)
					  ORDER BY pg_get_function_arguments(oid))
	 FROM our_function WHERE proname = a.model),
	format('%s has the arguments of %s', a.name, a.model))
FROM (VALUES ('power_off', 'power_on'), ('refresh', 'power_on'),
			 ('power_off_and_wait', 'power_on_and_wait')) a (name, model);

-- Tables and views -----------------------------------------------------

SELECT is_empty(
	$$ SELECT relname FROM our_class
	   WHERE relkind = 'r' AND NOT relrowsecurity $$,
	'row-level security is on for every table');
SELECT is_empty(
	$$ SELECT relname FROM our_class
	   WHERE relkind = 'v'
			 AND reloptions IS DISTINCT FROM ARRAY['security_invoker=true'] $$,
	'every view runs with the rights of who reads it');
SELECT results_eq(
	$$ SELECT c.relname::text COLLATE "default",
			  string_agg(a.attname::text COLLATE "default", ', ' ORDER BY a.attnum)
	   FROM our_class c
	   JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
	   WHERE c.relkind = 'v' AND c.relname <> 'my_access'
	   GROUP BY c.relname ORDER BY c.relname $$,
	$$ VALUES
	('activity', 'event_id, action, cluster_name, status, age, attempts, next_attempt, waits_for'),
	('agent_status', 'server_name, target, state, since, in_flight, waiting, last_error'),
	('history', 'event_id, requested_at, action, cluster_name, status, took, triggered_by, requested_by, description, outcome'),
	('worker_status', 'database, pid, state, since, in_flight, deferred, calls, finished, errors, courier_pid, courier_starts, receive_time, read_time, send_time, write_time, commit_time') $$,
	'the views have the columns that were promised');
SELECT results_eq(
	$$ SELECT c.relname::text COLLATE "default"
	   FROM pg_extension e, unnest(e.extconfig) x
	   JOIN pg_class c ON c.oid = x
	   WHERE e.extname = 'power_action' ORDER BY 1 $$,
	ARRAY['access', 'account', 'attempt', 'cluster', 'event',
		  'event_event_id_seq', 'instance'],
	'all but the queue is dumped');
SELECT results_eq(
	$$ SELECT extrelocatable, extnamespace::regnamespace::text COLLATE "default"
	   FROM pg_extension WHERE extname = 'power_action' $$,
	$$ VALUES (false, 'power_action') $$,
	'the extension has a schema of its own and stays there');
-- An index must be found with ids of another table, whatever the locale is.
SELECT is_empty(
	$$ SELECT c.relname, a.attname FROM our_class c
	   JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
	   WHERE c.relkind = 'r'
			 AND a.attname IN ('cluster_id', 'instance_id', 'account_name',
							   'server_name')
			 AND a.attcollation <> '"C"'::regcollation $$,
	'ids and names that are joined compare bytewise');

-- The schema of somebody else ------------------------------------------

DROP VIEW member, our_class, our_function;
DROP EXTENSION power_action;
DROP SCHEMA power_action;
CREATE ROLE regress_schema_owner;
CREATE SCHEMA power_action AUTHORIZATION regress_schema_owner;
SELECT throws_ok('CREATE EXTENSION power_action', '42501',
	'schema power_action exists and belongs to "regress_schema_owner"',
	'a schema of somebody else is refused');
ALTER SCHEMA power_action OWNER TO CURRENT_USER;
GRANT CREATE ON SCHEMA power_action TO regress_schema_owner;
SELECT throws_ok('CREATE EXTENSION power_action', '42501',
	'schema power_action exists and lets regress_schema_owner create objects in it',
	'a schema in which others may create is refused');
REVOKE CREATE ON SCHEMA power_action FROM regress_schema_owner;
SELECT lives_ok('CREATE EXTENSION power_action',
	'an empty schema of one''s own is taken');

SELECT * FROM finish();
ROLLBACK;
