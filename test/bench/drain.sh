# test/bench/drain.sh
#
# Scenarios of make bench: a queue that was filled by one statement, and what
# an action costs; the same with each call for itself, and over TLS.

# shellcheck shell=bash disable=SC2154

bench_drain()
{
	local number last round result process pid before
	local -A pids cpu

	number=$(scaled 50000)
	last=$(rounds 6)
	database drain
	inventory "$number" 1
	pids=([worker]=$(worker_pid) [courier]=$(courier_pid)
		[agent]=$(agent_pid agent))
	query -c "SELECT pg_stat_reset()" >/dev/null

	for ((round = 1; round <= last; round++)); do
		for process in "${!pids[@]}"; do
			cpu[$process]=$(cpu_of "${pids[$process]}")
		done
		result=$(drain "$(action_of "$round")")
		record drain power_action actions/s "$(rate "$result")"
		read -r _ _ before since <<<"$result"
		record 'WAL of an action' request B "$before"
		record 'WAL of an action' outcome B "$since"
		for process in "${!pids[@]}"; do
			pid=${pids[$process]}
			record 'CPU of an action' "$process" us "$(awk -v number="$number" \
				-v spent="$(($(cpu_of "$pid") - ${cpu[$process]}))" \
				'BEGIN { print spent / number / 1000 }')"
		done
	done

	wait_for 30 updates_reported $((last * number)) ||
		fail "the worker does not report what it did"
	query -F ' ' -c "
		SELECT relname, (n_tup_upd + n_tup_del)::numeric / ($last * $number),
			n_tup_hot_upd::numeric / nullif(n_tup_upd, 0)
		FROM pg_stat_user_tables WHERE relname IN
			('event', 'job', 'cluster', 'instance') ORDER BY 1" |
		while read -r table dead hot; do
			record 'dead rows of an action' "$table" rows "$dead"
			if [ -n "$hot" ]; then
				record 'share of HOT updates' "$table" % \
					"$(awk -v hot="$hot" 'BEGIN { print 100 * hot }')"
			fi
		done
	database_end drain
}

# A worker with nothing to do keeps its counts to itself for ten seconds: a
# question now and then makes it tell.
updates_reported()
{
	query -c "SELECT power_action.refresh('agent-00000001')" >/dev/null
	sleep 0.5
	[ "$(query -c "SELECT n_tup_upd >= $1 FROM pg_stat_user_tables
		WHERE relid = 'power_action.event'::regclass")" = t ]
}

bench_streaming()
{
	local number

	number=$(scaled 50000)
	database streaming
	inventory "$number" 1
	database unary agent "streaming 'off'"
	inventory "$number" 1
	compare streaming "$(rounds 6)" streaming 'one stream' \
		unary 'each call for itself'
	database_end streaming unary
}

# An authority, and a certificate of it for the agent; as the server's user, who
# must own the key.
make_certificates()
{
	as_server sh -e -c '
		cd "$0"
		openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority \
			-keyout ca.key -out ca.crt
		openssl req -newkey rsa:2048 -nodes -subj /CN=localhost \
			-keyout agent.key -out agent.csr
		echo subjectAltName=DNS:localhost >agent.ext
		openssl x509 -req -in agent.csr -CA ca.crt -CAkey ca.key \
			-CAcreateserial -days 2 -extfile agent.ext -out agent.crt
		chmod 600 agent.key' "$private" >"$private/log/openssl.log" 2>&1 ||
		fail "openssl: $(tail -n 3 "$private/log/openssl.log")"
}

# Both over a unix socket: what differs is TLS.
bench_tls()
{
	local number

	number=$(scaled 50000)
	make_certificates
	agent_start tls --provider simulated --tls-cert "$private/agent.crt" \
		--tls-key "$private/agent.key"
	database plain
	inventory "$number" 1
	database encrypted tls "tls 'on'" "root_cert_file '$private/ca.crt'"
	inventory "$number" 1
	compare TLS "$(rounds 6)" plain plain encrypted TLS
	database_end plain encrypted
	agent_stop tls
}
