const STATE = 0;
const USED = 1;
const SLICES = 2;
const LENT = 3;
const LENGTH = 4;
/** More than that is counted from 0 on again. */
const MAX_LENT = 0x7fff_ffff;
/** Of the state: the owner wants it back. The bits below count loans. */
const ENDING = 0x4000_0000;
/** Of the state: the memory is no longer to be had. It is the sign. */
const REVOKED = -0x8000_0000;
const COUNT = ENDING - 1;

/**
 * How often a chunk of memory is lent to one borrower, in memory that its owner sees from another thread:
 * a loan costs no message, and the owner takes the chunk away in the moment in which nobody has it.
 *
 * Count and wishes are one word: who changes it knows in that moment all that stands there. An operation of
 * `Atomics` costs ten times a load, so that a loan and its end are one each.
 */
export class ChunkLoans {
  /** For the other thread. */
  readonly words: Int32Array;
  /** The owner's time; see `ChunkClock`. */
  readonly clock: Int32Array;

  /** Of another thread. */
  constructor(words: Int32Array, clock: Int32Array) {
    this.words = words;
    this.clock = clock;
  }

  /** Has one loan already, of whom it is sent to. */
  static create(clock: Int32Array): ChunkLoans {
    const words = new Int32Array(new SharedArrayBuffer(4 * LENGTH));
    words[STATE] = 1;
    words[USED] = Atomics.load(clock, 0);
    return new ChunkLoans(words, clock);
  }

  /** Loans that are out. */
  get count(): number {
    const state = Atomics.load(this.words, STATE);
    return state < 0 ? 0 : state & COUNT;
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

  /** How often it was lent, for as long as one can tell. */
  get lent(): number {
    return Atomics.load(this.words, LENT);
  }

  /** The owner wants it back: there are no more loans of it. */
  get ending(): boolean {
    return (Atomics.load(this.words, STATE) & (ENDING | REVOKED)) !== 0;
  }

  /** One more loan. @returns false when the owner has taken it away, or wants to */
  retain(): boolean {
    const { words } = this;
    // A guess, which the exchange checks.
    let state = words[STATE] as number;
    while (state >= 0 && state < ENDING) {
      const was = Atomics.compareExchange(words, STATE, state, state + 1);
      if (was === state) {
        this.#lent(1);
        return true;
      }
      state = was;
    }
    return false;
  }

  /**
   * Whether a loan that the caller has may be shared with somebody else in its thread, of whom the owner need not
   * know: not once it wants the memory back. A plain load does: the loan that is out keeps the memory there, and
   * what the owner wants it says by a message as well.
   */
  get shareable(): boolean {
    const state = this.words[STATE] as number;
    return state >= 0 && state < ENDING;
  }

  /** A loan was shared so often, up to now. */
  shared(times: number): void {
    this.#lent(times);
  }

  /** One loan less. @returns true when it was the last, and the owner waits for that */
  release(): boolean {
    return Atomics.sub(this.words, STATE, 1) === (ENDING | 1);
  }

  /** For the owner: nothing is lent from now on. */
  end(): void {
    Atomics.or(this.words, STATE, ENDING);
  }

  /** Plain: nobody else writes it, and who reads it does not need the latest. */
  #lent(times: number): void {
    const { words, clock } = this;
    words[USED] = clock[0] as number;
    words[LENT] = ((words[LENT] as number) + times) & MAX_LENT;
  }

  /** For the owner. @returns false while something is lent */
  revoke(): boolean {
    const { words } = this;
    let state = Atomics.load(words, STATE);
    while (state >= 0 && (state & COUNT) === 0) {
      const was = Atomics.compareExchange(words, STATE, state, state | REVOKED);
      if (was === state) return true;
      state = was;
    }
    return state < 0;
  }

  /** For the owner: as before `revoke`. */
  restore(): void {
    Atomics.and(this.words, STATE, ~REVOKED);
  }
}
