# test/t/020_sequence.pl
#
# The sequence on real parts: request, event, call, outcome, notification,
# and what the requester is told.

use strict;
use warnings FATAL => 'all';

use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PowerActionSequence;
use PowerActionTest;

my $site = new_site(
	'main',
	conf => "max_prepared_transactions = 2\npower_action.max_attempts = 2\n"
	  . "power_action.resolve_unknown = off\n",
	agent => [qw(--initial-state running)],
	rules => <<'RULES');
denied status=PERMISSION_DENIED message="not yours"
hung   hang
held   hang
slow   hang
back   hang
RULES
my $node = $site->{node};
my $agent = $site->{agent};

create_agent_server($node, 'fleet', $agent,
	name => 'hasty', call_timeout => '100ms');
add_account($site, 'lab', 'hasty', '4712');
add_clusters($site, 'prod', qw(web db cache denied held slow back one two));
add_clusters($site, 'lab', qw(hung));

my $identity = value($site, q{
	SELECT (CASE WHEN s < 0 THEN s::numeric + 18446744073709551616 ELSE s END)
		   || '/' || d.oid
	FROM (SELECT system_identifier FROM pg_control_system()) c (s),
		 pg_database d WHERE datname = current_database()});

# ----------------------------------------------------------------------
# One power_off, all of it
# ----------------------------------------------------------------------

my $listener = $node->background_psql('fleet');
$listener->query_safe('LISTEN power_action');

# What the listener hears that matches, as soon as it does.
sub hear
{
	my ($pattern) = @_;
	my $heard = '';

	wait_until("a notification like $pattern is heard",
		sub { ($heard .= $listener->query('SELECT 1')) =~ /$pattern/ });
	return $heard;
}

my $off = request($site, 'power_off', 'web', q{'alice', 'over night'});
is(finish($site, $off), 'success|confirmed', 'power_off succeeds');
is( event_value(
		$site, $off, q{
	action, cluster_id, cluster_name, account_name, server_name, triggered_by,
	description, requested_by = session_user, attempts, instances_total,
	instances_done, instances_failed}),
	'power_off|web|the web|prod|agent|alice|over night|t|1|2|2|',
	'event says what was done');
is( event_value(
		$site, $off, q{
	error_source IS NULL AND error_code IS NULL AND error_message IS NULL
	AND requested_at <= started_at AND started_at <= finished_at}),
	't',
	'and when, and that nothing went wrong');
is( value($site, q{
	SELECT c.status, status_source, status_changed_at >= e.requested_at
	FROM power_action.cluster c
	JOIN power_action.event e USING (cluster_id) WHERE cluster_id = 'web'}),
	'stopped|agent|t',
	'cluster has the state that the agent told');
is( value($site, q{
	SELECT DISTINCT status FROM power_action.instance WHERE cluster_id = 'web'}),
	'stopped',
	'its instances, too');
is( value($site, 'SELECT count(*) FROM power_action.instance WHERE status <> $$unknown$$'),
	2,
	'and no others');
is(value($site, 'SELECT count(*) FROM power_action.job'), 0, 'job is gone');
is(value($site, 'SELECT count(*) FROM power_action.attempt'),
	0, 'an attempt that succeeds leaves no row');

my ($payload) = hear(qr/payload/) =~ /"power_action" with payload "(.*)" rec/;
is($payload, qq({"event_id":$off,"action":"power_off","status":"success"}),
	'its end is notified');

# What the agent saw.
my ($end) = agent_lines($agent, 'web', 'end', 1);
is_deeply(
	{ map { $_ => $end->{$_} } qw(
		  method request_id source account requester attempt instances
		  in_flight_same_cluster status error executed duplicate) },
	{
		method => 'PowerOffCluster',
		request_id => "$identity/$off/"
		  . event_value($site, $off,
			'(extract(epoch FROM requested_at) * 1000000)::bigint - 946684800000000'),
		source => $identity,
		account => 'prod',
		requester => 'alice',
		attempt => 1,
		instances => 2,
		in_flight_same_cluster => 0,
		status => 'OK',
		error => 0,
		executed => JSON::PP::true,
		duplicate => JSON::PP::false
	},
	'agent saw what was requested');
is( join('/', @{ $end->{order} }[ 0, 1 ]),
	value($site, q{
	SELECT timeline_id || '/' || epoch
	FROM pg_control_checkpoint(), power_action.worker_epoch}),
	'its order has the timeline and the epoch');
is(scalar(agent_lines($agent, 'web', 'start', 1)), 1, 'it acted once');

# And on again.
my $on = request($site, 'power_on', 'web');
is(finish($site, $on), 'success|confirmed', 'power_on succeeds');
is( value($site, q{
	SELECT status, status_source,
		   (SELECT string_agg(DISTINCT status, ',') FROM power_action.instance i
			WHERE i.cluster_id = c.cluster_id)
	FROM power_action.cluster c WHERE cluster_id = 'web'}),
	'running|agent|running',
	'cluster and instances are running');
