import { fstatSync, readSync, writeSync } from 'node:fs';
import type { InflightArea } from '@node-vmm/vhost-user';
import { closeFd, F_SEAL_SHRINK, type Fd, fileSeals, memfdCreate } from '@node-vmm/vmm-sys-util';
import { VhostUserMasterError } from './errors.ts';

/** How many queues of which size an area is for. */
export interface InflightShape {
  /** 1..256. */
  readonly queues: number;
  /** Most entries that a queue may have, 1..32768. */
  readonly queueSize: number;
}

/** What is in such a file, for the next process. */
export interface KeptInflight extends InflightShape {
  /** All queues' regions, one behind the other. */
  readonly bytes: Uint8Array;
}

/**
 * The file in which back-ends record their requests in flight (vhost-user.rst, "Inflight I/O tracking"):
 * one back-end makes it, and each that follows is given it. What is in it is theirs; here it is not even
 * mapped, since the one that made it may do anything with it.
 */
export class InflightFile implements Disposable {
  readonly area: InflightArea;
  readonly #fd: Fd;
  #live = true;

  /**
   * @param fd - becomes this object's
   * @throws {VhostUserMasterError} WRONG_REPLY when the back-end's answer is not what was asked for; the
   * descriptor is closed then
   */
  constructor(area: InflightArea, shape: InflightShape, fd: Fd) {
    this.area = area;
    this.#fd = fd;
    const wrong = whatIsWrong(area, shape, fd);
    if (wrong === undefined) return;
    this.close();
    throw new VhostUserMasterError(
      'WRONG_REPLY',
      `Cannot use the area for requests in flight: ${wrong}`,
      { request: 'VHOST_USER_GET_INFLIGHT_FD' },
    );
  }

  /**
   * A file of the same contents, for the same back-ends.
   *
   * @throws {VhostUserMasterError} WRONG_REPLY when what was kept is not for such queues
   * @throws {SysError}
   */
  static restore({ bytes, ...kept }: KeptInflight, shape: InflightShape): InflightFile {
    const fd = memfdCreate('vhost-user-inflight', bytes.length);
    const { queues: numQueues, queueSize } = kept;
    const area = { mmapSize: BigInt(bytes.length), mmapOffset: 0n, numQueues, queueSize };
    const file = new InflightFile(area, shape, fd);
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at, at);
      return file;
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /**
   * What is in it now. To be called when no back-end serves any of the queues.
   *
   * @throws Node's own error with `code` where the file does not let itself be read
   */
  keep(): KeptInflight {
    const { mmapSize, mmapOffset, numQueues: queues, queueSize } = this.area;
    const bytes = new Uint8Array(Number(mmapSize));
    for (let at = 0; at < bytes.length; ) {
      const start = Number(mmapOffset) + at;
      const count = readSync(this.#fd, bytes, at, bytes.length - at, start);
      // Sealed against that; whoever made it may have been faster. What is not there is zero.
      if (count === 0) break;
      at += count;
    }
    return { queues, queueSize, bytes };
  }

  /** To send by SET_INFLIGHT_FD; stays this object's. */
  get fd(): Fd {
    return this.#fd;
  }

  /**
   * Forgets what is recorded of a queue, which its driver has taken back: the next ring there is another.
   * No back-end serves the queue meanwhile.
   *
   * @throws Node's own error with `code` where the file does not let itself be written to
   */
  forget(index: number): void {
    const { mmapSize, mmapOffset, numQueues } = this.area;
    if (index >= numQueues) return;
    // All queues' regions are of one size, whatever layout the back-end has.
    const length = Math.floor(Number(mmapSize) / numQueues);
    const zeros = new Uint8Array(length);
    const start = Number(mmapOffset) + index * length;
    for (let at = 0; at < length; ) at += writeSync(this.#fd, zeros, at, length - at, start + at);
  }

  /** Idempotent. */
  close(): void {
    if (!this.#live) return;
    this.#live = false;
    closeFd(this.#fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** A head of 16 bytes and 16 for each entry, rounded up by no more than a page: what all layouts come to. */
const ENTRY_BYTES = 16n;
const MOST_SLACK = 4096n;

function whatIsWrong(
  { mmapSize, mmapOffset, numQueues, queueSize }: InflightArea,
  shape: InflightShape,
  fd: Fd,
): string | undefined {
  if (numQueues !== shape.queues || queueSize !== shape.queueSize) {
    return `it is for ${numQueues} queues of ${queueSize}, not ${shape.queues} of ${shape.queueSize}`;
  }
  const least = ENTRY_BYTES * BigInt(numQueues * queueSize);
  const most = least + BigInt(numQueues) * MOST_SLACK;
  if (mmapSize < least || mmapSize > most) {
    return `it has ${mmapSize} bytes, expected ${least}..${most}`;
  }
  // Also keeps files out whose reads and writes somebody else could hold up.
  if ((fileSeals(fd) & F_SEAL_SHRINK) === 0) return 'its file is not sealed and may shrink';
  const { size } = fstatSync(fd, { bigint: true });
  if (mmapOffset + mmapSize > size) return `it is beyond the ${size} bytes of its file`;
  return undefined;
}
