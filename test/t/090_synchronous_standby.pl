# test/t/090_synchronous_standby.pl
#
# Synchronous replication, which Patroni's synchronous_mode switches on: no
# order leaves before the standby has its request, unless the session does not
# want to wait for standbys.

use strict;
use warnings FATAL => 'all';

use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PowerActionSequence;
use PowerActionTest;

my $site = new_site(
	'main',
	conf => "wal_level = replica\nmax_wal_senders = 2\n",
	agent => [qw(--initial-state running)]);
my $node = $site->{node};
add_clusters($site, 'prod', qw(both hasty));
is(finish($site, request($site, 'power_off', 'both')),
	'success|confirmed', 'without a standby');

# One that does not come.
set_conf($site, 'synchronous_standby_names', 'absent');
# The checkpointer, who tells the others, has read it before it does this.
value($site, 'CHECKPOINT');

sub calls_for
{
	my ($cluster) = @_;

	return scalar grep { $_->{cluster_id} eq $cluster && $_->{event} eq 'start' }
	  all_agent_lines($site->{agent});
}

sub waiting_for_standby
{
	my ($type) = @_;

	return poll_value($node, 'fleet', qq{
		SELECT count(*) FROM pg_stat_activity
		WHERE wait_event = 'SyncRep' AND backend_type = '$type'}, 1);
}

my $session = IPC::Run::start(
	[ 'psql', '-X', '-q', '-d', $node->connstr('fleet'), '-c',
		q{SELECT power_action.power_on('both')} ],
	'>', \my $output, '2>', \my $errors);
waiting_for_standby('client backend');
is(value($site, 'SELECT count(*) FROM power_action.event'),
	1, 'a request that the standby does not have is not visible');

# The worker is there and works, for a session that does not wait: its order
# is sent, the outcome waits for the standby.
value($site, q{SET synchronous_commit = local;
	SELECT power_action.power_off('hasty')});
waiting_for_standby('power_action worker');
is(calls_for('hasty'), 1, 'with synchronous_commit = local it is sent at once');
is(calls_for('both'), 1, 'the other is not sent');

value($site, 'ALTER SYSTEM RESET synchronous_standby_names');
value($site, 'SELECT pg_reload_conf()');
$session->finish;
finish_all($site);
is(value($site, q{
	SELECT cluster_id, action, status FROM power_action.event ORDER BY event_id}),
	"both|power_off|success\nboth|power_on|success\nhasty|power_off|success",
	'when it need not wait any more, it is');
is(calls_for('both'), 2, 'and the order is sent');
ok_consistent($site, 'no contradictions');

done_testing();
