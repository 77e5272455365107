import { writeSync } from 'node:fs';
import { errorCode } from '@node-vmm/vmm-sys-util/errors';
import { pause } from './pause.ts';

/** Between two tries at a descriptor that takes nothing, milliseconds. */
const TRY_AGAIN_MS = 10;

/**
 * Writes all of a text to one of the process's own descriptors, waiting for it as any program does
 * that prints something and ends. Not for a program that serves somebody: see {@link LogWriter}.
 *
 * @throws Node's own error with `code`: EPIPE, ENOSPC, EIO ...
 */
export function writeAll(fd: number, text: string): void {
  let rest: Uint8Array = Buffer.from(text);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(fd, rest));
    } catch (error) {
      // Whoever shares the descriptor may have made it non-blocking.
      if (errorCode(error) !== 'EAGAIN') throw error;
      pause(TRY_AGAIN_MS);
    }
  }
}
