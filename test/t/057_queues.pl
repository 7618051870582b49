# test/t/057_queues.pl
#
# Long queues, large clusters, dead agents and old snapshots: each delays
# itself only.  Told by the order of finishing and by what is read, not by
# time.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PowerActionSequence;
use PowerActionTest;

my $long = 5000;
my $site = new_site(
	'main',
	conf => "autovacuum = off\n",
	agent => [qw(--initial-state running --latency 1ms)],
	options => { max_concurrent_calls => 4 });
my $node = $site->{node};
my $agent = $site->{agent};
my $quick = start_logging_agent(qw(--initial-state running));
my $absent = PostgreSQL::Test::Utils::tempdir_short() . '/absent';

create_agent_server($node, 'fleet', $quick,
	name => 'quick', max_concurrent_calls => 1);
create_agent_server($node, 'fleet', $quick, name => 'wide');
create_agent_server($node, 'fleet', $absent,
	name => 'dead', connect_timeout => '200ms');
add_account($site, 'small', 'agent');
add_account($site, $_, $_) for qw(quick wide dead);
value(
	$site, qq{
	INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name)
	SELECT account || '-' || n, account || '-' || n, account
	FROM unnest(ARRAY['prod', 'dead', 'wide']) account, generate_series(1, $long) n;
	INSERT INTO power_action.instance (cluster_id, instance_id)
	SELECT cluster_id, 'i-1' FROM power_action.cluster});
add_clusters($site, 'small', qw(alone));
add_clusters($site, 'quick', 'huge', map { "quick-$_" } 1 .. 200);

