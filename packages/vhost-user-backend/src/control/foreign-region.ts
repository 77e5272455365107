import type { MemoryRegion } from '@node-vmm/vhost-user';
import {
  CHUNK_LENGTH,
  type ChunkMapping,
  type GuestAddress,
  type WantedChunk,
} from '@node-vmm/vm-memory';
import { closeFd, dupFd, EPERM, ESRCH, type Fd, PAGE_SIZE } from '@node-vmm/vmm-sys-util';
import { VhostUserBackendError } from '../errors.ts';
import type { ChunkHolder, ForeignPages } from './foreign-chunk.ts';
import type { ForeignDomain } from './foreign-domain.ts';
import type { ForeignDomains } from './foreign-domains.ts';

/** A range of another Xen domain's memory, by its frame numbers. */
export interface ForeignRange {
  readonly domid: number;
  /** What the front-end sent: to be found to be privcmd, and to be used; stays the caller's. */
  readonly fd: Fd;
  readonly guestAddr: GuestAddress;
  /** Bytes, at most 2 MiB. */
  readonly length: bigint;
}

/**
 * Maps a few pages of a Xen domain in one piece: `mapForeign` of `@node-vmm/vm-memory/xen`. Rejects when none
 * can be, such as when the descriptor is for another domain; a page that does not exist is told in `errors`.
 */
export type MapForeign = (range: ForeignRange) => Promise<ForeignPages>;

const MIB = 2 ** 20;
/** Where a page of a region is looked for, bytes: banks of memory have holes, and what comes late may not be. */
const PROBES = [0, MIB, 2 * MIB, 16 * MIB, 64 * MIB, 256 * MIB, 1024 * MIB];
const PARTS = 8;

/**
 * A region of a Xen domain that a front-end lends. One page of it is mapped by the front-end's own descriptor:
 * that proves that it may. The domain keeps the first such page, and with it its number, for as long as any region
 * of it is lent; the others are let go of at once. All else is mapped when it is needed, and shared with the
 * domain's other devices.
 */
export class ForeignRegion {
  readonly region: MemoryRegion;
  readonly domain: ForeignDomain;
  readonly #domid: number;
  readonly #fd: Fd;
  readonly #mapForeign: MapForeign;
  readonly #domains: ForeignDomains;
  #held = true;

  private constructor(
    region: MemoryRegion,
    range: ForeignRange,
    mapForeign: MapForeign,
    proof: ForeignPages,
    domains: ForeignDomains,
  ) {
    this.region = region;
    this.#domid = range.domid;
    this.#fd = range.fd;
    this.#mapForeign = mapForeign;
    this.#domains = domains;
    this.domain = domains.join(range.domid, proof);
  }

  /**
   * @param range - its descriptor stays the caller's
   * @throws {VhostUserBackendError} INVALID_MEMORY when no page of it exists where it is looked for
   * @throws what `mapForeign` rejects with
   */
  static async open(
    region: MemoryRegion,
    range: ForeignRange,
    mapForeign: MapForeign,
    domains: ForeignDomains,
  ): Promise<ForeignRegion> {
    const { guestAddr, length } = range;
    if (guestAddr % BigInt(PAGE_SIZE) !== 0n || length % BigInt(PAGE_SIZE) !== 0n) {
      throw new VhostUserBackendError('INVALID_MEMORY', 'Xen lends whole pages');
    }
    const fd = dupFd(range.fd);
    try {
      const proof = await prove({ ...range, fd }, mapForeign);
      return new ForeignRegion(region, { ...range, fd }, mapForeign, proof, domains);
    } catch (error) {
      closeFd(fd);
      throw error;
    }
  }

  /** True when all of a chunk is within. */
  has({ guestAddr, length }: WantedChunk): boolean {
    const offset = BigInt(guestAddr) - this.region.guestAddr;
    return (
      offset >= 0n &&
      offset + BigInt(length) <= this.region.size &&
      length <= CHUNK_LENGTH &&
      offset % BigInt(PAGE_SIZE) === 0n &&
      length % PAGE_SIZE === 0
    );
  }

  /** Lends a chunk of it. See `ForeignDomain.lend`. */
  lend(
    wanted: WantedChunk,
    holder: ChunkHolder,
    alive: () => boolean,
  ): Promise<ChunkMapping | undefined> {
    const guestAddr = BigInt(wanted.guestAddr) as GuestAddress;
    const range = { domid: this.#domid, fd: this.#fd, guestAddr, length: BigInt(wanted.length) };
    const map = async (): Promise<ForeignPages> => {
      if (!this.#held) throw new TypeError('Cannot map memory of a region that is gone');
      // A call on another thread must not find that the number is another file's.
      const fd = dupFd(this.#fd);
      try {
        return await this.#mapForeign({ ...range, fd });
      } finally {
        closeFd(fd);
      }
    };
    return this.domain.lend(wanted, holder, map, alive);
  }

  /** Nobody uses the region any more. Idempotent. */
  async close(): Promise<void> {
    if (!this.#held) return;
    this.#held = false;
    closeFd(this.#fd);
    await this.#domains.leave(this.#domid, this.domain);
  }
}

/** @returns a page of the range, mapped */
async function prove(range: ForeignRange, mapForeign: MapForeign): Promise<ForeignPages> {
  const size = Number(range.length);
  const offsets = new Set(PROBES.filter((offset) => offset < size));
  for (let part = 1; part < PARTS; part++) offsets.add(pageAt((size / PARTS) * part));
  offsets.add(size - PAGE_SIZE);
  for (const offset of offsets) {
    const guestAddr = (range.guestAddr + BigInt(offset)) as GuestAddress;
    const pages = await mapForeign({ ...range, guestAddr, length: BigInt(PAGE_SIZE) });
    if (pages.errors[0] === 0) return pages;
    pages.close();
    refuseWholesale(range.domid, pages.errors[0] as number);
  }
  throw new VhostUserBackendError(
    'INVALID_MEMORY',
    `domain ${range.domid} has no memory at any of the ${offsets.size} places that were tried`,
  );
}

function pageAt(offset: number): number {
  return Math.floor(offset / PAGE_SIZE) * PAGE_SIZE;
}

/** What fails every page alike. */
function refuseWholesale(domid: number, error: number): void {
  if (error !== -EPERM && error !== -ESRCH) return;
  const why = error === -EPERM ? 'the hypervisor does not permit it' : 'there is no such domain';
  throw new VhostUserBackendError('INVALID_MEMORY', `domain ${domid}: ${why}`);
}