my @ends = agent_lines($agent, 'web', 'end', 2);
is($ends[1]{method}, 'PowerOnCluster', 'agent was told to power on');
is($ends[1]{requester}, value($site, 'SELECT session_user'),
	'in the name of the session user if no other is given');
ok($ends[1]{order}[2] > $ends[0]{order}[2], 'later orders have higher numbers');

is( value($site, q{
	SELECT event_id, action, cluster_name, status, took >= '0', triggered_by,
		   description, outcome
	FROM power_action.history LIMIT 2 OFFSET 0}),
	join("\n",
		"$on|power_on|the web|success|t|$ends[1]{requester}||confirmed, 2 of 2 instances",
		"$off|power_off|the web|success|t|alice|over night|confirmed, 2 of 2 instances"
	),
	'history tells it, newest first');
is(value($site, 'SELECT count(*) FROM power_action.activity'),
	0, 'no activity is left');
ok( poll_value($node, 'fleet', q{
	SELECT database, state, in_flight, deferred, calls, finished, errors,
		   courier_starts FROM power_action.worker_status},
	'fleet|running|0|0|2|2|0|1'),
	'worker has counted');
is( value($site, q{
	SELECT server_name, target, state, in_flight, waiting, last_error
	FROM power_action.agent_status WHERE server_name = 'agent'}),
	"agent|$agent->{target}|ready|0|0|",
	'agent is shown');

# ----------------------------------------------------------------------
# Other forms
# ----------------------------------------------------------------------

my ($stdout, $stderr);
$node->psql(
	'fleet', q{
	SELECT cluster_id, status, error_code
	FROM power_action.power_off(ARRAY['web', 'db', 'web', 'nope', 'db'], 'bob')},
	stdout => \$stdout,
	stderr => \$stderr);
is($stdout, "web|pending|\ndb|pending|\nnope|failed|NOT_FOUND",
	'set-based: each cluster once, in order');
like(
	$stderr,
	qr/WARNING:  1 of 3 events failed.*DETAIL:  .*"nope" does not exist/s,
	'and one warning of what failed');
finish_all($site);
is( value($site, q{
	SELECT string_agg(cluster_id || ' ' || status, ', ' ORDER BY cluster_id)
	FROM power_action.cluster WHERE cluster_id IN ('web', 'db')}),
	'db stopped, web stopped',
	'all of them were powered');
is( value($site, q{
	SELECT count(*) FROM power_action.power_off('{}'::text[])}),
	0, 'an empty array is no error');

# refresh asks and does not act.
value($site, q{
	UPDATE power_action.cluster SET status = 'running' WHERE cluster_id = 'db';
	UPDATE power_action.instance SET status = 'running' WHERE cluster_id = 'db'});
is( value($site,
		q{SELECT status_source FROM power_action.cluster WHERE cluster_id = 'db'}),
	'inventory',
	'an inventory writer is named as the source');
my $starts = agent_lines($agent, 'db', 'start', 1);
my $refresh = request($site, 'refresh', 'db');
is(finish($site, $refresh), 'success|confirmed', 'refresh succeeds');
is( value($site, q{
	SELECT status, status_source,
		   (SELECT string_agg(DISTINCT status, ',') FROM power_action.instance i
			WHERE i.cluster_id = c.cluster_id)
	FROM power_action.cluster c WHERE cluster_id = 'db'}),
	'stopped|agent|stopped',
	'refresh finds out the true state');
@ends = agent_lines($agent, 'db', 'end', 2);
is($ends[1]{method}, 'GetClusterPowerState', 'by asking the agent');
is(scalar(agent_lines($agent, 'db', 'start', 1)), $starts,
	'which does nothing');

# account_field
value($site, q{ALTER SERVER agent OPTIONS (ADD account_field 'id')});
is(finish($site, request($site, 'power_on', 'cache')),
	'success|confirmed', 'power_on with the id of the account');
($end) = agent_lines($agent, 'cache', 'end', 1);
is($end->{account}, '4711', 'the id is sent, at once after ALTER SERVER');
value($site, q{ALTER SERVER agent OPTIONS (DROP account_field)});

# ----------------------------------------------------------------------
# Waiting
# ----------------------------------------------------------------------

my $hanging = request($site, 'power_off', 'held');
is( value($site,
		"SELECT status IN ('pending', 'running'), finished_at FROM power_action.wait_for($hanging, '10 ms')"
	),
	't|',
	'wait_for returns the unfinished row after the timeout');

my ($state, $text) = query_error(
	$site, q{
	BEGIN;
	SELECT power_action.power_on('one') AS id \gset
	SELECT power_action.wait_for(:id)});
is($state, '55000', 'wait_for in the requesting transaction is an error');
like($text, qr/HINT: .*[Cc]ommit/, 'that says what to do');
($state, $text) = query_error($site,
	"BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT power_action.wait_for($hanging)"
);
is($state, '55000', 'wait_for under REPEATABLE READ is an error');
like($text, qr/HINT: .*READ COMMITTED/, 'that says what to do, too');
is((query_error($site, 'SELECT power_action.wait_for(4711)'))[0],
	'P0002', 'wait_for an event that does not exist');

