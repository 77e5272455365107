const VERSION = 0;
const STATUS = 1;
const WORDS = 2;
const WORD_BITS = 32;

/** Where things lie in the memory of a device, in bytes. */
interface Layout {
  readonly counters: number;
  readonly notified: number;
  readonly config: number;
  readonly size: number;
}

function layout(shape: DeviceShape): Layout {
  const counters = WORDS * Int32Array.BYTES_PER_ELEMENT;
  const notified = counters + shape.counters * Float64Array.BYTES_PER_ELEMENT;
  const config = notified + Math.ceil(shape.queues / WORD_BITS) * Int32Array.BYTES_PER_ELEMENT;
  return { counters, notified, config, size: config + 2 * shape.configSize };
}

/** How much room a device needs. */
export interface DeviceShape {
  readonly queues: number;
  /** Bytes of configuration space. */
  readonly configSize: number;
  readonly counters: number;
}

/**
 * What main and dispatch thread share of a device. Its configuration is there twice: the main thread
 * writes the copy that nobody reads, and then the version, so that a reader never waits for it. The
 * version is the configuration's generation, too: no driver sees one without the other.
 */
export class DeviceMemory {
  readonly buffer: SharedArrayBuffer;
  readonly counters: Float64Array;
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
    return Atomics.load(this.#words, STATUS);
  }

  set status(status: number) {
    Atomics.store(this.#words, STATUS, status);
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
}
