# test/t/072_agent_tls.pl
#
# Whom power_agent lets in: TLS, client certificates and tokens, and what
# happens when their files change while calls are in progress.  Needs no
# server; the client is written with another gRPC library.

use strict;
use warnings FATAL => 'all';

use Cwd ();
use File::Basename;
use IPC::Run ();
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;
use PowerActionTest;

my $python = '/usr/bin/python3';
my $program = Cwd::abs_path(dirname(__FILE__)) . '/agent_client.py';

plan skip_all => 'python3-grpcio or python3-protobuf is not installed'
  if system($python, '-c',
	"try:\n import grpc, google.protobuf\nexcept ImportError:\n raise SystemExit(1)"
  ) != 0;

my $dir = PostgreSQL::Test::Utils::tempdir('tls');
my $json = JSON::PP->new->utf8->canonical;
my %method =
  map { $_ => "/agent.AgentService/$_" }
  qw(PowerOnCluster PowerOffCluster GetClusterPowerState);
# POWER_STATE_STOPPED
my $stopped = 2;

#
# Certificates
#

sub openssl
{
	my (@arguments) = @_;
	my $output = '';

	IPC::Run::run([ 'openssl', @arguments ], '<', \undef, '>&', \$output)
	  or die "openssl @arguments: $output";
	return;
}

# An authority: NAME.crt and NAME.key.
sub make_authority
{
	my ($name) = @_;

	openssl(
		'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256',
		'-nodes', '-days', '2', '-subj', "/CN=$name",
		'-keyout', "$dir/$name.key", '-out', "$dir/$name.crt");
	return;
}

# A certificate by an authority, for localhost: NAME.crt and NAME.key.
sub make_certificate
{
	my ($name, $authority) = @_;

	openssl(
		'req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
		'-subj', "/CN=$name", '-addext', 'subjectAltName=DNS:localhost',
		'-keyout', "$dir/$name.key", '-out', "$dir/$name.csr");
	openssl(
		'x509', '-req', '-in', "$dir/$name.csr", '-CA', "$dir/$authority.crt",
		'-CAkey', "$dir/$authority.key", '-CAcreateserial', '-days', '2',
		'-copy_extensions', 'copy', '-out', "$dir/$name.crt");
	return;
}

# The file appears complete, and for its owner alone.
sub put_file
{
	my ($name, $text) = @_;

	open my $handle, '>', "$dir/$name.new" or die "$name: $!";
	chmod 0600, "$dir/$name.new";
	print $handle $text;
	close $handle or die "$name: $!";
	rename "$dir/$name.new", "$dir/$name" or die "$name: $!";
	return;
}

sub copy_file
{
	my ($from, $to) = @_;

	put_file($to, slurp_file("$dir/$from"));
	return;
}

make_authority($_) for qw(ca other-ca);
make_certificate('server', 'ca');
make_certificate('other-server', 'other-ca');
make_certificate('client', 'ca');
make_certificate('other-client', 'other-ca');

#
# The client
#

my ($input, $output, $errors) = ('', '', '');
my $client = IPC::Run::start([ $python, $program ],
	'<', \$input, '>', \$output, '2>', \$errors);

sub command
{
	my (%command) = @_;

	$output = '';
	$input .= $json->encode(\%command) . "\n";
	return $json->decode(
		wait_until(
			"the client does $command{do}",
			sub {
				$client->pump_nb;
				die "the client has ended: $errors" if !$client->pumpable;
				return $output =~ /\n/ && $output;
			}));
}

my $names = 0;

# A connection to the agent, by the names of authority and certificate; undef
# and no authority for none.  Returns its name.
sub connection
{
	my ($agent, $authority, $certificate) = @_;
	my %files;

	$files{ca} = "$dir/$authority.crt" if defined $authority;
	%files = (%files, cert => "$dir/$certificate.crt", key => "$dir/$certificate.key")
	  if defined $certificate;
	my $name = 'channel' . $names++;
	command(do => 'open', channel => $name, target => $agent->{target}, %files);
	return $name;
}

