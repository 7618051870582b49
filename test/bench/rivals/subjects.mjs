// test/bench/rivals/subjects.mjs
//
// The products by the names that the figures have.  Each: install, uninstall,
// enqueue, isEmpty for the client, consume(settings) for the worker, and the
// settings to be tried.

import * as pgBoss from './pg_boss.mjs';
import { grouped, plain } from './graphile_worker.mjs';

// The same with calls that share a stream.
const streaming = subject => ({
	...subject, candidates: { drain: subject.streamingCandidates }
});

export const subjects = {
	'pg-boss': pgBoss,
	'graphile-worker': plain,
	'graphile-worker-grouped': grouped,
	'pg-boss-streaming': streaming(pgBoss),
	'graphile-worker-grouped-streaming': streaming(grouped)
};
