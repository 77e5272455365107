import { PAGE_SIZE, TWO_32 } from '@node-vmm/vmm-sys-util';
import { BorrowedChunks, type ChunkSource } from './borrowed-chunks.ts';
import { ChunkGrid } from './chunk-grid.ts';
import { copyBytes } from './copy-bytes.ts';
import {
  CHUNK_LENGTH,
  type ChunkMapping,
  ChunkSlice,
  DemandChunk,
  type WantedChunk,
} from './demand-chunk.ts';
import { DemandSpans, type Span } from './demand-spans.ts';
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
import type { GuestRange } from './guest-range.ts';
import type { MappedRegion } from './mapped-region.ts';
import { RegionGuestMemory } from './region-guest-memory.ts';
import { SegmentTable } from './segment-table.ts';

/** Most chunks that are wanted at once: a chain of gigabytes is found out before all of it is mapped. */
const WANTED_AT_ONCE = 8;
/** How long a page that was not there is taken not to be there, milliseconds. */
const MISSING_MS = 100;
const PIECES = 64;
/** Where chunks are found without a search: by the lowest bits of the number of what is as large as the smallest. */
const NEAR = 1024;
const NEAR_SHIFT = 16;

/**
 * {@link GuestMemory} of which some is mapped when it is first borrowed, by somebody else, and given back when
 * nobody has it. A page that does not exist is a fault, and is asked for again by who borrows it a while
 * later: guests that get more memory tell nobody.
 */
export class GuestMemoryDemand extends RegionGuestMemory {
  readonly #spans: DemandSpans;
  readonly #chunks: BorrowedChunks;
  readonly #grid: ChunkGrid;
  #waiting: (() => void)[] = [];
  readonly #near = new Array<DemandChunk | undefined>(NEAR).fill(undefined);
  readonly #table = new SegmentTable(PIECES);

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
    this.#spans = new DemandSpans(ranges, regions);
    this.#chunks = new BorrowedChunks(source);
    this.#grid = new ChunkGrid(this.#chunks);
  }

  /** Chunks that were wanted have come: their loans are this memory's. */
  arrived(mappings: readonly ChunkMapping[]): void {
    this.#grid.arrived(mappings);
    this.#chunks.arrived(mappings);
    for (const retry of this.#waiting.splice(0)) retry();
  }

  /**
   * The owner has taken chunks away, or will when they are given back: nothing of them is lent any more.
   *
   * @returns true when slices are out that are of these: who has one must get another
   */
  ended(memories: readonly number[]): boolean {
    return this.#chunks.ended(memories);
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

  override slice(guestAddr: GuestAddress, length: number, access: Access): GuestSlice {
    this.#chunks.trying();
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
    for (let attempt = 0; ; attempt++) {
      const chunk = this.#chunks.part(start, size);
      const there = chunk?.has(0, size) === true;
      if (chunk !== undefined && !there && performance.now() - chunk.since < MISSING_MS) {
        throw outOfRange(address, length);
      }
      if (chunk !== undefined && there && this.#chunks.retain(chunk)) {
        return new ChunkSlice(chunk, address - start, length, () => this.#chunks.giveBack(chunk));
      }
      // It may have come at once.
      const coming = this.#chunks.want([{ ...wanted, again: chunk !== undefined && !there }]);
      if (coming || attempt > 0) break;
    }
    this.#chunks.turnedDown(true);
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
    const chunk = this.#near[(addrLow >>> NEAR_SHIFT) & (NEAR - 1)];
    if (chunk !== undefined && length > 0 && !chunk.forgotten) {
      const offset = address - chunk.start;
      if (offset >= 0 && offset + length <= chunk.length && chunk.has(offset, length)) {
        if (table.count === table.capacity) return LEND_FAULT;
        if (chunk.retain()) {
          table.push(chunk, offset, length);
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
    this.#chunks.trying();
    if (this.live) this.#waiting.push(retry);
  }

  override giveBack(table: SegmentTable, first: number, count: number): void {
    for (let i = first; i < first + count; i++) {
      const region = table.regionAt(i);
      if (region instanceof DemandChunk) this.#chunks.giveBack(region);
    }
    this.#chunks.done();
  }

  override close(): void {
    if (!this.live) return;
    super.close();
    this.#waiting = [];
    this.#near.fill(undefined);
    this.#chunks.close();
  }

  protected override shown(guestAddr: GuestAddress, length: number): DataView | undefined {
    // What is mapped for one access is given back after it.
    return this.#spanAt(Number(guestAddr)) === undefined
      ? super.shown(guestAddr, length)
      : undefined;
  }

  #lendChunks(address: number, length: number, table: SegmentTable): LendResult {
    this.#chunks.trying();
    if (length === 0 || !this.#covered(address, length)) return LEND_FAULT;
    for (let attempt = 0; ; attempt++) {
      const mark = table.count;
      const wanted: WantedChunk[] = [];
      const answer = this.#collect(address, length, table, wanted);
      if (answer === LEND_READY) return LEND_READY;
      // What was lent of it: kept where the rest may come.
      this.#chunks.turnedDown(answer === LEND_NOT_YET);
      for (let i = mark; i < table.count; i++) {
        this.#chunks.giveBack(table.regionAt(i) as DemandChunk);
      }
      table.truncate(mark);
      if (answer === LEND_FAULT) return LEND_FAULT;
      if (this.#chunks.want(wanted) || attempt > PIECES) return LEND_NOT_YET;
    }
  }

  #collect(address: number, size: number, table: SegmentTable, wanted: WantedChunk[]): LendResult {
    const end = address + size;
    for (let at = address; at < end && wanted.length < WANTED_AT_ONCE; ) {
      const span = this.#spanAt(at) as Span;
      const chunk = this.#grid.find(at, span, end - at);
      const { start, length } = this.#grid;
      const run = Math.min(end, start + length) - at;
      const again = chunk !== undefined && !chunk.has(at - start, run);
      if (again && performance.now() - chunk.since < MISSING_MS) return LEND_FAULT;
      if (chunk === undefined || again || !this.#chunks.retain(chunk)) {
        wanted.push({ guestAddr: start, length, part: false, again });
      } else if (table.push(chunk, at - start, run)) {
        this.#near[(at / 2 ** NEAR_SHIFT) & (NEAR - 1)] = chunk;
      } else {
        this.#chunks.giveBack(chunk);
        return LEND_FAULT;
      }
      at += run;
    }
    return wanted.length > 0 ? LEND_NOT_YET : LEND_READY;
  }

  #spanAt(address: number): Span | undefined {
    return this.live ? this.#spans.at(address) : undefined;
  }

  #covered(address: number, length: number): boolean {
    return this.live && this.#spans.cover(address, length);
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
