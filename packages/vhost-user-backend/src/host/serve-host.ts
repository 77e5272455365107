// A host thread: a plain thread with Node's event loop, which its host may block.
import { type MessagePort, parentPort } from 'node:worker_threads';
import { threadId } from '@node-vmm/vmm-sys-util';
import {
  HOST_PULSE,
  type HostEvent,
  type HostThreadData,
  hostErrorRecord,
} from '../between/host-protocol.ts';
import type { CreateHost, Host } from '../host-thread.ts';
import { HostServer } from './host-server.ts';

async function create({ module, options }: HostThreadData): Promise<Host> {
  const { createHost } = (await import(module)) as { createHost?: CreateHost<unknown> };
  if (typeof createHost !== 'function') {
    throw new TypeError(`Cannot start a host thread: ${module} exports no function createHost`);
  }
  return createHost(options);
}

/** Serves devices in this thread until the main thread ends it, or its host fails. */
export async function serveHost(data: HostThreadData): Promise<void> {
  const { pulse } = data;
  const control = parentPort as MessagePort;
  pulse[HOST_PULSE.TID] = threadId();
  try {
    using host = await create(data);
    Atomics.store(pulse, HOST_PULSE.LOADING, 0);
    Atomics.notify(pulse, HOST_PULSE.LOADING);
    await new HostServer(host, control, pulse).ended;
  } catch (error) {
    Atomics.store(pulse, HOST_PULSE.LOADING, 0);
    Atomics.notify(pulse, HOST_PULSE.LOADING);
    const event: HostEvent = { type: 'failed', error: hostErrorRecord(error) };
    control.postMessage(event);
  }
}
