import { randomFillSync } from 'node:crypto';
import {
  closeFd,
  type Fd,
  getrandom,
  IOV_MAX,
  openFd,
  readFd,
  readvFd,
} from '@node-vmm/vmm-sys-util';
import type { EntropyRead, EntropySource, Segments } from './entropy-source.ts';

const PATH = '/dev/urandom';
const IOVEC_WORDS = 4;
const MOST = 0x10_0000;

/**
 * The kernel's generator. `getrandom` fills one buffer and is the lesser call, `readv` all buffers of a batch:
 * so more than one are read by way of its device, which gives the same bytes once the generator has been seeded.
 */
export class KernelSource implements EntropySource {
  readonly most = MOST;
  readonly #fd: Fd;
  #scratch = new Uint8Array();
  #live = true;

  /**
   * Waits until the kernel has seeded its generator, if this is early after the machine's start.
   *
   * @throws Node's own error with `code` when /dev/urandom cannot be opened
   */
  constructor() {
    // OpenSSL asks getrandom for its seed, which waits where the device would not.
    randomFillSync(new Uint8Array(1));
    this.#fd = openFd(PATH, 'r');
  }

  fill(segments: Segments, first: number, count: number): void {
    if (count === 1) {
      const address = segments.hostAddressAt(first);
      const length = segments.lengthAt(first);
      for (let done = 0; done < length; ) done += getrandom(address + done, length - done);
      return;
    }
    const end = first + count;
    let at = first;
    while (at < end) {
      const iovecs = at === 0 ? segments.iovecs : segments.iovecs.subarray(at * IOVEC_WORDS);
      // A signal cuts a read short; the generator itself never ends.
      let bytes = readvFd(this.#fd, iovecs, Math.min(end - at, IOV_MAX));
      while (at < end && bytes >= segments.lengthAt(at)) bytes -= segments.lengthAt(at++);
      if (bytes > 0) this.#fill(segments.bytesAt(at++), bytes);
    }
  }

  read(bytes: number, done: EntropyRead): void {
    const length = Math.min(bytes, MOST);
    if (length > this.#scratch.length) {
      this.#scratch = new Uint8Array(2 ** Math.ceil(Math.log2(length)));
    }
    const target = this.#scratch.subarray(0, length);
    this.#fill(target, 0);
    done(target);
  }

  /** There is always more. */
  unread(): void {}

  #fill(target: Uint8Array, filled: number): void {
    let done = filled;
    while (done < target.length) {
      done += readFd(this.#fd, target.subarray(done), target.length - done);
    }
  }

  [Symbol.dispose](): void {
    if (!this.#live) return;
    this.#live = false;
    closeFd(this.#fd);
  }
}
