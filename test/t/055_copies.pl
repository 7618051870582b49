# test/t/055_copies.pl
#
# Copies that carry the queue along: logical replication and pg_upgrade.  What
# is carried is held and shown, and runs only after adopt(); all else is
# usable at once.

use strict;
use warnings FATAL => 'all';

use Cwd ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PowerActionSequence;
use PowerActionTest;

my $site = new_site(
	'main',
	conf => "wal_level = logical\nmax_wal_senders = 4\nmax_replication_slots = 4\n",
	agent => [qw(--initial-state running)]);
my $node = $site->{node};
my $agent = $site->{agent};

add_clusters($site, 'prod', map { "c-$_" } 1 .. 6);
value(
	$site, q{
	CREATE ROLE regress_operator LOGIN;
	SELECT power_action.grant_operator('regress_operator', 'prod')});
is(finish($site, request($site, 'power_off', 'c-1')),
	'success|confirmed', 'the original works');

# What a database calls itself to agents.
sub source
{
	my ($place) = @_;

	return value($place, q{
		SELECT (CASE WHEN s < 0 THEN s::numeric + 18446744073709551616 ELSE s END)
			   || '/' || d.oid
		FROM (SELECT system_identifier FROM pg_control_system()) c (s),
			 pg_database d WHERE datname = current_database()});
}

# The clusters that the agent acted on for a source.
sub acted_for
{
	my ($source) = @_;

	return join ' ', sort map { $_->{cluster_id} }
	  grep { $_->{event} eq 'start' && $_->{source} eq $source }
	  all_agent_lines($agent);
}

