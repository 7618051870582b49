# test/bench/size.sh
#
# Scenarios of make bench: what an action costs when the queue, the history or
# the inventory is long, against short ones in the same run.

# shellcheck shell=bash disable=SC2154

# queue_rates BEFORE NUMBER: the rate of each so many events since, in order.
# From the times in the events, since nothing else tells of a part of a queue.
queue_rates()
{
	query -c "SELECT $2 / extract(epoch FROM max(finished_at) - min(finished_at))
		FROM power_action.event WHERE event_id > $1
		GROUP BY (event_id - $1 - 1) / $2 HAVING count(*) = $2
		ORDER BY (event_id - $1 - 1) / $2"
}

# queue_round ACTION SUBJECT
queue_round()
{
	local before rate

	before=$(last_event)
	drain "$1" >/dev/null
	queue_rates "$before" "$short" >"$private/rates"
	while read -r rate; do
		record 'queue length' "$2" actions/s "$rate"
	done <"$private/rates"
}

short_rounds()
{
	local round

	batch "SELECT cluster_id FROM power_action.cluster ORDER BY cluster_id
		LIMIT $short"
	for ((round = 1; round <= $(rounds 6); round++)); do
		queue_round "$(action_of "$round")" short
	done
}

bench_queue_length()
{
	local long short=10000

	long=$(large 1000000)
	if [ "$long" -lt 50000 ]; then long=50000; fi
	database queue
	fill "$long" 1
	vacuum
	wait_until_ready agent
	short_rounds
	batch "SELECT cluster_id FROM power_action.cluster ORDER BY cluster_id"
	queue_round power_off long
	record 'memory, after a long queue' worker MB \
		"$(memory_of "$(worker_pid)")"
	short_rounds
	database_end queue
}

# The database that others are compared with: short in everything.  All who
# need it share it; what it keeps is what any database in use has.
reference()
{
	if [ -z "${reference_made:-}" ]; then
		database reference
		inventory "$(scaled 50000)" 1
		reference_made=yes
	fi
}

bench_history()
{
	reference
	database history
	fill "$(scaled 50000)" 1
	query -v events="$(large 10000000)" -v clusters="$(scaled 50000)" <<'SQL'
SET session_replication_role = replica;
-- Pages as they are when the rows of requests have become those of outcomes, in
-- place: no room for another one.
ALTER TABLE power_action.event SET (fillfactor = 60);
INSERT INTO power_action.event (action, cluster_id, cluster_name, account_name,
		server_name, triggered_by, description, status, agent_result,
		requested_by, application_name, requested_at, started_at, finished_at,
		attempts, instances_total, instances_done)
	SELECT CASE n / :clusters % 2 WHEN 0 THEN 'power_off' ELSE 'power_on' END,
		'agent-' || lpad((n % :clusters + 1)::text, 8, '0'),
		'cluster ' || n % :clusters + 1, 'agent', 'agent', 'scheduler',
		'the hours of the office', 'success', 'confirmed', 'postgres', 'bench',
		t, t + interval '1 ms', t + interval '2 ms', 1, 1, 1
	FROM generate_series(0, :events - 1) n,
		LATERAL (SELECT now() - (:events - n) * interval '3 s' AS t) s;
ALTER TABLE power_action.event SET (fillfactor = 45);
SQL
	vacuum
	batch "SELECT cluster_id FROM power_action.cluster ORDER BY cluster_id"
	wait_until_ready agent
	compare history "$(rounds 6)" reference short history long
	database_end history
}

# A round is about neighbours in the large inventory, and then about clusters
# that are all over it: each of these has its pages for itself, which are read
# and written in full.
bench_inventory()
{
	local small large

	small=$(scaled 50000)
	large=$(large 1000000)
	database small
	inventory "$small" 6
	database large
	fill "$large" 6
	vacuum
	batch "SELECT cluster_id FROM power_action.cluster ORDER BY cluster_id
		LIMIT $small"
	wait_until_ready agent
	compare inventory "$(rounds 6)" small small large large
	use large
	batch "SELECT cluster_id FROM power_action.cluster
		ORDER BY hashtext(cluster_id) LIMIT $small"
	compare 'inventory, scattered' "$(rounds 2)" small small large large
	database_end small large
}

# disk SUBJECT TABLE NUMBER: with indexes, after VACUUM
disk()
{
	query -c "VACUUM power_action.$2"
	record 'size on disk' "$1" B "$(query -c "SELECT
		pg_total_relation_size('power_action.$2') / $3::numeric")"
}

# What a fleet takes: filled as a restore does it, requested in one statement,
# done; then everything once more, which finds the room of what was deleted.
bench_disk()
{
	local clusters

	clusters=$(scaled 100000)
	database disk
	sending off
	inventory "$clusters" 6
	disk cluster cluster "$clusters"
	disk instance instance $((6 * clusters))
	query -o /dev/null -c "SET client_min_messages = error" -c "SELECT count(*)
		FROM power_action.power_off(ARRAY(SELECT cluster_id FROM batch),
			'scheduler', 'the hours of the office')"
	disk 'event, pending' event "$clusters"
	disk job job "$clusters"
	sending on
	all_succeeded 0 "$clusters"
	disk 'event, final' event "$clusters"
	disk 'cluster, powered' cluster "$clusters"
	disk 'instance, powered' instance $((6 * clusters))
	drain power_on >"$private/drained"
	disk 'event, final, second round' event $((2 * clusters))
	database_end disk
}
