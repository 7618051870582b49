# test/t/022_order.pl
#
# Which action goes when: superseding, coalescing, times, priority, keys,
# cancelling, and one call in flight for each cluster.

use strict;
use warnings FATAL => 'all';

use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PowerActionSequence;
use PowerActionTest;

my $site = new_site(
	'main',
	conf => "power_action.resolve_unknown = off\n",
	agent => [qw(--initial-state running)],
	rules => <<'RULES');
hang-*   hang
busy-*   latency=2ms
RULES
my $node = $site->{node};
my $agent = $site->{agent};

create_agent_server($node, 'fleet', $agent,
	name => 'narrow', max_concurrent_calls => 1);
add_account($site, 'narrow', 'narrow');
my $slow_agent = start_logging_agent(
	rules => "stuck state hang\nblocker hang\n",
	qw(--initial-state running --transition-time 60min));
create_agent_server($node, 'fleet', $slow_agent, name => 'slow');
add_account($site, 'slow', 'slow');
create_agent_server($node, 'fleet', $slow_agent,
	name => 'slow_and_narrow', max_concurrent_calls => 1);
add_account($site, 'snails', 'slow_and_narrow');

my @low = map { "low-$_" } 1 .. 5;
my @high = map { "high-$_" } 1 .. 5;
add_clusters($site, 'prod',
	qw(flip same mixed fence later soon due expired key hang-1 hang-2 hang-3
	  hang-4 plain),
	map { "busy-$_" } 1 .. 3);
add_clusters($site, 'narrow', @low, @high);
add_clusters($site, 'slow', qw(sloth stuck));
add_clusters($site, 'snails', qw(snail blocker));

# Requests while nothing is sent, then all of it is due together.
sub hold_back
{
	set_conf($site, 'power_action.enabled', 'off');
	return;
}

sub let_go
{
	set_conf($site, 'power_action.enabled', undef);
	finish_all($site);
	return;
}

# What the agent did to a cluster, in order.
sub orders
{
	my ($cluster, $count) = @_;

	return join ' ', map { $_->{method} } agent_lines($agent, $cluster, 'start', $count);
}

# ----------------------------------------------------------------------
# Superseding and coalescing
# ----------------------------------------------------------------------

hold_back();
my @ids = map { request($site, $_, 'flip') } qw(power_on power_off power_on);
is(outcome($site, $_), 'pending|none', "event $_ waits") for @ids;
is( value($site, q{SELECT string_agg(DISTINCT waits_for, ',') FROM power_action.activity}),
	'disabled',
	'all wait for power_action.enabled');
let_go();
is(outcome($site, $ids[0]), 'cancelled|none', 'the first is superseded');
is(outcome($site, $ids[1]), 'cancelled|none', 'the second, too');
is(outcome($site, $ids[2]), 'success|confirmed', 'the last is done');
is(event_value($site, $ids[0], 'superseded_by, attempts'),
	"$ids[1]|0", 'the first by the second');
is(event_value($site, $ids[1], 'superseded_by, attempts'),
	"$ids[2]|0", 'the second by the third');
is( value($site, "SELECT outcome FROM power_action.history WHERE event_id = $ids[1]"),
	"superseded by $ids[2]",
	'history says so');
is(orders('flip', 1), 'PowerOnCluster', 'the agent saw one order only');

hold_back();
@ids = map { request($site, 'power_off', 'same', "'$_'") } qw(alice bob);
let_go();
is(outcome($site, $_), 'success|confirmed', 'identical ones succeed together')
  for @ids;
is(event_value($site, $_, 'attempts'), 1, 'with one attempt') for @ids;
is(orders('same', 1), 'PowerOffCluster', 'but one order');
my ($line) = agent_lines($agent, 'same', 'end', 1);
like($line->{request_id}, qr{/$ids[0]/\d+$}, 'that of the first');
is($line->{requester}, 'alice', 'in the name of who asked first');

