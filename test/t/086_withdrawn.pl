# test/t/086_withdrawn.pl
#
# What nobody waits for any more: an order that its cloud has not seen is not
# given, one that it has goes on to its end and is remembered.

use strict;
use warnings FATAL => 'all';

use JSON::PP ();
use PostgreSQL::Test::Utils;
use Socket;
use Test::More;
use CloudTest;
use PowerActionTest;

plan skip_all => 'python3-grpcio or python3-protobuf is not installed'
  if !cloud_tests_possible();

my $dir = PostgreSQL::Test::Utils::tempdir('withdrawn');
my $json = JSON::PP->new;
my $cloud = start_cloud();

# A hypervisor that takes connections and never says anything.
socket(my $mute, PF_UNIX, SOCK_STREAM, 0) or die "socket: $!";
my $socket = PostgreSQL::Test::Utils::tempdir_short() . '/mute';
bind($mute, sockaddr_un($socket)) && listen($mute, 10) or die "$socket: $!";

append_to_file("$dir/fleet", <<'PROGRAM');
#!/bin/sh
dir=${0%/*}
verb=$1
shift
echo "$verb $*" >>"$dir/ran"
echo $$ >"$dir/pid.$1"
until [ -e "$dir/go" ]; do sleep 0.05; done
printf '{"instances": [{"id": "%s", "state": "stopped"}]}' "$1"
PROGRAM
chmod 0755, "$dir/fleet";

write_accounts("$dir/accounts.ini", <<"ACCOUNTS");
[ec2]
provider = ec2
user = AK
key = SK
endpoint = $cloud->{url}
poll_interval = 50ms
max_requests_per_second = 0
max_connections = 1

[command]
provider = command
program = $dir/fleet
max_parallel = 1

[libvirt]
provider = libvirt
uri = test+unix:///default?socket=$socket
max_calls = 1
ACCOUNTS

# With one thread, a call that is answered comes after those sent before it.
my $log = "$dir/calls";
my $agent = start_agent($dir, '--accounts', "$dir/accounts.ini",
	'--log', $log, '--log-sync', '--drain-timeout', '100ms', '--threads', 1);
my $calls = start_calls($agent);

# The lines of an event that the agent has written for a cluster, or how many.
sub lines
{
	my ($event, $cluster) = @_;

	return grep { $_->{event} eq $event && $_->{cluster_id} eq $cluster }
	  map { $json->decode($_) }
	  grep { /\n\z/ } split /^/, -e $log ? slurp_file($log) : '';
}

# Sends one call, and returns its id.
sub begin
{
	my ($account, $method, $cluster, @instances) = @_;
	my %more = ref $instances[-1] ? %{ pop @instances } : ();

	my ($id) = send_calls($calls, { account => $account, method => $method,
			cluster => $cluster, instances => [@instances], %more });
	return $id;
}

# Cancels a call and waits until the agent knows.
sub give_up
{
	my ($id, $cluster) = @_;
	my $before = lines('end', $cluster);

	cancel_calls($calls, $id);
	is(take_answers($calls, $id)->{status}, 'CANCELLED', "$cluster: cancelled");
	wait_until("the agent knows of $cluster", sub { lines('end', $cluster) > $before });
	return;
}

sub wait_withdrawn
{
	my ($cluster, $name) = @_;

	wait_until("$cluster is withdrawn", sub { lines('withdrawn', $cluster) > 0 });
	is(scalar lines('withdrawn', $cluster), scalar lines('start', $cluster), $name);
	return;
}

# ----------------------------------------------------------------------
# ec2
# ----------------------------------------------------------------------

sub recover
{
	control($cloud,
		keys => { AK => 'SK' },
		instances => { map { ("i-000$_" => 'running') } 1 .. 9 },
		faults => [], hold => \0, @_);

	# it is waited for no longer than for one that is well
	call($calls, 'state', ['i-0009'], account => 'ec2');
	control($cloud, forget => \1);
	return;
}

# The cloud has a call, and holds it.
sub wait_held
{
	wait_until('the cloud has the call', sub { control($cloud)->{active} > 0 });
	return;
}

# Who was to be stopped: a list of ids for each call.
sub stops
{
	return join ' | ', map { join ' ', sort @{ $_->{ids} } }
	  grep { $_->{action} eq 'StopInstances' } @{ control($cloud)->{log} };
}

recover();
control($cloud, hold => \1);
my $first = begin('ec2', 'off', 'busy', 'i-0001');
wait_held();
my $second = begin('ec2', 'off', 'queued', 'i-0002');
my $asked = begin('ec2', 'state', 'asked', 'i-0003');
wait_until('it is with the provider', sub { lines('start', 'queued') });
give_up($second, 'queued');
give_up($asked, 'asked');
wait_withdrawn('queued', 'an order behind another call is withdrawn');
control($cloud, hold => \0);
is(states_of(take_answers($calls, $first)), 'i-0001=STOPPED', 'the call before it');
is(stops(), 'i-0001', 'is the only one');
is(scalar(grep { $_->{action} eq 'DescribeInstances' && grep { $_ eq 'i-0003' } @{ $_->{ids} } }
			@{ control($cloud)->{log} }),
	0, 'and the question is not asked');
is( states_of(call($calls, 'state', ['i-0002'], account => 'ec2')),
	'i-0002=RUNNING', 'the instance runs');

recover();
control($cloud, hold => \1);
$first = begin('ec2', 'off', 'sent', 'i-0001', { request_id => 'sent' });
wait_held();
give_up($first, 'sent');
control($cloud, hold => \0);
is( states_of(call($calls, 'off', ['i-0001'], account => 'ec2', cluster => 'sent',
			request_id => 'sent')),
	'i-0001=STOPPED', 'an order that was sent goes on to its end');
is( states_of(call($calls, 'off', ['i-0001'], account => 'ec2', cluster => 'sent',
			request_id => 'sent')),
	'i-0001=STOPPED', 'and is remembered');
is(stops(), 'i-0001', 'it was given once');
is(scalar lines('withdrawn', 'sent'), 0, 'and not withdrawn');

recover();
control($cloud, faults => [ { action => 'StopInstances', code => 'RequestLimitExceeded', status => 503 } ]);
$first = begin('ec2', 'off', 'throttled', 'i-0001');
wait_until('the cloud has throttled it', sub { stops() ne '' });
give_up($first, 'throttled');
wait_withdrawn('throttled', 'an order that only the pace holds up is withdrawn');
recover(instances => {});
is(stops(), '', 'and never sent again');

# The cloud throttles it when it has been given up and asked for once more.

recover();
control($cloud, hold => \1,
	faults => [ { action => 'StopInstances', code => 'RequestLimitExceeded', status => 503, times => 1 } ]);
$first = begin('ec2', 'off', 'again', 'i-0001', { request_id => 'again' });
wait_held();
give_up($first, 'again');
$second = begin('ec2', 'off', 'again', 'i-0001', { request_id => 'again' });
call($calls, 'state', ['i-1'], account => 'nobody');
control($cloud, hold => \0);
is(states_of(take_answers($calls, $second)), 'i-0001=STOPPED',
	'who comes for it in the meantime gets it');
is(stops(), 'i-0001 | i-0001', 'after the call that was throttled');
is(lines('start', 'again') - lines('withdrawn', 'again'), 1, 'one order remains');
is((lines('start', 'again'))[1]{provider_us}, undef, 'which has no answer when it starts');

recover();
control($cloud, hold => \1,
	faults => [ { action => 'StopInstances', drop => 1, after => 1, times => 1 } ]);
$first = begin('ec2', 'off', 'lost', 'i-0001', { request_id => 'lost' });
wait_held();
give_up($first, 'lost');
control($cloud, hold => \0);
is( states_of(call($calls, 'off', ['i-0001'], account => 'ec2', cluster => 'lost',
			request_id => 'lost')),
	'i-0001=STOPPED', 'an order whose call was lost may have been taken');
is(scalar lines('withdrawn', 'lost'), 0, 'and is not withdrawn');
is(scalar lines('start', 'lost'), 1, 'nor given anew');

# Two wait for the same order; the second call sends it when the first has
# let the connection go.

recover();
control($cloud, hold => \1);
my $blocking = begin('ec2', 'off', 'busy', 'i-0001');
wait_held();
$first = begin('ec2', 'off', 'shared', 'i-0002', { request_id => 'shared' });
wait_until('it is with the provider', sub { lines('start', 'shared') });
$second = begin('ec2', 'off', 'shared', 'i-0002', { request_id => 'shared' });
call($calls, 'state', ['i-1'], account => 'nobody');
give_up($first, 'shared');
control($cloud, hold => \0);
is(states_of(take_answers($calls, $second)), 'i-0002=STOPPED',
	'as long as one waits it is not withdrawn');
take_answers($calls, $blocking);
is(stops(), 'i-0001 | i-0002', 'and given once');
is(scalar lines('withdrawn', 'shared'), 0, 'really not');

# The numbers of orders

recover();
control($cloud, hold => \1);
$blocking = begin('ec2', 'off', 'busy', 'i-0001');
wait_held();
$first = begin('ec2', 'off', 'numbered', 'i-0002',
	{ request_id => 'five', source => 's', order => [ 1, 1, 5 ] });
wait_until('it is with the provider', sub { lines('start', 'numbered') });
give_up($first, 'numbered');
wait_withdrawn('numbered', 'an order with a number is withdrawn');
control($cloud, hold => \0);
take_answers($calls, $blocking);
like(
	states_of(call($calls, 'on', ['i-0002'], account => 'ec2', cluster => 'numbered',
			request_id => 'four', source => 's', order => [ 1, 1, 4 ])),
	qr/^FAILED_PRECONDITION stale order/,
	'an older one is out of date all the same');
is( states_of(call($calls, 'off', ['i-0002'], account => 'ec2', cluster => 'numbered',
			request_id => 'five', source => 's', order => [ 1, 1, 6 ])),
	'i-0002=STOPPED', 'the same request comes again as a new one');
is( states_of(call($calls, 'on', ['i-0002'], account => 'ec2', cluster => 'numbered',
			request_id => 'seven', source => 's', order => [ 1, 1, 7 ])),
	'i-0002=RUNNING', 'and a later one is let in');
is(stops(), 'i-0001 | i-0002', 'that was all');

# ----------------------------------------------------------------------
# command
# ----------------------------------------------------------------------

sub pid_of
{
	my ($instance) = @_;

	wait_until("$instance is in a program", sub { -s "$dir/pid.$instance" });
	return 0 + slurp_file("$dir/pid.$instance");
}

sub is_gone
{
	my ($pid) = @_;

	open my $file, '<', "/proc/$pid/stat" or return 1;
	my $line = <$file> // return 1;
	return $line =~ /\) [ZX]/;
}

$first = begin('command', 'off', 'runs', 'i-1', { request_id => 'runs' });
pid_of('i-1');
$second = begin('command', 'off', 'waits', 'i-2');
my $late = begin('command', 'off', 'late', 'i-3', { timeout => 1 });
$asked = begin('command', 'state', 'asked', 'i-4');
wait_until('they are with the provider', sub { lines('start', 'waits') && lines('start', 'late') });
give_up($second, 'waits');
give_up($asked, 'asked');
wait_withdrawn('waits', 'a program that was not started is withdrawn');
is(take_answers($calls, $late)->{status}, 'DEADLINE_EXCEEDED', 'so is one');
wait_withdrawn('late', 'whose deadline passes');
give_up($first, 'runs');
append_to_file("$dir/go", '');
is( states_of(call($calls, 'off', ['i-1'], account => 'command', cluster => 'runs',
			request_id => 'runs')),
	'i-1=STOPPED', 'one that runs goes on to its end');
is(slurp_file("$dir/ran"), "stop i-1\n", 'it was the only one');
is(scalar lines('withdrawn', 'runs'), 0, 'and not withdrawn');

unlink "$dir/go";
$asked = begin('command', 'state', 'asked', 'i-5');
my $pid = pid_of('i-5');
give_up($asked, 'asked');
wait_until('its program is ended', sub { is_gone($pid) });
pass('a question that nobody waits for is ended');

# ----------------------------------------------------------------------
# libvirt: what was taken is in test/unit/agent_libvirt_test.c
# ----------------------------------------------------------------------

$first = begin('libvirt', 'off', 'silent', 'test');
wait_until('it is with the provider', sub { lines('start', 'silent') });
$second = begin('libvirt', 'off', 'behind', 'test');
wait_until('as is the second', sub { lines('start', 'behind') });
give_up($second, 'behind');
wait_withdrawn('behind', 'an order that waits for a thread is withdrawn');
give_up($first, 'silent');
wait_withdrawn('silent', 'so is one whose hypervisor has not let us in');
stop_agent($agent);

# ----------------------------------------------------------------------
# An order that is done, but not answered
# ----------------------------------------------------------------------

append_to_file("$dir/half", <<'PROGRAM');
#!/bin/sh
dir=${0%/*}
echo "$*" >>"$dir/half.ran"
until [ "$1" != describe ] || [ -e "$dir/half.go" ]; do sleep 0.05; done
printf '{"instances": [{"id": "%s", "state": "stopped"}]}' "$2"
PROGRAM
chmod 0755, "$dir/half";
write_accounts("$dir/half.ini", "[half]\nprovider = command\nprogram = $dir/half\n");
append_to_file("$dir/half.rules", "half off partial=1\n");
$log = "$dir/calls-half";
$agent = start_agent($dir, '--accounts', "$dir/half.ini", '--behaviour', "$dir/half.rules",
	'--log', $log, '--log-sync');
$calls = start_calls($agent);
$first = begin('half', 'off', 'half', 'i-1', 'i-2', { request_id => 'half' });
wait_until('those that follow have, the others are looked at',
	sub { -e "$dir/half.ran" && slurp_file("$dir/half.ran") =~ /^describe i-2/m });
give_up($first, 'half');
wait_until('its outcome is told', sub { lines('done', 'half') });
my ($done) = lines('done', 'half');
is("$done->{status} $done->{error} $done->{request_id}", 'OK 0 half', 'as that of the order');
append_to_file("$dir/half.go", '');
like(
	states_of(call($calls, 'off', [ 'i-1', 'i-2' ], account => 'half', cluster => 'half',
			request_id => 'half')),
	qr/^i-1=STOPPED i-2=STOPPED/, 'the reply is remembered');
is(scalar lines('done', 'half'), 1, 'it is told once');
stop_agent($agent);

# ----------------------------------------------------------------------
# The end of the drain
# ----------------------------------------------------------------------

# Each cluster has an order that waits for a latency, and one for its turn; the
# account a question that is under way, and orders behind it.
append_to_file("$dir/end.rules", "turn-* off latency=600s\n");
append_to_file("$dir/end", <<'PROGRAM');
#!/bin/sh
dir=${0%/*}
echo "$*" >>"$dir/end.ran"
[ "$1" != describe ] || exec sleep 600
printf '{"instances": [{"id": "%s", "state": "stopped"}]}' "$2"
PROGRAM
chmod 0755, "$dir/end";
write_accounts("$dir/end.ini", <<"ACCOUNTS");
[turns]
provider = simulated

[queue]
provider = command
program = $dir/end
max_parallel = 1
ACCOUNTS
$log = "$dir/calls-end";
$agent = start_agent($dir, '--accounts', "$dir/end.ini", '--behaviour', "$dir/end.rules",
	'--log', $log, '--log-sync', '--drain-timeout', '0', '--threads', 1);
$calls = start_calls($agent);
begin('queue', 'state', 'question', 'i-0');
wait_until('the question is asked', sub { -e "$dir/end.ran" });
for my $n (1 .. 20)
{
	begin('queue', 'off', "queue-$n", "i-$n");
	begin('turns', 'off', "turn-$n", "i-$n");
	begin('turns', 'on', "turn-$n", "i-$n");
}
wait_until('the orders are there', sub { lines('start', 'queue-20') });
call($calls, 'state', ['i-1'], account => 'nobody');
stop_agent($agent);
is(slurp_file("$dir/end.ran"), "describe i-0\n", 'no program is started after the end');
is(scalar(map { lines('start', "turn-$_") } 1 .. 20), 0, 'and nobody gets a turn');
is(scalar(map { lines('end', "turn-$_") } 1 .. 20), 40, 'each call has its end');
is( scalar(grep { lines('start', "queue-$_") == 1 && lines('withdrawn', "queue-$_") == 1 } 1 .. 20),
	20, 'and what was with the provider is withdrawn');

# ----------------------------------------------------------------------
# simulated
# ----------------------------------------------------------------------

$log = "$dir/calls-simulated";
append_to_file("$dir/rules", "slow latency=600s on\nslow latency=600s off\n");
$agent = start_agent($dir, '--behaviour', "$dir/rules", '--log', $log, '--log-sync',
	'--transition-time', '300ms', '--answer-when-done', '--initial-state', 'running',
	'--threads', 1);
$calls = start_calls($agent);
$first = begin('any', 'off', 'slow', 'i-1');
$second = begin('any', 'off', 'slow', 'i-1');
call($calls, 'state', ['i-1'], cluster => 'other');
give_up($second, 'slow');
give_up($first, 'slow');
is(scalar lines('start', 'slow'), 0, 'nothing is ordered that waits for a latency or its turn');
is(states_of(call($calls, 'state', ['i-1'], cluster => 'slow')), 'i-1=RUNNING', 'nor done');
$first = begin('any', 'off', 'quick', 'i-1', { request_id => 'given' });
wait_until('it is given', sub { lines('start', 'quick') });
give_up($first, 'quick');
is(states_of(call($calls, 'off', ['i-1'], cluster => 'quick', request_id => 'given')),
	'i-1=STOPPED', 'what was given goes on, and is remembered');
is(scalar lines('start', 'quick'), 1, 'it was given once');
is(scalar lines('withdrawn', 'quick'), 0, 'and not withdrawn');
stop_agent($agent);

done_testing();
