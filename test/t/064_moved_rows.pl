# test/t/064_moved_rows.pl
#
# Rows that are elsewhere when an outcome is written than they were when the
# worker read them, or not there at all, or with others in their place.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PowerActionSequence;
use PowerActionTest;

my $site = new_site(
	'main',
	conf => "autovacuum = off\n",
	agent => [qw(--initial-state running)]);
my $node = $site->{node};
my $agent = $site->{agent};

add_clusters($site, 'prod', qw(moved replaced neighbour full-1 full-2 full-3),
	qw(shared plain-1 plain-2));

# Requests whose calls are in flight: the agent stands still.
sub in_flight
{
	my ($action, @clusters) = @_;
	my @ids;

	freeze_process($agent->{pid});
	@ids = request_many($site, $action, \@clusters);
	poll_event($site, $_, q{status = 'running'}) for @ids;
	return @ids;
}

sub thaw { kill 'CONT', $agent->{pid} or die 'no agent'; return }

# What cluster and instances are, "status|i-1 status,i-2 status".
sub states
{
	my ($cluster) = @_;

	return value(
		$site, qq{
		SELECT c.status || '|' || string_agg(i.instance_id || ' ' || i.status, ','
			ORDER BY i.instance_id)
		FROM power_action.cluster c JOIN power_action.instance i USING (cluster_id)
		WHERE c.cluster_id = '$cluster' GROUP BY c.status});
}

# ----------------------------------------------------------------------
# Changed meanwhile
# ----------------------------------------------------------------------

my ($id) = in_flight('power_off', 'moved');
value($site, q{
	UPDATE power_action.cluster SET labels = '{"kept": 1}' WHERE cluster_id = 'moved';
	UPDATE power_action.instance SET labels = '{"kept": 2}' WHERE cluster_id = 'moved'});
thaw();
is(finish($site, $id), 'success|confirmed', 'rows changed while the call lasted');
is(states('moved'), 'stopped|i-1 stopped,i-2 stopped', 'are written');
is( value($site, q{
	SELECT c.labels->>'kept' || ' ' || string_agg(i.labels->>'kept', ' ')
	FROM power_action.cluster c JOIN power_action.instance i USING (cluster_id)
	WHERE cluster_id = 'moved' GROUP BY c.labels}),
	'1 2 2', 'with what was changed');

# ----------------------------------------------------------------------
# Another row in the place
# ----------------------------------------------------------------------

($id) = in_flight('power_off', 'replaced');
my $place = value($site, q{
	SELECT ctid FROM power_action.instance
	WHERE cluster_id = 'replaced' AND instance_id = 'i-2'});
value($site, q{DELETE FROM power_action.instance
	WHERE cluster_id = 'replaced' AND instance_id = 'i-2'});
value($site, 'VACUUM (INDEX_CLEANUP ON) power_action.instance');
value($site, q{
	DELETE FROM power_action.instance
	WHERE cluster_id = 'neighbour' AND instance_id = 'i-2';
	INSERT INTO power_action.instance (cluster_id, instance_id, status)
	VALUES ('neighbour', 'i-2', 'running')});
is( value($site, q{
	SELECT ctid FROM power_action.instance
	WHERE cluster_id = 'neighbour' AND instance_id = 'i-2'}),
	$place, 'an instance is where one was that is gone');
thaw();
is(finish($site, $id), 'success|confirmed', 'the outcome is written without that');
is(states('replaced'), 'stopped|i-1 stopped', 'to the instance that is left');
is(states('neighbour'), 'unknown|i-1 unknown,i-2 running', 'and not to the other');

# ----------------------------------------------------------------------
# Tables written anew
# ----------------------------------------------------------------------

# something before them to be left out, so that they move
value($site, q{DELETE FROM power_action.event WHERE status = 'success'});
my $later = request($site, 'power_off', 'neighbour', q{not_before => now() + '1 day'});
my @ids = in_flight('power_off', qw(full-1 full-2 full-3));
value($site, "SELECT power_action.cancel($later)");
poll_event($site, $later, q{status = 'cancelled'});
value($site, "DELETE FROM power_action.event WHERE event_id = $later");

# Where the rows of a table are, in the order of their events.
sub places
{
	my ($table) = @_;

	return value($site,
		"SELECT string_agg(ctid::text, ' ' ORDER BY event_id) FROM power_action.$table");
}

my %before = map { $_ => places($_) } qw(event job);
value($site, "VACUUM FULL power_action.$_") for qw(event job cluster instance);
isnt(places($_), $before{$_}, "the rows of $_ have moved") for qw(event job);
thaw();
is(finish($site, $_), 'success|confirmed', "event $_ is found") for @ids;
is(states("full-$_"), 'stopped|i-1 stopped,i-2 stopped', "full-$_ is written")
  for 1 .. 3;
finish_all($site);
is(event_value($site, $_, 'attempts'), 1, "event $_ is not called for again") for @ids;

# ----------------------------------------------------------------------
# A lock that does not look like one: of two sessions at a time
# ----------------------------------------------------------------------

my @sessions = map { $node->background_psql('fleet') } 1 .. 2;
for my $session (@sessions)
{
	$session->query_safe('BEGIN');
	$session->query_safe(q{SELECT FROM power_action.cluster
		WHERE cluster_id = 'shared' FOR SHARE});
}
my ($shared, @plain) =
  request_many($site, 'power_off', [qw(shared plain-1 plain-2)]);
is(finish($site, $_), 'success|confirmed', 'others do not wait for it') for @plain;
poll_value($node, 'fleet',
	"SELECT waits_for FROM power_action.activity WHERE event_id = $shared",
	'lock');
$_->query_safe('ROLLBACK') for @sessions;
is(finish($site, $shared), 'success|confirmed', 'it is written after release');
is(states('shared'), 'stopped|i-1 stopped,i-2 stopped', 'all of it');
$_->quit for @sessions;

finish_all($site);
done_testing();
