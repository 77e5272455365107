// Entry of every thread of a daemon: of vring workers and of host threads. Each loads what it needs alone.
// Imported anywhere else it does nothing, so that a bundle may be program, device and thread in one file;
// nothing is awaited at the top, which a bundle of CommonJS could not.
import process from 'node:process';
import { isMainThread, workerData } from 'node:worker_threads';
import { type ThreadData, UNSETTLED_TOP_LEVEL_AWAIT } from '../between/thread-data.ts';

async function run(data: ThreadData): Promise<void> {
  if (data.nodeVmmThread === 'vring') {
    const { WorkerLoop } = await import('../worker/worker-loop.ts');
    await new WorkerLoop(data).run();
  } else {
    const { serveHost } = await import('../host/serve-host.ts');
    await serveHost(data);
  }
  // Ends this thread alone, even when its code left a timer or a handle of Node's behind.
  process.exit(0);
}

function isOurs(data: unknown): data is ThreadData {
  return typeof data === 'object' && data !== null && 'nodeVmmThread' in data;
}

const data: unknown = workerData;
if (!isMainThread && isOurs(data)) {
  // Nothing is left to do and the thread has not been ended: something it imports never comes back. It
  // has Node's own code for that, which nobody gives where nothing is awaited at the top.
  process.once('beforeExit', () => process.exit(UNSETTLED_TOP_LEVEL_AWAIT));
  void run(data);
}
