import { ForeignDomain } from './foreign-domain.ts';
import { ForeignTurns } from './foreign-turns.ts';
import type { RetiredMemory } from './retired-memory.ts';

/** Ours: most bytes of a domain's memory that stay mapped though no request needs them. */
export const FOREIGN_LIMIT: number = 16 * 2 ** 20;

/** Most mappings that wait for nobody to look there, before workers are made to find out. */
const MAX_RETIRED = 256;

/** The Xen domains of which a daemon has memory, by number, each for as long as a front-end lends some. */
export class ForeignDomains {
  readonly #retired: RetiredMemory;
  readonly #nextMemory: () => number;
  readonly #limit: number;
  readonly #turns = new ForeignTurns();
  readonly #domains = new Map<number, { readonly domain: ForeignDomain; users: number }>();

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

  /** One more region of it: to be called after one of its pages was mapped by who lends it. */
  join(domid: number): ForeignDomain {
    let entry = this.#domains.get(domid);
    if (entry === undefined) {
      entry = { domain: this.#make(domid), users: 0 };
      this.#domains.set(domid, entry);
    }
    entry.users++;
    return entry.domain;
  }

  /** One region less; the last takes everything with it, so that a later domain of that number finds nothing. */
  async leave(domid: number, domain: ForeignDomain): Promise<void> {
    const entry = this.#domains.get(domid);
    if (entry?.domain !== domain || --entry.users > 0) return;
    this.#domains.delete(domid);
    await domain.close();
  }

  #make(domid: number): ForeignDomain {
    return new ForeignDomain({
      limit: this.#limit,
      nextMemory: this.#nextMemory,
      room: async () => {
        if (this.#retired.count > MAX_RETIRED) await this.#retired.collect();
      },
      turn: (job) => this.#turns.run(domid, job),
      retire: (memory, close) =>
        this.#retired.add(memory, { vacate: () => undefined, close }, () => undefined),
    });
  }
}
