# test/t/040_plans.pl
#
# Plans are made while the tables are empty, and kept.  What an action costs
# must not depend on it: rows read are counted, not time.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use PowerActionTest;
use Test::More;

my $actions = 5000;

# What one action may read of each table: it is claimed, loaded, looked up,
# locked and written; a plan that reads a whole table reads thousands.
my %limit = (event => 12, job => 16, cluster => 16, instance => 12);

my $node = new_node('plans', conf => "autovacuum = off\n");
my $agent = start_agent($node);

create_extension($node, 'postgres');
create_agent_server($node, 'postgres', $agent->{socket});
wait_for_worker($node, 'postgres');

my $analyze = join ' ', map { "ANALYZE power_action.$_;" } sort keys %limit;
$node->safe_psql('postgres', "
	INSERT INTO power_action.account (account_name) VALUES ('acme');
	INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name)
		VALUES ('first', 'first', 'acme');
	INSERT INTO power_action.instance (cluster_id, instance_id)
		VALUES ('first', 'i-first');
	$analyze");

# The plans of the worker and of a session that stays: made now.
my $session = $node->background_psql('postgres');
for my $action ('power_off', 'power_on')
{
	for (1 .. 6)
	{
		$session->query_safe("SELECT power_action.$action('first')");
		$session->query_safe(
			'SELECT status FROM power_action.wait_for('
			  . '(SELECT max(event_id) FROM power_action.event))');
	}
	$node->safe_psql('postgres', $analyze);
}

$node->safe_psql('postgres', "
	INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name)
		SELECT 'c' || i, 'name ' || i, 'acme'
		FROM generate_series(1, $actions) i;
	INSERT INTO power_action.instance (cluster_id, instance_id)
		SELECT 'c' || i, 'i-' || i FROM generate_series(1, $actions) i");

sub rows_read
{
	my ($table) = @_;

	return $node->safe_psql('postgres', "
		SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)
		FROM pg_stat_user_tables
		WHERE schemaname = 'power_action' AND relname = '$table'");
}

# Ends with the counts of all who took part reported.
sub drained
{
	my ($updates) = @_;

	poll_value($node, 'postgres',
		'SELECT NOT EXISTS (SELECT FROM power_action.job)');
	poll_value($node, 'postgres',
		"SELECT n_tup_upd >= $updates FROM pg_stat_user_tables
		WHERE schemaname = 'power_action' AND relname = 'event'");
	return;
}

drained(12);
for my $form ('set', 'single')
{
	my %before = map { $_ => rows_read($_) } keys %limit;
	my $updated = $node->safe_psql('postgres',
		"SELECT n_tup_upd FROM pg_stat_user_tables
		WHERE schemaname = 'power_action' AND relname = 'event'");

	$session->query_safe(
		$form eq 'set'
		? "SELECT count(*) FROM power_action.power_off(ARRAY(
			SELECT 'c' || i FROM generate_series(1, $actions) i))"
		: "SELECT count(power_action.power_on('c' || i))
			FROM generate_series(1, $actions) i");
	$session->query_safe('SELECT pg_stat_force_next_flush()');
	drained($updated + $actions);

	for my $table (sort keys %limit)
	{
		my $read = (rows_read($table) - $before{$table}) / $actions;

		cmp_ok($read, '<=', $limit{$table},
			sprintf '%s form: an action reads %.1f rows of %s', $form, $read,
			$table);
	}
	is( $node->safe_psql('postgres', "
			SELECT count(*) FROM power_action.event
			WHERE status = 'success' AND agent_result = 'confirmed'"),
		$form eq 'set' ? 12 + $actions : 12 + 2 * $actions,
		"$form form: all are done");
}
$session->quit;

# Of a large cluster each instance is looked up, not all of them for each:
# what is passed over in an index counts as pages.
my $instances = 10000;

sub pages_read
{
	return $node->safe_psql('postgres', q{
		SELECT idx_blks_hit + idx_blks_read FROM pg_statio_user_indexes
		WHERE indexrelid = 'power_action.instance_pkey'::regclass});
}

$node->safe_psql('postgres', "
	INSERT INTO power_action.instance (cluster_id, instance_id)
		SELECT 'first', 'n-' || i FROM generate_series(1, $instances) i");
$node->poll_query_until('postgres', "
	SELECT n_tup_ins > $actions + $instances FROM pg_stat_user_tables
	WHERE relid = 'power_action.instance'::regclass");
my $pages = pages_read();
my $updated = $node->safe_psql('postgres', q{
	SELECT n_tup_upd FROM pg_stat_user_tables
	WHERE relid = 'power_action.instance'::regclass});
$node->safe_psql('postgres', q{SELECT power_action.power_off('first')});
poll_value($node, 'postgres', "
	SELECT n_tup_upd >= $updated + $instances FROM pg_stat_user_tables
	WHERE relid = 'power_action.instance'::regclass");
cmp_ok((pages_read() - $pages) / $instances,
	'<=', 12, 'an instance of a large cluster reads few pages of its index');

is($node->safe_psql('postgres',
		'SELECT count(*) FROM power_action.check_consistency()'),
	0, 'nothing contradicts');

$node->stop;
done_testing();
