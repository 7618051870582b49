# test/t/027_resolve.pl
#
# After a result that nobody knows, the worker asks the agent what the cluster
# is: once it can be reached, and only an agent that can tell.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use PostgreSQL::Test::Utils;
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
			generate_series(1, 3) n;
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
