# test/t/050_worker_ends.pl
#
# The worker ends at each step of an action: terminated by an administrator,
# with every session when one of them crashes, or together with the whole
# server when the postmaster is killed.  Nothing is
# lost, what goes again has the same request id, the agent acts once, and no
# process stays behind.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PowerActionSequence;
use PowerActionTest;

my $site = new_site(
	'main',
	conf => "power_action.max_attempts = 20\nrestart_after_crash = on\n",
	agent => [qw(--initial-state running)],
	rules => <<'RULES');
before*  hang times=1
after*   hang when=after times=1
first    hang times=1
crash*   hang when=after times=1
backoff  status=UNAVAILABLE message="try later" times=1
RULES
my $node = $site->{node};
my $agent = $site->{agent};

# One that takes its time, and may be asked how far it has come.
my $slow_agent = start_logging_agent(
	rules => "asked state hang times=1\n",
	qw(--initial-state running --transition-time 300ms));
create_agent_server($node, 'fleet', $slow_agent, name => 'slow');
create_agent_server($node, 'fleet', $agent,
	name => 'narrow', max_concurrent_calls => 1);
add_account($site, 'slow', 'slow');
add_account($site, 'narrow', 'narrow');
add_clusters($site, 'prod', qw(plain before after lock backoff crash
	crash-worker before-kill after-kill stopped answered lock-kill trigger));
add_clusters($site, 'slow', qw(confirmed asked));
add_clusters($site, 'narrow', qw(first second third));

# What the agent must have been told, and how often it may have acted.
my @events;

sub ask
{
	my ($action, $cluster) = @_;
	my $id = request($site, $action, $cluster);

	push @events, $id;
	return $id;
}

