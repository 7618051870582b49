# test/t/080_ec2.pl
#
# The provider ec2 against a cloud that checks everything: orders, states,
# pages and batches, signatures and keys.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use CloudTest;
use PowerActionTest;

plan skip_all => 'python3-grpcio or python3-protobuf is not installed'
  if !cloud_tests_possible();

my $dir = PostgreSQL::Test::Utils::tempdir('ec2');
my $accounts = "$dir/accounts.ini";
my $cloud = start_cloud();
my $other = start_cloud();

# The keys of an account, quick and patient.
sub section
{
	my ($name, $text, $of) = @_;

	my $quick = "confirm_wait = 60s\npoll_interval = 50ms\nmax_requests_per_second = 0\n";

	$quick =~ s/^$1.*\n//m while $text =~ /^(\w+) =/mg;
	return "[$name]\nprovider = aws\nendpoint = " . ($of // $cloud)->{url}
	  . "\n$quick$text\n";
}

my $prod = section('prod', "user = AKPROD\nkey = secret/of+prod");
$ENV{AWS_ACCESS_KEY_ID} = 'AKENV';
$ENV{AWS_SECRET_ACCESS_KEY} = 'secret of the environment';
$ENV{AWS_SESSION_TOKEN} = 'a+long/token==';
my $all = $prod
  . section('at once', "user = AKPROD\nkey = secret/of+prod\nconfirm_wait = 0")
  . section('wrong key', "user = AKPROD\nkey = wrong")
  . section('environment', 'credentials = environment', $other)
  . section('shared', "credentials = shared\ncredentials_file = $dir/credentials\nprofile = fleet", $other)
  . section('machine', "credentials = imds\nimds_endpoint = $other->{url}", $other)
  . section('small', "user = AKPROD\nkey = secret/of+prod\nmax_instances_per_call = 5\nmax_connections = 2")
  . section('narrow', "user = AKPROD\nkey = secret/of+prod\nmax_connections = 1")
  . section('home', "user = AKPROD\nkey = secret/of+prod\nregion = ap-south-2");
write_accounts($accounts, $all);

my $agent = start_agent($dir, '--accounts', $accounts);
my $calls = start_calls($agent);

control($cloud,
	keys => { AKPROD => 'secret/of+prod' },
	instances => {
		'i-0001' => 'running', 'i-0002' => 'running', 'i-0003' => 'stopped',
		'i-dead' => 'terminated', 'i-d1e0' => 'shutting-down'
	});

# Orders and states

is(states_of(call($calls, 'off', [qw(i-0001 i-0002 i-0003)])),
	'i-0001=STOPPED i-0002=STOPPED i-0003=STOPPED', 'stopped');
is(states_of(call($calls, 'on', [qw(i-0001 i-0002)])),
	'i-0001=RUNNING i-0002=RUNNING', 'started');
is( states_of(call($calls, 'state', [qw(i-0001 i-0003 i-dead i-d1e0 i-ffff)])),
	'i-0001=RUNNING i-0003=STOPPED i-d1e0=STOPPING i-dead=TERMINATED i-ffff=UNKNOWN (no such instance)',
	'states');

# Moving is told as moving, and waited for

control($cloud, pending => 0.3, stopping => 0.3, forget => \1);
is(states_of(call($calls, 'off', [qw(i-0001 i-0002)], account => 'at once')),
	'i-0001=STOPPING i-0002=STOPPING', 'an order is not done when it is taken');
is( scalar(@{ control($cloud)->{log} }), 1,
	'without confirm_wait nothing is asked');
is(states_of(call($calls, 'off', [qw(i-0001 i-0002)])),
	'i-0001=STOPPED i-0002=STOPPED', 'and is waited for');
is(states_of(call($calls, 'on', [qw(i-0001 i-0002)])),
	'i-0001=RUNNING i-0002=RUNNING', 'so is a start');

# Describe may be behind: what it says of the time before the order counts
# neither for nor against it.
control($cloud, lag => 0.4);
is(states_of(call($calls, 'off', [qw(i-0001 i-0002)])),
	'i-0001=STOPPED i-0002=STOPPED', 'a view that is behind is not believed');
is(states_of(call($calls, 'on', [qw(i-0001 i-0002)])),
	'i-0001=RUNNING i-0002=RUNNING', 'and leaves no order out');
control($cloud, lag => 0);

# What cannot follow does not hold up the others

control($cloud, forget => \1);
is( states_of(call($calls, 'off', [qw(i-0001 i-ffff i-dead i-d1e0 i-0002 i-fffe x*)])),
	'i-0001=STOPPED i-0002=STOPPED i-d1e0=STOPPING (the instance is being terminated) '
	  . 'i-dead=TERMINATED (the instance is terminated) '
	  . q{i-fffe=UNKNOWN (InvalidInstanceID.NotFound: The instance IDs 'i-ffff, i-fffe' do not exist) }
	  . q{i-ffff=UNKNOWN (InvalidInstanceID.NotFound: The instance IDs 'i-ffff, i-fffe' do not exist) }
	  . 'x*=UNKNOWN (not a valid instance id)',
	'missing and terminated instances');
is(scalar(grep { grep { /\*/ } @{ $_->{ids} } } @{ control($cloud)->{log} }),
	0, 'what would be a wildcard is not sent');
is( states_of(call($calls, 'on', [qw(i-0001 i-zzzz)])),
	'i-0001=RUNNING i-zzzz=UNKNOWN (InvalidInstanceID.Malformed: Invalid id: "i-zzzz")',
	'a malformed id');

is(states_of(call($calls, 'off', [qw(i-0002 i-0003 i-0002)])),
	'i-0002=STOPPED i-0003=STOPPED', 'an instance that is named twice');

control($cloud,
	instances => { 'i-0001' => 'pending', 'i-0002' => 'running' },
	forget => \1);
my ($stop) = send_calls($calls,
	{ method => 'off', instances => [qw(i-0001 i-0002)] });
wait_until('the stop was refused for an instance that starts',
	sub { grep { ($_->{fault} // '') eq 'IncorrectInstanceState' } @{ control($cloud)->{log} } });
wait_until('the other has stopped',
	sub { control($cloud)->{instances}{'i-0002'} eq 'stopped' });
control($cloud, instances => { 'i-0001' => 'running' });
is(states_of(take_answers($calls, $stop)),
	'i-0001=STOPPED i-0002=STOPPED', 'a stop waits for a start to end');

control($cloud, instances => { 'i-0001' => 'pending', 'i-0002' => 'running' });
like( states_of(call($calls, 'off', [qw(i-0001)], timeout => 2)),
	qr/^ABORTED IncorrectInstanceState: The instance 'i-0001' is not in a state/,
	'if it does not end in time nothing was ordered, and it may be repeated');
like( states_of(call($calls, 'off', [qw(i-0001 i-0002)], timeout => 2)),
	qr/^UNAVAILABLE IncorrectInstanceState: /,
	'the same if a part was ordered: not nothing');

# A start that fails after it was taken
control($cloud, instances => { 'i-0001' => 'stopped' }, pending => 30);
my ($start) = send_calls($calls, { method => 'on', instances => ['i-0001'] });
wait_until('it starts',
	sub { control($cloud)->{instances}{'i-0001'} eq 'pending' });
control($cloud,
	instances => {
		'i-0001' => 'stopped:Server.InsufficientInstanceCapacity|There is no capacity'
	});
is(states_of(take_answers($calls, $start)),
	'i-0001=STOPPED (There is no capacity)',
	'one that falls back is told with the reason');
control($cloud, pending => 0, stopping => 0);

# Pages and batches

my %many = map { (sprintf('i-%04x', 0x1000 + $_) => 'running') } 0 .. 449;
my @ids = sort keys %many;
control($cloud, instances => \%many, page => 37, forget => \1);
my $answer = call($calls, 'state', [ @ids, 'i-ffff' ]);
is(scalar(grep { $_->[0] eq 'RUNNING' } values %{ $answer->{states} }),
	450, 'all instances of many pages');
my $log = control($cloud)->{log};
is(scalar(grep { !$_->{page} } @$log), 3, 'in three calls of 200 at the most');
is(scalar(grep { $_->{page} } @$log), 11, 'and their further pages');
control($cloud, page => 1000, forget => \1);
$answer = call($calls, 'off', \@ids);
is(scalar(grep { $_->[0] eq 'STOPPED' } values %{ $answer->{states} }),
	450, 'all are stopped');
is( join(' ', sort { $b <=> $a }
		  map { scalar @{ $_->{ids} } } @{ control($cloud)->{log} }),
	'100 100 100 100 50', 'by 100');
control($cloud, latency => 0.1, forget => \1);
$answer = call($calls, 'on', [ @ids[ 0 .. 29 ] ], account => 'small');
is(scalar(grep { $_->[0] eq 'RUNNING' } values %{ $answer->{states} }),
	30, 'all are started');
my $told = control($cloud);
is(join(' ', map { scalar @{ $_->{ids} } } @{ $told->{log} }),
	'5 5 5 5 5 5', 'by as many as the account wants');
is($told->{most_active}, 2, 'in as many calls at once');

# Clusters share calls: 60 clusters of 6, over one connection
control($cloud, stopping => 0.3, latency => 0.3, forget => \1);
my @sent = send_calls($calls,
	map {
		{
			method => 'off',
			account => 'narrow',
			instances => [ @ids[ 6 * $_ .. 6 * $_ + 5 ] ]
		}
	} 0 .. 59);
is( scalar(grep { states_of($_) =~ /^(i-\w+=STOPPED ?){6}$/ }
		  take_answers($calls, @sent)),
	60, '60 clusters at once');
$log = control($cloud)->{log};
cmp_ok(scalar(grep { $_->{action} eq 'StopInstances' } @$log),
	'<', 20, 'share the calls that stop them');
cmp_ok(scalar(grep { $_->{action} eq 'DescribeInstances' } @$log),
	'<', 20, 'and those that look at them');
control($cloud, latency => 0, stopping => 0);

# Regions

control($cloud, instances => { 'i-0001' => 'running' }, forget => \1);
call($calls, 'state', ['i-0001'], region => 'us-gov-west-1');
call($calls, 'state', ['i-0001'], region => '', account => 'home');
is(join(' ', map { $_->{region} } @{ control($cloud)->{log} }),
	'us-gov-west-1 ap-south-2', 'the region of the request, or the account');
is( states_of(call($calls, 'state', ['i-0001'], region => 'Eu.evil/x')),
	'INVALID_ARGUMENT invalid region "Eu.evil/x": valid are a-z, 0-9 and -',
	'a region that is none');
like(states_of(call($calls, 'state', ['i-0001'], region => '')),
	qr/^INVALID_ARGUMENT the request has no region/, 'no region');
is(states_of(call($calls, 'state', ['i-0001'], account => 'unknown')),
	'NOT_FOUND this agent has no account "unknown"', 'an unknown account');

# more regions than are remembered
@sent = send_calls($calls,
	map { { method => 'state', instances => ['i-0001'], region => "r-$_" } } 1 .. 200);
is(scalar(grep { states_of($_) eq 'i-0001=RUNNING' } take_answers($calls, @sent)),
	200, 'any number of regions');

# Signatures, keys and clocks

is( states_of(call($calls, 'off', ['i-0001'], account => 'wrong key')),
	'UNAUTHENTICATED SignatureDoesNotMatch: The request signature we calculated does not match',
	'a wrong key');
is(control($cloud)->{instances}{'i-0001'}, 'running', 'does nothing');
control($cloud, clock => 5000);
is(states_of(call($calls, 'state', ['i-0001'])),
	'i-0001=RUNNING', 'a clock that is wrong is set by the answer');
control($cloud, clock => -5000);
is(states_of(call($calls, 'state', ['i-0001'])), 'i-0001=RUNNING', 'again');
control($cloud, clock => 0);
is(states_of(call($calls, 'state', ['i-0001'])), 'i-0001=RUNNING', 'and back');

control($other,
	keys => { AKENV => 'secret of the environment' },
	token => 'a+long/token==',
	instances => { 'i-0001' => 'running' });
is(states_of(call($calls, 'state', ['i-0001'], account => 'environment')),
	'i-0001=RUNNING', 'keys of the environment, with a session token');

my $token = join '', map { chr(ord('a') + $_ % 26) } 1 .. 900;
write_accounts("$dir/credentials",
	"[default]\naws_access_key_id = AKDEFAULT\n[fleet]\naws_access_key_id = AKSHARED\n"
	  . "aws_secret_access_key = shared/secret\naws_session_token = $token\nregion = x\n");
control($other, keys => { AKSHARED => 'shared/secret' }, token => $token);
is(states_of(call($calls, 'state', ['i-0001'], account => 'shared')),
	'i-0001=RUNNING', 'keys of the shared credentials file, with a long token');
write_accounts("$dir/credentials",
	"[fleet]\naws_access_key_id = AKNEW\naws_secret_access_key = new/secret\n");
control($other, keys => { AKNEW => 'new/secret' }, token => undef);
is(states_of(call($calls, 'state', ['i-0001'], account => 'shared')),
	'i-0001=RUNNING', 'which is read again when it changes');
chmod 0644, "$dir/credentials";
utime 1, 1, "$dir/credentials";
write_accounts("$dir/credentials", "[other]\n");
is(states_of(call($calls, 'state', ['i-0001'], account => 'shared')),
	'i-0001=RUNNING', 'keys that were good are kept if the file is not');

like( states_of(call($calls, 'state', ['i-0001'], account => 'machine')),
	qr/^UNAVAILABLE instance metadata service: this machine has no role/,
	'a machine without a role');
control($other,
	role => 'fleet-role',
	role_keys => [ 'AKROLE', 'role/secret', 'role-token' ],
	role_life => 3600,
	keys => { AKROLE => 'role/secret' },
	token => 'role-token',
	forget => \1);
wait_until('the role is asked for again',
	sub { states_of(call($calls, 'state', ['i-0001'], account => 'machine')) eq 'i-0001=RUNNING' });
pass('keys of the instance metadata service');
call($calls, 'state', ['i-0001'], account => 'machine');
is(scalar(grep { $_->{action} eq 'role' } @{ control($other)->{log} }),
	1, 'are asked for once');
control($other,
	role_keys => [ 'AKROLE2', 'role/secret2', 'role-token2' ],
	keys => { AKROLE2 => 'role/secret2' },
	token => 'role-token2',
	role_life => 200);
is(states_of(call($calls, 'state', ['i-0001'], account => 'machine')),
	'i-0001=RUNNING', 'and again when the cloud does not take them any more');
control($other, role_life => 3600, forget => \1);
wait_until(
	'they are asked for again',
	sub {
		call($calls, 'state', ['i-0001'], account => 'machine');
		return grep { $_->{action} eq 'role' } @{ control($other)->{log} };
	});
pass('before they expire');

# The accounts file is read again

write_accounts($accounts, $prod . "junk\n");
kill HUP => $agent->{pid};
wait_until('a bad file is reported',
	sub { slurp_file($agent->{log}) =~ /accounts\.ini:\d+: expected a \[section\]/ });
is(states_of(call($calls, 'state', ['i-0001'])),
	'i-0001=RUNNING', 'a bad file changes nothing');
write_accounts($accounts,
	section('prod', "user = AKNEXT\nkey = next")
	  . section('*', "user = AKREST\nkey = rest"));
control($cloud,
	keys => { AKNEXT => 'next', AKREST => 'rest' },
	forget => \1);
kill HUP => $agent->{pid};
wait_until('the file was read',
	sub { slurp_file($agent->{log}) =~ /was loaded: 2 accounts/ });
is(states_of(call($calls, 'state', ['i-0001'])), 'i-0001=RUNNING', 'new keys');
is(states_of(call($calls, 'state', ['i-0001'], account => 'unknown')),
	'i-0001=RUNNING', 'and [*] for all others');
is(join(' ', map { $_->{key} } @{ control($cloud)->{log} }),
	'AKNEXT AKREST', 'each with its own');

stop_agent($agent);
unlike(
	slurp_file($agent->{log}),
	qr/secret|Signature=|role-token|\Q$token\E/,
	'no secret is in what the agent wrote');

# Configuration

sub check_config
{
	my ($text) = @_;

	write_accounts("$dir/checked.ini", $text);
	my ($out, $err) = run_command(
		[ 'power_agent', '--accounts', "$dir/checked.ini", '--check-config' ]);
	return "$out$err" =~ s/power_agent: \Q$dir\E\///gr;
}

is(check_config($all), 'OK', 'check-config of a good file');
is( check_config("[a]\nprovider = ec2\n"),
	"checked.ini:1: section [a] has no key \"user\", and no \"credentials\" that says where else keys are\n"
	  . 'checked.ini:1: section [a] has no key "key", and no "credentials" that says where else keys are',
	'no keys');
is( check_config("[a]\nprovider = ec2\ncredentials = imds\nuser = u\nprofile = p\n"),
	"checked.ini:4: key \"user\" is only for credentials = file\n"
	  . 'checked.ini:5: key "profile" is only for credentials = shared',
	'keys that nothing looks at');
for my $endpoint ('ftp://x', 'https://', 'https://u@h', 'https://{zone}.x',
	'https://{region}.{region}', 'https://h?x', 'ec2.amazonaws.com')
{
	like(
		check_config("[a]\nprovider = ec2\ncredentials = imds\nendpoint = $endpoint\n"),
		qr/^checked.ini:4: invalid endpoint/,
		"endpoint $endpoint");
}
like(
	check_config("[a]\nprovider = ec2\ncredentials = imds\nendpoint = http://10.0.0.1:80\n"),
	qr/^checked.ini:4: .* must begin with https/,
	'not in clear to others');
like(
	check_config("[a]\nprovider = ec2\ncredentials = imds\nregion = EU\n"),
	qr/^checked.ini:4: invalid region "EU"/, 'a region');

done_testing();
