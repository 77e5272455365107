import { PAGE_SIZE, TWO_32 } from '@node-vmm/vmm-sys-util';
import { copyBytes } from './copy-bytes.ts';
import {
  CHUNK_LENGTH,
  type ChunkMapping,
  ChunkSlice,
  DemandChunk,
  type WantedChunk,
} from './demand-chunk.ts';
import { rangeText, VmMemoryError } from './errors.ts';
import type { GuestAddress } from './guest-address.ts';
import {
  ACCESS_READ_WRITE,
  type Access,
  type GuestSlice,
  LEND_FAULT,
  LEND_NOT_YET,
  LEND_READY,
  type LendResult,
} from './guest-memory.ts';
import { type GuestRange, sortRanges } from './guest-range.ts';
import type { HostWindows } from './host-windows.ts';
import type { MappedRegion } from './mapped-region.ts';
import { RegionGuestMemory } from './region-guest-memory.ts';
import { SegmentTable } from './segment-table.ts';

/** Who maps the chunks of a {@link GuestMemoryDemand}. */
export interface ChunkSource {
  /** Wants chunks, each of which `arrived` is called with: later, or within this call. */
  want(chunks: readonly WantedChunk[]): void;
  /** Nobody here has a chunk any more that the owner wants back. */
  idle(memory: number): void;
  /** Shows a chunk until `hide`. */
  show(chunk: ChunkMapping): HostWindows;
  hide(chunk: ChunkMapping): void;
}

/** Most chunks that are wanted at once: a chain of gigabytes is found out before all of it is mapped. */
const WANTED_AT_ONCE = 8;
/** How long a page that was not there is taken not to be there, milliseconds. */
const MISSING_MS = 100;
const PIECES = 64;

interface Span {
  readonly start: number;
  readonly end: number;
}

/**
 * {@link GuestMemory} of which some is mapped when it is first borrowed, by somebody else, and given back when
 * nobody has it. A page that does not exist is a fault, and is asked for again by who borrows it a while
 * later: guests that get more memory tell nobody.
 */
export class GuestMemoryDemand extends RegionGuestMemory {
  readonly #spans: readonly Span[];
  readonly #source: ChunkSource;
  /** By where they begin. */
  readonly #chunks = new Map<number, DemandChunk>();
  /** What slices are of, by where they begin and how long they are. */
  readonly #parts = new Map<string, DemandChunk>();
  /** All that are shown, by number. */
  readonly #shown = new Map<number, DemandChunk>();
  readonly #pending = new Set<string>();
  #waiting: (() => void)[] = [];
  #last: DemandChunk | undefined;
  /** A loan was turned down: what is given back until `whenReady` is needed again in a moment. */
  #undoing = false;
  /** Loans that are kept for those who wait, and for those who were just told to try again. */
  #keeping: DemandChunk[] = [];
  #kept: DemandChunk[] = [];
  readonly #table = new SegmentTable(PIECES);
  readonly #scratch = new Uint8Array(8);
  readonly #scratchView = new DataView(this.#scratch.buffer);

