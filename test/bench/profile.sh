# test/bench/profile.sh
#
# Where the time of an action goes, of make bench.

# shellcheck shell=bash disable=SC2154

# Times that the threads of a process have given up the processor to wait.
waits_of()
{
	cat "/proc/$1"/task/*/status |
		awk '$1 == "voluntary_ctxt_switches:" { sum += $2 }
			END { printf "%.0f\n", sum }'
}

# What the worker's statements are for, and us an action of each.
statements()
{
	query -F ' ' -c "
		SELECT sum(total_exec_time) * 1000 / $1, purpose
		FROM pg_stat_statements s
		CROSS JOIN LATERAL (SELECT CASE
			WHEN query ~ '^UPDATE power_action.event' THEN 'events written'
			WHEN query ~ '^UPDATE power_action.cluster' THEN 'clusters written'
			WHEN query ~ '^SELECT n.n, c.ctid' THEN 'clusters locked'
			WHEN query ~ '^UPDATE power_action.instance'
				THEN 'instances written'
			WHEN query ~ '^DELETE FROM power_action.job' THEN 'jobs deleted'
			WHEN query ~ '^SELECT n.n, ' THEN 'clusters and instances read'
			WHEN query ~ '^(SELECT|WITH RECURSIVE).* power_action.job'
				AND query NOT LIKE '%count(*)%' THEN 'jobs and events read'
			END AS purpose) p
		WHERE purpose IS NOT NULL
		GROUP BY purpose ORDER BY 1 DESC"
}

# A server of its own, whose settings make it a little slower.
bench_profile()
{
	local number round process time purpose sql
	local -A pids cpu waits
	local measure='profile of an action'

	server_start profiled <<SETTINGS
$settings
port = 5434
shared_preload_libraries = 'power_action, pg_stat_statements'
pg_stat_statements.track = all
track_wal_io_timing = on
SETTINGS
	export PGPORT=5434
	number=$(scaled 50000)
	database profile
	query -c 'CREATE EXTENSION pg_stat_statements'
	inventory "$number" 1
	drain power_off >/dev/null
	pids=([worker]=$(worker_pid) [courier]=$(courier_pid)
		[agent]=$(agent_pid agent))
	for ((round = 2; round <= $(rounds 4) + 1; round++)); do
		query -c "SELECT pg_stat_statements_reset(),
			pg_stat_reset_shared('wal')" >/dev/null
		for process in "${!pids[@]}"; do
			cpu[$process]=$(cpu_of "${pids[$process]}")
			waits[$process]=$(waits_of "${pids[$process]}")
		done
		drain "$(action_of "$round")" >/dev/null
		sql=0
		while read -r time purpose; do
			record "$measure" "worker: $purpose" us "$time"
			sql=$(awk -v sql="$sql" -v time="$time" 'BEGIN { print sql + time }')
		done < <(statements "$number")
		record "$measure" 'worker: outside its statements' us "$(awk \
			-v spent="$(($(cpu_of "${pids[worker]}") - ${cpu[worker]}))" \
			-v number="$number" -v sql="$sql" \
			'BEGIN { print spent / number / 1000 - sql }')"
		record "$measure" 'WAL written and flushed, by all' us "$(query -c "
			SELECT (wal_write_time + wal_sync_time) * 1000 / $number
			FROM pg_stat_wal")"
		for process in worker courier agent; do
			record "$measure" "$process: CPU in all" us "$(awk \
				-v spent="$(($(cpu_of "${pids[$process]}") - ${cpu[$process]}))" \
				-v number="$number" 'BEGIN { print spent / number / 1000 }')"
			record 'profile, wake-ups of an action' "$process" times "$(awk \
				-v n="$(($(waits_of "${pids[$process]}") - ${waits[$process]}))" \
				-v number="$number" 'BEGIN { print n / number }')"
		done
	done
	database_end profile
	as_server "$stage/bin/pg_ctl" stop -s -w -m fast -D "$private/profiled"
	export PGPORT=5432
}
