# test/t/061_full_disk.pl
#
# The disk is full: under the tables while outcomes are written, in a session
# that requests, while a worker starts, and under the WAL.  Nothing is lost,
# nothing is called that was not committed, and all goes on by itself when
# there is room again.  test/fault/full_disk.c is the disk.

use strict;
use warnings FATAL => 'all';

use File::Basename qw(dirname);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PowerActionSequence;
use PowerActionTest;

my $herd = 40;
my $long = 'x' x 600;		# so that the attempts need pages
my $site = new_site(
	'main',
	conf => "power_action.max_attempts = 20\n"
	  . "autovacuum = off\nmin_wal_size = 2MB\nrestart_after_crash = on\n",
	initdb => ['--wal-segsize=1'],
	agent => [qw(--initial-state running)],
	rules => <<"RULES");
again-*  off status=UNAVAILABLE message="try later" times=1
again-*  on status=UNAVAILABLE message="$long" times=1
wal-*    hang when=after times=1
RULES
my $node = $site->{node};
my $agent = $site->{agent};

add_clusters($site, 'prod',
	(map { ("plain-$_", "again-$_", "never-$_", "wal-$_") } 1 .. $herd),
	'late', 'next');

# Another database of the same server.
my $beside = { node => $node, database => 'beside' };
$node->safe_psql('postgres', 'CREATE DATABASE beside');
create_extension($node, 'beside');
my $other_agent = start_logging_agent(qw(--initial-state running));
create_agent_server($node, 'beside', $other_agent);
add_account($beside, 'prod', 'agent', '4711');
add_clusters($beside, 'prod', map { "beside-$_" } 1 .. 3);

# ----------------------------------------------------------------------
# The disk
# ----------------------------------------------------------------------

my $control = PostgreSQL::Test::Utils::tempdir() . '/full';
my $library = PostgreSQL::Test::Utils::tempdir() . '/full_disk.so';
my $source = dirname(__FILE__) . '/../fault/full_disk.c';
command_ok(
	[
		$ENV{CC} // 'cc', qw(-std=gnu11 -O2 -shared -fPIC -o),
		$library, $source, '-ldl'
	],
	'the disk that can be full');

# From here on every process of the server uses it.
sub start_server
{
	local $ENV{LD_PRELOAD} = $library;
	local $ENV{FULL_DISK} = $control;

	$node->start;
	wait_for_worker($node, $_) for qw(fleet beside);
	return;
}

my $data = readlink($node->data_dir) // $node->data_dir;
my $tables =
  $data . '/base/' . value($site, 'SELECT oid FROM pg_database WHERE datname = current_database()');

sub fill_disk
{
	my ($directory) = @_;

	append_to_file("$control.new", "$directory\n");
	rename "$control.new", $control or die "could not rename: $!";
	return;
}

sub make_room
{
	unlink $control or die "could not remove $control: $!";
	return;
}

# No page of the events has room for another row, and that of the failed
# attempts has no page yet: whatever is written needs more disk.
sub pack_tables
{
	value($site, 'ALTER TABLE power_action.event SET (fillfactor = 100)');
	value($site, 'VACUUM FULL power_action.event');
	value($site, 'VACUUM FULL power_action.attempt');
	value($site, 'CHECKPOINT');
	return;
}

# Waits until this is true of the counters of the fleet's worker.
sub poll_worker
{
	my ($condition) = @_;

	poll_value($node, 'fleet',
		"SELECT $condition FROM power_action.worker_status WHERE database = 'fleet'"
	);
	return;
}

# How often the agent has acted for a cluster.
sub orders
{
	my ($cluster) = @_;

	return
	  scalar grep { $_->{cluster_id} eq $cluster && $_->{event} eq 'start' }
	  all_agent_lines($agent);
}

$node->stop;
start_server();

# ----------------------------------------------------------------------
# While outcomes are written
# ----------------------------------------------------------------------

my $refused = qr/power_action cannot write outcomes at present: could not extend file .*: No space left on device/;
my $offset = -s $node->logfile;
my $worker = worker_pid($node, 'fleet');

set_conf($site, 'power_action.enabled', 'off');
my @plain = request_many($site, 'power_off', [ map { "plain-$_" } 1 .. $herd ]);
my @again = request_many($site, 'power_off', [ map { "again-$_" } 1 .. $herd ]);
pack_tables();
fill_disk($tables);
set_conf($site, 'power_action.enabled', undef);
poll_worker("deferred >= $herd AND in_flight = 0");
is( value($site, q{
	SELECT DISTINCT agent_result, attempts FROM power_action.event
	WHERE cluster_id LIKE 'again-%'}),
	'none|0',
	'disk full: what cannot be written is kept');
is(value($site, 'SELECT count(*) FROM power_action.attempt'),
	0, 'nothing of it is in the tables');
is( value($site, qq{
	SELECT count(*) FROM power_action.job
	WHERE event_id IN (@{[ join ', ', @again ]})}),
	$herd,
	'nor is any lost');

# Requests of sessions fail, and are not called for.
my ($state, $text) = query_error(
	$site, q{
	SELECT count(*) FROM power_action.power_off(
		ARRAY(SELECT cluster_id FROM power_action.cluster
			  WHERE cluster_id LIKE 'never-%'))});
