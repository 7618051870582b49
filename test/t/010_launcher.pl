# test/t/010_launcher.pl
#
# A worker in every database that has the extension, and nowhere else.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PowerActionTest;

my $node = new_node('main', conf => "max_prepared_transactions = 2\n");

$node->safe_psql('postgres', "CREATE DATABASE $_")
  for qw(first second without);

# What the launcher is and does can be seen.
poll_value(
	$node, 'postgres', q{
	SELECT query FROM pg_stat_activity
	WHERE backend_type = 'power_action launcher'},
	'watching 4 databases, 0 workers');
is( $node->safe_psql(
		'postgres', q{
	SELECT count(*), bool_and(datname IS NULL), bool_and(state = 'idle')
	FROM pg_stat_activity WHERE backend_type LIKE 'power_action%'}),
	'1|t|t',
	'launcher is shown with what it does');

# CREATE EXTENSION brings a worker, at commit only.
my $session = $node->background_psql('first');
$session->query_safe('BEGIN');
$session->query_safe('CREATE EXTENSION power_action');
$session->query_safe('ROLLBACK');
$session->quit;
create_extension($node, 'second');
ok(!worker_exists($node, 'first'), 'no worker after a rollback');

my $first = create_extension($node, 'first');
ok($first, 'a worker in the first database');
ok(worker_exists($node, 'second'), 'a worker in the second database');
ok(!worker_exists($node, 'without'), 'none where the extension is not');
ok(!worker_exists($node, 'postgres'), 'nor in postgres');

is( $node->safe_psql(
		'postgres', qq{
	SELECT application_name, datname FROM pg_stat_activity WHERE pid = $first}),
	'power_action worker|first',
	'worker is shown with its database');
poll_value($node, 'postgres',
	"SELECT state || ', ' || query FROM pg_stat_activity WHERE pid = $first",
	'idle, waiting for requests');

# A new launcher finds what is there, and changes nothing.
my $launcher = launcher_pid($node);
$node->safe_psql('postgres', "SELECT pg_terminate_backend($launcher)");
wait_until('another launcher is there',
	sub { launcher_pid($node) !~ /^(?:|$launcher)$/ });
poll_value($node, 'postgres', q{
	SELECT query FROM pg_stat_activity
	WHERE backend_type = 'power_action launcher'},
	'watching 4 databases, 2 workers');
is(worker_pid($node, 'first'),
	$first, 'worker goes on when the launcher is replaced');

# The adopted worker is looked after like any other.
$node->safe_psql('postgres', "SELECT pg_terminate_backend($first)");
isnt(wait_for_worker($node, 'first', $first),
	$first, 'and comes back under the new launcher');

# A database that is a copy of one with the extension has it, too.
$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE first');
ok(wait_for_worker($node, 'copy'), 'a worker in a copy');

# Templates and databases that are closed have none.
$node->safe_psql('postgres', 'ALTER DATABASE copy IS_TEMPLATE true');
wait_for_no_worker($node, 'copy');
$node->safe_psql('postgres',
	'CREATE DATABASE template_copy TEMPLATE copy IS_TEMPLATE true');
$node->safe_psql('postgres', 'CREATE DATABASE marker TEMPLATE copy');
wait_for_worker($node, 'marker');
ok(!worker_exists($node, 'copy'), 'no worker in a template');
ok(!worker_exists($node, 'template_copy'), 'nor in a new one');
$node->safe_psql('postgres', 'ALTER DATABASE copy IS_TEMPLATE false');
ok(wait_for_worker($node, 'copy'), 'but when it is none any more');
$node->safe_psql('postgres', 'ALTER DATABASE copy ALLOW_CONNECTIONS false');
wait_for_no_worker($node, 'copy');
$node->safe_psql('postgres', 'ALTER DATABASE copy ALLOW_CONNECTIONS true');
ok(wait_for_worker($node, 'copy'), 'and when it is open again');

