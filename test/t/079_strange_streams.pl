# test/t/079_strange_streams.pl
#
# Streams of agents that somebody else has written, and not always well: what
# becomes of the calls is known or is tried again, nothing hangs, and an agent
# that answers single calls goes on being of use.

use strict;
use warnings FATAL => 'all';

use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PowerActionForeign;
use PowerActionSequence;
use PowerActionStream;
use PowerActionTest;

plan skip_all => 'python3-grpcio or python3-protobuf is not installed'
  if !have_foreign_agents();

my $patient = '10min';
my $dir = PostgreSQL::Test::Utils::tempdir('streams');
my $site = new_site('main', conf => "power_action.max_attempts = 100\n");
my $node = $site->{node};
my @unlogged;

# An agent with its server and account of that name.
sub add_agent
{
	my ($name, $options, %server) = @_;
	my $agent = start_foreign_agent(
		'unix:' . PostgreSQL::Test::Utils::tempdir_short() . '/agent',
		program => 'stream_agent.py', %$options);

	add_server(
		$site, $name, $agent->{address},
		max_concurrent_calls => 64,
		call_timeout => $patient,
		%server);
	push @unlogged, $name;
	return $agent;
}

# How many lines of an agent's calls match all patterns.
sub count_calls
{
	my ($agent, @patterns) = @_;
	my @lines = split /\n/, slurp_file($agent->{calls});

	for my $pattern (@patterns)
	{
		@lines = grep { /$pattern/ } @lines;
	}
	return scalar @lines;
}

my $in_stream = qr/"stream": true/;
my $count = 300;

# ----------------------------------------------------------------------
# What may go wrong
# ----------------------------------------------------------------------

my $none = qr/^$/;
my $lost = qr/^UNAVAILABLE \d+$/;

# By fault: attempts that failed, what is said of them, and whether calls come
# over its streams.
for my $case (
	[ 'none' => $none, undef, 1 ],
	[ 'strange-ids' => $none, undef, 1 ],
	[ 'twice' => $none, undef, 1 ],
	[ 'silent' => $none, undef, 0 ],
	[ 'unready' => $none, undef, 0 ],
	[ 'declines' => $none, undef, 1 ],
	[ 'forgets' => qr/^DEADLINE_EXCEEDED \d+$/, 'Deadline Exceeded', 1 ],
	[ 'odd-status' => qr/^UNKNOWN \d+$/, 'no such status', 1 ],
	[ 'denied' => $lost, '%stream%enough of you', 1 ],
	[ 'leaves' => $lost, '%stream%', 1 ],
	[ 'garbage' => $lost, '%stream%no message%', 1 ])
{
	my ($fault, $attempts, $message, $streams) = @$case;
	my $agent = add_agent(
		$fault,
		{ fault => $fault },
		$fault eq 'forgets'
		? (call_timeout => '3s', max_concurrent_calls => 512)
		: ());
	my $requested = -$count;

	add_crowd($site, $fault, $fault, $count);
	wait_ready($site, $fault);

	# Once, but for a machine that is so busy that all are done before.  The
	# function is called before and after each.
	open_stream(
		$site, $fault,
		sub {
			$requested += $count;
			return
			    !$streams ? count_calls($agent, qr/"event": "stream"/)
			  : $message ? crowd_attempts($site, 'power_off', $fault)
			  : count_calls($agent, $in_stream);
		});
	is(crowd_outcomes($site, 'power_off', $fault),
		"success|accepted $requested", "$fault: all are done");
	like(crowd_attempts($site, 'power_off', $fault),
		$attempts, 'the attempts that failed are told');
	is( value($site, qq{
		SELECT count(*)
		FROM power_action.event e JOIN power_action.attempt a USING (event_id)
		WHERE e.cluster_name = '$fault' AND a.message NOT LIKE '$message'}),
		0, 'saying why')
	  if defined $message;
	is(count_calls($agent, $in_stream), 0, 'none came over a stream')
	  if !$streams;
	is(count_calls($agent, qr/"cluster_id"/), $requested, 'each came once')
	  if $attempts eq $none && $fault ne 'declines';
	is( value($site, qq{
		SELECT max(attempts) FROM power_action.event WHERE cluster_name = '$fault'}),
		1, 'and was one attempt')
	  if $attempts eq $none;
	end_foreign_agent($agent);
}

# ----------------------------------------------------------------------
# Calls end where they began
# ----------------------------------------------------------------------

replace_file("$dir/token", "first\n");
replace_file("$dir/tokens", "first\nsecond\n");
my $agent = add_agent(
	'changing', { hold => "$dir/go", 'token-file' => "$dir/tokens" },
	max_concurrent_calls => 512,
	auth_token_file => "$dir/token");

# Calls for a crowd that came over a stream with a token.
sub stream_calls
{
	my ($crowd, $token) = @_;

	return count_calls($agent, $in_stream, qr/"cluster_id": "$crowd-\d+"/,
		qr/"Bearer $token"/);
}

add_crowd($site, 'changing', $_, 200) for qw(open held-1 held-2 next);
add_clusters($site, 'changing', 'probe');
wait_ready($site, 'changing');
open_stream($site, 'open', sub { return stream_calls('open', 'first') });
power_crowd($site, 'power_off', 'held-1');
wait_until('the agent has the calls',
	sub { return stream_calls('held-1', 'first') >= 200 });
pass('200 calls are on the stream');

replace_file("$dir/token", "second\n");
wait_until(
	'the new token is sent',
	sub {
		finish($site, request($site, 'power_off', 'probe'));
		return count_calls($agent, qr/"cluster_id": "probe"/,
			qr/"Bearer second"/);
	});
wait_until(
	'there is a stream with it',
	sub {
		finish($site, request($site, 'power_off', 'probe'));
		return count_calls($agent, qr/"cluster_id": "probe"/, $in_stream,
			qr/"Bearer second"/);
	});
power_crowd($site, 'power_off', 'held-2');
wait_until('the agent has the calls',
	sub { return stream_calls('held-2', 'second') >= 200 });
pass('200 more are on another one, with the new token');

value($site, q{ALTER SERVER changing OPTIONS (ADD connect_timeout '9s')});
power_crowd($site, 'power_off', 'next');
poll_value($node, 'fleet', 'SELECT count(*) FROM power_action.job', 400);
is(crowd_outcomes($site, 'power_off', 'next'),
	'success|accepted 200', 'an altered server: new calls go on');
is(stream_calls('held-1', 'first') + stream_calls('held-2', 'second'),
	400, 'what is under way stays where it is');
append_to_file("$dir/go", '');
finish_all($site);
is(crowd_outcomes($site, 'power_off', $_), 'success|accepted 200',
	"$_: answered")
  for qw(held-1 held-2);
is( value($site, q{
	SELECT max(attempts) FROM power_action.event WHERE server_name = 'changing'}),
	1, 'all by the first attempt');

# ----------------------------------------------------------------------

is(value($site, 'SELECT courier_starts, errors FROM power_action.worker_status'),
	'1|0', 'one courier, and no errors');
ok_checked($site, unlogged => \@unlogged);

done_testing();
