# test/t/083_command.pl
#
# The provider command: what programs are given, what their answers mean, and
# how they end.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use CloudTest;
use PowerActionTest;

plan skip_all => 'python3-grpcio or python3-protobuf is not installed'
  if !cloud_tests_possible();

my $dir = PostgreSQL::Test::Utils::tempdir('command');
my $accounts = "$dir/accounts.ini";

sub write_file
{
	my ($name, $text) = @_;

	open my $file, '>', "$dir/$name.new" or die "$dir/$name.new: $!";
	print $file $text;
	close $file;
	rename "$dir/$name.new", "$dir/$name" or die "$dir/$name: $!";
	return;
}

# The states of the instances, in files.
sub set_states
{
	my (%states) = @_;

	write_file("instances/$_", "$states{$_}\n") for keys %states;
	return;
}

# A piece of shell that the program runs first, for an account.
sub set_trouble
{
	my ($account, $text) = @_;

	write_file("trouble-$account", $text);
	return;
}

# What was run since the last time, a line each.
sub take_log
{
	my $text = -e "$dir/log" ? slurp_file("$dir/log") : '';

	unlink "$dir/log";
	return join '', sort split /^/m, $text;
}

mkdir "$dir/instances";
write_file('fleet', <<'PROGRAM');
#!/bin/sh
dir=${0%/*}
verb=$1
shift
echo "$POWER_ACTION_VERB/$POWER_ACTION_ACCOUNT/$POWER_ACTION_REGION/$POWER_ACTION_CLUSTER $verb $*$MORE" >>"$dir/log"
trouble=$dir/trouble-$POWER_ACTION_ACCOUNT
[ ! -e "$trouble" ] || . "$trouble"
[ $# -gt 0 ] || set -- $(cat)
comma=
printf '{"instances": ['
for instance; do
	state=$dir/instances/$instance
	[ -e "$state" ] || continue
	case $verb in
		start) echo running >"$state" ;;
		stop) echo stopped >"$state" ;;
	esac
	printf '%s{"id": "%s", "state": "%s"}' "$comma" "$instance" "$(cat "$state")"
	comma=,
done
printf ']}'
PROGRAM
chmod 0755, "$dir/fleet";

sub section
{
	my ($name, $text) = @_;

	return "[$name]\nprovider = command\n$text\n";
}

my $all =
    section('prod', "program = $dir/fleet\nkill_after = 200ms")
  . section('words', qq{start = $dir/fleet start "a b" --\nstop = $dir/fleet stop\ndescribe = $dir/fleet describe\nenvironment = "MORE= and more" SECRET=x})
  . section('input', "program = $dir/fleet\ninstances = input")
  . section('quick', "program = $dir/fleet\ntimeout = 300ms\nkill_after = 100ms\nmax_output = 2000")
  . section('narrow', "program = $dir/fleet\nmax_parallel = 3")
  . section('absent', "program = $dir/absent");
write_accounts($accounts, $all);
my $agent = start_agent($dir, '--accounts', $accounts, '--drain-timeout', '100ms');
my $calls = start_calls($agent);

# Orders and states

set_states('i-1' => 'running', 'i-2' => 'running', 'i-3' => 'stopping', 'i-4' => 'terminated');
is(states_of(call($calls, 'off', [qw(i-1 i-2)], cluster => 'web')),
	'i-1=STOPPED i-2=STOPPED', 'stopped');
is(states_of(call($calls, 'on', ['i-1'], cluster => 'web')), 'i-1=RUNNING', 'started');
is( states_of(call($calls, 'state', [qw(i-1 i-2 i-3 i-4 i-5)], cluster => 'web')),
	'i-1=RUNNING i-2=STOPPED i-3=STOPPING i-4=TERMINATED i-5=UNKNOWN (the program did not tell its state)',
	'states');
is(take_log(),
	"describe/prod/eu-west-1/web describe i-1 i-2 i-3 i-4 i-5\n"
	  . "start/prod/eu-west-1/web start i-1\nstop/prod/eu-west-1/web stop i-1 i-2\n",
	'what the program was told');
call($calls, 'on', ['i-1'], account => 'words', cluster => 'web');
is(take_log(), "start/words/eu-west-1/web start a b -- i-1 and more\n",
	'words and variables of the account');
is(states_of(call($calls, 'off', [qw(i-1 i-2)], account => 'input', cluster => 'web')),
	'i-1=STOPPED i-2=STOPPED', 'instances on standard input');
is(take_log(), "stop/input/eu-west-1/web stop \n", 'are no arguments');
my @many = map { "i-none-$_" } 1 .. 5000;
is(states_of(call($calls, 'off', [ @many, 'i-1' ], account => 'input')) =~ s/ ?i-none\S* \(.*?\)//gr,
	'i-1=STOPPED', 'any number of them');

take_log();
is( states_of(call($calls, 'off', [ '--all', '-f', "a\nb", 'i-1' ], cluster => '--all', region => '$(reboot)')),
	join(' ', map { "$_=UNKNOWN (not a valid instance id)" } '--all', '-f', "a\nb")
	  . ' i-1=STOPPED',
	'what could be taken for options is not passed on');
is(take_log(), "stop/prod/\$(reboot)/--all stop i-1\n", 'and no shell sees the rest');
is(states_of(call($calls, 'off', ['--all'])),
	'--all=UNKNOWN (not a valid instance id)', 'nothing but such a one');
is(take_log(), '', 'runs nothing');
is(states_of(call($calls, 'off', ['i-1'], account => 'unknown')),
	'NOT_FOUND this agent has no account "unknown"', 'an unknown account');

# What answers and exit statuses mean

for my $case (
	[ 'exit 64', 'INVALID_ARGUMENT', 'exited with status 64' ],
	[ 'exit 66', 'NOT_FOUND', 'exited with status 66' ],
	[ 'exit 69', 'UNAVAILABLE', 'exited with status 69' ],
	[ 'exit 75', 'UNAVAILABLE', 'exited with status 75' ],
	[ 'exit 77', 'PERMISSION_DENIED', 'exited with status 77' ],
	[ 'exit 78', 'FAILED_PRECONDITION', 'exited with status 78' ],
	[ 'exit 1', 'UNKNOWN', 'exited with status 1' ],
	[ 'echo "more"; printf "a\nb\n" >&2; exit 1', 'UNKNOWN', 'exited with status 1: a b' ],
	[ 'kill -KILL $$', 'UNKNOWN', 'was ended by signal 9 (Killed)' ],
	[ 'exit 0', 'UNKNOWN', 'did not print the states as it has to: it printed nothing' ],
	[ 'echo {}; exit', 'UNKNOWN', 'did not print the states as it has to: it has neither "instances" nor an "error"' ],
	[ 'yes; exit', 'UNKNOWN', 'was killed because it printed more than 2000 bytes' ])
{
	my ($trouble, $status, $text) = @$case;

	set_trouble('quick', $trouble);
	is(states_of(call($calls, 'off', ['i-1'], account => 'quick')),
		qq($status program "$dir/fleet" $text), $trouble);
}
set_trouble('quick', q{echo '{"error": 17, "message": "locked", "instances": [{"id": "i-1", "state": "running"}]}'; exit});
is(states_of(call($calls, 'off', ['i-1'], account => 'quick')),
	'locked (17): i-1=RUNNING', 'an error of the program');
is(states_of(call($calls, 'off', ['i-1'], account => 'absent')),
	qq(FAILED_PRECONDITION program "$dir/absent" could not be started: No such file or directory),
	'a program that is not there');
chmod 0600, "$dir/fleet";
is(states_of(call($calls, 'off', ['i-1'])),
	qq(FAILED_PRECONDITION program "$dir/fleet" could not be started: Permission denied),
	'or that may not be run');
chmod 0755, "$dir/fleet";

# Time

# Gone, or a zombie that nobody has looked at yet.
sub is_gone
{
	my ($pid) = @_;

	open my $file, '<', "/proc/$pid/stat" or return 1;
	my $line = <$file> // return 1;
	return $line =~ /\) [ZX]/;
}

# The process that a trouble has left its number of in this file.
sub pid_in
{
	my ($name) = @_;

	wait_until("there is $name", sub { -s "$dir/$name" });
	my $pid = slurp_file("$dir/$name");
	unlink "$dir/$name";
	return 0 + $pid;
}

my $sleep = qq{trap '' TERM; (trap '' TERM; exec sleep 600) & echo \$! >$dir/pid.new; mv $dir/pid.new $dir/pid; wait; sleep 600};
set_trouble('quick', $sleep);
my ($slow) = send_calls($calls, { method => 'off', account => 'quick', instances => ['i-1'] });
my $pid = pid_in('pid');
is(states_of(call($calls, 'off', ['i-2'])), 'i-2=STOPPED', 'another account goes on');
is(states_of(take_answers($calls, $slow)),
	qq(UNAVAILABLE program "$dir/fleet" took too long and was killed), 'a program that hangs');
wait_until('its child is gone', sub { is_gone($pid) });
pass('is killed with all that it has started');

set_trouble('prod', $sleep);
($slow) = send_calls($calls,
	{ method => 'state', instances => ['i-1'], timeout => 1 });
$pid = pid_in('pid');
is(take_answers($calls, $slow)->{status}, 'DEADLINE_EXCEEDED', 'a question that nobody waits for');
wait_until('it is killed', sub { is_gone($pid) });
pass('ends');

unlink "$dir/trouble-prod";
take_log();
set_trouble('prod', "until [ -e $dir/go ]; do sleep 0.05; done");
($slow) = send_calls($calls,
	{ method => 'on', instances => ['i-1'], timeout => 1, cluster => 'x', request_id => 'one' });
is(take_answers($calls, $slow)->{status}, 'DEADLINE_EXCEEDED', 'an order that nobody waits for');
write_file('go', '');
is( states_of(call($calls, 'on', ['i-1'], cluster => 'x', request_id => 'one')),
	'i-1=RUNNING', 'is carried to its end');
is(take_log(), "start/prod/eu-west-1/x start i-1\n", 'once');
unlink "$dir/go", "$dir/trouble-prod";

# Many at once, but not more than the account wants

mkdir "$dir/present";
set_trouble('narrow', "touch $dir/present/\$\$; ls $dir/present | wc -l >>$dir/peak; until [ -e $dir/go ]; do sleep 0.05; done; rm $dir/present/\$\$");
my @sent = send_calls($calls,
	map { { method => 'off', account => 'narrow', instances => ["i-$_"] } } 1 .. 9);
wait_until('three run', sub { my @present = glob "$dir/present/*"; @present == 3 });
is(states_of(call($calls, 'state', ['i-1'])), 'i-1=RUNNING', 'others do not wait for them');
write_file('go', '');
is(scalar(grep { $_->{status} eq 'OK' } take_answers($calls, @sent)), 9, 'nine in all');
my ($peak) = sort { $b <=> $a } split ' ', slurp_file("$dir/peak");
is($peak, 3, 'three at a time');
unlink "$dir/go";

# The end

set_trouble('prod', $sleep =~ s/trap '' TERM; \(/(/r);
send_calls($calls, { method => 'off', instances => ['i-1'] });
$pid = pid_in('pid');
stop_agent($agent);
ok(is_gone($pid), 'the agent leaves no program behind');

# Configuration

sub check_config
{
	my ($text) = @_;

	write_accounts("$dir/checked.ini", "[a]\nprovider = command\n$text");
	my ($out, $err) = run_command(
		[ 'power_agent', '--accounts', "$dir/checked.ini", '--check-config' ]);
	return "$out$err" =~ s/power_agent: \Q$dir\E\/checked.ini//gr;
}

is(check_config("program = /bin/true\nenvironment = A=1 \"B=2 3\" C=\n"), 'OK', 'a good file');
is( check_config("start = /bin/true\n"),
	qq{:1: section [a] has no key "stop", and no "program" for everything\n}
	  . qq{:1: section [a] has no key "describe", and no "program" for everything},
	'programs that are missing');
is(check_config("program = /bin/true\nstop = /bin/false\n"),
	':4: key "stop" does not go with key "program"', 'too many programs');
is(check_config("program = virsh\n"),
	':3: invalid value of key "program": "virsh" is not the path of a program from /', 'no path');
is(check_config("program = /bin/true \"a\n"),
	':3: invalid value of key "program": a double quote is not closed', 'an open quote');
is(check_config("program = /bin/true\nenvironment = A=1 hunter2\n"),
	':4: invalid value of key "environment": word 2 is not NAME=value', 'no variable');
is(check_config("program = /bin/true\nenvironment = POWER_ACTION_VERB=x\n"),
	':4: invalid value of key "environment": variable POWER_ACTION_VERB is the agent\'s own',
	'one of ours');
is(check_config("program = /bin/true\ninstances = files\n"),
	':4: invalid value "files" of key "instances": valid are arguments input', 'a choice');

done_testing();
