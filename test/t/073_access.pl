# test/t/073_access.pl
#
# Two teams, a program that keeps the inventory, an auditor and a clerk with a
# button, as doc/reference.md has them: what each sees and does, in sessions of
# their own, before and after pg_dump and restore.  And what the worker lets
# the code of others do that runs in its transactions.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PowerActionSequence;
use PowerActionTest;

my $site = new_site(
	'main',
	agent => [qw(--initial-state running)],
	conf => "listen_addresses = '127.0.0.1'\nautovacuum = off\n");
my $node = $site->{node};
my $agent = $site->{agent};

value(
	$site, q{
	INSERT INTO power_action.account (account_name)
	VALUES ('acme-development'), ('acme-production');
	INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name)
	VALUES ('c-1001', 'reporting-nightly', 'acme-development'),
		   ('c-1002', 'checkout-staging', 'acme-development'),
		   ('c-2001', 'billing', 'acme-production');
	INSERT INTO power_action.instance (cluster_id, instance_id)
	SELECT cluster_id, 'i-' || n FROM power_action.cluster, generate_series(1, 2) n;

	CREATE ROLE regress_shop LOGIN;
	CREATE ROLE regress_finance LOGIN;
	CREATE ROLE regress_cmdb LOGIN;
	CREATE ROLE regress_auditor LOGIN;
	CREATE ROLE regress_clerk LOGIN;
	CREATE ROLE regress_intern LOGIN IN ROLE regress_shop;
	SELECT power_action.grant_operator('regress_shop', 'acme-development');
	SELECT power_action.grant_operator('regress_finance', 'acme-production');
	SELECT power_action.grant_viewer('regress_finance', 'acme-development');
	SELECT power_action.grant_inventory('regress_cmdb');
	SELECT power_action.grant_viewer('regress_auditor');

	CREATE SCHEMA shop AUTHORIZATION regress_shop;
	SET ROLE regress_shop;
	CREATE FUNCTION shop.stop_staging() RETURNS bigint
		LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
		AS $$ SELECT power_action.power_off('c-1002', session_user) $$;
	CREATE FUNCTION shop.stop(id text) RETURNS bigint
		LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
		AS $$ SELECT power_action.power_off(id, session_user) $$;
	CREATE FUNCTION shop.list() RETURNS SETOF text LANGUAGE sql
		AS $$ SELECT cluster_id FROM power_action.cluster ORDER BY 1 $$;
	CREATE VIEW shop.clusters AS SELECT cluster_id FROM power_action.cluster;
	GRANT USAGE ON SCHEMA shop TO regress_clerk, regress_finance;
	GRANT SELECT ON shop.clusters TO regress_clerk, regress_finance;
	REVOKE ALL ON FUNCTION shop.stop, shop.stop_staging FROM PUBLIC;
	GRANT EXECUTE ON FUNCTION shop.stop, shop.stop_staging TO regress_clerk});

# All that a session of the role is shown, errors and notifications, too.
# Numbers that may differ are left out.
sub session
{
	my ($place, $role, $sql) = @_;
	my $output;

	IPC::Run::run(
		[
			'psql', '-XAtq', '-v', 'VERBOSITY=verbose',
			'-d', $place->{node}->connstr($place->{database}),
			'-U', $role
		],
		'<', \$sql, '>&', \$output);
	$output =~ s/^psql:<stdin>:\d+: //mg;
	$output =~ s/^(?:LOCATION|CONTEXT|QUERY|LINE \d+): .*\n(?: +\^\n)?//mg;
	$output =~ s/ from server process with PID \d+//g;
	$output =~ s/(event |Event |"event_id":)\d+/$1N/g;
	return $output;
}

