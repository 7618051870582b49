# test/bench/hazards.sh
#
# Scenarios of make bench: what makes queues in a database slow, each against
# the database "reference" (size.sh), in turn.

# shellcheck shell=bash disable=SC2154

# Nobody cleans the tables of this database or looks at what is in them.
no_autovacuum()
{
	local table

	for table in event job cluster instance; do
		query -c "ALTER TABLE power_action.$table SET (autovacuum_enabled = off)"
	done
}

bench_analyzed_empty()
{
	reference
	database analyzed
	no_autovacuum
	query -c 'ANALYZE'
	fill "$(scaled 50000)" 1
	batch "SELECT cluster_id FROM power_action.cluster ORDER BY cluster_id"
	wait_until_ready agent
	compare 'analyzed when empty' "$(rounds 6)" \
		reference reference analyzed analyzed
	database_end analyzed
}

bench_churn()
{
	local round

	reference
	database churn
	no_autovacuum
	inventory "$(scaled 50000)" 1
	# as many as follow are even, so that both databases are in the same state
	for ((round = 1; round <= $(rounds 14); round++)); do
		drain "$(action_of "$round")" >/dev/null
	done
	compare churn "$(rounds 6)" reference reference churn churned
	database_end churn
}

bench_old_snapshot()
{
	reference
	database snapshot
	inventory "$(scaled 50000)" 1
	session_start 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 \g /dev/null'
	compare 'old snapshot' "$(rounds 6)" reference reference snapshot held
	if [ "$(query -c "SELECT count(*) FROM pg_stat_activity
		WHERE datname = 'snapshot' AND state = 'idle in transaction'
			AND backend_xmin IS NOT NULL")" != 1 ]; then
		fail "the snapshot was not held"
	fi
	session_end
	database_end snapshot
}

bench_dead_agent_jobs()
{
	local dead

	reference
	dead=$(scaled 100000)
	database dead_jobs
	add_server absent
	fill "$dead" 1 absent
	query -c "SELECT count(*) FROM power_action.power_off(
		ARRAY(SELECT cluster_id FROM power_action.cluster))" >/dev/null
	fill "$(scaled 50000)" 1
	vacuum
	batch "SELECT cluster_id FROM power_action.cluster
		WHERE account_name = 'agent' ORDER BY cluster_id"
	wait_until_ready agent
	compare 'jobs of a dead agent' "$(rounds 6)" \
		reference reference dead_jobs 'jobs beside'
	use dead_jobs
	if [ "$(query -c "SELECT count(*) FROM power_action.job
		WHERE server_name = 'absent'")" != "$dead" ]; then
		fail "the jobs of the absent agent have not stayed"
	fi
	database_end dead_jobs
}
