# test/t/041_cost.pl
#
# What an action costs, counted, not timed: SQL statements, buffers of the
# extension's tables, WAL by record and relation, entries made in indexes, rows
# left dead.  Compared with
# test/cost/actions: more than 10 % above, or a statement, fails; as much below
# asks for the table to be written anew.
#
#   COST_UPDATE=1 SUITE=t TESTS=041_cost test/run    writes the table anew;
#       "git diff" of it is what a change did
#   VERBOSE=1 SUITE=t TESTS=041_cost test/run        shows where it goes, by
#       statement, record and relation
#
# What is counted must not depend on how fast the machine is:
# - How many actions share a transaction is a matter of timing.  What a
#   transaction costs is therefore counted where actions go alone, one after
#   the other; of a queue only what each of its actions adds.
# - Nothing else writes: no autovacuum, no images of pages, no checkpoint.
#   The worker is stopped while requests are made.
# - What is left can only add: a call that lasts is marked as running, a look
#   finds nothing, a page is pruned twice.  So a count is the least of several
#   rounds; there are more than one only if it was too high.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PowerActionSequence;
use PowerActionTest;
use Test::More;

my $room = 0.10;    # a share; of what is less than one, not less than this
my $rounds = 5;
my $queued = 2000;
my $alone = 200;
my $table = "$FindBin::RealBin/../cost/actions";

