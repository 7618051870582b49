# test/bench/lib.sh
#
# What the scenarios of make bench have in common: databases with an inventory,
# rounds of actions, and what they cost.  To be sourced by test/bench/run, after
# scripts/private.sh.
#
#   query ARG...            psql, in the database $PGDATABASE
#   record MEASURE SUBJECT UNIT VALUE
#                           one sample; test/bench/report knows the rest
#   scaled NUMBER           what QUICK=1 or SCALE leaves of a number; likewise
#                           rounds NUMBER, seconds NUMBER, and large NUMBER of
#                           what only has to be large
#   database NAME [SOCKET [OPTION...]]
#                           a new database with the extension, and goes there;
#                           its server "agent" is the agent of that name, or
#                           the one at another socket
#   use NAME                goes to a database that is there
#   database_end NAME...    drops it
#   add_server NAME [OPTION...]  a server, and an account of the same name
#   fill CLUSTERS INSTANCES [ACCOUNT]  clusters with so many instances each
#   batch SELECT...         the clusters that a round is about, in order
#   drain ACTION            a round; see there
#   compare MEASURE ROUNDS DATABASE SUBJECT DATABASE SUBJECT...
#                           rounds in several databases, in turn
#
# Databases are what keeps scenarios apart: each has its own worker, tables and
# plans.  Every round fails if an action of it did not succeed.

# shellcheck shell=bash disable=SC2154

samples=$private/samples.tsv
: >"$samples"

query()
{
	"$stage/bin/psql" -X -q -A -t -v ON_ERROR_STOP=1 "$@"
}

record()
{
	printf '%s\t%s\t%s\t%s\n' "$@" >>"$samples"
}

# Never below 100: less tells nothing.
scaled()
{
	awk -v number="$1" -v scale="$scale" 'BEGIN {
		number = int(number * scale)
		print number < 100 ? 100 : number }'
}

large()
{
	if [ -n "$quick" ]; then scaled $(($1 / 2)); else scaled "$1"; fi
}

# What is powered off must be powered on again: even numbers.
rounds()
{
	if [ -n "$quick" ]; then echo 2; else echo "$1"; fi
}

seconds()
{
	if [ -n "$quick" ]; then echo 1; else echo "$1"; fi
}

use()
{
	export PGDATABASE=$1
}

agent_is_ready()
{
	[ "$(query -c "SELECT state FROM power_action.agent_status
		WHERE server_name = '$1'")" = ready ]
}

wait_until_ready()
{
	wait_for 60 agent_is_ready "$1" ||
		fail "the agent of server $1 is not ready in $PGDATABASE"
}

# Rounds read what they are about from a table of their own, so that no page of
# the inventory is read before an action needs it.
database()
{
	use postgres
	query -c "CREATE DATABASE $1"
	use "$1"
	query -c "CREATE EXTENSION power_action" -c "CREATE TABLE batch (
		position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
		cluster_id text NOT NULL, counts boolean NOT NULL DEFAULT true)"
	add_server agent "${@:2}"
}

database_end()
{
	local name

	use postgres
	for name in "$@"; do
		query -c "DROP DATABASE $name"
	done
}

