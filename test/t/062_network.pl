# test/t/062_network.pl
#
# A network that delays, loses and cuts, at each step of a call: before the
# request has arrived, after it has, and under calls in flight.  What is not
# known is sent again as the same request, and the agent acts once; what comes
# too late is refused.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PowerActionProxy;
use PowerActionSequence;
use PowerActionTest;

my $site = new_site(
	'main',
	conf => "power_action.max_attempts = 1000\n",
	agent => [qw(--initial-state running)]);
my $node = $site->{node};
my $agent = $site->{agent};

# Two ways to the agent, each with a network of its own: one ends a call by
# its deadline, the other by the silence of its peer.
my %proxy = map { $_ => start_proxy($agent) } qw(hasty lively);
create_agent_server($node, 'fleet', $proxy{hasty},
	name => 'hasty', call_timeout => '500ms', keepalive_time => '0',
	connect_timeout => '300ms');
create_agent_server($node, 'fleet', $proxy{lively},
	name => 'lively', call_timeout => '10min', keepalive_time => '1s',
	connect_timeout => '300ms');
add_account($site, $_, $_) for qw(hasty lively);
my @queue = map { "queue-$_" } 1 .. 20;
add_clusters($site, 'prod', qw(healthy));
add_clusters($site, 'hasty', qw(slow before after old));
add_clusters($site, 'lively', qw(reset closed half silent), @queue);

my $healthy_action = 0;

