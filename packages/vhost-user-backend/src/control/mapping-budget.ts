import { readFileSync } from 'node:fs';
import { addressSpaceSize, FaultGuard } from '@node-vmm/vmm-sys-util';

/** What mappings cost: addresses, and how many there are. */
export interface MappingCost {
  /** Bytes of addresses. */
  readonly addresses: number;
  readonly mappings: number;
}

/** Of all addresses; the rest is the process's own. */
const ADDRESS_PART = 3 / 4;
/** Most for one front-end, whatever there is: 16 TiB, and four times what MAX_MEM_SLOTS needs. */
const SHARE_MAX: MappingCost = { addresses: 2 ** 44, mappings: 2048 };
/** Linux's default of `vm.max_map_count`. */
const DEFAULT_MAP_COUNT = 65_530;

/**
 * What all guests of a process may take up by the memory that they lend, so that it stays alive: an address
 * space has an end, and where a process has all mappings that Linux lets it have, V8 aborts it. Whoever
 * asks gets at most half of what others leave, so that something is left for the next one.
 */
export class MappingBudget {
  readonly #total: MappingCost;
  readonly #used = { addresses: 0, mappings: 0 };

  constructor(total: MappingCost = ofProcess()) {
    this.#total = total;
  }

  /** What one device's front-ends have of it, one after another. */
  share(): BudgetShare {
    return new BudgetShare(this.#total, this.#used);
  }
}

/** A part of a {@link MappingBudget}. */
export class BudgetShare {
  readonly #total: MappingCost;
  readonly #all: { addresses: number; mappings: number };
  readonly #own = { addresses: 0, mappings: 0 };

  constructor(total: MappingCost, all: { addresses: number; mappings: number }) {
    this.#total = total;
    this.#all = all;
  }

  /** What may be taken up at most, as things are. */
  get limit(): MappingCost {
    const most = (of: keyof MappingCost): number => {
      const left = this.#total[of] - (this.#all[of] - this.#own[of]);
      return Math.max(0, Math.min(SHARE_MAX[of], Math.floor(left / 2)));
    };
    return { addresses: most('addresses'), mappings: most('mappings') };
  }

  /** Would that much more be too much? */
  admits(cost: MappingCost): boolean {
    const { addresses, mappings } = this.limit;
    const own = this.#own;
    return own.addresses + cost.addresses <= addresses && own.mappings + cost.mappings <= mappings;
  }

  take({ addresses, mappings }: MappingCost): void {
    for (const sum of [this.#own, this.#all]) {
      sum.addresses += addresses;
      sum.mappings += mappings;
    }
  }

  giveBack({ addresses, mappings }: MappingCost): void {
    this.take({ addresses: -addresses, mappings: -mappings });
  }
}

function ofProcess(): MappingCost {
  // Entries of guarded memory that are not ours: another daemon's in the process, areas for requests in flight.
  const guarded = FaultGuard.CAPACITY - 1024;
  return {
    addresses: addressSpaceSize() * ADDRESS_PART,
    mappings: Math.min(Math.floor(maxMapCount() / 2), guarded),
  };
}

function maxMapCount(): number {
  try {
    return Number(readFileSync('/proc/sys/vm/max_map_count', 'latin1'));
  } catch {
    // Where /proc is not to be read.
    return DEFAULT_MAP_COUNT;
  }
}
