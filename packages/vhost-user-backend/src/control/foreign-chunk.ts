import {
  type ChunkClock,
  ChunkLoans,
  type ChunkMapping,
  type WantedChunk,
} from '@node-vmm/vm-memory';
import { PAGE_SIZE } from '@node-vmm/vmm-sys-util';

/** Pages of another domain, mapped: `ForeignPages` of `@node-vmm/vm-memory/xen` is that. */
export interface ForeignPages {
  /** Address of the first in this process. */
  readonly hostAddress: number;
  /** By page: 0 when it is mapped, else the negative errno of Xen. */
  readonly errors: Int32Array;
  /** Lets go of the pages; the addresses stay until `close`, with empty memory. */
  vacate(): Promise<void>;
  /** Gives up the addresses, and the pages where they are still mapped. Idempotent. */
  close(): void;
}

/** Who borrows chunks: an instance of a device, in one memory table. */
export interface ChunkHolder {
  /** Chunks have been taken away, or are to be given back. */
  ended(memories: readonly number[]): void;
}

/** What {@link ForeignChunk} is made of. */
export interface ForeignChunkOptions {
  /** Its number; not used again. */
  readonly memory: number;
  readonly wanted: WantedChunk;
  /** Undefined when they could not be mapped: then no page exists. */
  readonly pages: ForeignPages | undefined;
  readonly clock: ChunkClock;
}

/** A chunk of a domain's memory, mapped once for all who borrow it. */
export class ForeignChunk {
  readonly memory: number;
  readonly wanted: WantedChunk;
  /** When it was mapped, by `performance.now()`. */
  readonly since: number = performance.now();
  /** Pages that are mapped, or were. */
  readonly count: number;
  /** Nobody gets it any more. */
  ended = false;
  readonly #missing: Uint8Array | undefined;
  readonly #clock: ChunkClock;
  readonly #grants = new Map<ChunkHolder, ChunkLoans>();
  #pages: ForeignPages | undefined;
  #used: number;
  /** By holders that have gone. */
  #lent = 0;

  constructor({ memory, wanted, pages, clock }: ForeignChunkOptions) {
    const total = wanted.length / PAGE_SIZE;
    const errors = pages?.errors ?? new Int32Array(total).fill(-1);
    const missing = Uint8Array.from(errors, (error) => (error === 0 ? 0 : 1));
    const failed = missing.reduce((sum, one) => sum + one, 0);
    this.memory = memory;
    this.wanted = wanted;
    this.count = total - failed;
    this.#missing = failed === 0 ? undefined : missing;
    this.#clock = clock;
    this.#used = clock.time;
    if (this.count > 0) this.#pages = pages;
    else pages?.close();
  }

  /** What is mapped, for its owner to unmap. */
  get pages(): ForeignPages | undefined {
    return this.#pages;
  }

  /** True when every page is there. */
  get whole(): boolean {
    return this.#missing === undefined;
  }

  /** True while somebody may know it. */
  get granted(): boolean {
    return this.#grants.size > 0;
  }

  /** True while rings are in it. */
  get sliced(): boolean {
    for (const { slices } of this.#grants.values()) if (slices > 0) return true;
    return false;
  }

  /** When it was lent last, in the domain's time. */
  get used(): number {
    let last = this.#used;
    for (const { used } of this.#grants.values()) if (((used - last) | 0) > 0) last = used;
    return last;
  }

  /** How often it was lent, by all who have it. */
  get lent(): number {
    let lent = this.#lent;
    for (const loans of this.#grants.values()) lent += loans.lent;
    return lent;
  }

  /** For a holder to be sent, with one loan. */
  grant(holder: ChunkHolder): ChunkMapping {
    const loans = ChunkLoans.create(this.#clock.words);
    this.#grants.set(holder, loans);
    return {
      memory: this.memory,
      guestAddr: BigInt(this.wanted.guestAddr),
      length: this.wanted.length,
      hostAddress: this.#pages?.hostAddress ?? 0,
      part: this.wanted.part,
      missing: this.#missing,
      loans: loans.words,
      clock: this.#clock.words,
    };
  }

  /** The holder looks at nothing any more, whatever it had on loan. */
  drop(holder: ChunkHolder): void {
    const loans = this.#grants.get(holder);
    if (loans === undefined) return;
    this.#used = this.used;
    this.#lent += loans.lent;
    this.#grants.delete(holder);
  }

  /** Nothing of it is lent from now on. */
  end(): void {
    this.ended = true;
    for (const loans of this.#grants.values()) loans.end();
  }

  /** Takes it away from all, or from none. @returns the holders, who have to be told; undefined while it is lent */
  revoke(): ChunkHolder[] | undefined {
    const taken: ChunkLoans[] = [];
    for (const loans of this.#grants.values()) {
      if (loans.revoke()) {
        taken.push(loans);
        continue;
      }
      for (const other of taken) other.restore();
      return undefined;
    }
    const holders = [...this.#grants.keys()];
    this.#grants.clear();
    this.ended = true;
    return holders;
  }

  get holders(): ChunkHolder[] {
    return [...this.#grants.keys()];
  }
}

/** @returns the same, the one that was lent longest ago first */
export function leastRecentlyUsed(chunks: readonly ForeignChunk[]): ForeignChunk[] {
  // What others change meanwhile does not change the order.
  const all = chunks.map((chunk) => ({ chunk, used: chunk.used }));
  return all.sort((a, b) => (a.used - b.used) | 0).map(({ chunk }) => chunk);
}
