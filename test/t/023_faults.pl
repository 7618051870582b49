# test/t/023_faults.pl
#
# What breaks in the middle of the work: courier, agent, server.  Nothing that
# was committed is lost, and nothing is done twice where the agent remembers.

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
	agent => [qw(--initial-state running --latency 20ms)],
	options => { max_concurrent_calls => 16 });
my $node = $site->{node};
my $agent = $site->{agent};
my $herd = 1000;

value(
	$site, qq{
	INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name)
	SELECT 'c-' || n, 'c-' || n, 'prod' FROM generate_series(1, $herd) n;
	INSERT INTO power_action.instance (cluster_id, instance_id)
	SELECT 'c-' || n, 'i-1' FROM generate_series(1, $herd) n});

# Requests an action for all of the herd and returns in the middle of it:
# some are done, most are not.
sub start_herd
{
	my ($action) = @_;
	my $watcher = $node->background_psql('fleet');
	my $left;

	$watcher->query_safe(
		"SELECT count(*) FROM power_action.$action(ARRAY(SELECT cluster_id FROM power_action.cluster WHERE cluster_id LIKE 'c-%'))"
	);
	wait_until(
		'some are done',
		sub {
			$left =
			  $watcher->query_safe('SELECT count(*) FROM power_action.job');
			return $left <= $herd - 100;
		});
	ok($left >= 100, "$action: in the middle of it, $left are left");

	# no time for a farewell
	$watcher->{run}->signal('KILL');
	eval { $watcher->{run}->finish };
	return;
}

# All of the newest herd are done, and all clusters are as they should be.
sub ok_herd
{
	my ($action, $status, $name) = @_;

	finish_all($site);
	is( value($site, qq{
		SELECT status, agent_result, count(*)
		FROM (SELECT * FROM power_action.event WHERE cluster_id LIKE 'c-%'
			  ORDER BY event_id DESC LIMIT $herd) e
		WHERE action = '$action' GROUP BY 1, 2}),
		"success|confirmed|$herd",
		"$name: none is lost");
	is( value($site, qq{
		SELECT status, count(*) FROM power_action.cluster
		WHERE cluster_id LIKE 'c-%' GROUP BY 1}),
		"$status|$herd",
		'and all clusters are known to be what they are');
	ok_consistent($site);
	return;
}

# How often the agent has acted for those requests that it acted for more than
# once: the request id tells what is the same.
sub acted_twice
{
	my %starts;

	# too many lines to parse them all
	$starts{$_}++
	  for slurp_file($agent->{calls}) =~
	  /"event":"start".*?"request_id":"([^"]*)"/g;
	return scalar grep { $_ > 1 } values %starts;
}

sub courier_pid
{
	return value($site, 'SELECT courier_pid FROM power_action.worker_status');
}

# ----------------------------------------------------------------------
# The courier is killed
# ----------------------------------------------------------------------

poll_value($node, 'fleet',
	'SELECT courier_pid > 0 FROM power_action.worker_status');
my $courier = courier_pid();
my $worker = worker_pid($node, 'fleet');
start_herd('power_off');
ok(kill('KILL', $courier), 'courier is killed');
ok_herd('power_off', 'stopped', 'courier killed');
isnt(courier_pid(), $courier, 'there is another courier');
is(worker_pid($node, 'fleet'), $worker, 'the worker has lived on');
is(value($site, 'SELECT courier_starts FROM power_action.worker_status'),
	2, 'and has started one');
is(acted_twice(), 0, 'no order was given twice: the agent remembers');
like(value($site, 'SELECT DISTINCT status_code FROM power_action.attempt'),
	qr/^UNAVAILABLE$/, 'the calls that were lost are attempts');

# ----------------------------------------------------------------------
# The courier aborts, as gRPC does when it does not understand itself
# ----------------------------------------------------------------------

# For the server an abort in a process of its own would be a crash of all.
my $offset = -s $node->logfile;
my $started = value($site, 'SELECT pg_postmaster_start_time()');
my $bystander = $node->background_psql('fleet');
$courier = courier_pid();
start_herd('power_on');
ok(kill('ABRT', $courier), 'courier aborts');
ok_herd('power_on', 'running', 'courier aborted');
isnt(courier_pid(), $courier, 'there is another courier');
is(worker_pid($node, 'fleet'), $worker, 'the worker has lived on');
is($bystander->query_safe('SELECT pg_postmaster_start_time()'),
	$started, 'so have sessions');
$bystander->quit;
is( log_count($node,
		qr/LOG:  power_action courier was terminated by signal 6: Aborted/,
		$offset),
	1,
	'the log tells of it');
is(log_count($node, qr/all server processes terminated/, $offset),
	0, 'and of nothing else');
is(acted_twice(), 0, 'no order was given twice: calls went again as they were');

