# test/t/067_large_oids.pl
#
# Object identifiers are unsigned: a database, tables and indexes whose OIDs are
# above 2^31 are as good as others.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PowerActionSequence;
use PowerActionTest;
use Test::More;

my $site = new_site('main', agent => [qw(--initial-state running)]);
my $node = $site->{node};

$node->stop;
command_ok([ 'pg_resetwal', '-o', 3_000_000_000, $node->data_dir ],
	'the next OID is large');
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE large');
create_extension($node, 'large');
$site->{database} = 'large';
create_agent_server($node, 'large', $site->{agent});
wait_for_worker($node, 'large');

cmp_ok(
	value($site, 'SELECT oid FROM pg_database WHERE datname = current_database()'),
	'>', 2**31, 'so is that of the database');
add_account($site, 'prod', 'agent', '4711');
add_clusters($site, 'prod', 'c-1');
my $event = value($site, q{SELECT power_action.power_off('c-1')});
is( value($site, "SELECT status FROM power_action.wait_for($event, '180 s')"),
	'success', 'an action is done');
is(value($site, 'SELECT count(*) FROM power_action.job'), 0, 'nothing is left');
ok_consistent($site);

$node->stop;
done_testing();
