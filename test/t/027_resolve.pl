# test/t/027_resolve.pl
#
# After a result that nobody knows, the worker asks the agent what the cluster
# is: once it can be reached, and only an agent that can tell.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use PostgreSQL::Test::Utils;
use PowerActionSequence qw(set_conf);
use PowerActionTest;
use Test::More;

my $node = new_node('main', conf => "
	power_action.max_attempts = 2
	power_action.initial_backoff = 1ms");
my $rules = PostgreSQL::Test::Utils::tempdir() . '/rules';
append_to_file($rules, "* off hang\n");
my $agent = start_agent($node, '--initial-state', 'running', '--behaviour',
	$rules);
my $old = start_agent($node, '--legacy', '--behaviour', $rules);

create_extension($node, 'postgres');
create_agent_server($node, 'postgres', $agent, call_timeout => '200ms');
create_agent_server($node, 'postgres', $old, name => 'old',
	call_timeout => '200ms');
$node->safe_psql('postgres', q{
	INSERT INTO power_action.account (account_name, server_name)
		VALUES ('new', 'agent'), ('old', 'old');
	INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name)
		SELECT a || n, a || n, a FROM unnest(ARRAY['new', 'old']) a,
			generate_series(1, 9) n;
	INSERT INTO power_action.instance (cluster_id, instance_id)
		SELECT cluster_id, 'i-' || cluster_id FROM power_action.cluster});

sub value
{
	return $node->safe_psql('postgres', $_[0]);
}

