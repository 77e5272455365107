import { PAGE_SIZE } from '@node-vmm/vmm-sys-util';
import { type ChunkMapping, DemandChunk, type WantedChunk } from './demand-chunk.ts';
import type { HostWindows } from './host-windows.ts';

/** Who maps chunks of guest memory for somebody on another thread. */
export interface ChunkSource {
  /** Wants chunks, each of which `arrived` is called with: later, or within this call. */
  want(chunks: readonly WantedChunk[]): void;
  /** Nobody here has a chunk any more that the owner wants back. */
  idle(memory: number): void;
  /** Shows a chunk until `hide`. */
  show(chunk: ChunkMapping): HostWindows;
  hide(chunk: ChunkMapping): void;
}

/**
 * Chunks of guest memory that somebody else owns: which are here, and which of them are on loan. Where one loan
 * needs several chunks, those that have come are kept until it gets through: the owner could take them away
 * while the others come, for ever.
 */
export class BorrowedChunks {
  readonly #source: ChunkSource;
  /** By where they begin and how long they are. */
  readonly #chunks = new Map<number, DemandChunk>();
  /** What slices are of, by where they begin and how long they are. */
  readonly #parts = new Map<string, DemandChunk>();
  /** All that are shown, by number. */
  readonly #shown = new Map<number, DemandChunk>();
  readonly #pending = new Set<string>();
  #live = true;
  /** A loan was turned down: what is given back until somebody waits is needed again in a moment. */
  #undoing = false;
  /** Loans that are kept for those who wait, and for those who were just told to try again. */
  #keeping: DemandChunk[] = [];
  #kept: DemandChunk[] = [];

  constructor(source: ChunkSource) {
    this.#source = source;
  }

  /** The chunk that is exactly this: whole pages. */
  at(start: number, length: number): DemandChunk | undefined {
    return this.#chunks.get(numberOf(start, length));
  }

  /** What a slice of exactly this is of. */
  part(start: number, length: number): DemandChunk | undefined {
    return this.#parts.get(keyOf(start, length, true));
  }

  /** Asks for chunks that nobody has asked for. @returns false when all there is to come has come */
  want(chunks: readonly WantedChunk[]): boolean {
    const asked = chunks.filter(({ guestAddr, length, part }) => {
      const key = keyOf(guestAddr, length, part);
      if (this.#pending.has(key)) return false;
      this.#pending.add(key);
      return true;
    });
    if (asked.length > 0) this.#source.want(asked);
    return this.#pending.size > 0;
  }

  /** Chunks that were wanted have come, each with a loan. */
  arrived(mappings: readonly ChunkMapping[]): void {
    for (const mapping of mappings) {
      this.#pending.delete(keyOf(Number(mapping.guestAddr), mapping.length, mapping.part));
      if (this.#live) this.#keep(this.#add(mapping), this.#keeping);
    }
    if (!this.#live) return;
    const before = this.#kept;
    this.#kept = this.#keeping;
    this.#keeping = [];
    this.#undoing = false;
    for (const chunk of before) this.#release(chunk);
  }

  /**
   * The owner has taken chunks away, or will when they are given back: nothing of them is lent any more.
   *
   * @returns true when slices are out that are of these
   */
  ended(memories: readonly number[]): boolean {
    let sliced = false;
    for (const memory of memories) {
      const chunk = this.#shown.get(memory);
      if (chunk === undefined) continue;
      if (chunk.mapping.part && chunk.lent) sliced = true;
      this.#forget(chunk);
    }
    for (const chunk of this.#kept.splice(0)) this.#keep(chunk, this.#kept);
    for (const chunk of this.#keeping.splice(0)) this.#keep(chunk, this.#keeping);
    return sliced;
  }

  /** @returns false when it has been taken away */
  retain(chunk: DemandChunk): boolean {
    if (chunk.retain()) return true;
    this.#forget(chunk);
    return false;
  }

  /** One loan less; it is kept while a loan that was turned down is undone. */
  giveBack(chunk: DemandChunk): void {
    if (!this.#live) return;
    if (this.#undoing) this.#keep(chunk, this.#keeping);
    else this.#release(chunk);
  }

  /** Somebody tries anew, or waits. */
  trying(): void {
    this.#undoing = false;
  }

  /** A loan was turned down. @param again - it is tried again when what it needs has come */
  turnedDown(again: boolean): void {
    this.#undoing = again;
  }

  /** Somebody has got through with what was kept. */
  done(): void {
    if (this.#undoing || this.#kept.length === 0) return;
    for (const chunk of this.#kept.splice(0)) this.#release(chunk);
  }

  /** The owner takes all of it back, whatever is lent. */
  close(): void {
    this.#live = false;
    this.#keeping = [];
    this.#kept = [];
    for (const chunk of [...this.#shown.values()]) this.#hide(chunk);
    this.#chunks.clear();
    this.#parts.clear();
  }

  #add(mapping: ChunkMapping): DemandChunk {
    const chunk = new DemandChunk(mapping, this.#source.show(mapping));
    const { start } = chunk;
    const former = mapping.part ? this.part(start, mapping.length) : this.at(start, mapping.length);
    if (former !== undefined) this.#forget(former);
    if (mapping.part) this.#parts.set(keyOf(start, mapping.length, true), chunk);
    else this.#chunks.set(numberOf(start, mapping.length), chunk);
    this.#shown.set(mapping.memory, chunk);
    return chunk;
  }

  #release(chunk: DemandChunk): void {
    const awaited = chunk.release();
    if (awaited) this.#forget(chunk);
    else if (chunk.forgotten && !chunk.lent) this.#hide(chunk);
    // Last: now it may be unmapped.
    if (awaited) this.#source.idle(chunk.mapping.memory);
  }

  /** Keeps a loan for who waits, but of what is to end: it is of no use. */
  #keep(chunk: DemandChunk, among: DemandChunk[]): void {
    if (chunk.loans.ending) this.#release(chunk);
    else among.push(chunk);
  }

  /** Nobody finds it any more; it is shown for as long as somebody has it. */
  #forget(chunk: DemandChunk): void {
    const { start, mapping } = chunk;
    chunk.forgotten = true;
    const number = numberOf(start, mapping.length);
    if (this.#chunks.get(number) === chunk) this.#chunks.delete(number);
    const key = keyOf(start, mapping.length, true);
    if (this.#parts.get(key) === chunk) this.#parts.delete(key);
    if (!chunk.lent) this.#hide(chunk);
  }

  #hide(chunk: DemandChunk): void {
    if (chunk.hidden) return;
    chunk.hidden = true;
    this.#shown.delete(chunk.mapping.memory);
    chunk.close();
    this.#source.hide(chunk.mapping);
  }
}

/** Exact: pages of a chunk are fewer than bytes of a page. */
function numberOf(start: number, length: number): number {
  return start + length / PAGE_SIZE - 1;
}

function keyOf(start: number, length: number, part: boolean): string {
  return `${start} ${length} ${part}`;
}
