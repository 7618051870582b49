# test/t/070_tls.pl
#
# TLS, client certificates and tokens, with agents of another gRPC library:
# what is wrong is named, what is put right works without a restart, what
# changes loses no call, and no secret is to be seen anywhere.

use strict;
use warnings FATAL => 'all';

use IO::Socket::INET;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PowerActionForeign;
use PowerActionSequence;
use PowerActionTest;

plan skip_all => 'python3-grpcio or python3-protobuf is not installed'
  if !have_foreign_agents();

# The files of the agent stay as they are, the worker's are replaced.
my $dir = PostgreSQL::Test::Utils::tempdir('certificates');
make_authority($dir, 'ca');
make_authority($dir, 'other-ca');
make_certificate($dir, 'agent', 'ca', 'DNS:agent.test,IP:127.0.0.1');
make_certificate($dir, 'expired', 'ca', 'IP:127.0.0.1', -1);
make_certificate($dir, 'client', 'ca', 'DNS:client.test');
make_certificate($dir, 'stranger', 'other-ca', 'DNS:client.test');
append_to_file("$dir/tokens", "planted-secret-1\nplanted-secret-2\n");

my %good = (
	roots => slurp_file("$dir/ca.crt"),
	chain => slurp_file("$dir/client.crt"),
	key => slurp_file("$dir/client.key"),
	token => "planted-secret-1\n");
my %file = map { $_ => "$dir/our-$_" } keys %good;

