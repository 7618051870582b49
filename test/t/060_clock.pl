# test/t/060_clock.pl
#
# The clock of the server is set back by an hour, and put forward by days.
# That of agents and couriers is not.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run ();
use PostgreSQL::Test::Utils;
use PowerActionSequence;
use PowerActionTest;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir('clock');
my $library = "$dir/moved_clock.so";
system_or_bail($ENV{CC} // 'cc', '-shared', '-fPIC', '-O2', '-o', $library,
	"$FindBin::RealBin/moved_clock.c");

# Moves the clock of the servers that run with it, by seconds from ours.
# passed: what measures how long something takes is moved as well, as if all
# that time had passed.
sub set_clock
{
	my ($seconds, $passed) = @_;

	open my $file, -e "$dir/moved" ? '+<' : '>', "$dir/moved" or die $!;
	syswrite $file, pack('q2', $seconds * 1e6, $passed ? $seconds * 1e6 : 0);
	close $file or die $!;
	return;
}

sub pass_time
{
	my ($seconds) = @_;

	set_clock($seconds, 1);
	return;
}

sub start_with_clock
{
	my ($node) = @_;

	local $ENV{LD_PRELOAD} = $library;
	local $ENV{MOVED_CLOCK} = "$dir/moved";
	$node->start;
	return;
}

# Sets the clock back and waits until the worker has noticed.
sub set_back
{
	my ($site, $offset) = @_;
	my $seen = log_count($site->{node}, qr/found the clock set back/);

	set_clock($offset);
	wait_until('the worker sees that the clock was set back',
		sub { log_count($site->{node}, qr/found the clock set back/) > $seen });
	return;
}

# Whether every event and attempt has its times in order.
sub ok_times
{
	my ($site) = @_;

	is( value($site, q{
		SELECT e.event_id FROM power_action.event e
		WHERE NOT coalesce(started_at, requested_at) >= requested_at
			  OR NOT finished_at >= coalesce(started_at, requested_at)
		UNION ALL
		SELECT e.event_id FROM power_action.attempt a
		JOIN power_action.event e USING (event_id)
		WHERE NOT (a.started_at >= e.started_at
				   AND a.finished_at >= a.started_at)}),
		'',
		'events and attempts have their times in order');
	ok_consistent($site);
	return;
}

# What the agent was ordered to do with a cluster, in order.
sub orders
{
	my ($site, $cluster, $count) = @_;

	return join ' ', map { $_->{method} =~ s/Cluster$//r }
	  agent_lines($site->{agent}, $cluster, 'start', $count);
}

sub go_away
{
	my ($site) = @_;

	stop_agent($site->{agent});
	poll_value($site->{node}, $site->{database},
		q{SELECT state = 'unreachable' FROM power_action.agent_status
		 WHERE server_name = 'agent'});
	return;
}

sub come_back
{
	my ($site) = @_;

	$site->{agent} = restart_agent($site->{agent});
	return;
}

my $hour = 3600;

# ----------------------------------------------------------------------
# Set back
# ----------------------------------------------------------------------

my $site = new_site(
	'back',
	conf => <<'CONF',
max_prepared_transactions = 5
power_action.resolve_unknown = off
CONF
	agent => [ '--initial-state', 'running' ],
	rules => <<'RULES');
slow-*    latency=1s
flaky-*   status=UNAVAILABLE times=1
RULES
my $node = $site->{node};

add_clusters($site, 'prod', 'last', 'later', 'soon', 'twice', 'prepared',
	'scheduled', 'locked', 'flaky-2', 'flaky-3', 'slow-1', 'flaky-1',
	map { "queued-$_" } 1 .. 3);
value($site, q{
	INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name)
	SELECT 'many-' || n, 'many', 'prod' FROM generate_series(1, 1200) n;
	INSERT INTO power_action.instance (cluster_id, instance_id)
	SELECT 'many-' || n, 'i' FROM generate_series(1, 1200) n});
my $narrow_agent = start_agent(undef, '--initial-state', 'running');
create_agent_server($node, 'fleet', $narrow_agent,
	name => 'narrow', max_concurrent_calls => 1);
