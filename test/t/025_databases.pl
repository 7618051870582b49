# test/t/025_databases.pl
#
# Several databases in one server, and copies of one: by pg_dump, which takes
# no jobs along, and by CREATE DATABASE, which takes all.  A copy fires
# nothing.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PowerActionSequence;
use PowerActionTest;

my $site = new_site(
	'main',
	agent => [qw(--initial-state running)],
	rules => "denied error=5 message=\"no\"\n");
my $node = $site->{node};
my $agent = $site->{agent};

add_clusters($site, 'prod', qw(web db denied later));

# ----------------------------------------------------------------------
# Two databases
# ----------------------------------------------------------------------

my $second = { %$site, database => 'second' };
$node->safe_psql('postgres', 'CREATE DATABASE second');
create_extension($node, 'second');
create_agent_server($node, 'second', $agent);
add_account($second, 'prod', 'agent');
add_clusters($second, 'prod', qw(web));

sub source
{
	my ($place) = @_;

	return value($place, q{
		SELECT (CASE WHEN s < 0 THEN s::numeric + 18446744073709551616 ELSE s END)
			   || '/' || d.oid
		FROM (SELECT system_identifier FROM pg_control_system()) c (s),
			 pg_database d WHERE datname = current_database()});
}

my $off = request($site, 'power_off', 'web');
is(finish($site, $off), 'success|confirmed', 'one database powers off');
my $on = request($second, 'power_on', 'web');
is(finish($second, $on), 'success|confirmed', 'the other powers on');
is($on, $off, 'each has event ids of its own');
my @lines = agent_lines($agent, 'web', 'end', 2);
is($lines[0]{source}, source($site), 'the agent can tell one');
is($lines[1]{source}, source($second), 'from the other');
is($lines[1]{request_id} =~ s{/\d+$}{}r, source($second) . "/$on",
	'and that their requests are not the same');
is( value($site, q{SELECT status FROM power_action.cluster WHERE cluster_id = 'web'})
	  . ' '
	  . value($second, q{SELECT status FROM power_action.cluster WHERE cluster_id = 'web'}),
	'stopped running',
	'each knows what it has seen');
is( value($site, q{SELECT string_agg(database || ' ' || state, ', ' ORDER BY database)
	FROM power_action.worker_status}),
	'fleet running, second running',
	'worker_status shows both workers');

# One is out of order, the other goes on.
my $worker = worker_pid($node, 'second');
value($second, "ALTER SERVER agent OPTIONS (SET target 'unix:/nonexistent/agent')");
my $held = request($second, 'power_off', 'web');
is(finish($site, request($site, 'power_on', 'web')),
	'success|confirmed', 'an agent that is away in one is not away in the other');
is(outcome($second, $held), 'pending|none', 'where it is, the action waits');
value($second, "ALTER SERVER agent OPTIONS (SET target '$agent->{target}')");
is(finish($second, $held), 'success|confirmed', 'until it is there');
is(worker_pid($node, 'second'), $worker, 'with the same worker');

# ----------------------------------------------------------------------
# pg_dump and restore
# ----------------------------------------------------------------------

value(
	$site, q{
	CREATE ROLE regress_operator LOGIN;
	SELECT power_action.grant_operator('regress_operator', 'prod');
	UPDATE power_action.cluster SET labels = '{"team": "blue"}' WHERE cluster_id = 'db'});
is(finish($site, request($site, 'power_off', 'denied', q{'alice', 'why not'})),
	'failed|refused|agent|AGENT_ERROR', 'one that failed');
set_conf($site, 'power_action.enabled', 'off');
my $due = request($site, 'power_off', 'db', q{'bob'});
my $later = request($site, 'power_off', 'later',
	q{'carol', not_before => now() + '1 day'});

my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr('fleet') ],
	'pg_dump');
set_conf($site, 'power_action.enabled', undef);
is(finish($site, $due), 'success|confirmed', 'the original goes on');
my $restored = { %$site, database => 'restored' };
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok(
	[
		'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-f',
		$dump, $node->connstr('restored')
	],
	'restore');
wait_for_worker($node, 'restored');

for my $table (qw(account cluster instance access attempt))
{
	# what became of db since then is not in the dump
	my $query =
	    "SELECT t FROM power_action.$table t"
	  . ($table =~ /cluster|instance/ ? " WHERE cluster_id <> 'db'" : '')
	  . ' ORDER BY t::text';

	is(value($restored, $query), value($site, $query), "$table came along");
	isnt(value($restored, $query), '', 'with rows');
}
is( value($restored, q{SELECT labels FROM power_action.cluster WHERE cluster_id = 'db'}),
	'{"team": "blue"}',
	'labels, too');
