import type {
  ChainBatch,
  CreateDevice,
  DeviceQueue,
  VhostUserDevice,
} from '@node-vmm/vhost-user-backend';
import { closeFd, type Fd, IOV_MAX, openFd, readFd, readvFd } from '@node-vmm/vmm-sys-util';

const IOVEC_WORDS = 4;

/** A bare entropy device (VIRTIO 1.3 §5.4): a whole batch is one `readv` into guest memory. */
class EntropyDevice implements VhostUserDevice {
  readonly features = 0n;
  readonly queueMaxSizes = [1024];
  readonly #source: Fd = openFd('/dev/urandom', 'r');

  process(queue: DeviceQueue, batch: ChainBatch): void {
    const { length } = batch;
    let pure = true;
    for (let i = 0; i < length; i++) pure &&= batch.at(i).readableCount === 0;
    if (!pure) {
      this.#processMixed(queue, batch);
      return;
    }
    this.#fill(batch, 0, batch.segments.count);
    for (let i = 0; i < length; i++) {
      const chain = batch.at(i);
      queue.complete(chain, chain.writableLength);
    }
  }

  /** Readable buffers are none of an entropy request; what is writable is filled all the same. */
  #processMixed(queue: DeviceQueue, batch: ChainBatch): void {
    for (let i = 0; i < batch.length; i++) {
      const chain = batch.at(i);
      this.#fill(batch, chain.firstSegment + chain.readableCount, chain.writableCount);
      queue.complete(chain, chain.writableLength);
    }
  }

  /** Fills `count` segments from `first` on. A read from the source may be short; it never ends. */
  #fill({ segments }: ChainBatch, first: number, count: number): void {
    const end = first + count;
    let at = first;
    while (at < end) {
      const iovecs = at === 0 ? segments.iovecs : segments.iovecs.subarray(at * IOVEC_WORDS);
      let bytes = readvFd(this.#source, iovecs, Math.min(end - at, IOV_MAX));
      while (at < end && bytes >= segments.lengthAt(at)) bytes -= segments.lengthAt(at++);
      if (bytes > 0) this.#fillRest(segments.bytesAt(at++), bytes);
    }
  }

  #fillRest(target: Uint8Array, filled: number): void {
    let done = filled;
    while (done < target.length) {
      done += readFd(this.#source, target.subarray(done), target.length - done);
    }
  }

  [Symbol.dispose](): void {
    closeFd(this.#source);
  }
}

export const createDevice: CreateDevice<undefined> = () => new EntropyDevice();
