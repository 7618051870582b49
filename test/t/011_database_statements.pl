# test/t/011_database_statements.pl
#
# Statements about whole databases work while a worker is connected to them,
# for those who may execute them, and only for those.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PowerActionTest;

# Only a superuser may force out an autovacuum worker, which these statements
# call up now and then.
my $node = new_node('main', conf => 'autovacuum = off');

my $superuser = $node->safe_psql('postgres', 'SELECT session_user');

$node->safe_psql(
	'postgres', q{
	CREATE ROLE regress_owner LOGIN CREATEDB;
	CREATE ROLE regress_creator LOGIN CREATEDB;
	CREATE ROLE regress_nobody LOGIN;
	CREATE DATABASE work OWNER regress_owner});
$node->safe_psql('postgres',
	"SET allow_in_place_tablespaces = on; CREATE TABLESPACE other LOCATION ''");
$node->safe_psql('postgres',
	'GRANT CREATE ON TABLESPACE other TO regress_owner');
create_extension($node, 'work');

# Executes a statement as a role; returns its error message.
sub execute
{
	my ($role, $statement) = @_;
	my ($result, $stdout, $stderr) = $node->psql('postgres', $statement,
		extra_params => [ '-U', $role ]);

	return $stderr;
}

# Without the worker's leaving these wait for five seconds, and fail.
sub works
{
	my ($role, $statement) = @_;

	is(execute($role, $statement), '', "$statement works");
	return;
}

# Those who may not do it do not disturb the worker, either.
my $pid = worker_pid($node, 'work');
like(execute('regress_nobody', $_->[0]), $_->[1], "refused: $_->[0]")
  for (
	[ 'DROP DATABASE work', qr/must be owner/ ],
	[ 'DROP DATABASE work WITH (FORCE)', qr/must be owner/ ],
	[ 'ALTER DATABASE work RENAME TO mine', qr/must be owner/ ],
	[ 'ALTER DATABASE work SET TABLESPACE other', qr/must be owner/ ],
	[ 'CREATE DATABASE mine TEMPLATE work', qr/permission denied/ ]);
like(
	execute('regress_creator', 'CREATE DATABASE mine TEMPLATE work'),
	qr/permission denied to copy database/,
	'refused: a copy of a database of somebody else');
like(
	execute('regress_owner', 'BEGIN; DROP DATABASE work'),
	qr/cannot run inside a transaction block/,
	'refused: in a transaction block');
is(worker_pid($node, 'work'), $pid, 'the worker has not been disturbed');

# The worker comes back whenever there is something to come back to.
works('regress_owner', 'ALTER DATABASE work RENAME TO renamed');
$pid = wait_for_worker($node, 'renamed', $pid);

works('regress_owner', 'CREATE DATABASE copy TEMPLATE renamed');
$pid = wait_for_worker($node, 'renamed', $pid);
ok($pid, 'worker comes back to the source of a copy');
ok(wait_for_worker($node, 'copy'), 'and there is one in the copy');

works('regress_owner', 'ALTER DATABASE renamed SET TABLESPACE other');
$pid = wait_for_worker($node, 'renamed', $pid);
ok($pid, 'worker comes back after a move');

works('regress_owner', 'DROP DATABASE copy');
works('regress_owner', 'CREATE DATABASE copy TEMPLATE renamed');
wait_for_worker($node, 'copy');
works('regress_owner', 'DROP DATABASE copy WITH (FORCE)');

# A statement that fails for another reason gives the database back.
$pid = wait_for_worker($node, 'renamed');
my $guest = $node->background_psql('renamed');
$guest->query_safe('SELECT 1');
like(
	execute('regress_owner', 'DROP DATABASE renamed'),
	qr/is being accessed by other users/,
	'sessions of users still count');
$pid = wait_for_worker($node, 'renamed', $pid);
ok($pid, 'worker comes back after an error');

# So does one that is interrupted, or whose session is ended, in the middle.
for my $end ('pg_cancel_backend', 'pg_terminate_backend')
{
	my $session = $node->background_psql('postgres', on_error_stop => 0);
	my $backend = $session->query_safe('SELECT pg_backend_pid()');

	$session->query_until(qr/started/,
		"\\echo started\nALTER DATABASE renamed RENAME TO other;\n");
	wait_for_no_worker($node, 'renamed');
	$node->safe_psql('postgres', "SELECT $end($backend)");
	is(wait_for_worker($node, 'renamed', $pid) ne '',
		1, "worker comes back after $end");
	$pid = worker_pid($node, 'renamed');
	eval { $session->quit };
}
$guest->quit;

# RENAME may stand in a transaction block: the hold lasts as long as that.
my $session = $node->background_psql('postgres');
$session->query_safe('BEGIN');
$session->query_safe('ALTER DATABASE renamed RENAME TO other');
create_extension($node, 'postgres');
ok(!worker_exists($node, 'renamed'), 'no worker while the rename is open');
$session->query_safe('ROLLBACK');
ok(wait_for_worker($node, 'renamed'), 'worker comes back after the rollback');
$session->quit;

# While the worker is still on its way into the database, too.
for my $round (1 .. 5)
{
	$node->safe_psql('postgres', 'CREATE DATABASE brief TEMPLATE renamed');
	is(execute('regress_owner', 'ALTER DATABASE renamed RENAME TO other'),
		'', 'rename while workers are being started');
	is(execute('regress_owner', 'ALTER DATABASE other RENAME TO renamed'),
		'', 'and back');
	is(execute($superuser, 'DROP DATABASE brief'), '', 'drop likewise');
}
ok(wait_for_worker($node, 'renamed'), 'a worker in the end');

is(log_count($node, qr/ended unexpectedly/), 0, 'no worker failed');

$node->stop;

done_testing();