my $final =
  "SELECT e FROM power_action.event e WHERE event_id < $due ORDER BY event_id";
is(value($restored, $final), value($site, $final), 'so did final events');
is(value($restored, 'SELECT count(*) FROM power_action.job'),
	0, 'jobs did not');
is(outcome($restored, $due), 'cancelled|unknown',
	'what was due is cancelled, and may have been sent');
is(outcome($restored, $later), 'cancelled|none',
	'what was for later is cancelled');
is(event_value($restored, $later, 'cancel_reason, cancelled_by, triggered_by'),
	'restored||carol', 'because it was restored');
is( value($restored, "SELECT outcome FROM power_action.history WHERE event_id = $later"),
	'restored',
	'history says so');
is( value($restored, q{SELECT server_name, target FROM power_action.agent_status}),
	"agent|$agent->{target}",
	'the server came along');

# It works on: new ids, and the role may do what it could.
my $new = value(
	$restored, q{
	SET SESSION AUTHORIZATION regress_operator;
	SELECT power_action.power_on('db')});
cmp_ok($new, '>', $later, 'ids do not repeat');
is(finish($restored, $new), 'success|confirmed',
	'operator powers in the restored database');
is( (query_error($second, q{
		SET SESSION AUTHORIZATION regress_operator;
		SELECT power_action.power_on('web')}))[0],
	'42501',
	'but not where it has no access');
is_deeply(
	[
		map { $_->{request_id} =~ s{/\d+$}{}r }
		grep { $_->{source} eq source($restored) } all_agent_lines($agent)
	],
	[ (source($restored) . "/$new") x 2 ],
	'and nothing else was sent from there');

# ----------------------------------------------------------------------
# CREATE DATABASE ... TEMPLATE
# ----------------------------------------------------------------------

set_conf($site, 'power_action.enabled', 'off');
my @jobs = request_many($site, 'power_off', [qw(web db)]);
my $copy = { %$site, database => 'copy' };
$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE fleet');
wait_for_worker($node, 'fleet');
wait_for_worker($node, 'copy');
is( value($copy, q{
	SELECT waits_for, count(*) FROM power_action.activity GROUP BY 1}),
	'foreign origin|3',
	'jobs of a copy are shown as held');
my $original_source = source($site);
my $copy_source = source($copy);

set_conf($site, 'power_action.enabled', undef);
is(finish($site, $_), 'success|confirmed', 'the original does them') for @jobs;
my $own = request($copy, 'power_on', 'web');
is(finish($copy, $own), 'success|confirmed', 'the copy does what is its own');
is(outcome($copy, $_), 'pending|none', 'but not what it was made with')
  for @jobs;
is_deeply(
	[ map { $_->{request_id} =~ s{/\d+$}{}r } grep { $_->{source} eq $copy_source && $_->{event} eq 'start' }
		  all_agent_lines($agent) ],
	["$copy_source/$own"],
	'nothing of it was sent');

# A held one can be cancelled where it is held.
my $cancelled = $later;
value($copy, "SELECT power_action.cancel($cancelled, 'dora')");
is(finish($copy, $cancelled), 'cancelled|none', 'a held one can be cancelled');

is( (query_error($copy, q{
		SET SESSION AUTHORIZATION regress_operator;
		SELECT power_action.adopt()}))[0],
	'42501',
	'adopt is for the owner');
is(value($copy, 'SELECT power_action.adopt()'), 2, 'adopt makes them its own');
is(finish($copy, $_), 'success|confirmed', 'which does them') for @jobs;
is_deeply(
	[ map { $_->{request_id} =~ s{/\d+$}{}r } grep { $_->{source} eq $copy_source && $_->{event} eq 'start' }
		  all_agent_lines($agent) ],
	[ map { "$copy_source/$_" } $own, @jobs ],
	'as requests of its own');
is(value($copy, 'SELECT power_action.adopt()'), 0, 'nothing is left to adopt');
like(
	slurp_file($node->logfile),
	qr/LOG:  this database is a copy: power_action holds the jobs/,
	'the log tells of the copy');
is(outcome($site, $later), 'pending|none', 'the original waits as before');

finish_all($_) for ($second, $restored, $copy);
ok_consistent($_, "no contradictions in $_->{database}")
  for ($site, $second, $restored, $copy);

done_testing();
