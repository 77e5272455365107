import type { Brand, HostPointer } from '../brand.ts';
import { viewOf } from '../libc.ts';
import { struct, u64 } from '../struct.ts';
import { FaultGuardError } from './errors.ts';

/** In front of the entries. The last four words are a `struct sigaction` of the kernel's that says SIG_DFL. */
const TABLE = struct(
  'fault_table',
  { count: u64(0), faults: u64(8), previous: u64(16), sigaction: u64(32) },
  { size: 64 },
);
/** Odd versions are of entries that hold. */
const ENTRY = struct(
  'fault_entry',
  { version: u64(0), start: u64(8), end: u64(16), page_size: u64(24), mark: u64(32) },
  { size: 64 },
);
/** Half of what Linux lets a process map by default (`vm.max_map_count`). */
const CAPACITY = 32_768;

const HELD = 1n;
const CLAIMED = 2n;
const STATES = 4n;

/**
 * Where the mark of guarded memory is, for any thread of the process: address of a count of the faults
 * in it, 32 bits.
 */
export type FaultMark = Brand<number, 'FaultMark'>;

/** Tables begin at multiples of this, so that a mark alone tells where its table is. */
const ALIGNMENT = 0x40_0000;

/**
 * Address of a count of all faults, 32 bits: who has seen that one need not look at marks.
 */
export function faultCountOf(mark: FaultMark): number {
  return mark - (mark % ALIGNMENT) + TABLE.OFFSETS.faults;
}

/** A run of addresses that is guarded. */
export interface FaultRange {
  readonly start: bigint;
  /** Bytes. */
  readonly length: number;
  readonly pageSize: number;
}

/**
 * The table that the handler of SIGBUS reads, at any moment and on any thread, and which all threads
 * write. An entry is claimed, filled, and holds by the store of its version; the version changes first
 * when it is to hold no more. The memory stays for as long as the process does.
 */
export class FaultTable {
  /** Bytes. */
  static readonly LENGTH: number = TABLE.SIZE + CAPACITY * ENTRY.SIZE;
  /** Where one may begin, bytes; more than its length. */
  static readonly ALIGNMENT: number = ALIGNMENT;
  /** Entries. */
  static readonly CAPACITY: number = CAPACITY;
  readonly #address: number;
  readonly #longs: BigUint64Array;
  /** Where one was free last, or after it. */
  #next = 0;

  /** @param pointer - `LENGTH` bytes at a multiple of `ALIGNMENT`, zeros at first, that are never unmapped */
  constructor(pointer: HostPointer) {
    this.#address = Number(pointer);
    // SAFETY: the caller guarantees that they stay mapped.
    this.#longs = new BigUint64Array(viewOf(pointer, FaultTable.LENGTH));
  }

  /** Handler that faults elsewhere are passed to: an address, or SIG_DFL, SIG_IGN. */
  set previous(handler: bigint) {
    Atomics.store(this.#longs, TABLE.OFFSETS.previous / 8, handler);
  }

  /**
   * From now on the handler knows the range.
   *
   * @returns what names its entry
   * @throws {FaultGuardError} TABLE_FULL
   */
  publish({ start, length, pageSize }: FaultRange): number {
    const index = this.#claim();
    this.#store(index, 'start', start);
    this.#store(index, 'end', start + BigInt(length));
    this.#store(index, 'page_size', BigInt(pageSize));
    this.#store(index, 'mark', 0n);
    this.#store(index, 'version', this.#load(index, 'version') - CLAIMED + HELD);
    this.#reach(BigInt(index + 1));
    return index;
  }

  /** The handler knows the range no more. Nobody may touch it any more. */
  withdraw(index: number): void {
    this.#store(index, 'version', this.#load(index, 'version') - HELD + STATES);
    // The handler looks at all up to the highest.
    this.#next = Math.min(this.#next, index);
  }

  markOf(index: number): FaultMark {
    return (this.#address + wordOf(index, 'mark') * 8) as FaultMark;
  }

  #claim(): number {
    const longs = this.#longs;
    for (let tried = 0; tried < CAPACITY; tried++) {
      // From where the last search ended: a table that is nearly full would else be searched for each.
      const index = (this.#next + tried) % CAPACITY;
      const version = this.#load(index, 'version');
      if (version % STATES !== 0n) continue;
      const claimed = version + CLAIMED;
      const word = wordOf(index, 'version');
      if (Atomics.compareExchange(longs, word, version, claimed) !== version) continue;
      this.#next = (index + 1) % CAPACITY;
      return index;
    }
    const text = `Cannot guard memory: all ${CAPACITY} entries are in use`;
    throw new FaultGuardError('TABLE_FULL', text, { capacity: CAPACITY });
  }

  /** The handler looks at so many entries at least. */
  #reach(count: bigint): void {
    const longs = this.#longs;
    const word = TABLE.OFFSETS.count / 8;
    for (let now = Atomics.load(longs, word); now < count; now = Atomics.load(longs, word)) {
      Atomics.compareExchange(longs, word, now, count);
    }
  }

  #load(index: number, field: keyof typeof ENTRY.OFFSETS): bigint {
    return Atomics.load(this.#longs, wordOf(index, field));
  }

  #store(index: number, field: keyof typeof ENTRY.OFFSETS, value: bigint): void {
    Atomics.store(this.#longs, wordOf(index, field), value);
  }
}

function wordOf(index: number, field: keyof typeof ENTRY.OFFSETS): number {
  return (TABLE.SIZE + index * ENTRY.SIZE + ENTRY.OFFSETS[field]) / 8;
}
