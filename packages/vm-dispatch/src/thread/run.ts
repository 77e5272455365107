import process from 'node:process';
import { isMainThread, workerData } from 'node:worker_threads';
import type { OpenGuestEnds } from '@node-vmm/ioreq-eventfd/ends';
import type { DispatchThreadData } from '../protocol.ts';
import { DispatchLoop } from './dispatch-loop.ts';

function isOurs(data: unknown): data is DispatchThreadData {
  const kind = (data as Partial<DispatchThreadData> | null | undefined)?.nodeVmmThread;
  return kind === 'dispatch';
}

/** Runs a dispatch thread to its end; anywhere else it does nothing. @param openEnds - how it gets hold of guests */
export function runDispatchThread(openEnds: OpenGuestEnds): void {
  const data: unknown = workerData;
  if (isMainThread || !isOurs(data)) return;
  new DispatchLoop(data, openEnds).run();
  // Ends this thread alone.
  process.exit(0);
}
