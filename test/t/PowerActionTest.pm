# test/t/PowerActionTest.pm
#
# Servers, agents and waiting, for the tests of power_action.  Used with
# PostgreSQL::Test::Cluster; the programs are those that PATH finds first.

package PowerActionTest;

use strict;
use warnings FATAL => 'all';

use Carp;
use Exporter 'import';
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();

our @EXPORT = qw(
  new_node start_agent stop_agent kill_agent create_agent_server
  create_extension worker_pid worker_exists launcher_pid
  wait_for_worker wait_for_no_worker wait_until poll_value freeze_process
  log_count);

# Seconds that anything waited for may take; on time nothing comes near.
my $patience = $PostgreSQL::Test::Utils::timeout_default;

# Agents still alive, by the address of their description.
my %agents;
my $agents_started = 0;

# A PostgreSQL server that preloads power_action.
#
#   conf       text appended to postgresql.conf
#   preload    0: it is not preloaded
#   fsync      1: as in real life; without, a crash of the machine loses data,
#              but neither does an immediate stop
#   streaming  1: can have standbys
#   start      0: not started
#   initdb     more arguments for initdb
sub new_node
{
	my ($name, %options) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(
		allows_streaming => $options{streaming} // 0,
		extra => [ '--no-sync', @{ $options{initdb} // [] } ]);
	$node->append_conf('postgresql.conf',
		"shared_preload_libraries = 'power_action'")
	  if $options{preload} // 1;
	$node->append_conf('postgresql.conf', 'fsync = on')
	  if $options{fsync};
	$node->append_conf('postgresql.conf', $options{conf})
	  if defined $options{conf};
	$node->start if $options{start} // 1;

	return $node;
}

# Calls the function until it returns something true, and returns that; dies
# with the text after a while.
sub wait_until
{
	my ($text, $condition) = @_;
	my $end = Time::HiRes::time() + $patience;

	for (;;)
	{
		my $result = $condition->();
		return $result if $result;
		croak "timed out waiting until $text"
		  if Time::HiRes::time() > $end;
		Time::HiRes::usleep(20_000);
	}
}

# SIGSTOP, and waits until every thread has come to a stand: one that runs does
# so a little later.
sub freeze_process
{
	my ($pid) = @_;

	kill 'STOP', $pid or croak "no process $pid";
	wait_until(
		"process $pid stands still",
		sub {
			!grep { (eval { slurp_file($_) } // '') !~ /\) T / }
			  glob "/proc/$pid/task/*/stat";
		});
	return 1;
}

# Waits until the query returns the value, "t" if none is given.
sub poll_value
{
	my ($node, $database, $query, $expected) = @_;

	$expected //= 't';
	return $node->poll_query_until($database, $query, $expected)
	  || croak "timed out waiting for $expected from: $query";
}

# Starts a power_agent that listens on a unix socket of its own and returns
# its description once it is ready:
#
#   socket, target   its path, and the same as a gRPC target
#   pid, log         of the process
#
# The directory is for its files: a path, or a node; undef for a new one.
# With "socket => PATH" first, the socket is that one: an agent that comes
# back must be found where it was.
sub start_agent
{
	my ($directory, @flags) = @_;
	my %agent;

	$agent{dir} =
	    !defined $directory ? PostgreSQL::Test::Utils::tempdir('agent')
	  : ref $directory ? $directory->basedir
	  : $directory;
	if (@flags && $flags[0] eq 'socket')
	{
		$agent{socket} = $flags[1];
		splice @flags, 0, 2;
	}

	# A socket's path is short, the directories of tests are not.
	$agent{socket} //=
	  PostgreSQL::Test::Utils::tempdir_short() . '/agent';
	$agent{target} = "unix:$agent{socket}";

	my $number = ++$agents_started;
	my $ready = "$agent{dir}/agent-$$-$number.ready";
	$agent{log} = "$PostgreSQL::Test::Utils::log_path/agent-$$-$number.log";
	unlink $ready;

	$agent{handle} = IPC::Run::start(
		[
			'power_agent', '--listen',
			$agent{target}, '--ready-file',
			$ready, (grep { /^--(provider|accounts)/ } @flags)
			? ()
			: ('--provider', 'simulated'),
			@flags
		],
		'<', \undef, '>>', $agent{log}, '2>&1');
	$agents{ $agent{socket} } = \%agent;

	wait_until(
		'power_agent is ready',
		sub {
			croak 'power_agent ended: ' . slurp_file($agent{log})
			  if !$agent{handle}->pumpable;
			return -e $ready;
		});
	unlink $ready;
	$agent{pid} = $agent{handle}->{KIDS}[0]{PID};

	return \%agent;
}

sub end_agent
{
	my ($agent, $signal) = @_;

	return if !delete $agents{ $agent->{socket} };
	$agent->{handle}->signal($signal);

	# its exit code tells nothing that a test wants to know
	eval { $agent->{handle}->finish };
	return;
}

# Lets an agent finish its calls and end.
sub stop_agent
{
	end_agent($_[0], 'TERM');
	return;
}

# Ends an agent as a crash would.
sub kill_agent
{
	end_agent($_[0], 'KILL');
	return;
}

END
{
	# keep the exit code of the test
	my $status = $?;
	kill_agent($_) for values %agents;
	$? = $status;
}

# CREATE SERVER for the wrapper power_agent.  The target is a path or an
# agent's description; more options of the server may follow.
sub create_agent_server
{
	my ($node, $database, $target, %options) = @_;
	my $name = delete $options{name} // 'agent';

	$target = $target->{target} if ref $target;
	$target = "unix:$target" if $target =~ m{^/};
	$options{target} = $target;

	my $list = join ', ', map { "$_ '$options{$_}'" } sort keys %options;
	$node->safe_psql($database,
		qq{CREATE SERVER "$name" FOREIGN DATA WRAPPER power_agent OPTIONS ($list)}
	);
	return;
}

# The worker of a database, as pg_stat_activity shows it.
sub worker_condition
{
	my ($database) = @_;

	return "backend_type = 'power_action worker' AND datname = '$database'";
}

# Process id of the worker of a database that has found the extension there,
# an empty string if there is none.
sub worker_pid
{
	my ($node, $database) = @_;

	return $node->safe_psql('postgres',
			'SELECT pid FROM pg_stat_activity WHERE '
		  . worker_condition($database)
		  . " AND query <> '' AND query <> 'looking for the extension'");
}

sub worker_exists
{
	return worker_pid(@_) ne '';
}

sub launcher_pid
{
	my ($node) = @_;

	return $node->safe_psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE backend_type = 'power_action launcher'"
	);
}

# Waits for a worker, other than that with the process id if one is given,
# and returns its process id.
sub wait_for_worker
{
	my ($node, $database, $other_than) = @_;

	return wait_until(
		"a worker is in $database",
		sub {
			my $pid = worker_pid($node, $database);
			return $pid eq '' || $pid eq ($other_than // '') ? undef : $pid;
		});
}

sub wait_for_no_worker
{
	my ($node, $database) = @_;

	wait_until("no worker is in $database",
		sub { !worker_exists($node, $database) });
	return;
}

# CREATE EXTENSION, and waits for the worker.
sub create_extension
{
	my ($node, $database) = @_;

	$node->safe_psql($database, 'CREATE EXTENSION power_action');
	return wait_for_worker($node, $database);
}

# How often the server's log has a line that matches, from an offset on.
sub log_count
{
	my ($node, $pattern, $offset) = @_;
	my $count = () = slurp_file($node->logfile, $offset // 0) =~ /$pattern/g;

	return $count;
}

1;
