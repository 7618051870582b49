# test/storm/Agents.pm
#
# The agents of the storm: started, killed and started again where they were,
# and the rules by which they misbehave.  In the storm's main process only.

package Agents;

use strict;
use warnings FATAL => 'all';

use POSIX ();
use Time::HiRes ();

# What every agent is like when nothing is wrong with it.
my %flags = (
	quick => [qw(--latency=25ms)],
	moving => [qw(--latency=5ms --transition-time=300ms)],
	slow => [qw(--transition-time=150ms --answer-when-done)]);

# One of them remembers what was before it was killed.
my %keeps = (moving => 1);

our @names = sort keys %flags;
our $initial_state = 'stopped';

# Misbehaviour, by whether the order is given all the same.  A status that
# says that nothing was done must be true, or the agent would be the liar.
my @before = (
	(map { "status=$_" }
		  qw(UNAVAILABLE ABORTED RESOURCE_EXHAUSTED INTERNAL UNKNOWN PERMISSION_DENIED NOT_FOUND)),
	'hang', 'drop', 'error=42 message="no capacity"',
	'state status=UNIMPLEMENTED', 'state hang', 'crash times=1');
my @after = (
	(map { "status=$_ when=after" }
		  qw(UNAVAILABLE DEADLINE_EXCEEDED INTERNAL UNKNOWN CANCELLED DATA_LOSS)),
	'hang when=after', 'drop when=after', 'crash when=after times=1');
my @odd = (
	'partial=1', 'accept-only', 'accept-only act-after=200ms', 'garbage',
	'invalid-utf8', 'foreign=2', 'size=5MB');

sub new
{
	my ($class, $directory) = @_;
	my $self = bless { directory => $directory, agent => {}, returns => [] }, $class;

	for my $name (@names)
	{
		$self->{agent}{$name} = {
			name => $name,
			target => "unix:$directory/$name.socket",
			calls => "$directory/$name.calls",
			rules => "$directory/$name.rules",
			ready => "$directory/$name.ready"
		};
		$self->set_rules($name);
	}
	return $self;
}

sub target { return $_[0]{agent}{ $_[1] }{target} }
sub logs { return map { $_[0]{agent}{$_}{calls} } @names }

# Replaces the rules of an agent; none: it behaves.
sub set_rules
{
	my ($self, $name, @rules) = @_;
	my $path = $self->{agent}{$name}{rules};

	open my $file, '>', "$path.new" or die "cannot write $path.new: $!\n";
	print $file map { "$_\n" } @rules;
	close $file or die "cannot write $path.new: $!\n";
	rename "$path.new", $path or die "cannot rename $path.new: $!\n";
	return;
}

# Rules for some clusters, by the last digits of their ids.
sub random_rules
{
	my @rules;

	for (1 .. 1 + rand 4)
	{
		my $kinds = (\@before, \@after, \@odd)[ rand 3 ];
		my $for = rand() < 0.15 ? '*' : '*' . int rand 10;
		my $rule = $kinds->[ rand @$kinds ];

		$rule .= ' times=' . (1 + int rand 4)
		  if $rule !~ /times=/ && ($for eq '*' || rand() < 0.5);
		push @rules, "$for $rule";
	}
	for (1 .. rand 3)
	{
		push @rules, sprintf '*%d latency=%dms%s', rand 10,
		  20 + 1800 * rand() ** 3, rand() < 0.5 ? ' when=after' : '';
	}
	return @rules;
}

sub start
{
	my ($self, $name) = @_;
	my $agent = $self->{agent}{$name};

	return if $agent->{pid};
	unlink $agent->{ready};
	if (-e $agent->{calls})
	{
		# a line of its own, even if the last one was cut off
		open my $log, '>>', $agent->{calls} or die "$agent->{calls}: $!\n";
		print $log "\n" if $agent->{cut};
		print $log $keeps{$name}
		  ? "{\"event\":\"restart\",\"kept\":true}\n"
		  : "{\"event\":\"restart\"}\n";
		close $log;
	}
	$agent->{pid} = fork // die "fork: $!\n";
	if (!$agent->{pid})
	{
		open STDOUT, '>>', "$self->{directory}/$name.out";
		open STDERR, '>&', \*STDOUT;
		exec('power_agent', '--listen', $agent->{target}, '--ready-file',
		  $agent->{ready}, '--log', $agent->{calls}, '--log-sync',
		  '--behaviour', $agent->{rules}, '--initial-state', $initial_state,
		  ($keeps{$name} ? ('--state', "$self->{directory}/$name.state") : ()),
		  @{ $flags{$name} }) or POSIX::_exit(127);
	}
	return;
}

# Ends an agent by that signal, and waits for its end.
sub end
{
	my ($self, $name, $signal) = @_;
	my $agent = $self->{agent}{$name};

	return if !$agent->{pid};
	kill $signal, $agent->{pid};
	waitpid $agent->{pid}, 0;
	$self->gone($agent);
	return;
}

sub gone
{
	my ($self, $agent) = @_;

	delete @{$agent}{qw(pid up)};
	open my $log, '<', $agent->{calls} or return;
	my $last;
	$agent->{cut} = seek($log, -1, 2) && read($log, $last, 1) && $last ne "\n";
	return;
}

sub running { return defined $_[0]{agent}{ $_[1] }{pid} }

# Names of the agents that have ended by themselves since the last look.
# Notes, too, when those that were started were ready.
sub look
{
	my ($self) = @_;
	my @ended;

	for my $agent (values %{ $self->{agent} })
	{
		next if !$agent->{pid};
		if (waitpid($agent->{pid}, POSIX::WNOHANG()) == $agent->{pid})
		{
			$self->gone($agent);
			push @ended, $agent->{name};
			next;
		}
		next if $agent->{up};
		my $time = (Time::HiRes::stat($agent->{ready}))[9] // next;
		$agent->{up} = 1;
		push @{ $self->{returns} }, [ $agent->{name}, $time ];
	}
	return @ended;
}

# as of the last look
sub all_up
{
	my ($self) = @_;

	return !grep { !$_->{up} } values %{ $self->{agent} };
}

1;
