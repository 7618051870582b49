# test/t/026_foreign_agent.pl
#
# An agent written by somebody else, in another language with another gRPC
# library, for the contract that all agents have in common, behind CREATE
# SERVER.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PowerActionForeign;
use PowerActionSequence;
use PowerActionTest;

plan skip_all => 'python3-grpcio or python3-protobuf is not installed'
  if !have_foreign_agents();

my $socket = PostgreSQL::Test::Utils::tempdir_short() . '/agent';
my $agent = start_foreign_agent("unix:$socket");

sub calls
{
	return foreign_calls($agent);
}

my $site = new_site('main');
my $node = $site->{node};

create_agent_server($node, 'fleet', $socket, name => 'foreign');
add_account($site, 'their own', 'foreign', 'id-9');
add_clusters($site, 'their own', qw(web refused denied many));
value($site, q{
	INSERT INTO power_action.instance (cluster_id, instance_id)
	SELECT 'many', 'n-' || n FROM generate_series(1, 2000) n});

my $off = request($site, 'power_off', 'web', q{'alice', 'Überstunden – “late”'});
is(finish($site, $off), 'success|accepted', 'power_off is accepted');
my $on = request($site, 'power_on', 'web');
is(finish($site, $on), 'success|accepted', 'power_on is accepted');
is( value($site, q{SELECT status, status_source FROM power_action.cluster WHERE cluster_id = 'web'}),
	'running|accepted',
	'cluster is said to be on, on the word of an agent that only accepts');
is( value($site, q{SELECT outcome FROM power_action.history LIMIT 1}),
	'accepted',
	'history says no more than that');

my $identity = value($site, q{
	SELECT (CASE WHEN s < 0 THEN s::numeric + 18446744073709551616 ELSE s END)
		   || '/' || d.oid
	FROM (SELECT system_identifier FROM pg_control_system()) c (s),
		 pg_database d WHERE datname = current_database()});
my @calls = calls();
is(scalar(@calls), 2, 'it was called twice');
is_deeply(
	$calls[0],
	{
		method => 'PowerOffCluster',
		account_name => 'their own',
		region => 'eu-1',
		cluster_id => 'web',
		instances_id_list => [qw(i-1 i-2)],
		requester => 'alice',
		description => "\x{dc}berstunden \x{2013} \x{201c}late\x{201d}",
		'x-request-id' => "$identity/$off/"
		  . event_value($site, $off,
			'(extract(epoch FROM requested_at) * 1000000)::bigint - 946684800000000'),
		'x-attempt' => '1'
	},
	'it understood everything');
is("$calls[1]{method} $calls[1]{description}", 'PowerOnCluster ',
	'no description is none');

my $refused = request($site, 'power_off', 'refused');
is(finish($site, $refused), 'failed|refused|agent|AGENT_ERROR',
	'its error counts');
is(event_value($site, $refused, 'error_message'),
	'machine is on fire 🔥 (error 3)', 'in its own words');
my $denied = request($site, 'power_off', 'denied');
is(finish($site, $denied), 'failed|refused|agent|PERMISSION_DENIED',
	'so does its status');
is(event_value($site, $denied, 'error_message'),
	'not for you', 'and that has words, too');

is(finish($site, request($site, 'refresh', 'web')),
	'failed|none|agent|UNIMPLEMENTED',
	'it cannot be asked, which is no disaster');

is(finish($site, request($site, 'power_off', 'many')),
	'success|accepted', 'a large cluster');
@calls = calls();
is(scalar(@{ $calls[-1]{instances_id_list} }), 2002, 'with all its instances');

value($site, q{ALTER SERVER "foreign" OPTIONS (ADD account_field 'id')});
is(finish($site, request($site, 'power_off', 'web')),
	'success|accepted', 'account_field id');
@calls = calls();
is($calls[-1]{account_name}, 'id-9', 'the id comes in the same field');

# It goes away and comes back as any other.
end_foreign_agent($agent);
poll_value($node, 'fleet',
	q{SELECT state FROM power_action.agent_status WHERE server_name = 'foreign'},
	'unreachable');
my $waiting = request($site, 'power_on', 'web');
$agent = start_foreign_agent("unix:$socket", calls => $agent->{calls});
is(finish($site, $waiting), 'success|accepted', 'it came back');
is(event_value($site, $waiting, 'attempts'), 1, 'and was called once');

# A newer one, which can be asked; with the id of the account as well.
my $newer_socket = PostgreSQL::Test::Utils::tempdir_short() . '/agent';
my $newer = start_foreign_agent("unix:$newer_socket", states => 1);

create_agent_server($node, 'fleet', $newer_socket,
	name => 'newer', account_field => 'id');
add_account($site, 'new', 'newer', 'id-10');
add_account($site, 'no id', 'newer');
add_clusters($site, 'new', qw(asked));
add_clusters($site, 'no id', qw(nobody));
is(finish($site, request($site, 'power_on', 'asked', q{'bob', 'because'})),
	'success|confirmed', 'states and GetClusterPowerState: confirmed');
@calls = foreign_calls($newer);
is("$calls[0]{method} $calls[-1]{method}",
	'PowerOnCluster GetClusterPowerState', 'ordered, then asked');
is(join(', ', @{ $_ }{qw(account_name region cluster_id requester description)}),
	'id-10, eu-1, asked, bob, because', "$_->{method}: all it may want to know")
  for @calls[ 0, -1 ];
is( value($site, q{SELECT status, status_source FROM power_action.cluster WHERE cluster_id = 'asked'}),
	'running|agent',
	'the word of the agent counts');
is(finish($site, request($site, 'refresh', 'asked')),
	'success|confirmed', 'refresh');
is(finish($site, request($site, 'power_off', 'nobody')),
	'failed|none|request|FAILED_PRECONDITION',
	'no id of the account: nothing is sent');
is(scalar(foreign_calls($newer, 'nobody')), 0, 'indeed');
value($site, q{ALTER SERVER newer OPTIONS (SET account_field 'name')});
is(finish($site, request($site, 'power_off', 'nobody')),
	'success|confirmed', 'account_field name');
is((foreign_calls($newer, 'nobody'))[0]{account_name},
	'no id', 'the name comes in the same field');

ok_checked($site, unlogged => ['foreign', 'newer']);

done_testing();
