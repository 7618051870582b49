# test/t/059_confined_courier.pl
#
# The courier that a worker starts is confined, is scheduled as what works
# through many calls, and can still reach agents by every kind of target.

use strict;
use warnings FATAL => 'all';

use File::Basename;
use IO::Socket::IP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PowerActionSequence;
use PowerActionTest;

my $site = new_site('main', agent => [qw(--initial-state running)]);
my $node = $site->{node};

# The port of an agent that listens at an address of this machine.
sub start_tcp_agent
{
	my ($address) = @_;
	my $agent = start_agent(undef, '--listen', "$address:0",
		'--initial-state', 'running');

	my ($port) = slurp_file($agent->{log}) =~ /listening on .*:([0-9]+)$/m
	  or die 'the agent does not say where it listens';
	return $port;
}

sub file_of_process
{
	my ($pid, $file) = @_;

	open my $handle, '<', "/proc/$pid/$file" or die "/proc/$pid/$file: $!";
	local $/;
	return scalar <$handle>;
}

# ----------------------------------------------------------------------
# What the kernel says of the process
# ----------------------------------------------------------------------

poll_value($node, 'fleet',
	q{SELECT state FROM power_action.agent_status WHERE server_name = 'agent'},
	'ready');
my $courier =
  value($site, 'SELECT courier_pid FROM power_action.worker_status');
my $status = file_of_process($courier, 'status');

like($status, qr/^NoNewPrivs:\s*1$/m, 'no new privileges');
like(file_of_process($courier, 'limits'),
	qr/^Max core file size\s+0\s+0\s/m, 'no core dumps');

# The policies of all threads of a process: 0 is SCHED_OTHER, 3 SCHED_BATCH.
sub policies
{
	my ($pid) = @_;
	my %policies;

	foreach my $task (glob "/proc/$pid/task/*")
	{
		# a thread may have ended since
		my $stat =
		  eval { file_of_process($pid, 'task/' . basename($task) . '/stat') }
		  // next;

		# the fields after the name, of which the first is number 3
		$policies{ (split ' ', $stat =~ s/.*\) //sr)[ 41 - 3 ] } = 1;
	}
	return join ',', sort keys %policies;
}

# what others have chosen remains
my $chosen = policies($$);
my $batch = $chosen eq '0' ? '3' : $chosen;

is(policies($courier), $batch, 'its threads are scheduled as a batch');
is(policies(worker_pid($node, 'fleet')),
	$chosen, 'but not the worker, whose time others may wait for');
is(policies($site->{agent}{pid}), $batch, 'and those of power_agent');

my ($line) = slurp_file($node->logfile) =~
  /LOG: +(power_action courier has started, with process id $courier, .*)/;
isnt($line, undef, 'the log says that it has started');

SKIP:
{
	skip 'this kernel has no seccomp', 4 if $status !~ /^Seccomp:/m;

	like($status, qr/^Seccomp:\s*2$/m, 'its system calls are filtered');
	like($line, qr/confined by seccomp /, 'the log says so');

	# The threads that gRPC has started, too.
	my @threads = glob "/proc/$courier/task/*";
	cmp_ok(scalar @threads, '>', 1, 'it has threads');
	is( scalar(grep { slurp_file("$_/status") !~ /^Seccomp:\s*2$/m } @threads),
		0, 'all of them confined');
}

# ----------------------------------------------------------------------
# Agents are reached all the same
# ----------------------------------------------------------------------

my $port = start_tcp_agent('127.0.0.1');
my %targets = (
	ipv4 => "ipv4:127.0.0.1:$port",
	dns => "dns:///localhost:$port",
	bare => "localhost:$port");

my $loopback = IO::Socket::IP->new(LocalHost => '::1', Listen => 1);
if (defined $loopback)
{
	$loopback->close;
	$targets{ipv6} = 'ipv6:[::1]:' . start_tcp_agent('[::1]');
}

for my $kind (sort keys %targets)
{
	create_agent_server($node, 'fleet', $targets{$kind}, name => $kind);
	add_account($site, $kind, $kind);
	add_clusters($site, $kind, "$kind-1");
	is(finish($site, request($site, 'power_off', "$kind-1")),
		'success|confirmed', "by $targets{$kind}");
}
add_clusters($site, 'prod', 'unix-1');
is(finish($site, request($site, 'power_off', 'unix-1')),
	'success|confirmed', 'by a unix socket');

is(value($site, 'SELECT courier_pid FROM power_action.worker_status'),
	$courier, 'by the same courier');

done_testing();
