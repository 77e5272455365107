// Entry of a worker thread.
import { exit } from 'node:process';
import { workerData } from 'node:worker_threads';
import type { WorkerData } from '../between/worker-calls.ts';
import { WorkerLoop } from './worker-loop.ts';

await new WorkerLoop(workerData as WorkerData).run();
// Ends this thread alone, even when device code left a timer or a handle of Node's behind.
exit(0);