# Waits for all that it has caused.
sub ok_session
{
	my ($place, $role, $sql, $expected, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(session($place, $role, $sql), $expected, $name);
	finish_all($place);
	return;
}

my $denied = "ERROR:  42501: permission denied for";

sub ok_teams
{
	my ($place, $where) = @_;

	# the teams of the reference
	ok_session($place, 'regress_shop', q{
		SELECT cluster_id, cluster_name FROM power_action.cluster ORDER BY 1;
		SELECT power_action.power_off('c-1001') > 0;
		SELECT power_action.power_off('c-2001') > 0;
		SELECT power_action.power_off('billing') > 0;
		SELECT power_action.power_off('checkout-staging') > 0},
		<<'END', "$where: shop has its own, and cannot tell others' from none");
c-1001|reporting-nightly
c-1002|checkout-staging
t
WARNING:  01000: event N failed: cluster "c-2001" does not exist
t
WARNING:  01000: event N failed: cluster "billing" does not exist
t
WARNING:  01000: event N failed: cluster "checkout-staging" does not exist
HINT:  Did you mean cluster id "c-1002"?
t
END
	ok_session($place, 'regress_finance', q{
		SELECT cluster_id FROM power_action.cluster ORDER BY 1;
		SELECT power_action.power_off('c-2001') > 0;
		SELECT power_action.power_off('c-1001')},
		<<'END', "$where: finance may look, but not touch");
c-1001
c-1002
c-2001
t
ERROR:  42501: permission denied to power off cluster "c-1001"
HINT:  It takes power_action.grant_operator for account "acme-development".
END
	ok_session($place, 'regress_cmdb', q{
		UPDATE power_action.cluster SET owner = 'finance' WHERE cluster_id = 'c-2001'
			RETURNING cluster_id;
		SELECT power_action.power_off('c-2001');
		UPDATE power_action.account SET server_name = 'mine';
		DELETE FROM power_action.access},
		<<"END", "$where: the keeper writes the inventory alone");
c-2001
$denied function power_off
$denied table account
$denied table access
END
	ok_session($place, 'regress_auditor', q{
		SELECT count(*) FROM power_action.cluster;
		SELECT count(*) > 0 FROM power_action.history WHERE cluster_name = 'billing';
		SELECT power_action.power_off('c-2001');
		UPDATE power_action.event SET triggered_by = 'nobody';
		DELETE FROM power_action.event},
		<<"END", "$where: the auditor sees all and changes nothing");
3
t
$denied function power_off
$denied table event
$denied table event
END
	ok_session($place, 'regress_clerk', q{
		SELECT shop.stop_staging() > 0;
		SELECT shop.stop('c-1001') > 0;
		SELECT shop.stop('c-2001') > 0;
		SELECT * FROM shop.list();
		SELECT * FROM shop.clusters;
		SELECT power_action.power_off('c-1002')},
		<<"END", "$where: the clerk has the buttons, which reach what shop reaches");
t
t
WARNING:  01000: event N failed: cluster "c-2001" does not exist
t
$denied schema power_action
$denied table access
$denied schema power_action
END
	ok_session($place, 'regress_finance', q{
		SELECT * FROM shop.list();
		SELECT * FROM shop.clusters ORDER BY 1},
		"c-1001\nc-1002\nc-2001\n" x 2,
		"$where: functions and views of others show what their reader may see");
	ok_session($place, 'regress_intern', q{
		SELECT count(*) FROM power_action.cluster;
		SELECT power_action.power_on('c-1002') > 0},
		"2\nt\n", "$where: members are as good as their team");
	is( value($place, q{
		SELECT DISTINCT requested_by || ' for ' || triggered_by || ' on ' || cluster_id
		FROM power_action.event
		WHERE requested_by IN ('regress_clerk', 'regress_intern') ORDER BY 1}),
		<<'END' =~ s/\n\z//r, "$where: who asked is who was connected");
regress_clerk for regress_clerk on c-1001
regress_clerk for regress_clerk on c-1002
regress_clerk for regress_clerk on c-2001
regress_intern for regress_intern on c-1002
END
	is(value($place, q{
		SELECT count(*) FROM power_action.event
		WHERE cluster_id = 'c-2001' AND account_name IS NOT NULL AND requested_by <> 'regress_finance'}),
		0, "$where: nobody else has powered what is finance's");
	return;
}

# Everything that a session can do about a cluster or an event, for one of
# others and for none.
sub ok_blind
{
	my ($place, $where) = @_;
	my $event = value($place, q{
		SELECT max(event_id) FROM power_action.event WHERE account_name = 'acme-production'});
	my %seen;

	for my $case ([ 'c-2001', $event ], [ 'c-none', 999999999 ])
	{
		my ($cluster, $id) = @$case;
		my $text = session($place, 'regress_shop', qq{
			LISTEN power_action;
			SELECT power_action.power_on('$cluster') > 0;
			SELECT power_action.power_off('$cluster', request_key => 'blind') > 0;
			SELECT status, error_code FROM power_action.refresh(ARRAY['$cluster', 'c-x']);
			CALL power_action.power_on_and_wait('$cluster');
			CALL power_action.power_off_and_wait('$cluster', timeout => '0');
			SELECT power_action.cancel($id);
			SELECT status FROM power_action.wait_for($id);
			SELECT count(*) FROM power_action.attempt WHERE event_id = $id;
			SELECT * FROM power_action.activity WHERE event_id = $id;
			SELECT status, outcome FROM power_action.history WHERE event_id = $id;
			SELECT cluster_id, account_name, server_name, status, error_message, instances_total
			FROM power_action.event WHERE cluster_id = '$cluster' AND request_key = 'blind';
			SELECT count(*) FROM power_action.instance WHERE cluster_id = '$cluster';
			EXPLAIN SELECT * FROM power_action.cluster WHERE cluster_id = '$cluster';
			EXPLAIN SELECT * FROM power_action.event WHERE event_id = $id;
			SELECT lastval();
			SELECT currval('power_action.event_event_id_seq');
			SET SESSION AUTHORIZATION regress_finance;
			SET ROLE regress_finance;
			COPY power_action.event (action, cluster_id, triggered_by, status, requested_by, requested_at) FROM stdin;
			COPY (SELECT count(*) FROM power_action.cluster WHERE cluster_id = '$cluster') TO stdout;
			SELECT power_action.power_on('c-1001') IS NULL});

		$text =~ s/\b(?:c-2001|c-none|\Q$id\E)\b/THAT/g;
		$text =~ s/\(cost=.*\)//g;
		$seen{$cluster} = $text;
	}
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($seen{'c-2001'}, $seen{'c-none'},
		"$where: a session sees no difference between others' and none");
	like($seen{'c-2001'}, qr/"event_id":N,"action":"power_on","status":"failed"/,
		'not in what is notified, either');
	unlike($seen{'c-2001'}, qr/acme-production|billing|finance"\S/,
		'and nothing of them');
	finish_all($place);
	return;
}

ok_teams($site, 'original');
ok_blind($site, 'original');
is(scalar(grep { $_->{event} eq 'start' && $_->{cluster_id} eq 'c-2001' } all_agent_lines($agent)),
	1, 'the agent was told of that cluster by finance only');

# ----------------------------------------------------------------------
# What is recorded of a connection
# ----------------------------------------------------------------------

sub recorded
{
	my ($id) = @_;

	return event_value($site, $id, q{concat_ws('|', requested_by, coalesce(host(client_addr), 'none'), application_name)});
}

my ($local) = run_command(
	[
		'psql', '-XAtq', '-d', $node->connstr('fleet') . ' application_name=local',
		'-U', 'regress_shop', '-c', "SELECT power_action.power_on('c-1001')"
	]);
my ($remote) = run_command(
	[
		'psql', '-XAtq', '-d',
		'host=127.0.0.1 port=' . $node->port . " dbname=fleet application_name='a\nb\t\e[2J'",
		'-U', 'regress_shop', '-c', "SELECT power_action.power_off('c-1001')"
	]);
is(recorded($local), 'regress_shop|none|local', 'a local session is recorded');
like(recorded($remote), qr/^regress_shop\|127\.0\.0\.1\|a[ -~]+b[ -~]+\[2J$/,
	'one over the network, with a name that has no control characters');

# ----------------------------------------------------------------------
# Dump and restore
# ----------------------------------------------------------------------

finish_all($site);
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';
my %copy = (node => $node, database => 'copy');
my $access = 'SELECT * FROM power_action.access ORDER BY 1, 2, 3';

$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr('fleet') ], 'pg_dump');
$node->command_ok(
	[ 'pg_restore', '--exit-on-error', '-d', $node->connstr('copy'), $dump ],
	'pg_restore');
wait_for_worker($node, 'copy');
poll_value($node, 'copy', 'SELECT state FROM power_action.agent_status', 'ready');
is(value(\%copy, $access), value($site, $access), 'access came along');

my $privileges = q{
	SELECT count(*) FILTER (WHERE grantee = 0),
		   count(*) FILTER (WHERE grantee IN (SELECT oid FROM pg_roles WHERE rolname LIKE 'regress\_%'))
	FROM (SELECT (aclexplode(relacl)).grantee FROM pg_class
		  WHERE relnamespace = 'power_action'::regnamespace
		  UNION ALL
		  SELECT (aclexplode(attacl)).grantee FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
		  WHERE c.relnamespace = 'power_action'::regnamespace
		  UNION ALL
		  SELECT (aclexplode(coalesce(proacl, acldefault('f', proowner)))).grantee FROM pg_proc
		  WHERE pronamespace = 'power_action'::regnamespace
		  UNION ALL
		  SELECT (aclexplode(nspacl)).grantee FROM pg_namespace WHERE nspname = 'power_action'
		  UNION ALL
		  SELECT (aclexplode(coalesce(fdwacl, acldefault('F', fdwowner)))).grantee
		  FROM pg_foreign_data_wrapper WHERE fdwname = 'power_agent') g};
my $before = value($site, $privileges);
like($before, qr/^0\|[1-9]/, 'nothing is granted to PUBLIC');
is(value(\%copy, $privileges), $before, 'nor after the restore, and the rest is the same');

ok_teams(\%copy, 'copy');
ok_blind(\%copy, 'copy');

my $revoke = q{
	SELECT power_action.revoke_operator('regress_shop', 'acme-development');
	SELECT power_action.revoke_operator('regress_finance', 'acme-production');
	SELECT power_action.revoke_viewer('regress_finance', 'acme-development');
	SELECT power_action.revoke_inventory('regress_cmdb');
	SELECT power_action.revoke_viewer('regress_auditor')};
for my $place (\%copy, $site)
{
	value($place, $revoke);
	is(value($place, $privileges), '0|0', "$place->{database}: what was granted can be taken back");
	like(session($place, 'regress_shop', 'SELECT count(*) FROM power_action.cluster'),
		qr/^ERROR:  42501/, 'then nothing can be seen');
}
ok_consistent($site);
ok_consistent(\%copy);

# ----------------------------------------------------------------------
# The code of others in the worker's transactions
# ----------------------------------------------------------------------

# Only an administrator can let somebody attach a trigger.  What is attached
# acts as the owner, whom the reference warns of; but it gets no further.
value(
	$site, q{
	SELECT power_action.grant_inventory('regress_cmdb');
	GRANT TRIGGER ON power_action.cluster, power_action.event TO regress_cmdb;
	CREATE SCHEMA hostile AUTHORIZATION regress_cmdb;
	SET ROLE regress_cmdb;
	CREATE TABLE hostile.seen (what text);
	GRANT ALL ON hostile.seen TO PUBLIC;
	GRANT USAGE ON SCHEMA hostile TO PUBLIC;
	CREATE FUNCTION hostile.escape() RETURNS trigger LANGUAGE plpgsql AS $$
	DECLARE
		attempt text;
	BEGIN
		FOREACH attempt IN ARRAY ARRAY[
			'SET ROLE postgres', 'SET SESSION AUTHORIZATION DEFAULT',
			'RESET ROLE', 'CREATE TEMP TABLE t ()',
			'CREATE TEMP VIEW v AS SELECT 1', 'LISTEN power_action',
			'DECLARE c CURSOR WITH HOLD FOR SELECT 1', 'COMMIT']
		LOOP
			BEGIN
				EXECUTE attempt;
				INSERT INTO hostile.seen VALUES (attempt);
			EXCEPTION WHEN OTHERS THEN
				INSERT INTO hostile.seen VALUES ('refused');
			END;
		END LOOP;
		PERFORM set_config('search_path', 'hostile', false);
		PERFORM set_config('statement_timeout', '1', false);
		PERFORM set_config('hostile.escaped', 'yes', false);
		INSERT INTO hostile.seen
		VALUES (current_user || ' ' || coalesce(current_setting('hostile.escaped', true), ''));
		RETURN NEW;
	END $$;
	CREATE TRIGGER escape AFTER UPDATE ON power_action.cluster
		FOR EACH ROW EXECUTE FUNCTION hostile.escape()});
my $owner = value($site, q{SELECT extowner::regrole FROM pg_extension WHERE extname = 'power_action'});
my $worker = worker_pid($node, 'fleet');
is(finish($site, request($site, $_, 'c-1001')), 'success|confirmed', "a hostile trigger: $_")
  for qw(power_on power_off);
is( value($site, q{SELECT DISTINCT what FROM hostile.seen WHERE what NOT IN ('RESET ROLE', 'refused') ORDER BY 1}),
	"$owner yes", 'a trigger cannot leave the restricted context');
is(value($site, q{SELECT count(*) > 0 FROM hostile.seen WHERE what = 'refused'}),
	't', 'though it tried');

# Deferred to the commit, it would run after the context has ended.
value(
	$site, q{
	DROP TRIGGER escape ON power_action.cluster;
	CREATE CONSTRAINT TRIGGER escape AFTER UPDATE ON power_action.event
		DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW WHEN (NEW.cluster_id = 'c-1001')
		EXECUTE FUNCTION hostile.escape();
	TRUNCATE hostile.seen});
my $offset = -s $node->logfile;
my $stuck = request($site, 'power_on', 'c-1001');
$node->wait_for_log(qr/cannot fire deferred trigger within security-restricted operation/, $offset);
is(finish($site, request($site, 'power_on', 'c-1002')), 'success|confirmed',
	'a deferred trigger is in the way of its own clusters only');
is(value($site, 'SELECT count(*) FROM hostile.seen'), 0, 'and is not run');
value($site, 'DROP TRIGGER escape ON power_action.event');
is(finish($site, $stuck), 'failed|confirmed|database|42501',
	'without it, it is written that the database refused the outcome');
is(worker_pid($node, 'fleet'), $worker, 'all that by the same worker');

# ----------------------------------------------------------------------
# The procedures, which cannot pin the search path
# ----------------------------------------------------------------------

value(
	$site, q{
	SELECT power_action.grant_operator('regress_shop', 'acme-development');
	GRANT CREATE ON SCHEMA hostile TO regress_shop;
	SET ROLE regress_shop;
	CREATE FUNCTION hostile.trap() RETURNS boolean LANGUAGE plpgsql
		AS $$ BEGIN RAISE EXCEPTION 'trapped as %', current_user; END $$;
	CREATE FUNCTION hostile.trap(text, text) RETURNS boolean LANGUAGE plpgsql
		AS $$ BEGIN RETURN hostile.trap(); END $$;
	CREATE FUNCTION hostile.trap(bigint, bigint) RETURNS boolean LANGUAGE plpgsql
		AS $$ BEGIN RETURN hostile.trap(); END $$;
	CREATE OPERATOR hostile.= (LEFTARG = text, RIGHTARG = text, FUNCTION = hostile.trap);
	CREATE OPERATOR hostile.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = hostile.trap);
	CREATE OPERATOR hostile.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = hostile.trap);
	CREATE FUNCTION hostile.unnest(text[]) RETURNS SETOF text LANGUAGE sql
		AS $$ SELECT hostile.trap()::text $$;
	CREATE FUNCTION hostile.clock_timestamp() RETURNS timestamptz LANGUAGE sql
		AS $$ SELECT hostile.trap()::text::timestamptz $$;
	CREATE DOMAIN hostile.text AS pg_catalog.text CHECK (hostile.trap())});
is( session($site, 'regress_shop', q{
	CREATE TEMP TABLE cluster (cluster_id pg_catalog.text);
	CREATE TEMP TABLE event (event_id pg_catalog.int8);
	CREATE TEMP TABLE history (event_id pg_catalog.int8, outcome pg_catalog.text);
	SET search_path = pg_temp, hostile, pg_catalog;
	CALL power_action.power_off_and_wait('c-1001');
	CALL power_action.power_on_and_wait('c-1001');
	CALL power_action.power_on_and_wait('c-2001')}) =~ s/^\d+\|//mgr,
	<<'END', 'the procedures look nothing up in hostile schemas');
success|confirmed, 2 of 2 instances
success|confirmed, 2 of 2 instances
ERROR:  PA001: cluster "c-2001" does not exist
DETAIL:  Event N failed with NOT_FOUND.
END
ok_consistent($site);
$node->stop;

done_testing();