add_account($site, 'narrow', 'narrow');
add_clusters($site, 'narrow', map { "narrow-$_" } 1 .. 3);
set_clock(0);
$node->stop;
start_with_clock($node);
wait_for_worker($node, 'fleet');
is(finish($site, request($site, 'power_off', 'twice')),
	'success|confirmed', 'the server works with a clock of its own');
is( value($site,
		q{SELECT extract(epoch FROM clock_timestamp()) > } . (time() - 60)),
	't',
	'which is right for now');

# In the queue, sessions and transactions under way when it happens.
go_away($site);
my @queued = map { request($site, 'power_off', "queued-$_") } 1 .. 3;
my $first = request($site, 'power_off', 'last');
my $middle = request($site, 'power_on', 'last');
my $scheduled = request($site, 'power_off', 'scheduled',
	q{not_before => clock_timestamp() + '30 min'});
my $late = $node->background_psql('fleet');
$late->query_safe('BEGIN');
my $late_id = $late->query_safe(q{SELECT power_action.power_off('later')});
my $many = $node->background_psql('fleet');
$many->query_safe('BEGIN');
my $many_first = $many->query_safe(q{
	SELECT min(event_id) FROM power_action.power_off(
		ARRAY(SELECT 'many-' || n FROM generate_series(1, 1200) n))});
my $waiting = $node->background_psql('fleet');
$waiting->query_until(qr/waits/, qq{\\echo waits
SELECT 'it is ' || status FROM power_action.wait_for($queued[0], '3 s');
});
my $calling = $node->background_psql('fleet', on_error_stop => 0);
$calling->query_until(qr/waits/, qq{\\echo waits
CALL power_action.power_off_and_wait('soon', timeout => '3 s');
});
poll_value($node, 'fleet', q{
	SELECT count(*) = 2 FROM pg_stat_activity
	WHERE wait_event_type IN ('Extension', 'IPC', 'Timeout')
		  AND query ~ 'wait_for|power_off_and_wait'
		  AND backend_type = 'client backend'});
value($site, q{
	BEGIN;
	SELECT power_action.power_off('prepared');
	PREPARE TRANSACTION 'p'});

set_back($site, -$hour);
is( log_count($node,
		qr/found the clock set back by (?:3599|3600)\.\d+ s\n.*moved back: 6\./),
	1,
	'the log says so, by how much, and for how many actions');
is( value($site, 'SELECT max(due_at) <= clock_timestamp() FROM power_action.job WHERE not_before IS NULL'),
	't',
	'what was due stays due');
is( value($site, "SELECT waits_for FROM power_action.activity WHERE event_id = $scheduled"),
	'not before',
	'what has its time waits for that');
is( value($site, "SELECT due_at = not_before FROM power_action.job WHERE event_id = $scheduled"),
	't',
	'which stays');
like($waiting->query_safe(q{SELECT 'and on'}), qr/it is pending/,
	'wait_for ends in time');
$calling->query(q{SELECT 'and on'});
like($calling->{stderr}, qr/no outcome after 00:00:03/,
	'power_off_and_wait, too');
$_->quit for ($waiting, $calling);

my $last = request($site, 'power_off', 'last');
come_back($site);
is(finish($site, $_), 'success|confirmed', 'queued before: it is done')
  for @queued;
is(outcome($site, $first), 'cancelled|none', 'the first of opposite ones');
is(finish($site, $last), 'success|confirmed',
	'the last one, requested after it');
is(outcome($site, $middle), 'cancelled|none', 'the middle one');
is( event_value($site, $first, 'superseded_by')
	  . ' '
	  . event_value($site, $middle, 'superseded_by'),
	"$middle $last",
	'each superseded by the next');
is(orders($site, 'last', 1), 'PowerOff', 'the agent has seen that one only');
# One after the other: what one of them makes known helps the rest.
$late->query_safe('COMMIT');
is(finish($site, $late_id), 'success|confirmed',
	'requested before and committed after it');