# DROP EXTENSION, at commit only.
my $second = worker_pid($node, 'second');
$session = $node->background_psql('second');
$session->query_safe('BEGIN');
$session->query_safe('DROP EXTENSION power_action CASCADE');
$session->query_safe('ROLLBACK');
is(worker_pid($node, 'second'), $second, 'worker outlives a rolled back drop');
$session->query_safe('DROP EXTENSION power_action CASCADE');
$session->quit;
wait_for_no_worker($node, 'second');
pass('worker leaves after DROP EXTENSION');

# Dropped and created at once: another worker, for it is another extension.
$first = worker_pid($node, 'first');
$node->safe_psql(
	'first', q{
	BEGIN;
	DROP EXTENSION power_action CASCADE;
	CREATE EXTENSION power_action;
	COMMIT});
isnt(wait_for_worker($node, 'first', $first),
	$first, 'another worker for another extension');

# Prepared transactions come to light at the next look at pg_database.
$node->safe_psql(
	'without', q{
	BEGIN;
	CREATE EXTENSION power_action;
	PREPARE TRANSACTION 'create'});
$node->safe_psql('without', q{COMMIT PREPARED 'create'});
$node->safe_psql('postgres', 'CREATE DATABASE look');
ok(wait_for_worker($node, 'without'), 'a worker after COMMIT PREPARED');

# Nothing of this was an error.
unlike(
	slurp_file($node->logfile) =~
	  s/FATAL: .*due to administrator command//gr,
	qr/(?:WARNING|FATAL|PANIC):|ended unexpectedly|exit code [2-9]/,
	'the log is quiet');

# Settings that a database imposes on its sessions do not reach the worker.
$node->safe_psql('postgres', 'CREATE ROLE regress_nobody');
$node->safe_psql('postgres', "ALTER DATABASE first SET $_")
  for (
	'default_transaction_read_only = on',
	"default_transaction_isolation = 'serializable'",
	"session_replication_role = 'replica'",
	"search_path = 'nowhere'",
	"role = 'pg_monitor'",
	"session_authorization = 'regress_nobody'",
	'statement_timeout = 1',
	'lock_timeout = 1',
	'enable_indexscan = off',
	"application_name = 'somebody'");
$first = worker_pid($node, 'first');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($first)");
my $again = wait_for_worker($node, 'first', $first);
poll_value($node, 'postgres', qq{
	SELECT application_name || ', ' || query
	FROM pg_stat_activity WHERE pid = $again},
	'power_action worker, waiting for requests');
is(worker_pid($node, 'first'), $again, 'it lives with hostile settings');

$node->stop;

# max_worker_processes: the launcher, that of logical replication, and one.
my $small = new_node('small', conf => 'max_worker_processes = 3');
$small->safe_psql('postgres', "CREATE DATABASE $_") for qw(first second);
create_extension($small, 'first');
my $offset = -s $small->logfile;
$small->safe_psql('second', 'CREATE EXTENSION power_action');
$small->wait_for_log(
	qr/LOG: .*out of background worker slots.*\n.*DETAIL: .*\n.*HINT: .*max_worker_processes/,
	$offset);

# It is tried again, and said only once.
$small->safe_psql('first', 'DROP EXTENSION power_action CASCADE');
ok(wait_for_worker($small, 'second'), 'a worker when there is a slot');
$small->wait_for_log(qr/worker slots for power_action suffice again/,
	$offset);
is(log_count($small, qr/out of background worker slots/, $offset),
	1, 'the lack was logged once');
$small->stop;

# Not preloaded: there is no launcher, and functions say what is missing.
my $plain = new_node('plain', preload => 0);
$plain->safe_psql('postgres', 'CREATE EXTENSION power_action');
my ($result, $stdout, $stderr) =
  $plain->psql('postgres', q{SELECT power_action.power_off('c-1')});
isnt($result, 0, 'a request fails without preloading');
like($stderr, qr/ERROR: .*\n(?:.*\n)?HINT: .*shared_preload_libraries/,
	'and says what is missing');
is(launcher_pid($plain), '', 'there is no launcher');
$plain->stop;

done_testing();
