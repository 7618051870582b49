# test/storm/Forgery.pm
#
# Falsified records of a storm, each of which the checker must object to: a
# checker that finds nothing proves something only if it can find.

package Forgery;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';

our @EXPORT_OK = qw(forgeries);

sub read_lines
{
	my ($path) = @_;

	open my $file, '<', $path or die "cannot read $path: $!\n";
	return <$file>;
}

my $copies = 0;

# A copy with some lines changed, in the directory; returns its path.
sub copy
{
	my ($path, $directory, $change) = @_;
	my ($name) = $path =~ m{([^/]+)$};
	my @lines = read_lines($path);

	my $copy = "$directory/forged-" . ++$copies . "-$name";

	$change->(\@lines);
	open my $file, '>', $copy or die "cannot write $copy: $!\n";
	print $file @lines;
	close $file;
	return $copy;
}

# Replaces the last line that matches by what the change makes of it.
sub change_last
{
	my ($pattern, $change) = @_;

	return sub {
		my ($lines) = @_;

		for my $i (reverse 0 .. $#$lines)
		{
			next if $lines->[$i] !~ $pattern;
			splice @$lines, $i, 1, $change->($lines->[$i]);
			return;
		}
		die "no line to falsify: $pattern\n";
	};
}

# Repeats the last order of a log that was answered, after a restart.  The log
# must be of an agent that keeps its memory.
sub repeat_answered
{
	my ($lines) = @_;
	my %answered = map { $_ => 1 } map {
		/"event":"end","method":"PowerO.*("request_id":"[^"]*").*"status":"OK"/
	} @$lines;
	my ($order) = grep {
		/"event":"start".*("request_id":"[^"]*")/ && $answered{$1}
	} reverse @$lines;

	die "no answered order to falsify\n" if !$order;
	push @$lines, qq({"event":"restart","kept":true}\n), $order;
	return;
}

# [what it is, kind that the checker must find, logs, records] each; the
# first log and the first record are falsified.
sub forgeries
{
	my ($directory, $logs, $records) = @_;
	my $log = sub { [ copy($logs->[0], $directory, $_[0]), @{$logs}[ 1 .. $#$logs ] ] };
	my $record =
	  sub { [ copy($records->[0], $directory, $_[0]), @{$records}[ 1 .. $#$records ] ] };
	my $start = qr/"event":"start"/;
	my $answer = qr/"event":"end".*"status":"OK"/;

	# of a cluster that had many
	my ($busy) = map { /"event":"end".*("cluster_id":"[^"]*")/ ? $1 : () } read_lines($logs->[0]);
	$busy = qr/"event":"end".*$busy.*"status":"OK"/;

	return (
		[ 'a committed request that is not there', 'lost', $logs,
			$record->(sub { push @{ $_[0] }, "committed nobody.1 1000000000\n" }) ],
		[ 'an answer that the agent did not give', 'lost',
			$log->(sub { @{ $_[0] } = grep { $_ !~ $answer } @{ $_[0] } }), $records ],
		[ 'a request that was rolled back', 'uncommitted', $logs,
			$record->(change_last(qr/^committed s[\d.]+ \d/, sub { $_[0] =~ s/^committed (\S+).*/rolled_back $1/r })) ],
		[ 'a call for an event that is not there', 'uncommitted',
			$log->(change_last($start, sub { $_[0], $_[0] =~ s{("request_id":"\d+/\d+)/\d+}{$1/1000000000}r })), $records ],
		[ 'an order for another action', 'contradictions',
			$log->(change_last($start, sub { $_[0] =~ s/PowerO(n|ff)Cluster/'PowerO' . ($1 eq 'n' ? 'ff' : 'n') . 'Cluster'/er })), $records ],
		[ 'an order carried out twice', 'twice',
			$log->(change_last($start, sub { $_[0], $_[0] })), $records ],
		[ 'an order carried out again although its answer was kept', 'twice',
			$log->(\&repeat_answered), $records ],
		[ 'two orders at a time', 'overlapping',
			$log->(change_last($start, sub { $_[0] =~ s/("in_flight_same_cluster"):0/$1:1/r })), $records ],
		[ 'two calls at a time', 'overlapping',
			$log->(change_last($busy, sub { $_[0] =~ s/("duration_us"):\d+/$1:3600000000/r })), $records ]);
}

1;