$many->query_safe('COMMIT');
poll_value($node, 'fleet', qq{
	SELECT count(*) = 1200 FROM power_action.event
	WHERE cluster_id LIKE 'many-%' AND status = 'success'
		  AND event_id >= $many_first});
pass('so many that they are not looked at one by one');
$_->quit for ($late, $many);
value($site, q{COMMIT PREPARED 'p'});
is( finish($site, value($site,
		q{SELECT event_id FROM power_action.event WHERE cluster_id = 'prepared'})),
	'success|confirmed',
	'prepared before and committed after it: found by the periodic look');
is( event_value($site, $scheduled,
		'status, requested_at > clock_timestamp(), attempts'),
	'pending|t|0',
	'what has its time was not sent');
ok_times($site);

is(log_count($node, qr/found the clock set back/), 1, 'the log says it once');

# Somebody else's jobs, made by a clock that was ahead.
go_away($site);
my $adopted = request($site, 'power_off', 'queued-1');
my $adopted_later = request($site, 'power_off', 'queued-2',
	q{not_before => clock_timestamp() + '1 day'});
value($site, qq{
	UPDATE power_action.event SET requested_at = requested_at + interval '2 h'
	WHERE event_id IN ($adopted, $adopted_later);
	UPDATE power_action.job SET origin_database = 1, due_at =
		CASE WHEN not_before IS NULL THEN due_at + interval '2 h' ELSE due_at END
	WHERE event_id IN ($adopted, $adopted_later)});
is( value($site, qq{
		BEGIN;
		SELECT power_action.adopt();
		SELECT due_at <= clock_timestamp() FROM power_action.job
		WHERE event_id = $adopted;
		COMMIT}),
	"2\nt",
	'adopted from a server whose clock is ahead: due');
come_back($site);
is(finish($site, $adopted), 'success|confirmed',
	'and done');
is( value($site, qq{
		SELECT j.due_at = e.not_before FROM power_action.job j
		JOIN power_action.event e USING (event_id)
		WHERE event_id = $adopted_later}),
	't',
	'with its time: not before that');
value($site, "SELECT power_action.cancel($adopted_later)");

# Put forward: what has its time is done then.
set_clock($hour);
is(finish($site, $scheduled), 'success|confirmed',
	'not_before counts by the clock of the server');
is(event_value($site, $scheduled, 'started_at >= not_before'), 't',
	'not before it');

# Behind one that is in flight, and one whose outcome cannot be written yet.
my $lock = $node->background_psql('fleet');
$lock->query_safe(
	q{BEGIN; SELECT FROM power_action.cluster WHERE cluster_id = 'locked' FOR UPDATE});
my @flying = map { request($site, 'power_off', $_) } qw(locked slow-1);
poll_value($node, 'fleet',
	"SELECT waits_for = 'lock' FROM power_action.activity WHERE event_id = $flying[0]");
poll_event($site, $flying[1], q{status IN ('running', 'success')});
my @behind = map { request($site, 'power_on', $_) } qw(locked slow-1);
set_conf($site, 'power_action.initial_backoff', '3s');
set_conf($site, 'power_action.max_backoff', '3s');
my $retried = request($site, 'power_off', 'flaky-1');
set_back($site, 0);
my @end = map { request($site, 'power_off', $_) } qw(locked slow-1);
$lock->query_safe('COMMIT');
$lock->quit;
is(finish($site, $_), 'success|confirmed', 'under way: it ends') for @flying;
is(finish($site, $_), 'success|confirmed', 'the last one is done') for @end;
is(outcome($site, $behind[0]), 'cancelled|none', 'not the one before');
is(orders($site, 'locked', 2), 'PowerOff PowerOff', 'as the agent has seen it');
like(orders($site, 'slow-1', 2), qr/PowerOff$/,
	'a slow agent: the last one comes last');
is(finish($site, $retried), 'success|confirmed', 'what is retried goes on');
is(event_value($site, $retried, 'attempts'), 2, 'with another attempt');

# A lane that was read in part only, and that no look is going to read again:
# what it began with is known to be complete.
is(finish($site, request($site, 'power_off', 'narrow-1')),
	'success|confirmed', 'an agent that does one thing at a time');
