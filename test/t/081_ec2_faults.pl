# test/t/081_ec2_faults.pl
#
# The provider ec2 against a cloud that throttles, fails, refuses and lies.

use strict;
use warnings FATAL => 'all';

use IO::Socket::INET;
use PostgreSQL::Test::Utils;
use Test::More;
use CloudTest;
use PowerActionTest;

plan skip_all => 'python3-grpcio or python3-protobuf is not installed'
  if !cloud_tests_possible();

my $dir = PostgreSQL::Test::Utils::tempdir('ec2');

# A certificate for 127.0.0.1, signed by an authority of its own, and another
# for a name that is not ours.
sub openssl
{
	my (@arguments) = @_;

	run_log([ 'openssl', @arguments ]) or die "openssl @arguments failed";
	return;
}

openssl(qw(req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=authority
	  -keyout), "$dir/ca.key", '-out', "$dir/ca.crt");
for my $name ([ 'good', 'IP:127.0.0.1' ], [ 'bad', 'DNS:elsewhere.example' ])
{
	append_to_file("$dir/$name->[0].ext", "subjectAltName=$name->[1]\n");
	openssl(qw(req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=cloud -keyout),
		"$dir/$name->[0].key", '-out', "$dir/$name->[0].csr");
	openssl(qw(x509 -req -days 2 -CAcreateserial -in), "$dir/$name->[0].csr",
		'-CA', "$dir/ca.crt", '-CAkey', "$dir/ca.key", '-extfile',
		"$dir/$name->[0].ext", '-out', "$dir/$name->[0].crt");
}

my $cloud = start_cloud();
my $slow = start_cloud();
my $safe = start_cloud("$dir/good.crt", "$dir/good.key");
my $false = start_cloud("$dir/bad.crt", "$dir/bad.key");

# One that accepts connections and never answers, and one that nobody is at.
my $silent = IO::Socket::INET->new(Listen => 100, LocalAddr => '127.0.0.1')
  or die "socket: $!";
my $closed = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1')
  or die "socket: $!";
my $nobody = $closed->sockport;
close $closed;

