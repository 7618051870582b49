# test/storm/Psql.pm
#
# A session of psql to talk to: statements go in, rows and the SQLSTATE come
# out, and the loss of the connection is told from an error.

package Psql;

use strict;
use warnings FATAL => 'all';

use IO::Select;
use IPC::Open2 qw(open2);
use Time::HiRes ();

# Seconds that a statement may take; the server's own limit is lower.
my $patience = 60;

# Not connected yet.  The environment decides where to, beside dbname and
# user; options are settings of the session.
sub new
{
	my ($class, %options) = @_;

	return bless {%options}, $class;
}

sub connected { return defined $_[0]->{pid} }

sub close
{
	my ($self) = @_;

	return if !defined $self->{pid};
	CORE::close $self->{in};
	CORE::close $self->{out};
	waitpid $self->{pid}, 0;
	delete @{$self}{qw(pid in out rest)};
	return;
}

# true if there is a connection
sub connect
{
	my ($self) = @_;

	return 1 if $self->connected;
	local $ENV{PGOPTIONS} = join ' ',
	  map { "-c $_" } 'client_min_messages=error', @{ $self->{settings} // [] };
	local $ENV{PGAPPNAME} = $self->{name} // 'storm';
	$self->{pid} = open2($self->{out}, $self->{in}, 'sh', '-c',
		'exec psql -X -A -t -v VERBOSITY=terse -U "$0" -d "$1" 2>&1',
		$self->{user} // 'postgres', $self->{dbname});
	$self->{rest} = '';
	return 1 if defined $self->run('SELECT 1')->{state};
	return 0;
}

# Runs one statement.  Returns
#
#   state   SQLSTATE; undef: the connection was lost, so who knows
#   rows    lines of the result
#   text    all that psql has said
sub run
{
	my ($self, $statement) = @_;
	my $mark = '=' . ++$self->{number} . '=';
	my $select = IO::Select->new($self->{out});
	my $end = Time::HiRes::time() + $patience;
	my $text = '';

	return { rows => [], text => '' } if !$self->connected;
	local $SIG{PIPE} = 'IGNORE';
	syswrite $self->{in}, "$statement;\n\\echo $mark :SQLSTATE\n";
	for (;;)
	{
		my $left = $end - Time::HiRes::time();
		my $bytes;

		die "no answer after $patience s: $statement\n"
		  if $left <= 0 || !$select->can_read($left);
		$bytes = sysread $self->{out}, $self->{rest}, 65536,
		  length $self->{rest};
		if (!$bytes)
		{
			$text = $self->{rest};
			$self->close;
			return { rows => [], text => $text };
		}
		next if $self->{rest} !~ s/\A(.*?)^\Q$mark\E (\w+)\n//ms;
		my ($before, $state) = ($1, $2);

		# A server that shuts down says so before the connection is lost.
		if ($state =~ /^57P0[123]$/)
		{
			$self->close;
			return { rows => [], text => $before };
		}
		return {
			state => $state,
			text => $before,
			rows => [ split /\n/, $before ]
		};
	}
}

1;
