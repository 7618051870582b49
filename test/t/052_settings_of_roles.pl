# test/t/052_settings_of_roles.pl
#
# Settings that an administrator, or an attacker, gives to the owner of the
# extension, to the database or to the whole server: the worker works on, and
# so do requests of sessions that have them.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PowerActionSequence;
use PowerActionTest;

# The sessions of the test itself are spared.
$ENV{PGOPTIONS} = join ' ', map { "-c $_" } (
	qw(statement_timeout=0 lock_timeout=0 idle_in_transaction_session_timeout=0
	  idle_session_timeout=0 default_transaction_read_only=off
	  default_transaction_deferrable=off search_path=public
	  session_replication_role=origin exit_on_error=off default_tablespace=
	  datestyle=ISO standard_conforming_strings=on force_parallel_mode=off
	  client_min_messages=notice temp_file_limit=-1 work_mem=4MB),
	'default_transaction_isolation=read\\ committed');

my %settings = (
	statement_timeout => '1ms',
	lock_timeout => '1ms',
	idle_in_transaction_session_timeout => '1ms',
	idle_session_timeout => '1ms',
	default_transaction_read_only => 'on',
	default_transaction_isolation => 'serializable',
	default_transaction_deferrable => 'on',
	search_path => 'hostile, pg_catalog, power_action',
	session_replication_role => 'replica',
	exit_on_error => 'on',
	row_security => 'on',
	synchronous_commit => 'off',
	temp_file_limit => '0',
	work_mem => '64kB',
	default_tablespace => 'pg_global',
	datestyle => 'German',
	intervalstyle => 'sql_standard',
	timezone => 'Asia/Kathmandu',
	bytea_output => 'escape',
	standard_conforming_strings => 'off',
	backslash_quote => 'off',
	array_nulls => 'off',
	transform_null_equals => 'on',
	quote_all_identifiers => 'on',
	force_parallel_mode => 'on',
	plan_cache_mode => 'force_custom_plan',
	enable_indexscan => 'off',
	enable_nestloop => 'off',
	client_min_messages => 'error');

my $node = new_node(
	'main', conf => "power_action.initial_backoff = 10ms\n"
	  . "power_action.max_backoff = 100ms\n"
	  . "power_action.confirm_interval = 50ms\n");
my $site = { node => $node, database => 'fleet' };
$node->safe_psql(
	'postgres', q{
	CREATE ROLE regress_owner LOGIN SUPERUSER;
	CREATE ROLE regress_caller LOGIN;
	CREATE DATABASE fleet});
value($site, 'SET ROLE regress_owner; CREATE EXTENSION power_action');
wait_for_worker($node, 'fleet');
my $agent = start_logging_agent(
	rules => <<'RULES', qw(--initial-state running --transition-time 60ms));
*-retry    off status=UNAVAILABLE message="try later" times=1
*-refused  off error=5 message="no"
*-hang     off hang
RULES
create_agent_server($node, 'fleet', $agent);
add_account($site, 'prod', 'agent');
value($site, q{SELECT power_action.grant_operator('regress_caller')});

# Whatever is looked up without a schema is a trap, also operators.
value(
	$site, q{
	CREATE SCHEMA hostile;
	GRANT USAGE ON SCHEMA hostile TO PUBLIC;
	CREATE FUNCTION hostile.trap() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		RAISE EXCEPTION 'caught by a hostile object';
	END$$;
	DO $$
	DECLARE
		t text;
		o text;
	BEGIN
		FOREACH t IN ARRAY '{text,bigint,integer,smallint,oid,timestamptz,boolean,name}'::text[] LOOP
			EXECUTE format($f$
				CREATE FUNCTION hostile.trap(%1$s, %1$s) RETURNS boolean LANGUAGE plpgsql AS
				'BEGIN PERFORM hostile.trap(); RETURN true; END'$f$, t);
			FOREACH o IN ARRAY '{=,<>,<,<=,>,>=,+}'::text[] LOOP
				EXECUTE format('CREATE OPERATOR hostile.%1$s (FUNCTION = hostile.trap, LEFTARG = %2$s, RIGHTARG = %2$s)', o, t);
			END LOOP;
		END LOOP;
		FOREACH t IN ARRAY '{now,clock_timestamp,current_database,txid_current,pg_backend_pid}'::text[] LOOP
			EXECUTE format($f$
				CREATE FUNCTION hostile.%I() RETURNS text LANGUAGE plpgsql AS
				'BEGIN PERFORM hostile.trap(); RETURN NULL; END'$f$, t);
		END LOOP;
		FOREACH t IN ARRAY '{account,cluster,instance,event,attempt,job,cancellation,worker_epoch,pg_foreign_server,pg_extension,pg_class}'::text[] LOOP
			EXECUTE format('CREATE VIEW hostile.%I AS SELECT hostile.trap(1, 1)', t);
		END LOOP;
	END$$});

