# test/bench/rivals.sh
#
# What the alternatives do on this machine with the same work: gRPC core
# alone, as the ceiling, and pg-boss and graphile-worker.  To be sourced by
# test/bench/run, with a server running; how they are measured is in
# test/bench/rivals/README.md.
#
#   bench_ceiling  records  ceiling grpc-core        calls/s  an empty server
#                           ceiling grpc-core-agent  calls/s  power_agent
#   bench_rivals   records  drain PRODUCT actions/s  and ours between them
#                           alone PRODUCT ms         from the acknowledgement of
#                                                    COMMIT to the final row
#                           PRODUCT: pg-boss, graphile-worker,
#                           graphile-worker-grouped; for drain also
#                           pg-boss-streaming, graphile-worker-grouped-streaming
#
# Of the caller: $private, $stage, query, database, inventory, drain, record MEASURE SUBJECT UNIT VALUE,
# scaled NUMBER; and $private/machine.tsv, where the settings go that were best.

# QUICK=1 leaves of the numbers what takes seconds, and tries no settings.

# shellcheck shell=bash disable=SC2154

rivals_products=(pg-boss graphile-worker graphile-worker-grouped)
rivals_streaming=(pg-boss-streaming graphile-worker-grouped-streaming)
if [ -n "${QUICK:-}" ]; then
	rivals_streaming=()
	rivals_actions=2000
	rivals_pairs=1
	rivals_singles=30
	rivals_trial_actions=0
	rivals_trial_singles=0
	rivals_calls=20000
	rivals_call_rounds=3
else
	rivals_actions=$(scaled 50000)
	rivals_pairs=2
	rivals_singles=$(scaled 300)
	rivals_trial_actions=$(scaled 10000)
	rivals_trial_singles=$(scaled 50)
	rivals_calls=$(scaled 100000)
	rivals_call_rounds=5
fi

rivals_build()
{
	if [ ! -e "$private/raw_grpc" ]; then
		gcc -O2 -Wall -Wextra -Wno-missing-field-initializers -Ibuild/proto \
			-o "$private/raw_grpc" test/bench/raw_grpc.c \
			build/proto/agent.pb-c.c -lgrpc -lgpr -lprotobuf-c -pthread
	fi
}

# rivals_ceiling SUBJECT ADDRESS: at the number of calls in flight that is best
rivals_ceiling()
{
	local subject=$1 address=$2 in_flight rate best=0 best_in_flight=64

	for in_flight in 32 64 128 256; do
		rate=$("$private/raw_grpc" call "$address" power_off "$rivals_calls" \
			"$in_flight")
		if [ "$rate" -gt "$best" ]; then
			best=$rate
			best_in_flight=$in_flight
		fi
	done
	for _ in $(seq "$rivals_call_rounds"); do
		rate=$("$private/raw_grpc" call "$address" power_on "$rivals_calls" \
			"$best_in_flight")
		record ceiling "$subject" calls/s "$rate"
	done
	printf '%s, in flight\t%s\n' "$subject" "$best_in_flight" \
		>>"$private/machine.tsv"
}

bench_ceiling()
{
	local pid address=unix:$private/raw_grpc.socket

	rivals_build
	"$private/raw_grpc" serve "$address" "$private/raw_grpc.ready" &
	pid=$!
	wait_for 15 test -e "$private/raw_grpc.ready" ||
		fail "the empty gRPC server did not start"
	rivals_ceiling grpc-core "$address"
	kill "$pid"
	wait "$pid" || :
	rm -f "$private/raw_grpc.ready"

	rivals_agent_start
	rivals_ceiling grpc-core-agent "unix:$private/rivals_agent.socket"
	"$private/raw_grpc" check "unix:$private/rivals_agent.socket" running \
		"$rivals_calls"
	rivals_agent_stop
}

# An agent of their own: it has not seen the clusters before.
rivals_agent_start()
{
	agent_start rivals_agent --provider simulated
}

rivals_agent_stop()
{
	local pid

	pid=$(cat "$private/rivals_agent.agent_pid")
	kill "$pid"
	wait_for 10 no_process "$pid" || fail "power_agent did not end"
	rm -f "$private"/rivals_agent.*
}

# The packages and a node that is new enough, in $private/rivals.  False: they
# cannot be had.
rivals_install()
{
	local directory=$private/rivals log=$private/log/npm.log

	if [ -x "$directory/node" ]; then
		return
	fi
	command -v npm >/dev/null || return
	mkdir -p "$directory" || return
	cp test/bench/rivals/*.mjs test/bench/rivals/*.json proto/agent.proto \
		"$directory" || return
	echo "  Installing packages from npm ..."
	# Whoever builds this has a node of some version: it only runs npm.
	(
		cd "$directory"
		npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier \
			--cache "$directory/cache"
	) >"$log" 2>&1 || {
		tail -n 20 "$log" >&2
		return 1
	}
	set -- "$directory"/node_modules/node-linux-*/bin/node
	if [ ! -x "$1" ]; then
		set -- "$(command -v node)"
	fi
	ln -s "$1" "$directory/node"
	"$directory/node" -e '
		const [major, minor] = process.versions.node.split(".").map(Number);
		process.exit(major > 22 || (major === 22 && minor >= 18) ? 0 : 1);
		' || {
		rm "$directory/node"
		echo "there is no Node.js from 22.18 on" >&2
		return 1
	}
}