# The shape of the original API.
like(
	value($site, q{CALL power_action.power_off_and_wait('two', 'carol')}),
	qr/^\d+\|success\|confirmed, 2 of 2 instances$/,
	'power_off_and_wait returns the success');
like(
	value($site, q{CALL power_action.power_on_and_wait('two', 'carol')}),
	qr/^\d+\|success\|confirmed, 2 of 2 instances$/,
	'power_on_and_wait, too');

($state, $text) =
  query_error($site, q{CALL power_action.power_off_and_wait('denied')});
is($state, 'PA001', 'PA001 for one that failed');
like($text, qr/not yours.*DETAIL:  Event \d+ failed with PERMISSION_DENIED/s,
	'with the agent\'s message and the event');
($state, $text) =
  query_error($site, q{CALL power_action.power_off_and_wait('nope')});
is($state, 'PA001', 'PA001 for an unknown cluster');
like($text, qr/DETAIL:  Event \d+ failed with NOT_FOUND/, 'with the event');

($state, $text) =
  query_error($site, q{CALL power_action.power_off_and_wait('hung')});
is($state, 'PA002', 'PA002 for an unknown outcome');
like(
	$text,
	qr/DETAIL:  Event \d+ failed with DEADLINE_EXCEEDED; the agent may/,
	'with the event');

($state, $text) = query_error($site,
	q{CALL power_action.power_off_and_wait('slow', timeout => '10 ms')});
is($state, 'PA004', 'PA004 after the timeout');
like($text, qr/DETAIL:  Event \d+ is \w+ and goes on/, 'with the event');
my ($going) = $text =~ /Event (\d+)/;
like(event_value($site, $going, 'status'),
	qr/^(?:pending|running)$/, 'which does go on');

# PA003: somebody else cancels.
my $caller = $node->background_psql('fleet', on_error_stop => 0);
$caller->query_until(
	qr/calling/, q{\set VERBOSITY verbose
\echo calling
CALL power_action.power_off_and_wait('back', 'dave');
});
poll_value($node, 'fleet',
	q{SELECT count(*) = 1 FROM power_action.event WHERE cluster_id = 'back'});
my $back = value($site,
	q{SELECT event_id FROM power_action.event WHERE cluster_id = 'back'});
value($site, "SELECT power_action.cancel($back, 'erin', 'not today')");
$caller->query('SELECT 1');
like(
	$caller->{stderr},
	qr/ERROR:  PA003: cancelled by erin: not today.*DETAIL:  Event $back /s,
	'PA003 for one that is cancelled');
$caller->{stderr} = '';
$caller->quit;

($state, $text) = query_error($site,
	"BEGIN; CALL power_action.power_off_and_wait('one'); COMMIT");
is($state, '25001', 'no procedure in a transaction block');
like($text, qr/HINT: .*wait_for/, 'and what to do instead');

# ----------------------------------------------------------------------
# Nothing happens that was not committed
# ----------------------------------------------------------------------

value($site, "SELECT power_action.cancel($_)") for ($hanging, $going);
is(finish($site, $_), 'cancelled|unknown', 'one in flight can be cancelled')
  for ($hanging, $going);
add_clusters($site, 'prod', qw(kept undone part prepared dropped last));

my $events = value($site, 'SELECT count(*) FROM power_action.event');
value(
	$site, q{
	BEGIN;
	SELECT power_action.power_off('undone');
	SELECT * FROM power_action.power_off(ARRAY['undone', 'kept']);
	ROLLBACK});
is(value($site, 'SELECT count(*) FROM power_action.event'),
	$events, 'rollback: no event');
value(
	$site, q{
	BEGIN;
	SELECT power_action.power_off('kept');
	SAVEPOINT s;
	SELECT power_action.power_off('part');
	ROLLBACK TO s;
	COMMIT});
value(
	$site, q{
	BEGIN;
	SELECT power_action.power_off('dropped');
	PREPARE TRANSACTION 'dropped'});
value($site, q{ROLLBACK PREPARED 'dropped'});
value(
	$site, q{
	BEGIN;
	SELECT power_action.power_off('prepared');
	PREPARE TRANSACTION 'prepared'});

# Something later is done, so what had been there would have been, too.
is(finish($site, request($site, 'power_off', 'last')),
	'success|confirmed', 'a later one is done');
is( value($site, q{
	SELECT string_agg(cluster_id || ' ' || status, ', ' ORDER BY event_id)
	FROM power_action.event
	WHERE cluster_id IN ('kept', 'undone', 'part', 'dropped', 'prepared')}),
	'kept success',
	'only what was committed has an event');

value($site, q{COMMIT PREPARED 'prepared'});
my $prepared = value($site,
	q{SELECT event_id FROM power_action.event WHERE cluster_id = 'prepared'});
is(finish($site, $prepared), 'success|confirmed', 'COMMIT PREPARED is found');

my %called;
$called{ $_->{cluster_id} }++ for all_agent_lines($agent);
is_deeply(
	[ sort grep { /^(?:kept|undone|part|dropped|prepared)$/ } keys %called ],
	[qw(kept prepared)],
	'nothing else was called');

finish_all($site);
ok_checked($site);
$listener->quit;

done_testing();
