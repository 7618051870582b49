# test/t/065_altered_tables.pl
#
# What an owner adds to the tables is heeded by requests and by outcomes, from
# the next one on: triggers, rules, constraints, indexes, columns, defaults,
# publications.  What is as it was made is written without statements, and is
# so again when that is gone.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PowerActionSequence;
use PowerActionTest;

my $node = new_node(
	'main', conf => "
shared_preload_libraries = 'power_action, pg_stat_statements'
pg_stat_statements.track = all
autovacuum = off
power_action.initial_backoff = 10ms
power_action.max_backoff = 100ms
");
my $agent = start_logging_agent(qw(--initial-state running));
my $site = { node => $node, database => 'fleet', agent => $agent };

# The extension's statements are its owner's, told from ours by that.
my $owner = 'regress_owner';

$node->safe_psql('postgres', "
	CREATE ROLE $owner SUPERUSER LOGIN;
	CREATE DATABASE fleet");
value($site, "
	SET ROLE $owner;
	CREATE EXTENSION power_action;
	RESET ROLE;
	CREATE EXTENSION pg_stat_statements");

sub fill_inventory
{
	create_agent_server($node, 'fleet', $agent);
	wait_for_worker($node, 'fleet');
	add_account($site, 'prod', 'agent', '4711');
	add_clusters($site, 'prod', qw(one many-1 many-2 many-3));
	return;
}

# What the owner makes of his own.
value($site, q{
	CREATE SCHEMA owned;
	CREATE TABLE owned.log (number serial, trigger text, rows jsonb);
	CREATE FUNCTION owned.note() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO owned.log (trigger, rows) VALUES (TG_NAME, jsonb_build_array(
			CASE WHEN TG_OP = 'DELETE' THEN to_jsonb(OLD) ELSE to_jsonb(NEW) END));
		RETURN NULL;
	END $$;
	CREATE FUNCTION owned.note_rows() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO owned.log (trigger, rows)
			SELECT TG_NAME, coalesce(jsonb_agg(to_jsonb(r)), '[]') FROM new_rows r;
		RETURN NULL;
	END $$;
	CREATE FUNCTION owned.describe() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF NEW.description = 'nothing' THEN
			RETURN NULL;
		END IF;
		NEW.description := 'for ' || NEW.cluster_id;
		RETURN NEW;
	END $$;
	CREATE FUNCTION owned.label() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		NEW.labels := jsonb_build_object('was', OLD.status);
		RETURN NEW;
	END $$;
	CREATE FUNCTION owned.error_of(command text) RETURNS text
		LANGUAGE plpgsql AS $$
	BEGIN
		EXECUTE command;
		RETURN 'none';
	EXCEPTION WHEN OTHERS THEN
		RETURN SQLSTATE;
	END $$});
fill_inventory();

# ----------------------------------------------------------------------
# Actions: one of a single cluster, one of three at a time
# ----------------------------------------------------------------------

# All requests are of one session, so that it knows the tables from before.
my $session = $node->background_psql('fleet');
my $array = q{ARRAY['many-1', 'many-2', 'many-3']};
my $all = 'many-1 many-2 many-3 one';

# What the clusters are, and the events of the last actions.
my $state = 'running';
my @ids;

sub next_action { return $state eq 'running' ? 'power_off' : 'power_on' }
sub next_state { return $state eq 'running' ? 'stopped' : 'running' }

# The ids that statements of the session print.
sub ids_of { return grep { /./ } split /\n/, $session->query_safe($_[0]) }

sub await
{
	$session->query_safe(join '; ',
		map { "SELECT FROM power_action.wait_for($_, '180 s')" } @_);
	return;
}

# The two requests; %s is the action, what is given comes before and between.
sub requests
{
	my ($before, $between) = @_;
	my $action = next_action();

	return ($before // '') . "SELECT power_action.$action('one');"
	  . ($between // '')
	  . "SELECT event_id FROM power_action.$action($array)";
}

sub act
{
	@ids = ids_of(requests());
	await(@ids);
	return;
}

# Of the last actions: how often which end of events, state of clusters, state
# of instances; what is left.
sub results
{
	my $list = join ', ', @ids;

	return value($site, qq{
		WITH e AS (SELECT * FROM power_action.event WHERE event_id IN ($list)),
		what (number, text) AS (
			SELECT 1, concat_ws('|', e.status, e.agent_result, e.error_source,
				e.error_code, e.attempts, e.instances_total) FROM e
			UNION ALL SELECT 2, c.status || '|' || c.status_source
				FROM power_action.cluster c JOIN e USING (cluster_id)
			UNION ALL SELECT 3, i.status
				FROM power_action.instance i JOIN e USING (cluster_id)
			UNION ALL SELECT 4, 'job' FROM power_action.job
			UNION ALL SELECT 5, 'time' FROM e
				WHERE NOT (requested_at <= started_at AND started_at <= finished_at)
					OR num_nulls(started_at, finished_at) > 0),
		counted AS (
			SELECT number, text, count(*) FROM what GROUP BY number, text)
		SELECT string_agg(count || ' ' || text, ', ' ORDER BY number, text)
		FROM counted});
}

# What results() says if all goes well.
sub success
{
	my ($to) = @_;

	return "4 success|confirmed|1|2, 4 $to|agent, 8 $to";
}

sub succeed
{
	my ($name) = @_;
	my $to = next_state();

	act();
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(results(), success($to), "$name: everything is done");
	$state = $to;
	return;
}

# The outcomes cannot be written, so the clusters stay as they were.
sub fail_to_write
{
	my ($name, $code) = @_;

	act();
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(results(),
		"4 failed|confirmed|database|$code|1|2, 4 $state|agent, 8 $state",
		"$name: all fail");
	return;
}

# Error of a request, in a subtransaction of the session.
sub refused
{
	my ($arguments) = @_;
	my $action = next_action();

	return $session->query_safe(
		"SELECT owned.error_of(\$\$SELECT power_action.$action($arguments)\$\$)");
}

sub event_count { return value($site, 'SELECT count(*) FROM power_action.event') }

# A request that waits for its time, and its end.
sub request_for_later
{
	my ($id) = ids_of(
		"SELECT power_action.power_off('one', not_before => now() + '1 day')");

	return $id;
}

sub cancel
{
	my ($id) = @_;

	ids_of("SELECT power_action.cancel($id)");
	await($id);
	return;
}

# Statements that write what needs none while the tables are as they were made.
# A row that is elsewhere than it was is found by one, so it may be tried again.
sub is_plain
{
	my ($name) = @_;
	my $statements;

	for my $try (1 .. 3)
	{
		my $to = next_state();

		value($site, 'SELECT pg_stat_statements_reset()');
		act();
		if ($try == 1)
		{
			local $Test::Builder::Level = $Test::Builder::Level + 1;
			is(results(), success($to), "$name, everything is done");
		}
		$state = $to;
		$statements = value($site, qq{
			SELECT string_agg(query, E'\\n') FROM pg_stat_statements
			WHERE userid = '$owner'::regrole
				AND query ~ '(INSERT INTO power_action.(event|job)'
					'|UPDATE power_action.(event|cluster|instance)'
					'|DELETE FROM power_action.job)\\M'});
		last if $statements eq '';
	}
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($statements, '', "$name, without statements");
	return;
}

# Alters the tables, lets actions succeed, calls the function, takes it back.
sub altered
{
	my ($name, $alter, $restore, $check) = @_;

	value($site, "TRUNCATE owned.log; $alter");
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	succeed($name);
	$check->() if $check;
	value($site, $restore);
	is_plain("$name is gone");
	return;
}

# The rows of which a trigger told, by a column; those of events that are
# marked as running are left out, for whether they are is a matter of time.
sub told
{
	my ($trigger, $column) = @_;

	return value($site, qq{
		SELECT string_agg(r->>'$column', ' ' ORDER BY (r->>'event_id')::int8,
			r->>'$column' COLLATE "C")
		FROM owned.log, jsonb_array_elements(rows) r
		WHERE trigger = '$trigger'
			AND NOT (r ? 'action' AND r->>'status' = 'running')});
}

# How often a trigger fired.
sub fired
{
	my ($trigger) = @_;

	return value($site,
		"SELECT count(*) FROM owned.log WHERE trigger = '$trigger'");
}

succeed('as it was made');
is_plain('as it was made');

# ----------------------------------------------------------------------
# Triggers
# ----------------------------------------------------------------------

altered(
	'AFTER UPDATE of event',
	'CREATE TRIGGER ended AFTER UPDATE ON power_action.event
		FOR EACH ROW EXECUTE FUNCTION owned.note()',
	'DROP TRIGGER ended ON power_action.event',
	sub {
		is(told('ended', 'event_id'), "@ids", 'it fires once for each that ends');
		is( value($site, q{
			SELECT count(*) FROM owned.log
			JOIN power_action.event e ON to_jsonb(e) = rows->0}),
			4, 'with what is written');
		value($site,
			'TRUNCATE owned.log; ALTER TABLE power_action.event DISABLE TRIGGER ended');
		succeed('disabled trigger');
		is(told('ended', 'event_id'), '', 'it does not fire');
	});

altered(
	'AFTER INSERT on event and job',
	'CREATE TRIGGER asked AFTER INSERT ON power_action.event
		FOR EACH ROW EXECUTE FUNCTION owned.note();
	CREATE TRIGGER queued AFTER INSERT ON power_action.job
		FOR EACH ROW EXECUTE FUNCTION owned.note()',
	'DROP TRIGGER asked ON power_action.event;
	DROP TRIGGER queued ON power_action.job',
	sub {
		is(told($_, 'event_id'), "@ids", "$_ fires once for each") for qw(asked queued);
		is( value($site, q{
			SELECT count(*) FROM owned.log
			WHERE trigger = 'asked' AND rows->0->>'status' = 'pending'}),
			4, 'with what is inserted');
	});

altered(
	'BEFORE INSERT on event',
	'CREATE TRIGGER described BEFORE INSERT ON power_action.event
		FOR EACH ROW EXECUTE FUNCTION owned.describe()',
	'DROP TRIGGER described ON power_action.event',
	sub {
		is( value($site, q{
			SELECT string_agg(DISTINCT description, ', ') FROM power_action.event
			WHERE event_id IN (} . join(', ', @ids) . ')'),
			'for many-1, for many-2, for many-3, for one',
			'it changes what is inserted');
		my $events = event_count();
		is(refused(qq{$_, description => 'nothing'}), '09000', "$_ may be kept out")
		  for (q{'one'}, $array);
		is(event_count(), $events, 'and is');
	});

altered(
	'AFTER DELETE of job',
	'CREATE TRIGGER done AFTER DELETE ON power_action.job
		FOR EACH ROW EXECUTE FUNCTION owned.note()',
	'DROP TRIGGER done ON power_action.job',
	sub { is(told('done', 'event_id'), "@ids", 'it fires once for each') });

altered(
	'triggers of statements',
	'CREATE TRIGGER powered AFTER UPDATE ON power_action.cluster
		REFERENCING NEW TABLE AS new_rows
		FOR EACH STATEMENT EXECUTE FUNCTION owned.note_rows();
	CREATE TRIGGER ended AFTER UPDATE ON power_action.event
		REFERENCING NEW TABLE AS new_rows
		FOR EACH STATEMENT EXECUTE FUNCTION owned.note_rows();
	CREATE TRIGGER asked AFTER INSERT ON power_action.event
		REFERENCING NEW TABLE AS new_rows
		FOR EACH STATEMENT EXECUTE FUNCTION owned.note_rows();
	CREATE TRIGGER queued AFTER INSERT ON power_action.job
		REFERENCING NEW TABLE AS new_rows
		FOR EACH STATEMENT EXECUTE FUNCTION owned.note_rows()',
	'DROP TRIGGER powered ON power_action.cluster;
	DROP TRIGGER ended ON power_action.event;
	DROP TRIGGER asked ON power_action.event;
	DROP TRIGGER queued ON power_action.job',
	sub {
		is(told('powered', 'cluster_id'), $all, 'they get the clusters');
		is(told('ended', 'event_id'), "@ids", 'the events that end');
		is(told($_, 'event_id'), "@ids", "$_ gets each row") for qw(asked queued);
		is(fired($_), 2, "$_ fires once for a request") for qw(asked queued);
	});

altered(
	'BEFORE UPDATE of instance',
	'CREATE TRIGGER labelled BEFORE UPDATE ON power_action.instance
		FOR EACH ROW EXECUTE FUNCTION owned.label()',
	'DROP TRIGGER labelled ON power_action.instance',
	sub {
		is( value($site, q{SELECT string_agg(DISTINCT labels::text, ',')
				FROM power_action.instance}),
			'{"was": "' . next_state() . '"}', 'it changes what is written');
	});

altered(
	'BEFORE UPDATE of cluster',
	'CREATE TRIGGER labelled BEFORE UPDATE OF status ON power_action.cluster
		FOR EACH ROW EXECUTE FUNCTION owned.label()',
	'DROP TRIGGER labelled ON power_action.cluster',
	sub {
		is( value($site, q{SELECT string_agg(DISTINCT labels::text, ',')
				FROM power_action.cluster}),
			'{"was": "' . next_state() . '"}', 'it changes what is written');
	});

# Made by the session itself: between two requests, and for nothing.
my $to = next_state();
my $trigger = 'CREATE TRIGGER asked AFTER INSERT ON power_action.event
	FOR EACH ROW EXECUTE FUNCTION owned.note();';
value($site, 'TRUNCATE owned.log');
@ids = ids_of(requests('BEGIN;', $trigger) . ';COMMIT');
await(@ids);
is(results(), success($to), 'a trigger between two requests');
is(told('asked', 'event_id'), "@ids[1 .. 3]", 'it fires for the second');
$state = $to;
value($site, 'DROP TRIGGER asked ON power_action.event; TRUNCATE owned.log');
ids_of(requests("BEGIN; $trigger") . ';ROLLBACK');
is_plain('a trigger that was rolled back');
is(fired('asked'), 0, 'it does not fire');

# ----------------------------------------------------------------------
# Rules
# ----------------------------------------------------------------------

altered(
	'a rule of cluster',
	q{CREATE RULE noted AS ON UPDATE TO power_action.cluster DO ALSO
		INSERT INTO owned.log (trigger, rows)
		VALUES ('rule', jsonb_build_array(jsonb_build_object(
			'cluster_id', NEW.cluster_id, 'status', NEW.status)))},
	'DROP RULE noted ON power_action.cluster',
	sub {
		is(told('rule', 'cluster_id'), $all, 'it is applied to each');
		is(told('rule', 'status'), join(' ', ($state) x 4), 'with what is written');
	});

# An event and its job are inserted by one statement, which cannot do that.
my $events = event_count();
value($site, q{CREATE RULE noted AS ON INSERT TO power_action.event DO ALSO
	INSERT INTO owned.log (trigger) VALUES ('rule')});
is(refused($_), '0A000', "a rule of event: no request for $_") for (q{'one'}, $array);
value($site, 'DROP RULE noted ON power_action.event');
is(event_count(), $events, 'no event is inserted');
is_plain('a rule of event is gone');

# ----------------------------------------------------------------------
# Constraints
# ----------------------------------------------------------------------

altered(
	'references to cluster and event',
	q{CREATE TABLE owned.machine (cluster_id text COLLATE "C" PRIMARY KEY
		REFERENCES power_action.cluster ON UPDATE CASCADE);
	INSERT INTO owned.machine SELECT cluster_id FROM power_action.cluster;
	CREATE TABLE owned.ticket (event_id bigint PRIMARY KEY
		REFERENCES power_action.event);
	INSERT INTO owned.ticket SELECT event_id FROM power_action.event},
	'DROP TABLE owned.machine, owned.ticket');

# a reference to what is deleted
value($site, q{CREATE TABLE owned.note (event_id bigint PRIMARY KEY
	REFERENCES power_action.job ON DELETE CASCADE)});
my $later = request_for_later();
value($site, "INSERT INTO owned.note VALUES ($later)");
cancel($later);
is(outcome($site, $later), 'cancelled|none', 'a reference to job: it is cancelled');
is(value($site, 'SELECT count(*) FROM owned.note'), 0, 'what refers to it is gone');
value($site, 'DROP TABLE owned.note');
is_plain('a reference to job is gone');

# a reference of what is written
value($site, q{
	CREATE TABLE owned.status (status text PRIMARY KEY);
	INSERT INTO owned.status VALUES ('pending'), ('running'), ('failed');
	ALTER TABLE power_action.event ADD CONSTRAINT status_fkey
		FOREIGN KEY (status) REFERENCES owned.status NOT VALID});
fail_to_write('event.status refers to a table', '23503');
value($site, q{DELETE FROM power_action.event;
	DELETE FROM owned.status WHERE status = 'pending'});
is(refused($_), '23503', "no request for $_, either") for (q{'one'}, $array);
is(event_count(), 0, 'no event is inserted');
value($site, q{INSERT INTO owned.status VALUES ('pending'), ('success')});
succeed('event.status refers to all that there are');
value($site, q{ALTER TABLE power_action.event DROP CONSTRAINT status_fkey;
	DROP TABLE owned.status});
is_plain('a reference of event.status is gone');

altered(
	'CHECK of event.description',
	q{ALTER TABLE power_action.event ADD CONSTRAINT of_owner
		CHECK (description <> 'forbidden')},
	'ALTER TABLE power_action.event DROP CONSTRAINT of_owner',
	sub {
		$events = event_count();
		is(refused(qq{$_, description => 'forbidden'}), '23514', "$_ is refused")
		  for (q{'one'}, $array);
		is(event_count(), $events, 'no event is inserted');
		succeed('CHECK, after it refused');
	});

altered(
	'CHECK in place of that of event',
	q{CREATE FUNCTION owned.allows(e power_action.event) RETURNS boolean
		LANGUAGE sql AS $$SELECT e.description IS DISTINCT FROM 'forbidden'$$;
	ALTER TABLE power_action.event DROP CONSTRAINT event_check;
	ALTER TABLE power_action.event ADD CONSTRAINT event_check
		CHECK (owned.allows(event))},
	'ALTER TABLE power_action.event DROP CONSTRAINT event_check;
	ALTER TABLE power_action.event ADD CONSTRAINT event_check
		CHECK (power_action.event_keeps_rules(event));
	DROP FUNCTION owned.allows',
	sub {
		is(refused(qq{$_, description => 'forbidden'}), '23514', "$_ is refused")
		  for (q{'one'}, $array);
	});

value($site, 'DELETE FROM power_action.event;
	ALTER TABLE power_action.event ALTER description SET NOT NULL');
is(refused($_), '23502', "NOT NULL of event.description: $_ is refused")
  for (q{'one'}, $array);
is(event_count(), 0, 'no event is inserted');
value($site, 'ALTER TABLE power_action.event ALTER description DROP NOT NULL');
is_plain('NOT NULL is gone');

# What the outcome of one of three breaks, and what becomes of the others.
for my $case (
	[ cluster => q{cluster_id <> 'many-2' OR status <> 'stopped'} ],
	[ instance => q{cluster_id <> 'many-2' OR status <> 'stopped'} ],
	[ event => q{cluster_id <> 'many-2' OR status <> 'success'} ])
{
	my ($table, $condition) = @$case;

	succeed('before') if $state ne 'running';
	value($site, "ALTER TABLE power_action.$table
		ADD CONSTRAINT allowed CHECK ($condition) NOT VALID");
	act();
	is( results(), '1 failed|confirmed|database|23514|1|2, 3 success|confirmed|1|2, '
		. '1 running|agent, 3 stopped|agent, 2 running, 6 stopped',
		"CHECK of $table: one fails, the others go on");
	is(event_value($site, $ids[2], q{status || ' ' || cluster_id}),
		'failed many-2', 'the one that breaks it');
	value($site, "ALTER TABLE power_action.$table DROP CONSTRAINT allowed");
	$state = 'stopped';
	is_plain("CHECK of $table is gone");
}

# Two outcomes that may not both be: checked when all of a statement are there.
value($site, q{ALTER TABLE power_action.event ADD CONSTRAINT once
	UNIQUE (description, status) DEFERRABLE});
for my $expected ('success|confirmed', 'failed|confirmed|database|23505')
{
	my $action = next_action();
	my ($id) = ids_of("SELECT power_action.$action('one', description => 'once')");

	await($id);
	is(outcome($site, $id), $expected, "deferrable UNIQUE of event: $expected");
}
value($site, 'ALTER TABLE power_action.event DROP CONSTRAINT once');
ids_of('SELECT power_action.' . ($state eq 'running' ? 'power_on' : 'power_off')
	  . q{('one')});
finish_all($site);
is_plain('deferrable UNIQUE is gone');
value($site, q{DELETE FROM power_action.event; ALTER TABLE power_action.event
	ADD CONSTRAINT once UNIQUE (description) DEFERRABLE});
is(refused(qq{$array, description => 'thrice'}), '23505',
	'deferrable UNIQUE of event: no request that breaks it');
is(event_count(), 0, 'no event is inserted');
value($site, 'ALTER TABLE power_action.event DROP CONSTRAINT once');
is_plain('that is gone, too');

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

# in another order: what is due tomorrow comes first
my $tomorrow = request_for_later();
value($site, 'DROP INDEX power_action.job_cluster_idx;
	CREATE INDEX job_cluster_idx ON power_action.job (cluster_id,
		(GREATEST(due_at, \'-infinity\'::timestamptz)) DESC, (event_id + 0))');
$to = next_state();
act();
is(results(), success($to) . ', 1 job', 'an index of job has another order');
$state = $to;
value($site, 'DROP INDEX power_action.job_cluster_idx;
	CREATE INDEX job_cluster_idx ON power_action.job (cluster_id,
		(GREATEST(due_at, \'-infinity\'::timestamptz)), (event_id + 0))');
cancel($tomorrow);
is_plain('the index has its order again');

# ----------------------------------------------------------------------
# Tables that inherit
# ----------------------------------------------------------------------

# An instance that is in no table of ours; its own table is no more, but the
# other does not know that before it is analyzed.
value($site, "CREATE TABLE owned.instance () INHERITS (power_action.instance);
	INSERT INTO owned.instance (cluster_id, instance_id, status)
		VALUES ('one', 'i-3', '$state')");
$to = next_state();
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
