# test/t/053_drop_in_flight.pl
#
# What is dropped, deleted or changed while calls for it are in flight: the
# extension, the database, the server, the cluster, the account.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PowerActionSequence;
use PowerActionTest;

my $site = new_site(
	'main',
	conf => "power_action.max_attempts = 20\n",
	agent => [qw(--initial-state running)],
	rules => <<'RULES');
hang-*   off hang
busy-*   off status=UNAVAILABLE message="try later"
RULES
my $node = $site->{node};
my $agent = $site->{agent};
my $other_agent = start_logging_agent(qw(--initial-state running));

add_clusters($site, 'prod',
	qw(plain hang-1 busy-1 server renamed moved deleted changed moving account));

sub courier_pid
{
	my ($place) = @_;
	my $query = q{SELECT courier_pid FROM power_action.worker_status
		WHERE database = current_database()};

	poll_value($node, $place->{database}, "SELECT ($query) > 0");
	return value($place, $query);
}

# Alive, and not merely waiting to be reaped by whoever became its parent.
sub lives
{
	my ($pid) = @_;

	return (eval { slurp_file("/proc/$pid/stat") } // '') =~ /\) [^Z]/;
}

# An action whose call is in flight.
sub in_flight
{
	my ($place, $cluster) = @_;
	my $id = request($place, 'power_off', $cluster);

	poll_event($place, $id, q{status = 'running'});
	return $id;
}

# The same with an agent that answers only when it is let go.
sub held
{
	my ($cluster) = @_;

	poll_value($node, 'fleet',
		q{SELECT state FROM power_action.agent_status WHERE server_name = 'agent'},
		'ready');
	freeze_process($agent->{pid});
	return in_flight($site, $cluster);
}

sub let_go
{
	kill 'CONT', $agent->{pid};
	return;
}

# How often the agent acted for a cluster.
sub acted
{
	my ($which, $cluster) = @_;

	return scalar grep { $_->{cluster_id} eq $cluster && $_->{event} eq 'start' }
	  all_agent_lines($which);
}

# ----------------------------------------------------------------------
# The server
# ----------------------------------------------------------------------

my $id = held('server');
value($site, 'DROP SERVER agent');
let_go();
is(finish($site, $id), 'success|confirmed',
	'DROP SERVER: a call in flight is brought to its end');
is(event_value($site, $id, 'attempts'), 1, 'it was not sent again');
create_agent_server($node, 'fleet', $agent);
is(finish($site, request($site, 'power_on', 'server')),
	'success|confirmed', 'the same name again: works');

$id = held('renamed');
value($site, 'ALTER SERVER agent RENAME TO other');
let_go();
is(finish($site, $id), 'success|confirmed', 'RENAME: brought to its end');
value($site, 'ALTER SERVER other RENAME TO agent');

$id = held('moved');
value($site, "ALTER SERVER agent OPTIONS (SET target '$other_agent->{target}')");
my $next = request($site, 'power_on', 'moved');
let_go();
is(finish($site, $id), 'success|confirmed',
	'ALTER SERVER: brought to its end by the old agent');
is(finish($site, $next), 'success|confirmed', 'the next goes to the new one');
is(acted($agent, 'moved') . acted($other_agent, 'moved'),
	'11', 'each acted once');
value($site, "ALTER SERVER agent OPTIONS (SET target '$agent->{target}')");

# A call that never ends, of a server that is gone: cancelled as ever.
$id = in_flight($site, 'hang-1');
value($site, 'DROP SERVER agent');
value($site, "SELECT power_action.cancel($id)");
is(finish($site, $id), 'cancelled|unknown', 'DROP SERVER: cancel works');
create_agent_server($node, 'fleet', $agent);

# What waits for another attempt waits for the server.
set_conf($site, "power_action.$_", '1h') for qw(max_backoff initial_backoff);
$id = in_flight($site, 'busy-1');
poll_value($node, 'fleet',
	"SELECT waits_for FROM power_action.activity WHERE event_id = $id",
	'retry');
value($site, 'DROP SERVER agent');
value($site, "SELECT power_action.cancel($id)");
is(finish($site, $id), 'cancelled|unknown', 'DROP SERVER in backoff: cancel works');
create_agent_server($node, 'fleet', $agent);
set_conf($site, "power_action.$_", undef) for qw(max_backoff initial_backoff);

# ----------------------------------------------------------------------
# Clusters and accounts
# ----------------------------------------------------------------------

$id = held('deleted');
value($site, q{DELETE FROM power_action.cluster WHERE cluster_id = 'deleted'});
let_go();
is(finish($site, $id), 'success|confirmed', 'cluster deleted in mid-flight');
is(value($site, q{SELECT count(*) FROM power_action.cluster WHERE cluster_id = 'deleted'}),
	0, 'it does not come back');

$id = held('changed');
value($site, q{
	DELETE FROM power_action.instance
	WHERE cluster_id = 'changed' AND instance_id = 'i-1';
	INSERT INTO power_action.instance (cluster_id, instance_id)
	VALUES ('changed', 'i-3')});
let_go();
is(finish($site, $id), 'success|confirmed', 'instances changed in mid-flight');
is( value($site, q{
	SELECT instance_id, status FROM power_action.instance
	WHERE cluster_id = 'changed' ORDER BY 1}),
	"i-2|stopped\ni-3|unknown",
	'only what was ordered is written, if it is still there');

$id = held('moving');
value($site, q{
	UPDATE power_action.cluster SET cluster_id = 'other'
	WHERE cluster_id = 'moving'});
let_go();
is(finish($site, $id), 'success|confirmed', 'cluster renamed in mid-flight');
is( value($site, q{
	SELECT c.status, i.status FROM power_action.cluster c
	JOIN power_action.instance i USING (cluster_id)
	WHERE cluster_id = 'other' GROUP BY 1, 2}),
	'unknown|unknown',
	'under its new id nothing is known of it');

$id = held('account');
$next = request($site, 'power_on', 'account');
value($site, q{
	DELETE FROM power_action.cluster;
	DELETE FROM power_action.account WHERE account_name = 'prod'});
let_go();
is(finish($site, $id), 'success|confirmed', 'account deleted in mid-flight');
is(finish($site, $next), 'failed|none|request|NOT_FOUND', 'what waited behind fails');
finish_all($site);
ok_consistent($site);

# ----------------------------------------------------------------------
# The database
# ----------------------------------------------------------------------

add_account($site, 'prod', 'agent', '4711');
add_clusters($site, 'prod', 'plain', map { "hang-$_" } 2 .. 5);
my $second = { %$site, database => 'second' };
$node->safe_psql('postgres', 'CREATE DATABASE second');
create_extension($node, 'second');
create_agent_server($node, 'second', $agent);
add_account($second, 'prod', 'agent');
add_clusters($second, 'prod', 'hang-second', map { "waiting-$_" } 1 .. 10);
value($second, q{ALTER SERVER agent OPTIONS (ADD max_concurrent_calls '1')});
in_flight($second, 'hang-second');
request_many($second, 'power_off', [ map { "waiting-$_" } 1 .. 10 ]);

my $courier = courier_pid($second);
my $worker = worker_pid($node, 'fleet');
my $offset = -s $node->logfile;
$node->safe_psql('postgres', 'DROP DATABASE second');
pass('DROP DATABASE with a call in flight');
wait_until('its courier has ended', sub { !lives($courier) });
is((agent_lines($agent, 'hang-second', 'end', 1))[0]->{status},
	'CANCELLED', 'the agent is told that nobody waits any more');
is(finish($site, request($site, 'power_off', 'plain')),
	'success|confirmed', 'another database goes on');
is(worker_pid($node, 'fleet'), $worker, 'with its worker');
is(scalar(grep { $_->{cluster_id} =~ /^waiting-/ } all_agent_lines($agent)),
	0, 'what was still to be sent never was');
is(log_count($node, qr/(?:WARNING|ERROR|FATAL|PANIC):/, $offset),
	0, 'all of it quietly');

# What follows takes the events away that the agent's log tells of.
ok_checked($site);

# ----------------------------------------------------------------------
# The extension
# ----------------------------------------------------------------------

my @hanging = map { in_flight($site, "hang-$_") } 2 .. 4;
$courier = courier_pid($site);
my $highest = value($site, 'SELECT max(event_id) FROM power_action.event');
value($site, 'DROP EXTENSION power_action CASCADE');
wait_for_no_worker($node, 'fleet');
wait_until('its courier has ended', sub { !lives($courier) });
is((agent_lines($agent, "hang-$_", 'end', 1))[0]->{status},
	'CANCELLED', "DROP EXTENSION: call $_ is cancelled") for 2 .. 4;

# Made again: another queue, whose ids begin anew; the agent is the same.
create_extension($node, 'fleet');
create_agent_server($node, 'fleet', $agent);
add_account($site, 'prod', 'agent');
add_clusters($site, 'prod', qw(plain fresh));
is(value($site, 'SELECT count(*) FROM power_action.event'), 0, 'it begins anew');
for my $action (qw(power_on power_off))
{
	my $before = acted($agent, 'plain');

	is(finish($site, request($site, $action, 'plain')),
		'success|confirmed', "$action after CREATE EXTENSION");
	is(acted($agent, 'plain'), $before + 1, 'and the agent did it');
}

# Dropped and made again in one transaction, in mid-flight.
add_clusters($site, 'prod', 'hang-5');
in_flight($site, 'hang-5');
$worker = worker_pid($node, 'fleet');
$courier = courier_pid($site);
value(
	$site, qq{
	BEGIN;
	DROP EXTENSION power_action CASCADE;
	CREATE EXTENSION power_action;
	CREATE SERVER agent FOREIGN DATA WRAPPER power_agent OPTIONS (target '$agent->{target}');
	COMMIT});
wait_for_worker($node, 'fleet', $worker);
wait_until('the first courier has ended', sub { !lives($courier) });
add_account($site, 'prod', 'agent');
add_clusters($site, 'prod', 'plain');
is(finish($site, request($site, 'power_on', 'plain')),
	'success|confirmed', 'DROP and CREATE in one transaction');
finish_all($site);
ok_consistent($site);

is(log_count($node, qr/PANIC:|was terminated by signal|ended unexpectedly/),
	0, 'nothing has crashed');

done_testing();
