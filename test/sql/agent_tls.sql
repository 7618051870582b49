-- test/sql/agent_tls.sql
--
-- TLS and tokens as options of servers: what goes together, what is refused
-- and with which words, and who may name files.

\set ON_ERROR_STOP on
\pset format unaligned
\pset tuples_only on
\pset pager off
SET client_min_messages = error;

BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
DROP EXTENSION IF EXISTS power_action CASCADE;
CREATE EXTENSION power_action;
CREATE ROLE regress_owner;
CREATE ROLE regress_reader IN ROLE pg_read_server_files;
GRANT USAGE ON FOREIGN DATA WRAPPER power_agent
	TO regress_owner, regress_reader;

SELECT no_plan();

-- "accepted", or "SQLSTATE message | hint"
CREATE FUNCTION pg_temp.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	hint text;
BEGIN
	BEGIN
		EXECUTE statement;
		RAISE EXCEPTION USING ERRCODE = 'ZZ000';
	EXCEPTION
		WHEN SQLSTATE 'ZZ000' THEN
			RETURN 'accepted';
		WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
			RETURN format('%s %s | %s', SQLSTATE, SQLERRM, hint);
	END;
END $$;

CREATE FUNCTION pg_temp.create_server(options text) RETURNS text
LANGUAGE sql AS $$
	SELECT pg_temp.try('CREATE SERVER tried FOREIGN DATA WRAPPER power_agent OPTIONS ('
					   || options || ')') $$;

-- ----------------------------------------------------------------------
-- Where TLS is the default: where root_cert_file is of use
-- ----------------------------------------------------------------------

SELECT is(pg_temp.create_server(format('target %L, root_cert_file ''/r''', target)),
		  CASE WHEN remote THEN 'accepted' ELSE
		  'HV021 option "root_cert_file" requires TLS, which is off | '
		  'Unix sockets and loopback addresses are reached without TLS unless tls is "on".'
		  END,
		  format('%s: %s by default', target,
				 CASE WHEN remote THEN 'TLS' ELSE 'no TLS' END))
FROM (VALUES
	('agent.example.com:50051', true),
	('dns:///agent.example.com:50051', true),
	('dns:agent:50051', true),
	('localhost:50051', false),
	('LocalHost:50051', false),
	('dns:localhost:50051', false),
	('dns:///localhost:50051', false),
	('dns://192.0.2.53/localhost:50051', true),
	('dns://127.0.0.1/127.0.0.1:50051', true),
	('localhost.example.com:50051', true),
	('mylocalhost:50051', true),
	('127.0.0.1:50051', false),
	('dns:///127.1.2.3:50051', false),
	('[::1]:50051', false),
	('[::2]:50051', true),
	('127.example.com:50051', true),
	('127.1:50051', true),
	('ipv4:127.255.255.254:1', false),
	('ipv4:127.0.0.1:1,127.0.0.2:2', false),
	('ipv4:128.0.0.1:1', true),
	('ipv4:0.0.0.0:1', true),
	('ipv6:[::1]:1', false),
	('ipv6:[0:0:0:0:0:0:0:1]:1', false),
	('ipv6:[::1]:1,[::1]:2', false),
	('ipv6:[::ffff:127.0.0.1]:1', true),
	('unix:/run/agent', false),
	('unix:///run/agent,x', false)) t (target, remote);

-- one address elsewhere is enough
SELECT is(pg_temp.create_server(format('target %L, root_cert_file ''/r'', tls_server_name ''a''', target)),
		  'accepted', target || ': TLS by default')
FROM unnest(ARRAY['ipv4:127.0.0.1:1,192.0.2.1:1', 'ipv4:192.0.2.1:1,127.0.0.1:1',
				  'ipv6:[::1]:1,[::2]:1']) target;

-- ----------------------------------------------------------------------
-- What goes together
-- ----------------------------------------------------------------------

