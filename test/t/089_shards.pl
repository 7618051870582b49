# test/t/089_shards.pl
#
# A fleet in several databases, as doc/scaling.md has it: requests, inventory
# and audit from another one through postgres_fdw, and what is atomic over two
# of them.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PowerActionSequence;
use PowerActionTest;

plan skip_all => 'postgres_fdw is not installed'
  if !-e (`pg_config --sharedir` =~ s/\n//r) . '/extension/postgres_fdw.control';

my $node = new_node('main', conf => "max_prepared_transactions = 4\n");
my $agent = start_logging_agent(qw(--initial-state running));
my @shards = map { { node => $node, database => $_ } } qw(east west);
my $desk = { node => $node, database => 'desk' };
my $port = $node->port;
my $host = $node->host;

# What the documents say a shard has for requests from elsewhere: a view whose
# trigger makes them.
my $requests = q{
	CREATE SCHEMA fleet;
	CREATE VIEW fleet.request AS
		SELECT ''::text AS action, ''::text AS cluster_id,
			''::text AS triggered_by, ''::text AS request_key WHERE false;
	CREATE FUNCTION fleet.make_request() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
	BEGIN
		CASE NEW.action
			WHEN 'power_on' THEN PERFORM power_action.power_on(NEW.cluster_id,
				NEW.triggered_by, request_key => NEW.request_key);
			WHEN 'power_off' THEN PERFORM power_action.power_off(NEW.cluster_id,
				NEW.triggered_by, request_key => NEW.request_key);
		END CASE;
		RETURN NEW;
	END$$;
	CREATE TRIGGER make_request INSTEAD OF INSERT ON fleet.request
		FOR EACH ROW EXECUTE FUNCTION fleet.make_request()};

$node->safe_psql('postgres', 'CREATE ROLE regress_desk LOGIN');
for my $shard (@shards)
{
	$node->safe_psql('postgres', "CREATE DATABASE $shard->{database}");
	create_extension($node, $shard->{database});
	create_agent_server($node, $shard->{database}, $agent);
	add_account($shard, $shard->{database}, 'agent');
	add_clusters($shard, $shard->{database},
		map { "$shard->{database}-$_" } 1 .. 4);
	value($shard, $requests);
	value($shard, q{
		GRANT USAGE ON SCHEMA fleet TO regress_desk;
		GRANT INSERT ON fleet.request TO regress_desk;
		SELECT power_action.grant_operator('regress_desk');
		SELECT power_action.grant_inventory('regress_desk')});
}

# The desk has no extension but postgres_fdw.  Clusters are a table of its own
# whose partitions are those of the shards, by account.
$node->safe_psql('postgres', 'CREATE DATABASE desk');
value($desk, q{
	CREATE EXTENSION postgres_fdw;
	GRANT USAGE ON FOREIGN DATA WRAPPER postgres_fdw TO regress_desk;
	CREATE TABLE cluster (cluster_id text, cluster_name text,
		account_name text, region text) PARTITION BY LIST (account_name)});
for my $name (map { $_->{database} } @shards)
{
	value($desk, qq{
		CREATE SERVER $name FOREIGN DATA WRAPPER postgres_fdw
			OPTIONS (host '$host', port '$port', dbname '$name');
		CREATE USER MAPPING FOR CURRENT_USER SERVER $name
			OPTIONS (user 'regress_desk', password_required 'false');
		CREATE SCHEMA $name;
		IMPORT FOREIGN SCHEMA power_action LIMIT TO (event, history)
			FROM SERVER $name INTO $name;
		IMPORT FOREIGN SCHEMA fleet FROM SERVER $name INTO $name;
		CREATE FOREIGN TABLE $name.cluster PARTITION OF cluster
			FOR VALUES IN ('$name') SERVER $name
			OPTIONS (schema_name 'power_action', table_name 'cluster')});
}
value($desk, q{
	CREATE VIEW audit AS
		SELECT 'east' AS shard, * FROM east.event
		UNION ALL SELECT 'west', * FROM west.event});

sub audit
{
	return value($desk, q{
		SELECT shard, action, cluster_id, status, triggered_by FROM audit
		ORDER BY shard, event_id});
}

sub insert
{
	my ($shard, $cluster, $key) = @_;
	$key = defined $key ? "'$key'" : 'NULL';

	return "INSERT INTO $shard.request VALUES
		('power_off', '$cluster', 'the desk', $key)";
}

# ----------------------------------------------------------------------
# Inventory
# ----------------------------------------------------------------------

value($desk, q{
	INSERT INTO cluster VALUES ('east-new', 'new', 'east', 'eu-1'),
		('west-new', 'new', 'west', 'eu-1')});
is(value($shards[1], q{SELECT count(*) FROM power_action.cluster WHERE cluster_id = 'west-new'}),
	1, 'a new cluster goes to the shard of its account');
is(value($desk, 'SELECT count(*) FROM cluster'), 10, 'all shards are one table');

# ----------------------------------------------------------------------
# Requests
# ----------------------------------------------------------------------

value($desk, 'BEGIN; ' . insert('east', 'east-1') . '; '
	  . insert('west', 'west-1') . '; COMMIT');
finish_all($_) for @shards;
is(audit(), "east|power_off|east-1|success|the desk\n"
	  . "west|power_off|west-1|success|the desk",
	'requests of one transaction in two shards, and the audit of both');
is(value($shards[0], 'SELECT requested_by FROM power_action.event'),
	'regress_desk', 'requested by the role of the user mapping');

value($desk, 'BEGIN; ' . insert('east', 'east-2') . '; '
	  . insert('west', 'west-2') . '; ROLLBACK');
is(value($desk, 'SELECT count(*) FROM audit'), 2, 'a rollback takes both back');

# The shards commit one after the other, before the desk does, in an order that
# nobody promises.  If the first of them refuses nothing is left, if the second
# does the half.
my ($code, $stdout, $stderr);
for my $shard (@shards)
{
	my $key = "not in $shard->{database}";

	value($shard, q{
		CREATE FUNCTION fleet.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			RAISE EXCEPTION 'not at commit';
		END$$;
		CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON power_action.event
		DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
		EXECUTE FUNCTION fleet.refuse()});
	($code, $stdout, $stderr) = $node->psql('desk',
		'BEGIN; ' . insert('east', 'east-2', $key) . '; '
		  . insert('west', 'west-2', $key) . '; COMMIT');
	like($stderr, qr/not at commit/, "$key: the commit fails");
	value($shard, 'DROP TRIGGER refuse ON power_action.event;
		DROP FUNCTION fleet.refuse()');
}
is(value($desk, q{SELECT count(*) FROM audit WHERE request_key LIKE 'not in %'}),
	1, 'a failing commit can leave half of the requests');

# With a request_key the whole can be repeated.
for my $key (map { "not in $_->{database}" } @shards)
{
	value($desk, 'BEGIN; ' . insert('east', 'east-2', $key) . '; '
		  . insert('west', 'west-2', $key) . '; COMMIT');
	finish_all($_) for @shards;
	is(value($desk, qq{
		SELECT shard, cluster_id, status FROM audit WHERE request_key = '$key'
		ORDER BY shard}),
		"east|east-2|success\nwest|west-2|success",
		"$key: repeated, it is made where it was not");
}

($code, $stdout, $stderr) = $node->psql('desk',
	'BEGIN; ' . insert('east', 'east-3') . q{; PREPARE TRANSACTION 'x'});
like($stderr, qr/cannot PREPARE a transaction that has operated on postgres_fdw/,
	'postgres_fdw does not prepare');

# ----------------------------------------------------------------------
# Two phases, by the caller
# ----------------------------------------------------------------------

sub prepare
{
	my ($name, @clusters) = @_;

	for my $n (0, 1)
	{
		value($shards[$n], "BEGIN;
			SELECT power_action.power_off('$clusters[$n]');
			PREPARE TRANSACTION '$name $shards[$n]{database}'");
	}
	return;
}

sub resolve
{
	my ($how, $name) = @_;

	value($_, "$how PREPARED '$name $_->{database}'") for @shards;
	return;
}

sub calls_for
{
	my ($pattern) = @_;

	return scalar grep { $_->{cluster_id} =~ $pattern } all_agent_lines($agent);
}

prepare('both', 'east-3', 'west-3');
is(value($desk, q{SELECT count(*) FROM audit WHERE cluster_id LIKE '%-3'}),
	0, 'prepared in both, visible in none');
resolve('COMMIT', 'both');
finish_all($_) for @shards;
is(value($desk, q{SELECT shard, status FROM audit WHERE cluster_id LIKE '%-3' ORDER BY 1}),
	"east|success\nwest|success", 'committed in both, done in both');

prepare('none', 'east-4', 'west-4');
resolve('ROLLBACK', 'none');
is(finish($_, request($_, 'power_off', "$_->{database}-1")),
	'success|confirmed', 'what comes later is done')
  for @shards;
is(calls_for(qr/-4/), 0, 'rolled back in both, no call is made');

($code, $stdout, $stderr) = $node->psql('east', q{
	BEGIN;
	SELECT power_action.power_off('nowhere');
	PREPARE TRANSACTION 'failed'});
like($stderr, qr/cannot PREPARE a transaction that has executed LISTEN, UNLISTEN, or NOTIFY/,
	'a request that fails at once cannot be prepared');

# ----------------------------------------------------------------------
# One agent for all shards
# ----------------------------------------------------------------------

my %sources = map { $_->{request_id} =~ m{^(\d+/\d+)/} ? ($1 => 1) : () }
  all_agent_lines($agent);
is(scalar keys %sources, 2, 'to the agent each database is a source of its own');
is(value($desk, 'SELECT count(*) - count(DISTINCT (shard, event_id)) FROM audit'),
	0, 'an event is known by shard and id');
ok(value($desk, 'SELECT count(DISTINCT event_id) < count(*) FROM audit') eq 't',
	'not by its id');
ok_consistent($_, "no contradictions in $_->{database}") for @shards;

done_testing();
