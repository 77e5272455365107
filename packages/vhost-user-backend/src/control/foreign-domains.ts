import { PAGE_SIZE } from '@node-vmm/vmm-sys-util';
import type { ForeignPages } from './foreign-chunk.ts';
import { ForeignDomain } from './foreign-domain.ts';
import { ForeignTurns } from './foreign-turns.ts';
import type { RetiredMemory } from './retired-memory.ts';

/** Ours: most bytes of a domain's memory that stay mapped though no request needs them. */
export const FOREIGN_LIMIT: number = 16 * 2 ** 20;

/** Most mappings that wait for nobody to look there, before workers are made to find out. */
const MAX_RETIRED = 256;

interface Entry {
  readonly domain: ForeignDomain;
  /** A page that stays mapped, so that the number is not given to another domain. */
  readonly pin: ForeignPages;
  users: number;
}

/** The Xen domains of which a daemon has memory, by number, each for as long as a front-end lends some. */
export class ForeignDomains {
  readonly #retired: RetiredMemory;
  readonly #nextMemory: () => number;
  readonly #limit: number;
  readonly #turns = new ForeignTurns();
  readonly #domains = new Map<number, Entry>();

  /** @param limit - see {@link FOREIGN_LIMIT} */
  constructor(retired: RetiredMemory, nextMemory: () => number, limit: number) {
    this.#retired = retired;
    this.#nextMemory = nextMemory;
    this.#limit = limit;
  }

  /** How many have memory here. */
  get count(): number {
    return this.#domains.size;
  }

  /**
   * One more region of it. The first one's page stays mapped for all of them: who has another of the same number
   * mapped at the same time has one of the same domain.
   *
   * @param proof - a page of it, mapped by who lends the region, and this one's to let go of from now on
   */
  join(domid: number, proof: ForeignPages): ForeignDomain {
    let entry = this.#domains.get(domid);
    if (entry === undefined) {
      entry = { domain: this.#make(domid), pin: proof, users: 0 };
      this.#domains.set(domid, entry);
    } else {
      proof.close();
    }
    entry.users++;
    return entry.domain;
  }

  /** One region less; the last takes everything with it, so that a later domain of that number finds nothing. */
  async leave(domid: number, domain: ForeignDomain): Promise<void> {
    const entry = this.#domains.get(domid);
    if (entry?.domain !== domain || --entry.users > 0) return;
    this.#domains.delete(domid);
    try {
      await domain.close();
    } finally {
      // Last: until then the number is the domain's.
      entry.pin.close();
    }
  }

  /** That the process has for them, those among them that only wait for nobody to look there. */
  #mappings(): number {
    let mappings = this.#retired.count;
    for (const { domain } of this.#domains.values()) mappings += domain.mappings + 1;
    return mappings;
  }

  #make(domid: number): ForeignDomain {
    return new ForeignDomain({
      // The page that is pinned is of it.
      limit: this.#limit - PAGE_SIZE,
      nextMemory: this.#nextMemory,
      mappings: () => this.#mappings(),
      room: async () => {
        if (this.#retired.count > MAX_RETIRED) await this.#retired.collect();
      },
      turn: (job, wanted) => this.#turns.run(domid, job, wanted),
      sweep: () => this.#turns.sweep(domid),
      retire: (memory, close) =>
        this.#retired.add(memory, { vacate: () => undefined, close }, () => undefined),
    });
  }
}
