# test/storm/AgentLog.pm
#
# Reads logs of power_agent (src/agent/log.h): calls and orders as hashes, in
# the order of the file.  For the checker and the storm's own measurements.
#
# The agent says nothing when it starts.  Whoever starts it again writes a
# line {"event":"restart"} before: then what it kept in memory is gone; or
# {"event":"restart","kept":true} for one with --state, which has it still.

package AgentLog;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use Time::Local qw(timegm);

our @EXPORT_OK = qw(read_agent_log epoch_seconds);

my %escapes = (n => "\n", t => "\t", r => "\r", b => "\b", f => "\f");

# one JSON string, without its quotes
sub unescape
{
	my ($text) = @_;

	return $text if index($text, '\\') < 0;
	$text =~ s{\\(?:u([0-9a-fA-F]{4})|(.))}
			  {defined $1 ? chr hex $1 : $escapes{$2} // $2}ge;
	return $text;
}

my %seconds;

# seconds since 1970 of a time as the agent writes it
sub epoch_seconds
{
	my ($time) = @_;
	my ($whole, $fraction) = $time =~ /^(\S{10}T\d\d:\d\d:\d\d)(\.\d+)?Z$/
	  or die "not a time: $time\n";

	$seconds{$whole} //= do
	{
		my ($y, $m, $d, $h, $i, $s) = split /[-T:]/, $whole;
		timegm($s, $i, $h, $d, $m - 1, $y);
	};
	return $seconds{$whole} + ($fraction // 0);
}

# JSON::PP takes a minute for what this does in a second: a line is one flat
# object, with an array of numbers at most.
sub parse_line
{
	my ($line) = @_;
	my %hash;

	return undef if $line !~ /^\{.*\}$/;
	while ($line =~
		/"(\w+)":(?:"((?:[^"\\]|\\.)*)"|\[([^\]]*)\]|([-\w.]+))/g)
	{
		$hash{$1} =
		    defined $2 ? unescape($2)
		  : defined $3 ? [ split /,/, $3 ]
		  : $4 eq 'null' ? undef
		  : $4 eq 'true' ? 1
		  : $4 eq 'false' ? 0
		  : $4;
	}
	return \%hash;
}

# The lines of a log.  Besides what the agent writes each has
#
#   at        seconds since 1970
#   received  the same of the receipt of the call; of an order, when it began
#   life      0, 1, ...: how often the agent was started again before
#   memory    0, 1, ...: how often it has lost its memory before
#
# Lines "done" are left out: they tell of providers, not of calls.
#
# A line that is cut off is an error, except where the agent was killed.
sub read_agent_log
{
	my ($path) = @_;
	my (@lines, $cut);
	my $life = 0;
	my $memory = 0;
	my $number = 0;

	open my $file, '<', $path or die "cannot read $path: $!\n";
	while (my $text = <$file>)
	{
		$number++;
		my $whole = chomp $text;
		my $line = parse_line($text);

		if (!$whole || !$line)
		{
			die "$path:$cut: not a line of an agent's log\n" if $cut;
			$cut = $number;
			next;
		}
		if ($line->{event} eq 'restart')
		{
			undef $cut;
			$line->{life} = ++$life;
			$memory++ if !$line->{kept};
			push @lines, $line;
			next;
		}
		die "$path:$cut: not a line of an agent's log\n" if $cut;
		next if $line->{event} eq 'done';
		$line->{life} = $life;
		$line->{memory} = $memory;
		$line->{at} = epoch_seconds($line->{time});
		$line->{received} =
		  $line->{at} - ($line->{duration_us} // 0) / 1e6;
		push @lines, $line;
	}
	die "$path:$cut: not a line of an agent's log\n" if $cut;
	close $file;
	return @lines;
}

1;
