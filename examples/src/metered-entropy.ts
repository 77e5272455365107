// A device of your own: entropy (VIRTIO 1.3 §5.4) of which a guest gets so many bytes a second. Requests
// that come too early are held, and completed from a timer.
//
//   node examples/dist/metered-entropy.js /tmp/rng.sock 1000
import { isMainThread } from 'node:worker_threads';
import {
  type ChainBatch,
  type CreateDevice,
  type DescriptorChain,
  type DeviceContext,
  type DeviceQueue,
  VhostUserDaemon,
  type VhostUserDevice,
} from '@node-vmm/vhost-user-backend';
import { TimerFd } from '@node-vmm/vmm-sys-util';

const TICK_MS = 20;

interface Options {
  /** Bytes that a guest gets a second, >= 1. */
  readonly rate: number;
}

class MeteredEntropy implements VhostUserDevice {
  readonly features = 0n;
  readonly queueMaxSizes = [256];
  readonly #rate: number;
  /** The timer of a worker: there, Node's own never fire. */
  readonly #timer = new TimerFd();
  /** No more than the queue has entries. */
  #held: { readonly queue: DeviceQueue; readonly chain: DescriptorChain }[] = [];
  #bytes = 0;
  #since = performance.now();

  constructor({ rate }: Options, { poller }: DeviceContext) {
    this.#rate = rate;
    poller.watch(this.#timer.fd, { readable: true }, () => {
      this.#timer.drain();
      this.#serve();
    });
  }

  process(queue: DeviceQueue, batch: ChainBatch): void {
    for (const chain of batch) this.#held.push({ queue, chain: chain.detach() });
    this.#serve();
  }

  #serve(): void {
    const now = performance.now();
    // No more than a second's worth is saved up.
    this.#bytes = Math.min(this.#rate, this.#bytes + ((now - this.#since) / 1000) * this.#rate);
    this.#since = now;
    for (let next = this.#held[0]; next !== undefined; next = this.#held[0]) {
      const { queue, chain } = next;
      // The guest says how long its buffer is: it gets what there is, and asks again.
      const length = Math.min(chain.writableLength, Math.floor(this.#bytes));
      if (length === 0 && chain.writableLength > 0) break;
      this.#held.shift();
      this.#bytes -= length;
      queue.complete(chain, chain.write(randomBytes(length), 0));
      queue.flush();
    }
    if (this.#held.length > 0) this.#timer.set(TICK_MS);
  }

  /** The guest goes or is reset: what is held has to be let go of. */
  queueStopping(stopping: DeviceQueue, done: () => void): void {
    this.#held = this.#held.filter(({ queue }) => queue !== stopping);
    done();
  }

  [Symbol.dispose](): void {
    this.#timer.close();
  }
}

function randomBytes(length: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(Math.min(length, 65_536)));
}

export const createDevice: CreateDevice<Options> = (options, context) =>
  new MeteredEntropy(options, context);

// The main thread speaks vhost-user; a worker imports this module for `createDevice`.
if (isMainThread) {
  const [socketPath = '/tmp/rng.sock', rate = '1000'] = process.argv.slice(2);
  const module = new URL(import.meta.url);
  const daemon = new VhostUserDaemon();
  await daemon.addDevice({ name: 'rng', module, options: { rate: Number(rate) }, socketPath });
}
