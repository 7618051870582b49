# test/t/063_races.pl
#
# Requests and cancels that meet an action at a chosen point of its life: not
# claimed, waiting for its turn, in flight, in backoff, its outcome written in
# this very moment; and transactions that end in another order than they
# began, not at all, or in two phases.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PowerActionSequence;
use PowerActionTest;

my $site = new_site(
	'main',
	conf => "power_action.max_attempts = 20\nmax_prepared_transactions = 4\n"
	  . "power_action.resolve_unknown = off\n",
	agent => [qw(--initial-state running)],
	rules => <<'RULES');
lost-*   hang when=after times=1
busy-*   status=ABORTED message="busy" times=1
RULES
my $node = $site->{node};
my $agent = $site->{agent};

# The same agent with one place for a call, and with little patience.
create_agent_server($node, 'fleet', $agent,
	name => 'narrow', max_concurrent_calls => 1);
create_agent_server($node, 'fleet', $agent,
	name => 'hasty', call_timeout => '200ms');
add_account($site, $_, $_) for qw(narrow hasty);
add_clusters(
	$site, 'prod',
	qw(in-turn reversed waiting flight key prepared both savepoint
	  claim unsent answered written undone two-phase kept same backoff late
	  busy-super plain ends gone));
add_clusters($site, 'narrow', qw(first second));
add_clusters($site, 'hasty', qw(lost-super lost-late));

my $one = $node->background_psql('fleet');
my $other = $node->background_psql('fleet');

# what is said on the way is not what they are asked for
$_->set_query_timer_restart for $one, $other;
$_->query_safe('SET client_min_messages = error') for $one, $other;

# While the agent stands still, what is sent is in flight.
sub freeze { freeze_process($agent->{pid}); return }
sub thaw { kill 'CONT', $agent->{pid} or die 'no agent'; return }

sub in_flight
{
	my ($action, $cluster, $more) = @_;
	my $id = request($site, $action, $cluster, $more);

	poll_event($site, $id, q{status = 'running'});
	return $id;
}

sub waits_for
{
	my ($id, $what) = @_;

	poll_value($node, 'fleet',
		"SELECT waits_for FROM power_action.activity WHERE event_id = $id",
		$what);
	return;
}

# The orders of a cluster that the agent gave, as "method event".
sub orders
{
	my ($cluster) = @_;

	return join ' ', map
	{
		my ($event) = $_->{request_id} =~ m{^\d+/\d+/(\d+)/};
		($_->{method} =~ /^Power(O\w+?)Cluster/)[0] . " $event";
	} grep { $_->{cluster_id} eq $cluster && $_->{event} eq 'start' }
	  all_agent_lines($agent);
}

sub cluster_status
{
	my ($cluster) = @_;

	return value($site,
		"SELECT status FROM power_action.cluster WHERE cluster_id = '$cluster'");
}

# Two looks for what was not notified pass before this one is done.
sub fence
{
	my $id = request($site, 'refresh', 'plain',
		q{not_before => clock_timestamp() + '1.5 s'});

	return finish($site, $id);
}

# ----------------------------------------------------------------------
# Opposite requests in two open transactions
# ----------------------------------------------------------------------

# Both are open at the same time; returns the ids, that of $one first.
sub two_requests
{
	my ($cluster) = @_;

	$_->query_safe('BEGIN') for $one, $other;
	return (
		$one->query_safe("SELECT power_action.power_off('$cluster')"),
		$other->query_safe("SELECT power_action.power_on('$cluster')"));
}

my ($off, $on) = two_requests('in-turn');
$one->query_safe('COMMIT');
is(finish($site, $off), 'success|confirmed', 'first requested, first committed');
$other->query_safe('COMMIT');
is(finish($site, $on), 'success|confirmed', 'the second follows');
is(orders('in-turn'), "Off $off On $on", 'each at its commit');
is(cluster_status('in-turn'), 'running', 'the later stands');

($off, $on) = two_requests('reversed');
$other->query_safe('COMMIT');
is(finish($site, $on), 'success|confirmed', 'second requested, first committed');
$one->query_safe('COMMIT');
is(finish($site, $off), 'success|confirmed', 'the first follows');
is(orders('reversed'), "On $on Off $off", 'what is not visible has no turn');
is(cluster_status('reversed'), 'stopped', 'what was committed last stands');

# Visible together: as requested, in whatever order they were committed.
set_conf($site, 'power_action.enabled', 'off');
($off, $on) = two_requests('waiting');
$other->query_safe('COMMIT');
$one->query_safe('COMMIT');
set_conf($site, 'power_action.enabled', undef);
is(finish($site, $on), 'success|confirmed', 'committed in reverse, not sent yet');
is(finish($site, $off), 'cancelled|none', 'the one requested first is superseded');
is(event_value($site, $off, 'superseded_by, attempts'), "$on|0", 'by the other');
is(orders('waiting'), "On $on", 'and never sent');

