# test/t/PowerActionAltered.pm
#
# Actions on tables that were altered.  A server with four clusters, one session
# that makes all requests, so that it knows the tables from before, and one
# agent; tables, triggers and functions of the owner in the schema "owned".
#
#   $site, $node, $agent   as in PowerActionSequence, of new_altered_site
#   $owner                 of the extension
#   $state                 what all clusters are: running or stopped
#   @ids                   the events of the last actions

package PowerActionAltered;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PowerActionSequence;
use PowerActionTest;
use Test::More;

our @EXPORT = qw(
  $site $node $agent $owner $session $array $all $state @ids
  new_altered_site fill_inventory next_action next_state
  ids_of await requests act results success
  succeed fail_to_write refused event_count
  request_for_later cancel is_plain altered told fired);

our ($site, $node, $agent, $session);

# The extension's statements are its owner's, told from ours by that.
our $owner = 'regress_owner';

sub fill_inventory
{
	create_agent_server($node, 'fleet', $agent);
	wait_for_worker($node, 'fleet');
	add_account($site, 'prod', 'agent', '4711');
	add_clusters($site, 'prod', qw(one many-1 many-2 many-3));
	return;
}

sub new_altered_site
{
	$node = new_node(
		'main', conf => "
	shared_preload_libraries = 'power_action, pg_stat_statements'
	pg_stat_statements.track = all
	autovacuum = off
	power_action.initial_backoff = 10ms
	power_action.max_backoff = 100ms
	");
	$agent = start_logging_agent(qw(--initial-state running));
	$site = { node => $node, database => 'fleet', agent => $agent };

	$node->safe_psql('postgres', "
		CREATE ROLE $owner SUPERUSER LOGIN;
		CREATE DATABASE fleet");
	value($site, "
		SET ROLE $owner;
		CREATE EXTENSION power_action;
		RESET ROLE;
		CREATE EXTENSION pg_stat_statements");

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
	$session = $node->background_psql('fleet');
	return;
}

# ----------------------------------------------------------------------
# Actions: one of a single cluster, one of three at a time
# ----------------------------------------------------------------------

# Some clusters, as an argument, and all, as lists have them.
our $array = q{ARRAY['many-1', 'many-2', 'many-3']};
our $all = 'many-1 many-2 many-3 one';

# What the clusters are, and the events of the last actions.
our $state = 'running';
our @ids;

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

1;
