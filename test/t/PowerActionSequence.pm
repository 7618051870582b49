# test/t/PowerActionSequence.pm
#
# A server with one agent and an inventory, and how to ask both of them what
# became of an action.  For the tests of the sequence, on PowerActionTest.

package PowerActionSequence;

use strict;
use warnings FATAL => 'all';

use Carp;
use Exporter 'import';
use File::Basename qw(dirname);
use IPC::Run ();
use JSON::PP ();
use PostgreSQL::Test::Utils;
use PowerActionTest;
use Test::More;
use Time::HiRes ();

our @EXPORT = qw(
  new_site start_logging_agent restart_agent add_account add_clusters
  request request_many
  finish finish_all outcome value event_value poll_event
  set_conf query_error agent_lines all_agent_lines
  ok_consistent ok_checked);

# The database of every site.
my $database = 'fleet';

# The logs of all agents that were started.
my @logs;

# The program that compares them with the tables.
my $checker = dirname(__FILE__) . '/../storm/check';

# An agent with a log of its own; flags as for start_agent, "rules => TEXT"
# first for a behaviour file.
sub start_logging_agent
{
	my @flags = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir('agent');
	my $log = "$dir/calls";
	my @first;

	if (@flags && $flags[0] eq 'socket')
	{
		@first = splice @flags, 0, 2;
	}
	if (@flags && $flags[0] eq 'rules')
	{
		append_to_file("$dir/rules", $flags[1]);
		splice @flags, 0, 2, '--behaviour', "$dir/rules";
	}
	my $agent =
	  start_agent($dir, @first, '--log', $log, '--log-sync', @flags);

	push @logs, $log;
	$agent->{calls} = $log;
	$agent->{flags} = \@flags;
	return $agent;
}

# The same agent again, after it was ended: same socket, flags and log.
sub restart_agent
{
	my ($old) = @_;
	my $kept = grep { $_ eq '--state' } @{ $old->{flags} };
	my $log = -e $old->{calls} ? slurp_file($old->{calls}) : '';

	# The checker has to know whether what it remembered is gone.  A line of
	# its own, even if the last one was cut off.
	append_to_file($old->{calls},
		($log =~ /[^\n]\z/ ? "\n" : '')
		  . ($kept
			? qq({"event":"restart","kept":true}\n)
			: qq({"event":"restart"}\n)));
	my $agent = start_agent(
		$old->{dir}, 'socket', $old->{socket},
		'--log', $old->{calls}, '--log-sync', @{ $old->{flags} });

	$agent->{calls} = $old->{calls};
	$agent->{flags} = $old->{flags};
	return $agent;
}

