# test/t/014_worker.pl
#
# The process of a worker, at work: it ends promptly whatever it does, an
# error is not its end, and what users attach to our tables cannot make it
# more than the extension's owner.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use PowerActionTest;

my $node = new_node('main');
my $agent = start_agent(undef);

# A database with the extension, its owner and a few clusters.
sub new_database
{
	my ($database, $owner, $target) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database,
		"SET ROLE $owner; CREATE EXTENSION power_action");
	create_agent_server($node, $database, $target);
	$node->safe_psql(
		$database, q{
		INSERT INTO power_action.account (account_name) VALUES ('account');
		INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name)
		SELECT 'c-' || n, 'cluster ' || n, 'account' FROM generate_series(1, 9) n;
		INSERT INTO power_action.instance (cluster_id, instance_id)
		SELECT cluster_id, 'i-1' FROM power_action.cluster});
	return wait_for_worker($node, $database);
}

sub request
{
	my ($database, $cluster) = @_;

	return $node->safe_psql($database,
		"SELECT power_action.power_on('$cluster')");
}

sub outcome
{
	my ($database, $event) = @_;

	return $node->safe_psql($database,
		"SELECT status FROM power_action.wait_for($event)");
}

# A trigger function in the worker's way, for events that get an end.
sub set_function
{
	my ($database, $body) = @_;

	$node->safe_psql(
		$database, qq{
		CREATE OR REPLACE FUNCTION public.in_the_way() RETURNS trigger
		LANGUAGE plpgsql AS \$\$ BEGIN $body RETURN NEW; END \$\$});
	return;
}

sub attach_trigger
{
	my ($database, $body) = @_;

	set_function($database, $body);
	$node->safe_psql(
		$database, q{
		CREATE TRIGGER in_the_way BEFORE UPDATE ON power_action.event
		FOR EACH ROW EXECUTE FUNCTION public.in_the_way()});
	return;
}

sub detach_trigger
{
	my ($database) = @_;

	$node->safe_psql($database, 'DROP TRIGGER in_the_way ON power_action.event');
	return;
}

sub wait_for_sleep
{
	my ($pid) = @_;

	poll_value($node, 'postgres',
		"SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = $pid");
	return;
}

sub courier_of
{
	my ($pid) = @_;

	return wait_until(
		'the worker has a courier',
		sub {
			my $courier = $node->safe_psql('work',
				"SELECT courier_pid FROM power_action.worker_status WHERE pid = $pid"
			);
			return $courier eq '' || $courier eq '0' ? undef : $courier;
		});
}

$node->safe_psql('postgres', 'CREATE ROLE regress_owner SUPERUSER');
my $pid = new_database('work', 'regress_owner', $agent);
is(outcome('work', request('work', 'c-1')), 'success', 'an action succeeds');

# A trigger runs as the extension's owner; what it sets is set back, and it
# cannot become somebody else.
$node->safe_psql('work',
	'CREATE TABLE public.seen (place serial, who name, path text, role text)');
attach_trigger(
	'work', q{
	INSERT INTO public.seen (who, path, role)
	VALUES (current_user, current_setting('search_path'),
			current_setting('role'));
	PERFORM set_config('search_path', 'public', false);
	BEGIN
		SET ROLE regress_owner;
	EXCEPTION WHEN insufficient_privilege THEN
		INSERT INTO public.seen (who) VALUES ('no role');
	END;
	BEGIN
		CREATE TEMP TABLE escape ();
	EXCEPTION WHEN insufficient_privilege THEN
		INSERT INTO public.seen (who) VALUES ('no table');
	END;
});
outcome('work', request('work', $_)) for qw(c-1 c-2);
is( $node->safe_psql(
		'work', q{SELECT DISTINCT who, path, role FROM public.seen ORDER BY 1}),
	"no role||\nno table||\nregress_owner|pg_catalog, pg_temp|none",
	'triggers are confined');
detach_trigger('work');

# Ended in the middle of a statement: nothing is lost.
attach_trigger('work', 'PERFORM pg_sleep(3600);');
my $event = request('work', 'c-3');
wait_for_sleep($pid);
my $courier = courier_of($pid);
my $start = time;
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
$pid = wait_for_worker($node, 'work', $pid);
cmp_ok(time - $start, '<', 5, 'terminated in the middle of a statement');
ok(!kill(0, $courier), 'its courier has gone with it');

# In the middle of a statement again: whoever wants the database gets it.
wait_for_sleep($pid);
my $offset = -s $node->logfile;
$start = time;
$node->safe_psql('postgres', 'ALTER DATABASE work RENAME TO renamed');
$node->safe_psql('postgres', 'ALTER DATABASE renamed RENAME TO work');
cmp_ok(time - $start, '<', 4, 'it makes room in the middle of a statement');
is(log_count($node, qr/(?:WARNING|ERROR|FATAL):/, $offset),
	0, 'and does so quietly');
