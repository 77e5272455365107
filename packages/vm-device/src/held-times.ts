/** Ours: upper bounds of the classes in which {@link HeldTimes} counts, seconds; ascending. */
export const HELD_BOUNDS: readonly number[] = [0.001, 0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 20, 30];

/** How long accesses were held, as plain data. */
export interface HeldAccesses {
  /** Held now. */
  readonly now: number;
  /** Seconds, ascending: {@link HELD_BOUNDS}. */
  readonly bounds: readonly number[];
  /** For each bound, how many took no longer, and longer than the one before; and last the others. */
  readonly counts: readonly number[];
  /** All that were held, seconds. */
  readonly seconds: number;
}

/** Counts accesses whose answer is held (the vCPU stands still), and for how long; never reset. */
export class HeldTimes {
  readonly #counts = new Array<number>(HELD_BOUNDS.length + 1).fill(0);
  readonly #clock: () => number;
  #now = 0;
  #ms = 0;

  /** @param clock - milliseconds of a clock that never goes back */
  constructor(clock: () => number = () => performance.now()) {
    this.#clock = clock;
  }

  /** An access is held from now on. @returns for `end` */
  begin(): number {
    this.#now++;
    return this.#clock();
  }

  /** It is held no more. @param begun - what `begin` returned; once for each */
  end(begun: number): void {
    const ms = this.#clock() - begun;
    const found = HELD_BOUNDS.findIndex((bound) => ms <= bound * 1000);
    const at = found < 0 ? HELD_BOUNDS.length : found;
    this.#counts[at] = (this.#counts[at] ?? 0) + 1;
    this.#ms += ms;
    this.#now--;
  }

  /** A copy. */
  get accesses(): HeldAccesses {
    const bounds = HELD_BOUNDS;
    return { now: this.#now, bounds, counts: [...this.#counts], seconds: this.#ms / 1000 };
  }
}