sub in_flight
{
	my ($cluster) = @_;
	my $id = ask('power_off', $cluster);

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

sub courier_pid
{
	poll_value($node, 'fleet',
		'SELECT courier_pid > 0 FROM power_action.worker_status');
	return value($site, 'SELECT courier_pid FROM power_action.worker_status');
}

# Alive, and not merely waiting to be reaped by whoever became its parent.
sub lives
{
	my ($pid) = @_;

	return (eval { slurp_file("/proc/$pid/stat") } // '') =~ /\) [^Z]/;
}

# Ends the worker in the way named and waits for another one.
sub end_worker
{
	my ($how) = @_;
	my $worker = worker_pid($node, 'fleet');
	my $courier = courier_pid();

	if ($how eq 'SIGTERM')
	{
		kill 'TERM', $worker or die "no worker $worker";
	}
	else
	{
		value($site, "SELECT pg_terminate_backend($worker)");
	}
	wait_for_worker($node, 'fleet', $worker);
	wait_until("the courier $courier has ended", sub { !lives($courier) });
	return;
}

# The requests of a cluster that the agent has answered are one, each time the
# same, and it acted for it once.
sub is_one_request
{
	my ($which, $cluster, $id, $count, $name) = @_;
	my %requests =
	  map { $_->{request_id} => 1 }
	  grep { $_->{method} ne 'GetClusterPowerState' }
	  agent_lines($which, $cluster, 'end', $count);
	my @acted = agent_lines($which, $cluster, 'start', 1);

	like(join(' ', sort keys %requests),
		qr{^\d+/\d+/$id/\d+$}, "$name: sent again as the same request");
	is(scalar(@acted), 1, 'the agent acted once');
	return;
}

# ----------------------------------------------------------------------
# The worker is ended
# ----------------------------------------------------------------------

my $id = in_flight('before');
end_worker('pg_terminate_backend');
is(finish($site, $id), 'success|confirmed',
	'call in flight, the agent had not acted: done');
is_one_request($agent, 'before', $id, 2, 'call in flight');

$id = in_flight('after');
end_worker('SIGTERM');
is(finish($site, $id), 'success|confirmed',
	'call in flight, the agent had acted: done');
is_one_request($agent, 'after', $id, 2, 'call in flight');

# Claimed, but there is no place for its call yet.
my @ids = (in_flight('first'), map { ask('power_off', $_) } qw(second third));
end_worker('pg_terminate_backend');
is(finish($site, $_), 'success|confirmed', "claimed, not sent: $_ is done")
  for @ids;
is_one_request($agent, 'second', $ids[1], 1, 'claimed');
is(scalar(agent_lines($agent, 'second', 'end', 1)), 1, 'by one call');

# The agent has answered, a row is locked.
my $locker = $node->background_psql('fleet');
$locker->query_safe('BEGIN');
$locker->query_safe(
	q{SELECT FROM power_action.cluster WHERE cluster_id = 'lock' FOR UPDATE});
$id = ask('power_off', 'lock');
waits_for($id, 'lock');
end_worker('pg_terminate_backend');
waits_for($id, 'lock');
is(outcome($site, $id), 'pending|none',
	'outcome blocked by a lock: the next worker waits, too');
$locker->query_safe('ROLLBACK');
is(finish($site, $id), 'success|confirmed', 'and writes it');
is_one_request($agent, 'lock', $id, 2, 'outcome blocked');

# The next attempt has its time.
set_conf($site, "power_action.$_", '1h') for qw(max_backoff initial_backoff);
$id = in_flight('backoff');
waits_for($id, 'retry');
my $retry = "SELECT retry_at FROM power_action.job WHERE event_id = $id";
my $retry_at = value($site, $retry);
end_worker('SIGTERM');
is(finish($site, ask('power_on', 'plain')),
	'success|confirmed', 'in backoff: the next worker works');
waits_for($id, 'retry');
is(value($site, $retry), $retry_at, 'the backoff goes on');
is(scalar(agent_lines($agent, 'backoff', 'end', 1)), 1, 'nothing is sent early');
value($site, "UPDATE power_action.job SET retry_at = now() WHERE event_id = $id");
end_worker('pg_terminate_backend');
is(finish($site, $id), 'success|confirmed', 'until its time has come');
is(event_value($site, $id, 'attempts'), 2, 'attempts are counted on');
is( value($site, "SELECT attempt, status_code FROM power_action.attempt WHERE event_id = $id"),
	'1|UNAVAILABLE',
	'and kept');
is_one_request($agent, 'backoff', $id, 2, 'in backoff');
set_conf($site, "power_action.$_", undef) for qw(max_backoff initial_backoff);

# The agent has taken the order and is asked how far it is.
set_conf($site, 'power_action.confirm_interval', '1min');
$id = ask('power_off', 'confirmed');
waits_for($id, 'confirmation');
set_conf($site, 'power_action.confirm_interval', undef);
end_worker('pg_terminate_backend');
is(finish($site, $id), 'success|confirmed', 'between two questions: done');
is_one_request($slow_agent, 'confirmed', $id, 2, 'between two questions');

$id = ask('power_off', 'asked');
poll_event($site, $id, q{status = 'running' AND agent_result = 'accepted'});
poll_value($node, 'fleet',
	'SELECT in_flight = 1 FROM power_action.worker_status');
end_worker('SIGTERM');
is(finish($site, $id), 'success|confirmed', 'a question in flight: done');
is_one_request($slow_agent, 'asked', $id, 2, 'a question in flight');
finish_all($site);
ok_consistent($site);

# ----------------------------------------------------------------------
# A session crashes, or the worker itself: the server restarts them all
# ----------------------------------------------------------------------

for my $cluster (qw(crash crash-worker))
{
	my $victim = $node->background_psql('fleet', on_error_stop => 0);
	my $pid = $victim->query_safe('SELECT pg_backend_pid()');
	my $old_courier = courier_pid();
	my $offset = -s $node->logfile;

	$id = in_flight($cluster);
	$pid = worker_pid($node, 'fleet') if $cluster eq 'crash-worker';
	kill 'KILL', $pid or die "no process $pid";
	$node->wait_for_log(qr/all server processes terminated; reinitializing/,
		$offset);
	eval { $victim->quit };
	$node->poll_query_until('postgres', 'SELECT true')
	  or die 'the server is not back';
	wait_for_worker($node, 'fleet');
	is(finish($site, $id), 'success|confirmed',
		"$cluster: call in flight, the agent had acted: done");
	is_one_request($agent, $cluster, $id, 2, 'crash');
	ok(!lives($old_courier), 'the courier has ended');
}

# ----------------------------------------------------------------------
# The postmaster is killed
# ----------------------------------------------------------------------

# Process ids of all processes below one.
sub descendants
{
	my ($root) = @_;
	my %children;

	for my $file (glob '/proc/[0-9]*/stat')
	{
		my $line = eval { slurp_file($file) } // next;
		my ($pid, $parent) = $line =~ /^(\d+) \(.*\) \S (\d+)/s or next;
		push @{ $children{$parent} }, $pid;
	}
	my @found;
	my @todo = ($root);
	while (defined(my $pid = shift @todo))
	{
		push @found, @{ $children{$pid} // [] };
		push @todo, @{ $children{$pid} // [] };
	}
	return @found;
}

# Kills the postmaster, and others with it; nothing of the server may stay.
sub kill_server
{
	my ($name, @others) = @_;
	my $courier = courier_pid();
	my ($postmaster) =
	  slurp_file($node->data_dir . '/postmaster.pid') =~ /^(\d+)/;
	my @processes = descendants($postmaster);

	ok((grep { $_ == $courier } @processes), "$name: the courier is one of ours");
	$node->kill9;
	kill 'KILL', @others;
	wait_until('all processes of the server have ended',
		sub { !grep { lives($_) } @processes });
	pass("$name: no process stays");

	# to a new postmaster, one that nobody has reaped yet is alive
	wait_until('the postmaster is reaped', sub { !kill 0, $postmaster });
	return;
}

# Returns "status|agent_result" of an event after the server's restart.
sub restart_and_finish
{
	my ($event) = @_;

	$node->start;
	wait_for_worker($node, 'fleet');
	return finish($site, $event);
}

$id = in_flight('before-kill');
kill_server('call in flight, not executed');
is(restart_and_finish($id), 'success|confirmed', 'done after the restart');
is_one_request($agent, 'before-kill', $id, 2, 'call in flight');

$id = in_flight('after-kill');
kill_server('call in flight, executed');
is(restart_and_finish($id), 'success|confirmed', 'done after the restart');
is_one_request($agent, 'after-kill', $id, 2, 'call in flight');

# Claimed and given to a courier that does not read any more.
my $courier = courier_pid();
ok(freeze_process($courier), 'courier is stopped');
$id = in_flight('stopped');
kill_server('between claim and call');
is(scalar(agent_lines($agent, 'stopped', 'end', 0)), 0, 'the agent saw nothing');
is(restart_and_finish($id), 'success|confirmed', 'done after the restart');
is_one_request($agent, 'stopped', $id, 1, 'claimed');

# Answered, but nobody took it in: the worker sleeps.
my $worker = worker_pid($node, 'fleet');
freeze_process($agent->{pid});
$id = in_flight('answered');
freeze_process($worker);
kill 'CONT', $agent->{pid};
is((agent_lines($agent, 'answered', 'end', 1))[0]->{status},
	'OK', 'the agent has answered');
kill_server('between call and outcome', $worker);
is(restart_and_finish($id), 'success|confirmed', 'done after the restart');
is_one_request($agent, 'answered', $id, 2, 'answered');

# The outcome waits for a lock, not held by the worker: deferred.
$locker->{run}->kill_kill;
$locker = $node->background_psql('fleet');
$locker->query_safe('BEGIN');
$locker->query_safe(
	q{SELECT FROM power_action.cluster WHERE cluster_id = 'lock-kill' FOR UPDATE}
);
$id = ask('power_off', 'lock-kill');
waits_for($id, 'lock');
kill_server('outcome deferred for a lock');
$locker->{run}->kill_kill;
is(restart_and_finish($id), 'success|confirmed', 'done after the restart');
is_one_request($agent, 'lock-kill', $id, 2, 'deferred');

# Inside the outcome, all of it written and not committed.
value(
	$site, q{
	CREATE TABLE gate (closed boolean);
	INSERT INTO gate VALUES (true);
	CREATE TABLE seen (event_id bigint);
	CREATE FUNCTION in_the_way() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO public.seen VALUES (NEW.event_id);
		IF (SELECT closed FROM public.gate) THEN
			PERFORM pg_sleep(3600);
		END IF;
		RETURN NULL;
	END$$;
	CREATE TRIGGER in_the_way AFTER UPDATE ON power_action.event
	FOR EACH ROW WHEN (NEW.status = 'success') EXECUTE FUNCTION in_the_way()});
my $sleeps = q{
	SELECT count(*) = 1 FROM pg_stat_activity
	WHERE backend_type = 'power_action worker' AND wait_event = 'PgSleep'};
$id = ask('power_off', 'trigger');
poll_value($node, 'fleet', $sleeps);
kill_server('inside the outcome');
$node->start;
poll_value($node, 'fleet', $sleeps);
is(value($site, 'SELECT count(*) FROM seen'), 0, 'nothing of it was committed');
is(outcome($site, $id), 'pending|none', 'nor is the event final');
value($site, 'UPDATE gate SET closed = false');
value($site, q{
	SELECT pg_cancel_backend(pid) FROM pg_stat_activity
	WHERE backend_type = 'power_action worker'});
is(finish($site, $id), 'success|confirmed', 'done after the restart');
is(value($site, 'SELECT count(*) FROM seen'), 1, 'and written once');
is_one_request($agent, 'trigger', $id, 2, 'inside the outcome');

# ----------------------------------------------------------------------
# Altogether
# ----------------------------------------------------------------------

finish_all($site);
is( value($site, q{
	SELECT count(*) FROM power_action.event WHERE status = 'success'}),
	scalar(@events),
	'every action came to its end');
my %acted;
$acted{ $_->{request_id} }++
  for grep { $_->{event} eq 'start' } map { all_agent_lines($_) } $agent, $slow_agent;
is(scalar(keys %acted), scalar(@events), 'the agents acted for each');
is_deeply([ grep { $acted{$_} != 1 } keys %acted ], [], 'and once for each');
is(scalar(grep { $_->{in_flight_same_cluster} > 0 } all_agent_lines($agent)),
	0, 'never two calls for a cluster at a time');
ok_checked($site);

done_testing();