sub outcome
{
	my ($id) = @_;

	poll_value($node, 'postgres',
		"SELECT finished_at IS NOT NULL FROM power_action.event
		WHERE event_id = $id");
	return value("SELECT status, agent_result, triggered_by, description
		FROM power_action.event WHERE event_id = $id");
}

# What the worker asks after an event: the refresh of the same cluster.
sub question
{
	my ($id) = @_;

	return value("SELECT max(r.event_id) FROM power_action.event r
		JOIN power_action.event e USING (cluster_id)
		WHERE e.event_id = $id AND r.action = 'refresh'
			AND r.event_id > e.event_id");
}

my $id = value("SELECT power_action.power_off('new1', 'alice')");
is(outcome($id), 'failed|unknown|alice|', 'no answer: unknown');
my $asked = question($id);
isnt($asked, '', 'the question is written together with the result');
is(outcome($asked),
	"success|confirmed|power_action|the result of event $id is unknown",
	'the agent tells');
is( value("SELECT status, status_source FROM power_action.cluster
		WHERE cluster_id = 'new1'"),
	'running|agent', 'the cluster is known again');

# A cluster whose row somebody has locked, while an order for it ends.
my $site = { node => $node, database => 'postgres' };
my $locker = $node->background_psql('postgres');

sub cluster_status
{
	return value("SELECT status, status_source FROM power_action.cluster
		WHERE cluster_id = '$_[0]'");
}

sub lock_cluster
{
	$locker->query_safe(
		"BEGIN; SELECT FROM power_action.cluster
		WHERE cluster_id = '$_[0]' FOR UPDATE");
	return;
}

# Its turn ends by attempts used up: with all that it leaves, it waits.
lock_cluster('new4');
$id = value("SELECT power_action.power_off('new4')");
poll_value($node, 'postgres',
	"SELECT waits_for FROM power_action.activity WHERE event_id = $id", 'lock');
is(question($id), '', 'locked: the result is not written, nothing is asked');
$locker->query_safe('COMMIT');
like(outcome($id), qr/^failed\|unknown\|/, 'it is written after the lock');
like(outcome(question($id)), qr/^success\|confirmed\|/, 'the agent is asked');
is(cluster_status('new4'), 'running|agent', 'the cluster is known again');

# It ends without a call, between two attempts: the question does not wait.
set_conf($site, 'power_action.max_backoff', '1h');
set_conf($site, 'power_action.initial_backoff', '1h');
$id = value("SELECT power_action.power_off('new5')");
poll_value($node, 'postgres', "SELECT agent_result = 'unknown'
	FROM power_action.event WHERE event_id = $id");
lock_cluster('new5');
value("SELECT power_action.cancel($id)");
like(outcome($id), qr/^cancelled\|unknown\|/,
	'locked: what ends without a call does not wait for it');
$asked = question($id);
isnt($asked, '', 'the agent is asked all the same');
poll_value($node, 'postgres',
	"SELECT waits_for FROM power_action.activity WHERE event_id = $asked",
	'lock');
$locker->query_safe('COMMIT');
$locker->quit;
like(outcome($asked), qr/^success\|confirmed\|/, 'its answer waits');
is(cluster_status('new5'), 'running|agent', 'the cluster is known after the lock');
set_conf($site, "power_action.$_", undef) for qw(initial_backoff max_backoff);

# Orders that may have been sent by another worker, and cannot be any more.
my %why = (
	new6 => q{DELETE FROM power_action.instance WHERE cluster_id = 'new6'},
	new7 => q{DELETE FROM power_action.cluster WHERE cluster_id = 'new7'},
	# what an agent that reports it would bring about
	new8 => q{BEGIN; SET LOCAL session_replication_role = replica;
		UPDATE power_action.cluster SET status = 'terminated'
		WHERE cluster_id = 'new8'; COMMIT});
like(outcome(value("SELECT power_action.power_on('new6')")),
	qr/^success\|confirmed/, 'a cluster that is known');
set_conf($site, 'power_action.enabled', 'off');
my %order = map { $_ => value("SELECT power_action.power_off('$_')") } sort keys %why;
my $worker = worker_pid($node, 'postgres');
value("SELECT pg_terminate_backend($worker)");
wait_for_worker($node, 'postgres', $worker);
value($why{$_}) for sort keys %why;
set_conf($site, 'power_action.enabled', undef);
like(outcome($order{$_}), qr/^failed\|unknown\|/,
	"$_: it cannot be sent, and may have been")
  for sort keys %why;
is(cluster_status('new6'), 'unknown|agent', 'nobody knows what the cluster is');
is(cluster_status('new8'), 'terminated|inventory', 'what is gone stays so');
is(question($order{$_}), '', 'there is nothing to ask for')
  for sort keys %why;
is(value('SELECT count(*) FROM power_action.check_consistency()'),
	0, 'nothing contradicts');

# An agent that is gone is asked when it is back.
$id = value("SELECT power_action.power_off('new2')");
poll_value($node, 'postgres',
	"SELECT attempts > 0 FROM power_action.event WHERE event_id = $id");
kill_agent($agent);
is((split /\|/, outcome($id))[1], 'unknown', 'killed in mid-call: unknown')
  if value("SELECT attempts FROM power_action.event WHERE event_id = $id") > 1;
$agent = start_agent($node, 'socket', $agent->{socket}, '--initial-state',
	'running');
outcome($id);
poll_value($node, 'postgres', "SELECT status <> 'unknown'
	FROM power_action.cluster WHERE cluster_id = 'new2'");
pass('after its return the cluster is known');

# One that cannot tell is asked only once.
$id = value("SELECT power_action.power_off('old1')");
is((split /\|/, outcome($id))[1], 'unknown', 'old agent: unknown');
is((split /\|/, outcome(question($id)))[0], 'failed', 'it cannot tell');
$id = value("SELECT power_action.power_off('old2')");
is((split /\|/, outcome($id))[1], 'unknown', 'unknown again');
is(question($id), '', 'it is not asked again');

# Nobody wants to know.
$node->append_conf('postgresql.conf', 'power_action.resolve_unknown = off');
$node->reload;
append_to_file($rules, "* off hang\n");
kill_agent($agent);
$agent = start_agent($node, 'socket', $agent->{socket}, '--behaviour', $rules);
$id = value("SELECT power_action.power_off('new3')");
is((split /\|/, outcome($id))[1], 'unknown', 'switched off: unknown');
is(question($id), '', 'and stays so');

is(value('SELECT count(*) FROM power_action.check_consistency()'),
	0, 'nothing contradicts');

$node->stop;
done_testing();