sub ok_healthy
{
	my ($name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is( finish(
			$site,
			request($site, ('power_off', 'power_on')[ $healthy_action++ % 2 ],
				'healthy')),
		'success|confirmed',
		"$name: another way to the same agent is not affected");
	return;
}

sub agent_state
{
	my ($server, $state) = @_;

	poll_value($node, 'fleet',
		"SELECT state FROM power_action.agent_status WHERE server_name = '$server'",
		$state);
	return;
}

sub poll_attempt
{
	my ($id, $status) = @_;

	poll_value($node, 'fleet',
		"SELECT count(*) > 0 FROM power_action.attempt WHERE event_id = $id AND status_code = '$status'");
	return;
}

# The agent has answered so many calls, all of one request, and acted once.
sub ok_once
{
	my ($cluster, $id, $calls, $name) = @_;
	my %requests =
	  map { $_->{request_id} => 1 } agent_lines($agent, $cluster, 'end', $calls);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	like(join(' ', keys %requests), qr{^\d+/\d+/$id/\d+$},
		"$name: always the same request");
	is(scalar(agent_lines($agent, $cluster, 'start', 1)),
		1, 'for which the agent acted once');
	return;
}

agent_state($_, 'ready') for qw(hasty lively);

# ----------------------------------------------------------------------
# Delay
# ----------------------------------------------------------------------

command($proxy{hasty}, 'delay', 60);
my $id = request($site, 'power_off', 'slow');
is(finish($site, $id), 'success|confirmed', 'a slow network: done');
is(event_value($site, $id, q{attempts, finished_at - started_at >= '120 ms'}),
	'1|t', 'at the first attempt, later');
command($proxy{hasty}, 'pass');

# ----------------------------------------------------------------------
# Stalled, until the deadline
# ----------------------------------------------------------------------

# Nothing arrives.
command($proxy{hasty}, 'stall');
$id = request($site, 'power_off', 'before');
poll_attempt($id, 'DEADLINE_EXCEEDED');
is(event_value($site, $id, 'status, agent_result'),
	'running|unknown', 'request lost on the way: nobody knows');
is(scalar(agent_lines($agent, 'before', 'end', 0)), 0, 'it has not arrived');
ok_healthy('stalled');
command($proxy{hasty}, 'pass');
is(finish($site, $id), 'success|confirmed', 'done when the network is back');
ok_once('before', $id, 1, 'request lost');

# It arrives, the answer does not.
command($proxy{hasty}, 'stall-replies');
$id = request($site, 'power_off', 'after');
agent_lines($agent, 'after', 'start', 1);
poll_attempt($id, 'DEADLINE_EXCEEDED');
is(event_value($site, $id, 'status, agent_result'),
	'running|unknown', 'answer lost on the way: nobody knows');
command($proxy{hasty}, 'pass');
is(finish($site, $id), 'success|confirmed', 'done when the network is back');
ok_once('after', $id, 2, 'answer lost');
cmp_ok(event_value($site, $id, 'attempts'), '>=', 2, 'by another attempt');

# What was stalled arrives when something else has been ordered.
set_conf($site, 'power_action.max_attempts', 1);
set_conf($site, 'power_action.resolve_unknown', 'off');
command($proxy{hasty}, 'stall-requests');
$id = request($site, 'power_off', 'old');
is(finish($site, $id), 'failed|unknown|transport|DEADLINE_EXCEEDED',
	'given up while its request is on the way');
value($site, q{UPDATE power_action.account SET server_name = 'agent' WHERE account_name = 'hasty'});
my $newer = request($site, 'power_on', 'old');
is(finish($site, $newer), 'success|confirmed', 'the opposite goes another way');
command($proxy{hasty}, 'pass');
value($site, q{UPDATE power_action.account SET server_name = 'hasty' WHERE account_name = 'hasty'});
agent_state('hasty', 'ready');
is(finish($site, request($site, 'refresh', 'slow')),
	'success|confirmed', 'what was stalled has arrived');
is( join(' ', map { $_->{method} } agent_lines($agent, 'old', 'start', 1)),
	'PowerOnCluster',
	'and the older order is not carried out any more');
is( value($site, q{SELECT status FROM power_action.cluster WHERE cluster_id = 'old'}),
	'running',
	'the cluster is what was ordered last');
set_conf($site, "power_action.$_", undef) for qw(max_attempts resolve_unknown);

# ----------------------------------------------------------------------
# Cut
# ----------------------------------------------------------------------

command($proxy{lively}, 'stall-replies');
$id = request($site, 'power_off', 'reset');
agent_lines($agent, 'reset', 'end', 1);
command($proxy{lively}, 'reset');
poll_attempt($id, 'UNAVAILABLE');
is(event_value($site, $id, 'status, agent_result'),
	'running|unknown', 'reset after the request has arrived: nobody knows');
command($proxy{lively}, 'pass');
is(finish($site, $id), 'success|confirmed', 'done over another connection');
ok_once('reset', $id, 2, 'reset');
is(event_value($site, $id, 'attempts'), 2, 'at the second attempt');

# The peer says that it sends nothing more.
my $case = 0;
for my $direction (qw(replies requests))
{
	my $cluster = ('closed', 'half')[ $case++ ];

	command($proxy{lively}, 'stall-replies');
	$id = request($site, 'power_off', $cluster);
	agent_lines($agent, $cluster, 'end', 1);
	command($proxy{lively}, "close-$direction");

	# an agent that sees the end of its client closes its side, too
	command($proxy{lively}, 'pass') if $direction eq 'requests';
	if ($direction eq 'replies')
	{
		poll_attempt($id, 'UNAVAILABLE');
		command($proxy{lively}, 'pass');
	}
	is(finish($site, $id), 'success|confirmed',
		"$direction closed in mid-call: done");
	ok_once($cluster, $id, 1, "$direction closed");
}
ok_healthy('cut');

# ----------------------------------------------------------------------
# Silent
# ----------------------------------------------------------------------

# The pings of the connection find it out, long before the deadline.
command($proxy{lively}, 'stall-replies');
$id = request($site, 'power_off', 'silent');
agent_lines($agent, 'silent', 'end', 1);
poll_attempt($id, 'UNAVAILABLE');
pass('silence in mid-call: keepalive ends the call');
is(event_value($site, $id, 'status, agent_result'),
	'running|unknown', 'nobody knows');

# New connections are made and stay silent.
agent_state('lively', 'unreachable');
my $connections = command($proxy{lively}, 'count');
my @ids = request_many($site, 'power_off', \@queue);
wait_until('it is tried again',
	sub { command($proxy{lively}, 'count') > $connections + 2 });
is( value($site, q{
	SELECT count(*), max(attempts), bool_and(waits_for = 'agent')
	FROM power_action.activity WHERE cluster_name LIKE 'the queue-%'}),
	'20|0|t',
	'its queue waits without an attempt');
is(event_value($site, $id, 'attempts'), 1, 'nor are there more of the first');
ok_healthy('silent');
command($proxy{lively}, 'pass');
is(finish($site, $id), 'success|confirmed', 'done when the network is back');
ok_once('silent', $id, 2, 'silent');
finish_all($site);
is( value($site, q{
	SELECT status, agent_result, attempts, count(*) FROM power_action.event
	WHERE cluster_id LIKE 'queue-%' GROUP BY 1, 2, 3}),
	'success|confirmed|1|20',
	'and the queue, at the first attempt');

# ----------------------------------------------------------------------
# Names
# ----------------------------------------------------------------------

# The name server is silent, then denies the name, then knows it.
my $names = start_name_server();
my $here = start_proxy($agent);
create_agent_server($node, 'fleet',
	"dns://$names->{authority}/agent.test:$here->{port}",
	name => 'named', connect_timeout => '300ms', tls => 'off');
add_account($site, 'named', 'named');
add_clusters($site, 'named', qw(silent-name unknown-name));
wait_until('the name is asked for', sub { command($names, 'count') > 0 });
@ids = request($site, 'power_off', 'silent-name');
ok_healthy('no answer from the name server');
poll_value($node, 'fleet',
	"SELECT waits_for FROM power_action.activity WHERE event_id = $ids[0]",
	'agent');
command($names, 'unknown');
agent_state('named', 'unreachable');
push @ids, request($site, 'power_off', 'unknown-name');
ok_healthy('the name is not known');
like(
	value($site, q{SELECT last_error FROM power_action.agent_status WHERE server_name = 'named'}),
	qr/agent\.test/, 'agent_status names it');
is(event_value($site, $_, 'status, attempts, agent_result'),
	'pending|0|none', "event $_ waits without an attempt")
  for @ids;
command($names, '127.0.0.1');
is(finish($site, $_), 'success|confirmed', "the name is known: $_ is done")
  for @ids;
is(event_value($site, $_, 'attempts'), 1, 'at the first attempt') for @ids;

# The agent moves, and the name with it.
my $there = start_proxy($agent,
	LocalAddr => '127.0.0.2', LocalPort => $here->{port});
command($here, 'refuse');
agent_state('named', 'unreachable');
$id = request($site, 'power_on', 'unknown-name');
poll_value($node, 'fleet',
	"SELECT waits_for FROM power_action.activity WHERE event_id = $id",
	'agent');
command($names, '127.0.0.2');
is(finish($site, $id), 'success|confirmed', 'the name has moved: done');
is(event_value($site, $id, 'attempts'), 1, 'at the first attempt');
cmp_ok(command($there, 'count'), '>', 0, 'at the new address');

is(value($site, 'SELECT courier_starts, errors FROM power_action.worker_status'),
	'1|0', 'one courier, and no errors');
ok_checked($site);

done_testing();
