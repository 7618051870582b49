# test/t/084_libvirt.pl
#
# The provider libvirt against libvirt's own test driver, alone and on the
# whole way from SELECT power_off(...).  The domains of that driver live in the
# process that has the connection: only the agent can tell their states.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Socket;
use Test::More;
use CloudTest;
use PowerActionSequence;
use PowerActionTest;

plan skip_all => 'python3-grpcio or python3-protobuf is not installed'
  if !cloud_tests_possible();

my $dir = PostgreSQL::Test::Utils::tempdir('libvirt');
my $accounts = "$dir/accounts.ini";

# A hypervisor with domains, by name the number of libvirt's state.
sub write_hypervisor
{
	my ($name, %domains) = @_;
	my $xml = '<node>';

	for my $domain (sort keys %domains)
	{
		$xml .= "<domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>"
		  . "<name>$domain</name><memory>1024</memory><os><type>hvm</type></os>"
		  . "<test:runstate>$domains{$domain}</test:runstate></domain>";
	}
	append_to_file("$dir/$name.xml", "$xml</node>");
	return "test://$dir/$name.xml";
}

my ($running, $paused, $off) = (1, 3, 5);
my $uri = write_hypervisor('node',
	(map { ("web-$_" => $running) } 1 .. 3),
	'db' => $off, 'paused' => $paused,
	map { ("vm-$_" => $running) } 6 .. 245);

# A hypervisor that takes connections and never says anything.
socket(my $mute, PF_UNIX, SOCK_STREAM, 0) or die "socket: $!";
my $socket = PostgreSQL::Test::Utils::tempdir_short() . '/mute';
bind($mute, sockaddr_un($socket)) && listen($mute, 10) or die "$socket: $!";

sub section
{
	my ($name, $to, $more) = @_;

	return "[$name]\nprovider = libvirt\nuri = $to\npoll_interval = 50ms\n"
	  . ($more // '') . "\n";
}

write_accounts($accounts,
	section('prod', $uri)
	  . section('default', 'test:///default')
	  . section('mute', "test+unix:///default?socket=$socket", 'max_calls = 2')
	  . section('nobody', 'test+unix:///default?socket=/nowhere/socket'));

my $agent = start_agent($dir, '--accounts', $accounts, '--drain-timeout', '200ms');
my $calls = start_calls($agent);

is( states_of(call($calls, 'state', [qw(web-1 db paused none)])),
	'db=STOPPED none=UNKNOWN (no such domain) paused=RUNNING (the domain is paused) web-1=RUNNING',
	'states');
is( states_of(call($calls, 'off', [qw(web-1 web-2 db none)])),
	'db=STOPPED none=UNKNOWN (no such domain) web-1=STOPPED web-2=STOPPED',
	'stopped');
is(states_of(call($calls, 'state', [qw(web-1 web-2 web-3)])),
	'web-1=STOPPED web-2=STOPPED web-3=RUNNING', 'and so they are');
is(states_of(call($calls, 'on', [qw(web-1 db paused)])),
	'db=RUNNING paused=RUNNING web-1=RUNNING', 'started');
is(states_of(call($calls, 'off', ['test'], account => 'default')),
	'test=STOPPED', 'test:///default');
is( states_of(call($calls, 'state', ['6695eb01-f6a4-8304-79aa-97f2502e193f'], account => 'default')),
	'6695eb01-f6a4-8304-79aa-97f2502e193f=STOPPED', 'by UUID');

like(states_of(call($calls, 'on', ['test'], account => 'nobody')),
	qr{^UNAVAILABLE .*/nowhere/socket.*No such file}, 'a hypervisor that is not there');
my @sent = send_calls($calls,
	map { { method => 'off', account => 'mute', instances => ['test'], timeout => 2 } } 1 .. 6);
is(states_of(call($calls, 'state', ['web-3'])),
	'web-3=RUNNING', 'one that is mute holds up nobody else');
is( join("\n", map { states_of($_) } take_answers($calls, @sent)),
	join("\n", ('UNAVAILABLE the hypervisor did not answer in time') x 6),
	'and its own orders are answered in time');

# Accounts that stay the same keep their domains
write_accounts($accounts,
	section('prod', $uri) . section('mute', "test+unix:///default?socket=$socket", 'max_calls = 3'));
kill HUP => $agent->{pid};
wait_until('the file was read', sub { slurp_file($agent->{log}) =~ /was loaded: 2 accounts/ });
is(states_of(call($calls, 'state', ['web-2'])), 'web-2=STOPPED', 'the connection is kept');
stop_agent($agent);
pass('the agent ends although a hypervisor is mute');

# The whole way

my $site = new_site('main', agent => [ '--accounts', $accounts ]);
my $node = $site->{node};

value($site, q{
	INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name, region)
	VALUES ('web', 'web', 'prod', ''), ('mixed', 'mixed', 'prod', '');
	INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name, region)
	SELECT 'c-' || n, 'c-' || n, 'prod', '' FROM generate_series(1, 40) n;
	INSERT INTO power_action.instance (cluster_id, instance_id)
	VALUES ('web', 'web-1'), ('web', 'web-2'), ('mixed', 'web-3'), ('mixed', 'none');
	INSERT INTO power_action.instance (cluster_id, instance_id)
	SELECT 'c-' || n, 'vm-' || 6 * n + m
	FROM generate_series(1, 40) n, generate_series(0, 5) m});

sub states
{
	my ($cluster) = @_;

	return value($site, qq{
		SELECT c.status || ': ' || string_agg(i.status, ' ' ORDER BY i.instance_id)
		FROM power_action.cluster c JOIN power_action.instance i USING (cluster_id)
		WHERE cluster_id = '$cluster' GROUP BY c.status});
}

is(finish($site, request($site, 'power_off', 'web')), 'success|confirmed', 'power_off');
is(states('web'), 'stopped: stopped stopped', 'stops the domains');
is(finish($site, request($site, 'power_on', 'web')), 'success|confirmed', 'power_on');
is(states('web'), 'running: running running', 'starts them');
value($site,
	q{SELECT count(*) FROM power_action.power_off(ARRAY(SELECT 'c-' || n FROM generate_series(1, 40) n))});
poll_value($node, 'fleet', q{
	SELECT count(*) = 40 FROM power_action.event
	WHERE cluster_id LIKE 'c-%' AND status = 'success' AND agent_result = 'confirmed'});
pass('40 clusters of 6 domains');
value($site, q{SELECT power_action.refresh('web')});
wait_until('the refresh is done', sub {
	value($site, q{SELECT count(*) FROM power_action.event WHERE finished_at IS NULL}) eq '0' });
is(states('web'), 'running: running running', 'refresh asks the hypervisor');

ok_consistent($site);
done_testing();
