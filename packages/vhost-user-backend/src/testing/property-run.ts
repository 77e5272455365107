import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';

/** Ours: from so many cases on, a run is long enough for memory to tell of a leak. */
const LONG_RUN = 100_000;
/**
 * Ours: MB that the resident memory of a long run may differ by. What a collector leaves lying about
 * differs by less than a third of that; a leak of 160 bytes a case is more, in a million cases.
 */
const RESIDENT_SLACK_MB = 128;

/** What a process has at a moment. */
export interface Footprint {
  /** Open file descriptors. */
  readonly descriptors: number;
  /** Resident memory, 10^6 bytes. */
  readonly residentMb: number;
  /** Used heap of JavaScript, 10^6 bytes. */
  readonly heapMb: number;
}

/** What came of a {@link PropertyRun}. */
export interface PropertyRunReport {
  readonly name: string;
  readonly cases: number;
  readonly seconds: number;
  /** After a tenth of the cases, when everything has been compiled and allocated once. */
  readonly first: Footprint;
  readonly last: Footprint;
}

/** @returns what this process has now */
export function footprint(): Footprint {
  const { rss, heapUsed } = process.memoryUsage();
  const descriptors = readdirSync('/proc/self/fd').length;
  return { descriptors, residentMb: rss / 1e6, heapMb: heapUsed / 1e6 };
}

/**
 * How many cases a property test makes up: the environment's `NODE_VMM_CASES`, for a long run, or else
 * what the test does each time.
 *
 * @param usual - without the variable
 * @returns an integer from 1 on
 * @throws {RangeError} when the variable is no such integer
 */
export function propertyCases(usual: number): number {
  const text = process.env['NODE_VMM_CASES'];
  if (text === undefined || text === '') return usual;
  const cases = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(cases) || cases === 0) {
    throw new RangeError(`NODE_VMM_CASES expected an integer from 1 on, got "${text}"`);
  }
  return cases;
}

/**
 * Watches what the cases of a property test leave behind in the process: descriptors, and memory where
 * there are enough of them.
 *
 * @example
 * const run = new PropertyRun('requests of any form', propertyCases(300));
 * fc.assert(fc.property(request, (made) => { serve(made); run.ended(); }), { numRuns: run.cases });
 * run.check();
 */
export class PropertyRun {
  readonly name: string;
  /** How many there will be. */
  readonly cases: number;
  readonly #began = performance.now();
  #ended = 0;
  #first: Footprint | undefined;

  constructor(name: string, cases: number) {
    this.name = name;
    this.cases = cases;
  }

  /** True where memory is looked at, and the report worth printing. */
  get long(): boolean {
    return this.cases >= LONG_RUN;
  }

  /** A case is over. */
  ended(): void {
    if (++this.#ended === Math.ceil(this.cases / 10)) this.#first = footprint();
  }

  /**
   * When all cases are over.
   *
   * @throws {AssertionError} when fewer have run, descriptors are left open, or memory has grown
   */
  check(): PropertyRunReport {
    const last = footprint();
    const { name, cases } = this;
    const seconds = (performance.now() - this.#began) / 1000;
    assert.ok(this.#ended >= cases, `${name}: ${this.#ended} of ${cases} cases have run`);
    const first = this.#first ?? last;
    assert.equal(last.descriptors, first.descriptors, `${name}: descriptors before and after`);
    if (this.long) {
      const grown = last.residentMb - first.residentMb;
      assert.ok(grown < RESIDENT_SLACK_MB, `${name}: ${grown.toFixed(0)} MB more of memory`);
    }
    return { name, cases, seconds, first, last };
  }
}
