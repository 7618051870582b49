// test/bench/rivals/pg_boss.mjs
//
// pg-boss: its queue, and a worker that takes jobs in batches.  With
// "transactional", the outcomes of a batch and the completion of its jobs are
// one transaction.

import { PgBoss } from 'pg-boss';
import pg from 'pg';
import { prepared, workOff } from './work.mjs';

const QUEUE = 'power';

const settings = {
	batchSize: 250,
	localConcurrency: 4,
	transactional: true,
	burstWhenBatchFull: true,
	pollingIntervalSeconds: 0.5,
	...JSON.parse(process.env.RIVALS_SETTINGS ?? '{}')
};

let producer;

export async function install() {
	producer = new PgBoss({
		max: 2, supervise: false, schedule: false, useListenNotify: false
	});
	producer.on('error', fail);
	await producer.start();
	await producer.createQueue(QUEUE, { notify: true });
}

export async function uninstall() {
	await producer.stop();
}

// Within the transaction that "client" is in.
export async function enqueue(client, action, events) {
	await producer.insert(QUEUE,
		events.map(event => ({ data: { ...event, action } })),
		{ db: { executeSql: (text, values) => client.query(text, values) } });
}

export async function isEmpty(client) {
	const { rows } = await client.query(`
		SELECT NOT EXISTS (SELECT FROM pgboss.job
			WHERE name = $1 AND state < 'completed') AS empty`, [QUEUE]);

	return rows[0].empty;
}

export async function consume() {
	const { localConcurrency, transactional } = settings;
	const boss = new PgBoss({
		max: 2 * localConcurrency + 2, schedule: false, useListenNotify: true
	});
	const pool = new pg.Pool({ max: localConcurrency });
	let work = jobs => workOff(prepared(pool), jobs.map(job => job.data));

	if (transactional)
		work = (jobs, tx) => workOff(
			async (name, text, values) => (await tx.executeSql(text, values)).rows,
			jobs.map(job => job.data));
	boss.on('error', fail);
	boss.on('warning', warning => console.error(warning.message));
	await boss.start();
	await boss.work(QUEUE, settings, (jobs, tx) => work(jobs, tx).catch(fail));
	return async () => {
		await boss.stop({ graceful: true, timeout: 10_000 });
		await pool.end();
	};
}

// It would try again: here, nothing may fail.
function fail(error) {
	console.error(error);
	process.exit(1);
}
