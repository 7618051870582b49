# test/t/087_agent_metrics.pl
#
# What power_agent tells of itself: metrics over HTTP, and the log of actions.
# Needs no server.

use strict;
use warnings FATAL => 'all';

use Fcntl;
use HTTP::Tiny;
use IO::Socket::INET;
use IPC::Run ();
use JSON::PP ();
use POSIX qw(mkfifo);
use PostgreSQL::Test::Utils;
use Test::More;
use CloudTest;
use PowerActionTest;

plan skip_all => 'python3-grpcio or python3-protobuf is not installed'
  if !cloud_tests_possible();

my $dir = PostgreSQL::Test::Utils::tempdir('metrics');
my $http = HTTP::Tiny->new(timeout => 60);

# ----------------------------------------------------------------------
# Helpers
# ----------------------------------------------------------------------

# An agent with metrics; its key "metrics" is where they are.
sub start_metered_agent
{
	my (@flags) = @_;
	my $agent = start_agent($dir, '--metrics', '127.0.0.1:0',
		'--log', "$dir/calls", '--log-sync', @flags);

	($agent->{metrics}) =
	  slurp_file($agent->{log}) =~ m{^power_agent: metrics on (http://127\.0\.0\.1:\d+/metrics)$}m
	  or die 'the agent does not tell where its metrics are';
	return $agent;
}

my $name = qr/[a-zA-Z_:][a-zA-Z0-9_:]*/;
my $label = qr/[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"/;
my $value = qr/-?\d+(?:\.\d+)?/;

# Reads the text as a strict parser does.  Returns the samples, by name and
# labels as they stand there; dies of anything that should not be there.
sub parse
{
	my ($text) = @_;
	my (%samples, %type, %help, $family);

	die "the last line has no end\n" if $text !~ /\n\z/;
	for (split /\n/, $text)
	{
		if (/^# HELP ($name) \S.*$/)
		{
			die "second HELP: $_\n" if $help{$1}++;
			$family = $1;
			next;
		}
		if (/^# TYPE ($name) (counter|gauge|histogram)$/)
		{
			my ($metric, $type) = ($1, $2);
			die "TYPE without HELP, or twice: $_\n"
			  if $metric ne $family || $type{$metric};
			die "a counter without _total, or with: $_\n"
			  if ($type eq 'counter') != ($metric =~ /_total$/);
			$type{$metric} = $type;
			next;
		}
		die "not a sample: $_\n" if !/^(($name)(?:\{$label(?:,$label)*\})?) ($value)$/;
		my ($sample, $metric, $number) = ($1, $2, $3);
		$metric =~ s/_(?:bucket|sum|count)$// if $type{$family} eq 'histogram';
		die "not of the family $family: $_\n" if $metric ne $family || !$type{$family};
		die "negative: $_\n" if $number < 0;
		die "twice: $_\n" if exists $samples{$sample};
		$samples{$sample} = $number;
	}
	for my $bucket (grep { /_bucket\{.*le="\+Inf"/ } keys %samples)
	{
		my $count = $bucket =~ s/_bucket/_count/r =~ s/,?le="[^"]*"//r =~ s/\{\}//r;
		die "$bucket is not $count\n" if $samples{$bucket} != $samples{$count};
	}
	return \%samples;
}

sub scrape
{
	my ($agent) = @_;
	my $answer = $http->get($agent->{metrics});

	die "scrape: $answer->{status} $answer->{content}" if $answer->{status} != 200;
	return parse($answer->{content});
}

# Samples of these names are as told, soon: a call's end is counted when it is
# answered, but what comes after its end may be counted after the answer.
sub has_samples
{
	my ($agent, $test, %expected) = @_;
	my $samples;

	eval {
		wait_until(
			$test,
			sub {
				$samples = scrape($agent);
				return !grep { ($samples->{$_} // 'none') ne $expected{$_} } keys %expected;
			});
	};
	is_deeply({ map { $_ => $samples->{$_} // 'none' } keys %expected }, \%expected, $test)
	  or diag($@);
	return;
}

sub calls_total
{
	my ($method, $code) = @_;

	return qq(power_agent_calls_total{method="$method",code="$code"});
}

# Lines of the log, by event and cluster.
sub log_lines
{
	my ($event, $cluster) = @_;

	return grep { $_->{event} eq $event && $_->{cluster_id} eq $cluster }
	  map { JSON::PP::decode_json($_) } slurp_file("$dir/calls") =~ /(.*)\n/g;
}

# ----------------------------------------------------------------------
# Where
# ----------------------------------------------------------------------

for my $address ('0.0.0.0:0', '10.0.0.1:0', 'localhost:0', '[::]:0')
{
	my $errors = '';
	my $done = IPC::Run::run(
		[ 'power_agent', '--listen', "unix:$dir/refused", '--metrics', $address ],
		'<', \undef, '>', \my $output, '2>', \$errors,
		IPC::Run::timeout(60));
	ok(!$done && $errors =~ /^power_agent: --metrics: .*127\.0\.0\.0\/8.*\[::1\]/,
		"not on $address")
	  or diag($errors);
}

my $token = 'secret-secret-secret-secret';
append_to_file("$dir/tokens", "$token\n");
chmod 0600, "$dir/tokens";
append_to_file("$dir/rules", "broken any status=UNAVAILABLE\nslow off latency=1h\n");
my $agent = start_metered_agent('--token-file', "$dir/tokens",
	'--behaviour', "$dir/rules", '--state', "$dir/state");

{
	my ($place) = $agent->{metrics} =~ m{//(.*)/};
	my $errors = '';
	my $done = IPC::Run::run(
		[ 'power_agent', '--listen', "unix:$dir/second", '--metrics', $place ],
		'<', \undef, '>', \my $output, '2>', \$errors,
		IPC::Run::timeout(60));
	ok(!$done && $errors =~ /could not listen on \Q$place\E for --metrics: Address already in use/,
		'a port that is taken')
	  or diag($errors);
}

{
	my $answer = $http->get($agent->{metrics});

	is($answer->{status}, 200, 'the metrics are there');
	is($answer->{headers}{'content-type'},
		'text/plain; version=0.0.4; charset=utf-8', 'their type');
	my $samples = parse($answer->{content});
	my ($build) = grep { /^power_agent_build_info\{version="1\.0",grpc_version="\d/ } keys %$samples;
	is($samples->{$build}, 1, 'build info');
	cmp_ok(abs(time - $samples->{process_start_time_seconds}), '<', 600,
		'when it started');
	cmp_ok($samples->{process_resident_memory_bytes}, '>', 1_000_000, 'memory');
	cmp_ok($samples->{process_open_fds}, '>', 3, 'file descriptors');
	cmp_ok($samples->{process_cpu_seconds_total}, '>', 0, 'processor time');
	my $head = $http->head($agent->{metrics});
	is($head->{status} . ($head->{content} // ''), 200, 'HEAD');
	is($http->get("$agent->{metrics}?x=1")->{status}, 200, 'a query means nothing');
	is($http->get($agent->{metrics} =~ s/metrics$//r)->{status}, 404, 'another path');
	is($http->get("$agent->{metrics}/x")->{status}, 404, 'a path below');
	for my $method (qw(POST PUT DELETE OPTIONS))
	{
		my $refused = $http->request($method, $agent->{metrics});
		is($refused->{status} . ' ' . ($refused->{headers}{allow} // ''),
			'405 GET, HEAD', $method);
	}
}

# ----------------------------------------------------------------------
# Calls and orders
# ----------------------------------------------------------------------

my $client = CloudTest::start_process('/usr/bin/python3', "$CloudTest::here/agent_client.py");

sub command
{
	my (%command) = @_;

	$client->{input} .= JSON::PP::encode_json(\%command) . "\n";
	return JSON::PP::decode_json(CloudTest::next_line($client, "the client does $command{do}"));
}

# Starts a call.
sub begin
{
	my ($call, $method, $cluster, %more) = @_;

	command(
		do => 'begin', call => $call, channel => 'main',
		method => "/agent.AgentService/$method",
		cluster => $cluster, token => $token, %more);
	return;
}

# Makes a call; returns its code.
sub code
{
	my (@call) = @_;

	begin('one', @call);
	return command(do => 'end', call => 'one')->{code};
}

command(do => 'open', channel => 'main', target => $agent->{target});

my @numbered = (source => 's', request_id => 'r-1', order => [ 1, 1, 2 ]);
is(code('PowerOnCluster', 'c-1', @numbered), 'OK', 'an order');
is(code('PowerOnCluster', 'c-1', @numbered), 'OK', 'the same again');
is(code('PowerOffCluster', 'c-1', @numbered, request_id => 'r-0', order => [ 1, 1, 1 ]),
	'FAILED_PRECONDITION', 'a stale order');
is(code('PowerOffCluster', 'c-1', request_id => 'r-1'), 'INVALID_ARGUMENT', 'an id of another');
is(code('GetClusterPowerState', 'c-1'), 'OK', 'a question');
is(code('PowerOnCluster', 'broken', request_id => 'r-2'), 'UNAVAILABLE', 'a failure');
is(code('PowerOnCluster', 'c-1', token => 'x'), 'UNAUTHENTICATED', 'a wrong token');
is(code('NoMethod', 'c-1'), 'UNIMPLEMENTED', 'no method');
is(command(do => 'health', channel => 'main', service => '')->{code}, 'OK', 'health');

begin('first', 'PowerOffCluster', 'slow', request_id => 'r-3');
begin('second', 'PowerOffCluster', 'slow', request_id => 'r-3');
has_samples(
	$agent,
	'while calls are under way',
	'power_agent_calls_in_flight{method="PowerOffCluster"}' => 2,
	'power_agent_ledger_orders_total{verdict="running"}' => 1);
command(do => 'cancel', call => $_) for qw(first second);

has_samples(
	$agent,
	'counts of calls and orders',
	calls_total('PowerOnCluster', 'OK') => 2,
	calls_total('PowerOnCluster', 'UNAVAILABLE') => 1,
	calls_total('PowerOnCluster', 'UNAUTHENTICATED') => 1,
	calls_total('PowerOffCluster', 'FAILED_PRECONDITION') => 1,
	calls_total('PowerOffCluster', 'INVALID_ARGUMENT') => 1,
	calls_total('PowerOffCluster', 'CANCELLED') => 2,
	calls_total('PowerOffCluster', 'OK') => 0,
	calls_total('GetClusterPowerState', 'OK') => 1,
	calls_total('unknown', 'UNIMPLEMENTED') => 1,
	calls_total('HealthCheck', 'OK') => 1,
	'power_agent_call_duration_seconds_count{method="PowerOnCluster"}' => 4,
	'power_agent_call_duration_seconds_count{method="PowerOffCluster"}' => 4,
	'power_agent_calls_in_flight{method="PowerOnCluster"}' => 0,
	'power_agent_calls_in_flight{method="PowerOffCluster"}' => 0,
	'power_agent_ledger_orders_total{verdict="new"}' => 2,
	'power_agent_ledger_orders_total{verdict="answered"}' => 1,
	'power_agent_ledger_orders_total{verdict="stale"}' => 1,
	'power_agent_ledger_orders_total{verdict="conflict"}' => 1,
	'power_agent_provider_requests_total{provider="simulated",verb="start",outcome="OK"}' => 1,
	'power_agent_provider_requests_total{provider="simulated",verb="describe",outcome="OK"}' => 1,
	'power_agent_provider_requests_total{provider="simulated",verb="stop",outcome="OK"}' => 'none',
	'power_agent_provider_request_duration_seconds_count{provider="simulated",verb="start"}' => 1,
	'power_agent_provider_requests_in_flight{provider="simulated"}' => 0,
	'power_agent_token_refusals_total' => 1,
	'power_agent_state_commit_failures_total' => 0);
cmp_ok(scrape($agent)->{power_agent_state_commit_duration_seconds_count},
	'>=', 2, 'transactions on the state file');

# ----------------------------------------------------------------------
# Scrapers that do harm
# ----------------------------------------------------------------------

{
	my ($port) = $agent->{metrics} =~ /:(\d+)/;
	my @silent;
	my $before = scrape($agent)->{process_open_fds};

	# each with half a request, far more than there is room for
	for (1 .. 30)
	{
		my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port,
			Timeout => 60) or last;
		print $socket "GET /metrics HTTP/1.1\r\nHost: x\r\n";
		$socket->flush;
		push @silent, $socket;
	}
	wait_until('there are connections',
		sub { (() = glob "/proc/$agent->{pid}/fd/*") >= $before + 10 });
	is(code('GetClusterPowerState', 'c-1'), 'OK', 'calls go on');
	cmp_ok(scalar(() = glob "/proc/$agent->{pid}/fd/*"), '<=', $before + 20,
		'connections are limited');
	# the agent closes them, and answers others
	has_samples($agent, 'silent connections are closed',
		calls_total('GetClusterPowerState', 'OK') => 2);
}

# ----------------------------------------------------------------------
# The log of actions
# ----------------------------------------------------------------------

{
	my ($start) = log_lines('start', 'c-1');
	my ($end, $again) = log_lines('end', 'c-1');

	is("$start->{provider} $start->{request_id}", 'simulated r-1', 'start: the provider');
	cmp_ok($start->{wait_us}, '>=', 0, 'start: how long it waited');
	is($start->{provider_us}, undef, 'start: no answer yet');
	is($end->{provider}, 'simulated', 'end: the provider');
	is($end->{wait_us}, $start->{wait_us}, 'end: how long it waited');
	cmp_ok($end->{provider_us}, '>=', 0, 'end: how long the provider took');
	cmp_ok($end->{duration_us}, '>=', $end->{wait_us} + $end->{provider_us}, 'end: in all');
	is_deeply([ @{$again}{qw(duplicate provider wait_us provider_us)} ],
		[ JSON::PP::true, undef, undef, undef ], 'what is repeated reached no provider');
	is(scalar log_lines('done', 'c-1'), 0, 'whose end was told has no line "done"');
}

stop_agent($agent);

# An order whose caller gives up goes on, and is told when it is done.
$agent = start_metered_agent('--transition-time', '2s', '--answer-when-done',
	'--drain-timeout', '1h', '--behaviour', "$dir/rules");
command(do => 'open', channel => 'main', target => $agent->{target});
begin('left', 'PowerOnCluster', 'left', request_id => 'l-1');
has_samples($agent, 'the provider has it',
	'power_agent_provider_requests_in_flight{provider="simulated"}' => 1);
command(do => 'cancel', call => 'left');
my ($done) = wait_until('it is done', sub { my @lines = log_lines('done', 'left'); return $lines[0]; });
my ($end) = log_lines('end', 'left');
is(join(' ', @{$end}{qw(status provider)}), 'CANCELLED simulated', 'the caller has gone');
is($end->{provider_us}, undef, 'before the provider answered');
is(join(' ', @{$done}{qw(request_id method status provider error)}),
	'l-1 PowerOnCluster OK simulated 0', 'what became of the order');
cmp_ok($done->{provider_us}, '>', 0, 'how long it took');
cmp_ok($done->{duration_us}, '>=', $done->{wait_us} + $done->{provider_us}, 'in all');
has_samples($agent, 'it is counted',
	'power_agent_provider_requests_in_flight{provider="simulated"}' => 0,
	'power_agent_provider_requests_total{provider="simulated",verb="start",outcome="OK"}' => 1);

# ----------------------------------------------------------------------
# While it drains
# ----------------------------------------------------------------------

begin('last', 'PowerOffCluster', 'slow', request_id => 'l-2');
has_samples($agent, 'a call is under way',
	'power_agent_calls_in_flight{method="PowerOffCluster"}' => 1);
$agent->{handle}->signal('TERM');
command(do => 'open', channel => 'late', target => $agent->{target});
wait_until(
	'it drains',
	sub {
		begin('late', 'GetClusterPowerState', 'c-1', channel => 'late');
		return command(do => 'end', call => 'late')->{code} eq 'UNAVAILABLE';
	});
has_samples($agent, 'there are metrics while it drains',
	'power_agent_calls_in_flight{method="PowerOffCluster"}' => 1);
command(do => 'cancel', call => 'last');
ok( wait_until('it ends', sub { $http->get($agent->{metrics})->{status} == 599 }),
	'and none when it has ended');
stop_agent($agent);

# ----------------------------------------------------------------------
# A log that nobody reads
# ----------------------------------------------------------------------

mkfifo("$dir/fifo", 0600) or die "mkfifo: $!";
sysopen(my $reader, "$dir/fifo", O_RDONLY | O_NONBLOCK) or die "fifo: $!";
$agent = start_agent($dir, '--metrics', '127.0.0.1:0', '--log', "$dir/fifo");
($agent->{metrics}) = slurp_file($agent->{log}) =~ m{metrics on (http://\S+)$}m;
{
	my $calls = start_calls($agent);
	my $long = 'x' x 250;

	# 1 kB a line and more
	take_answers(
		$calls,
		send_calls(
			$calls,
			map { { method => 'state', instances => ['i-1'],
					cluster => $long, account => $long, request_id => $long } } 1 .. 100)
	) for 1 .. 6;
	pass('calls go on');
	my $dropped = scrape($agent)->{power_agent_log_lines_dropped_total};
	cmp_ok($dropped, '>', 0, 'and what is dropped is counted');
	my $text = '';
	wait_until(
		'what was dropped is told to who reads again',
		sub {
			sysread $reader, $text, 65536, length $text;
			return $text =~ /"event":"dropped","lines":$dropped\}\n/;
		});
	my @lines = map { JSON::PP::decode_json($_) } $text =~ /(.*)\n/g;
	is(scalar(grep { $_->{event} eq 'end' } @lines), 600 - $dropped, 'all others are there');
}
stop_agent($agent);

# ----------------------------------------------------------------------
# Accounts that get another provider
# ----------------------------------------------------------------------

append_to_file("$dir/program", "#!/bin/sh\n: >$dir/asked\nexec sleep 600\n");
chmod 0755, "$dir/program";
write_accounts("$dir/changing",
	"[prod]\nprovider = command\nprogram = $dir/program\nmax_parallel = 1\n");
unlink "$dir/calls";
$agent = start_metered_agent('--accounts', "$dir/changing");
{
	my $calls = start_calls($agent);
	my ($asked) = send_calls($calls,
		{ method => 'state', instances => ['i-1'], cluster => 'asked' });
	wait_until('one is asked', sub { -e "$dir/asked" });
	my ($waits) = send_calls($calls,
		{ method => 'state', instances => ['i-1'], cluster => 'waits' });

	has_samples($agent, 'and another waits',
		'power_agent_provider_requests_in_flight{provider="command"}' => 2);
	write_accounts("$dir/changing", "[prod]\nprovider = simulated\n");
	$agent->{handle}->signal('HUP');
	is(take_answers($calls, $waits)->{status}, 'OK', 'another provider has the one that waited');
	cancel_calls($calls, $asked);
	take_answers($calls, $asked);
	has_samples(
		$agent,
		'none is left with either',
		'power_agent_provider_requests_in_flight{provider="command"}' => 0,
		'power_agent_provider_requests_in_flight{provider="simulated"}' => 0,
		'power_agent_provider_requests_total{provider="simulated",verb="describe",outcome="OK"}' => 1);
	my ($line) = log_lines('end', 'waits');
	is($line->{provider}, 'simulated', 'so says the log');
}
stop_agent($agent);

# ----------------------------------------------------------------------
# A cloud
# ----------------------------------------------------------------------

my $cloud = start_cloud();

write_accounts("$dir/accounts", <<"ACCOUNTS");
[prod]
provider = ec2
endpoint = $cloud->{url}
user = AKPROD
key = secret
confirm_wait = 60s
poll_interval = 50ms
ACCOUNTS
control($cloud, keys => { AKPROD => 'secret' }, instances => { 'i-0001' => 'running' });
$agent = start_metered_agent('--accounts', "$dir/accounts");
my $calls = start_calls($agent);

control($cloud,
	faults => [
		{ action => 'StopInstances', code => 'RequestLimitExceeded', status => 503, times => 2 },
		{ action => 'StopInstances', code => 'InternalError', status => 500, times => 1 } ]);
is(states_of(call($calls, 'off', ['i-0001'])), 'i-0001=STOPPED', 'stopped by a cloud');
control($cloud, faults => [ { action => 'StartInstances', code => 'InsufficientInstanceCapacity', status => 500 } ]);
like(states_of(call($calls, 'on', ['i-0001'])), qr/^InsufficientInstanceCapacity \(1\)/, 'refused by a cloud');
is(call($calls, 'on', ['i-0001'], account => 'nobody')->{status}, 'NOT_FOUND', 'an account of nobody');
my $samples = scrape($agent);
my %ec2 = map { /ec2_calls_total\{action="(.*)",outcome="(.*)"/ ? ("$1 $2" => $samples->{$_}) : () }
  keys %$samples;
is_deeply([ @ec2{map { "StopInstances $_" } qw(ok throttled refused failed unreachable)} ],
	[ 1, 2, 0, 1, 0 ], 'calls to the cloud');
is($ec2{'StartInstances refused'}, 1, 'what it refuses is not its failure');
cmp_ok($ec2{'DescribeInstances ok'}, '>', 0, 'looks');
has_samples(
	$agent,
	'orders of a provider',
	'power_agent_provider_requests_total{provider="ec2",verb="stop",outcome="OK"}' => 1,
	'power_agent_provider_requests_total{provider="ec2",verb="start",outcome="REFUSED"}' => 1,
	'power_agent_provider_requests_total{provider="none",verb="start",outcome="NOT_FOUND"}' => 1,
	'power_agent_provider_requests_in_flight{provider="ec2"}' => 0);
stop_cloud($cloud);
is(call($calls, 'on', ['i-0001'])->{status}, 'UNAVAILABLE', 'no cloud');
has_samples(
	$agent,
	'a cloud that is not there',
	'power_agent_provider_requests_total{provider="ec2",verb="start",outcome="UNAVAILABLE"}' => 1);
cmp_ok(scrape($agent)->{'power_agent_ec2_calls_total{action="StartInstances",outcome="unreachable"}'},
	'>', 0, 'is counted');
stop_agent($agent);

done_testing();
