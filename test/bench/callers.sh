# test/bench/callers.sh
#
# Scenarios of make bench: what callers see.  One action alone, sessions that
# request one action a transaction, and requests of many at once.

# shellcheck shell=bash disable=SC2154

bench_alone()
{
	agent_start logged --provider simulated --log "$private/alone.log"
	database alone logged
	inventory 50 1
	# shellcheck disable=SC2046
	"$private/latency" "$(scaled 1000)" $(seq -f 'agent-%08.0f' 50) \
		>"$private/alone"
	database_end alone
	agent_stop logged
	perl -Itest/storm -MAgentLog=read_agent_log -e '
		my ($log, $file) = @ARGV;
		my %received = map { (split m{/}, $_->{request_id})[-2], $_->{received} }
			grep { $_->{event} eq "end" } read_agent_log($log);
		open my $rounds, "<", $file or die "$file: $!\n";
		while (<$rounds>)
		{
			my ($event, $final, $final_sent, $acknowledged, $sent) = split;
			my $received = $received{$event}
				// die "the agent has not logged event $event\n";
			printf "%.4f %.4f %.4f %.4f\n", $final / 1e3, $final_sent / 1e3,
				$received * 1e3 - $acknowledged / 1e3,
				$received * 1e3 - $sent / 1e3;
		}' "$private/alone.log" "$private/alone" >"$private/alone.ms"
	while read -r final final_sent agent agent_sent; do
		record alone power_action ms "$final"
		record 'alone, since COMMIT was sent' power_action ms "$final_sent"
		record 'alone, to the agent' power_action ms "$agent"
		record 'alone, to the agent, since COMMIT was sent' power_action ms \
			"$agent_sent"
	done <"$private/alone.ms"
}

# live_round ACTION SUBJECT: four sessions for some seconds, each with clusters
# of its own.  With "no worker" what they request waits until they have ended.
live_round()
{
	local before number sampler=

	before=$(last_event)
	query -c CHECKPOINT
	printf '%s\n' '\set i :i + 1' \
		"\\set n :client_id * $live_share + :i % $live_share + 1" \
		"SELECT power_action.$1('agent-' || lpad(:n::text, 8, '0'));" \
		>"$private/live.sql"
	if [ "$2" = "worker running" ]; then
		query -v seconds="$live_seconds" >"$private/backlog" <<'SQL' &
CREATE TEMP TABLE most (backlog bigint NOT NULL);
INSERT INTO most VALUES (0);
SELECT set_config('bench.until',
	(clock_timestamp() + :seconds * interval '1 s')::text, false) \g /dev/null
DO $$
BEGIN
	WHILE clock_timestamp() < current_setting('bench.until')::timestamptz LOOP
		UPDATE most SET backlog =
			greatest(backlog, (SELECT count(*) FROM power_action.job));
		COMMIT;
		PERFORM pg_sleep(0.05);
	END LOOP;
END
$$;
SELECT backlog FROM most;
SQL
		sampler=$!
	fi
	PGOPTIONS='-c client_min_messages=error -c log_min_messages=error' \
		pgbench -n -M prepared -c 4 -j 2 \
		-D i=-1 -T "$live_seconds" -f "$private/live.sql" \
		>"$private/pgbench" 2>"$private/log/pgbench.log" || {
		tail -n 5 "$private/log/pgbench.log" >&2
		fail "pgbench failed"
	}
	number=$(sed -n \
		's/^number of transactions actually processed: \([0-9]*\).*/\1/p' \
		"$private/pgbench")
	if [ -n "$sampler" ]; then
		wait "$sampler"
		record 'live, backlog' "$2" actions "$(cat "$private/backlog")"
	else
		sending on
	fi
	record live "$2" actions/s \
		"$(sed -n 's/^tps = \([0-9.]*\).*/\1/p' "$private/pgbench")"
	all_succeeded "$before" "$number"
}

bench_live()
{
	local live_seconds live_share round

	live_seconds=$(seconds 10)
	live_share=$((5000 * live_seconds))
	database live
	inventory $((4 * live_share)) 1
	for ((round = 1; round <= $(rounds 3); round++)); do
		live_round power_off 'worker running'
		sending off
		live_round power_on 'no worker'
	done
	database_end live
}

# enqueue SUBJECT EXPRESSION: requests of all clusters in one statement,
# with nobody who takes them.
enqueue()
{
	local before

	before=$(last_event)
	sending off
	query >"$private/enqueue" <<SQL
SET client_min_messages = error;
SET log_min_messages = error;
CHECKPOINT;
SELECT clock_timestamp() AS start \gset
SELECT count(*) AS requested FROM $2 \gset
SELECT :requested / extract(epoch FROM clock_timestamp() - :'start'::timestamptz);
SQL
	record enqueue "$1" actions/s "$(cat "$private/enqueue")"
	sending on
	all_succeeded "$before" "$number"
}

bench_enqueue()
{
	local number round

	number=$(scaled 50000)
	database enqueue
	inventory "$number" 1
	for ((round = 1; round <= $(rounds 5); round++)); do
		enqueue 'one call a row' \
			"(SELECT power_action.power_off(cluster_id)
				FROM power_action.cluster OFFSET 0) r"
		enqueue 'cluster_ids text[]' \
			'power_action.power_on(ARRAY(SELECT cluster_id
				FROM power_action.cluster))'
	done
	database_end enqueue
}
