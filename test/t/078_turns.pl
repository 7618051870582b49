# test/t/078_turns.pl
#
# Calls that the courier holds until one of max_concurrent_calls has ended.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PowerActionSequence;
use PowerActionTest;

my $limit = 64;
my $site = new_site(
	'main',
	agent => [qw(--initial-state running)],
	rules => "held-* off latency=600s when=after\nquick-* off latency=40ms\n",
	options => { max_concurrent_calls => $limit, call_timeout => '10min' });
my $node = $site->{node};
my @quick = map { "quick-$_" } 1 .. 40;
my @held = map { "held-$_" } 1 .. 100;

add_clusters($site, 'prod', @quick, @held);

sub in_flight
{
	my ($condition) = @_;

	poll_value($node, 'fleet',
		"SELECT in_flight $condition FROM power_action.agent_status");
	return value($site, 'SELECT in_flight FROM power_action.agent_status');
}

# How many of the orders that are held the agent has.
sub started
{
	return
	  scalar grep { $_->{cluster_id} =~ /^held/ && $_->{event} eq 'start' }
	  all_agent_lines($site->{agent});
}

sub numbers
{
	my ($where) = @_;

	return value(
		$site, qq{
		SELECT string_agg(outcome || ' ' || count, ', ' ORDER BY outcome)
		FROM (SELECT status || '|' || agent_result AS outcome, count(*)
			  FROM power_action.event WHERE $where GROUP BY 1) o});
}

# Calls that take a little while let the courier have some beforehand.
request_many($site, 'power_off', \@quick);
finish_all($site);
is(numbers("cluster_id LIKE 'quick-%'"), 'success|confirmed 40', 'quick ones');

request_many($site, 'power_off', \@held);
my $given = in_flight("> $limit");
cmp_ok($given, '<=', $limit + $limit / 8,
	"$given calls are with the courier, a few beforehand");
wait_until('the agent has as many as it may have',
	sub { return started() >= $limit });
is(started(), $limit, 'it has no more');

# What never left is known not to have been done.
value($site, q{
	SELECT count(power_action.cancel(event_id)) FROM power_action.event
	WHERE cluster_id LIKE 'held-%'});
finish_all($site);
is( numbers("cluster_id LIKE 'held-%' AND action = 'power_off'"),
	'cancelled|none ' . (@held - $limit) . ", cancelled|unknown $limit",
	'cancelled: only what the agent had is unknown');

# Those that wait come in when a place is free.
request_many($site, 'power_on', [ @quick, @held ]);
finish_all($site);
is(numbers("action = 'power_on'"),
	'success|confirmed ' . (@quick + @held), 'all are done afterwards');
is(value($site, 'SELECT courier_starts, errors FROM power_action.worker_status'),
	'1|0', 'one courier, and no errors');

ok_checked($site);

done_testing();
