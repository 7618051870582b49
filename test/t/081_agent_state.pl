# test/t/081_agent_state.pl
#
# An agent that remembers across its restarts: killed at any moment of 1,000
# actions, it carries out nothing again that it has answered, nothing that is
# out of date, and every cluster ends as its last order says.

use strict;
use warnings FATAL => 'all';

use FindBin;
use IPC::Run ();
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PowerActionSequence;
use PowerActionTest;

my $clusters = 250;
my $rounds = 4;
my $json = JSON::PP->new->canonical;

my $state = PostgreSQL::Test::Utils::tempdir('state') . '/state';
my $site = new_site(
	'main',
	conf => "power_action.max_attempts = 1000\n",
	agent => [ '--state', $state ],
	rules => "lost off status=UNAVAILABLE when=after\n",
	options => { max_concurrent_calls => 32 });
my $node = $site->{node};
my $agent = $site->{agent};

add_clusters($site, 'prod', 'lost');
value(
	$site, qq{
	INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name)
	SELECT 'c-' || n, 'c-' || n, 'prod' FROM generate_series(1, $clusters) n;
	INSERT INTO power_action.instance (cluster_id, instance_id)
	SELECT 'c-' || n, 'i-1' FROM generate_series(1, $clusters) n});

sub set_rules
{
	my ($text) = @_;
	my $path = "$agent->{dir}/rules";

	append_to_file("$path.new", $text);
	rename "$path.new", $path or die "rename: $!";
	return;
}

# The agent is killed, and started again with what it had.
sub kill_and_restart
{
	kill_agent($agent);
	$agent = restart_agent($agent);
	return;
}

# How often the log has a line "start", or "end", of a cluster.
sub count_lines
{
	my ($event, $cluster) = @_;

	return scalar(() = slurp_file($agent->{calls}) =~
		  /"event":"$event".*"cluster_id":"\Q$cluster\E"/g);
}

# ----------------------------------------------------------------------
# One answer that is lost with the agent
# ----------------------------------------------------------------------

my $id = request($site, 'power_off', 'lost');
wait_until('the answer is lost', sub { count_lines('end', 'lost') });
kill_and_restart();
set_rules('');
is(finish($site, $id), 'success|confirmed', 'an answer that was lost is given');
is(count_lines('start', 'lost'), 1, 'to an order that was carried out once');
cmp_ok(event_value($site, $id, 'attempts'), '>', 1, 'but was sent again');

# ----------------------------------------------------------------------
# 1,000 actions
# ----------------------------------------------------------------------

my $seed = $ENV{SEED} // time;
srand $seed;
note("SEED=$seed");

# Some answers never get to the worker, so that their repetitions are on the
# way when the agent is killed.
set_rules("c-*3 status=UNAVAILABLE when=after times=1\n"
	  . "c-*7 status=UNAVAILABLE when=after times=1\n");

my $kills = 0;
my $left_query = $node->background_psql('fleet');

for my $round (1 .. $rounds)
{
	# every second cluster on, the others off, and the other way round
	value(
		$site, qq{
		SELECT CASE WHEN (n + $round) % 2 = 0
			THEN power_action.power_on('c-' || n)
			ELSE power_action.power_off('c-' || n) END
		FROM generate_series(1, $clusters) n});
	for my $kill (1 .. 5)
	{
		my $size = (-s $agent->{calls}) + rand 20_000;
		my $left = 1;

		wait_until(
			'the agent has done something',
			sub {
				$left = $left_query->query_safe('SELECT count(*) FROM power_action.job');
				return $left == 0 || -s $agent->{calls} > $size;
			});
		last if $left == 0;
		kill_and_restart();
		$kills++;
	}
	finish_all($site);
}
$left_query->quit;
cmp_ok($kills, '>=', 2 * $rounds, "the agent was killed $kills times");

is( value($site, q{
	SELECT status, agent_result, count(*) FROM power_action.event
	WHERE cluster_id LIKE 'c-%' GROUP BY 1, 2}),
	'success|confirmed|' . $rounds * $clusters,
	'all actions are done');

