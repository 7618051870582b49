// test/bench/rivals/work.mjs
//
// What a job is, whoever queues it: look the cluster up, make the call that
// power_action makes, write what came of it.  Lists of any length, one
// statement each, so that a product that can work in batches may.
//
// A job is {event_id, cluster_id, action}.  Whatever is not a success throws.

import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';

const CALL_TIMEOUT_MS = 30_000;

// For connections on which batches are written: these look single rows up,
// however many, and reading the whole of a table is never the faster way.
export const BATCH_OPTIONS = '-c enable_hashjoin=off -c enable_mergejoin=off';

// power_off and power_on: the method, and the state to be reported and kept
const actions = {
	power_off: {
		method: 'PowerOffCluster',
		state: 'POWER_STATE_STOPPED',
		status: 'stopped'
	},
	power_on: {
		method: 'PowerOnCluster',
		state: 'POWER_STATE_RUNNING',
		status: 'running'
	}
};

const streamMethods = {
	PowerOnCluster: 'STREAM_METHOD_POWER_ON',
	PowerOffCluster: 'STREAM_METHOD_POWER_OFF'
};

const LOOK_UP = `
	SELECT c.cluster_id, c.account_name, c.region,
		   ARRAY(SELECT i.instance_id FROM rival.instance i
				 WHERE i.cluster_id = c.cluster_id
					   AND i.status <> 'terminated') AS instances
	FROM rival.cluster c
	WHERE c.cluster_id = ANY ($1::text[])`;

const WRITE = `
	WITH event AS (
		UPDATE rival.event e
		SET status = 'success', agent_result = 'confirmed', attempts = 1,
			started_at = d.started_at, finished_at = clock_timestamp(),
			instances_total = d.instances, instances_done = d.instances
		FROM unnest($1::bigint[], $2::timestamptz[], $3::integer[])
			 d(event_id, started_at, instances)
		WHERE e.event_id = d.event_id
	), cluster AS (
		UPDATE rival.cluster c
		SET status = d.status, status_source = 'agent',
			status_changed_at = now()
		FROM unnest($4::text[], $5::text[]) d(cluster_id, status)
		WHERE c.cluster_id = d.cluster_id
	), instance AS (
		UPDATE rival.instance i
		SET status = d.status
		FROM unnest($6::text[], $7::text[], $8::text[])
			 d(cluster_id, instance_id, status)
		WHERE i.cluster_id = d.cluster_id AND i.instance_id = d.instance_id
	)`;

// The same for one job, as one would write it: its plan need not be made anew
// each time.
const LOOK_UP_ONE = LOOK_UP.replace('= ANY ($1::text[])', '= $1');

const WRITE_ONE = `
	WITH event AS (
		UPDATE rival.event e
		SET status = 'success', agent_result = 'confirmed', attempts = 1,
			started_at = $2, finished_at = clock_timestamp(),
			instances_total = $3, instances_done = $3
		WHERE e.event_id = $1
	), cluster AS (
		UPDATE rival.cluster c
		SET status = $5, status_source = 'agent', status_changed_at = now()
		WHERE c.cluster_id = $4
	), instance AS (
		UPDATE rival.instance i
		SET status = $5
		WHERE i.cluster_id = $4 AND i.status <> 'terminated'
	)`;

// For who waits for one action, as power_action does for every action.
const NOTIFY = ` SELECT pg_notify('rival', n::text)
	FROM unnest($1::bigint[]) n`;
const NOTIFY_ONE = ` SELECT pg_notify('rival', $1::bigint::text)`;

let client;
let stream;						// undefined: each call is its own

// With "streaming", calls that are made in one turn of the event loop share a
// message of PowerStream.
export async function connect(streaming) {
	await connectClient();
	if (streaming) {
		stream = new Stream();
		await stream.welcomed;
	}
}

function connectClient() {
	const definition = protoLoader.loadSync(process.env.RIVALS_PROTO,
		{ keepCase: true, enums: String, defaults: true });
	const { AgentService } = grpc.loadPackageDefinition(definition).agent;

	client = new AgentService(process.env.RIVALS_AGENT,
		grpc.credentials.createInsecure(), { 'grpc.enable_retries': 0 });
	return new Promise((resolve, reject) =>
		client.waitForReady(Date.now() + CALL_TIMEOUT_MS,
			error => error ? reject(error) : resolve()));
}

export function disconnect() {
	stream?.end();
	client.close();
}

class Stream {
	#call = client.PowerStream();
	#waiting = new Map();
	#calls = [];
	#last = 0;

