// test/bench/rivals/pg_boss.mjs
//
// pg-boss: its queue, and a worker that takes jobs in batches.  With
// "transactional", the outcomes of a batch and the completion of its jobs are
// one transaction.

import { PgBoss } from 'pg-boss';
import pg from 'pg';
import { BATCH_OPTIONS, prepared, workOff } from './work.mjs';

const QUEUE = 'power';

// To be tried, for each measure: the first unless told otherwise.
export const candidates = {
	drain: [
		{ batchSize: 250, localConcurrency: 4, transactional: true },
		{ batchSize: 250, localConcurrency: 4, transactional: false },
		{ batchSize: 500, localConcurrency: 4, transactional: false },
		{ batchSize: 1000, localConcurrency: 2, transactional: true },
		{ batchSize: 250, localConcurrency: 2, transactional: true, processes: 2 },
		{ batchSize: 250, localConcurrency: 4, transactional: true, processes: 2 },
		{ batchSize: 500, localConcurrency: 2, transactional: false, processes: 2 }
	],
	alone: [
		{ batchSize: 250, localConcurrency: 1, transactional: false },
		{ batchSize: 250, localConcurrency: 1, transactional: true }
	]
};

export const streamingCandidates = [
	{ batchSize: 250, localConcurrency: 4, transactional: true, streaming: true },
	{ batchSize: 250, localConcurrency: 4, transactional: true, streaming: true,
		processes: 2 },
	{ batchSize: 500, localConcurrency: 2, transactional: false, streaming: true,
		processes: 2 }
];

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

export async function consume(settings) {
	const { batchSize, localConcurrency, transactional } = settings;
	const boss = new PgBoss({
		max: 2 * localConcurrency + 2, schedule: false, useListenNotify: true,
		options: transactional ? BATCH_OPTIONS : undefined
	});
	const pool = new pg.Pool({ max: localConcurrency, options: BATCH_OPTIONS });
	let work = jobs => workOff(prepared(pool), jobs.map(job => job.data));

	if (transactional)
		work = (jobs, tx) => workOff(
			async (name, text, values) => (await tx.executeSql(text, values)).rows,
			jobs.map(job => job.data));
	boss.on('error', fail);
	boss.on('warning', warning => console.error(warning.message));
	await boss.start();
	// A notification wakes it; while batches come back full, it does not wait.
	await boss.work(QUEUE, {
		batchSize, localConcurrency, transactional,
		burstWhenBatchFull: true, pollingIntervalSeconds: 0.5
	}, (jobs, tx) => work(jobs, tx).catch(fail));
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
