# test/t/066_altered_columns.pl
#
# As 065_altered_tables: indexes, tables that inherit, policies, publications,
# defaults and columns.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use PostgreSQL::Test::Utils;
use PowerActionAltered;
use PowerActionSequence;
use PowerActionTest;
use Test::More;

new_altered_site();
succeed('as it was made');
is_plain('as it was made');

# ----------------------------------------------------------------------
# Indexes
# ----------------------------------------------------------------------

value($site, 'CREATE EXTENSION amcheck');

# Every index has an entry for each row, where its value is.
sub indexes_are_right
{
	my ($name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is( value($site, q{
		SELECT count(*) > 10, count(bt_index_check(indexrelid, true)) > 10
		FROM pg_index i JOIN pg_class c ON c.oid = indrelid
		WHERE relnamespace = 'power_action'::regnamespace
			AND relname IN ('event', 'cluster', 'instance', 'job')}),
		't|t', "$name: nothing is missing in indexes");
	for my $table (qw(event cluster instance))
	{
		my $counts = "SELECT string_agg(status || ' ' || n, ', ' ORDER BY status)
			FROM (SELECT status, count(*) AS n FROM power_action.$table
				  WHERE status > '' GROUP BY status) s";

		is( value($site, "SET enable_seqscan = off; SET enable_bitmapscan = off;
				$counts"),
			value($site, "SET enable_indexscan = off;
				SET enable_indexonlyscan = off; SET enable_bitmapscan = off;
				$counts"),
			"$name: the index of $table.status finds what is there");
	}
	return;
}

altered(
	'indexes of what is written',
	'CREATE INDEX event_status ON power_action.event (status);
	CREATE INDEX event_late ON power_action.event (cluster_id, finished_at)
		WHERE status = \'success\';
	CREATE INDEX cluster_status ON power_action.cluster (status);
	CREATE INDEX cluster_shout ON power_action.cluster (upper(status));
	CREATE INDEX instance_status ON power_action.instance (status)',
	'DROP INDEX power_action.event_status, power_action.event_late,
		power_action.cluster_status, power_action.cluster_shout,
		power_action.instance_status',
	sub {
		indexes_are_right('after an action');
		is_plain('the indexes do not need statements');
		succeed('many more') for 1 .. 10;
		indexes_are_right('after many');
	});

altered(
	'an index of job is gone',
	'DROP INDEX power_action.job_cluster_idx',
	q{CREATE INDEX job_cluster_idx ON power_action.job (cluster_id,
		(GREATEST(due_at, '-infinity'::timestamptz)), (event_id + 0))});

my $lanes = 'CREATE INDEX job_lane_idx ON power_action.job
	((hashtextextended(server_name, hashtextextended(account_name, 0))),
	priority, due_at, (event_id + 0))';

# What has waited is found by the lanes, what has just come by its id.
sub succeed_after_waiting
{
	my ($claimed) = @_;
	my $to = next_state();

	value($site, 'SELECT pg_stat_statements_reset()');
	set_conf($site, 'power_action.enabled', 'off');
	@ids = ids_of('SET client_min_messages = error; ' . requests());
	set_conf($site, 'power_action.enabled', undef);
	await(@ids);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(results(), success($to), 'what has waited is done, too');
	is( value($site, q{SELECT count(*) > 0 FROM pg_stat_statements
			WHERE query LIKE '%WITH ORDINALITY AS l(names%'}),
		$claimed, 'a statement has claimed it: ' . $claimed);
	$state = $to;
	return;
}

# What is not the index that is known is not read as if it were.
sub altered_lanes
{
	my ($name, $instead) = @_;

	altered(
		"the index of the lanes $name",
		"DROP INDEX power_action.job_lane_idx; $instead",
		"DROP INDEX IF EXISTS power_action.job_lane_idx; $lanes",
		sub { succeed_after_waiting('t') });
	return;
}

succeed_after_waiting('f');
altered_lanes('is gone', '');
for my $columns (
	'server_name, account_name, priority, due_at',
	'(hashtextextended(server_name, hashtextextended(account_name, 0))),
		priority, due_at',
	'(hashtextextended(account_name, hashtextextended(server_name, 0))),
		priority, due_at, (event_id + 0)',
	'(hashtextextended(server_name, hashtextextended(account_name, 1))),
		priority, due_at, (event_id + 0)',
	'(hashtextextended(server_name, hashtextextended(account_name, 0))),
		priority DESC, due_at, (event_id + 0)')
{
	altered_lanes("is of $columns",
		"CREATE INDEX job_lane_idx ON power_action.job ($columns)");
}
succeed_after_waiting('f');
altered(
	'the primary key of job is gone',
	'ALTER TABLE power_action.job DROP CONSTRAINT job_pkey',
	'ALTER TABLE power_action.job ADD PRIMARY KEY (event_id)');

# in another order, or of something else: what is due tomorrow comes first
for my $column (
	q{(GREATEST(due_at, '-infinity'::timestamptz)) DESC},
	q{(GREATEST(due_at, 'infinity'::timestamptz))})
{
	my $tomorrow = request_for_later();

	value($site, "DROP INDEX power_action.job_cluster_idx;
		CREATE INDEX job_cluster_idx ON power_action.job (cluster_id,
			$column, (event_id + 0))");
	my $to = next_state();
	act();
	is(results(), success($to) . ', 1 job', "an index of job has $column");
	$state = $to;
	value($site, 'DROP INDEX power_action.job_cluster_idx;
		CREATE INDEX job_cluster_idx ON power_action.job (cluster_id,
			(GREATEST(due_at, \'-infinity\'::timestamptz)), (event_id + 0))');
	cancel($tomorrow);
	is_plain('the index is again what it was');
}

# ----------------------------------------------------------------------
# Tables that inherit
# ----------------------------------------------------------------------

# An instance that is in no table of ours; its own table is no more, but the
# other does not know that before it is analyzed.
value($site, "CREATE TABLE owned.instance () INHERITS (power_action.instance);
	INSERT INTO owned.instance (cluster_id, instance_id, status)
		VALUES ('one', 'i-3', '$state')");
my $to = next_state();
act();
is( results(), "3 success|confirmed|1|2, 1 success|confirmed|1|3, 4 $to|agent, 9 $to",
	'a table that inherits from instance: what is in it is of the cluster');
$state = $to;
value($site, 'DROP TABLE owned.instance; ANALYZE power_action.instance');
is_plain('a table that inherits is gone');

# ----------------------------------------------------------------------
# Who may write
# ----------------------------------------------------------------------

# The worker reads nothing that it may not see all of, so what comes next is
# in flight by then: the agent stands still.
sub in_flight
{
	freeze_process($agent->{pid});
	@ids = ids_of(requests());
	poll_event($site, $_, q{status = 'running'}) for @ids;
	return;
}

sub land
{
	kill 'CONT', $agent->{pid} or die 'no agent';
	await(@ids);
	return;
}

succeed('before') if $state ne 'running';
value($site, "
	ALTER ROLE $owner NOSUPERUSER;
	GRANT USAGE ON FOREIGN SERVER agent TO $owner;
	CREATE POLICY of_owner ON power_action.event TO $owner
		USING (true) WITH CHECK (description IS DISTINCT FROM 'forbidden')");
succeed('policies that are not for the owner') for 1 .. 2;
for my $table (qw(cluster instance))
{
	in_flight();
	value($site, "ALTER TABLE power_action.$table FORCE ROW LEVEL SECURITY");
	land();
	value($site, "ALTER TABLE power_action.$table NO FORCE ROW LEVEL SECURITY");
	is( results(),
		"4 failed|confirmed|database|42501|1|2, 4 $state|agent, 8 $state",
		"policies of $table that are for the owner: all fail");
}
for my $table (qw(event job))
{
	value($site, "REVOKE INSERT ON power_action.$table FROM $owner");
	is(refused($_), '42501', "$table may not be inserted into: $_ is refused")
	  for (q{'one'}, $array);
	value($site, "GRANT INSERT ON power_action.$table TO $owner");
}
in_flight();
value($site, "REVOKE UPDATE ON power_action.instance FROM $owner");
land();
value($site, "GRANT UPDATE ON power_action.instance TO $owner");
is( results(),
	"4 failed|confirmed|database|42501|1|2, 4 $state|agent, 8 $state",
	'instances may not be updated: all fail');
value($site, 'ALTER TABLE power_action.event FORCE ROW LEVEL SECURITY');
is(refused(qq{$_, description => 'forbidden'}), '42501',
	"policies of event that are for the owner: $_ is refused")
  for (q{'one'}, $array);
value($site, "
	ALTER TABLE power_action.event NO FORCE ROW LEVEL SECURITY;
	DROP POLICY of_owner ON power_action.event;
	ALTER ROLE $owner SUPERUSER");
is_plain('policies are gone');

# ----------------------------------------------------------------------
# Functions
# ----------------------------------------------------------------------

altered(
	'another function of our trigger',
	q{CREATE OR REPLACE FUNCTION power_action.keep_instance_status()
		RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			NEW.labels := '{"by": "the owner"}';
			RETURN NEW;
		END $$},
	q{CREATE OR REPLACE FUNCTION power_action.keep_instance_status()
		RETURNS trigger LANGUAGE C
		AS '$libdir/power_action', 'pa_inventory_keep_instance_status'},
	sub {
		is( value($site, q{SELECT count(*) FROM power_action.instance
				WHERE labels->>'by' = 'the owner'}),
			8, 'is heeded');
	});

# ----------------------------------------------------------------------
# Publications
# ----------------------------------------------------------------------

succeed('before') if $state ne 'running';
value($site, q{CREATE PUBLICATION everything FOR ALL TABLES});
is_plain('published');
value($site, 'ALTER TABLE power_action.cluster REPLICA IDENTITY NOTHING');
fail_to_write('published cluster without identity', '55000');
value($site, 'ALTER TABLE power_action.cluster REPLICA IDENTITY DEFAULT;
	ALTER TABLE power_action.job REPLICA IDENTITY NOTHING');

# What cannot be written at all is written when it can be.
for my $table (qw(job event))
{
	my $offset = -s $node->logfile;

	value($site, "ALTER TABLE power_action.$table REPLICA IDENTITY NOTHING");
	@ids = ids_of(requests());
	for my $id (@ids)
	{
		wait_until(
			"event $id is tried",
			sub {
				log_count($node,
					qr/could not write the outcome of event $id: cannot (update table "event"|delete from table "job")/,
					$offset);
			});
	}
	value($site, "ALTER TABLE power_action.$table REPLICA IDENTITY DEFAULT");
	await(@ids);
	is( results(),
		"4 failed|confirmed|database|55000|1|2, 4 $state|agent, 8 $state",
		"published $table without identity");
	is_plain("published $table with an identity");
}
value($site, 'DROP PUBLICATION everything');
is_plain('not published');

# ----------------------------------------------------------------------
# A table that has become smaller
# ----------------------------------------------------------------------

succeed('before') if $state ne 'running';
value($site, q{
	INSERT INTO power_action.instance (cluster_id, instance_id, labels)
		SELECT 'one', 'filler-' || n, jsonb_build_object('text', repeat('x', 500))
		FROM generate_series(1, 100) n;
	DELETE FROM power_action.instance WHERE instance_id IN ('i-1', 'i-2');
	INSERT INTO power_action.instance (cluster_id, instance_id, status)
		SELECT cluster_id, 'i-' || n, 'running'
		FROM power_action.cluster, generate_series(1, 2) n;
	DELETE FROM power_action.instance WHERE instance_id LIKE 'filler%'});
in_flight();
my $last = value($site, 'SELECT min(ctid) FROM power_action.instance');
value($site, 'CREATE TEMP TABLE kept AS SELECT * FROM power_action.instance;
	DELETE FROM power_action.instance;
	VACUUM (INDEX_CLEANUP ON) power_action.instance;
	INSERT INTO power_action.instance SELECT * FROM kept');
cmp_ok(value($site, q{SELECT pg_relation_size('power_action.instance')
		/ current_setting('block_size')::int}),
	'<=', $last =~ /^\((\d+)/, 'the table ends before the instances that were read');
land();
is(results(), success('stopped'), 'they are written where they are now');
$state = 'stopped';
is_plain('a table that became smaller');

# ----------------------------------------------------------------------
# Identities, defaults, columns
# ----------------------------------------------------------------------

altered(
	'steps of event_id',
	'ALTER TABLE power_action.event ALTER event_id SET INCREMENT BY 7',
	'ALTER TABLE power_action.event ALTER event_id SET INCREMENT BY 1',
	sub { is("@ids[1 .. 3]", join(' ', map { $ids[0] + 7 * $_ } 1 .. 3), 'are heeded') });

altered(
	'defaults of event and job',
	q{ALTER TABLE power_action.event ALTER instances_done SET DEFAULT 0;
	ALTER TABLE power_action.job ALTER retry_at SET DEFAULT '2001-01-01'},
	'ALTER TABLE power_action.event ALTER instances_done DROP DEFAULT;
	ALTER TABLE power_action.job ALTER retry_at DROP DEFAULT',
	sub {
		my $id = request_for_later();

		is( value($site, "SELECT instances_done, extract(year FROM retry_at)
				FROM power_action.event JOIN power_action.job USING (event_id)
				WHERE event_id = $id"),
			'0|2001', 'are heeded');
		cancel($id);
	});

altered(
	'another default of event',
	'ALTER TABLE power_action.event ALTER instances_failed SET DEFAULT ARRAY[]::text[]',
	'ALTER TABLE power_action.event ALTER instances_failed DROP DEFAULT',
	sub {
		value($site, 'ALTER TABLE power_action.event ALTER attempts SET DEFAULT 7');
		my $id = request_for_later();

		is(event_value($site, $id, 'attempts, instances_failed'), '7|{}', 'is heeded');
		cancel($id);
		value($site, 'ALTER TABLE power_action.event ALTER attempts SET DEFAULT 0');
	});

is( (query_error($site, "SET default_transaction_read_only = on;
		SELECT power_action.power_off('one')"))[0],
	'25006', 'nothing is inserted in a transaction that may not write');

value($site, join ';', map {
	qq{ALTER TABLE power_action.$_
		ADD COLUMN noted text NOT NULL DEFAULT 'as it is',
		ADD COLUMN shout text GENERATED ALWAYS AS (upper(cluster_id)) STORED}
} qw(event cluster instance job));
value($site, join ';', map {
	qq{ALTER TABLE power_action.$_ ADD COLUMN loud text
		GENERATED ALWAYS AS (upper(status)) STORED}
} qw(event cluster instance));
value($site, 'CREATE TRIGGER queued AFTER INSERT ON power_action.job
	FOR EACH ROW EXECUTE FUNCTION owned.note(); TRUNCATE owned.log');
for my $round (1, 2)
{
	succeed('columns');
	for my $table (qw(event cluster instance))
	{
		my $of = $table eq 'event'
		  ? 'WHERE event_id IN (' . join(', ', @ids) . ')' : '';

		is( value($site, "SELECT DISTINCT noted, loud = upper(status),
				shout = upper(cluster_id) FROM power_action.$table $of"),
			'as it is|t|t', "columns of $table are filled");
	}
}
is(told('queued', 'noted'), join(' ', ('as it is') x 8), 'columns of job, too');
is(told('queued', 'shout'), 'ONE MANY-1 MANY-2 MANY-3 ONE MANY-1 MANY-2 MANY-3',
	'and what is made of others');

# They leave something behind, so this is not as it was.
value($site, 'DROP TRIGGER queued ON power_action.job');
value($site, "ALTER TABLE power_action.$_ DROP COLUMN noted, DROP COLUMN shout")
  for qw(event cluster instance job);
value($site, "ALTER TABLE power_action.$_ DROP COLUMN loud")
  for qw(event cluster instance);
succeed('columns are dropped') for 1 .. 2;
indexes_are_right('in the end');
ok_consistent($site);

# ----------------------------------------------------------------------
# Other tables
# ----------------------------------------------------------------------

ids_of("SET client_min_messages = warning; DROP EXTENSION power_action CASCADE;
	SET ROLE $owner; CREATE EXTENSION power_action; RESET ROLE");
fill_inventory();
succeed('created again in the session');
is_plain('created again');
ok_consistent($site);

$session->quit;
done_testing();
