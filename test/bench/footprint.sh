# test/bench/footprint.sh
#
# Scenarios of make bench: memory of worker and courier, and what the rest of
# the server loses while nothing is powered.

# shellcheck shell=bash disable=SC2154

calls_in_flight()
{
	[ "$(query -c "SELECT in_flight >= $1 FROM power_action.worker_status
		WHERE database = current_database()")" = t ]
}

# record_memory MEASURE SUBJECT
record_memory()
{
	local worker courier

	worker=$(memory_of "$(worker_pid)")
	courier=$(memory_of "$(courier_pid)")
	record "$1" "$2" MB \
		"$(awk -v a="$worker" -v b="$courier" 'BEGIN { print a + b }')"
	memory="worker $worker, courier $courier"
}

bench_memory()
{
	local round number memory drain_pid actions=0 last=20

	agent_start thinking --provider simulated --latency 1s
	database held thinking "max_concurrent_calls '1000'"
	inventory 4000 1
	record_memory memory idle
	drain power_off >"$private/drained" &
	drain_pid=$!
	wait_for 30 calls_in_flight 1000 || fail "1000 calls are not in flight"
	record_memory memory '1000 in flight'
	echo "    at 1000 in flight, MB: $memory"
	wait "$drain_pid" || fail "not all of 1000 in flight succeeded"
	database_end held
	agent_stop thinking

	number=$(scaled 50000)
	if [ -n "$quick" ]; then last=4; fi
	database flat
	inventory "$number" 1
	for ((round = 1; round <= last; round++)); do
		drain "$(action_of "$round")" >/dev/null
		actions=$((actions + number))
		record_memory 'memory over actions' "$actions"
	done
	echo "    after $actions actions, MB: $memory"
	database_end flat
}

# others SUBJECT PORT: what sessions that have nothing to do with us get done
others()
{
	local kind
	local -A options=([connections]="-C -n -f $private/select.sql -c 4"
		[select]='-n -S -c 4' [tpcb]='-n -c 4')

	for kind in connections select tpcb; do
		# shellcheck disable=SC2086
		record "others: $kind" "$1" transactions/s "$(PGPORT=$2 \
			pgbench ${options[$kind]} -T "$(seconds 5)" 2>/dev/null |
			sed -n 's/^tps = \([0-9.]*\).*/\1/p')"
	done
}

# Another server without power_action, and one whose database has the
# extension and nothing to do.
bench_idle_cost()
{
	local round port before worker courier last=4

	server_start bare <<SETTINGS
port = 5433
$settings
shared_preload_libraries = ''
SETTINGS
	PGPORT=5433 query -d postgres -c 'CREATE DATABASE others'
	export PGPORT=5432
	database others
	wait_until_ready agent
	for port in 5432 5433; do
		PGPORT=$port pgbench -i -q -s "${quick:-10}" others >"$private/log/pgbench.log" 2>&1
	done
	echo 'SELECT 1' >"$private/select.sql"
	if [ -n "$quick" ]; then last=1; fi
	for ((round = 1; round <= last; round++)); do
		if [ $((round % 2)) = 1 ]; then others without 5433; fi
		others with 5432
		if [ $((round % 2)) = 0 ]; then others without 5433; fi
	done

	worker=$(worker_pid)
	courier=$(courier_pid)
	before=$(($(cpu_of "$worker") + $(cpu_of "$courier")))
	sleep "$(seconds 5)"
	record 'CPU while idle' 'worker and courier' us/s "$(awk \
		-v ns="$(($(cpu_of "$worker") + $(cpu_of "$courier") - before))" \
		-v seconds="$(seconds 5)" 'BEGIN { print ns / seconds / 1000 }')"
	database_end others
	as_server "$stage/bin/pg_ctl" stop -s -w -m fast -D "$private/bare"
}
