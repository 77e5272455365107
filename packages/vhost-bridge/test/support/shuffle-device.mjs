// A device that holds many requests at once and returns them in any order, each with what it read.
import { TimerFd } from '@node-vmm/vmm-sys-util';

const PERIOD_MS = 2;
/** Always held, so that a device that is killed leaves requests behind. */
const KEPT = 6;

class ShuffleDevice {
  features = 0n;
  queueMaxSizes = [64, 64];
  losesState;
  #timer = new TimerFd();
  #held = [];

  constructor({ losesState }, { poller }) {
    this.losesState = losesState;
    poller.watch(this.#timer.fd, { readable: true }, () => {
      this.#timer.drain();
      this.#tick();
    });
  }

  process(queue, batch) {
    const bytes = new Uint8Array(8);
    for (let i = 0; i < batch.length; i++) {
      const chain = batch.at(i).detach();
      // Requests that are not to be returned yet have a 1 at their end.
      chain.read(bytes, 0);
      this.#held.push({ queue, chain, last: bytes[7] === 1 });
    }
    this.#timer.set(PERIOD_MS);
  }

  #tick() {
    const wanting = this.#held.filter(({ last }) => !last);
    const keep = wanting.length > KEPT ? KEPT : 0;
    let count = Math.ceil((wanting.length - keep) * Math.random());
    for (; count > 0; count--) {
      const at = Math.floor(Math.random() * wanting.length);
      const [{ queue, chain }] = wanting.splice(at, 1);
      this.#held = this.#held.filter((held) => held.chain !== chain);
      const bytes = new Uint8Array(8);
      chain.read(bytes, 0);
      queue.complete(chain, chain.write(bytes, 0));
      queue.flush();
    }
    if (wanting.length > 0) this.#timer.set(PERIOD_MS);
  }

  queueStopping(queue, done) {
    this.#held = this.#held.filter((held) => held.queue !== queue);
    done();
  }

  [Symbol.dispose]() {
    this.#timer.close();
  }
}

export const createDevice = (options, context) => new ShuffleDevice(options, context);
