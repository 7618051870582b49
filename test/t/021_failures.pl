# test/t/021_failures.pl
#
# Every arrow of the sequence that leads to a failure, and what the database
# says after each.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PowerActionSequence;
use PowerActionTest;

my $site = new_site(
	'main',
	conf => "power_action.max_attempts = 3\n"
	  . "power_action.resolve_unknown = off\n",
	agent => [qw(--initial-state running)],
	rules => <<'RULES');
denied     status=PERMISSION_DENIED message="not your cluster"
refused    error=7 message="no such flavour"
stumbling  status=UNAVAILABLE message="try later" times=1
busy       status=ABORTED message="busy" times=2
full       status=RESOURCE_EXHAUSTED message="quota"
broken     status=INTERNAL message="oops"
lost       off hang when=after
half       partial=i-2
doubtful   status=DEADLINE_EXCEEDED times=1
doubtful   status=PERMISSION_DENIED message="not any more"
RULES
my $node = $site->{node};
my $agent = $site->{agent};

# Other kinds of agents, and an impatient view of the first.
create_agent_server($node, 'fleet', $agent,
	name => 'hasty', call_timeout => '100ms');
add_account($site, 'lab', 'hasty');
my $slow_agent = start_logging_agent(
	qw(--initial-state running --transition-time 300ms));
create_agent_server($node, 'fleet', $slow_agent, name => 'slow');
add_account($site, 'slow', 'slow');
my $endless_agent = start_logging_agent(
	qw(--initial-state running --transition-time 60min));
create_agent_server($node, 'fleet', $endless_agent, name => 'endless');
add_account($site, 'endless', 'endless');
my $legacy_agent =
  start_logging_agent(qw(--legacy --initial-state running));
create_agent_server($node, 'fleet', $legacy_agent, name => 'legacy');
add_account($site, 'legacy', 'legacy');

add_clusters(
	$site, 'prod', qw(good denied refused stumbling busy full broken half
	  doubtful gone empty dead guarded locked),
	map { "herd-$_" } 1 .. 50);
add_clusters($site, 'lab', 'lost');
add_clusters($site, 'slow', 'turtle');
add_clusters($site, 'endless', 'sloth');
add_clusters($site, 'legacy', 'fossil');

# What a cluster is said to be: its status, source, and those of its instances.
sub cluster_status
{
	my ($cluster) = @_;

	return value(
		$site, qq{
		SELECT status, status_source,
			   (SELECT string_agg(DISTINCT status, ',' ORDER BY status)
				FROM power_action.instance i WHERE i.cluster_id = c.cluster_id)
		FROM power_action.cluster c WHERE cluster_id = '$cluster'});
}

# The attempts of an event that did not succeed.
sub attempts
{
	my ($id) = @_;

	return value(
		$site, qq{
		SELECT attempt, status_code, message FROM power_action.attempt
		WHERE event_id = $id AND started_at <= finished_at ORDER BY attempt});
}

# The states that events and clusters go through, in the order of their
# changes.
value(
	$site, q{
	CREATE TABLE passed (n serial, what text, state text);
	CREATE FUNCTION pass() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF TG_TABLE_NAME = 'event' THEN
			INSERT INTO public.passed (what, state) VALUES
				(NEW.event_id::text, NEW.status || ' ' || NEW.agent_result);
		ELSE
			INSERT INTO public.passed (what, state) VALUES
				(NEW.cluster_id, NEW.status || ' ' || NEW.status_source);
		END IF;
		RETURN NULL;
	END$$;
	CREATE TRIGGER pass AFTER UPDATE ON power_action.event
	FOR EACH ROW EXECUTE FUNCTION pass();
	CREATE TRIGGER pass AFTER UPDATE ON power_action.cluster
	FOR EACH ROW EXECUTE FUNCTION pass()});

