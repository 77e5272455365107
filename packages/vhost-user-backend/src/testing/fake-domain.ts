import { EPERM, type Fd, MAP_SHARED, Mapping, PAGE_SIZE, PROT_NONE } from '@node-vmm/vmm-sys-util';
import type { ForeignPages } from '../control/foreign-chunk.ts';
import type { ForeignRange, MapForeign } from '../control/foreign-region.ts';
import { GUEST_BASE, Guest, type TableRegion } from './guest.ts';

const EINVAL = 22;

/** What a front-end says of memory of a Xen domain. */
export interface XenRegion extends TableRegion {
  readonly xen: { readonly mmapFlags: number; readonly domid: number };
}

/**
 * A Xen domain for tests: pages in a memfd, which come and go, behind a driver that may be slow, and what this
 * process has mapped of them. Pages are mapped as Xen does: those there are when the call is made.
 */
export class FakeDomain {
  readonly domid: number;
  readonly guest: Guest;
  /** Offsets of pages that the domain does not have. */
  readonly missing = new Set<number>();
  /** Other frames in place of these, by offset: where a page is now. */
  readonly moved = new Map<number, number>();
  /** What was asked for: offset and pages of each. */
  readonly asked: [offset: number, pages: number][] = [];
  /** Resolved before anything of more than a page is mapped. */
  gate: Promise<void> = Promise.resolve();
  /** Offsets and pages of what is mapped now. */
  readonly live = new Set<readonly [offset: number, pages: number]>();
  /** Most bytes that were mapped at a time. */
  peak = 0;

  /** @param size - bytes, of which pages take up room when first touched */
  constructor(domid: number, size?: number) {
    this.domid = domid;
    this.guest = new Guest(size);
  }

  /** Of the memfd; the domain's. */
  get fds(): Fd[] {
    return this.guest.fds;
  }

  /** @param size - bytes, which may be more than there are */
  regions(size: number = this.guest.size): XenRegion[] {
    const xen = { mmapFlags: 1, domid: this.domid };
    return this.guest.regions.map((region) => ({ ...region, size: BigInt(size), xen }));
  }

  /** Mapped, without the page that stays and those of rings: offsets of chunks. */
  get chunks(): number[] {
    return [...this.live].filter(([, pages]) => pages > 1).map(([offset]) => offset);
  }

  /** Bytes that are mapped now. */
  get mapped(): number {
    return [...this.live].reduce((sum, [, pages]) => sum + pages * PAGE_SIZE, 0);
  }

  /** Maps some of it: what a daemon is given as `mapForeign`, for this domain alone. */
  async map({ guestAddr, length }: ForeignRange): Promise<ForeignPages> {
    const offset = Number(guestAddr - GUEST_BASE);
    const pages = Number(length) / PAGE_SIZE;
    this.asked.push([offset, pages]);
    if (pages > 1) await this.gate;
    const errors = new Int32Array(pages);
    const mapping = Mapping.create({ length: Number(length), prot: PROT_NONE });
    const frames = Array.from({ length: pages }, (_, i) => this.#frame(offset + i * PAGE_SIZE));
    for (let i = 0; i < pages; ) {
      const first = frames[i];
      let run = 1;
      if (first === undefined) errors[i] = -EINVAL;
      else {
        while (frames[i + run] === first + run * PAGE_SIZE) run++;
        const file = { fd: this.fds[0] as Fd, offset: first, flags: MAP_SHARED };
        mapping.overlay(i * PAGE_SIZE, { length: run * PAGE_SIZE, ...file });
      }
      i += run;
    }
    const entry = [offset, pages] as const;
    this.live.add(entry);
    this.peak = Math.max(this.peak, this.mapped);
    return {
      hostAddress: Number(mapping.pointer),
      errors,
      vacate: async () => {
        mapping.vacate();
        this.live.delete(entry);
      },
      close: () => {
        mapping.close();
        this.live.delete(entry);
      },
    };
  }

  #frame(offset: number): number | undefined {
    const frame = this.moved.get(offset) ?? offset;
    return this.missing.has(offset) || frame >= this.guest.size ? undefined : frame;
  }

  /** Gives up its memory. */
  close(): void {
    this.guest.close();
  }
}

/** Maps for several domains. */
export function mapperOf(...domains: readonly FakeDomain[]): MapForeign {
  return async (range) => {
    const domain = domains.find(({ domid }) => domid === range.domid);
    if (domain === undefined) throw new Error('there is no such domain');
    return domain.map(range);
  };
}

/** Maps through descriptors each of which is for one domain, by their file. */
export function restrictedMapper(
  allowed: (fd: Fd) => number,
  ...domains: readonly FakeDomain[]
): MapForeign {
  const map = mapperOf(...domains);
  return async (range) => {
    if (allowed(range.fd) !== range.domid) {
      throw Object.assign(new Error('the hypervisor does not permit it'), { errno: EPERM });
    }
    return map(range);
  };
}
