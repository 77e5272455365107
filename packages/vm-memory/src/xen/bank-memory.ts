import { XEN_MMAP_FOREIGN } from '@node-vmm/virtio-bindings';
import { PAGE_SIZE, TWO_32 } from '@node-vmm/vmm-sys-util';
import { copyBytes } from '../copy-bytes.ts';
import { rangeText, VmMemoryError } from '../errors.ts';
import type { GuestAddress } from '../guest-address.ts';
import {
  type Access,
  type GuestMemory,
  type GuestMemoryRegion,
  type GuestSlice,
  LEND_FAULT,
  LEND_READY,
  type LendResult,
} from '../guest-memory.ts';
import { GuestNumbers } from '../guest-numbers.ts';
import { type GuestRange, sortRanges } from '../guest-range.ts';
import type { SegmentTable } from '../segment-table.ts';
import type { ShareableMemory, SharedMemoryRegion } from '../shared-memory.ts';
import { banksWithMemory, extentsOf, findBanks } from './foreign-extents.ts';
import { ForeignLoans } from './foreign-loans.ts';
import { ForeignSource, type ForeignSourceOptions } from './foreign-source.ts';
import { LookedAtPages } from './looked-at-pages.ts';

/** Where to look for the RAM banks of a Xen guest. */
export interface XenBankOptions extends ForeignSourceOptions {
  /** Where the architecture may have RAM, page-aligned: `GUEST_LAYOUTS`. */
  readonly candidateRanges: Iterable<GuestRange>;
  /** What the guest may have at most, in pages (`XENMEM_maximum_reservation`), where somebody says so. */
  readonly maxPages?: bigint;
}

/** RAM banks of a Xen guest that somebody told of. */
export interface XenToldBanks extends ForeignSourceOptions {
  readonly banks: Iterable<GuestRange>;
}

/** Without a limit, bytes without memory that end a range. */
const GIVE_UP_AFTER = 1024n * 1024n * 1024n;

interface Bank {
  readonly guestAddr: GuestAddress;
  readonly length: bigint;
  readonly start: number;
  readonly end: number;
}

/**
 * The memory of a Xen guest as its RAM banks, holes included, of which nothing is mapped but what is looked
 * at: for who shares a guest's memory with back-ends and reads no more of it than rings. What the guest does
 * not have now is found out when it is touched, and asked for again the next time.
 */
export class XenBankMemory extends GuestNumbers implements GuestMemory, ShareableMemory {
  /** None is always mapped. */
  readonly regions: readonly GuestMemoryRegion[] = [];
  readonly faulted = false;
  readonly sharedRegions: readonly SharedMemoryRegion[];
  readonly #source: ForeignSource;
  readonly #pages: LookedAtPages;
  readonly #loans: ForeignLoans;
  #banks: readonly Bank[];
  #live = true;