# Requests for all clusters of an account; returns their number.
sub request_all
{
	my ($action, $account, $more) = @_;

	return value(
		$site, qq{
		SELECT count(*) FROM power_action.$action(
			ARRAY(SELECT cluster_id FROM power_action.cluster
				  WHERE cluster_id LIKE '$account-%'
				  ORDER BY substring(cluster_id, '[0-9]+')::int)}
		  . (defined $more ? ", $more" : '') . ')');
}

sub waiting
{
	my ($account) = @_;

	return value($site,
		"SELECT count(*) FROM power_action.job WHERE account_name = '$account'");
}

# ----------------------------------------------------------------------
# A long queue for one account, a single action of another
# ----------------------------------------------------------------------

is(request_all('power_off', 'prod'), $long, 'a long queue');
poll_value($node, 'fleet',
	q{SELECT count(*) > 8 FROM power_action.event WHERE status = 'success'});
for my $action (qw(power_off power_on))
{
	is(finish($site, request($site, $action, 'alone')),
		'success|confirmed', "another account of the same server: $action");
	cmp_ok(waiting('prod'), '>', $long / 2, 'most of the queue still waits');
}
finish_all($site);
is( value($site, q{
	SELECT count(*) FROM power_action.event
	WHERE account_name = 'prod' AND status = 'success' AND attempts = 1}),
	$long,
	'and is done in its turn');

# ----------------------------------------------------------------------
# Accounts of one server take turns
# ----------------------------------------------------------------------

# Whoever comes while all calls of the server hang is behind those that the
# worker holds in memory by then, and those are about as many as calls.
my $calls = 8;
my $shared = start_logging_agent(
	rules => "block-* hang\n",
	qw(--initial-state running));
create_agent_server($node, 'fleet', $shared,
	name => 'shared', max_concurrent_calls => $calls);
my @short = map { "short$_" } 1 .. 5;
add_account($site, $_, 'shared') for qw(block long guest), @short;
my %size = (block => $calls, long => 500, guest => 2, map { $_ => 30 } @short);
for my $account (sort keys %size)
{
	add_clusters($site, $account, map { "$account-$_" } 1 .. $size{$account});
}
my @blockers;

sub block
{
	@blockers = request_many($site, 'refresh', [ map { "block-$_" } 1 .. $calls ]);
	poll_value($node, 'fleet',
		q{SELECT in_flight FROM power_action.agent_status WHERE server_name = 'shared'},
		$calls);
	return;
}

# The place of a guest's order among those of all, once the calls go on.
sub place_of
{
	my ($cluster) = @_;
	my $before = grep { $_->{event} eq 'start' } all_agent_lines($shared);

	value($site, "SELECT power_action.cancel($_)") for @blockers;
	finish_all($site);
	my @orders = map { $_->{cluster_id} }
	  grep { $_->{event} eq 'start' } all_agent_lines($shared);
	my ($place) = grep { $orders[$_] eq $cluster } $before .. $#orders;
	note("$cluster was number " . ($place - $before) . " of " . (@orders - $before));
	return $place - $before;
}

block();
request_all('power_off', 'long');
finish($site, request($site, 'power_on', 'alone'));
request($site, 'power_off', 'guest-1');
cmp_ok(place_of('guest-1'), '<', 3 * $calls,
	'one that comes after 500 of another account is not behind all of them');

block();
set_conf($site, 'power_action.enabled', 'off');
request_all('power_on', 'long');
request_all('power_off', $_) for @short;
set_conf($site, 'power_action.enabled', undef);
finish($site, request($site, 'power_off', 'alone'));
request($site, 'power_off', 'guest-2');
cmp_ok(place_of('guest-2'), '<', 3 * $calls,
	'nor behind many accounts: they share the room in memory');

# ----------------------------------------------------------------------
# A huge cluster
# ----------------------------------------------------------------------

value(
	$site, q{
	INSERT INTO power_action.instance (cluster_id, instance_id)
	SELECT 'huge', 'n-' || n FROM generate_series(1, 9998) n});
for my $action (qw(power_off power_on refresh))
{
	my $id = request($site, $action, 'huge');

	is(finish($site, $id), 'success|confirmed', "10,000 instances: $action");
	is(event_value($site, $id, 'instances_total, instances_done'),
		'10000|10000', 'all of them are told')
	  if $action ne 'refresh';
	is( value($site, q{
		SELECT status, count(*) FROM power_action.instance
		WHERE cluster_id = 'huge' GROUP BY status}),
		($action eq 'power_off' ? 'stopped' : 'running') . '|10000',
		'and written');
}

# ----------------------------------------------------------------------
# 5,000 due jobs of a dead agent
# ----------------------------------------------------------------------

poll_value($node, 'fleet',
	q{SELECT state FROM power_action.agent_status WHERE server_name = 'dead'},
	'unreachable');
request_all('power_off', 'dead', 'priority => 100');
is(request_all('power_off', 'quick'), 200, 'requests beside a dead agent');
poll_value($node, 'fleet',
	q{SELECT count(*) = 0 FROM power_action.job WHERE account_name = 'quick'});
is(waiting('dead'), $long, 'are done while all of its own wait');
is( value($site, q{
	SELECT count(*) FROM (
		SELECT event_id, lead(event_id) OVER (ORDER BY started_at) AS next
		FROM power_action.event
		WHERE account_name = 'quick' AND cluster_id LIKE 'quick-%') e
	WHERE next < event_id}),
	0,
	'in the order they were requested');
is( value($site, q{
	SELECT max(attempts), count(DISTINCT status) FROM power_action.event
	WHERE account_name = 'dead'}),
	'0|1',
	'for the dead one no attempt was made');
value($site, "ALTER SERVER dead OPTIONS (SET target '$quick->{target}')");
finish_all($site);
is( value($site, q{
	SELECT count(*) FROM power_action.event
	WHERE account_name = 'dead' AND status = 'success'}),
	$long,
	'when it is there they are done, too');

# ----------------------------------------------------------------------
# An old snapshot held elsewhere
# ----------------------------------------------------------------------

value($site, q{ALTER SERVER wide OPTIONS (ADD max_concurrent_calls '16')});
my $snapshot = $node->background_psql('fleet');
$snapshot->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
my $seen = $snapshot->query_safe('SELECT count(*) FROM power_action.event');
request_all('power_off', 'wide');
finish_all($site);
is($snapshot->query_safe('SELECT count(*) FROM power_action.event'),
	$seen, 'a snapshot from before');
is( value($site, q{
	SELECT count(*) FROM power_action.event
	WHERE account_name = 'wide' AND status = 'success'}),
	$long,
	'all of the queue is done in spite of it');
is(value($site, 'SELECT courier_starts, errors FROM power_action.worker_status'),
	'1|0', 'one courier, and no errors');

# A process that ends leaves its statistics.
my $worker = worker_pid($node, 'fleet');
value($site, "SELECT pg_terminate_backend($worker)");
wait_for_worker($node, 'fleet', $worker);
my $jobs = value($site, 'SELECT count(*) FROM power_action.event');
poll_value($node, 'fleet',
	q{SELECT n_tup_del FROM pg_stat_user_tables WHERE relid = 'power_action.job'::regclass},
	$jobs);
my $read = value($site, q{
	SELECT idx_tup_read FROM pg_stat_user_indexes
	WHERE indexrelid = 'power_action.job_lane_idx'::regclass});
cmp_ok($read, '<', 4 * $jobs, "$read entries of the queue were read for $jobs jobs");

# Each instance of a huge cluster is found by itself, not by reading them all.
my $instances = value($site, 'SELECT sum(instances_total) FROM power_action.event');
my $blocks = value($site, q{
	SELECT idx_blks_hit + idx_blks_read FROM pg_statio_user_indexes
	WHERE indexrelid = 'power_action.instance_pkey'::regclass});
cmp_ok($blocks, '<', 20 * $instances,
	"$blocks pages of the index were read for $instances instances");
$snapshot->query_safe('COMMIT');
$snapshot->quit;

ok_checked($site);

done_testing();
