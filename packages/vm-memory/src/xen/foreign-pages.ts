import { setTimeout as sleep } from 'node:timers/promises';
import {
  addressOf,
  ENOENT,
  type Fd,
  ioctlAsync,
  MAP_SHARED,
  Mapping,
  PAGE_SIZE,
  PROT_READ,
} from '@node-vmm/vmm-sys-util';
import {
  asDomId,
  type DomId,
  IOCTL_PRIVCMD_MMAPBATCH_V2,
  PRIVCMD_MMAPBATCH_V2,
  Privcmd,
} from '@node-vmm/xen-sys';
import { foreignMapFailed } from './foreign-source.ts';

/** How often frames that are paged out are tried again, and how long to wait before, in ms. */
const PAGED_OUT_ATTEMPTS = 10;
const PAGED_OUT_WAIT_MS = 1;

/** Pages of another domain that were mapped at once, and are let go of at once: a mapping of their own. */
export class ForeignPages implements Disposable {
  /** By page: 0 when it is mapped, else the negative errno of Xen; such a page must not be touched. */
  readonly errors: Int32Array;
  readonly #mapping: Mapping;

  private constructor(mapping: Mapping, errors: Int32Array) {
    this.#mapping = mapping;
    this.errors = errors;
  }

  /**
   * Maps frames with one call of Xen's driver, on another thread. Linux keeps the list of a mapping's pages
   * for as long as any of it is there, so that nothing is ever unmapped in part or put over a part of it.
   *
   * @param fd - privcmd, the caller's, open until this is settled
   * @throws {VmMemoryError} FOREIGN_MAP_FAILED when the call as a whole failed
   * @throws {XenSysError} NOT_PERMITTED when that is why
   * @throws {SysError} when there are no more mappings
   */
  static async map(domid: number, fd: Fd, gfn: bigint, count: number): Promise<ForeignPages> {
    const dom = asDomId(domid);
    const frames = BigUint64Array.from({ length: count }, (_, i) => gfn + BigInt(i));
    const errors = new Int32Array(count);
    for (let attempt = 1; ; attempt++) {
      const mapping = Mapping.create({
        length: count * PAGE_SIZE,
        flags: MAP_SHARED,
        fd,
        subject: `memory of domain ${domid}`,
      });
      try {
        const result = await mapBatch(dom, fd, mapping, frames, errors);
        const pagedOut = errors.includes(-ENOENT);
        // A call that failed otherwise has told nothing by page.
        if (result < 0 && !pagedOut) throw whyNot(dom, fd, gfn, count);
        if (!pagedOut || attempt === PAGED_OUT_ATTEMPTS) return new ForeignPages(mapping, errors);
      } catch (error) {
        mapping.close();
        throw error;
      }
      mapping.close();
      await sleep(PAGED_OUT_WAIT_MS);
    }
  }

  /** Address of the first page. */
  get hostAddress(): number {
    return Number(this.#mapping.pointer);
  }

  /** Lets go of the pages, on another thread; the addresses stay until `close`, with empty memory. */
  async vacate(): Promise<void> {
    // Where it cannot be, they go with the addresses.
    if (this.#mapping.live) await this.#mapping.vacateAsync();
  }

  /** Idempotent. */
  close(): void {
    this.#mapping.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

async function mapBatch(
  dom: DomId,
  fd: Fd,
  mapping: Mapping,
  frames: BigUint64Array,
  errors: Int32Array,
): Promise<number> {
  const request = PRIVCMD_MMAPBATCH_V2.encode({
    num: frames.length,
    dom,
    addr: mapping.pointer,
    arr: addressOf(frames),
    err: addressOf(errors),
  });
  errors.fill(0);
  // The kernel has addresses only.
  const kept = [request, frames, errors];
  try {
    return await ioctlAsync(fd, IOCTL_PRIVCMD_MMAPBATCH_V2, addressOf(request));
  } finally {
    kept.length = 0;
  }
}

/** Tries one page here, where the reason can be had. */
function whyNot(domid: DomId, fd: Fd, gfn: bigint, count: number): unknown {
  const privcmd = Privcmd.fromFd(fd, false);
  try {
    privcmd.memory.map(domid, { first: gfn, count: 1 }, PROT_READ).close();
  } catch (cause) {
    return cause;
  } finally {
    privcmd.close();
  }
  return foreignMapFailed(domid, gfn, count, count, undefined);
}
