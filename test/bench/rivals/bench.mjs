// test/bench/rivals/bench.mjs
//
// usage: bench.mjs drain SUBJECT ACTIONS ROUNDS
//        bench.mjs alone SUBJECT ROUNDS
//        bench.mjs candidates SUBJECT drain|alone
//
// The client of one product, with its workers in processes of their own.
//
// drain: so many actions in one transaction, drained by workers that are
// there and idle; prints actions per second, a line a round.  The time is from
// the acknowledgement of that COMMIT until a session of its own sees the last
// outcome.  A round before the first is not measured.
//
// alone: one action at a time in an idle system; prints milliseconds from the
// acknowledgement of its COMMIT until the notification that the transaction of
// its outcome sends, a line a round.
//
// candidates: the settings worth trying, a JSON object a line.
//
// The environment: libpq's variables; RIVALS_AGENT, the address of the agent;
// RIVALS_PROTO, the path of agent.proto; RIVALS_RAW_GRPC, the program that
// asks the agent what it has done; RIVALS_SETTINGS, a JSON object with the
// settings of the product and how many worker "processes" (the first
// candidate).

import { execFileSync, fork } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { subjects } from './subjects.mjs';

const WARM_UP = 5000;			// at most, and half of what is measured
const WARM_UP_ALONE = 50;
const TIMEOUT_MS = 600_000;

const [measure, name, ...numbers] = process.argv.slice(2);
const subject = subjects[name];
const client = new pg.Client();
let consumers = [];

function fail(problem) {
	console.error(`bench.mjs: ${name}: ${problem}`);
	process.exit(1);
}

async function startConsumers() {
	const settings = process.env.RIVALS_SETTINGS ??
		JSON.stringify(subject.candidates[measure][0]);
	const { processes = 1 } = JSON.parse(settings);

	for (let n = 0; n < processes; n++) {
		const process_ = fork(new URL('consumer.mjs', import.meta.url),
			[name, settings], {
				env: {
					...process.env,
					RIVALS_NOTIFY: measure === 'alone' ? '1' : '0'
				}
			});

		process_.on('exit', () => fail('a worker has ended'));
		consumers.push(process_);
		await new Promise(resolve => process_.once('message', resolve));
	}
}

async function stopConsumers() {
	await Promise.all(consumers.map(process_ => new Promise(resolve => {
		process_.removeAllListeners('exit');
		process_.once('exit', resolve);
		process_.send('stop');
	})));
}

// The clusters c-1 to c-LAST, or only c-LAST: their events and jobs, in one
// transaction.  Returns the ids of the events.
async function request(action, first, last) {
	await client.query('BEGIN');
	const { rows } = await client.query(`
		INSERT INTO rival.event (action, cluster_id, cluster_name,
								 account_name, triggered_by, status)
		SELECT $1, c.cluster_id, c.cluster_name, c.account_name, 'bench',
			   'pending'
		FROM generate_series($2::integer, $3::integer) n
			 JOIN rival.cluster c ON c.cluster_id = 'c-' || n
		ORDER BY n
		RETURNING event_id, cluster_id`, [action, first, last]);

	if (rows.length !== last - first + 1)
		fail(`${rows.length} clusters instead of ${last - first + 1}`);
	await subject.enqueue(client, action, rows);
	await client.query('COMMIT');
	return rows.map(row => row.event_id);
}

async function value(text, values) {
	const { rows } = await client.query({ text, values, rowMode: 'array' });

	return rows[0][0];
}

async function until(condition, pause) {
	const end = Date.now() + TIMEOUT_MS;

	while (!await condition()) {
		if (Date.now() > end)
			fail('not done in time');
		await sleep(pause);
	}
}

// Every event, every cluster and instance, and the agent's own word.
async function check(action, ids, clusters) {
	const status = action === 'power_off' ? 'stopped' : 'running';
	const good = await value(`
		SELECT count(*)
		FROM rival.event e
			 JOIN rival.cluster c ON c.cluster_id = e.cluster_id
			 JOIN rival.instance i ON i.cluster_id = e.cluster_id
		WHERE e.event_id BETWEEN $1 AND $2
			  AND e.status = 'success' AND e.agent_result = 'confirmed'
			  AND e.finished_at >= e.started_at AND e.instances_done = 1
			  AND c.status = $3 AND c.status_source = 'agent'
			  AND i.status = $3`, [ids[0], ids.at(-1), status]);

	if (Number(good) !== clusters)
		fail(`${good} of ${clusters} actions were done`);
	try {
		execFileSync(process.env.RIVALS_RAW_GRPC,
			['check', process.env.RIVALS_AGENT, status, clusters],
			{ stdio: 'inherit' });
	}
	catch {
		fail('the agent has not done what was ordered');
	}
}

async function drainOnce(action, clusters) {
	await client.query('CHECKPOINT');
	const ids = await request(action, 1, clusters);
	const start = performance.now();

	// The last one requested need not be the last one finished.
	await until(async () => await value(
		'SELECT status FROM rival.event WHERE event_id = $1',
		[ids.at(-1)]) === 'success', 5);
	await until(() => value(`
		SELECT NOT EXISTS (SELECT FROM rival.event
			WHERE event_id BETWEEN $1 AND $2 AND status <> 'success')`,
		[ids[0], ids.at(-1)]), 5);
	const seconds = (performance.now() - start) / 1000;

	await until(() => subject.isEmpty(client), 20);
	await check(action, ids, clusters);
	return clusters / seconds;
}

async function drain(clusters, rounds) {
	await drainOnce('power_off', Math.min(clusters / 2, WARM_UP));
	for (let round = 0; round < rounds; round++)
		console.log((await drainOnce(round % 2 ? 'power_off' : 'power_on',
			clusters)).toFixed(1));
}

async function alone(rounds) {
	let notified;

	client.on('notification', notification => notified(notification.payload));
	await client.query('LISTEN rival');
	for (let round = -WARM_UP_ALONE; round < rounds; round++) {
		const action = round % 2 ? 'power_off' : 'power_on';
		const notification = new Promise(resolve => { notified = resolve; });
		const ids = await request(action, 1, 1);
		const start = performance.now();
		const payload = await Promise.race([notification, sleep(30_000)]);
		const milliseconds = performance.now() - start;

		if (payload !== ids[0])
			fail(`no notification of event ${ids[0]}`);
		await until(() => subject.isEmpty(client), 2);
		await check(action, ids, 1);
		// what the product has to do when a job is complete, too
		await sleep(10);
		if (round >= 0)
			console.log(milliseconds.toFixed(3));
	}
}

if (measure === 'candidates') {
	for (const settings of subject.candidates[numbers[0]])
		console.log(JSON.stringify(settings));
	process.exit(0);
}

await client.connect();
await subject.install();
await startConsumers();
if (measure === 'drain')
	await drain(Number(numbers[0]), Number(numbers[1]));
else
	await alone(Number(numbers[0]));
await stopConsumers();
await subject.uninstall();
await client.end();
process.exit(0);
