import type { BorrowedChunks } from './borrowed-chunks.ts';
import { ChunkClock } from './chunk-clock.ts';
import { CHUNK_LENGTH, type ChunkMapping, type DemandChunk } from './demand-chunk.ts';
import type { Span } from './demand-spans.ts';

/** Small chunks that are here of what one large has, out of 32: from so many on its neighbours are used. */
const DENSE = 12 / 32;
/** Of a run that is as long as a part of a chunk, all of the chunk is asked for. */
const LONG = CHUNK_LENGTH / 4;

/**
 * Which chunk a place is in, or is to be asked for in. That is what lies between two multiples of
 * {@link CHUNK_LENGTH}; but where the owner had to take chunks away before they were of any more use, and says so
 * (`ChunkClock.touch`), it is a small part of that, until many of its parts are used.
 */
export class ChunkGrid {
  /** Of the place that was looked for last: where its chunk begins, and how long that is, bytes. */
  start = 0;
  length = 0;
  readonly #chunks: BorrowedChunks;
  #clock: ChunkClock | undefined;
  /** Bytes of small chunks; 0 where there were never any. */
  #small = 0;

  constructor(chunks: BorrowedChunks) {
    this.#chunks = chunks;
  }

  /** Chunks have come. */
  arrived(mappings: readonly ChunkMapping[]): void {
    const clock = mappings[0]?.clock;
    if (clock !== undefined && clock !== this.#clock?.words) this.#clock = new ChunkClock(clock);
  }

  /**
   * Finds the chunk of a place, of which `start` and `length` tell afterwards.
   *
   * @param span - that the place is in
   * @param wanted - bytes from there on that somebody wants
   * @returns undefined when it is not here
   */
  find(at: number, span: Span, wanted: number): DemandChunk | undefined {
    this.#cell(at, CHUNK_LENGTH, span);
    const large = this.#chunks.at(this.start, this.length);
    const touch = this.#clock?.touch ?? 0;
    if (touch > 0) this.#small = touch;
    const small = this.#small;
    if (large !== undefined || small === 0) return large;
    if (Math.min(wanted, this.start + this.length - at) >= LONG) return undefined;
    this.#cell(at, small, span);
    const chunk = this.#chunks.at(this.start, this.length);
    if (chunk === undefined && (touch === 0 || this.#dense(at, small, span))) {
      this.#cell(at, CHUNK_LENGTH, span);
    }
    return chunk;
  }

  /** Whether many parts of the large chunk of a place are here. */
  #dense(at: number, small: number, span: Span): boolean {
    this.#cell(at, CHUNK_LENGTH, span);
    const { start, length } = this;
    let here = 0;
    for (let part = start; part < start + length; part = this.start + this.length) {
      this.#cell(part, small, span);
      if (this.#chunks.at(this.start, this.length) !== undefined) here += this.length;
    }
    this.#cell(at, small, span);
    return here >= length * DENSE;
  }

  #cell(at: number, size: number, span: Span): void {
    const from = at - (at % size);
    this.start = Math.max(from, span.start);
    this.length = Math.min(from + size, span.end) - this.start;
  }
}
