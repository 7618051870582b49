# test/t/PowerActionStream.pm
#
# Crowds: so many clusters that get an action together, enough of them for
# calls to share a stream; and what the tables and power_agent's log say of
# them afterwards.  The clusters of a crowd have its name as cluster_name, and
# are called NAME-1, NAME-2, ...

package PowerActionStream;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use PostgreSQL::Test::Utils;
use PowerActionSequence;
use PowerActionTest;

our @EXPORT = qw(
  add_server wait_ready add_crowd power_crowd open_stream
  crowd_outcomes crowd_attempts
  log_lines streamed start_count started_twice set_rules);

# A server with an account of the same name, for an agent or a target.
sub add_server
{
	my ($site, $name, $target, %options) = @_;

	create_agent_server($site->{node}, $site->{database}, $target,
		name => $name, %options);
	add_account($site, $name, $name);
	return;
}

sub wait_ready
{
	my ($site, @servers) = @_;

	poll_value($site->{node}, $site->{database},
		"SELECT state FROM power_action.agent_status WHERE server_name = '$_'",
		'ready')
	  for @servers;
	return;
}

# So many clusters of an account, with two instances each.
sub add_crowd
{
	my ($site, $account, $crowd, $count) = @_;

	value(
		$site, qq{
		INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name)
		SELECT '$crowd-' || n, '$crowd', '$account' FROM generate_series(1, $count) n;
		INSERT INTO power_action.instance (cluster_id, instance_id)
		SELECT '$crowd-' || n, 'i-' || i
		FROM generate_series(1, $count) n, generate_series(1, 2) i});
	return;
}

# One request for all clusters of the crowds, which get their turns in this
# order.
sub power_crowd
{
	my ($site, $action, @crowds) = @_;
	my $list = join ', ', map { "'$_'" } @crowds;

	return value(
		$site, qq{
		SELECT count(*) FROM power_action.$action(ARRAY(
			SELECT cluster_id
			FROM unnest(ARRAY[$list]) WITH ORDINALITY AS crowd (name, place)
			JOIN power_action.cluster ON cluster_name = name
			ORDER BY place, length(cluster_id), cluster_id))});
}

# Powers a crowd off, again and again until the function returns something
# else: how many calls have come over a stream.  What is requested next finds
# one that is open.
sub open_stream
{
	my ($site, $crowd, $came) = @_;
	my $before = $came->();

	wait_until(
		"a stream is open for $crowd",
		sub {
			power_crowd($site, 'power_off', $crowd);
			finish_all($site);
			return $came->() ne $before;
		});
	return;
}

# How the actions of a crowd ended: "success|confirmed 200", more than one
# separated by commas.
sub crowd_outcomes
{
	my ($site, $action, $crowd) = @_;

	return value(
		$site, qq{
		SELECT string_agg(outcome || ' ' || count, ', ' ORDER BY outcome)
		FROM (SELECT concat_ws('|', status, agent_result, error_source,
							   error_code) AS outcome, count(*)
			  FROM power_action.event
			  WHERE action = '$action' AND cluster_name = '$crowd' GROUP BY 1) o});
}

# The attempts of a crowd that failed: "UNAVAILABLE 12".
sub crowd_attempts
{
	my ($site, $action, $crowd) = @_;

	return value(
		$site, qq{
		SELECT string_agg(status_code || ' ' || count, ', ' ORDER BY status_code)
		FROM (SELECT a.status_code, count(*)
			  FROM power_action.event e JOIN power_action.attempt a USING (event_id)
			  WHERE e.action = '$action' AND e.cluster_name = '$crowd'
			  GROUP BY 1) o});
}

# The lines of an agent's log that match all of the patterns.
sub log_lines
{
	my ($agent, @patterns) = @_;
	my @lines = -e $agent->{calls} ? split /^/, slurp_file($agent->{calls}) : ();

	# a line that is being written is not one yet
	pop @lines if @lines && $lines[-1] !~ /\n\z/;
	for my $pattern (@patterns)
	{
		@lines = grep { /$pattern/ } @lines;
	}
	return @lines;
}

# How many calls for a crowd, or for all, came to the agent over a stream and
# have ended.
sub streamed
{
	my ($agent, $crowd) = @_;

	return scalar log_lines($agent, qr/"event":"end"/, qr/"stream":true/,
		defined $crowd ? qr/"cluster_id":"\Q$crowd\E-\d+"/ : ());
}

# How many orders the agent gave for a crowd.
sub start_count
{
	my ($agent, $crowd) = @_;

	return scalar log_lines($agent, qr/"event":"start"/,
		qr/"cluster_id":"\Q$crowd\E-\d+"/);
}

# How many requests the agent has carried out more than once.
sub started_twice
{
	my ($agent) = @_;
	my %starts;

	for (log_lines($agent, qr/"event":"start"/))
	{
		$starts{$1}++ if /"request_id":"([^"]*)"/;
	}
	return scalar grep { $_ > 1 } values %starts;
}

# Other rules for an agent that was started with some: for the calls that come
# from now on.
sub set_rules
{
	my ($agent, $text) = @_;
	my $path = "$agent->{dir}/rules";

	append_to_file("$path.new", $text);
	rename "$path.new", $path or die "rename: $!";
	return;
}

1;
