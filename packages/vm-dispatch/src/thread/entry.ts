// Entry of every dispatch thread. Imported anywhere else it does nothing.
import process from 'node:process';
import { isMainThread, workerData } from 'node:worker_threads';
import type { DispatchThreadData } from '../protocol.ts';
import { DispatchLoop } from './dispatch-loop.ts';

function isOurs(data: unknown): data is DispatchThreadData {
  const kind = (data as Partial<DispatchThreadData> | null | undefined)?.nodeVmmThread;
  return kind === 'dispatch';
}

const data: unknown = workerData;
if (!isMainThread && isOurs(data)) {
  new DispatchLoop(data).run();
  // Ends this thread alone.
  process.exit(0);
}
