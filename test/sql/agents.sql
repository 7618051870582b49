-- test/sql/agents.sql
--
-- Agents as foreign servers: what the validator of power_agent accepts and
-- what it says of the rest.

SET client_min_messages = warning;
CREATE EXTENSION power_action;

CREATE FUNCTION pg_temp.try(options text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	hint text;
BEGIN
	EXECUTE 'CREATE SERVER tried FOREIGN DATA WRAPPER power_agent ' || options;
	DROP SERVER tried;
	RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RETURN format('%s %s | %s', SQLSTATE, SQLERRM, hint);
END $$;

\pset format unaligned
\pset fieldsep ' => '
-- targets
SELECT target, pg_temp.try(format('OPTIONS (target %L, tls ''off'')', target)) AS result
FROM unnest(ARRAY[
	'dns:///agent.example.com:50051',
	'dns:agent:50051',
	'dns://192.0.2.53/agent:50051',
	'agent:50051',
	'[2001:db8::1]:50051',
	'ipv4:192.0.2.1:50051',
	'ipv4:192.0.2.1:50051,192.0.2.2:50051',
	'ipv6:[2001:db8::1]:50051',
	'unix:/run/agent/socket',
	'unix:///run/agent/socket',
	'',
	'agent',
	'agent:',
	'agent:0',
	'agent:65536',
	'agent:http',
	':50051',
	'a b:50051',
	'http://agent:50051',
	'dns:///agent',
	'dns://192.0.2.53',
	'ipv4:agent:50051',
	'ipv4:192.0.2.1',
	'ipv4:192.0.2.1:50051,',
	'ipv6:2001:db8::1:50051',
	'ipv6:[2001:db8::x]:50051',
	'unix:socket',
	'unix:',
	'unix:/',
	'unix:/' || repeat('x', 107)
]) WITH ORDINALITY t (target, n) ORDER BY n;

-- the other options
SELECT option, pg_temp.try(format('OPTIONS (target ''a:1'', %s)', option)) AS result
FROM unnest(ARRAY[
	'call_timeout ''500ms''',
	'call_timeout ''2min''',
	'call_timeout ''1500''',
	'call_timeout ''9ms''',
	'call_timeout ''61min''',
	'call_timeout ''5 parsecs''',
	'call_timeout ''soon''',
	'connect_timeout ''5s''',
	'connect_timeout ''0''',
	'keepalive_time ''0''',
	'keepalive_time ''1s''',
	'keepalive_time ''999ms''',
	'max_concurrent_calls ''1''',
	'max_concurrent_calls ''0''',
	'max_concurrent_calls ''1e9''',
	'max_message_size ''4MB''',
	'max_message_size ''1kB''',
	'max_message_size ''33MB''',
	'load_balancing ''round_robin''',
	'load_balancing ''random''',
	'streaming ''auto''',
	'streaming ''off''',
	'streaming ''on''',
	'account_field ''id''',
	'account_field ''ID''',
	'token ''secret'''
]) WITH ORDINALITY t (option, n) ORDER BY n;

\pset format aligned
-- a server without a target, and one that would lose it
CREATE SERVER agent FOREIGN DATA WRAPPER power_agent;
CREATE SERVER agent FOREIGN DATA WRAPPER power_agent
	OPTIONS (target 'unix:/nonexistent/agent.socket');
ALTER SERVER agent OPTIONS (DROP target);
ALTER SERVER agent OPTIONS (ADD call_timeout '1s');
ALTER SERVER agent OPTIONS (SET call_timeout 'never');

-- files that cannot be used: a warning, they may come
CREATE SERVER secure FOREIGN DATA WRAPPER power_agent
	OPTIONS (target 'agent.example.com:50051',
			 root_cert_file '/nonexistent/roots.pem',
			 auth_token_file '/dev/null');
ALTER SERVER secure OPTIONS (SET auth_token_file '/etc/passwd');
DROP SERVER secure;

-- nothing but servers has options
ALTER FOREIGN DATA WRAPPER power_agent OPTIONS (ADD target 'a:1');
CREATE USER MAPPING FOR CURRENT_USER SERVER agent OPTIONS (password 'x');
CREATE USER MAPPING FOR CURRENT_USER SERVER agent;
CREATE FOREIGN TABLE power_action.f () SERVER agent OPTIONS (table_name 'x');

-- an account that names no agent, or something else
CREATE FOREIGN DATA WRAPPER regress_other;
CREATE SERVER other FOREIGN DATA WRAPPER regress_other;
INSERT INTO power_action.account (account_name, server_name)
VALUES ('a', 'agent'), ('b', 'other'), ('c', 'none');
INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name)
SELECT account_name || '1', account_name, account_name
FROM power_action.account;
INSERT INTO power_action.instance (cluster_id, instance_id)
SELECT cluster_id, 'i' FROM power_action.cluster;
SELECT cluster_id, status, error_code
FROM power_action.power_on(ARRAY['a1', 'b1', 'c1']);
SELECT server_name, target, in_flight, waiting FROM power_action.agent_status;

DROP FOREIGN DATA WRAPPER regress_other CASCADE;
DROP EXTENSION power_action CASCADE;
DROP SCHEMA power_action;
