# test/storm/Times.pm
#
# How soon the work went on after a worker, a server or an agent came back:
# from the logs of agents, server and faults, when the storm is over.

package Times;

use strict;
use warnings FATAL => 'all';

use AgentLog qw(read_agent_log);
use Exporter 'import';
use List::Util qw(first min);

our @EXPORT_OK = qw(resumption_times distribution);

# Times at which the server of this log was ready for connections.
sub server_ready
{
	my ($path) = @_;
	my @times;

	open my $file, '<', $path or die "cannot read $path: $!\n";
	while (<$file>)
	{
		push @times, $1 if /^(\d+\.\d+) .*database system is ready to accept connections/;
	}
	return @times;
}

# Seconds, for each kind, of those that nothing else got in the way of.
#
#   logs      of the agents
#   server    log of the server
#   faults    Faults, which knows what else was wrong at a time
#   agents    Agents, which knows when they were ready
sub resumption_times
{
	my (%from) = @_;
	my (%first_call, %calls_of, %seconds);

	for my $path (@{ $from{logs} })
	{
		my ($name) = $path =~ m{([^/]+)\.calls$};

		for my $line (read_agent_log($path))
		{
			next if $line->{event} eq 'restart';
			push @{ $calls_of{$name} }, $line->{received};
			next if !$line->{order};
			my $epoch = $line->{order}[1];
			$first_call{$epoch} = min($first_call{$epoch} // (), $line->{received});
		}
	}

	my @trouble = @{ $from{faults}{trouble} };
	my $disturbed = sub {
		my ($since, $until, $own) = @_;

		return grep { $_->[0] < $until && $_->[1] > $since && $_->[2] !~ $own }
		  @trouble;
	};
	my @firsts = sort { $a <=> $b } values %first_call;
	my $sample = sub {
		my ($kind, $since, $own, @calls) = @_;
		my $call = first { $_ >= $since } @calls;

		push @{ $seconds{$kind} }, $call - $since
		  if defined $call && !$disturbed->($since - 0.1, $call, $own);
	};

	for my $since (@{ $from{faults}{terminated} })
	{
		$sample->('worker', $since, qr/^(?:worker_terminate|agent_.*)$/, @firsts);
	}
	my @ready = server_ready($from{server});
	shift @ready;    # the first start is before the storm
	for my $since (@ready)
	{
		$sample->('server', $since,
			qr/^(?:server_.*|backend_kill|worker_kill|agent_.*)$/, @firsts);
	}
	for (@{ $from{agents}{returns} })
	{
		my ($name, $since) = @$_;

		# before the storm nobody called
		next if $since < $from{faults}{start};
		$sample->('agent', $since, qr/^agent_/,
			sort { $a <=> $b } @{ $calls_of{$name} // [] });
	}
	return \%seconds;
}

# "median 0.123 s, 90 % within 0.2 s, longest 0.3 s, n = 12"
sub distribution
{
	my @sorted = sort { $a <=> $b } @_;

	return 'no sample' if !@sorted;
	return sprintf 'median %.3f s, 90 %% within %.3f s, longest %.3f s, n = %d',
	  $sorted[ $#sorted / 2 ], $sorted[ int(0.9 * $#sorted + 0.5) ], $sorted[-1],
	  scalar @sorted;
}

1;
