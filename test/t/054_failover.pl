# test/t/054_failover.pl
#
# A standby is promoted while the queue is full.  Nothing runs on it before,
# everything after; the old primary, which still runs, is refused by the
# agent, and stops instead of failing its events.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PowerActionSequence;
use PowerActionTest;

my $herd = 300;
my $primary = new_node(
	'primary',
	streaming => 1,
	conf => "power_action.initial_backoff = 10ms\n"
	  . "power_action.max_backoff = 100ms\n"
	  . "power_action.confirm_interval = 50ms\n");
my $old = { node => $primary, database => 'fleet' };
$primary->safe_psql('postgres', 'CREATE DATABASE fleet');
create_extension($primary, 'fleet');
my $agent = start_logging_agent(
	rules => "held hang times=1\n",
	qw(--initial-state running));
my $other = start_logging_agent(qw(--initial-state running));
create_agent_server($primary, 'fleet', $agent);
create_agent_server($primary, 'fleet', $other, name => 'other');
add_account($old, 'prod', 'agent');
add_account($old, 'other', 'other');
add_clusters($old, 'prod', 'both', 'held', 'mine', map { "c-$_" } 1 .. $herd);
add_clusters($old, 'other', 'elsewhere', map { "x-$_" } 1 .. 100);

$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;
my $new = { node => $standby, database => 'fleet' };

# The clusters are in use: the agent knows the order of the primary.
is(finish($old, request($old, 'power_off', 'both')),
	'success|confirmed', 'the primary works');

# ----------------------------------------------------------------------
# A full queue, and one call in flight
# ----------------------------------------------------------------------

my $in_flight = request($old, 'power_off', 'held');
poll_event($old, $in_flight, q{status = 'running'});
set_conf($old, 'power_action.enabled', 'off');
my @queue = request_many($old, 'power_off', [ map { "c-$_" } 1 .. $herd ]);
my $both = request($old, 'power_on', 'both');
$primary->wait_for_catchup($standby);

is( $standby->safe_psql('fleet',
		'SELECT count(*) FROM power_action.job'),
	$herd + 2,
	'the standby has the whole queue');
is( $standby->safe_psql(
		'postgres', q{
	SELECT count(*) FROM pg_stat_activity
	WHERE backend_type LIKE 'power_action%'}),
	'0',
	'and nobody to work on it');
my ($code, $stdout, $stderr) =
  $standby->psql('fleet', q{SELECT power_action.power_on('both')});
like($stderr, qr/ERROR: .*read-only|recovery/, 'no request is possible on it');
is( $standby->safe_psql('fleet',
		'SELECT DISTINCT waits_for FROM power_action.activity'),
	'worker',
	'activity says what the queue waits for');
is(scalar(grep { $_->{cluster_id} =~ /^c-/ } all_agent_lines($agent)),
	0, 'nothing of it was sent');

# What the standby will never hear of: the old primary goes on by itself.
# It has a slot of its own for the connection that is cut here.
$standby->stop;
$standby->append_conf('postgresql.conf', "primary_conninfo = ''");
$standby->start;
my $lost = request($old, 'power_off', 'mine');
is($standby->safe_psql('fleet', "SELECT count(*) FROM power_action.event WHERE event_id = $lost"),
	0, 'a request that was not replicated');

# Others that were not, but were done.
value($old, q{ALTER SERVER agent OPTIONS (SET target 'unix:/nonexistent/agent')});
poll_value($primary, 'fleet',
	q{SELECT state FROM power_action.agent_status WHERE server_name = 'agent'},
	'unreachable');
set_conf($old, 'power_action.enabled', undef);
my @lost = request_many($old, 'power_off', [ map { "x-$_" } 1 .. 100 ]);
is(finish($old, $_), 'success|confirmed', "$_ was done") for $lost[0], $lost[99];

$standby->promote;
wait_for_worker($standby, 'fleet');
value($new, 'ALTER SYSTEM RESET power_action.enabled');
value($new, 'SELECT pg_reload_conf()');
finish_all($new);
is( value($new, q{
	SELECT status, agent_result, count(*) FROM power_action.event
	WHERE cluster_id LIKE 'c-%' GROUP BY 1, 2}),
	"success|confirmed|$herd",
	'after its promotion the standby does all of it');
is(outcome($new, $in_flight), 'success|confirmed', 'and what was in flight');
is(outcome($new, $both), 'success|confirmed', 'and the rest');
my @timelines = map { $_->{order}[0] }
  grep { $_->{cluster_id} eq 'c-1' } all_agent_lines($agent);
is_deeply(\@timelines, [ 2, 2 ], 'on a new timeline');
ok_consistent($new, 'no contradictions on the new primary');

# ----------------------------------------------------------------------
# The old primary
# ----------------------------------------------------------------------