sub passed
{
	my ($what) = @_;

	# consecutive equal states are one
	return value(
		$site, qq{
		SELECT string_agg(state, ', ' ORDER BY n)
		FROM (SELECT n, state, lag(state) OVER (ORDER BY n) AS before
			  FROM passed WHERE what = '$what') p
		WHERE state IS DISTINCT FROM before});
}

# ----------------------------------------------------------------------
# The request is wrong
# ----------------------------------------------------------------------

for my $call (
	[ q{power_off('')}, '22023', 'cluster_id' ],
	[ q{power_off(NULL::text)}, '22004', 'cluster_id' ],
	[ q{power_on('good', '')}, '22023', 'triggered_by' ],
	[ q{power_on('good', NULL)}, '22004', 'triggered_by' ],
	[ q{power_off('good', not_before => 'infinity')}, '22023', 'not_before' ],
	[ q{refresh('good', expires_at => now() - '1 s'::interval)}, '22023', 'expires_at' ],
	[ q{power_off(ARRAY['good', NULL])}, '22023', 'cluster_ids' ],
	[ q{power_on('good', request_key => '')}, '22023', 'request_key' ])
{
	my ($sql, $expected, $argument) = @$call;
	my ($state, $text) = query_error($site, "SELECT power_action.$sql");

	is($state, $expected, "$sql is refused");
	like($text, qr/$argument/, 'naming the argument');
}
is(value($site, 'SELECT count(*) FROM power_action.event'),
	0, 'invalid arguments write nothing');

value(
	$site, q{
	DELETE FROM power_action.instance WHERE cluster_id = 'empty';
	UPDATE power_action.cluster SET status = 'terminated' WHERE cluster_id = 'dead'});
for my $case (
	[ 'nope', 'NOT_FOUND', qr/"nope" does not exist/ ],
	[ 'empty', 'FAILED_PRECONDITION', qr/"empty" has no instances/ ],
	[ 'dead', 'FAILED_PRECONDITION', qr/"dead" is terminated/ ],
	[ 'the good', 'NOT_FOUND', qr/HINT: .*"good"/ ])
{
	my ($cluster, $code, $message) = @$case;
	my ($id, $stderr);

	$node->psql(
		'fleet', "SELECT power_action.power_off('$cluster')",
		stdout => \$id,
		stderr => \$stderr);
	is(outcome($site, $id), "failed|none|request|$code",
		"$cluster: fails at once");
	like($stderr, qr/WARNING:  .*event $id /s, 'with a warning');
	like($stderr, $message, 'that says why');
	is(event_value($site, $id, 'attempts, started_at, finished_at IS NOT NULL'),
		'0||t', 'and without an attempt');
}
is(value($site, 'SELECT count(*) FROM power_action.job'), 0, 'no job');

# ----------------------------------------------------------------------
# The agent says no
# ----------------------------------------------------------------------

my $id = request($site, 'power_off', 'denied');
is(finish($site, $id), 'failed|refused|agent|PERMISSION_DENIED',
	'a final status fails it');
is(event_value($site, $id, 'error_message, attempts'),
	'not your cluster|1', 'with the words of the agent, at the first attempt');
is(attempts($id), '1|PERMISSION_DENIED|not your cluster', 'it is kept');
is(cluster_status('denied'), 'unknown|inventory|unknown',
	'cluster stays as it was');

$id = request($site, 'power_off', 'refused');
is(finish($site, $id), 'failed|refused|agent|AGENT_ERROR',
	'an error in the reply fails it');
is(event_value($site, $id, 'error_message, attempts'),
	'no such flavour (error 7)|1', 'with the words of the agent');
is(cluster_status('refused'), 'unknown|inventory|unknown',
	'cluster stays as it was');
is(scalar(grep { $_->{executed} } agent_lines($agent, 'refused', 'end', 1)),
	0, 'the agent did nothing');
