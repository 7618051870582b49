# test/t/069_lanes.pl
#
# Servers, accounts and priorities take their turns, with statements and
# without; and lanes whose names have the same hash keep apart.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use PostgreSQL::Test::Utils;
use PowerActionSequence;
use PowerActionTest;
use Test::More;

my $site = new_site(
	'main',
	conf => "
	shared_preload_libraries = 'power_action, pg_stat_statements'
	pg_stat_statements.track = all\n",
	agent => [qw(--initial-state running)]);
my $node = $site->{node};

value($site, 'CREATE EXTENSION pg_stat_statements');

sub hold_back
{
	set_conf($site, 'power_action.enabled', 'off');
	return;
}

sub let_go
{
	set_conf($site, 'power_action.enabled', undef);
	return;
}

# The clusters that an agent was told to act on since it had so many lines.
sub started
{
	my ($agent, $after) = @_;
	my @lines = grep { $_->{event} eq 'start' } all_agent_lines($agent);

	return map { $_->{cluster_id} } splice @lines, $after;
}

# ----------------------------------------------------------------------
# In turn
# ----------------------------------------------------------------------

my @servers = ('left', 'right');
my @priorities = (-3, 0, 7);
my %agent;

for my $server (@servers)
{
	$agent{$server} = start_logging_agent(qw(--initial-state running));
	create_agent_server($node, 'fleet', $agent{$server},
		name => $server, max_concurrent_calls => 1);
	for my $account ('x', 'y')
	{
		add_account($site, "$server-$account", $server);
		add_clusters($site, "$server-$account", map {
			my $priority = $_;
			map { "$server $account $priority $_" } 1 .. 3
		} @priorities);
	}
}

# The lowest priority is asked for first.
sub in_turn
{
	my ($action, $name, $by_statement) = @_;
	my %before = map { $_ => scalar started($agent{$_}, 0) } @servers;

	value($site, 'SELECT pg_stat_statements_reset()');
	hold_back();
	for my $priority (@priorities)
	{
		for my $number (1 .. 3)
		{
			request_many($site, $action,
				[ map { ("$_ x $priority $number", "$_ y $priority $number") } @servers ],
				"priority => $priority");
		}
	}
	let_go();
	finish_all($site);
	for my $server (@servers)
	{
		my @done = started($agent{$server}, $before{$server});

		is(join(' ', map { (split / /)[2] } @done),
			join(' ', map { ($_) x 6 } reverse @priorities),
			"$name: the highest priority of $server goes first");
		is(join(' ', map { (split / /)[3] } @done),
			join(' ', (1, 1, 2, 2, 3, 3) x @priorities),
			"$name: its accounts take turns, the oldest first");
	}
	is( value($site, q{
			SELECT count(*) > 0 FROM pg_stat_statements
			WHERE query LIKE '%WITH ORDINALITY AS l(names%'}),
		$by_statement, "$name: claimed by a statement: $by_statement");
	return;
}

in_turn('power_off', 'as it was made', 'f');
value($site, 'ALTER TABLE power_action.job ADD COLUMN noted text');
in_turn('power_on', 'with another column', 't');

# ----------------------------------------------------------------------
# Names with the same hash
# ----------------------------------------------------------------------

# Made for it; bytes that come in another order have other hashes.
my @alike = ('agent_first_N1kTF7R3KM7E', 'agent_dR_GmC5N6b1lciyLMC');
my @accounts = ('prod_fgBdf42N1kTF7R3KM7E', 'prod_Y7tbC0amirqcNK_vJJp');

SKIP:
{
	skip 'the names were made for little-endian machines'
	  if pack('L', 1) ne pack('V', 1);

	add_account($site, $accounts[0], 'agent');
	is( (query_error($site, qq{
			INSERT INTO power_action.account (account_name)
			VALUES ('$accounts[1]')}))[0],
		'23505', 'accounts of one server with the same hash');
	add_account($site, $accounts[1], 'left');
	is( (query_error($site, qq{
			UPDATE power_action.account SET server_name = 'agent'
			WHERE account_name = '$accounts[1]'}))[0],
		'23505', 'and when one moves there');

	# One account may have had jobs for both servers.
	my $alive = start_logging_agent(qw(--initial-state running));
	my $late = PostgreSQL::Test::Utils::tempdir_short() . '/late';
	my @first = map { "first-$_" } 1 .. 20;
	my @second = map { "second-$_" } 1 .. 20;

	create_agent_server($node, 'fleet', $late,
		name => $alike[0], max_concurrent_calls => 1, connect_timeout => '200ms');
	create_agent_server($node, 'fleet', $alive,
		name => $alike[1], max_concurrent_calls => 1);
	add_account($site, 'moved', $alike[0]);
	add_clusters($site, 'moved', @first, @second);
	hold_back();
	request_many($site, $_, \@first) for ('power_off', 'power_on');
	value($site, "UPDATE power_action.account SET server_name = '$alike[1]'
		WHERE account_name = 'moved'");
	request_many($site, 'power_off', \@second);
	is( value($site, q{
			SELECT count(DISTINCT server_name), count(DISTINCT
				hashtextextended(server_name, hashtextextended(account_name, 0)))
			FROM power_action.job}),
		'2|1', 'two servers, one hash');
	let_go();
	poll_value($node, 'fleet', q{
		SELECT count(*) = 20 FROM power_action.event
		WHERE cluster_id LIKE 'second-%' AND status = 'success'});
	pass('what is behind jobs of an agent that is away is done');
	is(join(' ', started($alive, 0)), join(' ', @second), 'in its order');
	is( value($site, q{
			SELECT count(*) FROM power_action.event
			WHERE cluster_id LIKE 'first-%' AND status = 'pending'}),
		40, 'the others wait for theirs, and are not taken to memory');
	is( value($site, "
			SELECT waiting FROM power_action.agent_status
			WHERE server_name = '$alike[0]'"),
		40, 'as its status says');

	# What is given up is what waits for an agent that is away.
	freeze_process($alive->{pid});
	request_many($site, 'power_on', \@second);
	poll_value($node, 'fleet', q{
		SELECT max(requested_at) < clock_timestamp() - interval '1 s'
		FROM power_action.event});
	set_conf($site, 'power_action.give_up_after', '1s');
	poll_value($node, 'fleet', q{
		SELECT count(*) = 40 FROM power_action.event
		WHERE cluster_id LIKE 'first-%' AND error_code = 'UNAVAILABLE'});
	set_conf($site, 'power_action.give_up_after', undef);
	kill 'CONT', $alive->{pid} or die 'no agent';
	finish_all($site);
	is( value($site, q{
			SELECT count(*) FROM power_action.event
			WHERE cluster_id LIKE 'second-%' AND status = 'success'}),
		40, 'what waits for another is not given up');
}

ok_checked($site);
done_testing();
