# test/t/071_servers_many.pl
#
# Several servers at once, each with its account, limits and kind of agent;
# and several addresses of one server: fail-over and round robin, from a list
# and from a name server.

use strict;
use warnings FATAL => 'all';

use Cwd ();
use File::Basename;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PowerActionForeign;
use PowerActionSequence;
use PowerActionTest;

plan skip_all => 'python3-grpcio or python3-protobuf is not installed'
  if !have_foreign_agents();

my $site = new_site('main');
my $node = $site->{node};
my $go = PostgreSQL::Test::Utils::tempdir('go') . '/go';

# How many calls the agents got for these clusters, each.
sub counts
{
	my ($clusters, @agents) = @_;
	my %wanted = map { $_ => 1 } @$clusters;

	return map {
		scalar grep { $wanted{ $_->{cluster_id} } } foreign_calls($_)
	} @agents;
}

sub finish_each
{
	my (@ids) = @_;

	return join ' ', sort keys %{ { map { finish($site, $_) => 1 } @ids } };
}

# ----------------------------------------------------------------------
# Accounts, limits, fields
# ----------------------------------------------------------------------

my %agent = (
	narrow => start_foreign_agent('127.0.0.1:0', hold => $go),
	wide => start_foreign_agent('127.0.0.1:0', hold => $go, states => 1));

create_agent_server($node, 'fleet', "127.0.0.1:$agent{narrow}{port}",
	name => 'narrow', max_concurrent_calls => 2, account_field => 'id');
create_agent_server($node, 'fleet', "127.0.0.1:$agent{wide}{port}",
	name => 'wide', max_concurrent_calls => 7);
for my $server (qw(narrow wide))
{
	add_account($site, "account $server", $server, "id-$server");
	add_clusters($site, "account $server", map { "held-$server-$_" } 1 .. 10);
}

my @ids = map { request_many($site, 'power_off', [ map { "held-$_" } @$_ ]) }
  [ map { "narrow-$_" } 1 .. 10 ], [ map { "wide-$_" } 1 .. 10 ];
poll_value($node, 'fleet',
	q{SELECT string_agg(server_name || ' ' || in_flight, ', ' ORDER BY server_name)
	  FROM power_action.agent_status WHERE server_name <> 'agent'},
	'narrow 2, wide 7');
