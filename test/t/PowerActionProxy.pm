# test/t/PowerActionProxy.pm
#
# A network between worker and agent that can fail: a process that listens on
# a TCP port, and passes on every byte to the agent's unix socket and back.
# On command it delays, stalls or cuts its connections.
#
#   start_proxy($agent)       a proxy before an agent; it passes.  More
#                             arguments: those of IO::Socket::INET, to listen
#                             elsewhere than at a free port of 127.0.0.1
#   command($proxy, WORD...)  one of those below; returns when it is obeyed
#
#   pass            from now on, and what was held back
#   delay MS        each byte waits that long, in both directions
#   stall           nothing is passed on; connections stay open, also new ones
#   stall-replies   nothing is passed on from the agent
#   stall-requests  nothing is passed on to the agent
#   reset           all connections are reset, on both sides
#   close-replies   end of file towards the worker, on all connections; the
#                   other direction stays open
#   close-requests  end of file towards the agent
#   refuse          the same, and nobody listens any more
#   count           returns how many connections were made so far
#
#   start_name_server()       knows one name, agent.test; it is silent at first
#
#   silent, unknown, ADDRESS  what it says from now on when it is asked for it:
#                             nothing, that there is none, its address
#   count                     how often it was asked so far

package PowerActionProxy;

use strict;
use warnings FATAL => 'all';

use Carp;
use Exporter 'import';
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX ();
use Socket qw(SOL_SOCKET SO_LINGER IPPROTO_TCP TCP_NODELAY SHUT_WR);
use Time::HiRes ();

our @EXPORT = qw(start_proxy start_name_server command);

my @children;

# Two ends know each other; an end has the bytes that wait to be written to
# it, each piece with the time it came.
my %ends;         # by file number
my $delay = 0;    # seconds
my %stalled;      # "requests", "replies"
my $refuses = 0;
my $made = 0;

sub add_pair
{
	my ($client, $target) = @_;
	my $server = IO::Socket::UNIX->new(Peer => $target);

	$made++;
	if (!$server)
	{
		close $client;
		return;
	}
	$client->setsockopt(IPPROTO_TCP, TCP_NODELAY, 1);
	my %client = (handle => $client, brings => 'requests', waiting => []);
	my %server = (handle => $server, brings => 'replies', waiting => []);
	$client{other} = \%server;
	$server{other} = \%client;
	for my $end (\%client, \%server)
	{
		$end->{handle}->blocking(0);
		$ends{ $end->{handle}->fileno } = $end;
	}
	return;
}

sub drop_pair
{
	my ($end, $reset) = @_;

	for my $each ($end, $end->{other})
	{
		delete $ends{ $each->{handle}->fileno };
		$each->{handle}->setsockopt(SOL_SOCKET, SO_LINGER, pack('ii', 1, 0))
		  if $reset;
		close $each->{handle};
	}

	# they refer to each other
	delete $end->{other}{other};
	delete $end->{other};
	return;
}

# Writes what has waited long enough; an empty piece is the end of file.
# False if the connection is broken.
sub write_waiting
{
	my ($end, $now) = @_;
	my $waiting = $end->{waiting};

	return 1 if $stalled{ $end->{other}{brings} };
	while (@$waiting && $waiting->[0][0] + $delay <= $now)
	{
		if ($waiting->[0][1] eq '')
		{
			shutdown $end->{handle}, SHUT_WR;
			$end->{ended} = 1;
			shift @$waiting;
			return 0 if $end->{other}{ended};
			next;
		}
		my $written = $end->{handle}->syswrite($waiting->[0][1]);
		return $!{EAGAIN} if !defined $written;
		substr($waiting->[0][1], 0, $written) = '';
		shift @$waiting if $waiting->[0][1] eq '';
	}
	return 1;
}

sub read_end
{
	my ($end, $now) = @_;
	my $got = $end->{handle}->sysread(my $bytes, 65536);

	return $!{EAGAIN} if !defined $got;
	$end->{at_end} = 1 if !$got;
	push @{ $end->{other}{waiting} }, [ $now, $bytes ];
	return 1;
}

sub all_pairs
{
	return grep { $_->{brings} eq 'requests' } values %ends;
}

sub obey
{
	my ($word, $argument) = @_;

	if ($word eq 'pass')
	{
		%stalled = ();
		$delay = 0;
	}
	elsif ($word eq 'delay')
	{
		$delay = $argument / 1000;
	}
	elsif ($word =~ /^stall(?:-(requests|replies))?$/)
	{
		$stalled{$_} = 1 for defined $1 ? $1 : qw(requests replies);
	}
	elsif ($word eq 'reset' || $word eq 'refuse')
	{
		drop_pair($_, 1) for all_pairs();
		$refuses = $word eq 'refuse';
	}
	elsif ($word =~ /^close-(requests|replies)$/)
	{
		for my $end (all_pairs())
		{
			my $target = $1 eq 'requests' ? $end->{other} : $end;

			shutdown $target->{handle}, SHUT_WR;
		}
	}
	elsif ($word ne 'count')
	{
		return "no such command: $word";
	}
	return $made;
}

