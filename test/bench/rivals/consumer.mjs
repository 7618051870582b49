// test/bench/rivals/consumer.mjs
//
// A worker process of one product: bench.mjs starts it, is told when it is
// ready, and tells it to stop.

import { connect, disconnect } from './work.mjs';
import { subjects } from './subjects.mjs';

process.on('unhandledRejection', error => {
	console.error(error);
	process.exit(1);
});
process.on('disconnect', () => process.exit(1));

const settings = JSON.parse(process.argv[3]);

await connect(settings.streaming);
const stop = await subjects[process.argv[2]].consume(settings);

process.on('message', async () => {
	await stop();
	disconnect();
	process.exit(0);
});
process.send('ready');
