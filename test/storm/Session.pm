# test/storm/Session.pm
#
# One session of the storm's load: requests of all kinds, one after the other,
# and a record of what was committed and what was not, for the checker.
#
# What it does next depends on the seed, its number and the number of the
# step alone, so that a storm can be repeated as far as concurrency allows.

package Session;

use strict;
use warnings FATAL => 'all';

use IO::Handle;
use Psql;
use Time::HiRes ();

# Steps, and how often each is taken.
my @steps = (
	[ single => 34 ],
	[ set => 8 ],
	[ transaction => 12 ],
	[ rollback => 7 ],
	[ savepoint => 7 ],
	[ prepared => 6 ],
	[ cancel => 9 ],
	[ keyed => 6 ],
	[ lock => 6 ],
	[ broken => 3 ],
	[ wait => 2 ]);

# Orders, and a few questions.
my @actions = (qw(power_on power_off) x 4, 'refresh');

# number, round, seed, user, clusters (ids), record (path), dbname, start (time)
sub new
{
	my ($class, %options) = @_;
	my $self = bless { %options, events => [], requests => 0 }, $class;

	# steps are counted on from round to round
	$self->{step} = $self->{round} * 10_000;

	$self->{psql} = Psql->new(
		dbname => $self->{dbname},
		user => $self->{user},
		name => "storm $self->{number}",
		settings => [
			'statement_timeout=20s',
			$self->{number} % 3 == 0 ? 'synchronous_commit=off' : ()
		]);
	open $self->{file}, '>>', $self->{record}
	  or die "cannot write $self->{record}: $!\n";
	$self->{file}->autoflush(1);
	return $self;
}

# any of these, the first ones rather than the last
sub pick { return $_[ @_ * rand() ** 2 ] }

sub note
{
	my ($self, $word, $requester, @ids) = @_;

	print { $self->{file} } join(' ', $word, $requester, @ids), "\n";
	return;
}