# Committed while the other is in flight.
($off, $on) = two_requests('flight');
freeze();
$other->query_safe('COMMIT');
poll_event($site, $on, q{status = 'running'});
$one->query_safe('COMMIT');
my $marker = in_flight('power_off', 'kept');
is(event_value($site, $off, 'status, attempts'), 'pending|0',
	'committed beside a call in flight: waits');
thaw();
is(finish($site, $_), 'success|confirmed', "event $_ is done") for $on, $marker;
is(finish($site, $off), 'success|confirmed', 'has its turn after it');
is(orders('flight'), "On $on Off $off", 'not before');

# ----------------------------------------------------------------------
# Two sessions with the same request_key
# ----------------------------------------------------------------------

# Beside commit and rollback, which 022_order has: a savepoint.
$one->query_safe("BEGIN;\nSAVEPOINT s");
my $id = $one->query_safe(
	q{SELECT power_action.power_off('key', 'alice', request_key => 'k')});
$other->query_until(qr/asking/, q{\echo asking
SELECT 'got ' || power_action.power_off('key', 'alice', request_key => 'k');
});
poll_value($node, 'fleet', q{
	SELECT count(*) = 1 FROM pg_stat_activity
	WHERE wait_event_type = 'Lock' AND query LIKE '%got%' AND pid <> pg_backend_pid()});
$one->query_safe('ROLLBACK TO s');
my ($got) = $other->query_safe(q{SELECT 'and on'}) =~ /^got (\d+)/;
isnt($got, $id, 'request_key: free again after a rollback to a savepoint');
is($one->query_safe(
		q{SELECT power_action.power_off('key', 'alice', request_key => 'k')}),
	$got, 'and then the key of the other');
$one->query_safe('COMMIT');
is(finish($site, $got), 'success|confirmed', 'which is done');
is(orders('key'), "Off $got", 'once');

# ----------------------------------------------------------------------
# Transactions in two phases, and in parts
# ----------------------------------------------------------------------

$one->query_safe('BEGIN');
$off = $one->query_safe(q{SELECT power_action.power_off('prepared')});
$one->query_safe(q{PREPARE TRANSACTION 'one'});
$on = request($site, 'power_on', 'prepared');
is(finish($site, $on), 'success|confirmed', 'beside a prepared request');
is(fence(), 'success|confirmed', 'looks for what was not notified go on');
is(orders('prepared'), "On $on", 'which is not sent');
value($site, q{COMMIT PREPARED 'one'});
is(finish($site, $off), 'success|confirmed', 'until it is committed');
is(orders('prepared'), "On $on Off $off", 'then it is');

# Opposite ones, both prepared, one rolled back.
($off, $on) = two_requests('both');
$one->query_safe(q{PREPARE TRANSACTION 'one'});
$other->query_safe(q{PREPARE TRANSACTION 'other'});
value($site, q{ROLLBACK PREPARED 'other'});
value($site, q{COMMIT PREPARED 'one'});
is(finish($site, $off), 'success|confirmed', 'two are prepared: one is done');
is(fence(), 'success|confirmed', 'and after the next looks');
is(orders('both'), "Off $off", 'the other never was');

# Ids of one commit, some of them of parts that were rolled back.
$one->query_safe('BEGIN');
my @kept;
for my $part (1 .. 3)
{
	$one->query_safe('SAVEPOINT outer_part');
	$one->query_safe(q{SELECT power_action.power_on('savepoint')});
	$one->query_safe('ROLLBACK TO outer_part');
	$one->query_safe('SAVEPOINT part');
	push @kept,
	  $one->query_safe(q{SELECT power_action.power_off('savepoint')});
	$one->query_safe('RELEASE part');
}
$one->query_safe('COMMIT');
is(finish($site, $_), 'success|confirmed', "part of a transaction: $_ is done")
  for @kept;
is(orders('savepoint'), "Off $kept[0]",
	'answered together, and nothing of what was rolled back');

# ----------------------------------------------------------------------
# Cancel
# ----------------------------------------------------------------------

sub cancel
{
	return value($site, "SELECT power_action.cancel($_[0], 'alice')");
}

# In the transaction that requests: the worker sees both or neither.  Whether
# it could see the request alone is a matter of microseconds, so: many times.
my $rounds = 500;
$one->query_safe(qq{
	DO \$\$
	BEGIN
		FOR i IN 1 .. $rounds LOOP
			PERFORM power_action.cancel(power_action.power_off('claim'), 'alice');
			COMMIT;
		END LOOP;
	END\$\$});