# Held jobs are shown as what they are, and nothing of them is sent.
sub ok_held
{
	my ($place, $count, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	wait_for_worker($place->{node}, 'fleet');
	poll_value($place->{node}, 'fleet', q{
		SELECT state FROM power_action.agent_status}, 'ready');
	is( value($place, q{
		SELECT waits_for, count(*) FROM power_action.activity GROUP BY 1}),
		"foreign origin|$count",
		"$name: jobs are held, and shown as such");
	is( value($place, q{
		SELECT status, count(*) FROM power_action.event
		WHERE finished_at IS NULL GROUP BY 1}),
		"pending|$count",
		'their events are pending');
	return;
}

# The role may do what it could, with ids of its own.
sub ok_usable
{
	my ($place, $cluster, $name) = @_;
	my $highest = value($place, 'SELECT max(event_id) FROM power_action.event');
	my $id = value(
		$place, qq{
		SET SESSION AUTHORIZATION regress_operator;
		SELECT power_action.power_on('$cluster')});

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	cmp_ok($id, '>', $highest, "$name: ids do not repeat");
	is(finish($place, $id), 'success|confirmed', 'a role does what it may');
	return;
}

# ----------------------------------------------------------------------
# Logical replication
# ----------------------------------------------------------------------

my $tables = join ', ', map { "power_action.$_" }
  qw(account cluster instance event attempt job);
my $replica = new_node('replica');
my $copy = { node => $replica, database => 'fleet' };
$replica->safe_psql('postgres',
	'CREATE ROLE regress_operator LOGIN; CREATE DATABASE fleet');
create_extension($replica, 'fleet');
create_agent_server($replica, 'fleet', $agent);
value($site, "CREATE PUBLICATION queue FOR TABLE $tables");
value($copy,
	    q{CREATE SUBSCRIPTION queue CONNECTION '}
	  . ($node->connstr('fleet') =~ s/'/''/gr)
	  . q{' PUBLICATION queue});
$replica->wait_for_subscription_sync($node, 'queue', 'fleet');
is(value($copy, q{SELECT status, agent_result FROM power_action.event}),
	'success|confirmed', 'history is replicated');

set_conf($site, 'power_action.enabled', 'off');
my @ids = request_many($site, 'power_off', [qw(c-2 c-3)]);
my $later = request($site, 'power_off', 'c-4', q{not_before => now() + '1 day'});
$node->wait_for_catchup('queue');
ok_held($copy, 3, 'logical replication');

# The worker of the copy does something else meanwhile.
value($copy, q{SELECT power_action.grant_operator('regress_operator')});
value($copy, q{
	SELECT setval('power_action.event_event_id_seq',
				  (SELECT max(event_id) + 1000 FROM power_action.event))});
ok_usable($copy, 'c-1', 'logical replication');
is(acted_for(source($copy)), 'c-1', 'nothing else was sent');
ok_held($copy, 3, 'still');

# The original does them, which the copy is told.
set_conf($site, 'power_action.enabled', undef);
is(finish($site, $_), 'success|confirmed', 'the original does them') for @ids;
$node->wait_for_catchup('queue');
is(outcome($copy, $_), 'success|confirmed', 'the copy hears of it') for @ids;
is(value($copy, 'SELECT string_agg(event_id::text, $$,$$) FROM power_action.job'),
	$later, 'the jobs are gone there, too');
is(acted_for(source($copy)), 'c-1', 'it did none of them');

# The original is lost; its queue is adopted.
set_conf($site, 'power_action.enabled', 'off');
push @ids, request($site, 'power_off', 'c-5');
$node->wait_for_catchup('queue');
value($copy, 'ALTER SUBSCRIPTION queue DISABLE');
is(value($copy, 'SELECT power_action.adopt()'), 2, 'adopt takes over the queue');
is(finish($copy, $ids[-1]), 'success|confirmed', 'and does it');
is(outcome($copy, $later), 'pending|none', 'what is for later still is');
is(acted_for(source($copy)), 'c-1 c-5', 'as its own');
value($copy, "SELECT power_action.cancel($later)");
is(finish($copy, $later), 'cancelled|none', 'it can be cancelled');
finish_all($copy);
ok_consistent($copy);
value($copy, q{
	ALTER SUBSCRIPTION queue SET (slot_name = NONE);
	DROP SUBSCRIPTION queue});
$replica->stop;
value($site, q{
	SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots;
	DROP PUBLICATION queue});

# ----------------------------------------------------------------------
# pg_upgrade
# ----------------------------------------------------------------------

my $bin = $node->config_data('--bindir');
SKIP:
{
	skip "there is no pg_upgrade in $bin", 1 if !-x "$bin/pg_upgrade";

	set_conf($site, 'power_action.enabled', undef);
	is(finish($site, $ids[-1]), 'success|confirmed', 'the original is back');

	# Due, and to be sent by any worker that starts from now on.
	set_conf($site, 'power_action.enabled', 'off');
	my $due = request($site, 'power_off', 'c-6');
	my %before = map {
		$_ => value($site, "SELECT t FROM power_action.$_ t ORDER BY t::text")
	} qw(account cluster instance access event attempt job);
	value($site, 'ALTER SYSTEM RESET power_action.enabled');
	$node->stop;
	my $lines = () = all_agent_lines($agent);

	my $upgraded = new_node('upgraded', start => 0);
	my $dir = PostgreSQL::Test::Utils::tempdir('upgrade');
	my $here = Cwd::getcwd();
	chdir $dir or die "could not change to $dir: $!";
	command_ok(
		[
			'pg_upgrade', '--no-sync',
			'--old-datadir', $node->data_dir,
			'--new-datadir', $upgraded->data_dir,
			'--old-bindir', $bin, '--new-bindir', $bin,
			'--socketdir', $node->host,
			'--old-port', $node->port, '--new-port', $upgraded->port
		],
		'pg_upgrade');
	chdir $here;
	is(scalar(my @now = all_agent_lines($agent)), $lines,
		'nothing was sent while it ran');

	my $place = { node => $upgraded, database => 'fleet' };
	$upgraded->start;
	ok_held($place, 2, 'pg_upgrade');
	for my $table (sort keys %before)
	{
		is(value($place, "SELECT t FROM power_action.$table t ORDER BY t::text"),
			$before{$table}, "$table came along");
	}
	ok_usable($place, 'c-1', 'pg_upgrade');
	is(acted_for(source($place)), 'c-1', 'nothing else was sent');
	like(
		slurp_file($upgraded->logfile),
		qr/LOG:  this database is a copy: power_action holds the jobs/,
		'the log says why');
	is(value($place, 'SELECT power_action.adopt()'), 2, 'adopt');
	is(finish($place, $due), 'success|confirmed', 'then it is done');
	is(acted_for(source($place)), 'c-1 c-6', 'by the new server');
	is(outcome($place, $later), 'pending|none', 'what is for later still is');
	ok_consistent($place);
}

done_testing();