SELECT is(pg_temp.create_server(options), 'accepted', options)
FROM unnest(ARRAY[
	$$target 'agent:1', tls 'off'$$,
	$$target 'agent:1', tls 'on'$$,
	$$target 'agent:1', auth_token_file '/t'$$,
	$$target 'agent:1', tls 'on', auth_token_file '/t'$$,
	$$target 'agent:1', root_cert_file '/r', cert_file '/c', key_file '/k', tls_server_name 'agent.example.com', auth_token_file '/t'$$,
	$$target 'agent:1', cert_file '/c', key_file '/k'$$,
	$$target 'unix:/s', auth_token_file '/t'$$,
	$$target 'unix:/s', tls 'off', auth_token_file '/t'$$,
	$$target 'unix:/s', tls 'on', root_cert_file '/r'$$,
	$$target 'localhost:1', auth_token_file '/t'$$,
	$$target 'localhost:1', tls 'on', cert_file '/c', key_file '/k'$$,
	$$target 'ipv4:127.0.0.1:1,127.0.0.1:2'$$,
	$$target 'ipv4:192.0.2.1:1,192.0.2.2:2', tls 'off'$$,
	$$target 'ipv4:192.0.2.1:1,192.0.2.2:2', tls_server_name 'agent'$$,
	$$tls_server_name '192.0.2.1', target 'agent:1'$$]) options;

SELECT is(pg_temp.create_server(options), refusal, options)
FROM (VALUES
	($$target 'agent:1', tls 'off', auth_token_file '/t'$$,
	 'HV021 option "auth_token_file" requires TLS to target "dns:///agent:1" | Without TLS, tokens go to unix sockets and loopback addresses only: set tls to "on", or drop auth_token_file.'),
	($$target 'dns://192.0.2.53/localhost:1', tls 'off', auth_token_file '/t'$$,
	 'HV021 option "auth_token_file" requires TLS to target "dns://192.0.2.53/localhost:1" | Without TLS, tokens go to unix sockets and loopback addresses only: set tls to "on", or drop auth_token_file.'),
	($$target 'ipv4:127.0.0.1:1,192.0.2.1:1', tls 'off', auth_token_file '/t'$$,
	 'HV021 option "auth_token_file" requires TLS to target "ipv4:127.0.0.1:1,192.0.2.1:1" | Without TLS, tokens go to unix sockets and loopback addresses only: set tls to "on", or drop auth_token_file.'),
	($$target 'agent:1', tls 'off', root_cert_file '/r'$$,
	 'HV021 option "root_cert_file" requires TLS, which is off | Set tls to "on", or drop root_cert_file, cert_file, key_file and tls_server_name.'),
	($$target 'agent:1', tls 'off', cert_file '/c', key_file '/k'$$,
	 'HV021 option "cert_file" requires TLS, which is off | Set tls to "on", or drop root_cert_file, cert_file, key_file and tls_server_name.'),
	($$target 'agent:1', tls 'off', key_file '/k'$$,
	 'HV021 option "key_file" requires TLS, which is off | Set tls to "on", or drop root_cert_file, cert_file, key_file and tls_server_name.'),
	($$target 'agent:1', tls 'off', tls_server_name 'a'$$,
	 'HV021 option "tls_server_name" requires TLS, which is off | Set tls to "on", or drop root_cert_file, cert_file, key_file and tls_server_name.'),
	($$target 'unix:/s', tls_server_name 'a'$$,
	 'HV021 option "tls_server_name" requires TLS, which is off | Unix sockets and loopback addresses are reached without TLS unless tls is "on".'),
	($$target 'agent:1', cert_file '/c'$$,
	 'HV021 option "cert_file" requires option "key_file" | A client certificate takes both cert_file and key_file; without one, give neither.'),
	($$target 'agent:1', key_file '/k'$$,
	 'HV021 option "key_file" requires option "cert_file" | A client certificate takes both cert_file and key_file; without one, give neither.'),
	($$target 'ipv4:192.0.2.1:1,192.0.2.2:1'$$,
	 'HV021 option "tls_server_name" is required for several addresses with TLS | It is the name that the certificates of all of them have, such as "agent.example.com".'),
	($$target 'ipv4:127.0.0.1:1,127.0.0.1:2', tls 'on'$$,
	 'HV021 option "tls_server_name" is required for several addresses with TLS | It is the name that the certificates of all of them have, such as "agent.example.com".'),
	($$target 'agent:1', tls 'true'$$,
	 'HV024 invalid value for option "tls": "true" | It must be "off" or "on".'),
	($$target 'agent:1', root_cert_file 'roots.pem'$$,
	 'HV024 invalid value for option "root_cert_file": "roots.pem" | It must be the absolute path of a file on the server, of less than 1024 bytes.'),
	($$target 'agent:1', auth_token_file ''$$,
	 'HV024 invalid value for option "auth_token_file": "" | It must be the absolute path of a file on the server, of less than 1024 bytes.'),
	($$target 'agent:1', key_file E'/a\nb'$$,
	 E'HV024 invalid value for option "key_file": "/a\nb" | It must be the absolute path of a file on the server, of less than 1024 bytes.'),
	($$target 'agent:1', tls_server_name 'agent:1'$$,
	 'HV024 invalid value for option "tls_server_name": "agent:1" | It must be a host name without a port, such as "agent.example.com".'),
	($$target 'agent:1', tls_server_name ''$$,
	 'HV024 invalid value for option "tls_server_name": "" | It must be a host name without a port, such as "agent.example.com".'),
	($$target 'agent:1', auth_token 'secret'$$,
	 'HV00D invalid option "auth_token" | Valid options are: target, tls, root_cert_file, cert_file, key_file, tls_server_name, auth_token_file, call_timeout, connect_timeout, keepalive_time, max_concurrent_calls, max_message_size, load_balancing, streaming, account_field.')
) t (options, refusal);
SELECT matches(pg_temp.create_server(format('target ''agent:1'', cert_file %L, key_file ''/k''', '/' || repeat('x', 1023))),
			   '^HV024 .*less than 1024 bytes', 'a path that is too long');