  /**
   * @param ranges - what is mapped on demand: whole pages
   * @param regions - what is mapped already. Nothing is borrowed across a border between the two
   * @throws {VmMemoryError} BAD_REGION, OVERLAP
   */
  constructor(
    ranges: Iterable<GuestRange>,
    source: ChunkSource,
    regions: readonly MappedRegion[] = [],
  ) {
    super(regions);
    const all = sortRanges([...ranges]);
    sortRanges([...all, ...regions]);
    this.#spans = all.map(({ guestAddr, length }) => {
      if (guestAddr % BigInt(PAGE_SIZE) !== 0n || BigInt(length) % BigInt(PAGE_SIZE) !== 0n) {
        throw new VmMemoryError(
          'BAD_REGION',
          `Cannot use a region of ${rangeText(guestAddr, length)}: only whole pages of ${PAGE_SIZE} bytes are mapped on demand`,
          { guestAddr, length: BigInt(length) },
        );
      }
      return { start: Number(guestAddr), end: Number(guestAddr) + Number(length) };
    });
    this.#source = source;
  }

  /** Chunks that were wanted have come: their loans are this memory's. */
  arrived(mappings: readonly ChunkMapping[]): void {
    for (const mapping of mappings) {
      this.#pending.delete(keyOf(Number(mapping.guestAddr), mapping.length, mapping.part));
      if (this.live) this.#keep(this.#add(mapping));
    }
    if (!this.live) return;
    const before = this.#kept;
    this.#kept = this.#keeping;
    this.#keeping = [];
    this.#undoing = false;
    for (const chunk of before) this.#release(chunk);
    for (const retry of this.#waiting.splice(0)) retry();
  }

  /**
   * The owner has taken chunks away, or will when they are given back: nothing of them is lent any more.
   *
   * @returns true when slices are out that are of these: who has one must get another
   */
  ended(memories: readonly number[]): boolean {
    let sliced = false;
    for (const memory of memories) {
      const chunk = this.#shown.get(memory);
      if (chunk === undefined) continue;
      if (chunk.mapping.part && chunk.loans.count > 0) sliced = true;
      this.#forget(chunk);
    }
    for (const chunk of this.#kept.splice(0)) this.#keep(chunk, this.#kept);
    for (const chunk of this.#keeping.splice(0)) this.#keep(chunk);
    return sliced;
  }

  override contains(guestAddr: GuestAddress, length: number): boolean {
    const address = Number(guestAddr);
    return this.#spanAt(address) === undefined
      ? super.contains(guestAddr, length)
      : this.#covered(address, length);
  }

  override read(guestAddr: GuestAddress, target: Uint8Array): void {
    if (this.#spanAt(Number(guestAddr)) === undefined) super.read(guestAddr, target);
    else this.#copy(Number(guestAddr), target, false);
  }

  override write(guestAddr: GuestAddress, source: Uint8Array): void {
    if (this.#spanAt(Number(guestAddr)) === undefined) super.write(guestAddr, source);
    else this.#copy(Number(guestAddr), source, true);
  }

  override readU8(guestAddr: GuestAddress): number {
    this.read(guestAddr, this.#scratch.subarray(0, 1));
    return this.#scratchView.getUint8(0);
  }

  override readU16(guestAddr: GuestAddress): number {
    this.read(guestAddr, this.#scratch.subarray(0, 2));
    return this.#scratchView.getUint16(0, true);
  }

  override readU32(guestAddr: GuestAddress): number {
    this.read(guestAddr, this.#scratch.subarray(0, 4));
    return this.#scratchView.getUint32(0, true);
  }

  override readU64(guestAddr: GuestAddress): bigint {
    this.read(guestAddr, this.#scratch);
    return this.#scratchView.getBigUint64(0, true);
  }

  override writeU8(guestAddr: GuestAddress, value: number): void {
    this.#scratchView.setUint8(0, value);
    this.write(guestAddr, this.#scratch.subarray(0, 1));
  }

  override writeU16(guestAddr: GuestAddress, value: number): void {
    this.#scratchView.setUint16(0, value, true);
    this.write(guestAddr, this.#scratch.subarray(0, 2));
  }

  override writeU32(guestAddr: GuestAddress, value: number): void {
    this.#scratchView.setUint32(0, value, true);
    this.write(guestAddr, this.#scratch.subarray(0, 4));
  }

  override writeU64(guestAddr: GuestAddress, value: bigint): void {
    this.#scratchView.setBigUint64(0, value, true);
    this.write(guestAddr, this.#scratch);
  }

  override slice(guestAddr: GuestAddress, length: number, access: Access): GuestSlice {
    this.#undoing = false;
    const address = Number(guestAddr);
    const span = this.#spanAt(address);
    if (span === undefined || !Number.isInteger(length) || length <= 0) {
      return super.slice(guestAddr, length, access);
    }
    const start = address - (address % PAGE_SIZE);
    const size = Math.ceil((address + length - start) / PAGE_SIZE) * PAGE_SIZE;
    if (!this.#covered(address, length)) throw outOfRange(address, length);
    if (start + size > span.end || size > CHUNK_LENGTH) {
      throw new VmMemoryError(
        'NOT_CONTIGUOUS',
        `Cannot borrow ${rangeText(guestAddr, length)}: the run crosses a region border, or is longer than ${CHUNK_LENGTH} bytes`,
        { guestAddr, length: BigInt(length) },
      );
    }
    const wanted = { guestAddr: start, length: size, part: true, again: false };
    const key = keyOf(start, size, true);
    for (let attempt = 0; ; attempt++) {
      const chunk = this.#parts.get(key);
      const there = chunk?.has(0, size) === true;
      if (chunk !== undefined && !there && performance.now() - chunk.since < MISSING_MS) {
        throw outOfRange(address, length);
      }
      if (chunk !== undefined && there && this.#retain(chunk)) {
        return new ChunkSlice(chunk, address - start, length, () => this.#back(chunk));
      }
      this.#want([{ ...wanted, again: chunk !== undefined && !there }]);
      // It may have come at once.
      if (this.#pending.size > 0 || attempt > 0) break;
    }
    this.#undoing = true;
    throw notYet(address, length);
  }

  override lend(
    addrLow: number,
    addrHigh: number,
    length: number,
    access: Access,
    table: SegmentTable,
  ): LendResult {
    const address = addrHigh * TWO_32 + addrLow;
    const last = this.#last;
    if (last !== undefined && length > 0) {
      const offset = address - last.start;
      if (offset >= 0 && offset + length <= last.length && last.has(offset, length)) {
        if (table.count === table.capacity) return LEND_FAULT;
        if (last.loans.retain()) {
          table.push(last, offset, length);
          return LEND_READY;
        }
      }
    }
    if (this.#spanAt(address) === undefined) {
      return super.lend(addrLow, addrHigh, length, access, table);
    }
    return this.#lendChunks(address, length, table);
  }

  override whenReady(retry: () => void): void {
    this.#undoing = false;
    if (this.live) this.#waiting.push(retry);
  }

  override giveBack(table: SegmentTable, first: number, count: number): void {
    for (let i = first; i < first + count; i++) {
      const region = table.regionAt(i);
      if (region instanceof DemandChunk) this.#back(region);
    }
    // Somebody has got through with what was kept.
    if (!this.#undoing && this.#kept.length > 0) this.#dropKept();
  }

  override close(): void {
    if (!this.live) return;
    super.close();
    this.#waiting = [];
    this.#last = undefined;
    this.#keeping = [];
    this.#kept = [];
    // The owner takes all of it back, whatever is lent.
    for (const chunk of this.#shown.values()) this.#hide(chunk);
    this.#shown.clear();
    this.#chunks.clear();
    this.#parts.clear();
  }

  #lendChunks(address: number, length: number, table: SegmentTable): LendResult {
    this.#undoing = false;
    if (length === 0 || !this.#covered(address, length)) return LEND_FAULT;
    for (let attempt = 0; ; attempt++) {
      const mark = table.count;
      const wanted: WantedChunk[] = [];
      const answer = this.#collect(address, length, table, wanted);
      if (answer === LEND_READY) return LEND_READY;
      // What was lent of it: kept where the rest may come.
      this.#undoing = answer === LEND_NOT_YET;
      for (let i = mark; i < table.count; i++) this.#back(table.regionAt(i) as DemandChunk);
      table.truncate(mark);
      if (answer === LEND_FAULT) return LEND_FAULT;
      this.#want(wanted);
      if (this.#pending.size > 0 || attempt > PIECES) return LEND_NOT_YET;
    }
  }

  #collect(
    address: number,
    length: number,
    table: SegmentTable,
    wanted: WantedChunk[],
  ): LendResult {
    const end = address + length;
    for (let at = address; at < end && wanted.length < WANTED_AT_ONCE; ) {
      const span = this.#spanAt(at) as Span;
      const grid = at - (at % CHUNK_LENGTH);
      const start = Math.max(grid, span.start);
      const limit = Math.min(grid + CHUNK_LENGTH, span.end);
      const run = Math.min(end, limit) - at;
      const chunk = this.#chunks.get(start);
      const again = chunk !== undefined && !chunk.has(at - start, run);
      if (again && performance.now() - chunk.since < MISSING_MS) return LEND_FAULT;
      if (chunk === undefined || again || !this.#retain(chunk)) {
        wanted.push({ guestAddr: start, length: limit - start, part: false, again });
      } else if (table.push(chunk, at - start, run)) {
        this.#last = chunk;
      } else {
        this.#release(chunk);
        return LEND_FAULT;
      }
      at += run;
    }
    return wanted.length > 0 ? LEND_NOT_YET : LEND_READY;
  }

  #want(chunks: readonly WantedChunk[]): void {
    const asked = chunks.filter(({ guestAddr, length, part }) => {
      const key = keyOf(guestAddr, length, part);
      if (this.#pending.has(key)) return false;
      this.#pending.add(key);
      return true;
    });
    if (asked.length > 0) this.#source.want(asked);
  }

  #add(mapping: ChunkMapping): DemandChunk {
    const chunk = new DemandChunk(mapping, this.#source.show(mapping));
    const { start } = chunk;
    const former = mapping.part
      ? this.#parts.get(keyOf(start, mapping.length, true))
      : this.#chunks.get(start);
    if (former !== undefined) this.#forget(former);
    if (mapping.part) this.#parts.set(keyOf(start, mapping.length, true), chunk);
    else this.#chunks.set(start, chunk);
    this.#shown.set(mapping.memory, chunk);
    return chunk;
  }

  /** @returns false when it has been taken away */
  #retain(chunk: DemandChunk): boolean {
    if (chunk.loans.retain()) return true;
    this.#forget(chunk);
    return false;
  }

  #back(chunk: DemandChunk): void {
    if (!this.live) return;
    if (this.#undoing) this.#keep(chunk);
    else this.#release(chunk);
  }

  #release(chunk: DemandChunk): void {
    const { mapping, loans } = chunk;
    const awaited = loans.release();
    if (awaited) this.#forget(chunk);
    else if (chunk.forgotten && loans.count === 0) this.#hide(chunk);
    // Last: now it may be unmapped.
    if (awaited) this.#source.idle(mapping.memory);
  }

  /** Keeps a loan for who waits, but of what is to end: it is of no use. */
  #keep(chunk: DemandChunk, among: DemandChunk[] = this.#keeping): void {
    if (chunk.loans.ending) this.#release(chunk);
    else among.push(chunk);
  }

  #dropKept(): void {
    const kept = this.#kept;
    this.#kept = [];
    for (const chunk of kept) this.#release(chunk);
  }

  /** Nobody finds it any more; it is shown for as long as somebody has it. */
  #forget(chunk: DemandChunk): void {
    const { start, mapping, loans } = chunk;
    chunk.forgotten = true;
    if (this.#last === chunk) this.#last = undefined;
    if (this.#chunks.get(start) === chunk) this.#chunks.delete(start);
    const key = keyOf(start, mapping.length, true);
    if (this.#parts.get(key) === chunk) this.#parts.delete(key);
    if (loans.count === 0) this.#hide(chunk);
  }

  #hide(chunk: DemandChunk): void {
    if (chunk.hidden) return;
    chunk.hidden = true;
    this.#shown.delete(chunk.mapping.memory);
    chunk.close();
    this.#source.hide(chunk.mapping);
  }

  #spanAt(address: number): Span | undefined {
    return this.live
      ? this.#spans.find(({ start, end }) => address >= start && address < end)
      : undefined;
  }

  #covered(address: number, length: number): boolean {
    if (length === 0) return true;
    if (!(length > 0)) return false;
    let at = address;
    for (const { start, end } of this.#spans) {
      if (at < start) return false;
      if (at < end) at = end;
      if (address + length <= at) return true;
    }
    return false;
  }

  #copy(address: number, bytes: Uint8Array, toGuest: boolean): void {
    const { length } = bytes;
    if (length === 0) return;
    const table = this.#table;
    const low = address % TWO_32;
    const high = (address - low) / TWO_32;
    const answer = this.lend(low, high, length, ACCESS_READ_WRITE, table);
    if (answer === LEND_FAULT) throw outOfRange(address, length);
    if (answer === LEND_NOT_YET) throw notYet(address, length);
    for (let i = 0, done = 0; i < table.count; i++) {
      const run = table.lengthAt(i);
      const offset = table.offsetAt(i);
      const window = table.regionAt(i).windowAt(offset, run);
      const at = offset - window.offset;
      if (toGuest) copyBytes(bytes, done, window.bytes, at, run);
      else copyBytes(window.bytes, at, bytes, done, run);
      done += run;
    }
    this.giveBack(table, 0, table.count);
    table.truncate(0);
  }
}

function keyOf(start: number, length: number, part: boolean): string {
  return `${start} ${length} ${part}`;
}

function outOfRange(address: number, length: number): VmMemoryError {
  return new VmMemoryError(
    'OUT_OF_RANGE',
    `Cannot access ${rangeText(address, length)}: no guest memory there`,
    { guestAddr: BigInt(address), length: BigInt(length) },
  );
}

function notYet(address: number, length: number): VmMemoryError {
  return new VmMemoryError(
    'NOT_YET',
    `Cannot borrow ${rangeText(address, length)}: not mapped yet`,
    { guestAddr: BigInt(address), length: BigInt(length) },
  );
}