is( value($site, q{SELECT outcome FROM power_action.history WHERE cluster_name = 'the refused'}),
	'AGENT_ERROR: no such flavour (error 7)',
	'history says why');

# ----------------------------------------------------------------------
# Another attempt
# ----------------------------------------------------------------------

$id = request($site, 'power_off', 'stumbling');
is(finish($site, $id), 'success|confirmed',
	'UNAVAILABLE from the agent: succeeds at the second attempt');
is(event_value($site, $id, 'attempts, error_message'), '2|',
	'nothing is left of the error');
is(attempts($id), '1|UNAVAILABLE|try later', 'but the attempt is kept');
my @ends = agent_lines($agent, 'stumbling', 'end', 2);
is($ends[0]{request_id}, $ends[1]{request_id}, 'with the same request id');
is("$ends[0]{attempt} $ends[1]{attempt}", '1 2', 'and the attempts counted');

$id = request($site, 'power_off', 'busy');
is(finish($site, $id), 'success|confirmed', 'ABORTED: tried again, twice');
is(event_value($site, $id, 'attempts'), '3', 'at the third attempt');
is(attempts($id), "1|ABORTED|busy\n2|ABORTED|busy", 'both are kept');

$id = request($site, 'power_off', 'full');
is(finish($site, $id), 'failed|refused|agent|RESOURCE_EXHAUSTED',
	'no success at all: refused');
is(event_value($site, $id, 'error_message, attempts'),
	'quota|3', 'after max_attempts attempts');
is(value($site, "SELECT count(*) FROM power_action.attempt WHERE event_id = $id"),
	3, 'all of them kept');
is(cluster_status('full'), 'unknown|inventory|unknown', 'cluster unchanged');
is(scalar(agent_lines($agent, 'full', 'end', 3)), 3, 'and no more calls');

value($site, q{UPDATE power_action.cluster SET status = 'running' WHERE cluster_id IN ('broken', 'lost', 'doubtful')});
$id = request($site, 'power_off', 'broken');
is(finish($site, $id), 'failed|unknown|agent|INTERNAL',
	'INTERNAL to the end: the agent may have acted');
is((split /\|/, cluster_status('broken'))[0],
	'unknown', 'nobody knows what the cluster is');

$id = request($site, 'power_off', 'doubtful');
is(finish($site, $id), 'failed|unknown|agent|PERMISSION_DENIED',
	'refused after an attempt that may have had effect: unknown');
is((split /\|/, cluster_status('doubtful'))[0],
	'unknown', 'so is the cluster');

# Waiting for the next attempt can be seen.
set_conf($site, 'power_action.max_backoff', '1h');
set_conf($site, 'power_action.initial_backoff', '1h');
$id = request($site, 'power_off', 'broken');
poll_event($site, $id, q{status = 'running' AND attempts = 1});
is( value(
		$site,
		"SELECT waits_for, attempts, next_attempt > now() FROM power_action.activity WHERE event_id = $id"
	),
	'retry|1|t',
	'activity shows what waits for its next attempt');
set_conf($site, "power_action.$_", undef) for qw(max_backoff initial_backoff);
value($site, "SELECT power_action.cancel($id)");
is(finish($site, $id), 'cancelled|unknown', 'it can be cancelled');

# ----------------------------------------------------------------------
# No answer
# ----------------------------------------------------------------------

$id = request($site, 'power_off', 'lost');
is(finish($site, $id), 'failed|unknown|transport|DEADLINE_EXCEEDED',
	'no answer before the deadline: unknown');
is(event_value($site, $id, 'attempts'), 3, 'after all attempts');
is((split /\|/, cluster_status('lost'))[0], 'unknown', 'cluster is unknown');
like(
	value($site, 'SELECT outcome FROM power_action.history LIMIT 1'),
	qr/^DEADLINE_EXCEEDED: .*\(the agent may have acted\)$/,
	'history says so');
is(scalar(agent_lines($agent, 'lost', 'start', 1)),
	1, 'the agent had acted, once');
