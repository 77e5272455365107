// Entry of a host thread: a plain thread with Node's event loop, which its host may block.
import { exit } from 'node:process';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { threadId } from '@node-vmm/vmm-sys-util';
import {
  HOST_PULSE,
  type HostEvent,
  type HostThreadData,
  hostErrorRecord,
} from '../between/host-protocol.ts';
import type { CreateHost, Host } from '../host-thread.ts';
import { HostServer } from './host-server.ts';

const { module, options, pulse } = workerData as HostThreadData;
const control = parentPort as MessagePort;

async function create(): Promise<Host> {
  const { createHost } = (await import(module)) as { createHost?: CreateHost<unknown> };
  if (typeof createHost !== 'function') {
    throw new TypeError(`Cannot start a host thread: ${module} exports no function createHost`);
  }
  return createHost(options);
}

pulse[HOST_PULSE.TID] = threadId();
try {
  using host = await create();
  Atomics.store(pulse, HOST_PULSE.LOADING, 0);
  Atomics.notify(pulse, HOST_PULSE.LOADING);
  await new HostServer(host, control, pulse).ended;
} catch (error) {
  Atomics.store(pulse, HOST_PULSE.LOADING, 0);
  Atomics.notify(pulse, HOST_PULSE.LOADING);
  const event: HostEvent = { type: 'failed', error: hostErrorRecord(error) };
  control.postMessage(event);
}
// Ends this thread alone, even when the host left a timer or a handle of Node's behind.
exit(0);