# A refresh neither supersedes nor is superseded, and keeps its place.
hold_back();
@ids = map { request($site, $_, 'mixed') } qw(refresh power_off refresh power_on);
let_go();
is(join(' ', map { event_value($site, $_, 'status') } @ids),
	'success cancelled success success', 'refresh is not superseded');
is(orders('mixed', 1), 'PowerOnCluster', 'and the rest as without it');

# ----------------------------------------------------------------------
# Times
# ----------------------------------------------------------------------

my $later = request($site, 'power_off', 'later', q{not_before => now() + '1 day'});
my $now = request($site, 'power_on', 'later');
is(finish($site, $now), 'success|confirmed',
	'what is for later does not supersede what is due');
is(outcome($site, $later), 'pending|none', 'and waits');
is( value(
		$site,
		"SELECT waits_for, next_attempt > now() FROM power_action.activity WHERE event_id = $later"
	),
	'not before|t',
	'activity says for what');
is(orders('later', 1), 'PowerOnCluster', 'it is not sent');
value($site, "SELECT power_action.cancel($later, 'alice', 'never mind')");
is(finish($site, $later), 'cancelled|none', 'it can be cancelled');

my $soon = request($site, 'power_off', 'soon',
	q{not_before => clock_timestamp() + '500 ms'});
is(finish($site, $soon), 'success|confirmed', 'not_before: done when it is due');
is(event_value($site, $soon, 'started_at >= not_before'), 't', 'not before');

# Due earlier goes first, whatever was requested first; the opposite that is
# due later supersedes when its time has come.
hold_back();
my $second = request($site, 'power_off', 'due',
	q{not_before => clock_timestamp() + '200 ms'});
my $first = request($site, 'power_on', 'due');
poll_event($site, $second, 'not_before < clock_timestamp()');
let_go();
is(outcome($site, $first), 'cancelled|none', 'order is by the time it is due');
is(outcome($site, $second), 'success|confirmed', 'the last to be due stands');

hold_back();
my $expired = request($site, 'power_off', 'expired',
	q{expires_at => clock_timestamp() + '200 ms'});
is(finish($site, $expired), 'failed|none|request|DEADLINE_EXCEEDED',
	'expires_at: fails rather than act too late');
like(event_value($site, $expired, 'error_message'),
	qr/^expired at /, 'saying so');
let_go();
is(finish($site, request($site, 'refresh', 'expired', q{expires_at => now() + '1 h'})),
	'success|confirmed', 'in time it does not expire');
is(scalar(agent_lines($agent, 'expired', 'start', 0)),
	0, 'the expired one was never sent');

# ----------------------------------------------------------------------
# Priority
# ----------------------------------------------------------------------

hold_back();
request_many($site, 'power_off', \@low);
request_many($site, 'power_off', \@high, 'priority => 10');
let_go();
is( join(' ', map { $_->{cluster_id} } grep
		{ $_->{event} eq 'start' && $_->{cluster_id} =~ /^(?:low|high)-/ }
		  all_agent_lines($agent)),
	join(' ', @high, @low),
	'higher priority goes first, then age');

# ----------------------------------------------------------------------
# request_key
# ----------------------------------------------------------------------

my $one = $node->background_psql('fleet');
my $other = $node->background_psql('fleet');
$one->query_safe('BEGIN');
my $id = $one->query_safe(
	q{SELECT power_action.power_off('key', 'alice', request_key => 'k-1')});
$other->query_until(qr/asking/, q{\echo asking
SELECT 'got ' || power_action.power_off('key', 'alice', request_key => 'k-1');
});
poll_value($node, 'fleet', q{
	SELECT count(*) = 1 FROM pg_stat_activity
	WHERE wait_event_type = 'Lock' AND query LIKE '%got%k-1%'
		  AND pid <> pg_backend_pid()});
$one->query_safe('COMMIT');
is($other->query_safe(q{SELECT 'and on'}), "got $id\nand on",
	'same request_key in another session: the same event, after the commit');