kill 'STOP', $narrow_agent->{pid} or die $!;
set_conf($site, 'power_action.enabled', 'off');
my @narrow = map { request($site, 'power_on', "narrow-$_") } 1 .. 3;
set_conf($site, 'power_action.enabled', undef);
poll_event($site, $narrow[0], q{status = 'running'});
for my $look (1 .. 3)
{
	value($site, qq{
		BEGIN;
		SELECT power_action.refresh('prepared');
		PREPARE TRANSACTION 'look $look';
		COMMIT PREPARED 'look $look'});
	poll_value($node, 'fleet',
		q{SELECT count(*) = 0 FROM power_action.job WHERE cluster_id = 'prepared'});
}

# A retry that lies in the future by the clock that was set back, and another
# that something with its time overtakes.
$retried = request($site, 'power_off', 'flaky-2');
my $overtaken = request($site, 'power_off', 'flaky-3');
poll_event($site, $_, 'attempts = 1') for ($retried, $overtaken);
set_back($site, -$hour);
my $overtaking = request($site, 'power_on', 'flaky-3',
	q{not_before => clock_timestamp() + '100 ms'});
kill 'CONT', $narrow_agent->{pid};
is(finish($site, $_), 'success|confirmed', 'it does all that it was to do')
  for @narrow;
is(finish($site, $retried), 'success|confirmed', 'in backoff: it goes on');
is(finish($site, $overtaking), 'success|confirmed',
	'what is due later overtakes one in backoff');
like(finish($site, $overtaken), qr/^(?:cancelled\|unknown|success\|confirmed)$/,
	'which is superseded, unless it was earlier');
ok_times($site);

# Requests that are made, and one that is not committed, before the worker
# sees it.
set_clock(0);
go_away($site);
my @unseen = map { request($site, 'power_on', $_) } qw(last locked);
my $worker = worker_pid($node, 'fleet');
kill 'STOP', $worker or die "$worker: $!\n";
set_clock(-$hour);
$late = $node->background_psql('fleet');
$late->query_safe('BEGIN');
push @unseen,
  $late->query_safe(q{SELECT power_action.power_off('locked')});
push @unseen, request($site, 'power_off', 'last');
my $seen = log_count($node, qr/found the clock set back/);
kill 'CONT', $worker;
wait_until('the worker sees that the clock was set back',
	sub { log_count($node, qr/found the clock set back/) > $seen });
is( value($site, q{
		SELECT string_agg(event_id::text, ' ' ORDER BY due_at, event_id)
		FROM power_action.job WHERE cluster_id = 'last'}),
	"$unseen[0] $unseen[3]",
	'the order of the requests');
$late->query_safe('COMMIT');
$late->quit;
come_back($site);
is(finish($site, $_), 'success|confirmed', 'the last one stands')
  for @unseen[ 2, 3 ];
is(event_value($site, $unseen[$_], 'superseded_by'),
	$unseen[ 3 - $_ ], 'not the one before')
  for 0 .. 1;
ok_times($site);

# A restart with the clock behind, with a retry and more of the queue ahead.
set_clock(0);
go_away($site);
my $was_due = request($site, 'power_on', 'scheduled',
	q{not_before => clock_timestamp() + '100 ms'});
