const COUNT = 0;
const ENDING = 1;
const USED = 2;
const SLICES = 3;
const LENGTH = 4;
/** Stands where the count is once the memory is no longer to be had. */
const REVOKED = -1;

/**
 * How often a chunk of memory is lent to one borrower, in memory that its owner sees from another thread:
 * a loan costs no message, and the owner takes the chunk away in the moment in which nobody has it.
 */
export class ChunkLoans {
  /** For the other thread. */
  readonly words: Int32Array;
  /** The owner's time: goes on each time that it maps something. */
  readonly clock: Int32Array;

  /** Of another thread. */
  constructor(words: Int32Array, clock: Int32Array) {
    this.words = words;
    this.clock = clock;
  }

  /** Has one loan already, of whom it is sent to. */
  static create(clock: Int32Array): ChunkLoans {
    const words = new Int32Array(new SharedArrayBuffer(4 * LENGTH));
    words[COUNT] = 1;
    words[USED] = Atomics.load(clock, 0);
    return new ChunkLoans(words, clock);
  }

  /** Loans that are out. */
  get count(): number {
    return Math.max(0, Atomics.load(this.words, COUNT));
  }

  /** How many of the loans are slices: what a ring is in. */
  get slices(): number {
    return Atomics.load(this.words, SLICES);
  }

  /** A loan is a slice from now on. */
  slice(): void {
    Atomics.add(this.words, SLICES, 1);
  }

  /** It is none any more, before it is given back. */
  unslice(): void {
    Atomics.sub(this.words, SLICES, 1);
  }

  /** The owner's time at which it was lent last. */
  get used(): number {
    return Atomics.load(this.words, USED);
  }

  /** The owner wants it back: there are no more loans of it. */
  get ending(): boolean {
    return Atomics.load(this.words, ENDING) !== 0 || Atomics.load(this.words, COUNT) === REVOKED;
  }

  /** One more loan. @returns false when the owner has taken it away, or wants to */
  retain(): boolean {
    const { words } = this;
    if (Atomics.load(words, ENDING) !== 0) return false;
    let count = Atomics.load(words, COUNT);
    while (count >= 0) {
      const was = Atomics.compareExchange(words, COUNT, count, count + 1);
      if (was === count) {
        Atomics.store(words, USED, Atomics.load(this.clock, 0));
        return true;
      }
      count = was;
    }
    return false;
  }

  /** One loan less. @returns true when it was the last, and the owner waits for that */
  release(): boolean {
    const left = Atomics.sub(this.words, COUNT, 1) - 1;
    return left === 0 && Atomics.load(this.words, ENDING) !== 0;
  }

  /** For the owner: nothing is lent from now on. */
  end(): void {
    Atomics.store(this.words, ENDING, 1);
  }

  /** For the owner. @returns false while something is lent */
  revoke(): boolean {
    return Atomics.compareExchange(this.words, COUNT, 0, REVOKED) <= 0;
  }

  /** For the owner: as before `revoke`. */
  restore(): void {
    Atomics.compareExchange(this.words, COUNT, REVOKED, 0);
  }
}