	constructor() {
		this.#call.on('error', error => {
			console.error(error);
			process.exit(1);
		});
		this.welcomed = new Promise(resolve =>
			this.#call.once('data', resolve));
		this.#call.on('data', ({ answers }) => {
			for (const answer of answers)
				this.#answered(answer);
		});
		this.#call.write({ max_message_size: 4 * 1024 * 1024 });
	}

	call(method, request) {
		const { requestSerialize, responseDeserialize } = client[method];
		const call_id = ++this.#last;

		if (this.#calls.length === 0)
			setImmediate(() => {
				const calls = this.#calls;

				this.#calls = [];
				this.#call.write({ calls });
			});
		this.#calls.push({
			call_id,
			method: streamMethods[method],
			timeout_ms: CALL_TIMEOUT_MS,
			request: requestSerialize(request)
		});
		return new Promise((resolve, reject) =>
			this.#waiting.set(call_id, { resolve, reject, responseDeserialize }));
	}

	#answered({ call_id, status_code, status_message, response }) {
		const { resolve, reject, responseDeserialize } =
			this.#waiting.get(Number(call_id));

		this.#waiting.delete(Number(call_id));
		if (status_code !== 0)
			reject(new Error(`status ${status_code}: ${status_message}`));
		else
			resolve(responseDeserialize(response));
	}

	end() {
		this.#call.removeAllListeners('error');
		this.#call.on('error', () => {});
		this.#call.end();
	}
}

function call(method, request) {
	if (stream)
		return stream.call(method, request);
	return new Promise((resolve, reject) =>
		client[method](request, { deadline: Date.now() + CALL_TIMEOUT_MS },
			(error, reply) => error ? reject(error) : resolve(reply)));
}

// query(name, text, values) -> rows; the name is for who prepares statements.
// Returns a map of what order() needs, by cluster.
export async function lookUp(query, jobs) {
	const rows = jobs.length === 1 ?
		await query('rival_look_up_one', LOOK_UP_ONE, [jobs[0].cluster_id]) :
		await query('rival_look_up', LOOK_UP, [jobs.map(job => job.cluster_id)]);

	return new Map(rows.map(row => [row.cluster_id, row]));
}

// Gives the order for one job; returns its outcome.
export async function order(job, cluster) {
	const { method, state, status } = actions[job.action];
	const outcome = { job, started_at: new Date(), status, instances: [] };
	const reply = await call(method, {
		account_name: cluster.account_name,
		region: cluster.region,
		cluster_id: cluster.cluster_id,
		instances_id_list: cluster.instances,
		requester: 'bench'
	});

	if (reply.error !== 0)
		throw new Error(`the agent refused: ${reply.message}`);
	for (const instance of reply.instance_states) {
		if (instance.state !== state)
			throw new Error(`instance ${instance.instance_id} is not ${status}`);
		outcome.instances.push(instance.instance_id);
	}
	if (outcome.instances.length !== cluster.instances.length)
		throw new Error('the agent said nothing of an instance');
	return outcome;
}

// Event, cluster and instances, in one statement.
export async function write(query, outcomes) {
	const notify = process.env.RIVALS_NOTIFY === '1';

	if (outcomes.length === 1) {
		const [{ job, started_at, status, instances }] = outcomes;

		await query('rival_write_one',
			WRITE_ONE + (notify ? NOTIFY_ONE : ' SELECT'),
			[job.event_id, started_at, instances.length, job.cluster_id, status]);
		return;
	}

	const values = [[], [], [], [], [], [], [], []];

	for (const { job, started_at, status, instances } of outcomes) {
		values[0].push(job.event_id);
		values[1].push(started_at);
		values[2].push(instances.length);
		values[3].push(job.cluster_id);
		values[4].push(status);
		for (const instance of instances) {
			values[5].push(job.cluster_id);
			values[6].push(instance);
			values[7].push(status);
		}
	}
	await query('rival_write', WRITE + (notify ? NOTIFY : ' SELECT'), values);
}

// A batch from one end to the other: its calls at a time, its outcomes at once.
export async function workOff(query, jobs) {
	const clusters = await lookUp(query, jobs);

	await write(query, await Promise.all(jobs.map(job =>
		order(job, clusters.get(job.cluster_id)))));
}

// What clients of the class pg.Client offer, as lookUp and write want it.
export function prepared(client) {
	return async (name, text, values) =>
		(await client.query({ name, text, values })).rows;
}