is($state, '53100', 'a request is refused with the reason');
like($text, qr/No space left on device/, 'in words');

# Another database has other files.
is(finish($beside, request($beside, 'power_off', 'beside-1')),
	'success|confirmed', 'another database is not affected');

# It is tried again and again, and logged once.
my $tried = value($site,
	q{SELECT errors FROM power_action.worker_status WHERE database = 'fleet'});
poll_worker("errors > $tried + $herd");
is(log_count($node, $refused, $offset), 1, 'the log has the reason, once');
is(log_count($node, qr/WARNING:  power_action worker/, $offset),
	0, 'the worker has no other trouble');

make_room();
finish_all($site);
is( value($site, qq{
	SELECT status, agent_result, attempts, count(*) FROM power_action.event
	WHERE event_id IN (@{[ join ', ', @plain, @again ]})
	GROUP BY 1, 2, 3 ORDER BY 3}),
	"success|confirmed|1|$herd\nsuccess|confirmed|2|$herd",
	'room again: all are done');
is( value($site, 'SELECT status_code, count(*) FROM power_action.attempt GROUP BY 1'),
	"UNAVAILABLE|$herd",
	'with every attempt that failed');
is(scalar(grep { orders("plain-$_") != 1 || orders("again-$_") != 1 } 1 .. $herd),
	0, 'the agent acted once for each');
is(scalar(grep { orders("never-$_") } 1 .. $herd),
	0, 'and never for a request that failed');
is(worker_pid($node, 'fleet'), $worker, 'the worker has lived on');
is(log_count($node, qr/power_action has written all outcomes/, $offset),
	1, 'and says that it is over');
is(log_count($node, $refused, $offset), 1, 'after the only other line');

# ----------------------------------------------------------------------
# While a worker starts
# ----------------------------------------------------------------------

$offset = -s $node->logfile;
set_conf($site, 'power_action.enabled', 'off');
@again = request_many($site, 'power_on', [ map { "again-$_" } 1 .. $herd ]);
pack_tables();
fill_disk($tables);
set_conf($site, 'power_action.enabled', undef);
poll_worker('deferred > 0 AND in_flight = 0');
my $left = value($site, 'SELECT count(*) FROM power_action.job');
cmp_ok($left, '>', 0, "disk full again: $left actions wait to be written");
$worker = worker_pid($node, 'fleet');
value($site, "SELECT pg_terminate_backend($worker)");
wait_for_worker($node, 'fleet', $worker);
make_room();
finish_all($site);
is( value($site, qq{
	SELECT status, agent_result, count(*) FROM power_action.event
	WHERE event_id IN (@{[ join ', ', @again ]}) GROUP BY 1, 2}),
	"success|confirmed|$herd",
	'worker ended on a full disk: the next one finishes all');
is(scalar(grep { orders("again-$_") != 2 } 1 .. $herd),
	0, 'the agent acted once more for each');
is(finish($site, request($site, 'power_on', 'next')),
	'success|confirmed', 'and goes on');

# ----------------------------------------------------------------------
# Under the WAL
# ----------------------------------------------------------------------

# The agent acts and does not answer: outcomes are yet to be written.
$offset = -s $node->logfile;
my @wal = request_many($site, 'power_off', [ map { "wal-$_" } 1 .. $herd ]);
agent_lines($agent, "wal-$_", 'start', 1) for 1, $herd;
fill_disk("$data/pg_wal");
my @committed;
for my $i (1 .. 1000)
{
	my $id = '';

	# what has an id has been committed
	last
	  if $node->psql(
		'fleet', q{
		SELECT pg_logical_emit_message(false, 'fill', repeat('x', 300000)) IS NULL
			\g /dev/null
		SELECT power_action.power_off('late')},
		stdout => \$id) != 0;
	push @committed, $id if $id =~ /^\d+$/;
}
$node->wait_for_log(
	qr/PANIC:  .*could not write to file .*: No space left on device/, $offset);
pass('WAL full: the server ends in a panic');
make_room();

# Whether its own restart came too early depends on when there was room.
my $postmaster = $node->{_pid};
my $gone = 0;
wait_until(
	'the server is up again, or has given up',
	sub {
		$gone = !kill 0, $postmaster;
		return $gone || $node->psql('fleet', 'SELECT 1') == 0;
	});
if ($gone)
{
	$node->_update_pid(-1);
	start_server();
}
cmp_ok(scalar(@committed), '>', 0,
	scalar(@committed) . ' requests were committed on the way');
wait_for_worker($node, 'fleet');
finish_all($site);
is( value($site, qq{
	SELECT count(*) FROM power_action.event
	WHERE event_id IN (@{[ join ', ', @committed ]})
		  AND (status = 'success' OR superseded_by IS NOT NULL)}),
	scalar(@committed),
	'room again: each of them is done');
is( value($site, qq{
	SELECT status, agent_result, count(*) FROM power_action.event
	WHERE event_id IN (@{[ join ', ', @wal ]}) GROUP BY 1, 2}),
	"success|confirmed|$herd",
	'and what was in flight');
is(scalar(grep { orders("wal-$_") != 1 } 1 .. $herd),
	0, 'for which the agent acted once');

ok_checked($site);
ok_checked($beside);

done_testing();
