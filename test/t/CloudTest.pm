# test/t/CloudTest.pm
#
# Clouds that are doubles, accounts files, and calls of an agent over gRPC, for
# tests of power_agent alone.

package CloudTest;

use strict;
use warnings FATAL => 'all';

use Carp;
use Cwd ();
use Exporter 'import';
use File::Basename;
use HTTP::Tiny;
use IPC::Run ();
use JSON::PP ();
use PostgreSQL::Test::Utils;
use PowerActionTest;

our @EXPORT = qw(
  cloud_tests_possible start_cloud stop_cloud control write_accounts
  start_calls send_calls take_answers cancel_calls call states_of);

my $python = '/usr/bin/python3';
our $here = Cwd::abs_path(dirname(__FILE__));
my @processes;
my $json = JSON::PP->new->utf8->canonical;

# Python's gRPC is needed to call the agent.
sub cloud_tests_possible
{
	return system($python, '-c',
		"try:\n import grpc, google.protobuf\nexcept ImportError:\n raise SystemExit(1)"
	) == 0;
}

# A process that talks over its standard input and output, and ends with its
# input, so with the test.
sub start_process
{
	my (@command) = @_;
	my %process = (input => '', output => '', errors => '');

	$process{handle} = IPC::Run::start(
		[@command], '<', \$process{input}, '>', \$process{output},
		'2>', \$process{errors});
	push @processes, \%process;
	return \%process;
}

END
{
	# keep the exit code of the test
	my $status = $?;
	$_->{handle}->kill_kill(grace => 1) for @processes;
	$? = $status;
}

# The next line that it prints.
sub next_line
{
	my ($process, $what) = @_;

	wait_until(
		$what,
		sub {
			$process->{handle}->pump_nb;
			return 1 if $process->{output} =~ /\n/;
			croak "it has ended: $process->{errors}"
			  if !$process->{handle}->pumpable;
			return 0;
		});
	$process->{output} =~ s/^(.*)\n//;
	return $1;
}

# A double of the EC2 API (ec2_double.py); its arguments are a certificate and
# its key, for TLS.  Its key "url" is where it is.
sub start_cloud
{
	my (@tls) = @_;
	my $cloud = start_process($python, "$here/ec2_double.py", @tls);

	my ($port, $control) = split / /, next_line($cloud, 'the cloud listens');
	$cloud->{url} = (@tls ? 'https' : 'http') . "://127.0.0.1:$port";
	$cloud->{control} = "http://127.0.0.1:$control/control";
	return $cloud;
}

sub stop_cloud
{
	my ($cloud) = @_;

	@processes = grep { $_ != $cloud } @processes;
	$cloud->{handle}->kill_kill(grace => 1);
	return;
}

# Tells the cloud what to do, and returns what it tells.
sub control
{
	my ($cloud, %wanted) = @_;

	my $answer = HTTP::Tiny->new->post($cloud->{control},
		{ content => $json->encode(\%wanted) });
	croak "the cloud does not answer: $answer->{content}"
	  if !$answer->{success};
	return $json->decode($answer->{content});
}

# An accounts file as it must be.
sub write_accounts
{
	my ($path, $text) = @_;

	open my $file, '>', "$path.new" or croak "$path.new: $!";
	print $file $text;
	close $file;
	chmod 0600, "$path.new";
	rename "$path.new", $path or croak "$path: $!";
	return;
}

# A client of an agent (agent_calls.py).
sub start_calls
{
	my ($agent) = @_;
	my $calls = start_process($python, "$here/agent_calls.py", $agent->{target});

	$calls->{number} = 0;
	return $calls;
}

# Sends calls, each a hash as agent_calls.py has it but for the id; "method"
# is on, off or state.  Returns the ids.
sub send_calls
{
	my ($calls, @list) = @_;
	my %methods = (
		on => 'PowerOnCluster',
		off => 'PowerOffCluster',
		state => 'GetClusterPowerState');
	my @ids;

	for my $call (@list)
	{
		push @ids, ++$calls->{number};
		my %sent = (
			account => 'prod',
			region => 'eu-west-1',
			cluster => "c-$calls->{number}",
			%$call,
			id => $calls->{number});
		$sent{method} = $methods{ $sent{method} };
		$calls->{input} .= $json->encode(\%sent) . "\n";
	}
	$calls->{handle}->pump_nb;
	return @ids;
}

# Cancels calls, by id; their answers are CANCELLED unless they came before.
sub cancel_calls
{
	my ($calls, @ids) = @_;

	$calls->{input} .= $json->encode({ cancel => $_ }) . "\n" for @ids;
	$calls->{handle}->pump_nb;
	return;
}

# Waits for the answers to calls, by id.
sub take_answers
{
	my ($calls, @ids) = @_;
	my @result;

	for my $id (@ids)
	{
		while (!exists $calls->{answers}{$id})
		{
			my $answer = $json->decode(next_line($calls, 'a call is answered'));
			$calls->{answers}{ $answer->{id} } = $answer;
		}
		push @result, delete $calls->{answers}{$id};
	}
	return wantarray ? @result : $result[0];
}

# One call: method, instances, and more keys.  Returns its answer.
sub call
{
	my ($calls, $method, $instances, %more) = @_;

	return scalar take_answers($calls,
		send_calls($calls, { method => $method, instances => $instances, %more }));
}

# "STATUS error: id=STATE id=STATE (message)" of an answer, ids sorted
sub states_of
{
	my ($answer) = @_;

	return "$answer->{status} $answer->{details}" if $answer->{status} ne 'OK';
	my $text = join ' ', map {
		my ($state, $message) = @{ $answer->{states}{$_} };
		"$_=$state" . ($message ne '' ? " ($message)" : '')
	} sort keys %{ $answer->{states} };
	$text = "$answer->{message} ($answer->{error}): $text" if $answer->{error};
	return $text;
}

1;