# Calls are few at a time, so that none lasts long enough to be marked.
my $node = new_node(
	'cost', conf => "
shared_preload_libraries = 'power_action, pg_stat_statements'
pg_stat_statements.track = all
compute_query_id = on
autovacuum = off
full_page_writes = off
wal_level = replica
wal_compression = off
wal_log_hints = off
checkpoint_timeout = 1h
max_wal_size = 4GB
shared_buffers = 128MB
max_prepared_transactions = 0
");
my $agent = start_agent($node);

# The extension's statements are its owner's, told from ours by that.
my $owner = 'regress_owner';
$node->safe_psql('postgres', "
	CREATE ROLE $owner SUPERUSER LOGIN;
	CREATE DATABASE fleet;");
$node->safe_psql('fleet', "
	SET ROLE $owner;
	CREATE EXTENSION power_action;
	RESET ROLE;
	CREATE EXTENSION pg_stat_statements;
	CREATE EXTENSION pg_walinspect;");
create_agent_server($node, 'fleet', $agent, max_concurrent_calls => 64);
wait_for_worker($node, 'fleet');
my $site = { node => $node, database => 'fleet' };

value($site, "
	INSERT INTO power_action.account (account_name) VALUES ('acme');
	INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name)
		SELECT 'cluster-' || i, 'name ' || i, 'acme'
		FROM generate_series(1, $queued) i;
	INSERT INTO power_action.instance (cluster_id, instance_id)
		SELECT cluster_id, 'i-' || n
		FROM power_action.cluster, generate_series(1, 2) n");

# ----------------------------------------------------------------------
# Counting
# ----------------------------------------------------------------------

# Where the WAL ends; all of it until there can be read.
sub wal_end
{
	my $lsn = value($site, 'SELECT pg_current_wal_insert_lsn()');

	value($site, q{SELECT pg_logical_emit_message(true, 'cost', '')});
	return $lsn;
}

# Records between two places: what, of which relation, how many, bytes.
sub wal_records
{
	my ($from, $to) = @_;

	return map { [ split /\|/, $_, -1 ] } split /\n/, value(
		$site, qq{
		SELECT resource_manager || ' ' || record_type,
			   coalesce(c.relname, ''), count(*), sum(record_length)
		FROM pg_get_wal_records_info('$from', '$to') r
		LEFT JOIN pg_database d ON d.datname = current_database()
		LEFT JOIN pg_class c
			ON pg_relation_filenode(c.oid)::text = substring(block_ref,
				'rel [0-9]+/' || d.oid || '/([0-9]+)')
		WHERE resource_manager
			NOT IN ('XLOG', 'Standby', 'CLOG', 'LogicalMessage')
		GROUP BY 1, 2
		ORDER BY 4 DESC});
}

# Blocks of the extension's tables that any process looked at.
sub buffers
{
	return value(
		$site, q{
		SELECT sum(heap_blks_hit + heap_blks_read + idx_blks_hit
				   + idx_blks_read)
		FROM pg_statio_user_tables WHERE schemaname = 'power_action'});
}

# Until all processes have told what they did: they do so some time later, when
# they have something to do.  All jobs that were made are inserted (ins), or also
# deleted (del).
sub await_statistics
{
	my ($change) = @_;

	wait_until(
		"it is told of all jobs ($change)",
		sub {
			value($site, 'SELECT pg_reload_conf()');
			return value(
				$site, qq{
				SELECT n_tup_$change = (SELECT last_value
					FROM power_action.event_event_id_seq)
				FROM pg_stat_user_tables
				WHERE schemaname = 'power_action' AND relname = 'job'}) eq 't';
		});
	return;
}

# Statements of the extension: how often, buffers, text.
sub statements
{
	return map { [ split /\|/, $_, 3 ] } split /\n/, value(
		$site, qq{
		SELECT sum(calls), sum(shared_blks_hit + shared_blks_read),
			   left(regexp_replace(query, '\\s+', ' ', 'g'), 160)
		FROM pg_stat_statements
		WHERE dbid = (SELECT oid FROM pg_database
					  WHERE datname = current_database())
			AND userid = '$owner'::regrole
		GROUP BY query
		ORDER BY 2 DESC});
}

# Where it goes, of the last round.
my @report;

# What the function makes the extension do, for so many actions, whose jobs are
# inserted (ins) or, in the end, deleted (del).  All but the number of statements
# is for each action.
sub measure
{
	my ($what, $actions, $change, $function) = @_;
	my %sum = map { $_ => 0 } qw(statements buffers wal commit index dead);

	value($site, 'SELECT pg_stat_statements_reset()');
	my $buffers = buffers();
	my $from = wal_end();
	$function->();
	await_statistics($change);
	my $to = wal_end();
	$sum{buffers} = (buffers() - $buffers) / $actions;

	push @report, "$what, $actions actions", '    calls    each  buffers';
	for (statements())
	{
		my ($calls, $buffers, $text) = @$_;

		push @report,
		  sprintf '%9d %7.3f %8.2f  %s', $calls, $calls / $actions,
		  $buffers / $actions, $text =~ s/OPERATOR\(pg_catalog\.(\S+)\)/$1/gr;
		$sum{statements} += $calls;
	}
	push @report, '  records    each    bytes';
	for (wal_records($from, $to))
	{
		my ($record, $relation, $records, $bytes) = @$_;
		my $each = $records / $actions;

		push @report, sprintf '%9d %7.3f %8.1f  %-22s %s', $records, $each,
		  $bytes / $actions, $record, $relation;
		$sum{ $record =~ /^Transaction/ ? 'commit' : 'wal' } +=
		  $bytes / $actions;
		$sum{index} += $each
		  if $record =~ /^Btree (INSERT_LEAF|INSERT_POST|SPLIT)/;
		$sum{dead} += $each
		  if $record =~ /^Heap (HOT_UPDATE|UPDATE|DELETE)/;
	}
	push @report, sprintf '%26.1f  in all, beside %.1f of commits', $sum{wal},
	  $sum{commit};
	return %sum;
}

# The least of each count so far, and their order in the table.
my (%count, @names);

sub counted
{
	my ($name, $value) = @_;

	push @names, $name if !exists $count{$name};
	$count{$name} = $value
	  if !exists $count{$name} || $value < $count{$name};
	return;
}

# ----------------------------------------------------------------------
# What is counted
# ----------------------------------------------------------------------

my %request = (
	scalar => "SELECT count(power_action.%s(cluster_id))
		FROM (SELECT cluster_id FROM power_action.cluster
			  ORDER BY cluster_id) c",
	array => 'SELECT count(*) FROM power_action.%s(ARRAY(
			SELECT cluster_id FROM power_action.cluster ORDER BY cluster_id))');
# Each finds the clusters as the other has left them, so all is to be changed.
my %action_of = (scalar => 'power_off', array => 'power_on');
my $session = $node->background_psql('fleet');

# Stops the worker between two transactions; returns its process id.
sub freeze_worker
{
	my $pid = wait_for_worker($node, 'fleet');

	wait_until(
		'the worker stands still outside of a transaction',
		sub {
			freeze_process($pid);
			return 1
			  if value($site, "SELECT xact_start IS NULL
				FROM pg_stat_activity WHERE pid = $pid") eq 't';
			kill 'CONT', $pid;
			return 0;
		});
	return $pid;
}

sub queue_and_drain
{
	my ($form) = @_;
	my $sql = sprintf $request{$form}, $action_of{$form};

	value($site, 'VACUUM');
	my $worker = freeze_worker();
	my %request = measure("request, $form form", $queued, 'ins',
		sub { value($site, $sql) });
	my %outcome = measure(
		"outcome, $form form",
		$queued, 'del',
		sub { kill 'CONT', $worker or die "no process $worker\n" });

	my $statements = $request{statements};
	counted(
		$form eq 'array'
		? ("request, array form: statements a call", $statements)
		: ("request, scalar form: statements", $statements / $queued));
	counted("request, $form form: bytes of WAL", $request{wal});
	counted("request, $form form: index entries", $request{index});
	counted("request, $form form: buffers", $request{buffers});
	counted('outcome: bytes of WAL', $outcome{wal});
	counted('outcome: index entries', $outcome{index});
	counted('outcome: dead rows', $outcome{dead});
	counted('outcome: buffers', $outcome{buffers});
	return;
}

# One after the other, each in transactions of its own, from one session.
sub do_alone
{
	my ($actions) = @_;

	for my $action ('power_off', 'power_on')
	{
		for my $n (1 .. $actions / 2)
		{
			$session->query_safe("SELECT power_action.$action('cluster-$n')");
			$session->query_safe('SELECT FROM power_action.wait_for('
				  . '(SELECT max(event_id) FROM power_action.event))');
		}
	}
	return;
}

sub count_alone
{
	my %alone = measure('alone', $alone, 'del', sub { do_alone($alone) });

	counted('alone: statements', $alone{statements} / $alone);
	counted('alone: bytes of WAL, with commits', $alone{wal} + $alone{commit});
	counted('alone: dead rows', $alone{dead});
	counted('alone: buffers', $alone{buffers});
	return;
}

# ----------------------------------------------------------------------
# Comparing
# ----------------------------------------------------------------------

my $version = $node->pg_version->major;
my (%expected, $table_version);

for (split /\n/, -e $table ? slurp_file($table) : '')
{
	$expected{$2} = $1 if /^ *([0-9.]+)  (.*)/;
	$table_version = $1 if /^# PostgreSQL ([0-9]+)/;
}

sub room_of
{
	my ($name) = @_;
	my $in_table = $expected{$name} // 0;

	# A statement more is a statement more, even if there were ten before.
	return 0.5 if $name =~ /statements/;
	return $in_table * $room > $room ? $in_table * $room : $room;
}

sub too_high
{
	return
	  grep { $count{$_} > $expected{$_} + room_of($_) }
	  grep { exists $expected{$_} } @names;
}

# Plans are made, and the tables get to be as they are later on.
for my $form ('scalar', 'array')
{
	value($site, sprintf $request{$form}, $action_of{$form});
	finish_all($site);
}
do_alone(10);

for my $round (1 .. $rounds)
{
	@report = ();
	await_statistics('del');
	queue_and_drain('scalar');
	queue_and_drain('array');
	count_alone();
	last if !too_high();
}
$session->quit;
diag($_) for @report;

if ($ENV{COST_UPDATE})
{
	open my $handle, '>', $table or die "$table: $!\n";
	print $handle "# test/cost/actions\n#\n",
	  "# What an action costs, read and written by test/t/041_cost.pl.\n",
	  "# PostgreSQL $version\n\n",
	  map { sprintf "%10.3f  %s\n", $count{$_}, $_ } @names;
	close $handle or die "$table: $!\n";
	$expected{$_} = $count{$_} for @names;
	$table_version = $version;
}

SKIP:
{
	skip "the table is of PostgreSQL $table_version, this is $version",
	  scalar @names
	  if ($table_version // $version) ne $version;
	for my $name (@names)
	{
		my $in_table = $expected{$name} // 0;
		my $count = $count{$name};

		cmp_ok($count, '<=', $in_table + room_of($name),
			sprintf '%s: %.2f, in the table %.2f', $name, $count, $in_table);
		diag("$name: the table says $in_table, $count are needed;"
			  . ' write it anew (COST_UPDATE=1)')
		  if $count < $in_table - room_of($name);
	}
}
is_deeply(
	[ grep { !exists $count{$_} } sort keys %expected ],
	[], 'nothing else is in the table');
is( value(
		$site, q{SELECT count(*) FROM power_action.event
			WHERE status <> 'success' OR agent_result <> 'confirmed'}),
	0,
	'all actions succeeded');
ok_consistent($site);

$node->stop;
done_testing();
