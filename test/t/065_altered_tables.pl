# test/t/065_altered_tables.pl
#
# Triggers, rules and constraints that an owner adds to the tables are heeded by
# requests and by outcomes, from the next one on.  What is as it was made is
# written without statements, and is so again when they are gone.

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

ok_consistent($site);
$session->quit;
done_testing();
