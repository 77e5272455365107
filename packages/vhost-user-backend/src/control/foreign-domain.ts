import { ChunkClock, type ChunkMapping, type WantedChunk } from '@node-vmm/vm-memory';
import { PAGE_SIZE } from '@node-vmm/vmm-sys-util';
import { EndingChunks } from './ending-chunks.ts';
import {
  type ChunkHolder,
  ForeignChunk,
  type ForeignPages,
  leastRecentlyUsed,
} from './foreign-chunk.ts';
import type { ForeignDomainMeans } from './foreign-domain-means.ts';
import { TouchSize } from './touch-size.ts';

/** What holders are to hear of: numbers of memories. */
type Told = Map<ChunkHolder, number[]>;

/** Maps what is wanted, through the descriptor of who wants it. */
export type MapChunk = () => Promise<ForeignPages>;

/** A chunk that is to be mapped. */
interface PendingChunk {
  /** Undefined when nobody wanted it any more. */
  readonly done: Promise<ForeignChunk | undefined>;
  /** Of each who wants it, whether they still do. */
  readonly alive: (() => boolean)[];
}

/** How long a page that was not there is taken not to be there, milliseconds. */
const MISSING_MS = 100;
/** How long the guest is to give back nothing more before rings are looked for anew, milliseconds. */
const QUIET_MS = 1_000;
/** Most chunks of which only is known that no page of them exists. */
const MAX_EMPTY = 1024;

/**
 * Memory of a Xen domain that is mapped in this process, once for all devices that the domain has here: a
 * chunk is mapped when the first of them needs it, stays for the others, and is given back, least recently
 * used first, when more than the limit is mapped and nobody has it on loan.
 */