finish_all($site);
is( value($site, q{
	SELECT status, agent_result, attempts, count(*) FROM power_action.event
	WHERE cluster_id = 'claim' GROUP BY 1, 2, 3}),
	"cancelled|none|0|$rounds",
	'cancel in the transaction of the request: never sent');
is(orders('claim'), '', 'indeed');

# Claimed, without a place for its call.
freeze();
my $first = in_flight('power_off', 'first');
my $second = request($site, 'power_off', 'second');
$marker = in_flight('power_off', 'kept');
cancel($second);
is(finish($site, $second), 'cancelled|none', 'cancel of one that is claimed');
thaw();
is(finish($site, $_), 'success|confirmed', "event $_ goes on")
  for $first, $marker;
is(orders('second'), '', 'and it is never sent');

# The agent has answered, the outcome waits for a lock.
$other->query_safe('BEGIN');
$other->query_safe(
	q{SELECT FROM power_action.cluster WHERE cluster_id = 'answered' FOR UPDATE});
$id = request($site, 'power_off', 'answered');
waits_for($id, 'lock');
like(cancel($id), qr/^(?:pending|running)$/, 'cancel after the answer');
fence();
$other->query_safe('ROLLBACK');
is(finish($site, $id), 'success|confirmed', 'is too late: what was done stays');

# In the middle of writing: the transaction is open, and held.
value(
	$site, q{
	CREATE TABLE gate (closed boolean);
	INSERT INTO gate VALUES (true);
	CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		WHILE (SELECT closed FROM public.gate) LOOP
			PERFORM pg_sleep(0.01);
		END LOOP;
		RETURN NULL;
	END$$;
	CREATE TRIGGER hold AFTER UPDATE ON power_action.event
	FOR EACH ROW WHEN (NEW.cluster_id = 'written' AND NEW.status = 'success')
	EXECUTE FUNCTION hold()});
$id = request($site, 'power_off', 'written');
poll_value($node, 'fleet', q{
	SELECT count(*) = 1 FROM pg_stat_activity
	WHERE backend_type = 'power_action worker' AND wait_event = 'PgSleep'});
like(cancel($id), qr/^(?:pending|running)$/,
	'cancel while the outcome is written');
value($site, 'UPDATE gate SET closed = false');
is(finish($site, $id), 'success|confirmed', 'is too late, too');
value($site, 'DROP TRIGGER hold ON power_action.event');

# Not committed: it is as if nobody had asked.
freeze();
$id = in_flight('power_off', 'undone');
$one->query_safe("BEGIN;\nSELECT power_action.cancel($id);\nROLLBACK");
$one->query_safe(
	"BEGIN;\nSAVEPOINT s;\nSELECT power_action.cancel($id);\nROLLBACK TO s;\nCOMMIT");
$marker = in_flight('power_off', 'kept');
is(event_value($site, $id, 'status'), 'running', 'cancel rolled back: in flight');
thaw();
is(finish($site, $id), 'success|confirmed', 'and done');
is(finish($site, $marker), 'success|confirmed', 'as is another');

# In two phases: nothing happens before the second.
freeze();
$id = in_flight('power_off', 'two-phase');
$one->query_safe(
	"BEGIN;\nSELECT power_action.cancel($id, 'alice');\nPREPARE TRANSACTION 'cancel'");
my $kept = in_flight('power_off', 'kept');
is(event_value($site, $id, 'status'), 'running', 'cancel prepared: in flight');
value($site, q{COMMIT PREPARED 'cancel'});
is(finish($site, $id), 'cancelled|unknown', 'cancel committed: cancelled');
thaw();
is(finish($site, $kept), 'success|confirmed', 'another one is not affected');

# ----------------------------------------------------------------------
# Identical requests
# ----------------------------------------------------------------------

# What comes while a call is in flight may want what that call brings, but
# might as well come after something else: it has a call of its own.
freeze();
my @same = in_flight('power_off', 'same');
push @same, request($site, 'power_off', 'same') for 1 .. 3;
waits_for($_, "event $same[0]") for @same[ 1 .. 3 ];
thaw();
is(finish($site, $_), 'success|confirmed', "identical: event $_ is done")
  for @same;
is(orders('same'), "Off $same[0] Off $same[1]",
	'those behind a call in flight share another');
is(event_value($site, $_, 'attempts'), 1, 'with one attempt') for @same;

# One that comes to another in backoff goes along with its next attempt.
set_conf($site, "power_action.$_", '1h') for qw(max_backoff initial_backoff);