$one->query_safe('BEGIN');
$one->query_safe(q{SELECT power_action.power_off('plain', request_key => 'k-2')});
$other->query_until(qr/asking/, q{\echo asking
SELECT 'got ' || power_action.power_off('plain', request_key => 'k-2');
});
poll_value($node, 'fleet', q{
	SELECT count(*) = 1 FROM pg_stat_activity
	WHERE wait_event_type = 'Lock' AND query LIKE '%got%k-2%'
		  AND pid <> pg_backend_pid()});
$one->query_safe('ROLLBACK');
like($other->query_safe(q{SELECT 'and on'}), qr/^got \d+\nand on$/,
	'or a new one, after a rollback');
finish_all($site);
is(value($site, q{SELECT count(*) FROM power_action.event WHERE request_key = 'k-1'}),
	1, 'one event');
is(orders('key', 1), 'PowerOffCluster', 'one order');
is( request($site, 'power_off', 'key', q{'alice', request_key => 'k-1'}),
	$id,
	'repeated when it is final: the same event');
is( (query_error(
			$site,
			q{SELECT power_action.power_on('key', 'alice', request_key => 'k-1')}
		))[0],
	'23505',
	'with other arguments: an error');
is(orders('key', 1), 'PowerOffCluster', 'still one order');

# Repeated when it has expired: what was promised then holds.
sub key_error
{
	my ($state, $text) = query_error($site,
		"SELECT power_action.power_off($_[0]);");

	return $state . ($text =~ /(no event with this request_key .*)\./ ? " $1" : '');
}
my $expiry = value($site, q{SELECT clock_timestamp() + '1 s'});
my $repeat = "'alice', expires_at => '$expiry', request_key => 'k-3'";
$one->query_safe('BEGIN');
$id = $one->query_safe("SELECT power_action.power_off('key', $repeat)");
poll_value($node, 'fleet', "SELECT clock_timestamp() > '$expiry'");
$other->query_until(qr/asking/, qq{\\echo asking
SELECT 'got ' || power_action.power_off('key', $repeat);
});
poll_value($node, 'fleet', q{
	SELECT count(*) = 1 FROM pg_stat_activity
	WHERE wait_event_type = 'Lock' AND query LIKE '%got%k-3%'
		  AND pid <> pg_backend_pid()});
$one->query_safe('COMMIT');
is($other->query_safe(q{SELECT 'and on'}), "got $id\nand on",
	'repeated after expires_at: the same event, after the commit');
is(finish($site, $id), 'failed|none|request|DEADLINE_EXCEEDED', 'it has expired');
is(request($site, 'power_off', 'key', $repeat), $id, 'still the same event');
is( value($site, "SELECT * FROM power_action.power_off(ARRAY['key'], $repeat)"),
	"key|$id|failed|DEADLINE_EXCEEDED",
	'in an array, too');
my $events = value($site, 'SELECT count(*) FROM power_action.event');
is(key_error("'plain', $repeat"),
	'22023 no event with this request_key for cluster "plain"',
	'but none is made any more');
is(key_error("ARRAY['key', 'plain'], $repeat"),
	'22023 no event with this request_key for cluster "plain"',
	'nor in an array in which some are there');
is(key_error("'none', $repeat"),
	'22023 no event with this request_key for cluster "none"',
	'nor for no cluster');
is(key_error("'key', 'bob', expires_at => '$expiry', request_key => 'k-3'"),
	'23505', 'with other arguments: an error');
is(key_error("'key', expires_at => '$expiry'"), '22023', 'without a key: an error');
is(value($site, 'SELECT count(*) FROM power_action.event'),
	$events, 'and nothing was written');
$_->quit for ($one, $other);

# ----------------------------------------------------------------------
# Cancelling
# ----------------------------------------------------------------------

