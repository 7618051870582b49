# test/t/058_retention.pl
#
# Old events go, with their attempts, without anything else happening; events
# that are not final stay, however old, and do not hold up the others.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use PowerActionTest;
use Test::More;

my $node = new_node('main');

create_extension($node, 'postgres');
create_agent_server($node, 'postgres', '/nobody/listens');
wait_for_worker($node, 'postgres');

# More than a batch of old events that never end, old ones, and young ones.
$node->safe_psql('postgres', q{
	INSERT INTO power_action.account (account_name) VALUES ('acme');
	INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name)
		SELECT 'c' || n, 'c' || n, 'acme' FROM generate_series(1, 1500) n;
	INSERT INTO power_action.instance (cluster_id, instance_id)
		SELECT cluster_id, 'i' FROM power_action.cluster;
	SELECT count(*) FROM power_action.power_off(
		ARRAY(SELECT cluster_id FROM power_action.cluster),
		not_before => now() + '1 year');
	SELECT count(*) FROM generate_series(1, 2500) n,
		power_action.power_off('none-' || n) WHERE n >= 0;
	INSERT INTO power_action.attempt
		SELECT event_id, 1, now(), now(), 'UNAVAILABLE', 'x'
		FROM power_action.event WHERE status = 'failed' LIMIT 100;
	UPDATE power_action.event SET requested_at = requested_at - interval '1 day',
		finished_at = finished_at - interval '1 day';
	SELECT power_action.power_off('young')});

my $kept = "SELECT count(*) FROM power_action.event WHERE status = 'failed'";

is($node->safe_psql('postgres', $kept), 2501, 'without the setting all stay');

$node->append_conf('postgresql.conf', "power_action.event_retention = '1h'");
$node->reload;
ok(poll_value($node, 'postgres', "$kept", 1), 'old events go');
is( $node->safe_psql('postgres',
		"SELECT cluster_id FROM power_action.event WHERE status = 'failed'"),
	'young', 'the young one stays');
is($node->safe_psql('postgres', 'SELECT count(*) FROM power_action.attempt'),
	0, 'attempts go with their events');
is( $node->safe_psql('postgres',
		"SELECT count(*) FROM power_action.event WHERE status = 'pending'"),
	1500, 'what is not final stays');
is($node->safe_psql('postgres',
		'SELECT count(*) FROM power_action.check_consistency()'),
	0, 'nothing contradicts');

$node->stop;
done_testing();
