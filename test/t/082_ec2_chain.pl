# test/t/082_ec2_chain.pl
#
# The whole way: SELECT power_off(...) to a cloud's instances, over the worker,
# the courier, power_agent and its provider ec2.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use CloudTest;
use PowerActionSequence;
use PowerActionTest;

plan skip_all => 'python3-grpcio or python3-protobuf is not installed'
  if !cloud_tests_possible();

my $dir = PostgreSQL::Test::Utils::tempdir('ec2');
my $accounts = "$dir/accounts.ini";
my $cloud = start_cloud();
my %keys = (endpoint => $cloud->{url}, user => 'AK', key => 'SK', provider => 'ec2',
	max_requests_per_second => 0, poll_interval => '50ms');

sub section
{
	my ($name, %more) = @_;
	my %all = (%keys, %more);

	return "[$name]\n" . join '', map { "$_ = $all{$_}\n" } sort keys %all;
}

write_accounts($accounts,
	section('prod', confirm_wait => 0) . section('waits', confirm_wait => '60s')
	  . section('narrow', confirm_wait => 0, max_connections => 1));

my $site = new_site('main', agent => [ '--accounts', $accounts ]);
my $node = $site->{node};

add_account($site, 'waits', 'agent');
add_account($site, 'stranger', 'agent');
add_account($site, 'narrow', 'agent');
value($site, q{
	INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name, region)
	VALUES ('web', 'web', 'prod', 'eu-west-1'), ('db', 'db', 'waits', 'eu-west-1'),
		   ('none', 'none', 'stranger', 'eu-west-1'),
		   ('sent', 'sent', 'narrow', 'eu-west-1'),
		   ('unsent', 'unsent', 'narrow', 'eu-west-1');
	INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name, region)
	SELECT 'c-' || n, 'c-' || n, 'prod', 'eu-west-1' FROM generate_series(1, 40) n;
	INSERT INTO power_action.instance (cluster_id, instance_id)
	VALUES ('web', 'i-0001'), ('web', 'i-0002'), ('db', 'i-0003'), ('none', 'i-0004'),
		   ('sent', 'i-0005'), ('unsent', 'i-0006');
	INSERT INTO power_action.instance (cluster_id, instance_id)
	SELECT 'c-' || n, 'i-' || lpad(to_hex(4096 + 6 * n + m), 4, '0')
	FROM generate_series(1, 40) n, generate_series(0, 5) m});
control($cloud,
	keys => { AK => 'SK' },
	pending => 0.3, stopping => 0.3, latency => 0.02,
	instances => {
		(map { ("i-000$_" => 'running') } 1 .. 6),
		(map { (sprintf('i-%04x', 4096 + $_) => 'running') } 6 .. 245)
	});

sub states
{
	my ($cluster) = @_;

	return value($site, qq{
		SELECT c.status || ': ' || string_agg(i.status, ' ' ORDER BY i.instance_id)
		FROM power_action.cluster c JOIN power_action.instance i USING (cluster_id)
		WHERE cluster_id = '$cluster' GROUP BY c.status});
}

is(finish($site, request($site, 'power_off', 'web')),
	'success|confirmed', 'an agent that answers at once is asked until it is done');
is(states('web'), 'stopped: stopped stopped', 'and so it is in the inventory');
is(control($cloud)->{instances}{'i-0001'}, 'stopped', 'and in the cloud');
is(finish($site, request($site, 'power_on', 'db')),
	'success|confirmed', 'nothing to do is done');
is(finish($site, request($site, 'power_off', 'db')),
	'success|confirmed', 'an agent that waits');
is(states('db'), 'stopped: stopped', 'for the state');

is(finish($site, request($site, 'power_off', 'none')),
	'failed|refused|agent|NOT_FOUND', 'an account that the agent does not have');

control($cloud,
	faults => [ { action => 'StartInstances', code => 'InsufficientInstanceCapacity',
			status => 500, message => 'There is no capacity.' } ]);
my $refused = request($site, 'power_on', 'db');
is(finish($site, $refused), 'failed|refused|agent|AGENT_ERROR', 'no capacity');
is( event_value($site, $refused, 'error_message'),
	'InsufficientInstanceCapacity: There is no capacity. (error 1)',
	'in the words of the cloud');
is(states('db'), 'stopped: stopped', 'leaves it as it is');

control($cloud, faults => [], instances => { 'i-0002' => 'terminated' });
is(finish($site, request($site, 'power_on', 'web')),
	'failed|partial|agent|PARTIAL', 'a terminated instance does not start');
is(states('web'), 'running: running terminated', 'the other does');

# 40 clusters, a cloud that throttles
control($cloud,
	faults => [ { code => 'RequestLimitExceeded', status => 503, times => 5 } ]);
value($site,
	q{SELECT count(*) FROM power_action.power_off(ARRAY(SELECT 'c-' || n FROM generate_series(1, 40) n))});
poll_value($node, 'fleet', q{
	SELECT count(*) = 40 FROM power_action.event
	WHERE cluster_id LIKE 'c-%' AND status = 'success' AND agent_result = 'confirmed'});
pass('40 clusters through a cloud that throttles');
my $told = control($cloud);
is( scalar(grep { $told->{instances}{$_} ne 'stopped' }
		  grep { /^i-1/ } keys %{ $told->{instances} }),
	0, 'all their instances have stopped');

# An event is cancelled before the cloud has seen its order
control($cloud, forget => \1, hold => \1);
my $sent = request($site, 'power_off', 'sent');
wait_until('the cloud has the call', sub { control($cloud)->{active} > 0 });
my $unsent = request($site, 'power_off', 'unsent');
agent_lines($site->{agent}, 'unsent', 'start', 1);
value($site, "SELECT power_action.cancel($unsent)");
is(finish($site, $unsent), 'cancelled|unknown', 'a cancelled event');
agent_lines($site->{agent}, 'unsent', 'withdrawn', 1);
control($cloud, hold => \0);
is(finish($site, $sent), 'success|confirmed', 'the one before it');
is( join(' ', map { @{ $_->{ids} } } grep { $_->{action} eq 'StopInstances' }
			@{ control($cloud)->{log} }),
	'i-0005', 'is all that the cloud has seen');

ok_consistent($site);
done_testing();
