# test/t/079_stream_faults.pl
#
# What happens to a stream with hundreds of calls on it, and to one of them
# alone: as to calls of their own, nothing is lost, done twice or held up.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PowerActionForeign;
use PowerActionSequence;
use PowerActionStream;
use PowerActionTest;

my $patient = '10min';
my $limit = 256;
my $dir = PostgreSQL::Test::Utils::tempdir('streams');
my $site = new_site('main', conf => "power_action.max_attempts = 100\n");
my $node = $site->{node};

# The orders for a crowd that the agent has given over a stream.
sub started_over_stream
{
	my ($agent, $crowd) = @_;

	return log_lines($agent, qr/"event":"start"/, qr/"stream":true/,
		qr/"cluster_id":"\Q$crowd\E-\d+"/);
}

# A value of a log line.
sub line_value
{
	my ($line, $key) = @_;

	return $line =~ /"$key":"([^"]*)"/ ? $1 : '';
}

# ----------------------------------------------------------------------
# The agent is killed with hundreds of calls, and comes back
# ----------------------------------------------------------------------

my $held = "held-* off latency=600s when=after\n";
my $killed = start_logging_agent(
	rules => "$held*-* off latency=20ms\n",
	'--initial-state', 'running', '--state', "$dir/killed");
my $count = 400;

add_server($site, 'killed', $killed,
	max_concurrent_calls => $limit, call_timeout => $patient);
add_server($site, 'beside', $killed);
add_crowd($site, 'beside', 'beside', 1);
add_crowd($site, 'killed', 'opening', 300);
add_crowd($site, 'killed', 'held', $count);
open_stream($site, 'opening', sub { return streamed($killed) });
power_crowd($site, 'power_off', 'held');
wait_until("the agent has $limit orders",
	sub { start_count($killed, 'held') >= $limit });
is(scalar started_over_stream($killed, 'held'), $limit, 'over a stream');

# What it has done for them is on disk when it answers another call.
power_crowd($site, 'power_off', 'beside');
poll_value($node, 'fleet', q{
	SELECT status FROM power_action.event WHERE cluster_name = 'beside'},
	'success');
kill_agent($killed);
poll_value($node, 'fleet', q{
	SELECT state FROM power_action.agent_status WHERE server_name = 'killed'},
	'unreachable');
poll_value($node, 'fleet', qq{
	SELECT count(*) FROM power_action.attempt}, $limit);
is(crowd_attempts($site, 'power_off', 'held'),
	"UNAVAILABLE $limit", 'killed: each of its calls is an attempt');
is( value($site, q{
	SELECT agent_result, attempts, count(*) FROM power_action.event
	WHERE cluster_name = 'held' GROUP BY 1, 2 ORDER BY 1}),
	'none|0|' . ($count - $limit) . "\nunknown|1|$limit",
	'with an unknown result, and the others have none');
set_rules($killed, '');
$killed = restart_agent($killed);
finish_all($site);
is(crowd_outcomes($site, 'power_off', 'held'),
	"success|confirmed $count", 'all are done when it is back');
is(started_twice($killed), 0, 'none was carried out twice');
is( value($site, q{
	SELECT max(attempts) FROM power_action.event WHERE cluster_name = 'held'}),
	2, 'its absence used up no attempts');
is(crowd_attempts($site, 'power_off', 'opening'),
	'', 'what was answered before knows nothing of it');

# ----------------------------------------------------------------------
# The agent ends in peace, and another one comes
# ----------------------------------------------------------------------

my $drained = start_logging_agent(
	rules => "*-* off latency=200ms when=after\n",
	'--initial-state', 'running', '--state', "$dir/drained",
	'--drain-timeout', '2min');

add_server($site, 'drained', $drained,
	max_concurrent_calls => 128, call_timeout => $patient);
add_crowd($site, 'drained', 'drained-before', 100);
add_crowd($site, 'drained', 'drained', 1000);
open_stream($site, 'drained-before', sub { return streamed($drained) });
power_crowd($site, 'power_off', 'drained');
my @under_way;
wait_until(
	'the agent has orders by a stream',
	sub {
		my %ended = map { line_value($_, 'cluster_id') => 1 }
		  log_lines($drained, qr/"event":"end"/);
		@under_way =
		  grep { !$ended{$_} }
		  map { line_value($_, 'cluster_id') }
		  started_over_stream($drained, 'drained');
		return @under_way >= 64;
	});
stop_agent($drained);
$drained = restart_agent($drained);
finish_all($site);
is(crowd_outcomes($site, 'power_off', 'drained'),
	'success|confirmed 1000', 'an agent that ends and another: all are done');
is(started_twice($drained), 0, 'none of them twice');
my $list = join ', ', map { "'$_'" } @under_way;
is( value($site, qq{
	SELECT max(attempts) FROM power_action.event WHERE cluster_id IN ($list)}),
	1, scalar(@under_way) . ' that were under way were answered before its end');

# ----------------------------------------------------------------------
# One call that hangs
# ----------------------------------------------------------------------