# ----------------------------------------------------------------------
# The agent is killed, and comes back
# ----------------------------------------------------------------------

start_herd('power_off');
kill_agent($agent);
poll_value(
	$node, 'fleet', q{
	SELECT state FROM power_action.agent_status WHERE server_name = 'agent'},
	'unreachable');
poll_value($node, 'fleet',
	q{SELECT bool_and(waits_for = 'agent') FROM power_action.activity});
$courier = courier_pid();
$agent = restart_agent($agent);
ok_herd('power_off', 'stopped', 'agent killed and started again');
is(value($site, q{SELECT state FROM power_action.agent_status}),
	'ready', 'agent is ready again');
is(courier_pid(), $courier, 'the courier has stayed');
cmp_ok(value($site, 'SELECT max(attempts) FROM power_action.event'),
	'<=', 3, 'its absence used up no attempts');

# ----------------------------------------------------------------------
# The agent is absent from the start
# ----------------------------------------------------------------------

stop_agent($agent);
poll_value($node, 'fleet', 'SELECT state FROM power_action.agent_status',
	'unreachable');
my $id = request($site, 'power_off', 'c-1');
poll_value($node, 'fleet', 'SELECT waits_for FROM power_action.activity',
	'agent');
is(value($site, 'SELECT waiting, in_flight, last_error <> $$$$ FROM power_action.agent_status'),
	'1|0|t', 'agent_status tells of the job, and why it waits');
is(event_value($site, $id, 'status, attempts, started_at'),
	'pending|0|', 'no attempt is made');
$agent = restart_agent($agent);
is(finish($site, $id), 'success|confirmed', 'done when the agent is there');
is(event_value($site, $id, 'attempts'), 1, 'at the first attempt');
is(value($site, "SELECT count(*) FROM power_action.attempt WHERE event_id = $id"),
	0, 'nothing failed');
ok_consistent($site);

# One that never comes back is given up.
stop_agent($agent);
poll_value($node, 'fleet', 'SELECT state FROM power_action.agent_status',
	'unreachable');
set_conf($site, 'power_action.give_up_after', '1s');
$id = request($site, 'power_on', 'c-1');
is(finish($site, $id), 'failed|none|transport|UNAVAILABLE',
	'given up after a while');
like(event_value($site, $id, 'error_message'),
	qr/^agent "agent" could not be reached for 1 s: ./, 'saying why');
set_conf($site, 'power_action.give_up_after', undef);
$agent = restart_agent($agent);

# ----------------------------------------------------------------------
# The courier is stopped
# ----------------------------------------------------------------------

value($site, q{ALTER SERVER agent OPTIONS (ADD call_timeout '200ms')});
is(finish($site, request($site, 'power_on', 'c-2')),
	'success|confirmed', 'agent is back');
$courier = courier_pid();
my $starts = value($site, 'SELECT courier_starts FROM power_action.worker_status');
ok(freeze_process($courier), 'courier is stopped');
$id = request($site, 'power_off', 'c-2');
is(finish($site, $id), 'success|confirmed', 'done all the same');
is( value(
		$site,
		"SELECT attempt, status_code FROM power_action.attempt WHERE event_id = $id"
	),
	'1|UNAVAILABLE',
	'by another courier');
poll_value($node, 'fleet',
	"SELECT courier_starts = $starts + 1 FROM power_action.worker_status");
ok(!kill(0, $courier), 'the stopped one is gone');
like(slurp_file($node->logfile), qr/courier does not answer/,
	'the log tells of it');
value($site, 'ALTER SERVER agent OPTIONS (DROP call_timeout)');

# ----------------------------------------------------------------------
# The server stops at once
# ----------------------------------------------------------------------

$courier = courier_pid();
my $epoch = value($site, 'SELECT epoch FROM power_action.worker_epoch');
start_herd('power_on');
$node->stop('immediate');
wait_until('the courier has ended', sub { !kill(0, $courier) });
pass('courier ends with the server');
$node->start;
wait_for_worker($node, 'fleet');
ok_herd('power_on', 'running', 'immediate stop and restart');
is(acted_twice(), 0, 'no order was given twice');
cmp_ok(value($site, 'SELECT epoch FROM power_action.worker_epoch'),
	'>', $epoch, 'the epoch has grown');
my @epochs = slurp_file($agent->{calls}) =~ /"order":\[\d+,(\d+),\d+\]/g;
is($epochs[-1],
	value($site, 'SELECT epoch FROM power_action.worker_epoch'),
	'and is part of the order');

# A worker that is ended loses nothing either.
start_herd('power_off');
$worker = worker_pid($node, 'fleet');
ok(kill('TERM', $worker), 'worker is ended');
wait_for_worker($node, 'fleet', $worker);
ok_herd('power_off', 'stopped', 'worker ended and started again');
is(acted_twice(), 0, 'no order was given twice');

ok_checked($site);

done_testing();