sub section
{
	my ($name, $endpoint, $more) = @_;

	return "[$name]\nprovider = ec2\nuser = AK\nkey = SK\nendpoint = $endpoint\n"
	  . "poll_interval = 50ms\nconfirm_wait = 60s\n"
	  . ($more // "max_requests_per_second = 0\n") . "\n";
}

my $accounts = "$dir/accounts.ini";
write_accounts($accounts,
	section('prod', $cloud->{url})
	  . section('narrow', $cloud->{url},
		"max_requests_per_second = 0\nmax_connections = 1\n")
	  . section('slow', $slow->{url})
	  . section('paced', $slow->{url}, "max_requests_per_second = 2\n")
	  . section('silent', 'http://127.0.0.1:' . $silent->sockport,
		"call_timeout = 300ms\n")
	  . section('nobody', "http://127.0.0.1:$nobody")
	  . section('safe', $safe->{url}, "ca_file = $dir/ca.crt\n")
	  . section('unknown', $safe->{url}, "order_timeout = 1s\n")
	  . section('false', $false->{url}, "ca_file = $dir/ca.crt\norder_timeout = 1s\n"));

my $agent = start_agent($dir, '--accounts', $accounts);
my $calls = start_calls($agent);
control($_,
	keys => { AK => 'SK' },
	instances => { map { ("i-000$_" => 'running') } 1 .. 9 })
  for $cloud, $slow, $safe, $false;

# All instances run again, the cloud is well, and has forgotten what was; then
# as the arguments say.
sub recover
{
	control($cloud,
		instances => { map { ("i-000$_" => 'running') } 1 .. 9 },
		faults => [], pending => 0, stopping => 0, latency => 0,
		forget => \1);

	# it is waited for no longer than for one that is well
	call($calls, 'state', ['i-0009']);
	control($cloud, forget => \1, @_);
	return;
}

sub calls_of
{
	my ($action) = @_;

	return grep { $_->{action} eq $action } @{ control($cloud)->{log} };
}

# Throttling

recover(faults => [
		{ action => 'StopInstances', code => 'RequestLimitExceeded', status => 503,
			message => 'Request limit exceeded.', times => 2 },
		{ action => 'DescribeInstances', code => 'Throttling', times => 1 } ],
	stopping => 0.1);
is(states_of(call($calls, 'off', ['i-0001'])),
	'i-0001=STOPPED', 'throttled calls are made again');
my @stops = calls_of('StopInstances');
is(scalar(@stops), 3, 'until they are taken');
cmp_ok($stops[1]{time} - $stops[0]{time}, '>=', 0.1, 'not at once');
cmp_ok($stops[2]{time} - $stops[1]{time}, '>=', 0.2, 'and then later');

recover(faults => [
		{ action => 'StopInstances', code => 'RequestLimitExceeded',
			status => 503, message => 'Request limit exceeded.' } ]);
is( states_of(call($calls, 'off', ['i-0001'], timeout => 2)),
	'RESOURCE_EXHAUSTED RequestLimitExceeded: Request limit exceeded.',
	'until the caller gives up: its text, before the deadline');
recover();
my $left = calls_of('StopInstances');
call($calls, 'state', ['i-0001']);
is(scalar(calls_of('StopInstances')), $left, 'and nothing is sent afterwards');

# A rate of our own

my @sent = send_calls($calls,
	map { { method => 'state', instances => ['i-0001'], account => 'paced', region => "r-$_" } } 1 .. 4);
is(scalar(grep { states_of($_) eq 'i-0001=RUNNING' } take_answers($calls, @sent)),
	4, 'an account with a rate');
my @log = @{ control($slow)->{log} };
cmp_ok($log[3]{time} - $log[0]{time}, '>=', 0.9, 'keeps to it');

# Failures that pass

recover(faults => [
		{ action => 'StopInstances', code => 'InternalError', status => 500, times => 1 },
		{ action => 'StopInstances', drop => \1, times => 1 },
		{ action => 'StopInstances', garbage => '<html>', status => 502, times => 1 } ]);
is(states_of(call($calls, 'off', ['i-0001'])),
	'i-0001=STOPPED', 'failures of the cloud, and lost connections');
recover(faults => [
		{ action => 'StopInstances', drop => \1, times => 1, after => \1 } ]);
is(states_of(call($calls, 'off', ['i-0001'])),
	'i-0001=STOPPED', 'an answer is lost: the order is given again');
recover(faults => [ { action => 'StopInstances', code => 'InternalError',
			message => 'An internal error has occurred', status => 500 } ]);
is( states_of(call($calls, 'off', ['i-0001'])),
	'UNAVAILABLE InternalError: An internal error has occurred',
	'a failure that does not pass');
is(scalar(calls_of('StopInstances')), 4, 'after four calls');
like(states_of(call($calls, 'off', ['i-0001'], account => 'nobody')),
	qr/^UNAVAILABLE could not reach the cloud: Failed to connect to 127.0.0.1/,
	'nobody is there');
like(states_of(call($calls, 'off', ['i-0001'], account => 'silent')),
	qr/^UNAVAILABLE could not reach the cloud: .*timed out/, 'nobody answers');

for my $garbage ('', 'x' x 100_000, '<a', '<other/>',
	'<!DOCTYPE a [<!ENTITY b "c">]><DescribeInstancesResponse><reservationSet/></DescribeInstancesResponse>',
	'<DescribeInstancesResponse><reservationSet><item><instancesSet><item>'
	  . '<instanceId>i-0001 evil</instanceId></item></instancesSet></item></reservationSet></DescribeInstancesResponse>')
{
	recover(faults => [ { action => 'DescribeInstances', garbage => $garbage } ]);
	is( states_of(call($calls, 'state', ['i-0001'])),
		q{UNAVAILABLE the cloud's answer could not be read},
		'garbage: ' . substr($garbage, 0, 20));
}

# Refusals: the cloud's own words

recover(
	instances => { map { ("i-000$_" => 'stopped') } 1 .. 6 },
	faults => [
		{ action => 'StartInstances', code => 'InsufficientInstanceCapacity', status => 500,
			ids => ['i-0003'], message => "We currently do not have sufficient capacity.\n Try again." } ],
	latency => 1);

# The others gather behind the first call of an account with one connection.
@sent = send_calls($calls,
	{ method => 'on', instances => ['i-0009'], account => 'narrow' });
wait_until('a call is under way', sub { control($cloud)->{active} });
push @sent, send_calls($calls,
	map { {
			method => 'on', account => 'narrow',
			instances => [ "i-000$_", 'i-000' . ($_ + 3) ] } } 1 .. 3);
is_deeply(
	[ map { states_of($_) } take_answers($calls, @sent) ],
	[
		'i-0009=RUNNING',
		'i-0001=RUNNING i-0004=RUNNING',
		'i-0002=RUNNING i-0005=RUNNING',
		'InsufficientInstanceCapacity: We currently do not have sufficient capacity.  Try again. (1): '
		  . 'i-0003=STOPPED (InsufficientInstanceCapacity: We currently do not have sufficient capacity.  Try again.) '
		  . 'i-0006=STOPPED (InsufficientInstanceCapacity: We currently do not have sufficient capacity.  Try again.)'
	],
	'a cluster that is refused does not take others with it');
is((map { scalar @{ $_->{ids} } } calls_of('StartInstances'))[1],
	6, 'though they shared a call');

recover(faults => [
		{ action => 'StopInstances', code => 'OperationNotPermitted', ids => ['i-0002'],
			message => "The instance '{id}' may not be stopped." } ]);
is( states_of(call($calls, 'off', [qw(i-0001 i-0002 i-0003)])),
	q{i-0001=STOPPED i-0002=RUNNING (OperationNotPermitted: The instance 'i-0002' may not be stopped.) i-0003=STOPPED},
	'an instance that is refused does not take others with it');

recover(faults => [ { action => 'StopInstances', code => 'Odd',
			message => 'x' . ("\x{fc}" x 3000) } ]);
is(call($calls, 'off', ['i-0001'])->{message},
	'Odd: x' . ("\x{fc}" x 249), 'a long text is cut, between characters');

recover(faults => [
		{ action => 'StopInstances', code => 'UnauthorizedOperation', status => 403,
			message => 'You are not authorized to perform this operation.' } ]);
is( states_of(call($calls, 'off', ['i-0001'])),
	'PERMISSION_DENIED UnauthorizedOperation: You are not authorized to perform this operation.',
	'no right to stop');
recover(faults => [
		{ action => 'DescribeInstances', code => 'UnauthorizedOperation', status => 403 } ],
	stopping => 0.1);
is(states_of(call($calls, 'off', ['i-0001'])),
	'i-0001=STOPPING', 'no right to look: what was ordered is told as such');
is(states_of(call($calls, 'state', ['i-0001'])),
	'PERMISSION_DENIED UnauthorizedOperation', 'and a question fails');
recover(faults => [
		{ action => 'StopInstances', code => 'InvalidInstanceID.NotFound',
			message => 'some of them', times => 1 } ]);
is(states_of(call($calls, 'off', [qw(i-0001 i-00ff)])),
	'i-0001=STOPPED i-00ff=UNKNOWN (no such instance)',
	'missing ones that are not named are found by looking');

# A page that is too old

recover(page => 3, faults => [ { action => 'DescribeInstances', page => \1,
			code => 'InvalidNextToken', times => 1 } ]);
like(states_of(call($calls, 'state', [ map { "i-000$_" } 1 .. 9 ])),
	qr/^(i-\d+=RUNNING ?){9}$/, 'pages that are lost are read anew');
is(join(' ', map { $_->{page} ? 'next' : 'first' } calls_of('DescribeInstances')),
	'first next first next next', 'from the first');
recover(page => 1000);

# An account that hangs is not in another's way

control($slow, latency => 3);
my @hanging = send_calls($calls,
	map { { method => 'off', instances => ["i-000$_"], account => 'slow' } } 1 .. 9);
wait_until('calls hang', sub { control($slow)->{most_active} >= 1 });
is(states_of(call($calls, 'off', ['i-0001'], timeout => 2)),
	'i-0001=STOPPED', 'an account that hangs does not hold up another');
is(scalar(grep { states_of($_) =~ /STOPPED$/ } take_answers($calls, @hanging)),
	9, 'and gets there');

# Certificates

is(states_of(call($calls, 'state', ['i-0001'], account => 'safe')),
	'i-0001=RUNNING', 'a cloud with a certificate of an authority that we know');
like(states_of(call($calls, 'state', ['i-0001'], account => 'unknown')),
	qr/^UNAVAILABLE could not reach the cloud: SSL certificate problem/,
	'of one that we do not know');
like(states_of(call($calls, 'state', ['i-0001'], account => 'false')),
	qr/^UNAVAILABLE could not reach the cloud: SSL: .* does not match|^UNAVAILABLE could not reach the cloud: SSL: no alternative/,
	'for another name');

# The end comes while calls are under way

control($slow, latency => 0.5);
@hanging = send_calls($calls,
	{ method => 'off', instances => ['i-0001'], account => 'slow' });
wait_until('a call is under way', sub { grep { 1 } @{ control($slow)->{log} } });
stop_agent($agent);
unlike(slurp_file($agent->{log}), qr/SK|Sanitizer|drain timeout/,
	'it ends in peace');

done_testing();
