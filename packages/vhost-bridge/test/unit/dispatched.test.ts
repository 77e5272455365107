// What holds of a bridge whose guests the main thread serves holds where a dispatch thread does.
import { DispatchThread } from '@node-vmm/vm-dispatch';
import { MainPoller } from '@node-vmm/vmm-sys-util';
import { afterAll, beforeAll } from 'vitest';
import { serving } from '../support/machine.ts';

const poller = new MainPoller();
let thread: DispatchThread;

beforeAll(async () => {
  thread = await DispatchThread.start({ poller });
  serving.host = thread;
});
afterAll(async () => {
  delete serving.host;
  thread.close();
  await thread.ended;
  poller.close();
});

await import('./bridge.test.ts');
await import('./bridge-places.test.ts');
await import('./inflight.test.ts');
await import('./restart.test.ts');
await import('./teardown.test.ts');