sub in_backoff
{
	my ($cluster, $more) = @_;
	my $waiting = request($site, 'power_off', $cluster, $more);

	poll_value($node, 'fleet',
		"SELECT retry_at > now() FROM power_action.job WHERE event_id = $waiting");
	return $waiting;
}

$first = in_backoff('busy-super');
is(event_value($site, $first, 'status, agent_result, attempts'),
	'running|none|1', 'in backoff, surely not carried out');
$second = request($site, 'power_off', 'busy-super');
waits_for($second, "event $first");
$on = request($site, 'power_on', 'busy-super');
is(finish($site, $first), 'cancelled|none',
	'superseded in backoff: it has not been carried out');
is(finish($site, $second), 'cancelled|none', 'nor has the identical one');
is(finish($site, $on), 'success|confirmed', 'the opposite is done');
is(orders('busy-super'), "On $on", 'alone');

# The same after an attempt of which nobody knows.
$first = in_backoff('lost-super');
is(event_value($site, $first, 'status, agent_result'),
	'running|unknown', 'in backoff, perhaps carried out');
$on = request($site, 'power_on', 'lost-super');
is(finish($site, $first), 'cancelled|unknown',
	'superseded in backoff: nobody knows');
is(event_value($site, $first, 'superseded_by'), $on, 'by the opposite');
is(finish($site, $on), 'success|confirmed', 'which is done');
is(cluster_status('lost-super'), 'running', 'and stands');

# ----------------------------------------------------------------------
# Expiry
# ----------------------------------------------------------------------

# It says until when an order may be sent: one in flight is not too late.
freeze();
$id = in_flight('power_off', 'late', q{expires_at => clock_timestamp() + '300 ms'});
poll_event($site, $id, q{expires_at < clock_timestamp()});
value($site, 'SELECT power_action.cancel(power_action.power_off($$plain$$))');
is(event_value($site, $id, 'status'), 'running', 'expired in flight: it goes on');
thaw();
is(finish($site, $id), 'success|confirmed', 'and is done');

# One in backoff is, whatever it may have done.
$id = in_backoff('lost-late', q{expires_at => clock_timestamp() + '1 s'});
is(finish($site, $id), 'failed|unknown|request|DEADLINE_EXCEEDED',
	'expired after an attempt that may have been carried out: unknown');
set_conf($site, "power_action.$_", undef) for qw(max_backoff initial_backoff);

# What a worker's predecessor may have sent.
freeze();
my @sent = map { in_flight('power_off', $_) } qw(claim key);
my $worker = worker_pid($node, 'fleet');
set_conf($site, 'power_action.enabled', 'off');
value($site, "SELECT pg_terminate_backend($worker)");
wait_for_worker($node, 'fleet', $worker);
my $opposite = request($site, 'power_on', 'key');
cancel($sent[0]);
is(finish($site, $sent[0]), 'cancelled|unknown',
	'cancel of what another worker has sent: unknown');
set_conf($site, 'power_action.enabled', undef);
thaw();
is(finish($site, $sent[1]), 'cancelled|unknown', 'superseded: the same');
is(finish($site, $opposite), 'success|confirmed', 'the opposite is done');

# ----------------------------------------------------------------------
# Instances that end
# ----------------------------------------------------------------------

# One that has ended is not named to the agent, and stays so; if the last one
# goes between request and call, nothing is sent.
value(
	$site, q{
	UPDATE power_action.instance SET status = 'terminated'
	WHERE cluster_id = 'ends' AND instance_id = 'i-2'});
set_conf($site, 'power_action.enabled', 'off');
my ($some, $none) = map { request($site, 'power_off', $_) } qw(ends gone);
value($site, q{DELETE FROM power_action.instance WHERE cluster_id = 'gone'});
set_conf($site, 'power_action.enabled', undef);
is(finish($site, $some), 'success|confirmed', 'an instance has ended: done');
is((agent_lines($agent, 'ends', 'start', 1))[0]{instances},
	1, 'it was not named to the agent');
is( value($site, q{
	SELECT string_agg(status, ' ' ORDER BY instance_id)
	FROM power_action.instance WHERE cluster_id = 'ends'}),
	'stopped terminated',
	'and stays ended');
is(finish($site, $none), 'failed|none|request|FAILED_PRECONDITION',
	'all of them have gone: fails');
is(orders('gone'), '', 'without a call');

# ----------------------------------------------------------------------

finish_all($site);
is(value($site, 'SELECT count(*) FROM power_action.cancellation'),
	0, 'all requests to cancel are dealt with');
is( scalar(grep { $_->{event} eq 'start' && $_->{in_flight_same_cluster} > 0 }
		  all_agent_lines($agent)),
	0,
	'never two orders for a cluster at a time');
$_->quit for $one, $other;
ok_checked($site);

done_testing();
