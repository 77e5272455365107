import { PAGE_SIZE } from '@node-vmm/vmm-sys-util';
import type { ForeignMapping } from '@node-vmm/xen-sys';
import type { GuestAddress } from '../guest-address.ts';
import type { GuestMemoryRegion, GuestSlice } from '../guest-memory.ts';
import type { MappedRegion } from '../mapped-region.ts';
import { regionsOfMapping } from '../mapping-regions.ts';
import { RegionSlice } from '../region-slice.ts';
import type { SegmentTable } from '../segment-table.ts';
import type { ForeignSource } from './foreign-source.ts';

/** Ours: bytes that all loans together have mapped. */
const MAX_LENT = 16 * 1024 * 1024;

interface Loan {
  readonly region: MappedRegion;
  readonly mapped: ForeignMapping;
}

class ForeignSlice extends RegionSlice {
  readonly #giveBack: () => void;

  constructor(region: MappedRegion, offset: number, length: number, giveBack: () => void) {
    super(region, offset, length);
    this.#giveBack = giveBack;
  }

  override release(): void {
    super.release();
    this.#giveBack();
  }
}

/** Pieces of a guest on loan: each a mapping of its own, let go of whole when it is given back. */
export class ForeignLoans {
  readonly #source: ForeignSource;
  readonly #loans = new Map<GuestMemoryRegion, Loan>();
  #lent = 0;

  constructor(source: ForeignSource) {
    this.#source = source;
  }

  /**
   * @returns undefined where a page is missing, or too much is on loan
   * @throws {VmMemoryError} FOREIGN_MAP_FAILED when the guest cannot be mapped at all
   */
  slice(address: number, length: number): GuestSlice | undefined {
    const region = this.#map(address, length);
    if (region === undefined) return undefined;
    const giveBack = (): void => this.giveBack(region);
    return new ForeignSlice(region, address - region.start, length, giveBack);
  }

  /** @returns false where {@link slice} returns undefined, or the table is full */
  lend(address: number, length: number, table: SegmentTable): boolean {
    const region = this.#map(address, length);
    if (region === undefined) return false;
    if (table.push(region, address - region.start, length)) return true;
    this.giveBack(region);
    return false;
  }

  /** Idempotent. */
  giveBack(region: GuestMemoryRegion): void {
    const loan = this.#loans.get(region);
    if (loan === undefined) return;
    this.#loans.delete(region);
    this.#lent -= loan.region.length;
    loan.region.close();
    loan.mapped.close();
  }

  /** Ends all loans. */
  close(): void {
    for (const region of [...this.#loans.keys()]) this.giveBack(region);
  }

  #map(address: number, length: number): MappedRegion | undefined {
    const start = Math.floor(address / PAGE_SIZE) * PAGE_SIZE;
    const bytes = Math.ceil((address + length - start) / PAGE_SIZE) * PAGE_SIZE;
    if (this.#lent + bytes > MAX_LENT) return undefined;
    const guestAddr = BigInt(start) as GuestAddress;
    const mapped = this.#source.map({ guestAddr, length: bytes });
    const [region] = mapped.failed > 0 ? [] : regionsOfMapping(guestAddr, mapped.mapping, 0, bytes);
    if (region === undefined) {
      mapped.close();
      return undefined;
    }
    this.#loans.set(region, { region, mapped });
    this.#lent += bytes;
    return region;
  }
}
