import type { HostPointer } from '../brand.ts';
import { viewOf } from '../libc.ts';
import { type FaultMark, faultCountOf } from './fault-table.ts';

/**
 * Looks at the marks of guarded memory, from any thread. Where nothing has faulted anywhere in the
 * process, that is one load.
 */
export class FaultWatch {
  readonly #faults: Int32Array[];
  /** The first of them, which is nearly always the only one. */
  readonly #first: Int32Array | undefined;
  readonly #marks: readonly FaultMark[];
  /** Without any fault in the process no memory can be marked. */
  #seen = 0;
  #faulted = false;

  /** @param marks - of memory that is guarded for as long as this is used */
  constructor(marks: readonly FaultMark[]) {
    this.#marks = marks;
    // One, but where several copies of the package have taken SIGBUS.
    const faults: number[] = [];
    for (const mark of marks) {
      const count = faultCountOf(mark);
      if (!faults.includes(count)) faults.push(count);
    }
    this.#faults = faults.map(counterAt);
    this.#first = this.#faults.length === 1 ? this.#faults[0] : undefined;
  }

  /**
   * True once a page of the memory was not there for whoever touched it: what has been read since the
   * last look may be zeros that were never written. Stays true.
   */
  get faulted(): boolean {
    // Nothing is guarded: memory of Xen.
    if (this.#marks.length === 0) return false;
    const first = this.#first;
    if (first !== undefined && Atomics.load(first, 0) === this.#seen) return this.#faulted;
    return this.#faulted || this.#look();
  }

  #look(): boolean {
    let now = 0;
    for (const faults of this.#faults) now += Atomics.load(faults, 0);
    if (now === this.#seen) return false;
    this.#seen = now;
    // Views only now: nearly all marks are never looked at.
    this.#faulted = this.#marks.some((mark) => Atomics.load(counterAt(mark), 0) !== 0);
    return this.#faulted;
  }
}

function counterAt(address: number): Int32Array {
  // SAFETY: tables of `FaultGuard` stay for as long as the process does.
  return new Int32Array(viewOf(BigInt(address) as HostPointer, 4));
}