# A new request, noted as sent: its requester and its statement.
sub request
{
	my ($self, %with) = @_;
	my $requester = $with{requester}
	  // "s$self->{number}.$self->{round}." . ++$self->{requests};
	my $action = $with{action} // $actions[ rand @actions ];
	my $clusters = "'" . ($with{cluster} // pick(@{ $self->{clusters} })) . "'";
	my @arguments;

	if ($with{set})
	{
		my %ids = map { pick(@{ $self->{clusters} }) => 1 } 1 .. $with{set};
		$clusters = 'ARRAY[' . join(', ', map { "'$_'" } sort keys %ids) . ']';
	}
	@arguments = ($clusters, "triggered_by => '$requester'");
	push @arguments, "request_key => '$with{key}'" if $with{key};
	if (!$with{key})
	{
		my $wait = rand() < 0.12 ? sprintf('%.3f', rand 3) : 0;

		push @arguments, "not_before => clock_timestamp() + '$wait s'"
		  if $wait;
		push @arguments, sprintf "expires_at => clock_timestamp() + '%.3f s'",
		  $wait + 0.1 + rand 4
		  if rand() < 0.12;
		push @arguments, 'priority => ' . int(rand 3)
		  if rand() < 0.1;
		push @arguments, "description => 'step $self->{step}'"
		  if rand() < 0.3;
	}
	$self->note('sent', $requester);
	return {
		requester => $requester,
		sql => 'SELECT '
		  . ($with{set} ? 'event_id FROM ' : '')
		  . "power_action.$action(" . join(', ', @arguments) . ')'
	};
}

# Sends it; true if the event ids came.  undef: the connection was lost.
sub send_request
{
	my ($self, $request) = @_;
	my $answer = $self->{psql}->run($request->{sql});

	$request->{ids} = [ grep { /^\d+$/ } @{ $answer->{rows} } ];
	$self->unexpected($request->{sql}, $answer)
	  if defined $answer->{state} && $answer->{state} ne '00000';
	return defined $answer->{state} ? $answer->{state} eq '00000' : undef;
}

# Errors that the load itself brings about; anything else is a finding.
#	40P01 deadlock, 57014 statement_timeout, 57P0x shutdown, 25P02 what
#	follows one of them, PA00x the procedures' own
sub unexpected
{
	my ($self, $sql, $answer) = @_;

	return if $answer->{state} =~ /^(?:40P01|57014|57P0\d|25P02|PA00\d)$/;
	$self->note('#', "unexpected: $answer->{state} from $sql: "
		  . join ' | ', split /\n/, $answer->{text});
	return;
}

sub committed
{
	my ($self, @requests) = @_;

	for my $request (@requests)
	{
		$self->note('committed', $request->{requester}, @{ $request->{ids} });
		push @{ $self->{events} }, @{ $request->{ids} };
	}
	splice @{ $self->{events} }, 0, -200;
	return;
}

sub rolled_back
{
	my ($self, @requests) = @_;

	$self->note('rolled_back', $_->{requester}) for @requests;
	return;
}

# COMMIT, and what it means for the requests of the transaction.
sub commit
{
	my ($self, @requests) = @_;
	my $answer = $self->{psql}->run('COMMIT');

	return if !defined $answer->{state};    # nobody knows
	if ($answer->{text} =~ /^COMMIT$/m)
	{
		$self->committed(@requests);
	}
	else
	{
		$self->rolled_back(@requests);
	}
	return;
}

# BEGIN, so many requests, and pauses between; undef if one went wrong, and
# then all of it is rolled back.
sub begin
{
	my ($self, $number, %with) = @_;
	my @requests;

	defined $self->{psql}->run('BEGIN')->{state} or return undef;
	for (1 .. $number)
	{
		my $request = $self->request(rand() < 0.15 ? (set => 1 + rand 10) : (), %with);

		push @requests, $request;
		next if $self->send_request($request);
		$self->{psql}->run('ROLLBACK');
		$self->rolled_back(@requests);
		return undef;
	}
	return \@requests;
}

sub pause { Time::HiRes::sleep(rand $_[0]); return }

# ----------------------------------------------------------------------
# Steps
# ----------------------------------------------------------------------

# A statement that is a transaction by itself.
sub alone
{
	my ($self, $request) = @_;
	my $sent = $self->send_request($request);

	return if !defined $sent;    # nobody knows
	$sent ? $self->committed($request) : $self->rolled_back($request);
	return;
}

sub single { return $_[0]->alone($_[0]->request) }
sub set { return $_[0]->alone($_[0]->request(set => 2 + rand 40)) }

sub transaction
{
	my ($self) = @_;
	my $requests = $self->begin(1 + rand 4) or return;

	pause(0.05);
	return $self->commit(@$requests);
}

sub rollback
{
	my ($self) = @_;
	my $requests = $self->begin(1 + rand 4) or return;

	pause(0.05);
	$self->{psql}->run('ROLLBACK');
	return $self->rolled_back(@$requests);
}

sub savepoint
{
	my ($self) = @_;
	my $psql = $self->{psql};
	my $kept = $self->begin(1) or return;
	my @undone;

	$psql->run('SAVEPOINT s');
	push @undone, $self->request;
	$self->send_request($undone[0]);
	if (rand() < 0.3)
	{
		# a subtransaction within it that did commit goes as well
		$psql->run('SAVEPOINT t');
		push @undone, $self->request(set => 5);
		$self->send_request($undone[1]);
		$psql->run('RELEASE SAVEPOINT t');
	}
	$psql->run('ROLLBACK TO SAVEPOINT s');
	$self->rolled_back(@undone);
	push @$kept, $self->request;
	if (!$self->send_request($kept->[1]))
	{
		$psql->run('ROLLBACK');
		return $self->rolled_back(@$kept);
	}
	return $self->commit(@$kept);
}

sub broken
{
	my ($self) = @_;
	my $requests = $self->begin(1) or return;

	$self->{psql}->run('SELECT 1 / 0');
	return $self->commit(@$requests);
}

sub gid_exists
{
	my ($self, $gid) = @_;

	for (;;)
	{
		my $answer;

		$self->stay_connected or return undef;
		$answer = $self->{psql}->run(
			"SELECT 'found' FROM pg_prepared_xacts WHERE gid = '$gid'");
		return $answer->{text} =~ /found/ ? 1 : 0 if defined $answer->{state};
	}
}

# Whatever happens to the connection, in the end the transaction is gone, and
# known to be committed or not.
sub prepared
{
	my ($self) = @_;
	my $gid = "storm $self->{number} $self->{step}";
	my $keep = rand() < 0.7;
	my $requests = $self->begin(1 + rand 2) or return;
	my $answer = $self->{psql}->run("PREPARE TRANSACTION '$gid'");

	if (defined $answer->{state} && $answer->{text} !~ /^PREPARE TRANSACTION$/m)
	{
		return $self->rolled_back(@$requests);
	}
	pause(0.5);
	while ($self->gid_exists($gid))
	{
		$self->{psql}->run(
			($keep ? 'COMMIT' : 'ROLLBACK') . " PREPARED '$gid'");
		$answer = { state => 'prepared' };
	}

	# it was not there: cut off before it was prepared, or done with
	if ($keep && defined $answer->{state})
	{
		return $self->committed(@$requests);
	}
	return $self->rolled_back(@$requests);
}

sub cancel
{
	my ($self) = @_;
	my $events = $self->{events};
	my $last = @$events < 10 ? @$events : 10;
	my $undo = rand() < 0.2;
	my $place = -1 - int rand($last || 1);

	return if !@$events;
	$self->{psql}->run('BEGIN') if $undo;
	my $answer = $self->{psql}->run(
		"SELECT power_action.cancel($events->[$place], reason => 'step $self->{step}')");
	$self->unexpected("cancel($events->[$place])", $answer)
	  if defined $answer->{state} && $answer->{state} ne '00000';
	$self->{psql}->run('ROLLBACK') if $undo;
	return;
}

# A key that other sessions use at this moment, too, and again later: the same
# request, whoever commits it.
sub keyed
{
	my ($self) = @_;
	my $key = int(2 * (Time::HiRes::time() - $self->{start})) + int rand 3;
	my @clusters = @{ $self->{clusters} };
	my $request = $self->request(
		requester => "key.$self->{user}.$key",
		key => "storm $key",
		action => $key % 2 ? 'power_on' : 'power_off',
		cluster => $clusters[ $key * 7 % @clusters ]);

	return $self->alone($request) if rand() < 0.6;
	my $answer = $self->{psql}->run('BEGIN');
	if (!defined $answer->{state} || !$self->send_request($request))
	{
		$self->{psql}->run('ROLLBACK');
		return $self->rolled_back($request);
	}
	pause(0.1);
	return $self->commit($request) if rand() < 0.6;
	$self->{psql}->run('ROLLBACK');
	return $self->rolled_back($request);
}

# Somebody else's transaction that holds rows that outcomes are written to.
sub lock
{
	my ($self) = @_;
	my $psql = $self->{psql};
	my $list = join ', ', map { "'" . pick(@{ $self->{clusters} }) . "'" } 1 .. 1 + rand 8;
	my $table = rand() < 0.7 ? 'cluster' : 'instance';

	return if $self->{user} ne 'postgres';
	$psql->run('BEGIN');
	$psql->run(rand() < 0.5
		? "SELECT FROM power_action.$table WHERE cluster_id IN ($list) ORDER BY cluster_id FOR UPDATE"
		: "UPDATE power_action.$table SET labels = '{\"step\": $self->{step}}' WHERE cluster_id IN ($list)");
	pause(rand() < 0.2 ? 2 : 0.3);
	$psql->run(rand() < 0.5 ? 'COMMIT' : 'ROLLBACK');
	return;
}

# The procedure commits before it waits: whatever it then says, it was
# committed, unless it could not even begin.
sub wait
{
	my ($self) = @_;
	my $action = $actions[ rand 2 ];
	my $requester = "s$self->{number}.$self->{round}." . ++$self->{requests};
	my $cluster = pick(@{ $self->{clusters} });

	$self->note('sent', $requester);
	my $answer = $self->{psql}->run(
		"CALL power_action.${action}_and_wait('$cluster', triggered_by => '$requester', timeout => '1 s')");
	return if !defined $answer->{state};
	if ($answer->{state} =~ /^(?:00000|PA00\d)$/)
	{
		return $self->note('committed', $requester);
	}
	return $self->unexpected("${action}_and_wait", $answer);
}

# ----------------------------------------------------------------------

# Connects again, however long the server is away; undef if it is for good.
sub stay_connected
{
	my ($self) = @_;
	my $end = Time::HiRes::time() + 60;

	until ($self->{psql}->connect)
	{
		return undef if Time::HiRes::time() > $end;
		Time::HiRes::sleep(0.02);
	}
	return 1;
}

# Goes on until that time.
sub work
{
	my ($self, $until) = @_;
	my $total = 0;

	$total += $_->[1] for @steps;
	while (Time::HiRes::time() < $until)
	{
		my ($step, $draw);

		$self->stay_connected or die "the server does not come back\n";

		# a step of its own for each number, whatever the ones before used up
		srand($self->{seed} * 1_000_003 + $self->{number} * 100_003 +
			  $self->{step}++);
		rand() for 1 .. 3;
		$draw = rand $total;
		for (@steps)
		{
			$step = $_->[0];
			last if ($draw -= $_->[1]) < 0;
		}
		$self->$step;
		pause(0.15);
	}
	$self->{psql}->close;
	return;
}

1;
