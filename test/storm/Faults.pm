# test/storm/Faults.pm
#
# What goes wrong in a storm: which fault comes when is decided by the seed
# before it begins; whom it hits, by what is there at that time.
#
# A fault that lasts has an end of its own; several may last at a time.

package Faults;

use strict;
use warnings FATAL => 'all';

use Agents;
use Time::HiRes ();

# Faults, and how often each comes.
my @kinds = (
	[ weather => 24 ],
	[ courier_kill => 9 ],
	[ courier_stop => 8 ],
	[ worker_terminate => 9 ],
	[ agent_kill => 12 ],
	[ agent_stop => 3 ],
	[ server_immediate => 5 ],
	[ server_fast => 2 ],
	[ backend_kill => 4 ],
	[ worker_kill => 2 ],
	[ alter_server => 9 ],
	[ target_away => 4 ],
	[ disabled => 5 ],
	[ settings => 6 ]);

# agents, data (directory of the server), dbname, seed, start (time), journal
sub new
{
	my ($class, %options) = @_;

	return bless {
		%options,
		plan => [],         # [time, kind, seed]
		endings => [],      # [time, what, sub]
		injected => {},     # how many of each kind
		trouble => [],      # [from, to, kind] of what delays calls
		terminated => []    # times when a worker was
	}, $class;
}

# The faults of a round that begins now.
sub make_plan
{
	my ($self, $round, $seconds) = @_;
	my $now = Time::HiRes::time();
	my $at = 0.5;
	my $total = 0;
	my @plan;

	srand($self->{seed} * 1_009 + $round);
	rand() for 1 .. 3;
	$total += $_->[1] for @kinds;
	while ($at < $seconds - 0.5)
	{
		my $draw = rand $total;
		my $kind;

		for (@kinds)
		{
			$kind = $_->[0];
			last if ($draw -= $_->[1]) < 0;
		}
		push @plan, [ $now + $at, $kind, 1 + int rand 2**30 ];
		$at += 0.1 + rand 1.3;
	}
	$self->{plan} = \@plan;
	$self->say_log(sprintf 'round %d: %s', $round, join ', ',
		map { sprintf '+%.3f %s', $_->[0] - $now, $_->[1] } @plan);
	return;
}

sub say_log
{
	my ($self, $text) = @_;

	open my $file, '>>', $self->{journal} or die "$self->{journal}: $!\n";
	printf $file "%.3f +%.3f %s\n", Time::HiRes::time(),
	  Time::HiRes::time() - $self->{start}, $text;
	close $file;
	return;
}

# Rows of a query; none if there is no server to ask.
sub ask
{
	my ($self, $query) = @_;
	my $pid = open my $out, '-|', 'sh', '-c',
	  'exec psql -X -A -t -q -F " " -U postgres -d "$0" -c "$1" 2>/dev/null',
	  $self->{dbname}, $query;
	my @rows = <$out>;

	close $out;
	chomp @rows;
	return @rows;
}

sub later
{
	my ($self, $seconds, $what, $end) = @_;

	push @{ $self->{endings} }, [ Time::HiRes::time() + $seconds, $what, $end ];
	return;
}

sub trouble
{
	my ($self, $kind, $from) = @_;

	push @{ $self->{trouble} }, [ $from, Time::HiRes::time(), $kind ];
	return;
}

# ----------------------------------------------------------------------
# Processes
# ----------------------------------------------------------------------

sub worker_pid
{
	return ($_[0]->ask(
		"SELECT pid FROM pg_stat_activity WHERE backend_type = 'power_action worker' AND datname = current_database()"
	))[0];
}

sub courier_pid
{
	return ($_[0]->ask(
		'SELECT courier_pid FROM power_action.worker_status WHERE courier_pid > 0'
	))[0];
}