# add_server NAME [SOCKET [OPTION...]]: an option is "name 'value'".
add_server()
{
	local name=$1 socket=${2:-$1} options

	shift
	if [ $# -gt 0 ]; then shift; fi
	options=$(printf ', %s' "target 'unix:$private/$socket.socket'" "$@")
	query -c "CREATE SERVER $name FOREIGN DATA WRAPPER power_agent
			OPTIONS (${options#, })" \
		-c "INSERT INTO power_action.account (account_name, server_name)
			VALUES ('$name', '$name')"
}

# Neither foreign keys nor triggers are what we measure here.  ACCOUNT is part
# of the ids.
fill()
{
	query -v clusters="$1" -v instances="$2" -v account="${3:-agent}" <<'SQL'
SET session_replication_role = replica;
INSERT INTO power_action.cluster (cluster_id, cluster_name, account_name,
		region, status)
	SELECT :'account' || '-' || lpad(n::text, 8, '0'), 'cluster ' || n,
		:'account', 'eu-west-1', 'running'
	FROM generate_series(1, :clusters) n;
INSERT INTO power_action.instance (cluster_id, instance_id, status)
	SELECT :'account' || '-' || lpad(n::text, 8, '0'),
		'i-' || lpad(to_hex(n), 8, '0') || lpad(to_hex(m), 4, '0'), 'running'
	FROM generate_series(1, :clusters) n, generate_series(1, :instances) m;
SQL
}

vacuum()
{
	query -c 'VACUUM (ANALYZE) power_action.cluster, power_action.instance,
		power_action.event, power_action.job'
}

batch()
{
	query -c 'TRUNCATE batch RESTART IDENTITY' \
		-c "INSERT INTO batch (cluster_id) $*" -c 'VACUUM ANALYZE batch'
}

# inventory CLUSTERS INSTANCES: and a round is about all of it
inventory()
{
	fill "$1" "$2"
	vacuum
	batch "SELECT cluster_id FROM power_action.cluster ORDER BY cluster_id"
	wait_until_ready agent
}

# Orders are sent, or wait.
sending()
{
	local database=$PGDATABASE

	use postgres
	query -c "ALTER SYSTEM SET power_action.enabled = $1" \
		-c 'SELECT pg_reload_conf()' >/dev/null
	use "$database"
	wait_for 30 sending_is "$1" || fail "power_action.enabled is not $1"
}

sending_is()
{
	[ "$(query -c 'SHOW power_action.enabled')" = "$1" ]
}

# drain power_off|power_on: all clusters of the batch in one statement.  Prints
# the seconds from the return of the commit to the commit of the last outcome,
# as another session sees it; the number of actions; and bytes of WAL that an
# action took until the commit and since.
drain()
{
	query -v action="$1" <<'SQL'
SET client_min_messages = error;
CHECKPOINT;
SELECT coalesce(max(event_id), 0) AS before FROM power_action.event \gset
SELECT count(*) FILTER (WHERE counts) AS wanted, count(*) AS all FROM batch \gset
SELECT pg_current_wal_insert_lsn() AS start \gset
SELECT count(*) AS requested FROM power_action.:action(
	ARRAY(SELECT cluster_id FROM batch ORDER BY position)) \gset
SELECT clock_timestamp() AS committed, pg_current_wal_insert_lsn() AS middle \gset
-- What follows must not read all events, as a plan for ids above an unknown one
-- does.
SET enable_seqscan = off;
SELECT max(event_id) AS last FROM power_action.event
	WHERE event_id > :before AND server_name <> 'absent' \gset
SELECT status FROM power_action.wait_for(:last, '10 min') \g /dev/null
-- The last one requested need not be the last one finished.
SELECT set_config('bench.last', :'last', false),
	set_config('bench.before', :'before', false) \g /dev/null
DO $$
BEGIN
	WHILE EXISTS (SELECT FROM power_action.event
			WHERE event_id > greatest(current_setting('bench.before')::bigint,
					current_setting('bench.last')::bigint - 3000)
				AND server_name <> 'absent' AND finished_at IS NULL) LOOP
		COMMIT;
		PERFORM pg_sleep(0.002);
	END LOOP;
END
$$;
SELECT extract(epoch FROM clock_timestamp() - :'committed'::timestamptz)
		AS seconds,
	(:'middle'::pg_lsn - :'start'::pg_lsn) / :all AS wal_before,
	(pg_current_wal_insert_lsn() - :'middle'::pg_lsn) / :wanted AS wal_since \gset
SELECT count(*) AS succeeded FROM power_action.event
	WHERE event_id > :before AND status = 'success'
		AND agent_result = 'confirmed' \gset
SELECT :requested = :all AND :succeeded = :wanted AS good \gset
\if :good
	\echo :seconds :wanted :wal_before :wal_since
\else
	\warn :succeeded of :wanted actions succeeded, :requested of :all were requested
	DO $$ BEGIN RAISE EXCEPTION 'the round has failed'; END $$;
\endif
SQL
}

# before: the last event so far
last_event()
{
	query -c 'SELECT coalesce(max(event_id), 0) FROM power_action.event'
}

no_job_is_left()
{
	[ "$(query -c 'SELECT NOT EXISTS (SELECT FROM power_action.job)')" = t ]
}

# all_succeeded BEFORE NUMBER: the events since
all_succeeded()
{
	local succeeded

	wait_for 600 no_job_is_left || fail "the queue of $PGDATABASE does not end"
	succeeded=$(query -c "SELECT count(*) FROM power_action.event
		WHERE event_id > $1 AND status = 'success'
			AND agent_result = 'confirmed'")
	if [ "$succeeded" != "$2" ]; then
		fail "$succeeded of $2 actions succeeded"
	fi
}

# The action of a round: each changes what the one before has left.
action_of()
{
	if [ $(($1 % 2)) = 1 ]; then echo power_off; else echo power_on; fi
}

# rate "SECONDS ACTIONS ...": actions a second
rate()
{
	awk '{ print $2 / $1 }' <<<"$1"
}

# Every other round goes through them backwards: who comes second finds another
# disk than who comes first.
compare()
{
	local measure=$1 last=$2 round result i n
	local -a pairs

	shift 2
	pairs=("$@")
	n=$(($# / 2))
	for ((round = 1; round <= last; round++)); do
		for ((i = 0; i < n; i++)); do
			if [ $((round % 2)) = 1 ]; then
				set -- "${pairs[@]:2 * i:2}"
			else
				set -- "${pairs[@]:2 * (n - 1 - i):2}"
			fi
			use "$1"
			result=$(drain "$(action_of "$round")")
			record "$measure" "$2" actions/s "$(rate "$result")"
		done
	done
}

worker_pid()
{
	query -c "SELECT pid FROM power_action.worker_status
		WHERE database = current_database()"
}

courier_pid()
{
	query -c "SELECT courier_pid FROM power_action.worker_status
		WHERE database = current_database()"
}

agent_pid()
{
	cat "$private/$1.agent_pid"
}

agent_stop()
{
	local pid

	pid=$(agent_pid "$1")
	kill "$pid"
	wait_for 15 no_process "$pid" || fail "agent $1 does not end"
	rm -f "$private/$1".{agent_pid,ready,socket}
}

# Nanoseconds of CPU that all threads of a process have had.
cpu_of()
{
	cat "/proc/$1"/task/*/schedstat | awk '{ sum += $1 } END { printf "%.0f\n", sum }'
}

# memory_of PID: MB of a process without the server's shared memory, and what is
# mapped from files divided among those who map it.  Only root may see that of a
# courier; others get all that is mapped, which is more.
memory_of()
{
	local file=/proc/$1/smaps_rollup

	if ! cat "$file" >"$private/memory" 2>/dev/null; then
		cat "/proc/$1/status" >"$private/memory"
	fi
	awk '$1 ~ /^(Pss_Anon|Pss_File|RssAnon|RssFile):$/ { sum += $2 }
		END { printf "%.2f\n", sum / 1024 }' "$private/memory"
}

# A session that keeps what it began until the end of its input.
session_start()
{
	coproc SESSION { query; }
	printf '%s\n' "$1" '\echo begun' >&"${SESSION[1]}"
	while read -r line <&"${SESSION[0]}"; do
		if [ "$line" = begun ]; then break; fi
	done
}

session_end()
{
	local pid=$SESSION_PID

	printf '\\q\n' >&"${SESSION[1]}"
	wait "$pid"
}