my $hanging = start_logging_agent(
	rules => "stuck-* off hang when=after\n"
	  . "late-* off hang when=after times=1\n"
	  . "*-* off latency=20ms\n",
	'--initial-state', 'running');

add_server($site, 'hanging', $hanging,
	max_concurrent_calls => 64, call_timeout => $patient);
add_crowd($site, 'hanging', 'before', 200);
add_crowd($site, 'hanging', 'stuck', 1);
add_crowd($site, 'hanging', 'after', 500);
open_stream($site, 'before', sub { return streamed($hanging) });
power_crowd($site, 'power_off', qw(stuck after));
poll_value($node, 'fleet', 'SELECT count(*) FROM power_action.job', 1);
is(crowd_outcomes($site, 'power_off', 'after'),
	"success|confirmed 500", 'a call that hangs holds nobody up');
is(scalar started_over_stream($hanging, 'stuck'), 1, 'it is in the stream');
my $stuck = value($site, q{
	SELECT event_id FROM power_action.event WHERE cluster_name = 'stuck'});
poll_event($site, $stuck, q{status = 'running'});
value($site, "SELECT power_action.cancel($stuck, reason => 'enough')");
is(finish($site, $stuck), 'cancelled|unknown', 'it can be cancelled');
is(event_value($site, $stuck, 'cancel_reason'), 'enough', 'for a reason');

# while the stream is in use, as its end would tell, too
wait_until(
	'the agent knows',
	sub {
		power_crowd($site, 'power_off', 'before');
		finish_all($site);
		return scalar log_lines(
			$hanging, qr/"event":"end"/, qr/"cluster_id":"stuck-1"/,
			qr/"stream":true/, qr/"status":"CANCELLED"/);
	});
pass('the agent knows that nobody waits for it');

# As the deadline is told with every call, it is that of the server now.
value($site, q{ALTER SERVER hanging OPTIONS (SET call_timeout '3s')});
add_crowd($site, 'hanging', 'late', 1);
open_stream($site, 'before', sub { return streamed($hanging) });
power_crowd($site, 'power_off', qw(late after));
finish_all($site);
is(crowd_outcomes($site, 'power_off', 'late'),
	'success|confirmed 1', 'a call that runs into its deadline is repeated');
is(crowd_attempts($site, 'power_off', 'late'),
	'DEADLINE_EXCEEDED 1', 'what happened is recorded');
is(scalar started_over_stream($hanging, 'late'), 1, 'it was in the stream');
is(crowd_attempts($site, 'power_off', $_), '', "none $_ it ran into any")
  for qw(before after);
is(scalar log_lines($hanging, qr/"event":"end"/, qr/"cluster_id":"late-1"/,
		qr/"status":"CANCELLED"/),
	1, 'the agent was told');
is(started_twice($hanging), 0, 'and carried it out once');

# ----------------------------------------------------------------------
# Another token
# ----------------------------------------------------------------------

replace_file("$dir/tokens", "first\n");
replace_file("$dir/token", "first\n");
my $guarded = start_logging_agent('--token-file', "$dir/tokens",
	'--latency', '20ms', '--initial-state', 'running');

# The courier reads it as the user of the server, which is that of the test.
add_server($site, 'guarded', $guarded,
	max_concurrent_calls => 64,
	call_timeout => $patient,
	auth_token_file => "$dir/token");
add_crowd($site, 'guarded', 'guarded-before', 100);
add_crowd($site, 'guarded', 'guarded', 300);
add_clusters($site, 'guarded', 'probe');
open_stream($site, 'guarded-before', sub { return streamed($guarded) });
power_crowd($site, 'power_off', 'guarded');
finish_all($site);
is(crowd_outcomes($site, 'power_off', 'guarded'),
	'success|confirmed 300', 'with a token');
is(streamed($guarded, 'guarded'), 300, 'over a stream');

# The stream is there still.
replace_file("$dir/tokens", "second\n");
power_crowd($site, 'power_on', 'guarded');
finish_all($site);
is(crowd_outcomes($site, 'power_on', 'guarded'),
	'failed|refused|agent|UNAUTHENTICATED 300',
	'a token that is not valid any more is of no use in a stream either');
is(scalar log_lines($guarded, qr/"status":"UNAUTHENTICATED"/, qr/"stream":true/),
	300, 'which goes on');

replace_file("$dir/token", "second\n");
wait_until(
	'the new token is used',
	sub {
		return finish($site, request($site, 'power_on', 'probe')) eq
		  'success|confirmed';
	});
open_stream($site, 'guarded-before', sub { return streamed($guarded) });
power_crowd($site, 'refresh', 'guarded');
finish_all($site);
is(crowd_outcomes($site, 'refresh', 'guarded'),
	'success|confirmed 300', 'with the new one it goes on');
is(scalar log_lines(
		$guarded, qr/"method":"GetClusterPowerState"/, qr/"stream":true/,
		qr/"status":"OK"/),
	300, 'over a stream');

# ----------------------------------------------------------------------

is(value($site, 'SELECT courier_starts, errors FROM power_action.worker_status'),
	'1|0', 'one courier, and no errors');
ok_checked($site);

done_testing();