is(scalar(foreign_calls($agent{narrow})), 2, 'a server has its own limit');
is(scalar(foreign_calls($agent{wide})), 7, 'and so has another');
append_to_file($go, 'go');
is(finish_each(@ids[ 0 .. 9 ]), 'success|accepted', 'all of one are done');
is(finish_each(@ids[ 10 .. 19 ]), 'success|confirmed', 'all of the other');
my %accounts = (narrow => 'id-narrow', wide => 'account wide');
for my $server (qw(narrow wide))
{
	my %seen =
	  map { ("$_->{account_name}, " . $_->{cluster_id} =~ s/-\d+$//r) => 1 }
	  foreign_calls($agent{$server});

	is_deeply([ keys %seen ], ["$accounts{$server}, held-$server"],
		"$server: its own account and clusters only, in its own field");
}

# ----------------------------------------------------------------------
# Fail-over between addresses
# ----------------------------------------------------------------------

my ($first, $second) = map { start_foreign_agent('127.0.0.1:0') } 1 .. 2;
my $addresses = "ipv4:127.0.0.1:$first->{port},127.0.0.1:$second->{port}";
my @group = map { "g$_" } 1 .. 12;

sub power_group
{
	my ($action) = @_;

	return finish_each(request_many($site, $action, \@group));
}

create_agent_server($node, 'fleet', $addresses, name => 'group');
add_account($site, 'group', 'group');
add_clusters($site, 'group', @group);
is(power_group('power_on'), 'success|accepted', 'pick_first: all succeed');
is_deeply([ counts(\@group, $first, $second) ],
	[ 12, 0 ], 'pick_first: all at the first');
end_foreign_agent($first);
is(power_group('power_off'), 'success|accepted',
	'the first is killed: all succeed');
is_deeply([ counts(\@group, $first, $second) ],
	[ 12, 12 ], 'all at the second');

# Back where it was; then the second goes.
my $again = start_foreign_agent("127.0.0.1:$first->{port}");
end_foreign_agent($second);
is(power_group('power_on'), 'success|accepted', 'and back again');
is_deeply([ counts(\@group, $again) ], [12], 'all at the first');

# ----------------------------------------------------------------------
# Round robin
# ----------------------------------------------------------------------

$second = start_foreign_agent("127.0.0.1:$second->{port}");
value($site, 'DROP SERVER "group"');
create_agent_server($node, 'fleet', $addresses,
	name => 'group', load_balancing => 'round_robin');

# It is ready with one connection; the other may come a little later.
wait_until(
	'both are called',
	sub {
		die 'a call failed' if power_group('power_off') ne 'success|accepted';
		return (counts(\@group, $second))[0] > 0
		  && (counts(\@group, $again))[0] > 12;
	});
my @before = counts(\@group, $again, $second);
is(power_group('power_on'), 'success|accepted', 'round_robin: all succeed');
my @after = counts(\@group, $again, $second);
is_deeply([ map { $after[$_] - $before[$_] } 0, 1 ],
	[ 6, 6 ], 'half at each');

end_foreign_agent($second);
is(power_group('power_off'), 'success|accepted', 'one is killed: all succeed');
is_deeply(
	[ counts(\@group, $again) ],
	[ $after[0] + 12 ],
	'all at the other');

# Calls that were in flight when an agent was killed are tried at the other.
my $hold = "$go-not";
my @pair = map { start_foreign_agent('127.0.0.1:0', hold => $hold) } 1 .. 2;
create_agent_server(
	$node, 'fleet', 'ipv4:' . join(',', map { "127.0.0.1:$_->{port}" } @pair),
	name => 'pair');
add_account($site, 'pair', 'pair');
add_clusters($site, 'pair', 'held-pair');
my $id = request($site, 'power_off', 'held-pair');
wait_until('the call is in flight', sub { foreign_calls($pair[0]) });
end_foreign_agent($pair[0]);
wait_until('it is repeated', sub { foreign_calls($pair[1]) });
append_to_file($hold, 'go');
is(finish($site, $id), 'success|accepted', 'a call in flight is repeated');
is(event_value($site, $id, 'attempts'), 2, 'as a second attempt');
is( (foreign_calls($pair[1]))[0]{'x-request-id'},
	(foreign_calls($pair[0]))[0]{'x-request-id'},
	'with the same request id');

# ----------------------------------------------------------------------
# One name with several addresses
# ----------------------------------------------------------------------

my $one = start_foreign_agent('127.0.0.2:0');
my $two = start_foreign_agent("127.0.0.3:$one->{port}");
my ($input, $output, $errors) = ('', '', '');
my $name_server = IPC::Run::start(
	[
		'/usr/bin/python3',
		Cwd::abs_path(dirname(__FILE__)) . '/name_server.py',
		'agents.test', '127.0.0.2', '127.0.0.3'
	],
	'<', \$input, '>', \$output, '2>', \$errors);
my $port;
wait_until(
	'the name server listens',
	sub {
		$name_server->pump_nb;
		die "the name server has ended: $errors" if !$name_server->pumpable;
		return ($port) = $output =~ /^listening (\d+)$/m;
	});

create_agent_server(
	$node, 'fleet',
	"dns://127.0.0.1:$port/agents.test:$one->{port}",
	name => 'named', load_balancing => 'round_robin', tls => 'off');
add_account($site, 'named', 'named');
my @named = map { "n$_" } 1 .. 12;
add_clusters($site, 'named', @named);
wait_until(
	'both addresses are called',
	sub {
		finish_each(request_many($site, 'power_on', \@named)) eq
		  'success|accepted'
		  or die 'a call failed';
		return 2 == grep { $_ > 0 } counts(\@named, $one, $two);
	});
@before = counts(\@named, $one, $two);
is(finish_each(request_many($site, 'power_off', \@named)),
	'success|accepted', 'a name with two addresses: all succeed');
@after = counts(\@named, $one, $two);
is_deeply([ map { $after[$_] - $before[$_] } 0, 1 ],
	[ 6, 6 ], 'half at each address');

# A name that does not exist is told apart.
value($site, qq{ALTER SERVER named OPTIONS (SET target 'dns://127.0.0.1:$port/nobody.test:1')});
poll_value($node, 'fleet',
	q{SELECT state || ' ' || (last_error ~ 'nobody.test') FROM power_action.agent_status WHERE server_name = 'named'},
	'unreachable true');
pass('a name that does not exist is named');

end_foreign_agent($_) for $one, $two;
$name_server->kill_kill;
finish_all($site);
ok_consistent($site);

done_testing();