$pid = wait_for_worker($node, 'work', $pid);

# Even if somebody's code does not let itself be cancelled.
set_function(
	'work', q{
	LOOP
		BEGIN
			PERFORM pg_sleep(3600);
		EXCEPTION WHEN query_canceled THEN
		END;
	END LOOP;
});
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
$pid = wait_for_worker($node, 'work', $pid);
wait_for_sleep($pid);
$start = time;
$node->safe_psql('postgres', 'ALTER DATABASE work RENAME TO renamed');
$node->safe_psql('postgres', 'ALTER DATABASE renamed RENAME TO work');
cmp_ok(time - $start, '<', 4, 'it makes room even if it cannot be cancelled');
$pid = wait_for_worker($node, 'work', $pid);
set_function('work', 'PERFORM pg_sleep(3600);');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
$pid = wait_for_worker($node, 'work', $pid);

# A fast stop does not wait for it, either.
wait_for_sleep($pid);
$start = time;
$node->stop('fast');
cmp_ok(time - $start, '<', 10, 'nor does a fast stop wait');
$node->start;

# The trigger's lock is in the way of its own removal, and so is the worker.
$pid = wait_for_worker($node, 'work');
wait_for_sleep($pid);
my $session = $node->background_psql('work');
$session->query_until(qr/started/,
	"\\echo started\nDROP TRIGGER in_the_way ON power_action.event;\n");
poll_value($node, 'postgres', "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted");
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
$session->query_safe('SELECT 1');
$session->quit;
is(worker_pid($node, 'work'), $pid, 'a statement cancelled is not its end');
is(outcome('work', $event), 'success', 'and nothing was lost');

# An error that lasts: said once, tried again, over when its cause is.
$offset = -s $node->logfile;
$node->safe_psql('work', 'ALTER TABLE power_action.job RENAME TO hidden');
$node->safe_psql('work', "SELECT pg_terminate_backend($pid)");
$node->wait_for_log(qr/WARNING: .*power_action worker: relation .* does not exist/,
	$offset);
poll_value($node, 'postgres', q{
	SELECT query ~ '^failed [3-9] times, next attempt in [0-9]+ ms'
	FROM pg_stat_activity
	WHERE backend_type = 'power_action worker' AND datname = 'work'});
is(log_count($node, qr/WARNING: .*power_action worker: /, $offset),
	1, 'an error in a row is logged once');
$node->safe_psql('work', 'ALTER TABLE power_action.hidden RENAME TO job');
$node->wait_for_log(qr/power_action worker works again after \d+ errors/,
	$offset);
is(outcome('work', request('work', 'c-4')),
	'success', 'it works when the cause is gone');

# A table that somebody has locked: told when it lasts.  What does not is in
# 010_launcher.
$offset = -s $node->logfile;
$session = $node->background_psql('work');
$session->query_safe('BEGIN');
$session->query_safe('LOCK TABLE power_action.cancellation, power_action.job');
poll_value($node, 'postgres', q{
	SELECT query ~ '^failed [4-9] times'
	FROM pg_stat_activity
	WHERE backend_type = 'power_action worker' AND datname = 'work'});
is(log_count($node, qr/WARNING: .*power_action worker: .*lock timeout/, $offset),
	1, 'a lock that lasts is logged once');
$session->query_safe('COMMIT');
$session->quit;
$node->wait_for_log(qr/power_action worker works again after \d+ errors/,
	$offset);
is(outcome('work', request('work', 'c-4')), 'success', 'it works without it');

# One of two databases fails: the other does not notice.
new_database('other', 'regress_owner', $agent);
$node->safe_psql('other', 'ALTER TABLE power_action.job RENAME TO hidden');
$pid = worker_pid($node, 'other');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
wait_for_worker($node, 'other', $pid);
is(outcome('work', request('work', 'c-5')),
	'success', 'a database is not disturbed by another');
$node->safe_psql('postgres', 'DROP DATABASE other');

# The extension goes while calls are in flight.
my $hanging = start_agent(undef, '--hang');
$node->safe_psql('work',
	"ALTER SERVER agent OPTIONS (SET target '$hanging->{target}')");
$pid = worker_pid($node, 'work');
request('work', 'c-6');
poll_value($node, 'work',
	'SELECT in_flight > 0 FROM power_action.worker_status WHERE database = current_database()');
$courier = courier_of($pid);
$start = time;
$node->safe_psql('work', 'DROP EXTENSION power_action CASCADE');
wait_for_no_worker($node, 'work');
cmp_ok(time - $start, '<', 5, 'worker leaves when its extension goes');
ok(!kill(0, $courier), 'and its courier, too');

is(log_count($node, qr/PANIC:|was terminated by signal|ended unexpectedly/),
	0, 'nothing has crashed');

$node->stop;

done_testing();
