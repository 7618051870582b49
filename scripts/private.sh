# scripts/private.sh
#
# A PostgreSQL server and a power_agent of one's own, in one temporary
# directory, for make demo, check and bench.  To be sourced by bash; the
# caller's working directory must be the top of the checkout.
#
# PostgreSQL refuses to run as root: there, everything that belongs to the
# server runs as the user postgres, which Debian's packages create.
#
#   private_begin NAME    makes $private and removes it at exit, with every
#                         process that was started from it; at a failure it
#                         calls private_failed first, if there is one
#   private_keep          leaves everything as it is at exit
#   write_stop_script     $private/stop, for what is kept
#   build_quietly ARG...  make ARG...; shows its output only if it fails
#   stage_server ARG...   make stage, to $stage, which goes to PATH
#   server_start NAME     initdb and start in $private/NAME; exports PGHOST,
#                         PGUSER, PGPORT; reads further settings from stdin
#   agent_start NAME ARG...  power_agent on unix:$private/NAME.socket
#   as_server COMMAND...  runs it as the server's user
#   servers_stop          ends all servers and agents
#   wait_for SECONDS COMMAND...  until it succeeds

# Of a make that has called us, only its variables matter.
unset MAKEFLAGS MFLAGS MAKELEVEL

private=
stage=
kept=
user_of_server=$(id -un)
run_as=()
if [ "$(id -u)" = 0 ]; then
	user_of_server=postgres
	run_as=(runuser -u "$user_of_server" --)
fi

fail()
{
	printf '%s: %s\n' "$(basename "$0")" "$*" >&2
	exit 1
}

as_server()
{
	"${run_as[@]}" "$@"
}

# Processes whose program lies in the private directory, or that were started
# with POWER_ACTION_PRIVATE set to it.  One "pid command" a line.
private_processes()
{
	local process command

	{
		find /proc -maxdepth 2 -path '/proc/[0-9]*/exe' -lname "$private/*"
		grep -lzsFx "POWER_ACTION_PRIVATE=$private" /proc/[0-9]*/environ
	} 2>/dev/null | sed 's,/[a-z]*$,,' | sort -u | while read -r process; do
		# One that has ended and waits to be reaped has no arguments.
		command=$({ tr '\0' ' ' <"$process/cmdline"; } 2>/dev/null) || continue
		if [ -n "$command" ]; then
			printf '%s %s\n' "${process#/proc/}" "$command"
		fi
	done
}

no_private_process()
{
	[ -z "$(private_processes)" ]
}

# wait_for SECONDS COMMAND...
wait_for()
{
	local end=$((SECONDS + $1))

	shift
	until "$@"; do
		if [ "$SECONDS" -ge "$end" ]; then
			return 1
		fi
		sleep 0.05
	done
}