# The process.  Ends when the test does: then there are no more commands.
sub serve
{
	my ($listener, $target, $commands) = @_;
	my $line = '';

	for (;;)
	{
		my $select = IO::Select->new($commands, $refuses ? () : $listener,
			map { $_->{handle} } grep { !$_->{at_end} } values %ends);
		my $pending = grep { @{ $_->{waiting} } } values %ends;
		my @ready = $select->can_read($pending ? 0.005 : 1);
		my $now = Time::HiRes::time();

		for my $handle (@ready)
		{
			if ($handle == $commands)
			{
				$commands->sysread($line, 100, length $line) or return;
				while ($line =~ s/^(.*)\n//)
				{
					my $answer = obey(split ' ', $1);

					close $listener if $refuses;
					$commands->syswrite("$answer\n");
				}
				last if $refuses;
			}
			elsif ($handle == $listener)
			{
				my $client = $listener->accept or next;
				add_pair($client, $target);
			}
			else
			{
				# a command may have ended it meanwhile
				my $end = $ends{ $handle->fileno // -1 } or next;
				drop_pair($end) if !read_end($end, $now);
			}
		}
		for my $number (keys %ends)
		{
			my $end = $ends{$number} or next;
			drop_pair($end) if !write_waiting($end, $now);
		}
	}
}

# Runs the function in a process of its own with the other end of a socket for
# commands; returns ours.
sub start_child
{
	my ($code) = @_;
	my ($ours, $its) =
	  IO::Socket::UNIX->socketpair(Socket::AF_UNIX(), Socket::SOCK_STREAM(), 0)
	  or croak "no pair of sockets: $!";
	my $pid = fork() // croak "could not fork: $!";

	if ($pid == 0)
	{
		# ends without the END blocks of the test
		$SIG{PIPE} = 'IGNORE';
		close $ours;
		eval { $code->($its) };
		print STDERR "network: $@" if $@;
		POSIX::_exit(0);
	}
	push @children, $pid;
	close $its;
	return $ours;
}

# Its description: "target" for a foreign server, "socket" for commands.
sub start_proxy
{
	my ($agent, %place) = @_;
	my $listener = IO::Socket::INET->new(
		Listen => 64,
		LocalAddr => '127.0.0.1',
		Proto => 'tcp',
		%place) or croak "could not listen: $!";

	# ours is closed with the variable: only the process has it then
	return {
		port => $listener->sockport,
		target => 'ipv4:' . $listener->sockhost . ':' . $listener->sockport,
		socket => start_child(
			sub { serve($listener, $agent->{socket}, $_[0]) }) };
}

# An answer in the format of RFC 1035: of the query its id and its question.
# Only addresses of IPv4 are known.
sub dns_answer
{
	my ($query, $address) = @_;
	my ($length, $type) = (0, 0);

	# the name is labels up to an empty one
	$length += 1 + ord substr($query, 12 + $length, 1)
	  while ord substr($query, 12 + $length, 1);
	$type = unpack 'n', substr($query, 13 + $length, 2);
	my $found = defined $address && $type == 1;

	return
	    substr($query, 0, 2)
	  . pack('n5', defined $address ? 0x8180 : 0x8183, 1, $found ? 1 : 0, 0, 0)
	  . substr($query, 12, $length + 5)
	  . ($found
		? pack('n3NnC4', 0xc00c, 1, 1, 0, 4, split /\./, $address)
		: '');
}

sub serve_names
{
	my ($socket, $commands) = @_;
	my $says = 'silent';
	my $asked = 0;
	my $line = '';

	for (;;)
	{
		for my $handle (IO::Select->new($socket, $commands)->can_read)
		{
			if ($handle == $commands)
			{
				$commands->sysread($line, 100, length $line) or return;
				while ($line =~ s/^(.*)\n//)
				{
					$says = $1 if $1 ne 'count';
					$commands->syswrite("$asked\n");
				}
				next;
			}
			my $from = $socket->recv(my $query, 512) or next;
			$asked++;
			$socket->send(
				dns_answer($query, $says eq 'unknown' ? undef : $says),
				0, $from)
			  if $says ne 'silent';
		}
	}
}

# "authority" is the middle of a target dns://AUTHORITY/agent.test:PORT.
sub start_name_server
{
	my $socket =
	  IO::Socket::INET->new(LocalAddr => '127.0.0.1', Proto => 'udp')
	  or croak "no socket for names: $!";

	return {
		authority => '127.0.0.1:' . $socket->sockport,
		socket => start_child(sub { serve_names($socket, $_[0]) }) };
}

sub command
{
	my ($proxy, @words) = @_;
	my $answer = '';

	$proxy->{socket}->syswrite("@words\n") or croak "the proxy is gone: $!";
	while ($answer !~ /\n/)
	{
		$proxy->{socket}->sysread($answer, 100, length $answer)
		  or croak 'the proxy is gone';
	}
	chomp $answer;
	croak $answer if $answer !~ /^\d+$/;
	return $answer;
}

END
{
	my $status = $?;
	kill 'KILL', @children;
	waitpid $_, 0 for @children;
	$? = $status;
}

1;
