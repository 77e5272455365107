import { setTimeout as sleep } from 'node:timers/promises';
import { SysError, UnixStream } from '@node-vmm/vmm-sys-util';
import { VhostUserMasterError } from './errors.ts';

/** Milliseconds between two attempts. */
const RETRY_INTERVAL = 20;

/** Errno that says "nobody listens there yet". */
const NOT_YET: ReadonlySet<string> = new Set(['ENOENT', 'ECONNREFUSED', 'EAGAIN']);

/**
 * Connects to a socket, optionally waiting for somebody to listen.
 *
 * @param waitMs - how long to keep trying, in milliseconds; 0 is one attempt
 * @throws {SysError} of the last attempt: ENOENT, ECONNREFUSED, EACCES ...
 * @throws {VhostUserMasterError} ABORTED
 */
export async function connectStream(
  path: string,
  waitMs: number,
  signal: AbortSignal | undefined,
): Promise<UnixStream> {
  const deadline = performance.now() + waitMs;
  for (;;) {
    throwIfAborted(path, signal);
    try {
      return UnixStream.connect(path);
    } catch (error) {
      const left = deadline - performance.now();
      if (!SysError.is(error) || !NOT_YET.has(error.code) || left <= 0) throw error;
      await pause(Math.min(RETRY_INTERVAL, left), signal);
    }
  }
}

function throwIfAborted(path: string, signal: AbortSignal | undefined): void {
  if (signal?.aborted !== true) return;
  throw new VhostUserMasterError(
    'ABORTED',
    `Cannot connect to ${path}: aborted`,
    { path },
    { cause: signal.reason },
  );
}

async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(ms, undefined, signal === undefined ? {} : { signal });
  } catch {
    // Aborted: the next attempt says so.
  }
}