private_begin()
{
	if [ "$(id -u)" = 0 ] && ! id "$user_of_server" >/dev/null 2>&1; then
		fail "there is no user $user_of_server to run a server as"
	fi

	umask 022
	private=$(mktemp -d "${TMPDIR:-/tmp}/power_action_$1.XXXXXX")
	trap private_end EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	stage=$private/stage
	mkdir "$private/log"
	if [ "$(id -u)" = 0 ]; then
		chown -R "$user_of_server:" "$private"
	fi
	if [ ${#private} -gt 60 ] || ! as_server test -w "$private"; then
		fail "$private cannot be used (too long, or not writable for" \
			"$user_of_server): set TMPDIR"
	fi
}

private_keep()
{
	kept=yes
}

write_stop_script()
{
	cat >"$private/stop" <<STOP
#!/bin/sh
# Ends the server and the agent of this directory, and removes it.
cd /
for file in "$private"/*/postmaster.pid; do
	${run_as[*]} "$stage/bin/pg_ctl" stop -s -w -m fast -D "\${file%/*}"
done
kill \$(cat "$private"/*.agent_pid) 2>/dev/null
rm -rf "$private"
STOP
	chmod +x "$private/stop"
}

private_end()
{
	local status=$?

	trap - EXIT
	trap '' INT TERM HUP
	if [ "$status" != 0 ] && declare -F private_failed >/dev/null; then
		private_failed >&2
	fi
	if [ -z "$kept" ]; then
		private_stop
		rm -rf "$private"
	fi
	exit "$status"
}

# Ends the servers and the agents, in their own way.
servers_stop()
{
	local file pid

	for file in "$private"/*/postmaster.pid; do
		if [ -e "$file" ]; then
			as_server "$stage/bin/pg_ctl" stop -s -m fast -t 30 \
				-D "$(dirname "$file")" >/dev/null 2>&1 || :
		fi
	done
	for file in "$private"/*.agent_pid; do
		if [ -e "$file" ]; then
			pid=$(cat "$file")
			kill "$pid" 2>/dev/null || :
			wait_for 10 no_process "$pid" || :
			rm -f "${file%.agent_pid}".*
		fi
	done
}

# Gone, or ended and not reaped yet.
no_process()
{
	[ -z "$({ tr -d '\0' <"/proc/$1/cmdline"; } 2>/dev/null)" ]
}

# Whatever of ours still runs ends here.
private_stop()
{
	servers_stop
	signal_private TERM
	wait_for 10 no_private_process || signal_private KILL
	wait_for 10 no_private_process || :
}

signal_private()
{
	local pid rest

	while read -r pid rest; do
		kill -s "$1" "$pid" 2>/dev/null || :
	done < <(private_processes)
}

# The build belongs to whom the checkout belongs to, as far as we can.
as_builder()
{
	if [ "$(id -u)" = 0 ] && [ "$(stat -c %U .)" = "$user_of_server" ]; then
		as_server "$@"
	else
		"$@"
	fi
}

build_quietly()
{
	local log=$private/log/build.log

	# To PGXS, NO_INSTALL means that nothing is installed, not even here.
	if ! as_builder env -u NO_INSTALL make -s --no-print-directory \
		-j"$(nproc)" "$@" >"$log" 2>&1; then
		tail -n 50 "$log" >&2
		fail "make $* failed"
	fi
}

stage_server()
{
	build_quietly stage STAGE="$stage" "$@"
	export PATH=$stage/bin:$PATH
}

server_start()
{
	local data=$private/$1

	export PGHOST=$private PGPORT=5432 PGUSER=postgres PGDATABASE=postgres
	as_server "$stage/bin/initdb" -D "$data" -U postgres -A trust -E UTF8 \
		--locale=C --no-sync >"$private/log/initdb.log" 2>&1 || {
		cat "$private/log/initdb.log" >&2
		fail "initdb failed"
	}
	{
		echo "shared_preload_libraries = 'power_action'"
		echo "listen_addresses = ''"
		echo "unix_socket_directories = '$private'"
		echo "unix_socket_permissions = 0700"
		cat
	} | as_server tee -a "$data/postgresql.conf" >/dev/null
	# With a log of its own in the data directory, whoever runs it can write.
	as_server "$stage/bin/pg_ctl" start -s -w -D "$data" \
		-l "$data/server.log" >/dev/null || {
		tail -n 30 "$data/server.log" >&2
		fail "the private server did not start"
	}
}

agent_start()
{
	local name=$1

	shift
	(
		cd /
		export POWER_ACTION_PRIVATE="$private"
		setsid "${run_as[@]}" sh -c 'echo $$ >"$0"; exec "$@"' \
			"$private/$name.agent_pid" "$stage/bin/power_agent" \
			--listen "unix:$private/$name.socket" \
			--ready-file "$private/$name.ready" "$@" \
			</dev/null >"$private/log/$name.log" 2>&1 &
	)
	wait_for 15 test -e "$private/$name.ready" || {
		tail -n 30 "$private/log/$name.log" >&2
		fail "power_agent did not start"
	}
}
