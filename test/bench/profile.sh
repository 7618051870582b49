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

# worker_times EVENTS: what the worker has done with its time when it had
# finished so many, in ms, after their number.  It publishes that now and then.
worker_times()
{
	local -a times

	until read -r -a times < <(query -F ' ' -c "
			SELECT finished, receive_time, read_time, send_time, write_time,
				commit_time
			FROM power_action.worker_status WHERE database = 'profile'") &&
		((times[0] >= $1)); do
		sleep 0.05
	done
	echo "${times[*]}"
}

# A server of its own, whose settings make it a little slower.
bench_profile()
{
	local number round process i
	local -a before after
	local -a phases=('' 'frames received, and the rest' 'jobs and events read'
		'clusters and instances read, frames sent' 'outcomes written'
		'transactions ended')
	local -A pids cpu waits
	local measure='profile of an action'

	server_start profiled <<SETTINGS
$settings
port = 5434
track_wal_io_timing = on
SETTINGS
	export PGPORT=5434
	number=$(scaled 50000)
	database profile
	inventory "$number" 1
	drain power_off >/dev/null
	pids=([worker]=$(worker_pid) [courier]=$(courier_pid)
		[agent]=$(agent_pid agent))
	for ((round = 2; round <= $(rounds 4) + 1; round++)); do
		query -c "SELECT pg_stat_reset_shared('wal')" >/dev/null
		read -r -a before < <(worker_times $(((round - 1) * number)))
		for process in "${!pids[@]}"; do
			cpu[$process]=$(cpu_of "${pids[$process]}")
			waits[$process]=$(waits_of "${pids[$process]}")
		done
		drain "$(action_of "$round")" >/dev/null
		read -r -a after < <(worker_times $((round * number)))
		for i in 1 2 3 4 5; do
			record "$measure" "worker: ${phases[i]}" us "$(awk \
				-v spent="${after[i]}" -v before="${before[i]}" \
				-v number="$number" \
				'BEGIN { print (spent - before) * 1000 / number }')"
		done
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