# Somebody's trigger that raises, for what the database refuses.
value(
	$site, q{
	CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		RAISE EXCEPTION 'hands off %', NEW.cluster_id;
	END$$;
	CREATE TRIGGER guard BEFORE UPDATE ON power_action.cluster
	FOR EACH ROW WHEN (NEW.cluster_id LIKE '%-guarded')
	EXECUTE FUNCTION guard();
	ALTER TABLE power_action.cluster ENABLE ALWAYS TRIGGER guard});

# A new worker, since settings of roles and databases hold from its start on.
sub new_worker
{
	my $old = worker_pid($node, 'fleet');

	value($site, "SELECT pg_terminate_backend($old)");
	return wait_for_worker($node, 'fleet', $old);
}

# What a session of the role gets that does not help itself.
sub setting
{
	my ($role, $name) = @_;

	local $ENV{PGOPTIONS} = '-c statement_timeout=0 -c idle_session_timeout=0';
	my ($value) = run_command(
		[
			'psql', '-XAtq', '-d', $node->connstr('fleet'),
			'-U', $role, '-c', "SHOW $name"
		]);
	return $value;
}

# Every kind of outcome, and the locks and errors on the way.
sub ok_round
{
	my ($round) = @_;
	my $worker = new_worker();
	my %id;
	my $offset = -s $node->logfile;

	add_clusters($site, 'prod',
		map { "$round-$_" } qw(plain retry refused hang guarded locked));
	my $locker = $node->background_psql('fleet');
	$locker->query_safe('BEGIN');
	$locker->query_safe(
		"SELECT FROM power_action.cluster WHERE cluster_id = '$round-locked' FOR UPDATE"
	);

	# requests come from a session with a hostile path of its own
	for my $kind (qw(plain retry refused hang guarded locked))
	{
		$id{$kind} = value(
			$site, qq{
			SET SESSION AUTHORIZATION regress_caller;
			SET search_path = hostile, pg_catalog;
			SELECT power_action.power_off('$round-$kind', 'alice', priority => 1::pg_catalog.int2)});
	}
	is(finish($site, $id{plain}), 'success|confirmed', "$round: confirmed");
	is(finish($site, $id{retry}), 'success|confirmed', 'tried again');
	is(event_value($site, $id{retry}, 'attempts'), 2, 'counting attempts');
	is(finish($site, $id{refused}),
		'failed|refused|agent|AGENT_ERROR', 'refused by the agent');
	is(finish($site, $id{guarded}),
		'failed|accepted|database|P0001', 'refused by the database');
	poll_event($site, $id{hang}, q{status = 'running'});
	value($site, "SELECT power_action.cancel($id{hang})");
	is(finish($site, $id{hang}), 'cancelled|unknown', 'cancelled in flight');
	poll_value($node, 'fleet',
		"SELECT waits_for FROM power_action.activity WHERE event_id = $id{locked}",
		'lock');
	$locker->query_safe('ROLLBACK');
	$locker->quit;
	is(finish($site, $id{locked}), 'success|confirmed', 'after a lock');
	is( value($site, qq{
		SELECT string_agg(DISTINCT c.status || ' ' || c.status_source || ' ' || i.status, ',')
		FROM power_action.cluster c JOIN power_action.instance i USING (cluster_id)
		WHERE cluster_id IN ('$round-plain', '$round-retry', '$round-locked')}),
		'stopped agent stopped',
		'inventory is written as ever');
	is(finish($site, request($site, 'refresh', "$round-hang")),
		'success|confirmed', 'and the rest can be asked for');
	is(worker_pid($node, 'fleet'), $worker, 'all by the same worker');
	is(log_count($node, qr/hostile object|power_action worker: /, $offset),
		0, 'nothing hostile was used');
	finish_all($site);
	ok_checked($site);
	return;
}

ok_round('default');

my %levels = (
	owner => 'ROLE regress_owner',
	database => 'DATABASE fleet',
	both => 'ROLE regress_owner IN DATABASE fleet');

for my $round (sort keys %levels)
{
	my $level = $levels{$round};

	# a search path is a list of names, anything else is one text
	$node->safe_psql('postgres',
		"ALTER $level SET $_ = "
		  . ($_ eq 'search_path' ? $settings{$_} : "'$settings{$_}'"))
	  for sort keys %settings;
	is(setting('regress_owner', 'default_transaction_isolation'),
		'serializable', "$level: sessions have the settings");
	ok_round($round);
	$node->safe_psql('postgres', "ALTER $level RESET ALL");
}

# The whole server, where a running worker is told, too.
my @system = grep { !/^(?:session_replication_role|exit_on_error)$/ } sort keys %settings;
$node->append_conf('postgresql.conf', "$_ = '$settings{$_}'") for @system;
$node->reload;
poll_value($node, 'postgres',
	q{SELECT reset_val FROM pg_settings WHERE lower(name) = 'timezone'},
	'Asia/Kathmandu');
is(setting('regress_owner', 'default_transaction_isolation'),
	'serializable', 'server: sessions have the settings');
my $early = request($site, 'power_on', 'default-plain');
is(finish($site, $early), 'success|confirmed', 'a worker that is told of them');
ok_round('server');

done_testing();
