// Entry of a worker thread.
import { exit } from 'node:process';
import { workerData } from 'node:worker_threads';
import { WorkerHost } from './worker-host.ts';
import type { WorkerData } from './worker-protocol.ts';

await new WorkerHost(workerData as WorkerData).run();
// Ends this thread alone, even when device code left a timer or a handle of Node's behind.
exit(0);