poll_event($site, $was_due, 'not_before < clock_timestamp()');
my $maybe = request($site, 'power_on', 'twice');
my $ahead = request($site, 'power_off', 'later');
my $waits = request($site, 'power_off', 'soon');
value($site, "UPDATE power_action.job SET retry_at = clock_timestamp() + '3 s'
	WHERE event_id = $waits");
my $log_end = -s $node->logfile;
$node->stop('immediate');
set_clock(-3 * $hour);
start_with_clock($node);
wait_for_worker($node, 'fleet');
my $newer = request($site, 'power_on', 'later');
wait_until('the worker says how far its jobs are ahead',
	sub { log_count($node, qr/set back by (?:10799|10800)\.\d+ s\n.*moved back: 3\./, $log_end) == 1 });
for my $id ($maybe, $was_due)
{
	value($site, "SELECT power_action.cancel($id)");
	is(finish($site, $id), 'cancelled|unknown',
		'what was due before the restart may have been sent');
}
come_back($site);
is(finish($site, $newer), 'success|confirmed', 'the last one stands');
is(outcome($site, $ahead), 'cancelled|unknown', 'not the one before');
is(finish($site, $waits), 'success|confirmed',
	'one that was to be tried again soon is');
ok_times($site);
$node->stop;

# ----------------------------------------------------------------------
# As if time had passed
# ----------------------------------------------------------------------

my $minute = 60;
my $day = 24 * $hour;
my $patient = new_site(
	'forward',
	conf => <<'CONF',
max_prepared_transactions = 5
power_action.event_retention = '30d'
CONF
	agent => [ '--initial-state', 'running' ]);
my $slow_agent =
  start_agent(undef, qw(--initial-state running --transition-time 60min));
create_agent_server($patient->{node}, 'fleet', $slow_agent, name => 'slow');
add_account($patient, 'slow', 'slow');

add_clusters($patient, 'prod', qw(scheduled expired given-up kept old));
add_clusters($patient, 'slow', 'sloth-1');
pass_time(0);
$patient->{node}->stop;
start_with_clock($patient->{node});
wait_for_worker($patient->{node}, 'fleet');

my $old = request($patient, 'power_off', 'old');
is(finish($patient, $old), 'success|confirmed', 'one that will be old');

my $slow = request($patient, 'power_off', 'sloth-1');
poll_event($patient, $slow, q{agent_result = 'accepted'});
pass_time(9 * $minute);
is(finish($patient, request($patient, 'power_off', 'kept')),
	'success|confirmed', 'after 9 minutes others are done');
is(outcome($patient, $slow), 'running|accepted', 'an order may be confirmed yet');
pass_time(11 * $minute);
is(finish($patient, $slow), 'failed|partial|agent|DEADLINE_EXCEEDED',
	'confirm_timeout: after 10 minutes it may not');

my $in_three_days = request($patient, 'power_off', 'scheduled',
	q{not_before => clock_timestamp() + '3 days'});
go_away($patient);
my $in_a_day = request($patient, 'power_off', 'expired',
	q{expires_at => clock_timestamp() + '1 day', not_before => clock_timestamp() + '23 h 30 min'});
my $given_up = request($patient, 'power_off', 'given-up');
pass_time(11 * $minute + 59 * $minute);
value($patient, q{SELECT power_action.cancel(event_id) FROM
	(SELECT power_action.power_off('kept') AS event_id) r});
poll_value($patient->{node}, 'fleet',
	'SELECT count(*) = 0 FROM power_action.cancellation');
is(outcome($patient, $given_up), 'pending|none', 'it waits for its agent');
pass_time(11 * $minute + 61 * $minute);
is(finish($patient, $given_up), 'failed|none|transport|UNAVAILABLE',
	'give_up_after: not for more than an hour');
is(outcome($patient, $in_a_day), 'pending|none', 'what is due later waits');

pass_time($day + 12 * $minute);
is(finish($patient, $in_a_day), 'failed|none|request|DEADLINE_EXCEEDED',
	'expires_at: failed a day later');
come_back($patient);
is(finish($patient, request($patient, 'power_off', 'kept')),
	'success|confirmed', 'others are done');
is(outcome($patient, $in_three_days), 'pending|none',
	'what has its time on the third day is not');
pass_time(3 * $day + 12 * $minute);
is(finish($patient, $in_three_days), 'success|confirmed',
	'not_before: done on the third day');
ok_times($patient);

is(event_value($patient, $old, 'count(*)'), 1, 'events stay for 30 days');
pass_time(30 * $day + 5 * $minute);
poll_value($patient->{node}, 'fleet',
	"SELECT count(*) = 0 FROM power_action.event WHERE event_id = $old");
is(event_value($patient, $in_three_days, 'status'), 'success',
	'event_retention: the old one goes, the others stay');
ok_consistent($patient);
$patient->{node}->stop;

done_testing();
