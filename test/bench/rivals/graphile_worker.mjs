// test/bench/rivals/graphile_worker.mjs
//
// graphile-worker, as its documentation has it: a task for each job, batches
// for what the product does itself.  And "grouped", with what one would write
// by hand: tasks that run at a time share their statements and commits.

import { run, runMigrations, Logger } from 'graphile-worker';
import pg from 'pg';
import { BATCH_OPTIONS, lookUp, order, prepared, workOff, write } from './work.mjs';

const TASK = 'power';

// The settings of its published benchmark.
const documented = {
	concurrentJobs: 24,
	maxPoolSize: 25,
	localQueue: { size: 500 },
	completeJobBatchDelay: 0,
	failJobBatchDelay: 0
};

// The defaults: nothing in batches.
const unbatched = { concurrentJobs: 24, maxPoolSize: 25 };

const groupedSettings = {
	...documented, concurrentJobs: 512, localQueue: { size: 1024 }, writers: 2
};

const logger = new Logger(() => (level, message) => {
	if (level === 'error')
		console.error(message);
});

export async function install() {
	const pgPool = new pg.Pool({ max: 1 });

	pgPool.on('error', error => console.error(error));
	pgPool.on('connect', client =>
		client.on('error', error => console.error(error)));
	await runMigrations({ pgPool, logger });
	await pgPool.end();
}

export async function uninstall() {
}

// Within the transaction that "client" is in.
export async function enqueue(client, action, events) {
	await client.query(`
		SELECT count(*) FROM graphile_worker.add_jobs(ARRAY(
			SELECT ROW($1, json_build_object('event_id', e.event_id,
						   'cluster_id', e.cluster_id, 'action', $2::text),
					   NULL, NULL, NULL, NULL, NULL, NULL
				   )::graphile_worker.job_spec
			FROM unnest($3::bigint[], $4::text[]) e(event_id, cluster_id)))`,
		[TASK, action, events.map(event => event.event_id),
		events.map(event => event.cluster_id)]);
}

export async function isEmpty(client) {
	const { rows } = await client.query(
		'SELECT NOT EXISTS (SELECT FROM graphile_worker.jobs) AS empty');

	return rows[0].empty;
}

// One after the other, but whatever has gathered meanwhile at once; at most
// "limit" statements at a time.
class Gatherer {
	#run;
	#limit;
	#waiting = [];
	#running = 0;

	constructor(run, limit) {
		this.#run = run;
		this.#limit = limit;
	}

	add(item) {
		return new Promise((resolve, reject) => {
			this.#waiting.push({ item, resolve, reject });
			if (this.#waiting.length === 1)
				setImmediate(() => this.#next());
		});
	}

	async #next() {
		if (this.#waiting.length === 0 || this.#running === this.#limit)
			return;

		const batch = this.#waiting;

		this.#waiting = [];
		this.#running++;
		try {
			const results = await this.#run(batch.map(entry => entry.item));

			batch.forEach((entry, index) => entry.resolve(results[index]));
		}
		catch (error) {
			batch.forEach(entry => entry.reject(error));
		}
		this.#running--;
		this.#next();
	}
}

async function start(settings, task) {
	const { writers, processes, streaming, ...worker } = settings;

	return run({
		preset: { worker: { ...worker, connectionString: 'postgres:///', logger } },
		noHandleSignals: true,
		taskList: {
			[TASK]: (payload, helpers) => task(payload, helpers).catch(error => {
				// It would try again: here, nothing may fail.
				console.error(error);
				process.exit(1);
			})
		}
	});
}

export const plain = {
	install, uninstall, enqueue, isEmpty,
	// To be tried, for each measure: the first unless told otherwise.
	candidates: {
		drain: [
			documented,
			{ ...documented, processes: 2 },
			{ ...documented, completeJobBatchDelay: 25 },
			{ ...documented, concurrentJobs: 48, maxPoolSize: 50 },
			{ ...documented, concurrentJobs: 12, maxPoolSize: 14 }
		],
		alone: [documented, unbatched]
	},
	async consume(settings) {
		const runner = await start(settings, (job, helpers) =>
			workOff((name, text, values) =>
				helpers.withPgClient(client =>
					prepared(client)(name, text, values)), [job]));

		return () => runner.stop();
	}
};

export const grouped = {
	install, uninstall, enqueue, isEmpty,
	candidates: {
		drain: [
			groupedSettings,
			{ ...groupedSettings, writers: 1 },
			{ ...groupedSettings, concurrentJobs: 1024, localQueue: { size: 2048 } },
			{ ...groupedSettings, concurrentJobs: 256, localQueue: { size: 512 } },
			{ ...groupedSettings, processes: 2 },
			{ ...groupedSettings, writers: 1, processes: 2 }
		],
		alone: [groupedSettings, { ...unbatched, writers: 2 }]
	},
	streamingCandidates: [
		{ ...groupedSettings, streaming: true },
		{ ...groupedSettings, writers: 1, streaming: true, processes: 2 }
	],
	async consume(settings) {
		const { writers } = settings;
		const pool = new pg.Pool({
			max: 2 * writers, options: BATCH_OPTIONS
		});
		const query = prepared(pool);
		const looks = new Gatherer(async jobs => {
			const clusters = await lookUp(query, jobs);

			return jobs.map(job => clusters.get(job.cluster_id));
		}, writers);
		const writes = new Gatherer(async outcomes => {
			await write(query, outcomes);
			return outcomes;
		}, writers);
		const runner = await start(settings, async job =>
			writes.add(await order(job, await looks.add(job))));

		return async () => {
			await runner.stop();
			await pool.end();
		};
	}
};
