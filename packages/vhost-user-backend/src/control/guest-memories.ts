import type { Logger } from '@node-vmm/vmm-sys-util';
import { GuestFiles } from './guest-files.ts';
import { MappingBudget } from './mapping-budget.ts';
import { type MapForeign, type MappingMeans, RegionMapper } from './region-mapper.ts';
import { type AskViewed, RetiredMemory } from './retired-memory.ts';
import { SharedFiles } from './shared-files.ts';

/** The memory of all guests of a daemon. */
export class GuestMemories {
  readonly files: GuestFiles;
  readonly #means: MappingMeans;
  readonly #retired: RetiredMemory;
  readonly #budget = new MappingBudget();
  #last = 0;

  /**
   * @param mapForeign - maps memory of Xen domains, where there are any
   * @param viewed - asks all worker threads
   */
  constructor(logger: Logger, mapForeign: MapForeign | undefined, viewed: AskViewed) {
    const nextMemory = (): number => ++this.#last;
    this.files = new GuestFiles(logger);
    this.#retired = new RetiredMemory(viewed);
    this.#means = {
      files: this.files,
      shared: new SharedFiles(nextMemory),
      retired: this.#retired,
      mapForeign,
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