hold_back();
$id = request($site, 'power_off', 'plain');
is(value($site, "SELECT power_action.cancel($id, 'alice', 'no need')"),
	'pending', 'cancel returns the status');
is(finish($site, $id), 'cancelled|none', 'a pending one is cancelled');
is(event_value($site, $id, 'cancelled_by, cancel_reason, attempts'),
	'alice|no need|0', 'by whom and why');
let_go();
is(value($site, "SELECT power_action.cancel($id, 'bob', 'again')"),
	'cancelled', 'cancelled already: no error');
is(event_value($site, $id, 'cancelled_by'), 'alice', 'it stays as it was');

my $done = request($site, 'power_off', 'plain');
is(finish($site, $done), 'success|confirmed', 'another one is done');
is(value($site, "SELECT power_action.cancel($done)"),
	'success', 'cancel of a final one returns its status');
is((query_error($site, 'SELECT power_action.cancel(4711)'))[0],
	'P0002', 'cancel of an unknown event');

# In flight.  The second waits its turn meanwhile.
$id = request($site, 'power_off', 'hang-1');
poll_event($site, $id, q{status = 'running'});
my $next = request($site, 'power_on', 'hang-1');
poll_value($node, 'fleet',
	"SELECT waits_for FROM power_action.activity WHERE event_id = $next",
	"event $id");
value($site, "SELECT power_action.cancel($id, 'alice', 'takes too long')");
is(finish($site, $id), 'cancelled|unknown', 'one in flight is cancelled');
is( value($site, "SELECT outcome FROM power_action.history WHERE event_id = $id"),
	'cancelled by alice: takes too long (the agent may have acted)',
	'and nobody knows what the agent did');
($line) = agent_lines($agent, 'hang-1', 'end', 1);
is($line->{status}, 'CANCELLED', 'the call is cancelled at the agent, too');
poll_event($site, $next, q{status = 'running'});
pass('then the next one has its turn');
value($site, "SELECT power_action.cancel($next)");
is(finish($site, $next), 'cancelled|unknown', 'and is cancelled, too');

# A call that two events want ends when both are cancelled.
hold_back();
@ids = map { request($site, 'power_off', 'hang-2') } 1 .. 2;
set_conf($site, 'power_action.enabled', undef);
poll_event($site, $_, q{status = 'running'}) for @ids;
value($site, "SELECT power_action.cancel($ids[0])");
poll_value($node, 'fleet', 'SELECT count(*) = 1 FROM power_action.cancellation');
ok( poll_value($node, 'fleet',
		'SELECT in_flight = 1 FROM power_action.worker_status'),
	'cancel of one of two: the call goes on for the other');
value($site, "SELECT power_action.cancel($ids[1])");
is(finish($site, $_), 'cancelled|unknown', 'then both are cancelled') for @ids;

# A question in flight.
$id = request($site, 'refresh', 'hang-3');
poll_event($site, $id, q{status = 'running'});
value($site, "SELECT power_action.cancel($id, 'alice')");
is(finish($site, $id), 'cancelled|none', 'a refresh in flight is cancelled');

# An order that was taken and is not confirmed yet: between two questions,
# and while one is in flight.
for my $cluster (qw(sloth stuck))
{
	$id = request($site, 'power_off', $cluster);
	poll_event($site, $id, q{status = 'running' AND agent_result = 'accepted'});
	poll_value($node, 'fleet', 'SELECT in_flight = 1 FROM power_action.worker_status')
	  if $cluster eq 'stuck';
	value($site, "SELECT power_action.cancel($id, 'alice')");
	is(finish($site, $id), 'cancelled|accepted',
		"$cluster: nobody waits for its confirmation any more");
	is( value($site, "SELECT status FROM power_action.cluster WHERE cluster_id = '$cluster'"),
		'stopping',
		'but the agent goes on');
}