# Starts a call.  Returns its name.
sub begin
{
	my ($channel, $method, $cluster, %more) = @_;
	my $name = 'call' . $names++;

	command(
		do => 'begin', call => $name, channel => $channel,
		method => $method{$method} // $method, cluster => $cluster, %more);
	return $name;
}

sub end
{
	my ($call) = @_;

	return command(do => 'end', call => $call);
}

# What becomes of a call.
sub asked
{
	my ($channel, %more) = @_;

	return end(begin($channel, 'GetClusterPowerState', 'asked', %more));
}

sub comes_in
{
	my ($name, $channel, %more) = @_;
	my $result = asked($channel, %more);

	is($result->{code}, 'OK', $name) or diag($result->{details});
	return;
}

sub stays_out
{
	my ($name, $code, $pattern, $channel, %more) = @_;
	my $result = asked($channel, %more);

	ok($result->{code} eq $code && $result->{details} =~ $pattern, $name)
	  or diag($json->encode($result));
	return;
}

#
# Agents
#

# An agent that listens on a port of localhost.
sub start_tcp_agent
{
	my (@flags) = @_;
	my $agent = start_agent($dir, '--listen', 'localhost:0', @flags);

	($agent->{target}) =
	  slurp_file($agent->{log}) =~ /listening on (localhost:\d+)/;
	return $agent;
}

# An idle client would take its time to notice that the agent wants to end.
sub end_agent
{
	my ($agent) = @_;

	command(do => 'close');
	stop_agent($agent);
	return;
}

# How often the agent has said something that matches.
sub told
{
	my ($agent, $pattern) = @_;

	return scalar(() = slurp_file($agent->{log}) =~ /$pattern/g);
}

sub wait_until_told
{
	my ($agent, $pattern, $count) = @_;

	wait_until("the agent says $pattern",
		sub { return told($agent, $pattern) >= ($count // 1) });
	return;
}

sub hang_up
{
	my ($agent) = @_;

	kill 'HUP', $agent->{pid} or die "cannot signal the agent: $!";
	return;
}

my @tls = ('--tls-cert', "$dir/agent.crt", '--tls-key', "$dir/agent.key");

sub use_certificate
{
	my ($name) = @_;

	copy_file("$name.crt", 'agent.crt');
	copy_file("$name.key", 'agent.key');
	return;
}

#
# TLS alone
#
use_certificate('server');
my $agent = start_tcp_agent(@tls);

is(told($agent, 'warning: whoever can reach localhost:0 can give orders'),
	1, 'an agent that lets everybody in says so');
comes_in('a client that knows the authority', connection($agent, 'ca'));
stays_out('a client that knows another one', 'UNAVAILABLE', qr/./,
	connection($agent, 'other-ca'));
stays_out('a client without TLS', 'UNAVAILABLE', qr/./, connection($agent));

# The client would go down to 1.0 here if the agent did.
{
	my @speak = (
		'openssl', 's_client', '-connect', $agent->{target}, '-CAfile',
		"$dir/ca.crt", '-verify_return_error', '-alpn', 'h2', '-cipher',
		'ALL:@SECLEVEL=0');
	my %spoken;
	for my $version (qw(tls1 tls1_1 tls1_2 tls1_3))
	{
		my $words = '';
		local $ENV{OPENSSL_CONF} = '/dev/null';
		$spoken{$version} =
		  IPC::Run::run([ @speak, "-$version" ], '<', \undef, '>&', \$words)
		  ? 'yes'
		  : 'no';
	}
	is_deeply(
		\%spoken,
		{ tls1 => 'no', tls1_1 => 'no', tls1_2 => 'yes', tls1_3 => 'yes' },
		'TLS 1.2 is the least');
}
end_agent($agent);

#
# Certificates of clients, and new certificates while calls are in progress.
# The first order for a cluster thinks for an hour; the second waits for its
# turn, so it is in progress until the first is cancelled.
#
copy_file('ca.crt', 'clients.crt');
$agent = start_tcp_agent(
	@tls, '--tls-client-ca', "$dir/clients.crt", '--latency', '1h',
	'--method', 'on');
is(told($agent, 'warning'), 0, 'an agent that does not, says nothing');
my $old = connection($agent, 'ca', 'client');
comes_in('a client with a certificate', $old);
stays_out('one without', 'UNAVAILABLE', qr/./, connection($agent, 'ca'));
stays_out('one with a certificate by somebody else',
	'UNAVAILABLE', qr/./, connection($agent, 'ca', 'other-client'));
is(command(do => 'health', channel => connection($agent, 'ca'), service => '')->{code},
	'UNAVAILABLE', 'health is not for those without one either');

my $first = begin($old, 'PowerOnCluster', 'c1');
comes_in('the order has arrived', $old);
my $second = begin($old, 'PowerOffCluster', 'c1');
comes_in('another one waits for its turn', $old);

# One file after the other: what does not match changes nothing.
copy_file('other-server.key', 'agent.key');
comes_in('a new key alone changes nothing', connection($agent, 'ca', 'client'));
my $mismatch = qr{--tls-key "\Q$dir\E/agent.key": the key does not match the certificate in --tls-cert "\Q$dir\E/agent.crt"; the certificates stay as they are};
is(told($agent, $mismatch), 1, 'and is told');
comes_in('another connection', connection($agent, 'ca', 'client'));
is(told($agent, $mismatch), 1, 'does not make it told again');
copy_file('other-server.crt', 'agent.crt');
comes_in('with its certificate it serves new connections',
	connection($agent, 'other-ca', 'client'));
is(told($agent, 'read the certificates again'), 1, 'which is told');
stays_out('the old authority knows it no more',
	'UNAVAILABLE', qr/./, connection($agent, 'ca', 'client'));

copy_file('other-ca.crt', 'clients.crt');
comes_in('so can clients of a new authority',
	connection($agent, 'other-ca', 'other-client'));
stays_out('instead of the old one',
	'UNAVAILABLE', qr/./, connection($agent, 'other-ca', 'client'));

# At SIGHUP, with no connection to cause it: those that failed would be tried
# again and again.
command(do => 'close', but => $old);
put_file('clients.crt', "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
hang_up($agent);
wait_until_told($agent,
	qr/--tls-client-ca .*certificate 1 is damaged.*stay as they are/);
comes_in('a damaged file changes nothing',
	connection($agent, 'other-ca', 'other-client'));
my $read = told($agent, 'read the certificates again');
command(do => 'close', but => $old);
copy_file('ca.crt', 'clients.crt');
hang_up($agent);
wait_until_told($agent, 'read the certificates again', $read + 1);
comes_in('SIGHUP reads it again', connection($agent, 'other-ca', 'client'));

unlink "$dir/agent.key";
comes_in('a file that has gone changes nothing',
	connection($agent, 'other-ca', 'client'));
wait_until_told($agent, qr/--tls-key .*No such file.*stay as they are/);

comes_in('the old connection has outlived all that', $old);
command(do => 'cancel', call => $first);
is(end($first)->{code}, 'CANCELLED', 'the first order is given up');
is_deeply(
	end($second),
	{ code => 'OK', details => '', states => [$stopped] },
	'and the call that waited all the time is answered');
end_agent($agent);

#
# Tokens
#
my $secret = 'Secret-' . 'x' x 9000 . '-end';
put_file('tokens', "alpha\n$secret\n");
use_certificate('server');
$agent = start_tcp_agent(
	@tls, '--token-file', "$dir/tokens", '--log', "$dir/calls",
	'--log-sync', '--latency', '1h', '--method', 'on');
is(told($agent, 'warning'), 0, 'an agent with tokens does not let everybody in');
$old = connection($agent, 'ca');
comes_in('a token', $old, token => 'alpha');
comes_in('another token, longer than metadata often may be', $old, token => $secret);
stays_out('a wrong token', 'UNAUTHENTICATED',
	qr/^the token is not one of this agent's$/, $old, token => 'Alphabet-soup');
stays_out('no token', 'UNAUTHENTICATED',
	qr/^no token: this agent wants metadata "authorization: Bearer TOKEN"/, $old);
stays_out('half a token', 'UNAUTHENTICATED', qr/not one of/, $old, token => 'alph');
stays_out('another scheme', 'UNAUTHENTICATED', qr/not of the form "Bearer TOKEN"/,
	$old, authorization => ['Basic alpha']);
stays_out('two tokens', 'UNAUTHENTICATED', qr/more than one/,
	$old, authorization => [ 'Bearer alpha', 'Bearer alpha' ]);
is(end(begin($old, '/agent.AgentService/Reboot', 'c1'))->{code},
	'UNAUTHENTICATED', 'methods that are not there do not tell so to strangers');
is(end(begin($old, '/agent.AgentService/Reboot', 'c1', token => 'alpha'))->{code},
	'UNIMPLEMENTED', 'only to others');
is(end(begin($old, 'PowerOffCluster', 'c2', token => 'beta'))->{code},
	'UNAUTHENTICATED', 'an order without a token');

my @calls = map { $json->decode($_) } split /\n/, slurp_file("$dir/calls");
is(scalar(grep { $_->{status} eq 'UNAUTHENTICATED' } @calls), 7,
	'the log has all that were refused');
is(scalar(grep { $_->{event} eq 'start' } @calls), 0, 'and no order');
is(told($agent, qr/refused a call from ipv[46]:\S+: the token is not one of this agent's$/m),
	1, 'the first is told');
is(told($agent, 'refused a call'), 1, 'not each of them');
unlike(slurp_file($agent->{log}) . slurp_file("$dir/calls"),
	qr/alph|soup|Secret|xxxx/i, 'no token is in a log');

is_deeply(
	command(do => 'health', channel => $old, service => $_),
	{ code => 'OK', details => '', status => 1 },
	"health of \"$_\" needs no token")
  for '', 'agent.AgentService';
is(command(do => 'health', channel => $old, service => 'moon')->{code},
	'NOT_FOUND', 'a service that is not there has none');
is(command(do => 'health', channel => $old, service => '', method => 'Watch')->{code},
	'UNIMPLEMENTED', 'who would watch learns that it cannot');

# Rollover: a new one besides, then without the old one.
$first = begin($old, 'PowerOnCluster', 'c1', token => 'alpha');
comes_in('an order has arrived', $old, token => 'alpha');
$second = begin($old, 'PowerOffCluster', 'c1', token => 'alpha');
comes_in('another waits for its turn', $old, token => 'alpha');
put_file('tokens', "alpha\ngamma\n");
comes_in('the old token', $old, token => 'alpha');
comes_in('and the new one', $old, token => 'gamma');
stays_out('but not one that has gone', 'UNAUTHENTICATED', qr/not one of/,
	$old, token => $secret);
put_file('tokens', "gamma\n");
stays_out('the old one when it has gone', 'UNAUTHENTICATED', qr/not one of/,
	$old, token => 'alpha');
comes_in('the new one on the same connection', $old, token => 'gamma');

chmod 0604, "$dir/tokens";
comes_in('a file for all to read changes nothing', $old, token => 'gamma');
is(told($agent, qr/--token-file .*mode 0604.*the tokens stay as they are/),
	1, 'and is told');
put_file('tokens', "del ta\n");
hang_up($agent);
wait_until_told($agent, qr/--token-file .*the token in line 1 .*stay as they are/);
comes_in('nor does one that is no token', $old, token => 'gamma');
put_file('tokens', "delta\n");
comes_in('until it is', $old, token => 'delta');

command(do => 'cancel', call => $first);
end($first);
is_deeply(
	end($second),
	{ code => 'OK', details => '', states => [$stopped] },
	'a call that came in with a token stays in');
end_agent($agent);

#
# Tokens on a unix socket, without TLS
#
$agent = start_agent($dir, '--token-file', "$dir/tokens");
my $local = connection($agent);
comes_in('a token on a unix socket', $local, token => 'delta');
stays_out('is wanted there, too', 'UNAUTHENTICATED', qr/no token/, $local);
end_agent($agent);

#
# Agents that do not start
#
sub does_not_start
{
	my ($name, $pattern, @flags) = @_;
	my $words = '';
	my $result = IPC::Run::run([ 'power_agent', @flags ],
		'<', \undef, '>&', \$words, IPC::Run::timeout(60));

	ok(!$result && $words =~ $pattern, $name) or diag($words);
	return;
}

does_not_start('an address for all without TLS', qr/or say --insecure/,
	'--listen', '0.0.0.0:0');
does_not_start('a token that all can read',
	qr/--token-file needs --tls-cert and --tls-key/,
	'--listen', '0.0.0.0:0', '--insecure', '--token-file', "$dir/tokens");
does_not_start('a key of another',
	qr{^power_agent: --tls-key "\Q$dir\E/client.key": the key does not match the certificate in --tls-cert "\Q$dir\E/server.crt"$}m,
	'--listen', 'localhost:0', '--tls-cert', "$dir/server.crt",
	'--tls-key', "$dir/client.key");
does_not_start('tokens that are not there',
	qr{^power_agent: --token-file "\Q$dir\E/nowhere": No such file or directory$}m,
	'--listen', 'localhost:0', '--token-file', "$dir/nowhere");

$client->kill_kill;

done_testing();