# what the agent itself says of every cluster, after one more restart
kill_and_restart();
value($site, q{
	SELECT power_action.refresh(cluster_id) FROM power_action.cluster
	WHERE cluster_id LIKE 'c-%'});
finish_all($site);
is( value($site, qq{
	SELECT count(*) FROM power_action.cluster c
	JOIN LATERAL (SELECT e.action FROM power_action.event e
				  WHERE e.cluster_id = c.cluster_id AND e.action <> 'refresh'
				  ORDER BY e.event_id DESC LIMIT 1) l ON true
	WHERE c.cluster_id LIKE 'c-%' AND c.status_source = 'agent'
	AND c.status = CASE l.action WHEN 'power_on' THEN 'running' ELSE 'stopped' END}),
	$clusters,
	'every cluster is what its last order says');
ok_consistent($site);

my ($out, $err);
my $checked = IPC::Run::run(
	[
		"$FindBin::RealBin/../storm/check", '--log', $agent->{calls},
		'--dbname', 'fleet', '--host', $node->host, '--port', $node->port
	],
	'<', \undef, '>', \$out, '2>', \$err);
ok($checked, 'the checker finds nothing') or diag($out, $err);
like($out, qr/, twice 0$/m, 'no answered order was carried out again');
note($out);

# ----------------------------------------------------------------------
# Requests that come again after the restart, from somebody else
# ----------------------------------------------------------------------

SKIP:
{
	my $python = $ENV{PYTHON} // '/usr/bin/python3';

	skip 'python3-grpcio or python3-protobuf is not installed', 3
	  if system($python, '-c',
		"try:\n import grpc, google.protobuf\nexcept ImportError:\n raise SystemExit(1)"
	  ) != 0;

	my %last;
	$last{ $_->{cluster_id} } = $_
	  for grep { ($_->{method} // '') =~ /^PowerO/ && $_->{cluster_id} =~ /^c-/ }
	  map { /^\{.*\}$/ ? JSON::PP::decode_json($_) : () }
	  split /\n/, slurp_file($agent->{calls});

	my $orders = () = slurp_file($agent->{calls}) =~ /"event":"start"/g;
	my @commands = ({ do => 'open', channel => 'a', target => $agent->{target} });
	for my $line (values %last)
	{
		my ($timeline, $epoch, $counter) = @{ $line->{order} };
		my %call = (
			do => 'begin',
			channel => 'a',
			cluster => $line->{cluster_id},
			method => "/agent.AgentService/$line->{method}",
			source => $line->{source});

		push @commands,
		  { %call, call => 'same', request_id => $line->{request_id}, order => $line->{order} },
		  { do => 'end', call => 'same' },
		  { %call, call => 'late', request_id => 'another', order => [ $timeline, $epoch, $counter - 1 ] },
		  { do => 'end', call => 'late' };
	}
	IPC::Run::run(
		[ $python, "$FindBin::RealBin/agent_client.py" ],
		'<', \join('', map { $json->encode($_) . "\n" } @commands),
		'>', \$out)
	  or die 'the client failed';

	my @answers = map { $json->decode($_) } split /\n/, $out;
	my (%same, %late);
	shift @answers;
	while (my (undef, $same, undef, $late) = splice @answers, 0, 4)
	{
		$same{"$same->{code} " . join ',', @{ $same->{states} // [] }}++;
		$late{"$late->{code} " . ($late->{details} =~ /^(stale order)/)[0]}++;
	}
	is_deeply(
		\%same,
		{ 'OK 1' => $clusters / 2, 'OK 2' => $clusters / 2 },
		'a request that comes again gets its answer');
	is_deeply(
		\%late,
		{ 'FAILED_PRECONDITION stale order' => $clusters },
		'one that comes late is refused');
	is(scalar(() = slurp_file($agent->{calls}) =~ /"event":"start"/g),
		$orders, 'and nothing was carried out');
}

done_testing();
