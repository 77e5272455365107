import { existsSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { VmError } from '@node-vmm/vm-device';
import { threadOptions } from '@node-vmm/vmm-sys-util';
import type { DispatchThreadData } from './protocol.ts';

/** Undefined in a bundle of CommonJS. */
const HERE: string | undefined = import.meta.url;
/** Tests run the sources, which Node 20 cannot load in a worker thread: threads run what was built. */
const FROM_SOURCE = HERE?.endsWith('.ts') === true;

/** @throws {Error} what Node says where it can have no such thread */
export function startThreadWorker(module: URL, name: string, data: DispatchThreadData): Worker {
  return new Worker(module, {
    name,
    workerData: data,
    transferList: [data.memories],
    // Else the process's own, of which Node refuses some where they are named.
    ...(FROM_SOURCE ? { execArgv: [] } : threadOptions()),
    // Descriptors belong to the process, not to the thread that happens to close them.
    trackUnmanagedFds: false,
  });
}

/**
 * What dispatch threads run.
 *
 * @param given - of a program that is bundled
 * @throws {VmError} NOT_SUPPORTED where it is not there
 */
export function threadModule(given: URL | undefined): URL {
  const beside =
    HERE === undefined
      ? undefined
      : new URL(FROM_SOURCE ? '../dist/thread/entry.js' : './thread/entry.js', HERE);
  const module = given ?? beside;
  if (module === undefined || (module.protocol === 'file:' && !existsSync(module))) {
    const place = module === undefined ? '' : `: ${module.href} is not there`;
    throw new VmError(
      'NOT_SUPPORTED',
      `Cannot find the module of dispatch threads${place}; a program that is bundled passes its URL as threadModule`,
    );
  }
  return module;
}