# It was in flight there, too; ends that call, so that it is sent again.
is(outcome($old, $in_flight), 'running|none',
	'the old primary still waits for its call');
my $offset = -s $primary->logfile;
value($old, "ALTER SERVER agent OPTIONS (SET target '$agent->{target}')");
poll_value($primary, 'fleet',
	q{SELECT state FROM power_action.agent_status WHERE server_name = 'agent'},
	'stopped');
pass('the agent refuses its orders, and its server is stopped');
like(
	value($old, q{SELECT last_error FROM power_action.agent_status WHERE server_name = 'agent'}),
	qr/^stale order/, 'agent_status says why');
$primary->wait_for_log(
	qr/WARNING: .*sends nothing more to agent "agent": it refused an order as stale\n.*DETAIL: .*stale order.*\n.*HINT:/,
	$offset);
is(log_count($primary, qr/it refused an order as stale/, $offset),
	1, 'the alarm is given once');
is( value($old, q{SELECT state FROM power_action.agent_status WHERE server_name = 'other'}),
	'ready',
	'another agent is not stopped');
is(finish($old, request($old, 'power_off', 'elsewhere')),
	'success|confirmed', 'and works on');
is( value($old, q{
	SELECT count(*) FROM power_action.event
	WHERE status IN ('failed', 'cancelled')}),
	0,
	'no event of the old primary fails');
is( value($old, q{
	SELECT DISTINCT waits_for FROM power_action.activity
	WHERE cluster_name LIKE 'the c-%'}),
	'agent',
	'they wait');
my %acted;
$acted{ $_->{request_id} }++
  for grep { $_->{event} eq 'start' } all_agent_lines($agent);
is_deeply([ grep { $acted{$_} > 1 } sort keys %acted ],
	[], 'nothing was done twice');
my %last;
for my $line (grep { $_->{event} eq 'start' } all_agent_lines($agent))
{
	fail("order of the old timeline for $line->{cluster_id} after the new one")
	  if $line->{order}[0] < ($last{ $line->{cluster_id} } // 0);
	$last{ $line->{cluster_id} } = $line->{order}[0];
}
is((grep { $_->{cluster_id} eq 'both' && $_->{event} eq 'start' }
		all_agent_lines($agent))[-1]{method},
	'PowerOnCluster', 'what the new primary ordered stands');

# Another server is altered: that is no reason to begin again.
sub stopped_since
{
	return value($old, q{
		SELECT state, since FROM power_action.agent_status
		WHERE server_name = 'agent'});
}
my $since = stopped_since();
value($old, q{ALTER SERVER other OPTIONS (SET target 'unix:/nonexistent/agent')});
poll_value($primary, 'fleet',
	q{SELECT state FROM power_action.agent_status WHERE server_name = 'other'},
	'unreachable');
is(stopped_since(), $since, 'it stays stopped when another server is altered');

# Its own definition is written again, with the same values.  One call hangs
# all the time.
value($old, "ALTER SERVER agent OPTIONS (SET target '$agent->{target}')");
poll_value($primary, 'fleet', qq{
	SELECT state = 'stopped' AND concat_ws('|', state, since) <> '$since'
		AND in_flight <= 1
	FROM power_action.agent_status WHERE server_name = 'agent'});
is(log_count($primary, qr/it refused an order as stale/, $offset),
	2, 'ALTER SERVER makes it try again, and the alarm is given again');
value($old, "ALTER SERVER other OPTIONS (SET target '$other->{target}')");

# It does not begin again by itself.
my $worker = worker_pid($primary, 'fleet');
my $before = () = all_agent_lines($agent);
value($old, 'SELECT power_action.cancel(' . $queue[0] . ')');
like(finish($old, $queue[0]), qr/^cancelled\|/, 'a waiting one can be cancelled');
is(scalar(my @now = all_agent_lines($agent)), $before, 'nothing is sent any more');
ok_consistent($old, 'no contradictions on the old primary');

# ----------------------------------------------------------------------
# Requests that were not replicated have left their ids behind
# ----------------------------------------------------------------------

# Ids of the new primary that the old one has used, too, for other requests.
my %used = map { $_ => 1 } @lost;
my @again = request_many($new, 'power_off', [ reverse map { "x-$_" } 1 .. 100 ]);
ok((grep { $used{$_} } @again) > 50, 'the same ids stand for other requests');
finish_all($new);
is( value($new, q{
	SELECT status, agent_result, count(*) FROM power_action.event
	WHERE cluster_id LIKE 'x-%' GROUP BY 1, 2}),
	'success|confirmed|100',
	'which are done all the same');
is( scalar(grep { $_->{cluster_id} =~ /^x-/ && $_->{event} eq 'start' }
		  all_agent_lines($other)),
	200,
	'by the agent, and not taken for repetitions');
ok_consistent($new, 'no contradictions on the new primary');

done_testing();