  private constructor(source: ForeignSource, banks: readonly GuestRange[]) {
    super();
    this.#source = source;
    this.#pages = new LookedAtPages(source);
    this.#loans = new ForeignLoans(source);
    this.#banks = sortRanges(banks).map(({ guestAddr, length }) => {
      const start = Number(guestAddr);
      return { guestAddr, length: BigInt(length), start, end: start + Number(length) };
    });
    this.sharedRegions = this.shared(this.#banks);
  }

  /**
   * Looks for the banks of a guest. Node's event loop goes on turning meanwhile.
   *
   * @throws {VmMemoryError} FOREIGN_MAP_FAILED when there is no memory at all, or with the
   * `XenSysError` as cause, such as NO_SUCH_DOMAIN; BAD_REGION, OVERLAP
   * @throws {XenSysError} NO_PRIVCMD, NOT_PERMITTED
   */
  static async find(options: XenBankOptions): Promise<XenBankMemory> {
    const { candidateRanges, maxPages } = options;
    const limit = maxPages === undefined ? undefined : maxPages * BigInt(PAGE_SIZE);
    const ranges = sortRanges(candidateRanges);
    return await XenBankMemory.#make(options, (source) =>
      findBanks(source, { ranges, limit, giveUpAfter: GIVE_UP_AFTER }),
    );
  }

  /** Banks as somebody told of them; those in which the guest has nothing are left out. @throws as {@link find} */
  static async of(options: XenToldBanks): Promise<XenBankMemory> {
    const ranges = sortRanges(options.banks);
    return await XenBankMemory.#make(options, (source) => banksWithMemory(source, ranges));
  }

  static async #make(
    options: ForeignSourceOptions,
    look: (source: ForeignSource) => Promise<GuestRange[]>,
  ): Promise<XenBankMemory> {
    const source = new ForeignSource(options);
    try {
      const banks = await look(source);
      if (banks.length === 0) throw noMemory(options.domid);
      return new XenBankMemory(source, banks);
    } catch (error) {
      source[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * What the guest has in its banks now, without holes. Each page is mapped once, for a moment.
   *
   * @param signal - gives up before the next 2 MiB: nothing of the guest is mapped for it any more
   * @throws {VmMemoryError} FOREIGN_MAP_FAILED when the guest cannot be asked
   * @throws the signal's reason
   */
  async extents(signal?: AbortSignal): Promise<GuestRange[]> {
    return await extentsOf(this.#source, this.#banks, signal);
  }

  /** Parts of this memory as they go to another process; its descriptor lives as long as this object. */
  shared(ranges: Iterable<GuestRange>): SharedMemoryRegion[] {
    const { fd, domid } = this.#source;
    if (fd === undefined) return [];
    return sortRanges(ranges).map(({ guestAddr, length }) => ({
      guestAddr,
      length: BigInt(length),
      fd,
      fdOffset: 0n,
      xen: { mmapFlags: XEN_MMAP_FOREIGN, domid },
    }));
  }

  /** The guest gave pages back or has others: what is looked at next is mapped anew. */
  renew(): void {
    this.#pages.clear();
  }

  contains(guestAddr: GuestAddress, length: number): boolean {
    return this.#covered(Number(guestAddr), length);
  }

  read(guestAddr: GuestAddress, target: Uint8Array): void {
    this.#copy(guestAddr, target, false);
  }

  write(guestAddr: GuestAddress, source: Uint8Array): void {
    this.#copy(guestAddr, source, true);
  }

  slice(guestAddr: GuestAddress, length: number, _access: Access): GuestSlice {
    const address = Number(guestAddr);
    if (!Number.isInteger(length) || length <= 0 || !this.#covered(address, length)) {
      throw outOfRange(guestAddr, length);
    }
    if (this.#runAt(address) < length) {
      throw new VmMemoryError(
        'NOT_CONTIGUOUS',
        `Cannot borrow ${rangeText(guestAddr, length)}: the run crosses a region border`,
        { guestAddr, length: BigInt(length) },
      );
    }
    const slice = this.#loans.slice(address, length);
    if (slice === undefined) throw outOfRange(guestAddr, length);
    return slice;
  }

  lend(
    addrLow: number,
    addrHigh: number,
    length: number,
    _access: Access,
    table: SegmentTable,
  ): LendResult {
    const address = addrHigh * TWO_32 + addrLow;
    if (length === 0 || !this.#covered(address, length)) return LEND_FAULT;
    const mark = table.count;
    for (let done = 0; done < length; ) {
      const run = Math.min(length - done, this.#runAt(address + done));
      if (!this.#loans.lend(address + done, run, table)) {
        this.giveBack(table, mark, table.count - mark);
        table.truncate(mark);
        return LEND_FAULT;
      }
      done += run;
    }
    return LEND_READY;
  }

  whenReady(_retry: () => void): void {
    // A loan is mapped at once: none has to wait.
  }

  giveBack(table: SegmentTable, first: number, count: number): void {
    for (let i = first; i < first + count; i++) this.#loans.giveBack(table.regionAt(i));
  }

  /** Unmaps what is mapped; views of it that were kept must not be used. Idempotent. */
  close(): void {
    if (!this.#live) return;
    this.#live = false;
    this.#banks = [];
    this.#pages.clear();
    this.#loans.close();
    this.#source[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** The page itself; a number that is in two of them is copied. */
  protected shown(guestAddr: GuestAddress, length: number): DataView | undefined {
    const address = Number(guestAddr);
    const offset = address % PAGE_SIZE;
    if (offset + length > PAGE_SIZE || !this.#covered(address, length)) return undefined;
    this.at = offset;
    return this.#pages.at((address - offset) / PAGE_SIZE);
  }

  /** Bytes from an address to the end of its bank, 0 outside. */
  #runAt(address: number): number {
    const bank = this.#banks.find(({ start, end }) => start <= address && address < end);
    return bank === undefined ? 0 : bank.end - address;
  }

  #covered(address: number, length: number): boolean {
    if (length === 0) return true;
    if (!(length > 0)) return false;
    for (let done = 0; done < length; ) {
      const run = this.#runAt(address + done);
      if (run === 0) return false;
      done += run;
    }
    return true;
  }

  #copy(guestAddr: GuestAddress, bytes: Uint8Array, toGuest: boolean): void {
    const { length } = bytes;
    const address = Number(guestAddr);
    if (!this.#covered(address, length)) throw outOfRange(guestAddr, length);
    // All or nothing: the first time to see whether all of it is there.
    for (const copy of length > PAGE_SIZE - (address % PAGE_SIZE) ? [false, true] : [true]) {
      for (let done = 0; done < length; ) {
        const offset = (address + done) % PAGE_SIZE;
        const run = Math.min(length - done, PAGE_SIZE - offset);
        const page = this.#pages.at(Math.floor((address + done) / PAGE_SIZE));
        if (page === undefined) throw outOfRange(guestAddr, length);
        if (copy) copyRun(bytes, done, page, offset, run, toGuest);
        done += run;
      }
    }
  }
}

function copyRun(
  bytes: Uint8Array,
  at: number,
  page: DataView<ArrayBuffer>,
  offset: number,
  run: number,
  toGuest: boolean,
): void {
  const guest = new Uint8Array(page.buffer);
  if (toGuest) copyBytes(bytes, at, guest, offset, run);
  else copyBytes(guest, offset, bytes, at, run);
}

function noMemory(domid: number): VmMemoryError {
  return new VmMemoryError(
    'FOREIGN_MAP_FAILED',
    `Cannot use memory of domain ${domid}: it has none where it may have RAM; tell where that is`,
    { domid },
  );
}

function outOfRange(guestAddr: GuestAddress, length: number): VmMemoryError {
  return new VmMemoryError(
    'OUT_OF_RANGE',
    `Cannot access ${rangeText(guestAddr, length)}: no guest memory there`,
    { guestAddr, length: Number.isSafeInteger(length) ? BigInt(length) : 0n },
  );
}