# A server, its database "fleet" with the extension, the agent "agent" and
# the account "prod" (id 4711) that uses it.  Waits, and tries again, shortly.
#
#   conf     as in new_node, appended to ours
#   fsync    as in new_node
#   initdb   as in new_node
#   agent    flags of the agent
#   rules    text of its behaviour file
#   options  more options of the foreign server
sub new_site
{
	my ($name, %options) = @_;
	my $site = { database => $database };

	$site->{node} = new_node(
		$name,
		fsync => $options{fsync},
		initdb => $options{initdb},
		conf => "power_action.initial_backoff = 10ms\n"
		  . "power_action.max_backoff = 100ms\n"
		  . "power_action.confirm_interval = 50ms\n"
		  . ($options{conf} // ''));
	$site->{node}->safe_psql('postgres', "CREATE DATABASE $database");
	create_extension($site->{node}, $database);
	$site->{agent} = start_logging_agent(
		defined $options{rules} ? ('rules', $options{rules}) : (),
		@{ $options{agent} // [] });
	create_agent_server($site->{node}, $database, $site->{agent},
		%{ $options{options} // {} });
	add_account($site, 'prod', 'agent', '4711');
	return $site;
}

sub value
{
	my ($site, $query) = @_;

	return $site->{node}->safe_psql($site->{database}, $query);
}

sub add_account
{
	my ($site, $account, $server, $id) = @_;

	value(
		$site, qq{
		INSERT INTO power_action.account (account_name, account_id, server_name)
		VALUES ('$account', } . (defined $id ? "'$id'" : 'NULL') . qq{, '$server')});
	return;
}

# Clusters with two instances each, i-1 and i-2, in an account.
sub add_clusters
{
	my ($site, $account, @ids) = @_;
	my $list = join ', ', map { "'$_'" } @ids;

	value(
		$site, qq{
		INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name, region)
		SELECT id, 'the ' || id, '$account', 'eu-1' FROM unnest(ARRAY[$list]) id;
		INSERT INTO power_action.instance (cluster_id, instance_id)
		SELECT id, 'i-' || n FROM unnest(ARRAY[$list]) id, generate_series(1, 2) n});
	return;
}

# The id of a new event: request($site, 'power_off', 'web', more arguments).
sub request
{
	my ($site, $action, $cluster, $more) = @_;

	return value($site,
		"SELECT power_action.$action('$cluster'"
		  . (defined $more ? ", $more" : '')
		  . ')');
}

# The ids of the events of one call for several clusters, in their order.
sub request_many
{
	my ($site, $action, $clusters, $more) = @_;
	my $list = join ', ', map { "'$_'" } @$clusters;

	return split /\n/,
	  value($site,
		"SELECT event_id FROM power_action.$action(ARRAY[$list]"
		  . (defined $more ? ", $more" : '')
		  . ')');
}

# Columns of an event.
sub event_value
{
	my ($site, $id, $columns) = @_;

	return value($site,
		"SELECT $columns FROM power_action.event WHERE event_id = $id");
}

# Waits until this is true of an event.
sub poll_event
{
	my ($site, $id, $condition) = @_;

	poll_value($site->{node}, $site->{database},
		"SELECT $condition FROM power_action.event WHERE event_id = $id");
	return;
}

sub outcome
{
	my ($site, $id) = @_;

	return event_value($site, $id,
		q{concat_ws('|', status, agent_result, error_source, error_code)});
}

# Waits until the event is final; returns "status|agent_result", and for one
# that failed "|error_source|error_code".
sub finish
{
	my ($site, $id) = @_;

	value($site,
		"SELECT FROM power_action.wait_for($id, '$PostgreSQL::Test::Utils::timeout_default s')"
	);
	return outcome($site, $id);
}

# Waits until nothing is left to do.
sub finish_all
{
	my ($site) = @_;

	poll_value($site->{node}, $site->{database},
		'SELECT count(*) = 0 FROM power_action.job');
	return;
}

# ALTER SYSTEM SET, or RESET for undef; returns when every process that gets
# to know of anything later knows of it.
sub set_conf
{
	my ($site, $name, $setting) = @_;

	value($site,
		defined $setting
		? "ALTER SYSTEM SET $name = '$setting'"
		: "ALTER SYSTEM RESET $name");
	value($site, 'SELECT pg_reload_conf()');

	# The server signals its processes before it starts a new one.
	poll_value($site->{node}, $site->{database},
		"SELECT coalesce(sourcefile, '') "
		  . (defined $setting ? '' : 'NOT ')
		  . "LIKE '%/postgresql.auto.conf' FROM pg_settings WHERE name = '$name'"
	);
	return;
}

# The SQLSTATE and the text of the error that the statements end with.
sub query_error
{
	my ($site, $sql) = @_;
	my ($stdout, $stderr);

	$site->{node}->psql(
		$site->{database},
		"\\set VERBOSITY verbose\n$sql",
		stdout => \$stdout,
		stderr => \$stderr,
		on_error_stop => 1);
	my ($state) = $stderr =~ /ERROR:  ([0-9A-Z]{5}):/;
	return ($state // 'no error', $stderr);
}

# All lines of an agent's log, as hashes.
sub all_agent_lines
{
	my ($agent) = @_;

	return () if !-e $agent->{calls};
	my $text = slurp_file($agent->{calls});

	# a line that is being written is not one yet
	$text =~ s/[^\n]*\z//;
	return grep { $_->{event} ne 'restart' }
	  map { JSON::PP::decode_json($_) } split /\n/, $text;
}

# The lines of a cluster: event "start" for orders given, "end" for calls
# answered, as soon as there are at least so many.
sub agent_lines
{
	my ($agent, $cluster, $event, $count) = @_;
	my @lines;

	wait_until(
		"the agent's log has $count lines $event of $cluster",
		sub {
			@lines =
			  grep { $_->{cluster_id} eq $cluster && $_->{event} eq $event }
			  all_agent_lines($agent);
			return @lines >= $count;
		});
	return @lines;
}

# One checker compares the logs of all agents of this test with the tables:
# nothing lost, called without a commit, contradictory, overlapping or done
# twice.  For when nothing is left to do; that is waited for.
#
#   name      of the test
#   unlogged  array of servers whose agents keep no log
sub ok_checked
{
	my ($site, %options) = @_;
	my $node = $site->{node};
	my @command = (
		$^X, $checker,
		'--host', $node->host, '--port', $node->port,
		'--dbname', $site->{database},
		(map { ('--log', $_) } grep { -e } @logs),
		(map { ('--unlogged', $_) } @{ $options{unlogged} // [] }));
	my ($output, $passed);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	finish_all($site);

	# A call that was given up ends at the agent when it hears of that, and
	# only then has its line.  What contradicts does so for ever.
	for my $try (1 .. 20)
	{
		$output = '';
		$passed = IPC::Run::run(\@command, '<', \undef, '>&', \$output);
		last if $passed;
		Time::HiRes::usleep(100_000);
	}
	ok($passed, $options{name} // 'the checker finds nothing')
	  or diag($output);
	return;
}

sub ok_consistent
{
	my ($site, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is( value($site, 'SELECT * FROM power_action.check_consistency()'),
		'', $name // 'no contradictions');
	return;
}

1;
