# test/t/068_neighbours.pl
#
# Keys that are neighbours in an index are read from one to the next, others
# are looked up.  However they lie, requests and the worker find the same as
# statements do: what is in between, missing, dead or not due yet makes no
# difference.
#
# SEED=n repeats the rounds at random.

use strict;
use warnings FATAL => 'all';

use List::Util qw(shuffle);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PowerActionSequence;
use PowerActionTest;

# The strings in here are UTF-8, taken as bytes: so their order is that of "C".
$ENV{PGCLIENTENCODING} = 'UTF8';

my $rounds = 20;
my $seed = $ENV{SEED} // time;
srand $seed;
note("SEED=$seed");

my $site = new_site(
	'main',
	initdb => [qw(--encoding UTF8 --locale C)],
	conf => "autovacuum = off\nlog_statement = none\n",
	agent => [qw(--initial-state running)]);
my $node = $site->{node};
my $agent = $site->{agent};

create_agent_server($node, 'fleet', $agent, name => 'other');
add_account($site, 'dev', 'agent');
add_account($site, 'far', 'other');

# What the requests returned, and of what is to be sent to the agent how many
# instances that is about; all instances as they should be when that is done.
value(
	$site, q{
	CREATE ROLE regress_dev;
	CREATE ROLE regress_all;
	SELECT power_action.grant_operator('regress_dev', 'dev');
	SELECT power_action.grant_operator('regress_all');
	CREATE SCHEMA truth;
	CREATE TABLE truth.layout (cluster_id text COLLATE "C" PRIMARY KEY,
		account_name text, live integer, dead integer, status text);
	CREATE TABLE truth.given (batch integer, action text, cluster_id text COLLATE "C",
		event_id bigint, status text, error_code text, live integer,
		UNIQUE (batch, cluster_id));
	CREATE TABLE truth.state (cluster_id text COLLATE "C",
		instance_id text COLLATE "C", cluster_status text, status text);
	CREATE VIEW truth.present AS
		SELECT c.cluster_id, i.instance_id, c.status AS cluster_status, i.status
		FROM power_action.cluster c LEFT JOIN power_action.instance i USING (cluster_id);
	GRANT USAGE ON SCHEMA truth TO regress_dev, regress_all;
	GRANT INSERT ON truth.given TO regress_dev, regress_all});

my $session = $node->background_psql('fleet');
$session->set_query_timer_restart();
$session->query_safe('SET client_min_messages = error');
sub query { return $session->query_safe($_[0]) }

# ----------------------------------------------------------------------
# Clusters
# ----------------------------------------------------------------------

my @layout;

# More of it: live, dead, account, status.
sub lay
{
	my ($id, %more) = @_;

	push @layout,
	  sprintf q{('%s', '%s', %d, %d, '%s')}, $id, $more{account} // 'prod',
	  $more{live} // 1, $more{dead} // 0, $more{status} // 'unknown';
	return $id;
}

# neighbours, of three accounts; some have no instances, or many
my %special = (
	3 => { live => 0 },
	20 => { live => 40, dead => 5 },
	50 => { live => 0, dead => 40 },
	51 => { live => 17 },
	80 => { status => 'terminated' },
	100 => { live => 40 },
	101 => { live => 40, dead => 20 });
