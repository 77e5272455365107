import type { Logger } from '@node-vmm/vmm-sys-util';
import { ForeignDomains } from './foreign-domains.ts';
import type { MapForeign } from './foreign-region.ts';
import { GuestFiles } from './guest-files.ts';
import { MappingBudget } from './mapping-budget.ts';
import { type MappingMeans, RegionMapper } from './region-mapper.ts';
import { type AskViewed, RetiredMemory } from './retired-memory.ts';
import { SharedFiles } from './shared-files.ts';

/** How memory of Xen domains is mapped. */
export interface ForeignMeans {
  /** Undefined where there is none. */
  readonly mapForeign: MapForeign | undefined;
  /** See `FOREIGN_LIMIT`. */
  readonly foreignLimit: number;
}

/** The memory of all guests of a daemon. */
export class GuestMemories {
  readonly files: GuestFiles;
  readonly #means: MappingMeans;
  readonly #retired: RetiredMemory;
  readonly #budget = new MappingBudget();
  #last = 0;

  /**
   * @param viewed - asks all worker threads
   */
  constructor(logger: Logger, { mapForeign, foreignLimit }: ForeignMeans, viewed: AskViewed) {
    const nextMemory = (): number => ++this.#last;
    this.files = new GuestFiles(logger);
    this.#retired = new RetiredMemory(viewed);
    this.#means = {
      files: this.files,
      shared: new SharedFiles(nextMemory),
      retired: this.#retired,
      mapForeign,
      domains: new ForeignDomains(this.#retired, nextMemory, foreignLimit),
      nextMemory,
    };
  }

  /** For the front-ends of one device. */
  mapper(device: string): RegionMapper {
    return new RegionMapper(device, this.#means, this.#budget.share());
  }

  /** There are no workers any more. */
  close(): void {
    this.#retired.close();
  }
}