# A process id may have come to somebody else meanwhile.
sub is_courier
{
	my ($pid) = @_;

	open my $file, '<', "/proc/$pid/comm" or return 0;
	return (readline($file) // '') =~ /^power_action_co/;
}

sub courier_kill
{
	my ($self) = @_;
	my $pid = $self->courier_pid // return;

	return is_courier($pid) && kill('KILL', $pid) && "courier $pid";
}

# A short stop is a pause; after a long one the worker has taken another.
sub courier_stop
{
	my ($self) = @_;
	my $pid = $self->courier_pid // return;
	my $seconds = rand() < 0.25 ? 4 + rand 5 : rand 1.5;
	my $from = Time::HiRes::time();

	is_courier($pid) && kill('STOP', $pid) or return;
	$self->later(
		$seconds,
		"courier $pid goes on",
		sub {
			kill 'CONT', $pid if is_courier($pid);
			$self->trouble('courier_stop', $from);
		});
	return sprintf 'courier %d for %.1f s', $pid, $seconds;
}

sub worker_terminate
{
	my ($self) = @_;
	my $pid = $self->worker_pid // return;
	my $time = Time::HiRes::time();
	my ($done) = $self->ask("SELECT pg_terminate_backend($pid)");

	return if ($done // '') ne 't';
	push @{ $self->{terminated} }, $time;
	return "worker $pid";
}

sub worker_kill
{
	my ($self) = @_;
	my $pid = $self->worker_pid // return;

	return kill('KILL', $pid) && "worker $pid";
}

sub backend_kill
{
	my ($self) = @_;
	my ($pid) = $self->ask(
		"SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'storm %' ORDER BY random() LIMIT 1"
	);

	return $pid && kill('KILL', $pid) && "backend $pid";
}

# ----------------------------------------------------------------------
# The server
# ----------------------------------------------------------------------

sub server_start
{
	my ($self) = @_;

	system('pg_ctl', 'start', '-s', '-w', '-t', '60', '-D', $self->{data}, '-l',
		"$self->{data}/server.log") == 0
	  or die "the server does not start\n";
	return;
}

sub restart
{
	my ($self, $mode) = @_;
	my $from = Time::HiRes::time();

	system('pg_ctl', 'stop', '-s', '-w', '-t', '60', '-m', $mode, '-D', $self->{data}) == 0
	  or die "the server does not stop\n";
	Time::HiRes::sleep(rand() < 0.5 ? 0 : rand 1);
	$self->server_start;
	$self->trouble("server_$mode", $from);
	return sprintf 'away for %.1f s', Time::HiRes::time() - $from;
}

sub server_immediate { return $_[0]->restart('immediate') }

# PostgreSQL itself may never end if a fast stop meets the recovery after the
# crash of a process, before its redo has begun.
sub server_fast
{
	my ($self) = @_;

	for (1 .. 600)
	{
		last if ($self->ask('SELECT 1'))[0];
		Time::HiRes::sleep(0.1);
	}
	return $self->restart('fast');
}

# ----------------------------------------------------------------------
# Agents
# ----------------------------------------------------------------------

sub some_agent { return $Agents::names[ rand @Agents::names ] }

sub weather
{
	my ($self) = @_;
	my $name = some_agent();
	my @rules = rand() < 0.3 ? () : Agents::random_rules();

	$self->{agents}->set_rules($name, @rules);
	return "$name: " . join '; ', @rules;
}

sub end_agent
{
	my ($self, $signal) = @_;
	my $name = some_agent();
	my $seconds = rand() < 0.4 ? 0 : rand 2.5;

	$self->{agents}->running($name) or return;
	$self->{agents}->end($name, $signal);
	$self->later($seconds, "agent $name is back",
		sub { $self->{agents}->start($name) });
	return sprintf 'agent %s for %.1f s', $name, $seconds;
}

sub agent_kill { return $_[0]->end_agent('KILL') }
sub agent_stop { return $_[0]->end_agent('TERM') }

# Agents that a rule has killed come back, without that rule: the next call
# would kill them again.
sub look_at_agents
{
	my ($self) = @_;

	for my $name ($self->{agents}->look)
	{
		$self->{injected}{agent_crash}++;
		$self->say_log("agent_crash: $name");
		$self->{agents}->set_rules($name);
		$self->later(rand 1, "agent $name is back",
			sub { $self->{agents}->start($name) });
	}
	return;
}

# ----------------------------------------------------------------------
# Servers and settings in SQL.  Each sets one option of its own, so that what
# ends one fault does not end another.
# ----------------------------------------------------------------------

my %calm = (
	call_timeout => '1500ms',
	connect_timeout => '2s',
	keepalive_time => '5s',
	max_concurrent_calls => '64',
	load_balancing => 'pick_first',
	streaming => 'auto',
	account_field => 'name');
my %other = (
	call_timeout => [qw(300ms 700ms 3s)],
	connect_timeout => [qw(500ms 5s)],
	keepalive_time => [qw(1s 30s)],
	max_concurrent_calls => [qw(1 4 256)],
	load_balancing => [qw(round_robin)],
	streaming => [qw(off)],
	account_field => [qw(id)]);

sub server_options
{
	my ($agents, $name) = @_;
	my %options = (%calm, target => $agents->target($name));

	return join ', ', map { "$_ '$options{$_}'" } sort keys %options;
}

sub alter
{
	my ($self, $name, $option, $value) = @_;

	return (grep { /^done/ } $self->ask(
		"ALTER SERVER $name OPTIONS (SET $option '$value'); SELECT 'done'")) > 0;
}

sub alter_server
{
	my ($self) = @_;
	my $name = some_agent();
	my @options = sort keys %other;
	my $option = $options[ rand @options ];
	my $values = $other{$option};
	my $value = rand() < 0.4 ? $calm{$option} : $values->[ rand @$values ];

	return $self->alter($name, $option, $value) && "$name $option $value";
}

sub target_away
{
	my ($self) = @_;
	my $name = some_agent();
	my $seconds = rand 1.5;
	my $from = Time::HiRes::time();
	my $target = $self->{agents}->target($name);

	$self->alter($name, 'target', "$target.nobody") or return;
	$self->later(
		$seconds,
		"server $name is pointed back",
		sub {
			$self->until_done(sub { $self->alter($name, 'target', $target) });
			$self->trouble('target_away', $from);
		});
	return sprintf '%s for %.1f s', $name, $seconds;
}

sub set
{
	my ($self, $name, $value) = @_;
	my $change = defined $value ? "SET $name = '$value'" : "RESET $name";

	# it must not be in a transaction, and says nothing if it is done
	$self->ask("ALTER SYSTEM $change");
	my ($reloaded) = $self->ask(
		"SELECT pg_reload_conf() FROM (SELECT string_agg(setting, ',') AS all FROM pg_file_settings WHERE name = '$name' AND sourcefile LIKE '%.auto.conf') f WHERE f.all "
		  . (defined $value ? "= '$value'" : 'IS NULL'));
	return ($reloaded // '') eq 't';
}

sub disabled
{
	my ($self) = @_;
	my $seconds = rand 1.5;
	my $from = Time::HiRes::time();

	$self->set('power_action.enabled', 'off') or return;
	$self->later(
		$seconds,
		'switched on',
		sub {
			$self->until_done(sub { $self->set('power_action.enabled') });
			$self->trouble('disabled', $from);
		});
	return sprintf 'for %.1f s', $seconds;
}

my %settings = (
	'power_action.max_attempts' => [ 2, 4, 10 ],
	'power_action.initial_backoff' => [qw(1ms 20ms 500ms)],
	'power_action.max_backoff' => [qw(200ms 3s)],
	'power_action.confirm_interval' => [qw(20ms 500ms)],
	'power_action.confirm_timeout' => [qw(1s 10s)]);

sub settings
{
	my ($self) = @_;
	my @names = sort keys %settings;
	my $name = $names[ rand @names ];
	my $values = $settings{$name};
	my $value = rand() < 0.4 ? undef : $values->[ rand @$values ];

	return $self->set($name, $value) && "$name " . ($value // 'reset');
}

# A server that restarts after a crash is back soon.
sub until_done
{
	my ($self, $what) = @_;
	my $end = Time::HiRes::time() + 60;

	until ($what->())
	{
		die "the server does not come back\n" if Time::HiRes::time() > $end;
		Time::HiRes::sleep(0.02);
	}
	return;
}

# ----------------------------------------------------------------------

sub inject
{
	my ($self, $kind, $seed) = @_;
	my $from = Time::HiRes::time();
	my $what;

	srand($seed);
	rand() for 1 .. 3;
	$what = $self->$kind;
	$self->say_log("$kind: " . ($what || 'nobody is there'));
	return if !$what;
	$self->{injected}{$kind}++;
	$self->trouble($kind, $from)
	  if $kind =~ /_kill$|_terminate$|^agent_stop$|^alter_server$/;
	return;
}

# One look at the clock: what is due begins, or ends.
sub tick
{
	my ($self) = @_;
	my $now = Time::HiRes::time();
	my @due;

	$self->look_at_agents;
	@due = sort { $a->[0] <=> $b->[0] }
	  grep { $_->[0] <= $now } @{ $self->{endings} };
	@{ $self->{endings} } = grep { $_->[0] > $now } @{ $self->{endings} };
	for (@due)
	{
		$_->[2]->();
		$self->say_log($_->[1]);
	}
	my $plan = $self->{plan};
	if (@$plan && $plan->[0][0] <= $now)
	{
		my (undef, $kind, $seed) = @{ shift @$plan };
		$self->inject($kind, $seed);
	}
	return;
}

# All that lasts ends, and everything is as it was before the storm.
sub calm
{
	my ($self) = @_;

	$self->{plan} = [];
	$_->[2]->() for splice @{ $self->{endings} };
	for my $name (@Agents::names)
	{
		$self->{agents}->set_rules($name);
		$self->{agents}->start($name);
		for my $option (sort keys %calm)
		{
			$self->until_done(
				sub { $self->alter($name, $option, $calm{$option}) });
		}
	}
	$self->until_done(sub { $self->set($_) }) for sort keys %settings;
	# one may have crashed only just now
	$self->until_done(
		sub {
			$self->look_at_agents;
			$_->[2]->() for splice @{ $self->{endings} };
			return $self->{agents}->all_up;
		});
	return;
}

1;
