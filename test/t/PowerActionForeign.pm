# test/t/PowerActionForeign.pm
#
# Agents written by somebody else (foreign_agent.py, stream_agent.py), and keys
# and certificates for them, made with openssl.

package PowerActionForeign;

use strict;
use warnings FATAL => 'all';

use Carp;
use Cwd ();
use Exporter 'import';
use File::Basename;
use IPC::Run ();
use JSON::PP ();
use PostgreSQL::Test::Utils;
use PowerActionTest;

our @EXPORT = qw(
  have_foreign_agents start_foreign_agent end_foreign_agent foreign_calls
  make_authority make_certificate replace_file);

my $python = '/usr/bin/python3';
my $directory = Cwd::abs_path(dirname(__FILE__));
my $agent_count = 0;
my @agents;

sub have_foreign_agents
{
	return system($python, '-c',
		"try:\n import grpc, google.protobuf\nexcept ImportError:\n raise SystemExit(1)"
	) == 0;
}

# Starts one at an address and returns it once it listens, with "port" and
# the path of its "calls".  Options are those of the program; "program" is
# another one than foreign_agent.py, "calls" a file to go on with.
sub start_foreign_agent
{
	my ($address, %options) = @_;
	my %agent = (input => '', output => '', errors => '', address => $address);

	$agent{calls} = delete $options{calls}
	  // PostgreSQL::Test::Utils::tempdir('foreign') . '/calls';
	append_to_file($agent{calls}, '');
	my $program = delete $options{program} // 'foreign_agent.py';
	my @flags =
	  map { ("--$_", $_ eq 'states' ? () : $options{$_}) } sort keys %options;

	# It ends with its standard input, so with this test, whatever becomes
	# of it.
	$agent{handle} = IPC::Run::start(
		[
			$python, '-B', "$directory/$program", @flags, $address,
			$agent{calls}
		],
		'<', \$agent{input}, '>', \$agent{output}, '2>', \$agent{errors});
	wait_until(
		'the foreign agent listens',
		sub {
			$agent{handle}->pump_nb;
			croak "the foreign agent has ended: $agent{errors}"
			  if !$agent{handle}->pumpable;
			return ($agent{port}) = $agent{output} =~ /^listening (\d+)$/m;
		});
	push @agents, \%agent;
	return \%agent;
}

# As a crash would.
sub end_foreign_agent
{
	my ($agent) = @_;

	return if !$agent->{handle};
	$agent->{handle}->signal('KILL');
	eval { $agent->{handle}->finish };
	delete $agent->{handle};
	return;
}

END
{
	# keep the exit code of the test
	my $status = $?;
	end_foreign_agent($_) for @agents;
	$? = $status;
}

# What it was called for, as hashes; of one cluster if there is a name.
sub foreign_calls
{
	my ($agent, $cluster) = @_;

	return grep { !defined $cluster || ($_->{cluster_id} // '') eq $cluster }
	  map { JSON::PP->new->utf8->decode($_) } split /\n/,
	  slurp_file($agent->{calls});
}

sub openssl
{
	my @command = ('openssl', @_);
	my ($output, $errors);

	IPC::Run::run(\@command, '>', \$output, '2>', \$errors)
	  or croak "@command: $errors";
	return;
}

# An authority called NAME: files NAME.crt and NAME.key.
sub make_authority
{
	my ($dir, $name) = @_;

	openssl(qw(req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes),
		'-days', 30, '-subj', "/CN=$name",
		'-keyout', "$dir/$name.key", '-out', "$dir/$name.crt");
	return;
}

# The same for somebody with a certificate of an authority for such names
# ("DNS:agent.test,IP:127.0.0.1"), valid for so many days, less than none for
# one that has expired.
sub make_certificate
{
	my ($dir, $name, $authority, $names, $days) = @_;

	append_to_file("$dir/$name.ext", "subjectAltName = $names\n");
	openssl(qw(req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes),
		'-subj', "/CN=$name", '-keyout', "$dir/$name.key",
		'-out', "$dir/$name.csr");
	openssl(qw(x509 -req), '-days', $days // 30, '-in', "$dir/$name.csr",
		'-CA', "$dir/$authority.crt", '-CAkey', "$dir/$authority.key",
		'-CAcreateserial', '-extfile', "$dir/$name.ext",
		'-out', "$dir/$name.crt");
	return;
}

# Puts a text where a file may be, as a whole.
sub replace_file
{
	my ($path, $text, $mode) = @_;

	unlink "$path.new";
	append_to_file("$path.new", $text);
	chmod $mode // oct(600), "$path.new" or croak "chmod $path.new: $!";
	rename "$path.new", $path or croak "rename $path.new: $!";
	return;
}

1;
