/** Ours: upper bounds of the classes in which {@link HeldTimes} counts, seconds; ascending. */
export const HELD_BOUNDS: readonly number[] = [0.001, 0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 20, 30];

const NOW = HELD_BOUNDS.length + 1;
const MS = NOW + 1;

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
  /** A class each, held now, and milliseconds. */
  readonly #values: Float64Array;
  readonly #clock: () => number;

  /** Values of `values`. */
  static readonly LENGTH: number = HELD_BOUNDS.length + 3;

  /**
   * @param clock - milliseconds of a clock that never goes back
   * @param values - counted there: memory that another thread reads; default: its own
   */
  constructor(
    clock: () => number = () => performance.now(),
    values: Float64Array = new Float64Array(HeldTimes.LENGTH),
  ) {
    this.#clock = clock;
    this.#values = values;
  }

  #add(at: number, amount: number): void {
    this.#values[at] = (this.#values[at] ?? 0) + amount;
  }

  /** An access is held from now on. @returns for `end` */
  begin(): number {
    this.#add(NOW, 1);
    return this.#clock();
  }

  /** It is held no more. @param begun - what `begin` returned; once for each */
  end(begun: number): void {
    const ms = this.#clock() - begun;
    const found = HELD_BOUNDS.findIndex((bound) => ms <= bound * 1000);
    const at = found < 0 ? HELD_BOUNDS.length : found;
    this.#add(at, 1);
    this.#add(MS, ms);
    this.#add(NOW, -1);
  }

  /** Whoever held what is held now is gone: none of it is over, and none of it is held. */
  abandon(): void {
    this.#values[NOW] = 0;
  }

  /** A copy. */
  get accesses(): HeldAccesses {
    const bounds = HELD_BOUNDS;
    const [now = 0, ms = 0] = this.#values.subarray(NOW);
    return { now, bounds, counts: [...this.#values.subarray(0, NOW)], seconds: ms / 1000 };
  }
}