-- An option that makes others wrong is refused, too.
CREATE SERVER agent FOREIGN DATA WRAPPER power_agent
	OPTIONS (target 'agent:1', root_cert_file '/r', auth_token_file '/t');
SELECT matches(pg_temp.try(statement), '^HV021 ', statement)
FROM unnest(ARRAY[
	$$ALTER SERVER agent OPTIONS (ADD tls 'off')$$,
	$$ALTER SERVER agent OPTIONS (SET target 'localhost:1')$$,
	$$ALTER SERVER agent OPTIONS (DROP root_cert_file, ADD tls 'off')$$,
	$$ALTER SERVER agent OPTIONS (ADD cert_file '/c')$$]) statement;
SELECT is(pg_temp.try(statement), 'accepted', statement)
FROM unnest(ARRAY[
	$$ALTER SERVER agent OPTIONS (DROP root_cert_file, SET target 'localhost:1')$$,
	$$ALTER SERVER agent OPTIONS (DROP root_cert_file, DROP auth_token_file, ADD tls 'off')$$]) statement;

-- ----------------------------------------------------------------------
-- Who may name files
-- ----------------------------------------------------------------------

CREATE FUNCTION pg_temp.denied(option text) RETURNS text LANGUAGE sql AS $$
	SELECT format('42501 permission denied to define a server with option "%s" | Only superusers and members of pg_read_server_files may define or alter servers that have one of: root_cert_file, cert_file, key_file, auth_token_file.', option) $$;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO regress_owner, regress_reader;
DO $$ BEGIN
	EXECUTE format('GRANT USAGE ON SCHEMA %s TO regress_owner, regress_reader',
				   (SELECT nspname FROM pg_namespace WHERE oid = pg_my_temp_schema()));
END $$;

ALTER SERVER agent OWNER TO regress_owner;
SET ROLE regress_owner;
SELECT is(pg_temp.create_server($$target 'agent:1'$$), 'accepted',
		  'without files, usage on the wrapper is enough');
SELECT is(pg_temp.create_server($$target 'agent:1', tls_server_name 'a'$$),
		  'accepted', 'a name is no file');
SELECT is(pg_temp.create_server(options), pg_temp.denied(option), options)
FROM (VALUES
	($$target 'agent:1', root_cert_file '/r'$$, 'root_cert_file'),
	($$target 'agent:1', cert_file '/c', key_file '/k'$$, 'cert_file'),
	($$target 'unix:/s', auth_token_file '/t'$$, 'auth_token_file'))
	t (options, option);
SELECT is(pg_temp.try(statement), pg_temp.denied('root_cert_file'), statement)
FROM unnest(ARRAY[
	$$ALTER SERVER agent OPTIONS (SET target 'evil:1')$$,
	$$ALTER SERVER agent OPTIONS (ADD call_timeout '1s')$$,
	$$ALTER SERVER agent OPTIONS (SET auth_token_file '/etc/shadow')$$]) statement;
SELECT is(pg_temp.try($$ALTER SERVER agent OPTIONS (DROP root_cert_file)$$),
		  pg_temp.denied('auth_token_file'), 'as long as one is left');
RESET ROLE;

SET ROLE regress_reader;
SELECT is(pg_temp.create_server($$target 'agent:1', root_cert_file '/r', auth_token_file '/t'$$),
		  'accepted', 'members of pg_read_server_files may');
RESET ROLE;
SELECT is(pg_temp.try($$ALTER SERVER agent OPTIONS (SET target 'other:1')$$),
		  'accepted', 'superusers may, whoever owns it');

SELECT * FROM finish();
ROLLBACK;
