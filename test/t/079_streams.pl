# test/t/079_streams.pl
#
# Many calls to an agent over one stream: when there is one, and that nothing
# of what becomes of an action depends on it.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PowerActionSequence;
use PowerActionStream;
use PowerActionTest;

# More than enough of them, so that a deadline is not what ends a call.
my $patient = '10min';
my $site = new_site(
	'main',
	conf => "power_action.max_attempts = 3\n",
	agent => [qw(--initial-state running --latency 50ms)],
	options => { max_concurrent_calls => 64, call_timeout => $patient });
my %agents;

# A crowd that is powered off: its outcomes, and how many of its calls came
# over a stream.
sub power_off
{
	my ($agent, $crowd) = @_;

	power_crowd($site, 'power_off', $crowd);
	finish_all($site);
	return (crowd_outcomes($site, 'power_off', $crowd),
		streamed($agent, $crowd));
}

# ----------------------------------------------------------------------
# Many
# ----------------------------------------------------------------------

my $many = 500;

add_crowd($site, 'prod', 'many', $many);
my ($outcomes, $over_stream) = power_off($site->{agent}, 'many');
is($outcomes, "success|confirmed $many", "$many actions");
cmp_ok($over_stream, '>=', 100, "$over_stream calls came over a stream");
is(start_count($site->{agent}, 'many'), $many, 'each order was given');
is(started_twice($site->{agent}), 0, 'once');
is(crowd_attempts($site, 'power_off', 'many'), '', 'at the first attempt');
is( value($site, q{
	SELECT count(*), sum(attempts) FROM power_action.event
	WHERE cluster_name = 'many'}),
	"$many|$many", 'of one');

my ($line) = log_lines($site->{agent}, qr/"event":"end"/, qr/"stream":true/);
like($line, qr/"attempt":1,/, 'the agent is told the number of the attempt');

# The states are asked for in the same way.
power_crowd($site, 'refresh', 'many');
finish_all($site);
is(crowd_outcomes($site, 'refresh', 'many'),
	"success|confirmed $many", 'refresh');
cmp_ok(
	scalar log_lines(
		$site->{agent}, qr/"method":"GetClusterPowerState"/,
		qr/"stream":true/),
	'>=', 100, 'over a stream, too');

# ----------------------------------------------------------------------
# Not many, or not to be
# ----------------------------------------------------------------------