export class ForeignDomain {
  readonly #means: ForeignDomainMeans;
  readonly #chunks = new Map<string, ForeignChunk>();
  /** Some of them still on loan. */
  readonly #ending = new EndingChunks();
  readonly #pending = new Map<string, PendingChunk>();
  readonly #unmapping = new Set<Promise<void>>();
  /** Chunks of which there are pages. */
  readonly #mappings = new Set<ForeignChunk>();
  readonly #clock = ChunkClock.create();
  readonly #touch: TouchSize;
  /** Goes on when all that is mapped ends. */
  #generation = 0;
  /** Some of it is to end in this turn of Node's event loop. */
  #returning: Promise<void> | undefined;
  #quiet: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(means: ForeignDomainMeans) {
    this.#means = means;
    this.#touch = new TouchSize(means.limit, this.#clock);
  }

  /** Mappings that there are of it. */
  get mappings(): number {
    return this.#mappings.size;
  }

  /** Bytes that are mapped. */
  get mapped(): number {
    let pages = 0;
    for (const { count } of this.#all()) pages += count;
    return pages * PAGE_SIZE;
  }

  /**
   * The chunk that is wanted, for a holder to be sent.
   *
   * @param wanted - within a region of the holder's, page-aligned
   * @param alive - whether the holder is still there, when it has been mapped
   * @returns undefined when the holder has gone meanwhile
   */
  async lend(
    wanted: WantedChunk,
    holder: ChunkHolder,
    map: MapChunk,
    alive: () => boolean,
  ): Promise<ChunkMapping | undefined> {
    for (;;) {
      const chunk = this.#there(wanted) ?? (await this.#mapped(wanted, map, alive));
      if (!alive() || this.#closed) {
        if (chunk?.granted === false && !chunk.ended) this.#take(chunk);
        return undefined;
      }
      // It may have ended before this was continued.
      if (chunk?.ended === false) return chunk.grant(holder);
    }
  }

  /**
   * Ends all that is mapped, for all who have it: what is lent from now on is mapped anew.
   *
   * @returns when nothing of it is mapped any more, or after a second
   */
  async renew(): Promise<void> {
    clearTimeout(this.#quiet);
    this.#generation++;
    this.#touch.reset();
    this.#end([...this.#chunks.values()]);
    await this.#ending.settled();
  }

  /**
   * The guest gave pages back, or has others: as {@link renew}, but for what rings are in, which is looked for
   * anew when it has given back nothing for a second: no driver gives back pages of a ring in use, and one that
   * says a hundred times that it gave back some has as many rings as ever. What comes in the same turn of Node's
   * event loop, from the guest's other devices, is the same.
   */
  returned(): Promise<void> {
    this.#returning ??= new Promise((resolve) => {
      setImmediate(() => {
        this.#returning = undefined;
        this.#generation++;
        this.#end([...this.#chunks.values()].filter(({ sliced }) => !sliced));
        this.#lookWhenQuiet();
        void this.#ending.settled().then(resolve);
      });
    });
    return this.#returning;
  }

  /** A holder has given back what is to end. */
  idle(memory: number): void {
    for (const chunk of this.#ending.all) if (chunk.memory === memory) this.#take(chunk);
  }

  /** The holder looks at nothing any more. */
  drop(holder: ChunkHolder): void {
    for (const chunk of [...this.#all()]) {
      const { granted } = chunk;
      chunk.drop(holder);
      // What only it had goes with it; the rest waits for the others.
      if (chunk.ended || (granted && !chunk.granted)) this.#take(chunk);
    }
    this.#means.sweep();
  }

  /** Resolves when what was let go of before is unmapped. */
  async unmapped(): Promise<void> {
    await Promise.all(this.#unmapping);
  }

  /** All that is mapped goes, nobody looks at any of it. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#quiet);
    this.#generation++;
    this.#means.sweep();
    for (const chunk of [...this.#all()]) {
      for (const holder of chunk.holders) chunk.drop(holder);
      this.#take(chunk);
    }
    // What is being mapped is found to be of no use, and unmapped.
    await Promise.allSettled([...this.#pending.values()].map(({ done }) => done));
    await this.unmapped();
  }

  #all(): ForeignChunk[] {
    return [...this.#chunks.values(), ...this.#ending.all];
  }

  #there(wanted: WantedChunk): ForeignChunk | undefined {
    const chunk = this.#chunks.get(keyOf(wanted));
    if (chunk === undefined) return undefined;
    const look = wanted.again && !chunk.whole && performance.now() - chunk.since >= MISSING_MS;
    return look ? undefined : chunk;
  }

  /** Maps it, once for all who want it at that time; undefined when none of them does any more. */
  #mapped(
    wanted: WantedChunk,
    map: MapChunk,
    alive: () => boolean,
  ): Promise<ForeignChunk | undefined> {
    const key = keyOf(wanted);
    const known = this.#pending.get(key);
    if (known !== undefined) {
      known.alive.push(alive);
      return known.done;
    }
    const all = [alive];
    const isWanted = (): boolean => !this.#closed && all.some((one) => one());
    const done = this.#means
      .turn(() => this.#map(wanted, map, isWanted), isWanted)
      .finally(() => this.#pending.delete(key));
    this.#pending.set(key, { done, alive: all });
    return done;
  }

  async #map(
    wanted: WantedChunk,
    map: MapChunk,
    isWanted: () => boolean,
  ): Promise<ForeignChunk | undefined> {
    this.#makeRoom(wanted.length);
    this.#touch.tell(this.#mappings.size, this.#means.mappings());
    // What is unmapped first makes room for it.
    await this.unmapped();
    await this.#means.room();
    this.#clock.tick();
    for (;;) {
      if (!isWanted()) return undefined;
      const generation = this.#generation;
      let pages: ForeignPages | undefined;
      try {
        pages = await map();
      } catch {
        // The domain is gone, or the host has no room: there is no page for whoever needs one.
      }
      // What was mapped before the end of all may be what is to go.
      if (generation !== this.#generation && pages !== undefined) {
        pages.close();
        continue;
      }
      const memory = this.#means.nextMemory();
      const chunk = new ForeignChunk({ memory, wanted, pages, clock: this.#clock });
      if (chunk.pages !== undefined) this.#mappings.add(chunk);
      const key = keyOf(wanted);
      const former = this.#chunks.get(key);
      if (former !== undefined) this.#end([former]);
      this.#chunks.set(key, chunk);
      return chunk;
    }
  }

  /** Takes away what nobody has on loan, the least recently used first, until so much more may be mapped. */
  #makeRoom(length: number): void {
    const chunks = [...this.#chunks.values()];
    let mapped = this.mapped + length;
    let empty = chunks.filter(({ count }) => count === 0).length;
    if (mapped <= this.#means.limit && empty <= MAX_EMPTY) return;
    mapped += this.#touch.slack;
    for (const chunk of leastRecentlyUsed(chunks)) {
      const wanted = chunk.count === 0 ? empty > MAX_EMPTY : mapped > this.#means.limit;
      const { lent } = chunk;
      if (!wanted || !this.#take(chunk)) continue;
      mapped -= chunk.count * PAGE_SIZE;
      if (chunk.count === 0) empty--;
      else if (!chunk.wanted.part) this.#touch.evicted(chunk.wanted.length, lent);
    }
  }

  /** Unmaps a chunk that nobody has on loan, and tells its holders. @returns false when somebody has it */
  #take(chunk: ForeignChunk, told?: Told): boolean {
    const holders = chunk.revoke();
    if (holders === undefined) return false;
    const key = keyOf(chunk.wanted);
    if (this.#chunks.get(key) === chunk) this.#chunks.delete(key);
    if (told === undefined) for (const holder of holders) holder.ended([chunk.memory]);
    else note(told, chunk, holders);
    const unmapping = this.#unmap(chunk);
    this.#unmapping.add(unmapping);
    void unmapping.then(() => {
      this.#unmapping.delete(unmapping);
      this.#ending.gone(chunk);
    });
    return true;
  }

  async #unmap(chunk: ForeignChunk): Promise<void> {
    const { memory, pages } = chunk;
    if (pages === undefined) return;
    try {
      await pages.vacate();
    } catch {
      // No more mappings can be had: the pages go with the addresses.
    }
    this.#mappings.delete(chunk);
    this.#means.retire(memory, () => pages.close());
  }

  /** Nobody gets them any more, and all who have them are told once. */
  #end(chunks: readonly ForeignChunk[]): void {
    const told: Told = new Map();
    for (const chunk of chunks) {
      this.#chunks.delete(keyOf(chunk.wanted));
      chunk.end();
      this.#ending.add(chunk);
      if (!this.#take(chunk, told)) note(told, chunk, chunk.holders);
    }
    for (const [holder, memories] of told) holder.ended(memories);
  }

  #lookWhenQuiet(): void {
    clearTimeout(this.#quiet);
    const rings = [...this.#chunks.values()];
    if (rings.length === 0) return;
    this.#quiet = setTimeout(() => {
      this.#end(rings.filter((chunk) => this.#chunks.get(keyOf(chunk.wanted)) === chunk));
    }, QUIET_MS);
    this.#quiet.unref();
  }
}

function note(told: Told, { memory }: ForeignChunk, holders: readonly ChunkHolder[]): void {
  for (const holder of holders) {
    const memories = told.get(holder);
    if (memories === undefined) told.set(holder, [memory]);
    else memories.push(memory);
  }
}

function keyOf({ guestAddr, length, part }: WantedChunk): string {
  return `${guestAddr} ${length} ${part}`;
}
