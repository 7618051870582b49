# test/t/012_restart.pl
#
# Workers come back after whatever ended them, and are gone when the server
# is to stop.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use PowerActionTest;

my $node = new_node('main');
$node->append_conf('postgresql.conf', 'restart_after_crash = on');
$node->reload;
my $pid = create_extension($node, 'postgres');

# An administrator ends it.
my $start = time;
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
$pid = wait_for_worker($node, 'postgres', $pid);
cmp_ok(time - $start, '<', 5, 'worker is back soon after it was terminated');

# So does the launcher.
my $launcher = launcher_pid($node);
$node->safe_psql('postgres', "SELECT pg_terminate_backend($launcher)");
wait_until('another launcher is there',
	sub { launcher_pid($node) !~ /^(?:|$launcher)$/ });
pass('launcher is back after it was terminated');

# There is nothing to cancel in either of them.
my @pids = (worker_pid($node, 'postgres'), launcher_pid($node));
for my $round (1 .. 3)
{
	$node->safe_psql('postgres', "SELECT pg_cancel_backend($_)") for @pids;
	$node->safe_psql('postgres', 'CREATE DATABASE wake_up');
	$node->safe_psql('postgres', 'DROP DATABASE wake_up');
}
is_deeply([ worker_pid($node, 'postgres'), launcher_pid($node) ],
	\@pids, 'pg_cancel_backend ends neither');

# Another session crashes: all of shared memory is made anew.
sub crash
{
	my ($victim) = @_;
	my $offset = -s $node->logfile;

	kill 'KILL', $victim;
	$node->wait_for_log(qr/all server processes terminated; reinitializing/,
		$offset);
	$node->poll_query_until('postgres', 'SELECT true')
	  or die 'the server is not back';
	return;
}

my $session = $node->background_psql('postgres', on_error_stop => 0);
crash($session->query_safe('SELECT pg_backend_pid()'));
eval { $session->quit };
my $after_crash = wait_for_worker($node, 'postgres', $pid);
isnt($after_crash, $pid, 'another worker after the crash of a session');

crash($after_crash);
isnt(wait_for_worker($node, 'postgres', $after_crash),
	$after_crash, 'and after its own');

crash(launcher_pid($node));
ok(wait_for_worker($node, 'postgres'), 'and after that of the launcher');

# The server stops at once and starts again.
$node->stop('immediate');
$node->start;
ok(wait_for_worker($node, 'postgres'), 'worker is there after a crash restart');

$start = time;
$node->stop('fast');
cmp_ok(time - $start, '<', 10, 'fast stop does not wait for us');
$node->start;
ok(wait_for_worker($node, 'postgres'), 'worker is there after a restart');

# A smart stop waits for sessions of users, not for us.
$start = time;
$node->stop('smart');
cmp_ok(time - $start, '<', 10, 'nor does a smart stop');
$node->start;
wait_for_worker($node, 'postgres');

# A reload is no restart.
$pid = worker_pid($node, 'postgres');
$launcher = launcher_pid($node);
$node->append_conf('postgresql.conf', "log_min_messages = 'debug1'");
my $offset = -s $node->logfile;
$node->reload;
$node->wait_for_log(qr/parameter "log_min_messages" changed/, $offset);
is(worker_pid($node, 'postgres') . launcher_pid($node),
	"$pid$launcher", 'the same processes after a reload');

$node->stop;

done_testing();
