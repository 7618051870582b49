# test/t/051_agents_misbehave.pl
#
# Agents that do not answer, or answer what nobody expects.  Each action ends
# as designed, with what is known of the agent's side, and another agent
# beside is not affected.

use strict;
use warnings FATAL => 'all';

use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PowerActionSequence;
use PowerActionTest;

my $site = new_site(
	'main',
	conf => "power_action.max_attempts = 2\n",
	agent => [qw(--initial-state running)]);
my $node = $site->{node};

add_clusters($site, 'prod', qw(healthy bystander));

# An agent of its own for each kind, reached through its server and account,
# which have the same name.
sub add_server
{
	my ($name, $target, @options) = @_;

	create_agent_server($node, 'fleet', $target, name => $name, @options);
	add_account($site, $name, $name);
	return;
}

# The healthy one works.
my $healthy_action = 0;

sub ok_healthy
{
	my ($name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is( finish(
			$site,
			request($site, ('power_off', 'power_on')[ $healthy_action++ % 2 ],
				'healthy')),
		'success|confirmed',
		"$name: the agent beside is not affected");
	return;
}

sub agent_state
{
	my ($server, $state) = @_;

	poll_value($node, 'fleet',
		"SELECT state FROM power_action.agent_status WHERE server_name = '$server'",
		$state);
	return;
}

sub cluster_status
{
	my ($cluster) = @_;

	return value($site,
		"SELECT status FROM power_action.cluster WHERE cluster_id = '$cluster'");
}

# ----------------------------------------------------------------------
# An agent that is stopped
# ----------------------------------------------------------------------

my $stopped = start_logging_agent(
	rules => "sleeper* off latency=1s when=after times=1\n",
	qw(--initial-state running));
add_server('hasty', $stopped, call_timeout => '300ms');
add_server('lively', $stopped, keepalive_time => '1s',
	connect_timeout => '300ms');
add_clusters($site, 'hasty', 'sleeper-1');
add_clusters($site, 'lively', 'sleeper-2');
agent_state($_, 'ready') for qw(hasty lively);
set_conf($site, 'power_action.max_attempts', 1000);

my @ids = map { request($site, 'power_off', $_) } qw(sleeper-1 sleeper-2);
agent_lines($stopped, $_, 'start', 1) for qw(sleeper-1 sleeper-2);
freeze_process($stopped->{pid});
poll_value($node, 'fleet', qq{
	SELECT count(*) > 1 FROM power_action.attempt
	WHERE event_id = $ids[0] AND status_code = 'DEADLINE_EXCEEDED'});
pass('stopped in mid-call: the deadline ends the call');
ok_healthy('stopped');
agent_state('lively', 'unreachable');
is( value($site, "SELECT attempt, status_code FROM power_action.attempt WHERE event_id = $ids[1]"),
	'1|UNAVAILABLE',
	'or keepalive does, and then nothing more is tried');
is(event_value($site, $_, 'status, agent_result'),
	'running|unknown', 'nobody knows whether it acted')
  for @ids;
ok_healthy('still stopped');
kill 'CONT', $stopped->{pid};
for my $i (0, 1)
{
	my $cluster = 'sleeper-' . ($i + 1);

	is(finish($site, $ids[$i]), 'success|confirmed', "$cluster: continued, done");
	my @lines = agent_lines($stopped, $cluster, 'end', 2);
	my %requests = map { $_->{request_id} => 1 } @lines;
	is(scalar(keys %requests), 1, 'it was the same request each time');
	is(scalar(agent_lines($stopped, $cluster, 'start', 1)),
		1, 'for which it acted once');
}
set_conf($site, 'power_action.max_attempts', undef);

# ----------------------------------------------------------------------
# Nobody who speaks gRPC
# ----------------------------------------------------------------------

# Runs the function in a process of its own, which ends with this one.
my @children;

sub start_child
{
	my ($code) = @_;
	my $parent = $$;
	my $pid = fork() // die "could not fork: $!";

	if ($pid == 0)
	{
		# ends without the END blocks of the test
		$SIG{PIPE} = 'IGNORE';
		$SIG{ALRM} = sub { POSIX::_exit(0) if getppid() != $parent; alarm 1 };
		alarm 1;
		eval { $code->() };
		POSIX::_exit(0);
	}
	push @children, $pid;
	return;
}

END
{
	my $status = $?;
	kill 'KILL', @children;
	waitpid $_, 0 for @children;
	$? = $status;
}

# A server that is waited for, without an attempt, and then replaced.
sub ok_waits
{
	my ($server, $cluster, $name) = @_;
	my $id = request($site, 'power_off', $cluster);

	ok_healthy($name);
	poll_value($node, 'fleet',
		"SELECT waits_for FROM power_action.activity WHERE event_id = $id",
		'agent');
	is(event_value($site, $id, 'status, attempts, agent_result'),
		'pending|0|none', "$name: waits without an attempt");
	value($site,
		"ALTER SERVER $server OPTIONS (SET target '$site->{agent}{target}')");
	is(finish($site, $id), 'success|confirmed',
		"$name: done at another address");
	is(event_value($site, $id, 'attempts'), 1, 'at the first attempt');
	return;
}

# The kernel accepts for a listener that nobody looks at.
my $half_open =
  IO::Socket::INET->new(Listen => 64, LocalAddr => '127.0.0.1', Proto => 'tcp')
  or die "could not listen: $!";
add_server('half_open', 'ipv4:127.0.0.1:' . $half_open->sockport,
	connect_timeout => '300ms');
add_clusters($site, 'half_open', 'half-open');
agent_state('half_open', 'unreachable');
ok_waits('half_open', 'half-open', 'accepted, never answered');

# HTTP/1 over TCP
my $http =
  IO::Socket::INET->new(Listen => 64, LocalAddr => '127.0.0.1', Proto => 'tcp')
  or die "could not listen: $!";
start_child(
	sub {
		for (;;)
		{
			my $client = $http->accept or next;
			$client->syswrite("HTTP/1.1 400 Bad Request\r\n\r\n");
			close $client;
		}
	});
add_server('http', 'ipv4:127.0.0.1:' . $http->sockport,
	connect_timeout => '300ms');
add_clusters($site, 'http', 'http');
agent_state('http', 'unreachable');
ok_waits('http', 'http', 'HTTP/1');

# A name that does not resolve, whoever says so and when.
add_server('nowhere', 'dns:///does-not-exist.invalid:1',
	connect_timeout => '300ms');
add_clusters($site, 'nowhere', 'nowhere');
poll_value($node, 'fleet', q{
	SELECT state IN ('connecting', 'unreachable')
	FROM power_action.agent_status WHERE server_name = 'nowhere'});
ok_waits('nowhere', 'nowhere', 'a name that does not resolve');

# ----------------------------------------------------------------------
# HTTP/2, and then something else
# ----------------------------------------------------------------------

sub frame
{
	my ($type, $flags, $stream, $payload) = @_;

	return
	  substr(pack('N', length $payload), 1) . pack('CCN', $type, $flags, $stream)
	  . $payload;
}

# Header fields, as literals that no table takes in.
sub headers
{
	my ($stream, $end, @fields) = @_;
	my $block = '';

	while (my ($name, $value) = splice @fields, 0, 2)
	{
		$block .= pack('Ca*', 0) . pack('C/a* C/a*', $name, $value);
	}
	return frame(1, 4 | ($end ? 1 : 0), $stream, $block);
}

sub head
{
	my ($stream, $status) = @_;

	return headers($stream, 0, ':status', $status // '200', 'content-type',
		'application/grpc');
}

sub message
{
	my ($stream, $body, $compressed) = @_;

	return frame(0, 0, $stream, pack('CN', $compressed // 0, length $body) . $body);
}

sub tail
{
	my ($stream, $status, $text) = @_;

	return headers($stream, 1, 'grpc-status', $status,
		defined $text ? ('grpc-message', $text) : ());
}

# A reply with error and message, and with pairs of instance and state.
sub reply
{
	my ($error, $text, @states) = @_;
	my $body = pack('CC', 0x08, $error) . pack('C C/a*', 0x12, $text);

	while (my ($id, $state) = splice @states, 0, 2)
	{
		$body .= pack('CC C/a*', 0xaa, 0x06,
			pack('C C/a* CC', 0x0a, $id, 0x10, $state));
	}
	return $body;
}

# By cluster: the bytes that answer the call in a stream.
my ($running, $stopped_state) = (1, 2);
my %answers = (
	'noise' => sub { join '', map { chr(255 - $_ * 37 % 256) } 0 .. 2000 },
	'empty' => sub { head($_[0]) . message($_[0], '') . tail($_[0], 0) },
	'wrong' => sub {
		head($_[0]) . message($_[0], pack('C C/a*', 0x0a, 'error? no, a text'))
		  . tail($_[0], 0);
	},
	'cut' => sub {
		head($_[0]) . message($_[0], substr(reply(0, 'x' x 100), 0, 50))
		  . tail($_[0], 0);
	},
	'no-message' => sub { head($_[0]) . tail($_[0], 0) },
	'no-status' => sub {
		head($_[0]) . message($_[0], reply(0, '')) . headers($_[0], 1, 'x', 'y');
	},
	'status-99' => sub { head($_[0]) . tail($_[0], 99, 'no such status') },
	'packed' =>
	  sub { head($_[0]) . message($_[0], 'packed somehow', 1) . tail($_[0], 0) },
	'proxy' => sub {
		headers($_[0], 0, ':status', '502', 'content-type', 'text/html')
		  . frame(0, 1, $_[0], '<h1>Bad Gateway</h1>');
	},
	'reset' => sub { frame(3, 0, $_[0], pack('N', 2)) },
	'refused' => sub { frame(3, 0, $_[0], pack('N', 7)) },
	'leaving' => sub { frame(7, 0, 0, pack('NN', 0, 0)) },
	'text' => sub {
		head($_[0])
		  . message($_[0], reply(3, "caf\xe9 \xff\xfe\e[2J ok\x07\nend\xc2\x9b1m"))
		  . tail($_[0], 0);
	},
	'status-text' =>
	  sub { head($_[0]) . tail($_[0], 7, '%FF%FEnot%0Ayours%00%1B[31m%0D') },
	'twice' => sub {
		head($_[0])
		  . message($_[0],
			reply(0, '', 'i-1', $running, 'i-2', $stopped_state, 'x-9',
				$running, 'i-1', $stopped_state, '', $running))
		  . tail($_[0], 0);
	},
	'states' => sub {
		head($_[0])
		  . message($_[0], reply(0, '', 'i-1', 77, 'i-2', 0))
		  . tail($_[0], 0);
	},
	# an error of -1, and fields that nobody knows
	'odd' => sub {
		head($_[0])
		  . message($_[0],
			"\x08" . "\xff" x 9 . "\x01" . pack('C C/a*', 0x12, 'odd')
			  . "\xc2\x3e" . pack('C/a*', "\e[1m") . "\xc8\x3e\x01")
		  . tail($_[0], 0);
	},
	'strangers' => sub {
		head($_[0]) . message($_[0], reply(0, '', 'x-1', $running, 'x-2', 77))
		  . tail($_[0], 0);
	});

# Speaks as much of HTTP/2 as is needed: the request names its cluster.
sub serve
{
	my ($listener) = @_;
	my $select = IO::Select->new($listener);
	my %received;

	for (;;)
	{
		for my $handle ($select->can_read)
		{
			if ($handle == $listener)
			{
				my $client = $listener->accept or next;
				$client->syswrite(frame(4, 0, 0, ''));
				$received{$client} = '';
				$select->add($client);
				next;
			}
			if (!$handle->sysread($received{$handle}, 65536,
					length $received{$handle}))
			{
				$select->remove($handle);
				close $handle;
				next;
			}
			$received{$handle} =~ s/^PRI \* HTTP\/2\.0\r\n\r\nSM\r\n\r\n//;
			while (length $received{$handle} >= 9)
			{
				my ($high, $low, $type, $flags, $stream) =
				  unpack('CnCCN', $received{$handle});
				my $length = $high * 65536 + $low;

				last if length $received{$handle} < 9 + $length;
				my $payload = substr($received{$handle}, 9, $length);
				substr($received{$handle}, 0, 9 + $length) = '';
				if ($type == 4 && !($flags & 1))
				{
					$handle->syswrite(frame(4, 1, 0, ''));
				}
				elsif ($type == 6 && !($flags & 1))
				{
					$handle->syswrite(frame(6, 1, 0, $payload));
				}
				elsif ($type == 0 && $payload =~ /raw-([a-z0-9-]+)/)
				{
					$handle->syswrite($answers{$1}->($stream));
				}
			}
		}
	}
}

my $raw_path = PostgreSQL::Test::Utils::tempdir_short() . '/raw';
my $raw = IO::Socket::UNIX->new(Local => $raw_path, Listen => 64)
  or die "could not listen: $!";
start_child(sub { serve($raw) });
close $raw;
add_server('raw', $raw_path, call_timeout => '5s', connect_timeout => '1s');
add_clusters($site, 'raw', map { "raw-$_" } keys %answers);
agent_state('raw', 'ready');

# status|agent_result|error_source|error_code, the message, the cluster
my %expected = (
	'noise' => [ qr/^failed\|unknown\|(?:agent\|(?:UNKNOWN|INTERNAL)|transport\|UNAVAILABLE)$/, qr/./, 'unknown' ],
	'empty' => [ qr/^success\|accepted$/, qr/^$/, 'stopped' ],
	'wrong' => [ qr/^failed\|unknown\|agent\|INTERNAL$/, qr/cannot be decoded/, 'unknown' ],
	'cut' => [ qr/^failed\|unknown\|agent\|INTERNAL$/, qr/cannot be decoded/, 'unknown' ],
	'no-message' => [ qr/^failed\|unknown\|agent\|INTERNAL$/, qr/./, 'unknown' ],
	'no-status' => [ qr/^failed\|unknown\|agent\|(?:UNKNOWN|INTERNAL)$/, qr/./, 'unknown' ],
	'status-99' => [ qr/^failed\|unknown\|agent\|UNKNOWN$/, qr/^no such status$/, 'unknown' ],
	'packed' => [ qr/^failed\|unknown\|agent\|INTERNAL$/, qr/./, 'unknown' ],
	'proxy' => [ qr/^failed\|unknown\|(?:agent\|(?:UNKNOWN|INTERNAL)|transport\|UNAVAILABLE)$/, qr/./, 'unknown' ],
	'reset' => [ qr/^failed\|unknown\|agent\|INTERNAL$/, qr/./, 'unknown' ],
	'refused' => [ qr/^failed\|unknown\|transport\|UNAVAILABLE$/, qr/./, 'unknown' ],
	'leaving' => [ qr/^failed\|unknown\|transport\|UNAVAILABLE$/, qr/./, 'unknown' ],
	'text' => [ qr/^failed\|refused\|agent\|AGENT_ERROR$/, qr/^caf.*\[2J ok.*end1m \(error 3\)$/, 'unknown' ],
	'status-text' => [ qr/^failed\|refused\|agent\|PERMISSION_DENIED$/, qr/not.yours.*\[31m *$/, 'unknown' ],
	'states' => [ qr/^failed\|partial\|agent\|DEADLINE_EXCEEDED$/, qr/^not confirmed within 1 s/, 'unknown' ],
	'odd' => [ qr/^failed\|refused\|agent\|AGENT_ERROR$/, qr/^odd \(error -1\)$/, 'unknown' ],
	'twice' => [ qr/^success\|confirmed$/, qr/^$/, 'stopped' ],
	'strangers' => [ qr/^success\|accepted$/, qr/^$/, 'stopped' ]);

# States that nobody knows are taken for a way to somewhere, for so long.
set_conf($site, 'power_action.confirm_timeout', '1s');
for my $kind (sort keys %answers)
{
	my ($outcome, $message, $status) = @{ $expected{$kind} };
	my $id = request($site, 'power_off', "raw-$kind");

	like(finish($site, $id), $outcome, "$kind: ends as it should");
	like(event_value($site, $id, 'error_message'), $message, 'saying why');
	is(cluster_status("raw-$kind"), $status, "the cluster is $status");
}
set_conf($site, 'power_action.confirm_timeout', undef);
ok_healthy('strange replies');
is( value($site, q{
	SELECT count(*) FROM power_action.event e LEFT JOIN power_action.attempt a USING (event_id)
	WHERE concat(e.error_message, a.message) ~ '[[:cntrl:]]'}),
	0,
	'no text has control characters');
is( value($site, q{
	SELECT status, count(*) FROM power_action.instance
	WHERE cluster_id = 'raw-twice' GROUP BY status}),
	'stopped|2',
	'of two states of an instance the later one counts');
is(value($site, q{SELECT count(*) FROM power_action.instance WHERE instance_id !~ '^i-[12]$'}),
	0, 'nothing is made of instances that nobody asked for');

# ----------------------------------------------------------------------
# Our own agent with faults
# ----------------------------------------------------------------------

my $faulty = start_logging_agent(
	rules => <<'RULES',
large    off size=200kB
large-1  off size=200kB times=1
garbage  off garbage
garbage-1 off garbage times=1
no-text  off error=5 invalid-utf8
foreign  off foreign=3
RULES
	qw(--initial-state running));
add_server('faulty', $faulty, max_message_size => '64kB', call_timeout => '5s');
add_clusters($site, 'faulty',
	qw(large large-1 garbage garbage-1 no-text foreign));
agent_state('faulty', 'ready');

for my $case (
	[ 'large', 'failed|unknown|agent|RESOURCE_EXHAUSTED', qr/larger than max/ ],
	[ 'garbage', 'failed|unknown|agent|INTERNAL', qr/cannot be decoded/ ])
{
	my ($cluster, $outcome, $message) = @$case;
	my $id = request($site, 'power_off', $cluster);

	is(finish($site, $id), $outcome, "$cluster: the agent may have acted");
	like(event_value($site, $id, 'error_message'), $message, 'says why');
	is(scalar(agent_lines($faulty, $cluster, 'start', 1)), 1, 'it acted once');
	poll_value($node, 'fleet',
		"SELECT status FROM power_action.cluster WHERE cluster_id = '$cluster'",
		'stopped');
	pass('and is asked what it did');
	is(finish($site, request($site, 'power_off', "$cluster-1")),
		'success|confirmed', 'one bad reply: the next one counts');
}
my $id = request($site, 'power_off', 'no-text');
is(finish($site, $id), 'failed|refused|agent|AGENT_ERROR',
	'invalid UTF-8 in the message of an error');
like(event_value($site, $id, 'error_message'), qr/\(error 5\)$/, 'is kept');
is( value($site, q{
	SELECT count(*) FROM power_action.event
	WHERE error_message <>
		  convert_from(convert_to(error_message, 'UTF8'), 'UTF8')
		  OR error_message ~ '[[:cntrl:]]'}),
	0,
	'as valid text');

$id = request($site, 'power_off', 'foreign');
is(finish($site, $id), 'success|confirmed', 'foreign: they are ignored');
is(event_value($site, $id, 'instances_total, instances_done'),
	'2|2', 'and not counted');
is(value($site, q{SELECT count(*) FROM power_action.instance WHERE cluster_id = 'foreign'}),
	2, 'nor taken over');
is( value($site, q{
	SELECT DISTINCT status FROM power_action.instance WHERE cluster_id = 'bystander'}),
	'unknown',
	'another cluster with the same instance ids is not touched');
ok_healthy('faulty replies');

# ----------------------------------------------------------------------
# Replies that are large, and right
# ----------------------------------------------------------------------

my $many = 100_000;
my $roomy = start_logging_agent(
	rules => "wordy off size=3MB\n",
	qw(--initial-state running));
add_server('roomy', $roomy);
add_clusters($site, 'roomy', 'wordy');
value(
	$site, qq{
	INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name)
	VALUES ('many', 'many', 'roomy');
	INSERT INTO power_action.instance (cluster_id, instance_id)
	SELECT 'many', 'i-' || n FROM generate_series(1, $many) n});
agent_state('roomy', 'ready');
is(finish($site, request($site, 'power_off', 'wordy')),
	'success|confirmed', 'a message of 3 MB');
$id = request($site, 'power_off', 'many');
is(finish($site, $id), 'success|confirmed', "$many instances");
is(event_value($site, $id, 'instances_total, instances_done'),
	"$many|$many", 'are counted');
is( value($site, q{
	SELECT status, count(*) FROM power_action.instance
	WHERE cluster_id = 'many' GROUP BY 1}),
	"stopped|$many", 'and written');
ok_healthy('large replies');
is(log_count($node, qr/[\x00-\x08\x0b-\x1f\x7f]/),
	0, 'no control character is in the log');

# ----------------------------------------------------------------------

is(value($site, 'SELECT courier_starts FROM power_action.worker_status'),
	1, 'the courier lived through all this');
is(value($site, 'SELECT errors FROM power_action.worker_status'),
	0, 'and the worker without an error');
ok_checked($site, unlogged => ['raw']);

done_testing();
