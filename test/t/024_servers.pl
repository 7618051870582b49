# test/t/024_servers.pl
#
# Agents are foreign servers: several of them, changed and dropped while the
# worker runs, dead ones and strange ones.

use strict;
use warnings FATAL => 'all';

use IO::Socket::UNIX;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PowerActionSequence;
use PowerActionTest;

my $site = new_site('main', agent => [qw(--initial-state running)]);
my $node = $site->{node};
my $east = $site->{agent};
my $west = start_logging_agent(qw(--initial-state running));
my $absent = PostgreSQL::Test::Utils::tempdir_short() . '/absent';

create_agent_server($node, 'fleet', $west, name => 'west');
create_agent_server($node, 'fleet', $absent,
	name => 'dead', connect_timeout => '200ms');
add_account($site, 'west', 'west');
add_account($site, 'dead', 'dead');
add_account($site, 'strange', 'strange');
add_clusters($site, 'prod', qw(e1 e2 e3 e4 e5));
add_clusters($site, 'west', qw(w1 w2 w3 w4));
add_clusters($site, 'dead', map { "d$_" } 1 .. 300);
add_clusters($site, 'strange', qw(s1));

sub agent_state
{
	my ($server) = @_;

	return value($site,
		"SELECT state FROM power_action.agent_status WHERE server_name = '$server'"
	);
}

# How often an agent was called for a cluster.
sub calls
{
	my ($agent, $cluster) = @_;

	return scalar grep { $_->{cluster_id} eq $cluster && $_->{event} eq 'end' }
	  all_agent_lines($agent);
}

# ----------------------------------------------------------------------
# Each account has its agent
# ----------------------------------------------------------------------

my @ids = request_many($site, 'power_off', [qw(e1 w1)]);
is(finish($site, $_), 'success|confirmed', "event $_ succeeds") for @ids;
is(event_value($site, $ids[0], 'server_name'), 'agent', 'east by its server');
is(event_value($site, $ids[1], 'server_name'), 'west', 'west by its server');
agent_lines($east, 'e1', 'end', 1);
agent_lines($west, 'w1', 'end', 1);
is(calls($east, 'w1') + calls($west, 'e1'), 0, 'neither saw the other\'s');

# ----------------------------------------------------------------------
# A dead one delays its own only
# ----------------------------------------------------------------------

poll_value($node, 'fleet',
	q{SELECT state FROM power_action.agent_status WHERE server_name = 'dead'},
	'unreachable');
my @waiting =
  request_many($site, 'power_off', [ map { "d$_" } 1 .. 300 ],
	'priority => 100');
is(finish($site, request($site, 'power_on', 'e1')),
	'success|confirmed', 'others are done');
is( value($site, q{
	SELECT count(*), bool_and(waits_for = 'agent'), max(attempts)
	FROM power_action.activity}),
	'300|t|0',
	'while 300 wait for it without an attempt');
like(
	value($site, q{SELECT last_error FROM power_action.agent_status WHERE server_name = 'dead'}),
	qr/connect/, 'agent_status says what is wrong');

# It comes to life at another place.
value($site, "ALTER SERVER dead OPTIONS (SET target '$west->{target}')");
is(finish($site, $_), 'success|confirmed', 'done after ALTER SERVER')
  for @waiting[ 0, 299 ];
finish_all($site);
is(value($site, q{SELECT count(*) FROM power_action.event WHERE cluster_id LIKE 'd%' AND status = 'success'}),
	300, 'all of them');

# ----------------------------------------------------------------------
# ALTER SERVER and DROP SERVER
# ----------------------------------------------------------------------

value($site, "ALTER SERVER agent OPTIONS (SET target '$west->{target}')");
is(finish($site, request($site, 'power_off', 'e2')),
	'success|confirmed', 'target changed: done');
agent_lines($west, 'e2', 'end', 1);
is(calls($east, 'e2'), 0, 'by the new agent, at once');
value($site, "ALTER SERVER agent OPTIONS (SET target '$east->{target}')");
is(finish($site, request($site, 'power_on', 'e2')),
	'success|confirmed', 'target changed back: done');
agent_lines($east, 'e2', 'end', 1);
is(calls($west, 'e2'), 1, 'by the old one');

is( (query_error(
			$site,
			q{ALTER SERVER agent OPTIONS (SET target 'nonsense://')}))[0],
	'HV024',
	'a bad target is refused');
is(finish($site, request($site, 'power_off', 'e2')),
	'success|confirmed', 'and changes nothing');

