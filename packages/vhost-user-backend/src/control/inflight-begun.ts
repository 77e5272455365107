import { readSync } from 'node:fs';
import type { Fd } from '@node-vmm/vmm-sys-util';

const CHUNK = 65_536;
const ZEROS = new Uint8Array(CHUNK);

/**
 * Whether a back-end has recorded anything in an area for requests in flight: one that none has begun with is
 * all zeros. Read and not mapped, so that no view of it stays in this thread.
 *
 * @param fd - its file, in memory and sealed: reading does not wait
 * @param start - of the area in the file, bytes
 * @param length - bytes
 * @throws Node's own error with `code`
 */
export function isBegun(fd: Fd, start: bigint, length: number): boolean {
  const bytes = new Uint8Array(Math.min(CHUNK, length));
  for (let done = 0; done < length; ) {
    const wanted = Math.min(CHUNK, length - done);
    const count = readSync(fd, bytes, { position: start + BigInt(done), length: wanted });
    if (count === 0) return false;
    if (Buffer.compare(bytes.subarray(0, count), ZEROS.subarray(0, count)) !== 0) return true;
    done += count;
  }
  return false;
}