# rivals_bench ARG...: bench.mjs, as the products' users would run it
rivals_bench()
{
	POWER_ACTION_PRIVATE=$private \
	RIVALS_AGENT=unix:$private/rivals_agent.socket \
	RIVALS_PROTO=$private/rivals/agent.proto \
	RIVALS_RAW_GRPC=$private/raw_grpc \
		"$private/rivals/node" "$private/rivals/bench.mjs" "$@" </dev/null
}

# rivals_reset CLUSTERS: tables as new, for each product alike
rivals_reset()
{
	query -v clusters="$1" -f test/bench/rivals/rivals.sql \
		>/dev/null 2>"$private/log/rivals.log" || {
		cat "$private/log/rivals.log" >&2
		fail "the tables of the alternatives cannot be made"
	}
}

# median: of the numbers on stdin, one a line
rivals_median()
{
	sort -n | awk '{ v[NR] = $1 } END { printf "%.4g", v[int((NR + 1) / 2)] }'
}

# rivals_try MEASURE SUBJECT: of the settings worth trying, those that are best
# here go to $private/rivals/MEASURE.SUBJECT, with what they had.  In a hurry,
# it is the first.
rivals_try()
{
	local measure=$1 subject=$2 settings values value better best=
	local chosen=$private/rivals/$measure.$subject

	while read -r settings; do
		if [ "$rivals_trial_actions" = 0 ]; then
			printf '%s\n' "$settings" >"$chosen"
			return
		fi
		rivals_reset "$rivals_trial_actions"
		if [ "$measure" = drain ]; then
			values=$(RIVALS_SETTINGS=$settings rivals_bench drain "$subject" \
				"$rivals_trial_actions" 2) || fail "$subject: $settings failed"
			value=$(echo "$values" | rivals_median)
			better=$(echo "$value ${best:-0}" | awk '{ print ($1 > $2) }')
		else
			values=$(RIVALS_SETTINGS=$settings rivals_bench alone "$subject" \
				"$rivals_trial_singles") || fail "$subject: $settings failed"
			value=$(echo "$values" | rivals_median)
			better=$(echo "$value ${best:-1000000}" | awk '{ print ($1 < $2) }')
		fi
		printf '    %s %s\n' "$value" "$settings"
		if [ "$better" = 1 ]; then
			best=$value
			printf '%s\n' "$settings" >"$chosen"
		fi
	done < <(rivals_bench candidates "$subject" "$measure")
}

# rivals_choose MEASURE SUBJECT: likewise, and says so in the figures
rivals_choose()
{
	rivals_try "$1" "$2"
	printf '%s, %s\t%s\n' "$2" "$1" "$(cat "$private/rivals/$1.$2")" \
		>>"$private/machine.tsv"
}

# rivals_measure MEASURE SUBJECT UNIT ARG...
rivals_measure()
{
	local measure=$1 subject=$2 unit=$3 settings values value

	shift 3
	settings=$(cat "$private/rivals/$measure.$subject")
	rivals_reset "$rivals_actions"
	values=$(RIVALS_SETTINGS=$settings rivals_bench "$measure" "$subject" \
		"$@") || fail "$subject: the measurement failed"
	for value in $values; do
		record "$measure" "$subject" "$unit" "$value"
	done
}

bench_rivals()
{
	local product result round=0

	rivals_build
	if ! rivals_install; then
		echo "The alternatives are left out: npm could not install them." >&2
		return
	fi
	rivals_agent_start
	for product in "${rivals_products[@]}" "${rivals_streaming[@]}"; do
		rivals_choose drain "$product"
	done
	for product in "${rivals_products[@]}"; do
		rivals_choose alone "$product"
	done
	# In turns, with ours: the machine may get slower or faster meanwhile.
	database turns
	inventory "$(scaled 50000)" 1
	for _ in $(seq "$rivals_pairs"); do
		for product in "${rivals_products[@]}" "${rivals_streaming[@]}"; do
			use postgres
			rivals_measure drain "$product" actions/s "$rivals_actions" 2
			use turns
			round=$((round + 1))
			result=$(drain "$(action_of "$round")")
			record drain power_action actions/s "$(rate "$result")"
		done
	done
	database_end turns
	use postgres
	for product in "${rivals_products[@]}"; do
		rivals_measure alone "$product" ms "$rivals_singles"
	done
	query -c 'DROP SCHEMA IF EXISTS pgboss, graphile_worker, rival CASCADE' \
		>/dev/null 2>&1
	rivals_agent_stop
}