# The server goes while jobs are due, and is made again.
set_conf($site, 'power_action.enabled', 'off');
@ids = request_many($site, 'power_off', [qw(e3 e4)]);
value($site, 'DROP SERVER agent');
set_conf($site, 'power_action.enabled', undef);
poll_value($node, 'fleet',
	q{SELECT count(*) FILTER (WHERE waits_for = 'agent') FROM power_action.activity},
	'2');
is(value($site, q{SELECT count(*) FROM power_action.agent_status WHERE server_name = 'agent'}),
	0, 'a server that is dropped is not shown');
my $stderr;
$node->psql('fleet', q{SELECT power_action.power_off('e5')}, stderr => \$stderr);
like($stderr, qr/WARNING:  .*"agent"/s,
	'a request for an account without its server fails at once');
is(event_value($site, $ids[0], 'status, attempts'), 'pending|0',
	'what was requested before waits');
create_agent_server($node, 'fleet', $east);
is(finish($site, $_), 'success|confirmed', 'and is done when it is there again')
  for @ids;

# Renamed: jobs know the old name.
set_conf($site, 'power_action.enabled', 'off');
my $id = request($site, 'power_on', 'e3');
value($site, 'ALTER SERVER agent RENAME TO other');
set_conf($site, 'power_action.enabled', undef);
poll_value($node, 'fleet', 'SELECT waits_for FROM power_action.activity',
	'agent');
value($site, 'ALTER SERVER other RENAME TO agent');
is(finish($site, $id), 'success|confirmed', 'RENAME and back');

# ----------------------------------------------------------------------
# power_action.enabled
# ----------------------------------------------------------------------

set_conf($site, 'power_action.enabled', 'off');
$node->psql('fleet', q{SELECT power_action.power_off('e1')},
	stdout => \$id, stderr => \$stderr);
like($stderr, qr/WARNING:  power_action.enabled is off/,
	'enabled = off: a warning');
is(value($site, 'SELECT status, waits_for FROM power_action.activity'),
	'pending|disabled', 'and the action waits');
is(calls($east, 'e1'), 2, 'nothing is sent');
set_conf($site, 'power_action.enabled', 'on');
is(finish($site, $id), 'success|confirmed', 'until it is on again');
set_conf($site, 'power_action.enabled', undef);

# ----------------------------------------------------------------------
# Something else listens
# ----------------------------------------------------------------------

# A listener that answers every connection with these bytes and closes it.
sub start_garbage
{
	my ($bytes) = @_;
	my $path = PostgreSQL::Test::Utils::tempdir_short() . '/garbage';
	my $socket = IO::Socket::UNIX->new(Local => $path, Listen => 16)
	  or die "could not listen: $!";
	my $pid = fork() // die "could not fork: $!";

	return ($pid, $path) if $pid;

	# the child: ends without the END blocks of the test
	$SIG{PIPE} = 'IGNORE';
	while (my $client = $socket->accept)
	{
		$client->syswrite($bytes) if length $bytes;
		close $client;
	}
	require POSIX;
	POSIX::_exit(0);
}

my %garbage = (
	'HTTP/1.1' => "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
	'noise' => join('', map { chr($_ * 37 % 256) } 1 .. 2000),
	'nothing' => '');

for my $kind (sort keys %garbage)
{
	my ($pid, $path) = start_garbage($garbage{$kind});

	create_agent_server($node, 'fleet', $path,
		name => 'strange', connect_timeout => '300ms');
	poll_value($node, 'fleet',
		q{SELECT state FROM power_action.agent_status WHERE server_name = 'strange'},
		'unreachable');
	$id = request($site, 'power_off', 's1');
	is(finish($site, request($site, 'power_on', 'e1')),
		'success|confirmed', "$kind instead of an agent: others are done");
	is(event_value($site, $id, 'status, attempts'), 'pending|0',
		'its own wait without an attempt');
	value($site, "SELECT power_action.cancel($id)");
	is(finish($site, $id), 'cancelled|none', 'and can be cancelled');
	value($site, 'DROP SERVER strange');
	kill 'KILL', $pid;
	waitpid $pid, 0;
	$? = 0;
}
is(value($site, 'SELECT courier_starts FROM power_action.worker_status'),
	1, 'the courier lived through all this');
is(value($site, 'SELECT errors FROM power_action.worker_status'),
	0, 'and the worker without an error');

finish_all($site);
ok_checked($site);

done_testing();