sub put
{
	my ($name, $text, $mode) = @_;

	replace_file($file{$name}, $text // $good{$name}, $mode);
	return;
}
put($_) for keys %good;

my $site = new_site('main', conf => "log_min_messages = debug5\n");
my $node = $site->{node};
my $agent = start_foreign_agent(
	'127.0.0.1:0',
	cert => "$dir/agent.crt",
	key => "$dir/agent.key",
	'client-ca' => "$dir/ca.crt",
	'token-file' => "$dir/tokens",
	hold => "$dir/go");
my $expired = start_foreign_agent(
	'127.0.0.1:0',
	cert => "$dir/expired.crt",
	key => "$dir/expired.key");
my $plain = start_foreign_agent('127.0.0.1:0');

# Options of a server that has everything, or other values.
sub secure
{
	my (%options) = @_;

	%options = (
		tls => 'on',
		root_cert_file => $file{roots},
		cert_file => $file{chain},
		key_file => $file{key},
		auth_token_file => $file{token},
		%options);
	delete $options{$_} for grep { !defined $options{$_} } keys %options;
	return %options;
}

# What agent_status says of a server.
sub status
{
	my ($server) = @_;

	return value($site,
		"SELECT state, coalesce(last_error, '') FROM power_action.agent_status WHERE server_name = '$server'"
	);
}

sub wait_for_status
{
	my ($server, $pattern, $name) = @_;
	my $status;

	like(
		wait_until(
			"$server is $pattern",
			sub {
				$status = status($server);
				return $status =~ /$pattern/ ? $status : undef;
			}) // $status,
		qr/$pattern/,
		$name);
	return;
}

sub last_authorization
{
	my @calls = foreign_calls($agent, 'web');

	return $calls[-1]{authorization};
}

# ----------------------------------------------------------------------
# All of it
# ----------------------------------------------------------------------

create_agent_server($node, 'fleet', "ipv4:127.0.0.1:$agent->{port}",
	name => 'secure', secure());
add_account($site, 'secure', 'secure');
add_clusters($site, 'secure', qw(web held));
is(finish($site, request($site, 'power_off', 'web')),
	'success|accepted', 'TLS, client certificate and token');
is(last_authorization(), 'Bearer planted-secret-1', 'the agent got the token');
my $courier = value($site, q{SELECT courier_pid FROM power_action.worker_status WHERE database = 'fleet'});

# ----------------------------------------------------------------------
# What is wrong is named
# ----------------------------------------------------------------------

my @wrong = (
	[ { root_cert_file => "$dir/other-ca.crt" }, 'certificate verify failed',
		'an agent of another authority' ],
	[ { tls_server_name => 'other.test' }, 'other.test',
		'a name that is not in the certificate' ],
	[ { cert_file => undef, key_file => undef }, '.', 'no client certificate' ],
	[ { cert_file => "$dir/stranger.crt", key_file => "$dir/stranger.key" },
		'.', 'a client certificate of another authority' ],
	[ { port => $expired->{port} }, 'certificate verify failed',
		'an agent whose certificate has expired' ],
	[ { port => $plain->{port} }, '.', 'an agent without TLS' ],
	[ {
			tls => undef, root_cert_file => undef, cert_file => undef,
			key_file => undef
		},
		'.', 'no TLS where the agent has it' ],
	[ { root_cert_file => "$dir/none" },
		qr/root_cert_file ".*none": No such file/, 'a missing file' ],
	[ { key_file => "$dir/agent.key" },
		qr/key_file ".*agent.key": the key does not match/, 'another key' ],
	[ { cert_file => "$dir/client.key" },
		qr/cert_file ".*": there is no certificate in it/, 'the wrong file' ],
	[ { root_cert_file => "$dir/tokens" },
		qr/root_cert_file ".*": it is not PEM/, 'no PEM' ]);

for my $case (@wrong)
{
	my ($options, $pattern, $name) = @$case;
	my $port = delete $options->{port} // $agent->{port};

	create_agent_server($node, 'fleet', "ipv4:127.0.0.1:$port",
		name => 'wrong', secure(%$options));
	wait_for_status('wrong', qr/^unreachable\|.*$pattern/, $name);
	value($site, 'DROP SERVER wrong');
}

# One that takes the connection and never says a word.
{
	my $silent = IO::Socket::INET->new(
		LocalAddr => '127.0.0.1',
		Listen => 8);

	create_agent_server(
		$node, 'fleet',
		'ipv4:127.0.0.1:' . $silent->sockport,
		name => 'silent',
		secure(connect_timeout => '300ms'));
	wait_for_status('silent', qr/^unreachable\|./,
		'an agent that does not shake hands');
	value($site, 'DROP SERVER silent');
}

# The lowest version of TLS is 1.2.  An agent that has only 1.1 must be
# refused by our side.
SKIP:
{
	my $socket = IO::Socket::INET->new(
		LocalAddr => '127.0.0.1',
		Listen => 1);
	my $port = $socket->sockport;
	my $output = '';

	close $socket;
	my $old = IPC::Run::start(
		[
			qw(openssl s_server -tls1_1 -alpn h2 -cipher ALL:@SECLEVEL=0),
			'-accept', "127.0.0.1:$port", '-cert', "$dir/agent.crt",
			'-key', "$dir/agent.key"
		],
		'<', \undef, '>', \$output, '2>&1');
	wait_until('s_server listens',
		sub { $old->pump_nb; $output =~ /ACCEPT/ || !$old->pumpable });
	skip 'openssl has no TLS 1.1', 1 if !$old->pumpable;
	create_agent_server($node, 'fleet', "ipv4:127.0.0.1:$port",
		name => 'old', secure(cert_file => undef, key_file => undef));
	my $status = '';
	eval {
		wait_until('it is refused',
			sub { ($status = status('old')) =~ /protocol/ });
	};
	$old->kill_kill;
	like($status, qr/^unreachable\|.*protocol/, 'TLS 1.1 is refused');
	value($site, 'DROP SERVER old');
}

# ----------------------------------------------------------------------
# What is put right works, without a restart
# ----------------------------------------------------------------------

for my $case (
	[ 'roots', sub { unlink $file{roots} }, qr/No such file/ ],
	[ 'key', sub { put('key', undef, oct 644) }, qr/others may access it/ ],
	[ 'token', sub { put('token', "two words\n") }, qr/without blanks/ ])
{
	my ($name, $break, $pattern) = @$case;

	value($site, 'DROP SERVER secure');
	$break->();
	create_agent_server($node, 'fleet', "ipv4:127.0.0.1:$agent->{port}",
		name => 'secure', secure());
	wait_for_status('secure', qr/^unreachable\|.*our-$name": .*$pattern/,
		"$name: named");
	my $waiting = request($site, 'power_on', 'web');
	put($name);
	is(finish($site, $waiting), 'success|accepted', 'and found when it is good');
	is(event_value($site, $waiting, 'attempts'), 1, 'with one attempt');
}

# ----------------------------------------------------------------------
# Tokens change
# ----------------------------------------------------------------------

my $since = value($site,
	q{SELECT since FROM power_action.agent_status WHERE server_name = 'secure'});
my $held = request($site, 'power_off', 'held');
wait_until('the call is in flight', sub { foreign_calls($agent, 'held') });

put('token', 'planted-secret-2');
wait_until(
	'the new token is used',
	sub {
		finish($site, request($site, 'power_on', 'web'));
		return last_authorization() eq 'Bearer planted-secret-2';
	});
pass('a new token is that of the next calls');

put('token', 'planted-secret-3');
my $refused;
wait_until(
	'the bad token is used',
	sub {
		$refused = request($site, 'power_on', 'web');
		return finish($site, $refused) ne 'success|accepted';
	});
is(outcome($site, $refused), 'failed|refused|agent|UNAUTHENTICATED',
	'a token that the agent does not know');
is( event_value($site, $refused, 'error_message'),
	'the agent does not accept the token of server "secure": who are you?',
	'says so');
put('token');
wait_until('the good token is used',
	sub { finish($site, request($site, 'power_on', 'web')) eq 'success|accepted' }
);
pass('and a good one works again');

# ----------------------------------------------------------------------
# Certificates change
# ----------------------------------------------------------------------

# Other roots that know the agent, too; then broken ones, which change
# nothing but what is said.
put('roots', slurp_file("$dir/other-ca.crt") . $good{roots});
put('roots', "-----BEGIN nonsense");
wait_for_status('secure',
	qr/^ready\|root_cert_file ".*our-roots": .*what was read before remains in use/,
	'broken roots are reported');
is(finish($site, request($site, 'power_on', 'web')),
	'success|accepted', 'while the old ones do');
ok(log_count($node, qr/server "secure": root_cert_file .*remains in use/) > 0,
	'the log has it, too');
put('roots');
wait_for_status('secure', qr/^ready\|$/, 'forgotten when they are good');
is( value($site, q{SELECT since FROM power_action.agent_status WHERE server_name = 'secure'}),
	$since, 'it was ready all the time');

# The call that began before all this.
is(event_value($site, $held, 'status'), 'running', 'a call is still in flight');
append_to_file("$dir/go", 'go');
is(finish($site, $held), 'success|accepted', 'and ends well');
is(event_value($site, $held, 'attempts'), 1, 'with one attempt');
is(scalar(foreign_calls($agent, 'held')), 1, 'that was called once');

# ----------------------------------------------------------------------
# A token without TLS stays on this machine; an agent that wants one
# ----------------------------------------------------------------------

my $local = start_foreign_agent('127.0.0.1:0', 'token-file' => "$dir/tokens");
create_agent_server($node, 'fleet', "localhost:$local->{port}",
	name => 'local');
add_account($site, 'local', 'local');
add_clusters($site, 'local', qw(near));
$refused = request($site, 'power_on', 'near');
is(finish($site, $refused), 'failed|refused|agent|UNAUTHENTICATED',
	'no token where one is wanted');
is( event_value($site, $refused, 'error_message'),
	'the agent wants a token, and server "local" has no auth_token_file: who are you?',
	'says so');
value($site, "ALTER SERVER local OPTIONS (ADD auth_token_file '$file{token}')");
is(finish($site, request($site, 'power_on', 'near')),
	'success|accepted', 'a token over loopback, without TLS');

is( value($site, q{SELECT courier_pid, courier_starts, errors FROM power_action.worker_status WHERE database = 'fleet'}),
	"$courier|1|0",
	'the same courier all the time');

# ----------------------------------------------------------------------
# Dump and restore
# ----------------------------------------------------------------------

put('roots');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
my ($stdout, $stderr);
IPC::Run::run(
	[ 'pg_dump', '--dbname', $node->connstr('fleet') ],
	'|', [ 'psql', '-qX', '-v', 'ON_ERROR_STOP=1', '--dbname', $node->connstr('copy') ],
	'>', \$stdout, '2>', \$stderr);
unlike($stderr, qr/ERROR/, 'a superuser restores servers with files');
is( $node->safe_psql('copy', q{SELECT srvoptions FROM pg_foreign_server WHERE srvname = 'secure'}),
	value($site, q{SELECT srvoptions FROM pg_foreign_server WHERE srvname = 'secure'}),
	'with all their options');

# ----------------------------------------------------------------------
# Nobody sees the token
# ----------------------------------------------------------------------

sub shows
{
	my ($text) = @_;

	return $text =~ /planted-secret|PRIVATE KEY/ ? 1 : 0;
}

is(log_count($node, qr/LOG:  power_action courier: .*(?:Handshake|server name)/),
	0, 'nor is the log filled by what TLS repeats every second');
is(shows(slurp_file($node->logfile)), 0, 'no secret in the log, at debug5');
is(shows(slurp_file("/proc/$courier/cmdline")), 0, 'or among the arguments');
# not for its own user to read, either, but for root
IPC::Run::run([ 'cat', "/proc/$courier/environ" ],
	'>', \$stdout, '2>', \$stderr);
is(shows($stdout), 0, 'or in the environment');
is(shows($node->safe_psql('fleet', 'SELECT * FROM pg_stat_activity')),
	0, 'or in pg_stat_activity');
IPC::Run::run([ 'pg_dumpall', '--dbname', $node->connstr('postgres') ],
	'>', \$stdout, '2>', \$stderr);
is(shows($stdout), 0, 'or in any table');
ok(length($stdout) > 1000, 'of which there are some');

finish_all($site);
ok_consistent($site);

done_testing();
