# test/t/074_encodings.pl
#
# Databases in UTF8, LATIN1 and SQL_ASCII: names reach the agent as what they
# are or not at all, text for people at worst with question marks, and nothing
# that an agent says keeps a job from its end.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PowerActionSequence;
use PowerActionTest;

# The bytes that statements are made of are as the database has them.
$ENV{PGCLIENTENCODING} = 'SQL_ASCII';

my $node = new_node(
	'main', conf => "power_action.initial_backoff = 10ms\n"
	  . "power_action.max_backoff = 100ms\n"
	  . "power_action.confirm_interval = 50ms\n");

my $japan = "\xe6\x97\xa5\xe6\x9c\xac";
my $agent = start_logging_agent(
	rules => <<"RULES", qw(--initial-state running));
*-refused  off error=5 message="caf\xc3\xa9 $japan"
*-strange  off foreign=i-\xe6\x97\xa5
RULES

sub new_place
{
	my ($encoding) = @_;
	my $place = { node => $node, database => lc $encoding };

	$node->safe_psql('postgres',
		"CREATE DATABASE $place->{database} ENCODING '$encoding' LOCALE 'C' TEMPLATE template0"
	);
	create_extension($node, $place->{database});
	create_agent_server($node, $place->{database}, $agent);
	poll_value($node, $place->{database},
		'SELECT state FROM power_action.agent_status', 'ready');
	return $place;
}

sub add_cluster
{
	my ($place, $account, $cluster, @instances) = @_;

	value($place, "INSERT INTO power_action.account (account_name) VALUES ('$account') ON CONFLICT DO NOTHING");
	value($place, qq{
		INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name, region)
		VALUES ('$cluster', '$cluster', '$account', '$account')});
	value($place, qq{
		INSERT INTO power_action.instance (cluster_id, instance_id)
		VALUES ('$cluster', '$_')}) for @instances;
	return;
}

# The lines of a database and cluster; JSON::PP has decoded them.
sub calls
{
	my ($place, $cluster) = @_;
	my $oid = value($place, 'SELECT oid FROM pg_database WHERE datname = current_database()');
	my $id = $cluster;

	utf8::decode($id);
	return grep {
			 $_->{event} eq 'start'
		  && $_->{cluster_id} eq $id
		  && $_->{source} =~ m{/$oid$}
	} all_agent_lines($agent);
}

sub bytes
{
	my ($text) = @_;

	utf8::encode($text);
	return $text;
}