is(finish($site, request($site, 'refresh', 'lost')),
	'success|confirmed', 'refresh resolves it');
is(cluster_status('lost'), 'stopped|agent|stopped', 'it had been powered off');

# ----------------------------------------------------------------------
# Half an answer
# ----------------------------------------------------------------------

$id = request($site, 'power_off', 'half');
is(finish($site, $id), 'failed|partial|agent|PARTIAL', 'partial success fails');
is( event_value(
		$site, $id, 'instances_total, instances_done, instances_failed'),
	'2|1|{i-2}',
	'those that did not follow are kept');
like(event_value($site, $id, 'error_message'),
	qr/^1 of 2 instances .*i-2 \(running\)/, 'and named');
is(cluster_status('half'), 'partial|agent|running,stopped',
	'cluster is partial');
is(value($site, 'SELECT outcome FROM power_action.history WHERE status = $$failed$$ LIMIT 1'),
	'partial, 1 of 2 instances: 1 of 2 instances did not follow: i-2 (running)',
	'history says so');

# ----------------------------------------------------------------------
# An answer that comes later
# ----------------------------------------------------------------------

$id = request($site, 'power_off', 'turtle');
is(finish($site, $id), 'success|confirmed', 'confirmed when it is done');
is(passed($id), 'running accepted, success confirmed',
	'until then it is running, accepted');
is(passed('turtle'), 'stopping agent, stopped agent',
	'and the cluster is stopping');
is(event_value($site, $id, 'attempts, instances_done'), '1|2',
	'asking is no attempt');
is(cluster_status('turtle'), 'stopped|agent|stopped', 'cluster is stopped');
is(scalar(grep { $_->{method} eq 'PowerOffCluster' }
		  agent_lines($slow_agent, 'turtle', 'end', 2)),
	1, 'the order was given once');

$id = request($site, 'power_off', 'sloth');
poll_event($site, $id, q{status = 'running' AND agent_result = 'accepted'});
poll_value($node, 'fleet',
	"SELECT waits_for FROM power_action.activity WHERE event_id = $id",
	'confirmation');
is(cluster_status('sloth'), 'stopping|agent|stopping', 'sloth is stopping');
set_conf($site, 'power_action.confirm_timeout', '1s');
is(finish($site, $id), 'failed|partial|agent|DEADLINE_EXCEEDED',
	'not confirmed in time: failed');
like(event_value($site, $id, 'error_message'),
	qr/^not confirmed within 1 s: .*i-1 \(stopping\), i-2 \(stopping\)/,
	'saying what is missing');
is(event_value($site, $id, 'instances_done, instances_failed'),
	'0|{i-1,i-2}', 'and keeping it');
is(cluster_status('sloth'), 'stopping|agent|stopping', 'it still is stopping');
set_conf($site, 'power_action.confirm_timeout', undef);

# An agent that only accepts.
$id = request($site, 'power_off', 'fossil');
is(finish($site, $id), 'success|accepted', 'legacy agent: accepted');
is(cluster_status('fossil'), 'stopped|accepted|stopped',
	'cluster says that nobody confirmed it');
is(finish($site, request($site, 'refresh', 'fossil')),
	'failed|none|agent|UNIMPLEMENTED', 'it cannot be asked');
is(cluster_status('fossil'), 'stopped|accepted|stopped', 'nothing changed');

# ----------------------------------------------------------------------
# The database says no
# ----------------------------------------------------------------------

# The cluster is gone before its order is sent.
set_conf($site, 'power_action.enabled', 'off');
$id = request($site, 'power_off', 'gone');
value($site, q{DELETE FROM power_action.cluster WHERE cluster_id = 'gone'});
set_conf($site, 'power_action.enabled', undef);
is(finish($site, $id), 'failed|none|request|NOT_FOUND',
	'cluster deleted after the request');
