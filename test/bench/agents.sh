# test/bench/agents.sh
#
# Scenarios of make bench: slow agents, dead agents, and what power_agent itself
# needs for a cloud.

# shellcheck shell=bash disable=SC2154

# The bound is calls in flight, divided by the latency.  A client that does
# nothing but gRPC shows how near to it one gets on this machine.
bench_latency_bound()
{
	local round in_flight number result

	rivals_build
	agent_start slow --provider simulated --latency 50ms
	database slow slow "max_concurrent_calls '1000'"
	inventory 50000 1
	for in_flight in 1000 100; do
		query -c "ALTER SERVER agent
			OPTIONS (SET max_concurrent_calls '$in_flight')"
		number=$(scaled $((50 * in_flight)))
		if [ "$number" -lt $((10 * in_flight)) ]; then
			number=$((10 * in_flight))
		fi
		batch "SELECT cluster_id FROM power_action.cluster ORDER BY cluster_id
			LIMIT $number"
		for ((round = 1; round <= $(rounds 4); round++)); do
			result=$(drain "$(action_of "$round")")
			record 'agent at 50 ms' "$in_flight in flight" actions/s \
				"$(rate "$result")"
			record 'agent at 50 ms, gRPC core' "$in_flight in flight" calls/s \
				"$("$private/raw_grpc" call "unix:$private/slow.socket" power_on \
					"$number" "$in_flight")"
		done
	done
	database_end slow
	agent_stop slow
}

# What an action costs and how long it is under way, by the number of calls that
# may be in flight.
bench_batches()
{
	local round in_flight result before option=ADD

	database batches
	inventory "$(scaled 50000)" 1
	for ((round = 1; round <= $(rounds 4); round++)); do
		for in_flight in 16 64 256 1024; do
			query -c "ALTER SERVER agent OPTIONS
				($option max_concurrent_calls '$in_flight')"
			option=SET
			before=$(last_event)
			result=$(drain "$(action_of "$round")")
			record 'calls in flight' "$in_flight" actions/s "$(rate "$result")"
			record 'calls in flight, time of an action' "$in_flight" ms \
				"$(query -c "SELECT 1000 * percentile_cont(0.5) WITHIN GROUP
					(ORDER BY extract(epoch FROM finished_at - started_at))
					FROM power_action.event WHERE event_id > $before")"
		done
	done
	database_end batches
}

# nine NAME: a database with nine servers, which are one agent, with as many
# clusters each
nine()
{
	local n

	database "$1"
	for n in {1..9}; do
		add_server "live$n" agent
		fill "$(($(scaled 50000) / 10))" 1 "live$n"
	done
	vacuum
	batch "SELECT cluster_id FROM power_action.cluster
		ORDER BY substr(cluster_id, 6), cluster_id"
	for n in {1..9}; do
		wait_until_ready "live$n"
	done
}

bench_one_dead()
{
	nine nine
	nine ten
	add_server absent
	fill "$(($(scaled 50000) / 10))" 1 absent
	query -c 'TRUNCATE batch RESTART IDENTITY' -c "
		INSERT INTO batch (cluster_id, counts)
			SELECT cluster_id, account_name <> 'absent'
			FROM power_action.cluster
			ORDER BY right(cluster_id, 8), cluster_id" -c 'VACUUM ANALYZE batch'
	compare 'one of ten agents' "$(rounds 6)" nine nine ten 'nine, one dead'
	database_end nine ten
}

# A process that is told what to do over HTTP (test/t/ec2_double.py).
double_control()
{
	perl -MHTTP::Tiny -e '
		local $/;
		my $answer = HTTP::Tiny->new->post($ARGV[0], { content => <STDIN> });
		die "the double does not answer: $answer->{content}\n"
			if !$answer->{success};
		print $answer->{content}' "http://127.0.0.1:$double_port/control"
}

# 1,000 clusters of 6 instances in a cloud that answers in 50 ms and allows
# 20 calls a second.
bench_agent_speed()
{
	local clusters port double_port calls before result round seconds

	clusters=$(scaled 1000)
	coproc DOUBLE { POWER_ACTION_PRIVATE=$private exec python3 test/t/ec2_double.py; }
	double_pid=$DOUBLE_PID
	read -r port double_port <&"${DOUBLE[0]}"
	perl -e 'my ($clusters) = @ARGV;
		printf q({"latency": 0.05, "keys": {"AK": "SK"}, "instances": {%s}}),
			join ", ", map { my $n = $_;
				map { sprintf q("i-%08x%04x": "running"), $n, $_ } 1 .. 6
			} 1 .. $clusters' "$clusters" | double_control >/dev/null
	as_server sh -c 'umask 077; cat >"$0"' "$private/accounts.ini" <<ACCOUNTS
[agent]
provider = ec2
endpoint = http://127.0.0.1:$port
user = AK
key = SK
max_requests_per_second = 20
ACCOUNTS
	agent_start ec2 --accounts "$private/accounts.ini"
	database ec2 ec2 "max_concurrent_calls '1000'" "call_timeout '5min'"
	inventory "$clusters" 6
	for ((round = 1; round <= $(rounds 2); round++)); do
		echo '{"forget": true}' | double_control >/dev/null
		before=$(cpu_of "$(agent_pid ec2)")
		result=$(drain "$(action_of "$round")")
		seconds=${result%% *}
		record 'power_agent with ec2' 'clusters of 6 instances' s "$seconds"
		record 'power_agent with ec2, CPU' 'clusters of 6 instances' % \
			"$(awk -v ns="$(($(cpu_of "$(agent_pid ec2)") - before))" \
				-v seconds="$seconds" 'BEGIN { print ns / seconds / 1e7 }')"
		calls=$(echo '{}' | double_control | grep -o '"action"' | wc -l)
		record 'power_agent with ec2, calls' 'clusters of 6 instances' calls \
			"$calls"
		record 'power_agent with ec2' 'its calls at 20 a second' s \
			"$(awk -v calls="$calls" 'BEGIN { print calls / 20 }')"
	done
	database_end ec2
	agent_stop ec2
	kill "$double_pid"
	wait "$double_pid" 2>/dev/null || :
}

status_of()
{
	awk -v field="$2:" '$1 == field { printf "%.1f", $2 / 1024 }' \
		"/proc/$1/status"
}

# Twice the same: what the second time adds is growth.  In a hurry, once.
bench_in_flight()
{
	local pid most now drain_pid round clusters=15000
	local -a times=(first second)

	agent_start patient --provider simulated --latency 3s
	database patient patient "max_concurrent_calls '10000'"
	if [ -n "$quick" ]; then
		clusters=10000
		times=(first)
	fi
	inventory "$clusters" 1
	pid=$(agent_pid patient)
	record 'power_agent, memory' before MB "$(status_of "$pid" VmRSS)"
	for round in "${times[@]}"; do
		most=0
		drain power_off >"$private/drained" &
		drain_pid=$!
		while kill -0 "$drain_pid" 2>/dev/null; do
			now=$(query -c "SELECT in_flight FROM power_action.worker_status
				WHERE database = current_database()")
			if [ "$now" -gt "$most" ]; then most=$now; fi
			sleep 0.05
		done
		wait "$drain_pid" || fail "not all of many in flight succeeded"
		record 'power_agent, in flight' most calls "$most"
		record 'power_agent, memory' "most, $round time" MB \
			"$(status_of "$pid" VmHWM)"
		record 'power_agent, memory' "after, $round time" MB \
			"$(status_of "$pid" VmRSS)"
	done
	database_end patient
	agent_stop patient
}