# A power_off of a cluster whose name is one thing here and another in UTF-8.
sub ok_round_trip
{
	my ($place, $here, $wire, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	add_cluster($place, "$here-account", "$here-cluster", "$here-1", "$here-2");
	my $id = request($place, 'power_off', "$here-cluster",
		"triggered_by => '$here', description => '$here'");
	is(finish($place, $id), 'success|confirmed', "$name: done");
	is(event_value($place, $id, 'instances_done'), 2, 'instances are known again');
	my @calls = calls($place, "$wire-cluster");
	is(scalar(@calls), 1, 'one call');
	is(bytes($calls[0]{requester} // ''), $wire, 'for whom');
	return;
}

# What the agent has to say, and in whose name it might say it.
sub ok_replies
{
	my ($place, $message, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	add_cluster($place, 'plain', $_, 'i-?', 'i-2') for qw(a-refused a-strange);
	my $id = request($place, 'power_off', 'a-refused');
	is(finish($place, $id), 'failed|refused|agent|AGENT_ERROR', "$name: refused");
	is(event_value($place, $id, 'error_message'), "$message (error 5)",
		'in the words of the agent, as far as they go');
	is(finish($place, request($place, 'power_off', 'a-strange')),
		'success|confirmed', 'an id that cannot be converted is nobody\'s');
	return;
}

sub ok_refused
{
	my ($place, $control, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is((query_error($place, "SELECT power_action.power_on('a', '$control')"))[0],
		'22023', "$name: control characters are refused in arguments");
	is((query_error($place, "INSERT INTO power_action.account (account_name) VALUES ('$control')"))[0],
		'23514', 'and in the inventory');
	return;
}

sub ok_well
{
	my ($place, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	finish_all($place);
	ok_consistent($place);
	is(value($place, "SELECT errors FROM power_action.worker_status WHERE database = current_database()"),
		0, "$name: the worker had no error");
	return;
}

# ----------------------------------------------------------------------

my $utf8 = new_place('UTF8');
ok_round_trip($utf8, $_, $_, "UTF8, $_") for ("caf\xc3\xa9", $japan, "\xf0\x9f\x94\x8c");
ok_replies($utf8, "caf\xc3\xa9 $japan", 'UTF8');
ok_refused($utf8, "\xc2\x9b", 'UTF8');
add_cluster($utf8, 'plain', "\xc3\xa9" x 127, "\xc3\xa9" x 127);
is(finish($utf8, request($utf8, 'power_off', "\xc3\xa9" x 127)),
	'success|confirmed', 'UTF8: the longest names');
ok_well($utf8, 'UTF8');

# ----------------------------------------------------------------------

my $latin1 = new_place('LATIN1');
is(value($latin1, 'SHOW server_encoding'), 'LATIN1', 'the database is in LATIN1');
ok_round_trip($latin1, "caf\xe9", "caf\xc3\xa9", 'LATIN1');
ok_round_trip($latin1, "\xa0\xff", "\xc2\xa0\xc3\xbf", 'LATIN1, first and last');
ok_replies($latin1, "caf\xe9 ??", 'LATIN1');
ok_refused($latin1, "\x9b", 'LATIN1');
ok_well($latin1, 'LATIN1');

# ----------------------------------------------------------------------

my $ascii = new_place('SQL_ASCII');
is(value($ascii, 'SHOW server_encoding'), 'SQL_ASCII', 'the database is in SQL_ASCII');
ok_round_trip($ascii, "caf\xc3\xa9", "caf\xc3\xa9", 'SQL_ASCII, with UTF-8 in it');
ok_replies($ascii, "caf\xc3\xa9 $japan", 'SQL_ASCII');
ok_refused($ascii, "\xc2\x9b", 'SQL_ASCII');

# Two names that question marks would make one, and the name they would be.
my %bad = (
	'cluster_id' => [ 'plain', "caf\xe9", 'i' ],
	'account' => [ "caf\xe9", 'c-account', 'i' ],
	'instance_id' => [ 'plain', 'c-instance', "caf\xe9" ]);
add_cluster($ascii, 'plain', 'caf?', 'i');
for my $kind (sort keys %bad)
{
	my ($account, $cluster, $instance) = @{ $bad{$kind} };

	add_cluster($ascii, $account, $cluster, $instance);
	my $id = request($ascii, 'power_off', $cluster);
	is(finish($ascii, $id), 'failed|none|request|FAILED_PRECONDITION',
		"SQL_ASCII: a bad $kind is not sent");
	is( event_value($ascii, $id, 'error_message'),
		qq{$kind "caf?" cannot be sent: it is not valid in the encoding of the database, or UTF-8 does not have it},
		'and the event says why');
}
is(scalar(calls($ascii, 'caf?')), 0, 'nor under another name');
is(finish($ascii, request($ascii, 'power_off', 'caf?', "triggered_by => 'x\xe9\xc3\xa9\xe6\x97'")),
	'success|confirmed', 'what is not bad is done');
is(bytes((calls($ascii, 'caf?'))[0]{requester}), "x?\xc3\xa9??",
	'text for people has question marks for what is no UTF-8');

# Two servers, whose names differ in bytes that are no UTF-8.
my $other = start_logging_agent(qw(--initial-state running));
create_agent_server($node, 'sql_ascii', $agent, name => "s\xe8");
create_agent_server($node, 'sql_ascii', $other, name => "s\xe9");
value($ascii, "INSERT INTO power_action.account (account_name, server_name) VALUES ('eight', 's\xe8'), ('nine', 's\xe9')");
add_cluster($ascii, 'eight', 'c-eight', 'i');
add_cluster($ascii, 'nine', 'c-nine', 'i');
is(finish($ascii, request($ascii, 'power_off', $_)),
	'success|confirmed', "$_: each server is reached")
  for qw(c-eight c-nine);
is(scalar(calls($ascii, 'c-eight')), 1, 'by its own');
is( join(' ', map { $_->{cluster_id} }
		grep { $_->{event} eq 'start' } all_agent_lines($other)),
	'c-nine', 'agent');
ok_well($ascii, 'SQL_ASCII');

is(value($utf8, 'SELECT sum(courier_starts) = count(*) FROM power_action.worker_status'),
	't', 'no courier had to be started again');
$node->stop;

done_testing();
