const TIME = 0;
const TOUCH = 1;
const LENGTH = 2;

/** What the owner of chunks tells all who borrow some, on whichever thread, by memory that they see. */
export class ChunkClock {
  readonly words: Int32Array;

  /** @param words - of another thread */
  constructor(words: Int32Array) {
    this.words = words;
  }

  static create(): ChunkClock {
    return new ChunkClock(new Int32Array(new SharedArrayBuffer(4 * LENGTH)));
  }

  /** The owner's time: goes on each time that it maps something. Wraps. */
  get time(): number {
    return Atomics.load(this.words, TIME);
  }

  tick(): void {
    Atomics.add(this.words, TIME, 1);
  }

  /** Bytes that are to be asked for where memory is touched, a power of two; 0: all of a chunk. */
  get touch(): number {
    return this.words[TOUCH] ?? 0;
  }

  set touch(bytes: number) {
    Atomics.store(this.words, TOUCH, bytes);
  }
}
