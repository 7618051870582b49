# test/t/013_standby.pl
#
# Nothing of power_action runs on a standby; after its promotion all does.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PowerActionTest;

my $primary = new_node('primary', streaming => 1);
create_extension($primary, 'postgres');

$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;
$primary->safe_psql('postgres', 'CREATE DATABASE later TEMPLATE postgres');
wait_for_worker($primary, 'later');
$primary->wait_for_catchup($standby);

is( $standby->safe_psql(
		'postgres', q{
	SELECT count(*) FROM pg_stat_activity
	WHERE backend_type LIKE 'power_action%'}),
	'0',
	'no launcher and no worker on a standby');

$primary->stop;
$standby->promote;
ok(wait_for_worker($standby, 'postgres'), 'a worker after the promotion');
ok(wait_for_worker($standby, 'later'), 'in every database');
ok(launcher_pid($standby), 'and the launcher');

$standby->stop;

done_testing();