# An order that was taken keeps its turn even when the next question cannot be
# asked at once: here, because one that hangs takes the only place.
$id = request($site, 'power_off', 'snail', q{expires_at => clock_timestamp() + '1 s'});
poll_event($site, $id, q{status = 'running' AND agent_result = 'accepted'});
my $blocker = request($site, 'refresh', 'blocker');
poll_event($site, $blocker, q{status = 'running'});
my $turn = request($site, 'power_on', 'snail');
poll_event($site, $id, q{expires_at < clock_timestamp()});
is(finish($site, request($site, 'refresh', 'plain')),
	'success|confirmed', 'others go on');
is(outcome($site, $id), 'running|accepted',
	'what the agent has taken is neither superseded nor too late');
poll_value($node, 'fleet',
	"SELECT waits_for FROM power_action.activity WHERE event_id = $turn",
	"event $id");
value($site, "SELECT power_action.cancel($id, 'alice')");
is(finish($site, $id), 'cancelled|accepted', 'it can be cancelled');
value($site, "SELECT power_action.cancel($blocker)");
is(finish($site, $blocker), 'cancelled|none', 'the place is free');
poll_event($site, $turn, q{status = 'running' AND agent_result = 'accepted'});
is( join(' ', map { $_->{method} }
		  grep { $_->{method} ne 'GetClusterPowerState' }
		  agent_lines($slow_agent, 'snail', 'end', 2)),
	'PowerOffCluster PowerOnCluster',
	'then the next has its turn');
value($site, "SELECT power_action.cancel($turn)");
is(finish($site, $turn), 'cancelled|accepted', 'and can be cancelled');

is(value($site, 'SELECT count(*) FROM power_action.cancellation'),
	0, 'all requests to cancel are dealt with');

# ----------------------------------------------------------------------
# One call in flight for each cluster
# ----------------------------------------------------------------------

my @sessions = map {
	IPC::Run::start(
		[
			'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d',
			$node->connstr('fleet')
		],
		'<', \qq{
		DO \$\$
		BEGIN
			FOR i IN 1 .. 60 LOOP
				IF (i + $_) % 2 = 0 THEN
					PERFORM power_action.power_on('busy-' || 1 + i % 3);
				ELSE
					PERFORM power_action.power_off('busy-' || 1 + i % 3);
				END IF;
				COMMIT;
			END LOOP;
		END\$\$},
		'>&', \my $output);
} 1 .. 4;
ok($_->finish, 'session has requested') for @sessions;
finish_all($site);
is( value($site, q{
	SELECT count(*) FROM power_action.event
	WHERE cluster_id LIKE 'busy-%'
		  AND (status = 'success'
			   OR (status = 'cancelled' AND superseded_by IS NOT NULL))}),
	240,
	'all are done or superseded');

# Every call, and every order that the agent gave, found its cluster at rest.
my @lines = grep { $_->{cluster_id} =~ /^busy-/ } all_agent_lines($agent);
ok(@lines > 6, 'the agent was called');
is(scalar(grep { $_->{in_flight_same_cluster} > 0 } @lines),
	0, 'never two calls for a cluster at a time');
my %last;
my $disorder = 0;
for my $call (grep { $_->{event} eq 'start' } @lines)
{
	$disorder++ if $call->{order}[2] <= ($last{ $call->{cluster_id} } // 0);
	$last{ $call->{cluster_id} } = $call->{order}[2];
}
is($disorder, 0, 'orders reach the agent as they were numbered');

# The last one requested for a cluster decides.
is( value($site, q{
	SELECT count(*) FROM power_action.cluster c
	WHERE cluster_id LIKE 'busy-%'
		  AND status <> (SELECT CASE action WHEN 'power_on' THEN 'running'
								ELSE 'stopped' END
						 FROM power_action.event e
						 WHERE e.cluster_id = c.cluster_id AND status = 'success'
						 ORDER BY requested_at DESC, event_id DESC LIMIT 1)}),
	0,
	'clusters are what was requested last');

ok_checked($site);

done_testing();
