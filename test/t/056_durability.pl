# test/t/056_durability.pl
#
# What an agent is called for is durable, whatever the caller's settings, and
# what is not committed never reaches it.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PowerActionSequence;
use PowerActionTest;

my $rounds = 8;
my $herd = 10;

# Nobody but a commit that waits writes WAL.  The agent acts and does not
# answer, so that no outcome makes the request durable by the way.
my $site = new_site(
	'main',
	conf => "wal_writer_delay = 10s\nwal_writer_flush_after = 0\n"
	  . "bgwriter_lru_maxpages = 0\nautovacuum = off\n"
	  . "max_prepared_transactions = 2\npower_action.max_attempts = 20\n",
	agent => [qw(--initial-state running)],
	rules => "round-*  hang when=after times=1\n");
my $node = $site->{node};
my $agent = $site->{agent};

add_clusters($site, 'prod',
	(map { my $r = $_; map { "round-$r-$_" } 1 .. $herd } 1 .. $rounds),
	'plain', qw(rollback savepoint function error deferred prepared open));
value(
	$site, q{
	CREATE TABLE control (n int);
	CREATE TABLE checked (n int);
	CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		RAISE EXCEPTION 'not at commit';
	END$$;
	CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON checked
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()});

# Cluster and method of each request the agent has acted for, by event id.
sub acted
{
	return map { ($_->{request_id} =~ m{^\d+/\d+/(\d+)})[0] =>
			"$_->{cluster_id} $_->{method}" }
	  grep { $_->{event} eq 'start' } all_agent_lines($agent);
}

# ----------------------------------------------------------------------
# Asynchronous commit and immediate stop
# ----------------------------------------------------------------------

my $lost = 0;
my $missing = 0;

for my $round (1 .. $rounds)
{
	my $session = $node->background_psql('fleet');

	$session->query_safe('SET synchronous_commit = off');

	# what would not be safe, nor is anything before it
	$session->query_safe("SELECT power_action.power_off('round-$round-$_')")
	  for 1 .. $herd;
	agent_lines($agent, "round-$round-$_", 'start', 1) for 1 .. $herd;

	# an order under way, and one that was just committed
	$session->query_safe("INSERT INTO control VALUES ($round)");
	$session->query_safe('BEGIN');
	$session->query_safe(q{SELECT power_action.power_off('open')});
	$node->stop('immediate');
	eval { $session->quit };
	$node->start;

	$lost++
	  if value($site, "SELECT count(*) FROM control WHERE n = $round") == 0;
	my %acted = acted();
	my %events = map { split /\|/ } split /\n/,
	  value(
		$site, q{
		SELECT event_id, cluster_id || CASE action WHEN 'power_on' THEN ' PowerOnCluster' ELSE ' PowerOffCluster' END
		FROM power_action.event});
	my @wrong =
	  grep { ($events{$_} // '') ne $acted{$_} } sort keys %acted;
	$missing += @wrong;
	diag("round $round: no event for @wrong") if @wrong;
	wait_for_worker($node, 'fleet');
	finish_all($site);
}
is($missing, 0, 'whatever the agent was called for is in the table');
cmp_ok($lost, '>', 0,
	'though other commits of the same session were lost in the stops');
is( value($site, q{
	SELECT status, agent_result, count(*) FROM power_action.event
	WHERE cluster_id LIKE 'round-%' GROUP BY 1, 2}),
	'success|confirmed|' . $rounds * $herd,
	'all actions came to their end');
my %times;
$times{ $_->{request_id} }++
  for grep { $_->{event} eq 'start' } all_agent_lines($agent);
is(scalar(grep { $_ > 1 } values %times), 0, 'none was done twice');

# ----------------------------------------------------------------------
# What is not committed
# ----------------------------------------------------------------------

my $session = $node->background_psql('fleet', on_error_stop => 0);
my $off = sub { "SELECT power_action.power_off('$_[0]')" };

$session->query("BEGIN;\n" . $off->('rollback') . ";\nROLLBACK");
$session->query("BEGIN;\nSAVEPOINT s;\n"
	  . $off->('savepoint')
	  . ";\nROLLBACK TO s;\nRELEASE s;\n"
	  . $off->('plain')
	  . ";\nCOMMIT");
$session->query(qq{
	DO \$\$
	BEGIN
		BEGIN
			PERFORM power_action.power_off('function');
			RAISE EXCEPTION 'never mind';
		EXCEPTION WHEN raise_exception THEN
		END;
		PERFORM power_action.power_on('plain');
	END\$\$});
$session->query("BEGIN;\n" . $off->('error') . ";\nSELECT 1/0;\nCOMMIT");
$session->query("BEGIN;\n"
	  . $off->('deferred')
	  . ";\nINSERT INTO checked VALUES (1);\nCOMMIT");
$session->query("BEGIN;\n"
	  . $off->('prepared')
	  . ";\nPREPARE TRANSACTION 'p'");
is(value($site, 'SELECT count(*) FROM pg_prepared_xacts'), 1, 'one is prepared');
$node->stop('immediate');
eval { $session->quit };
$node->start;
is(value($site, 'SELECT count(*) FROM pg_prepared_xacts'), 1, 'and survives');
value($site, "ROLLBACK PREPARED 'p'");

# Two looks for what was not notified pass before this one is over.
wait_for_worker($node, 'fleet');
my $fence = request($site, 'power_off', 'plain',
	q{not_before => clock_timestamp() + '1.5 s'});
is(finish($site, $fence), 'success|confirmed', 'what is committed is done');
finish_all($site);
my @never = qw(rollback savepoint function error deferred prepared open);
my %called = map { $_->{cluster_id} => 1 } all_agent_lines($agent);
is_deeply([ grep { $called{$_} } @never ],
	[], 'what is rolled back never reaches the agent');
is( value($site, q{
	SELECT count(*) FROM power_action.event
	WHERE cluster_id NOT LIKE 'round-%' AND cluster_id <> 'plain'}),
	0,
	'nor the table');
ok_checked($site);

done_testing();
