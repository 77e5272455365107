/** Numbers of 32 bits with names, which lie one after the other. */
type Words<Name extends string> = Record<Name, number>;
type WordsClass<Name extends string> = new (words: Uint32Array, at: number) => Words<Name>;

const TRANSPORT = [
  'status',
  'touched',
  'resetting',
  'deviceFeaturesSel',
  'driverFeaturesSel',
  'driverFeaturesLow',
  'driverFeaturesHigh',
  'featuresBeyond',
  'queueSel',
  'shmSel',
  'interruptStatus',
  'interruptsUnseen',
  'interruptStatusRead',
  'vringAssisted',
  'configChanges',
] as const;

const QUEUE = [
  'size',
  'ready',
  'resetting',
  'stopping',
  'descLow',
  'descHigh',
  'availLow',
  'availHigh',
  'usedLow',
  'usedHigh',
] as const;

const HIGH_WEIGHT = 32n;

/** A 64-bit value of two words. */
export function wide(low: number, high: number): bigint {
  return (BigInt(high) << HIGH_WEIGHT) | BigInt(low);
}

function wordsClass<Name extends string>(names: readonly Name[]): WordsClass<Name> {
  class Named {
    readonly words: Uint32Array;
    readonly at: number;

    constructor(words: Uint32Array, at: number) {
      this.words = words;
      this.at = at;
    }
  }
  names.forEach((name, index) => {
    Object.defineProperty(Named.prototype, name, {
      get(this: Named): number {
        return this.words[this.at + index] as number;
      },
      set(this: Named, value: number) {
        this.words[this.at + index] = value;
      },
    });
  });
  return Named as unknown as WordsClass<Name>;
}

/** What a transport keeps of all of it; flags are 0 or 1. */
export type TransportWords = Words<(typeof TRANSPORT)[number]>;
/** What it keeps of a queue. */
export type QueueWords = Words<(typeof QUEUE)[number]>;

const TransportWordsClass = wordsClass(TRANSPORT);
const QueueWordsClass = wordsClass(QUEUE);

/**
 * All that a transport knows of its driver, in memory that may outlive it: where that is shared with another
 * thread, what a thread knew is there after it has died. One transport writes at a time.
 */
export class RegisterMemory {
  readonly transport: TransportWords;
  readonly queues: readonly QueueWords[];
  readonly #words: Uint32Array;

  /** Bytes for a device of so many queues. */
  static bytes(queues: number): number {
    return (TRANSPORT.length + queues * QUEUE.length) * Uint32Array.BYTES_PER_ELEMENT;
  }

  /**
   * @param queues - of the device
   * @param buffer - of at least {@link RegisterMemory.bytes}; default: a new one
   * @param offset - into it, a multiple of 4
   */
  constructor(
    queues: number,
    buffer: ArrayBufferLike = new ArrayBuffer(RegisterMemory.bytes(queues)),
    offset = 0,
  ) {
    const length = TRANSPORT.length + queues * QUEUE.length;
    this.#words = new Uint32Array(buffer, offset, length);
    this.transport = new TransportWordsClass(this.#words, 0);
    this.queues = Array.from(
      { length: queues },
      (_, index) => new QueueWordsClass(this.#words, TRANSPORT.length + index * QUEUE.length),
    );
  }

  /** As those of a fresh device. */
  clear(): void {
    this.#words.fill(0);
  }
}
