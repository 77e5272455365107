import { RegisterMemory } from '@node-vmm/virtio-device';

const VERSION = 0;
// A multiple of 8 bytes: what follows are numbers of 64 bits.
const WORDS = 2;
const WORD_BITS = 32;

/** Where things lie in the memory of a device, in bytes. */
interface Layout {
  readonly counters: number;
  readonly notified: number;
  readonly registers: number;
  readonly config: number;
  readonly size: number;
}

function layout(shape: DeviceShape): Layout {
  const counters = WORDS * Int32Array.BYTES_PER_ELEMENT;
  const notified = counters + shape.counters * Float64Array.BYTES_PER_ELEMENT;
  const registers = notified + Math.ceil(shape.queues / WORD_BITS) * Int32Array.BYTES_PER_ELEMENT;
  const config = registers + RegisterMemory.bytes(shape.queues);
  return { counters, notified, registers, config, size: config + 2 * shape.configSize };
}

/** How much room a device needs. */
export interface DeviceShape {
  readonly queues: number;
  /** Bytes of configuration space. */
  readonly configSize: number;
  readonly counters: number;
}

/**
 * What main and dispatch thread share of a device, and what is left of it when that thread has died: all
 * registers are here. Its configuration is there twice: the main thread
 * writes the copy that nobody reads, and then the version, so that a reader never waits for it. The
 * version is the configuration's generation, too: no driver sees one without the other.
 */
export class DeviceMemory {
  readonly buffer: SharedArrayBuffer;
  readonly counters: Float64Array;
  /** Written by the dispatch thread. */
  readonly registers: RegisterMemory;
  readonly #words: Int32Array;
  readonly #notified: Int32Array;
  readonly #configs: readonly [Uint8Array, Uint8Array];

  /** @param buffer - of the other thread; default: new */
  constructor(shape: DeviceShape, buffer?: SharedArrayBuffer) {
    const at = layout(shape);
    this.buffer = buffer ?? new SharedArrayBuffer(at.size);
    this.counters = new Float64Array(this.buffer, at.counters, shape.counters);
    this.#words = new Int32Array(this.buffer, 0, WORDS);
    this.#notified = new Int32Array(this.buffer, at.notified, Math.ceil(shape.queues / WORD_BITS));
    this.registers = new RegisterMemory(shape.queues, this.buffer, at.registers);
    this.#configs = [
      new Uint8Array(this.buffer, at.config, shape.configSize),
      new Uint8Array(this.buffer, at.config + shape.configSize, shape.configSize),
    ];
  }

  /** Generation of the configuration, modulo 2^32. */
  get generation(): number {
    return Atomics.load(this.#words, VERSION) >>> 0;
  }

  /** Device status as the driver reads it. */
  get status(): number {
    return this.registers.transport.status;
  }

  /** Main thread: nothing happens where the configuration is the same. */
  publish(config: Uint8Array): void {
    const version = Atomics.load(this.#words, VERSION);
    const [current, next] = version % 2 === 0 ? this.#configs : [...this.#configs].reverse();
    if (current?.every((byte, at) => byte === config[at])) return;
    next?.set(config.subarray(0, next.length));
    Atomics.store(this.#words, VERSION, (version + 1) | 0);
  }

  /** Dispatch thread. @returns false when the bytes do not exist */
  readConfig(offset: number, target: Uint8Array): boolean {
    if (offset + target.length > this.#configs[0].length) return false;
    for (;;) {
      const version = Atomics.load(this.#words, VERSION);
      const config = this.#configs[version & 1] as Uint8Array;
      for (let i = 0; i < target.length; i++) target[i] = config[offset + i] as number;
      // Written twice meanwhile.
      if (Atomics.load(this.#words, VERSION) === version) return true;
    }
  }

  /** Dispatch thread: the driver notified a queue. @returns false when the main thread is told already */
  setNotified(queue: number): boolean {
    const bit = 1 << (queue % WORD_BITS);
    return (Atomics.or(this.#notified, Math.floor(queue / WORD_BITS), bit) & bit) === 0;
  }

  /** Main thread: it is told from now on again. */
  clearNotified(queue: number): void {
    const bit = 1 << (queue % WORD_BITS);
    Atomics.and(this.#notified, Math.floor(queue / WORD_BITS), ~bit);
  }

  /** Main thread, of a dispatch thread that has died: queues of which it may not have been told. Clears them. */
  takeNotified(): number[] {
    const taken: number[] = [];
    this.#notified.forEach((_, word) => {
      const bits = Atomics.exchange(this.#notified, word, 0);
      for (let bit = 0; bit < WORD_BITS; bit++) {
        if ((bits & (1 << bit)) !== 0) taken.push(word * WORD_BITS + bit);
      }
    });
    return taken;
  }
}