for my $case (
	[ 'few at a time', options => { max_concurrent_calls => 16 } ],
	[ 'few', crowd => 20 ],
	[ 'streaming off', options => { streaming => 'off' } ],
	[ 'round_robin', options => { load_balancing => 'round_robin' } ],
	[ 'a legacy agent', agent => ['--legacy'] ],
	[
		'an agent that limits the calls of a connection',
		agent => [ '--max-concurrent-streams', '40' ]
	])
{
	my ($name, %case) = @$case;
	my $server = $name =~ s/\W+/_/gr;
	my $count = $case{crowd} // 200;
	my $agent = $agents{$server} =
	  start_logging_agent('--initial-state', 'running', '--latency', '20ms',
		@{ $case{agent} // [] });

	add_server(
		$site, $server, $agent,
		max_concurrent_calls => 64,
		call_timeout => $patient,
		%{ $case{options} // {} });
	add_crowd($site, $server, $server, $count);
	($outcomes, $over_stream) = power_off($agent, $server);
	is($outcomes,
		($server =~ /legacy/ ? 'success|accepted' : 'success|confirmed')
		  . " $count",
		"$name: done");
	is($over_stream, 0, 'each by a call of its own');
	is(crowd_attempts($site, 'power_off', $server), '', 'at once');
}

# What the option says goes for the calls from then on.
value($site, q{ALTER SERVER streaming_off OPTIONS (SET streaming 'auto')});
value($site, q{ALTER SERVER agent OPTIONS (ADD streaming 'off')});
my $before = streamed($site->{agent});
power_crowd($site, 'power_on', 'many');
finish_all($site);
is(crowd_outcomes($site, 'power_on', 'many'),
	"success|confirmed $many", 'altered to off');
is(streamed($site->{agent}), $before, 'none over a stream any more');
open_stream($site, 'streaming_off',
	sub { return streamed($agents{streaming_off}) });
pass('altered to auto: over a stream now');

# ----------------------------------------------------------------------
# Whatever an agent answers: the same rows as by calls of their own
# ----------------------------------------------------------------------

# By crowd: the rule of its clusters.
my @rules = (
	[ 'well' => 'latency=30ms' ],
	[ 'words' => 'message="as you wish"' ],
	[ 'last' => 'partial=1' ],
	[ 'first' => 'partial=i-1 message="out of order"' ],
	[ 'none' => 'partial=2' ],
	[ 'later' => 'accept-only' ],
	[ 'error' => 'error=5 message="out of stock"' ],
	[ 'noise' => 'error=7 invalid-utf8' ],
	[ 'denied' => 'status=PERMISSION_DENIED message="not yours"' ],
	[ 'absent' => 'status=UNAVAILABLE message=busy' ],
	[ 'busy' => 'status=RESOURCE_EXHAUSTED message=full times=1' ],
	[ 'again' => 'status=ABORTED times=2' ],
	[ 'lost' => 'status=UNAVAILABLE when=after times=1' ],
	[ 'unsure' => 'status=DATA_LOSS when=after' ],
	[ 'broken' => 'garbage' ],
	[ 'large' => 'size=200kB' ],
	[ 'once' => 'size=200kB times=1' ],
	[ 'foreign' => 'foreign=3' ]);
my $each = 12;
my $rules = join '', map { "*-$_->[0]-* off $_->[1]\n" } @rules;
my %rows;

for my $way (qw(auto off))
{
	my $agent = $agents{$way} =
	  start_logging_agent(rules => $rules, '--initial-state', 'running');
	my @crowds = map { "$way-$_->[0]" } @rules;

	add_server(
		$site, "way_$way", $agent,
		streaming => $way,
		max_concurrent_calls => 64,
		max_message_size => '64kB',
		call_timeout => $patient);
	add_crowd($site, "way_$way", 'open', 200) if $way eq 'auto';
	add_crowd($site, "way_$way", $_, $each) for @crowds;
	open_stream($site, 'open', sub { return streamed($agent, 'open') })
	  if $way eq 'auto';
	power_crowd($site, 'power_off', @crowds);
	finish_all($site);
	$rows{$way} = value(
		$site, qq{
		SELECT replace(e.cluster_name, '$way-', '') AS crowd, e.action,
			   e.status, e.agent_result, e.error_source, e.error_code,
			   e.error_message, e.attempts,
			   e.instances_total, e.instances_done, e.instances_failed,
			   c.status, c.status_source, i.states, a.attempts, count(*)
		FROM power_action.event e
		JOIN power_action.cluster c USING (cluster_id)
		JOIN LATERAL (
			SELECT array_agg(instance_id || ' ' || status ORDER BY instance_id) AS states
			FROM power_action.instance WHERE cluster_id = e.cluster_id) i ON true
		JOIN LATERAL (
			SELECT array_agg(concat_ws(' ', attempt, status_code, message) ORDER BY attempt)
				   AS attempts
			FROM power_action.attempt WHERE event_id = e.event_id) a ON true
		WHERE e.server_name = 'way_$way' AND e.cluster_name <> 'open'
		GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
		ORDER BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15});
}

# Sizes are told of what was sent, and a message has more in it than a reply.
my %compared = map {
	$_ => $rows{$_} =~ s/larger than max \(\d+ vs\. \d+\)/larger than max/gr
} keys %rows;

# line by line, so that one sees what differs
my @single = split /\n/, $compared{off};
my @shared = split /\n/, $compared{auto};
is_deeply(\@shared, \@single, 'the same rows over a stream');
cmp_ok(scalar(@single), '>=', @rules, 'of all kinds');
is(streamed($agents{off}), 0, 'those were calls of their own');
for my $rule (@rules)
{
	my $crowd = "auto-$rule->[0]";

	cmp_ok(streamed($agents{auto}, $crowd), '>=', $each,
		"$rule->[0]: and these were not");
}

# So that the comparison is not one of two mistakes.
my %outcomes = (
	well => 'success|confirmed',
	last => 'failed|partial|agent|PARTIAL',
	later => 'success|accepted',
	error => 'failed|refused|agent|AGENT_ERROR',
	denied => 'failed|refused|agent|PERMISSION_DENIED',
	absent => 'failed|unknown|transport|UNAVAILABLE',
	busy => 'success|confirmed',
	broken => 'failed|unknown|agent|INTERNAL',
	large => 'failed|unknown|agent|RESOURCE_EXHAUSTED',
	once => 'success|confirmed');

is(crowd_outcomes($site, 'power_off', "auto-$_"),
	"$outcomes{$_} $each", "$_: $outcomes{$_}")
  for sort keys %outcomes;

# Replies that are on the way to the state, and are then asked for.
my $slow = start_logging_agent('--initial-state', 'running',
	'--transition-time', '200ms', '--latency', '20ms');
add_server($site, 'slow', $slow,
	max_concurrent_calls => 64, call_timeout => $patient);
add_crowd($site, 'slow', 'slow', 200);
add_crowd($site, 'slow', 'slow-open', 100);
open_stream($site, 'slow-open', sub { return streamed($slow) });
power_off($slow, 'slow');
is(crowd_outcomes($site, 'power_off', 'slow'),
	'success|confirmed 200', 'states that take their time');
cmp_ok(
	scalar log_lines(
		$slow, qr/"method":"GetClusterPowerState"/,
		qr/"cluster_id":"slow-\d+"/, qr/"stream":true/),
	'>=', 200, 'were asked for over the stream');

is(value($site, 'SELECT courier_starts, errors FROM power_action.worker_status'),
	'1|0', 'one courier, and no errors');
ok_checked($site);

done_testing();