my @near = map {
	lay(sprintf('n-%03d', $_),
		live => 1 + $_ % 3,
		account => (qw(prod dev far))[ $_ % 3 ],
		%{ $special{$_} // {} })
} 1 .. 150;

# runs of keys, then a gap, then some keys more
my %gap;
for my $run (15, 16, 17)
{
	for my $others (15, 16, 17, 18)
	{
		my $name = "g-$run-$others";

		$gap{$name} = [
			(map { lay(sprintf "$name-a%02d", $_) } 1 .. $run),
			(map { lay(sprintf "$name-c%02d", $_) } 1 .. 20) ];
		lay(sprintf "$name-b%02d", $_) for 1 .. $others;
	}
}

# every second one is missing
my @holes = map { sprintf 'm-%03d', $_ } 1 .. 120;
lay($holes[ 2 * $_ ]) for 0 .. 59;

# not ASCII, and each the beginning of others
my @letters = ('a', 'z', "\xc3\xa9", "\xc3\xbf", "\xe6\xbc\xa2",
	"\xef\xbd\xb1", "\xf0\x9f\x94\x8b");
my @words = map { my $one = $_; map { "u$one$_" } '', @letters } @letters;
lay($words[$_], live => 1 + $_ % 3) for grep { $_ % 5 != 4 } 0 .. $#words;

# the first and the last of all
my $first = lay('!first', live => 2);
my $last = lay("\xf4\x8f\xbf\xbdlast", live => 3);
my @before = map { sprintf '!%02d', $_ } 1 .. 40;
my @behind = map { sprintf "${last}r%02d", $_ } 1 .. 40;

query('INSERT INTO truth.layout VALUES ' . join ', ', shuffle @layout);

# The statement that makes those for which the condition is true.
sub insertion
{
	my ($condition) = @_;

	return qq{
		INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name, status)
		SELECT cluster_id, 'the ' || cluster_id, account_name, status
		FROM truth.layout WHERE $condition;
		INSERT INTO power_action.instance (cluster_id, instance_id, status)
		SELECT cluster_id, 'i-' || lpad(n::text, 2, '0') || '-' || cluster_id,
			CASE WHEN n % (live + dead) < live THEN 'unknown' ELSE 'terminated' END
		FROM truth.layout, generate_series(1, live + dead) n WHERE $condition;};
}
query(insertion('true'));
my @all = split /\n/,
  query('SELECT cluster_id FROM power_action.cluster ORDER BY cluster_id');
is($all[0], $first, 'the first of all');
is($all[-1], $last, 'the last of all');
is("@all", join(' ', sort @all), 'the order of the index is that of bytes');

# ----------------------------------------------------------------------
# Requests, and what they should find
# ----------------------------------------------------------------------

my $batches = 0;
my $action = 'power_on';
my %accounts_of = (
	'' => 'true',
	regress_all => 'true',
	regress_dev => "c.account_name = 'dev'");

sub array { return 'ARRAY[' . join(', ', map { "'$_'" } @_) . ']::text[]' }

# What an event says that a request has found.
my $found = q{concat_ws('|', e.cluster_id, e.cluster_name, e.account_name,
	e.server_name, e.instances_total, e.status, e.error_code)};
my $wrong = "coalesce((array_agg(what ORDER BY what))[1:4], '{}') FROM";

# Requests by array, in one transaction: the worker gets them together.  A text
# among them is a statement.  More: "role", "after" for a statement at the end.
sub ask
{
	my ($name, $parts, %more) = @_;
	my $role = $more{role} // '';
	my @ids = map { ref $_ ? @$_ : () } @$parts;
	my $batch = ++$batches;
	my $sql = '';
	my $to;

	$action = $action eq 'power_on' ? 'power_off' : 'power_on';
	$to = $action eq 'power_on' ? 'running' : 'stopped';
	for my $part (@$parts)
	{
		if (!ref $part)
		{
			$sql .= "$part;\n";
			next;
		}
		$sql .= "SET SESSION AUTHORIZATION $role;\n" if $role;
		$sql .= "INSERT INTO truth.given
			SELECT $batch, '$action', r.* FROM power_action.$action(" . array(@$part)
		  . ") r;\n";
		$sql .= "RESET SESSION AUTHORIZATION;\n" if $role;
	}
	my $found_wrong = query(
		qq{
		BEGIN; $sql
		UPDATE truth.given g SET live = (SELECT count(*) FROM power_action.instance i
			WHERE i.cluster_id = g.cluster_id AND i.status <> 'terminated')
		WHERE batch = $batch AND status = 'pending';
		TRUNCATE truth.state;
		INSERT INTO truth.state
		SELECT p.cluster_id, p.instance_id, coalesce(g.status, p.cluster_status),
			CASE WHEN p.status = 'terminated' THEN p.status
				ELSE coalesce(g.status, p.status) END
		FROM truth.present p LEFT JOIN (SELECT cluster_id, '$to' AS status
			FROM truth.given WHERE batch = $batch AND status = 'pending') g USING (cluster_id);
		SELECT $wrong (
			SELECT w.expected || ', not ' || $found AS what
			FROM (SELECT n.cluster_id, concat_ws('|', n.cluster_id, c.cluster_name,
					c.account_name, a.server_name,
					CASE WHEN c.cluster_id IS NOT NULL THEN i.live END,
					CASE WHEN c.cluster_id IS NULL THEN 'failed|NOT_FOUND'
						WHEN c.status = 'terminated' OR i.live = 0
							THEN 'failed|FAILED_PRECONDITION'
						ELSE 'pending' END) AS expected
				FROM (SELECT DISTINCT unnest(} . array(@ids) . qq{) AS cluster_id) n
				LEFT JOIN power_action.cluster c
					ON c.cluster_id = n.cluster_id AND $accounts_of{$role}
				LEFT JOIN power_action.account a USING (account_name)
				LEFT JOIN (SELECT d.cluster_id,
						count(*) FILTER (WHERE d.status <> 'terminated') AS live
					FROM truth.present d WHERE d.instance_id IS NOT NULL
					GROUP BY d.cluster_id) l ON l.cluster_id = n.cluster_id
				CROSS JOIN LATERAL (SELECT coalesce(l.live, 0) AS live) i) w
			FULL JOIN (SELECT * FROM truth.given WHERE batch = $batch) g
				ON g.cluster_id = w.cluster_id
			LEFT JOIN power_action.event e USING (event_id)
			WHERE w.expected IS DISTINCT FROM $found
				OR g.status IS DISTINCT FROM e.status
				OR g.error_code IS DISTINCT FROM e.error_code) x;
		} . ($more{after} // '') . '; COMMIT');
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($found_wrong, '{}', "$name: requested");
	is(done_wrong($batch, $name), '{}', "$name: done");
	return;
}

# Waits until the requests of a batch are done; what is not as it should be.
sub done_wrong
{
	my ($batch, $name) = @_;

	wait_until(
		"\"$name\" is done",
		sub {
			query(qq{SELECT count(*) FROM truth.given g JOIN power_action.event e USING (event_id)
				WHERE g.batch = $batch AND e.status IN ('pending', 'running')}) == 0;
		});
	return query(
		qq{
		SELECT $wrong (
			SELECT $found AS what
			FROM truth.given g JOIN power_action.event e USING (event_id)
			WHERE g.batch = $batch AND g.status = 'pending'
				AND (e.status, e.agent_result, e.attempts, e.instances_total, e.instances_done)
					IS DISTINCT FROM ('success', 'confirmed', 1, g.live, g.live)
			UNION ALL
			SELECT 'is: ' || x::text
			FROM (TABLE truth.present EXCEPT TABLE truth.state) x
			UNION ALL
			SELECT 'should be: ' || x::text
			FROM (TABLE truth.state EXCEPT TABLE truth.present) x) x});
}

# ----------------------------------------------------------------------
# Layouts
# ----------------------------------------------------------------------

ask("$_ neighbours", [ [ @near[ 10 .. 9 + $_ ] ] ]) for 31, 32, 33;
ask('from the last to the first', [ [ reverse @near ] ]);
ask('in any order, some twice', [ [ shuffle @near, @near[ 5 .. 20 ] ] ]);
ask('runs and gaps ' . $_, [ [ shuffle @{ $gap{$_} } ] ]) for sort keys %gap;
ask('all runs and gaps', [ [ shuffle map { @{ $gap{$_} } } sort keys %gap ] ]);

# by their places among all: N keys, then others
for my $case ([ 3, 20 ], [ 1, 17 ], [ 16, 17 ], [ 40, 20 ])
{
	my ($keys, $others) = @$case;
	my @some = @all[ grep { $_ % ($keys + $others) < $keys } 0 .. $#all ];

	ask("$keys keys, $others others", [ [ shuffle @some ] ]);
}
# worth it only until there is nothing more
ask('a run, then far ones',
	[ [ shuffle @near[ 0 .. 39 ], map { $all[ -20 * $_ ] } 1 .. 20 ] ]);

ask('half of them missing', [ [ shuffle @holes ] ]);
ask('all of them missing', [ [ shuffle map { "$_-" } @near ] ]);
ask('between the clusters', [ [ shuffle map { ($_, "$_-") } @near ] ]);
ask('beginnings of others', [ [ shuffle @words, 'u' ] ]);
ask('longer than others', [ [ shuffle map { ($_, "$_-") } @words ] ]);

ask('before the first', [ [ shuffle @before ] ]);
ask('around the first', [ [ shuffle @before, @all[ 0 .. 40 ] ] ]);
ask('to the last', [ [ shuffle @all[ -40 .. -1 ] ] ]);
ask('beyond the last', [ [ shuffle @behind, @all[ -40 .. -1 ] ] ]);
ask('behind the last', [ [ shuffle @behind ] ]);
ask('the first and the last', [ [ $last, $first, @behind, @before ] ]);
ask('all', [ [ shuffle @all, @before, @behind, @holes ] ]);

# ----------------------------------------------------------------------
# Callers
# ----------------------------------------------------------------------

ask('regress_all: neighbours', [ [ shuffle @near ] ], role => 'regress_all');
ask('regress_all: holes', [ [ shuffle @holes, @words ] ], role => 'regress_all');
my @dev = @near[ grep { $_ % 3 == 0 } 0 .. $#near ];
ask('regress_dev: its own', [ [ shuffle @dev ] ], role => 'regress_dev');
ask("regress_dev: others', too", [ [ shuffle @near, @holes ] ],
	role => 'regress_dev');

# ----------------------------------------------------------------------
# Dead entries
# ----------------------------------------------------------------------

# Written anew with the same key: an entry more in each index.
sub renamed
{
	my ($condition) = @_;

	return qq{
		UPDATE power_action.cluster SET cluster_id = cluster_id || '+' WHERE $condition;
		UPDATE power_action.cluster SET cluster_id = rtrim(cluster_id, '+')
			WHERE cluster_id LIKE '%+'};
}

sub replaced
{
	my ($condition) = @_;

	return "DELETE FROM power_action.cluster WHERE $condition;" . insertion($condition);
}

my $old = $node->background_psql('fleet');
$old->set_query_timer_restart();
sub hold_snapshot
{
	$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
	$old->query_safe('SELECT count(*) FROM power_action.event');
	return;
}
sub let_snapshot_go { $old->query_safe('ROLLBACK'); return }

# all entries of jobs and events twice, the first of them dead
my $jobs_anew = q{
	UPDATE power_action.job SET expires_at = 'infinity';
	UPDATE power_action.job SET expires_at = NULL;
	UPDATE power_action.event SET request_key = event_id::text WHERE status = 'pending';
	UPDATE power_action.event SET request_key = NULL WHERE request_key IS NOT NULL};

for my $snapshot ('no snapshot', 'an old snapshot')
{
	hold_snapshot() if $snapshot ne 'no snapshot';
	query($_)
	  for renamed(q{cluster_id LIKE 'n-%'}), replaced(q{cluster_id LIKE 'g-15-%'}),
	  replaced(q{cluster_id LIKE 'n-%5'}), renamed(q{cluster_id LIKE 'n-0%'}),
	  q{UPDATE power_action.instance SET instance_id = instance_id || '+';
		UPDATE power_action.instance SET instance_id = rtrim(instance_id, '+')},
	  q{DELETE FROM power_action.cluster WHERE cluster_id LIKE 'n-%7'};
	ask("$snapshot: neighbours written anew", [ [ shuffle @near ] ],
		after => $jobs_anew);
	ask("$snapshot: all", [ [ shuffle @all, @holes ] ], after => $jobs_anew);
	query(insertion(q{cluster_id LIKE 'n-%7'}));
	ask("$snapshot: some inserted again", [ [ shuffle @near ] ]);
	ask("$snapshot: once more", [ [ shuffle @near ] ]);
	let_snapshot_go() if $snapshot ne 'no snapshot';
}

# gaps of events: rolled back
for my $case ([ 20, 40, 40 ], [ 5, 40, 60 ], [ 40, 16, 20 ], [ 16, 17, 20 ])
{
	my ($here, $gone, $more) = @$case;
	my @ids = shuffle @near;
	my @kept = splice @ids, 0, $here;

	ask("events: $here, $gone rolled back, $more",
		[ \@kept, 'SAVEPOINT s',
			"SELECT FROM power_action.refresh(" . array(@all[ -$gone .. -1 ]) . ')',
			'ROLLBACK TO s', [ splice @ids, 0, $more ] ]);
}

# gaps of events: deleted by somebody, their jobs are not
my $events_gone = q{
	CREATE TEMP TABLE gone ON COMMIT DROP AS
		SELECT event_id, cluster_id FROM power_action.event
		WHERE status = 'pending' AND event_id % 5 = 0;
	DELETE FROM power_action.event WHERE event_id IN (SELECT event_id FROM gone);
	DELETE FROM truth.given WHERE event_id IN (SELECT event_id FROM gone);
	DELETE FROM truth.state WHERE cluster_id IN (SELECT cluster_id FROM gone);
	INSERT INTO truth.state SELECT * FROM truth.present
		WHERE cluster_id IN (SELECT cluster_id FROM gone)};
ask("events deleted, $_", [ [ shuffle @near ] ], after => $events_gone) for 1 .. 2;
finish_all($site);

# ----------------------------------------------------------------------
# Jobs for later, and several of one cluster
# ----------------------------------------------------------------------

# Keys that are left before their entries are all read.
sub request_times
{
	my ($cluster, $times, $more) = @_;

	return "SELECT FROM (SELECT power_action.refresh('$cluster', 'later'$more)
		FROM generate_series(1, $times) OFFSET 0) r";
}
my %times = (4 => 12, 29 => 17, 30 => 18, 59 => 18, 89 => 19, 109 => 40);
query(request_times($near[$_], $times{$_}, q{, not_before => now() + '1 day'}))
  for sort keys %times;
for my $from (0, 4, 20, 30, 88, 100)
{
	ask("some for later, from $from", [ [ shuffle @near[ $from .. $#near ] ] ]);
	ask("none of them now, from $from",
		[ [ shuffle @near[ grep { !$times{$_} } $from .. $#near ] ] ]);
}
ask('all, some for later', [ [ shuffle @all ] ], after => $jobs_anew);

# More than the worker reads of one cluster, and an order of times that is not
# that of events.
set_conf($site, 'power_action.enabled', 'off');
my @many = shuffle @near[ 104 .. 148 ];
my @late = @near[ 110 .. 125 ];
query("BEGIN;
	SELECT FROM power_action.power_off(" . array(@late) . q{, 'late',
		not_before => clock_timestamp() + '50 ms');
	SELECT FROM power_action.power_on(} . array(@many) . q{, 'on');
	SELECT FROM power_action.power_off(} . array(@many[ 0 .. 29 ]) . q{, 'off');
	} . request_times($near[130], 230, '') . '; COMMIT');
poll_value($node, 'fleet', q{SELECT bool_and(due_at < now()) FROM power_action.job j
	JOIN power_action.event USING (event_id) WHERE triggered_by = 'late'});
set_conf($site, 'power_action.enabled', undef);
poll_value($node, 'fleet', q{SELECT count(*) = 0 FROM power_action.job WHERE due_at < now()});
is( query(qq{
	SELECT $wrong (
		SELECT concat_ws('|', e.cluster_id, e.triggered_by, e.status, e.agent_result,
			s.triggered_by) AS what
		FROM power_action.event e
		JOIN power_action.cluster c ON c.cluster_id = e.cluster_id AND c.status <> 'terminated'
		LEFT JOIN power_action.event s ON s.event_id = e.superseded_by
		CROSS JOIN LATERAL (SELECT coalesce(min(o.triggered_by) FILTER (WHERE o.triggered_by = 'off'),
				min(o.triggered_by)) AS by
			FROM power_action.event o WHERE o.cluster_id = e.cluster_id
				AND o.triggered_by IN ('off', 'late')) o
		WHERE e.triggered_by IN ('on', 'off', 'late')
			AND concat_ws('|', e.status, e.agent_result, s.triggered_by) <>
				CASE WHEN e.triggered_by = 'on' AND o.by IS NOT NULL
					THEN 'cancelled|none|' || o.by ELSE 'success|confirmed' END) x}),
	'{}', 'several jobs of a cluster are taken in their order');
is( query(q{
	SELECT count(*), count(*) FILTER (WHERE status = 'success') FROM power_action.event
	WHERE triggered_by = 'later' AND not_before IS NULL}),
	'230|230', 'and all of many');
query(q{SELECT power_action.cancel(event_id) FROM power_action.job});
finish_all($site);

# ----------------------------------------------------------------------
# At random
# ----------------------------------------------------------------------

sub chance { return rand() < $_[0] }

my $held = 0;
for my $round (1 .. $rounds)
{
	# most of them near each other, or any
	my @some = @all;
	if (chance(0.5))
	{
		my $from = int rand @all;

		@some = @all[ $from .. $#all ];
	}
	my $share = rand;
	@some = (
		(grep { chance($share) } @some),
		(grep { chance(0.2) } @holes, @words, @before, @behind));
	@some = @some[ 0 .. 400 ] if @some > 400;
	if (chance(0.3))
	{
		$held ? let_snapshot_go() : hold_snapshot();
		$held = !$held;
	}
	if (chance(0.3))
	{
		my $digit = int rand 10;

		query(chance(0.5) ? replaced("cluster_id LIKE '%$digit'")
			: renamed("cluster_id LIKE '%$digit'"));
	}
	ask("SEED=$seed, round $round, " . @some . ' clusters', [ [ shuffle @some ] ],
		chance(0.2) ? (role => 'regress_dev') : (),
		chance(0.3) ? (after => $jobs_anew) : ());
}

finish_all($site);

# ----------------------------------------------------------------------
# What the agent was told, in all of that
# ----------------------------------------------------------------------

my %orders;
for (grep { /"event":"start"/ } split /\n/, slurp_file($agent->{calls}))
{
	my ($event) = m{"request_id":"[^"]*/(\d+)/\d+"};
	my ($instances) = /"instances":(\d+)/;

	push @{ $orders{$event} }, $instances;
}
my @given = map { [ split /\|/ ] } split /\n/,
  query('SELECT event_id, live FROM truth.given WHERE live IS NOT NULL');
cmp_ok(scalar @given, '>', 5000, @given . ' actions');
is( join(', ', grep { $_ } (
	map {
		my ($event, $live) = @$_;
		my $told = join ' ', @{ $orders{$event} // ['nothing'] };
		$told eq $live ? '' : "event $event: $live, not $told"
	} @given)[ 0 .. 9 ]),
	'', 'the agent has got one order each, with all live instances');
ok_consistent($site);
ok_checked($site);
$_->quit for $session, $old;
done_testing();