is(event_value($site, $id, 'cluster_name, attempts'), 'the gone|0',
	'without a call');

# A trigger of a user refuses what the agent said of one cluster of many.
value(
	$site, q{
	CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		RAISE EXCEPTION 'hands off %', NEW.cluster_id;
	END$$;
	CREATE TRIGGER guard BEFORE UPDATE ON power_action.cluster
	FOR EACH ROW WHEN (NEW.cluster_id = 'guarded')
	EXECUTE FUNCTION guard()});
my @ids = request_many($site, 'power_off',
	[ (map { "herd-$_" } 1 .. 25), 'guarded', map { "herd-$_" } 26 .. 50 ]);
finish_all($site);
is(outcome($site, $ids[25]), 'failed|confirmed|database|P0001',
	'a trigger that raises fails its event, and what the agent said is kept');
is(event_value($site, $ids[25], 'error_message, attempts'),
	'hands off guarded|1', 'with the error');
is(cluster_status('guarded'), 'unknown|inventory|unknown',
	'cluster and instances are as they were');
is( value($site, q{
	SELECT count(*) FROM power_action.event
	WHERE cluster_id LIKE 'herd-%' AND status = 'success'}),
	50,
	'the others are not affected');
is(value($site, q{SELECT count(*) FROM power_action.cluster WHERE cluster_id LIKE 'herd-%' AND status = 'stopped'}),
	50, 'nor are their clusters');
like(
	slurp_file($node->logfile),
	qr/could not write the outcome of event $ids[25]: hands off guarded/,
	'the log tells of it');
value($site, 'DROP TRIGGER guard ON power_action.cluster');

# A row that somebody has locked delays its own outcome only.
my $locker = $node->background_psql('fleet');
$locker->query_safe('BEGIN');
$locker->query_safe(
	q{SELECT FROM power_action.cluster WHERE cluster_id = 'locked' FOR UPDATE});
@ids = request_many($site, 'power_on', [ 'locked', map { "herd-$_" } 1 .. 50 ]);
my $locked = shift @ids;
is(finish($site, $_), 'success|confirmed', "event $_ finishes") for @ids[ 0, 24, 49 ];
poll_value($node, 'fleet', "SELECT count(*) FROM power_action.job", '1');
poll_value($node, 'fleet',
	"SELECT waits_for FROM power_action.activity WHERE event_id = $locked",
	'lock');
is(value($site, 'SELECT deferred FROM power_action.worker_status'),
	1, 'its outcome waits');
is(scalar(agent_lines($agent, 'locked', 'end', 1)),
	1, 'though the agent has answered');
$locker->query_safe('ROLLBACK');
is(finish($site, $locked), 'success|confirmed', 'and is written after release');
is(cluster_status('locked'), 'running|agent|running', 'all of it');
is(event_value($site, $locked, 'attempts'), 1, 'without another call');

# So does a locked instance.
$locker->query_safe('BEGIN');
$locker->query_safe(q{SELECT FROM power_action.instance
	WHERE cluster_id = 'locked' AND instance_id = 'i-2' FOR UPDATE});
@ids = request_many($site, 'power_off', [ 'locked', 'good' ]);
is(finish($site, $ids[1]), 'success|confirmed',
	'a locked instance does not delay others');
poll_value($node, 'fleet',
	"SELECT waits_for FROM power_action.activity WHERE event_id = $ids[0]",
	'lock');
is(cluster_status('locked'), 'running|agent|running', 'all or nothing');
$locker->query_safe('ROLLBACK');
is(finish($site, $ids[0]), 'success|confirmed', 'and finishes after release');
is(cluster_status('locked'), 'stopped|agent|stopped', 'with all of it');
$locker->quit;

finish_all($site);
ok_checked($site);
is(value($site, 'SELECT courier_starts FROM power_action.worker_status'),
	1, 'the courier lived through all this');

done_testing();
