# test/t/088_agent_service.pl
#
# power_agent as a service: what it tells the service manager and when, its unit
# file and its manual page.  The service manager is a socket of the test's own.

use strict;
use warnings FATAL => 'all';

use Cwd ();
use File::Basename;
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use IPC::Run ();
use POSIX qw(mkfifo);
use PostgreSQL::Test::Utils;
use Socket qw(SOCK_DGRAM SOCK_STREAM);
use Test::More;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);
use CloudTest;
use PowerActionTest;

plan skip_all => 'python3-grpcio or python3-protobuf is not installed'
  if !cloud_tests_possible();

my $dir = PostgreSQL::Test::Utils::tempdir('service');
my $short = PostgreSQL::Test::Utils::tempdir_short();
my $accounts = "$dir/accounts.ini";

# The provider command: an order waits until it may go on.
my $program = "$dir/fleet";

sub write_file
{
	my ($path, $text) = @_;

	open my $file, '>', $path or die "$path: $!";
	print $file $text;
	close $file or die "$path: $!";
	return;
}

write_file($program, <<'PROGRAM');
#!/bin/sh
dir=${0%/*}
[ "$1" = describe ] || : >"$dir/begun"
while [ "$1" != describe ] && [ ! -e "$dir/go" ]; do sleep 0.02; done
printf '{"instances": [{"id": "i-1", "state": "stopped"}]}'
PROGRAM
chmod 0755, $program;

sub account
{
	my ($name) = @_;

	return "[$name]\nprovider = command\nprogram = $program\n";
}

#
# The service manager
#

# A socket for notifications, and the name that the agent is given.
sub notify_socket
{
	my ($name) = @_;
	my $socket = IO::Socket::UNIX->new(
		Type => SOCK_DGRAM,
		Local => $name =~ s/^@/\0/r) or die "$name: $!";

	return ($socket, $name);
}

# The next message, a hash; undef if none comes within so many seconds.
sub received
{
	my ($socket, $patience) = @_;

	return if !IO::Select->new($socket)->can_read($patience // 0);
	defined $socket->recv(my $text, 65536) or die "recv: $!";
	return { map { split /=/, $_, 2 } split /\n/, $text };
}

# Waits for the next message.
sub message
{
	my ($socket, $what) = @_;

	return received($socket, $PostgreSQL::Test::Utils::timeout_default)
	  || die "timed out waiting until $what";
}

sub starts_agent
{
	my ($name, @flags) = @_;
	local $ENV{NOTIFY_SOCKET} = $name;

	return start_agent($dir, '--accounts', $accounts, @flags);
}

# True if somebody listens.
sub accepts
{
	my ($agent) = @_;

	return defined IO::Socket::UNIX->new(
		Type => SOCK_STREAM,
		Peer => $agent->{socket});
}

# From the start to the end

write_accounts($accounts, account('prod'));
for my $address ("$short/notify", "\@power_action-$$-" . time)
{
	my $kind = $address =~ /^@/ ? 'abstract socket' : 'socket with a path';
	my ($socket, $name) = notify_socket($address);

	# A port that another has: never ready.
	{
		local $ENV{NOTIFY_SOCKET} = $name;
		my $other = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1)
		  or die "no port: $!";
		my $output = '';
		ok( !IPC::Run::run(
				[ 'power_agent', '--listen', '127.0.0.1:' . $other->sockport ],
				'<', \undef, '>&', \$output),
			"$kind: an agent that cannot listen");
		like($output, qr/could not listen/, 'says so');
		is(received($socket), undef, 'and is not ready');
	}

	my $agent = starts_agent($name);
	my $ready = message($socket, 'the agent is ready');
	ok(accepts($agent), 'it listens');
	is_deeply(
		$ready,
		{ READY => 1, STATUS => "listening on $agent->{target}" },
		'and says that it is ready');
	my $calls = start_calls($agent);
	is(states_of(call($calls, 'state', ['i-1'])), 'i-1=STOPPED', 'it answers');

	# SIGHUP; with so many accounts that it takes a while
	write_accounts($accounts,
		join '', map { account($_) } qw(prod other), map { "more-$_" } 1 .. 300);
	my $before = clock_gettime(CLOCK_MONOTONIC);
	kill 'HUP', $agent->{pid};
	my $reloading = message($socket, 'the agent reloads');
	is($reloading->{RELOADING}, 1, 'SIGHUP: it reads its files again');
	my $time = ($reloading->{MONOTONIC_USEC} // 0) / 1e6;
	ok( $time >= $before - 0.001 && $time <= clock_gettime(CLOCK_MONOTONIC),
		'since a time on the clock of the service manager');
	is_deeply(message($socket, 'it has reloaded'), $ready, 'and is ready again');
	like(slurp_file($agent->{log}), qr/was loaded: 302 accounts/, 'after that');
	is(states_of(call($calls, 'state', ['i-1'], account => 'other')),
		'i-1=STOPPED', 'with what was new');

	# SIGTERM while a program works on an order
	unlink "$dir/go", "$dir/begun";
	my ($order) =
	  send_calls($calls, { method => 'off', instances => ['i-1'], cluster => 'web' });
	wait_until('an order is under way', sub { -e "$dir/begun" });
	kill 'TERM', $agent->{pid};
	is(message($socket, 'the agent ends')->{STOPPING}, 1, 'SIGTERM: it is stopping');
	cmp_ok(message($socket, 'it asks for time')->{EXTEND_TIMEOUT_USEC} // 0,
		'>=', 5_000_000, 'and asks for more time than the drain takes');
	# all that follows would be a lie
	kill 'HUP', $agent->{pid};
	write_file("$dir/go", '');
	is(states_of(take_answers($calls, $order)),
		'i-1=STOPPED', 'what was in progress is answered');
	ok($agent->{handle}->finish, 'it ends, and well');
	is(received($socket), undef, 'and says no more');
	stop_agent($agent);
	write_accounts($accounts, account('prod'));
}

# Signs of life, until the server hangs: its rules come from a pipe without a
# writer, which is opened under the lock

{
	my ($socket, $name) = notify_socket("$short/watchdog");
	local $ENV{WATCHDOG_USEC} = 400_000;
	write_file("$dir/rules", '');
	my $agent = starts_agent($name, '--behaviour', "$dir/rules", '--threads', 2);
	is(message($socket, 'the agent is ready')->{READY}, 1, 'with a watchdog');
	is_deeply(message($socket, 'a sign of life'), { WATCHDOG => 1 }, "sign of life $_")
	  for 1 .. 3;

	unlink "$dir/rules";
	mkfifo("$dir/rules", 0600) or die "mkfifo: $!";
	kill 'HUP', $agent->{pid};
	my $last = Time::HiRes::time();
	wait_until(
		'there are no signs of life any more',
		sub {
			$last = Time::HiRes::time() while received($socket);
			return Time::HiRes::time() - $last > 1.5;
		});
	ok(accepts($agent), 'none from an agent that hangs, though it is there');
	kill_agent($agent);
}

# What is installed

my $root = "$dir/root";

sub make
{
	my ($goal, @more) = @_;
	my $output = '';

	IPC::Run::run(
		[ 'make', '-s', '-C', dirname(Cwd::abs_path(dirname(__FILE__))) . '/..',
			$goal, "DESTDIR=$root", @more ],
		'<', \undef, '>&', \$output) or die "make $goal: $output";
	return;
}

# Those below the root with that name.
sub installed
{
	my ($name) = @_;

	return split /\n/, `find '$root' -type f -name '$name'`;
}

make('install-service');
my ($page) = installed('power_agent.8');
my ($unit) = installed('power_agent.service');
like($page // '', qr{/man8/}, 'the manual page is installed');
like($unit // '', qr{/systemd/system/}, 'and the unit file');
like((installed('power_agent.conf'))[0] // '', qr{/sysusers.d/}, 'and its user');
my $manual = slurp_file($page);
my $service = slurp_file($unit);
make('uninstall-service', 'bindir=/elsewhere/bin');
is_deeply([ map { basename($_) } sort +installed('*.service'), installed('*.conf') ],
	[qw(power_agent.service power_agent.conf)], 'another installation does not remove the unit');
make('uninstall-service');
is_deeply([ installed('*') ], [], 'and all of it can be removed');
make('install-service', 'SYSTEMD=no');
is_deeply([ map { basename($_) } installed('*') ], ['power_agent.8'],
	'with SYSTEMD=no only the manual page is installed');
make('uninstall-service');

sub has
{
	my ($program) = @_;

	return grep { -x "$_/$program" } split /:/, $ENV{PATH};
}

# The manual page

my $help = '';
IPC::Run::run([ 'power_agent', '--help' ], '>', \$help) or die 'no help';
my ($options, $words) = split /^Words: .*$/m, $help;
$words =~ s/^\n//;
$words =~ s/^\n.*//ms;

sub sorted
{
	return join ' ', sort @_;
}

is( sorted($manual =~ /^\.It Fl Fl ([\w-]+)/mg),
	sorted($options =~ /^  --([\w-]+)/mg),
	'the options of the manual page are those of --help');
is( sorted($manual =~ /^\.It Cm ([\w-]+)/mg),
	sorted($words =~ /^  ([\w-]+)/mg),
	'and so are the words for its behaviour');

SKIP:
{
	skip 'mandoc is not installed', 1 if !has('mandoc');
	write_file("$dir/power_agent.8", $manual);
	my $report = '';
	IPC::Run::run([ 'mandoc', '-Tlint', '-Wwarning', "$dir/power_agent.8" ],
		'>&', \$report);
	is($report, '', 'the manual page is well formed');
}

# The unit file, as far as it can be judged without being run

SKIP:
{
	skip 'systemd-analyze (package systemd) is not installed', 2
	  if !has('systemd-analyze');
	write_file("$dir/power_agent.service", $service);
	my $report = '';
	IPC::Run::run(
		[ 'systemd-analyze', 'verify', '--man=no', "$dir/power_agent.service" ],
		'>&', \$report);
	is($report, '', 'the unit file is well formed');
	$report = '';
	ok( IPC::Run::run(
			[ 'systemd-analyze', 'security', '--offline=true', '--threshold=15',
				'--no-pager', "$dir/power_agent.service" ],
			'>&', \$report),
		'and leaves little to attack') or diag($report);
}

done_testing();
