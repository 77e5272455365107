import { type EventFd, errorMessage, hex, type Logger, silentLogger } from '@node-vmm/vmm-sys-util';
import { type AddressRange, type AddressSpace, describeRange, SPACES } from './address-space.ts';
import type { BusHandler } from './bus-handler.ts';
import { VmError } from './errors.ts';
import type { Held } from './held.ts';
import type { IoeventfdMatch } from './vm.ts';

const ALL_ONES: Readonly<Record<number, bigint>> = {
  1: 0xffn,
  2: 0xffffn,
  4: 0xffff_ffffn,
  8: 0xffff_ffff_ffff_ffffn,
};

/** What a bus counted since it was made; read by metrics, never reset. */
export interface BusCounters {
  reads: number;
  writes: number;
  /** Writes that signalled an eventfd instead of reaching a handler. */
  ioeventfds: number;
  /** Accesses where no window is, or that straddle the end of one. */
  unmatched: number;
  /** Errors thrown by handlers, and eventfds that could not be signalled. */
  handlerErrors: number;
}

/** What two buses counted together. */
export function addBus(a: Readonly<BusCounters>, b: Readonly<BusCounters>): BusCounters {
  return {
    reads: a.reads + b.reads,
    writes: a.writes + b.writes,
    ioeventfds: a.ioeventfds + b.ioeventfds,
    unmatched: a.unmatched + b.unmatched,
    handlerErrors: a.handlerErrors + b.handlerErrors,
  };
}

/** The counters of a bus before its first access. */
export function busCounters(): BusCounters {
  return { reads: 0, writes: 0, ioeventfds: 0, unmatched: 0, handlerErrors: 0 };
}

/** A window of the bus's own address space. */
type Place = Omit<AddressRange, 'space'>;

interface Ioeventfd {
  readonly offset: number;
  readonly length: number;
  readonly datamatch: bigint | undefined;
  readonly eventfd: EventFd;
}

/** A window that is mapped on a bus. */
export interface BusWindow {
  readonly base: number;
  /** The first address behind it. */
  readonly end: number;
  readonly handler: BusHandler;
}

interface Window extends BusWindow {
  /** By offset: usually one register, with a datamatch for each queue. */
  readonly ioeventfds: Map<number, Ioeventfd[]>;
}

/** All ones of `size` bytes: what a read of nothing gives. */
export function allOnes(size: number): bigint {
  return ALL_ONES[size] ?? (ALL_ONES[8] as bigint);
}

/** The low `size` bytes. With a width that the engine knows this is a mask, else a call and a new number. */
function lowBytes(size: number, value: bigint): bigint {
  switch (size) {
    case 4:
      return BigInt.asUintN(32, value);
    case 8:
      return BigInt.asUintN(64, value);
    default:
      return BigInt.asUintN(8 * size, value);
  }
}

/**
 * One address space: routes a guest's accesses to the handlers of the windows that they hit, and the writes that an
 * ioeventfd asks for to its eventfd. Every access is answered: what matches nothing, or a handler
 * that throws, reads all ones; such writes are dropped.
 *
 * Addresses are plain numbers: no window lies above 2^53.
 */
export class Bus {
  readonly counters: BusCounters;
  readonly space: AddressSpace;
  readonly #logger: Logger;
  // Ascending and disjoint.
  readonly #windows: Window[] = [];
  #lastHit: Window | undefined;

  /** @param options - `counters`: counted there; default: an object of its own */
  constructor(
    space: AddressSpace,
    options: { readonly logger?: Logger; readonly counters?: BusCounters } = {},
  ) {
    this.space = space;
    this.counters = options.counters ?? busCounters();
    this.#logger = options.logger ?? silentLogger;
  }

  /** True for a width that an access can have here: 1, 2, 4 and, in memory, 8 bytes. */
  isAccessSize(size: number): boolean {
    return ALL_ONES[size] !== undefined && size <= SPACES[this.space].widest;
  }

  /**
   * Claims a window.
   *
   * @returns gives it back, with the ioeventfds in it; idempotent
   * @throws {VmError} RANGE_IN_USE, BAD_RANGE
   */
  map(range: Place, handler: BusHandler): () => void {
    const window = this.#checkRange(range, handler);
    const index = this.#windows.findIndex((other) => other.base >= window.end);
    this.#windows.splice(index < 0 ? this.#windows.length : index, 0, window);
    return () => {
      const at = this.#windows.indexOf(window);
      if (at >= 0) this.#windows.splice(at, 1);
      if (this.#lastHit === window) this.#lastHit = undefined;
    };
  }

  #checkRange(range: Place, handler: BusHandler): Window {
    const { base, length } = range;
    const end = base + BigInt(Number.isSafeInteger(length) ? length : 0);
    const { space } = this;
    const context = { space, guestAddr: base, length };
    const what = describeRange({ space, base, length });
    if (base < 0n || end <= base || end > BigInt(SPACES[space].end)) {
      const text = `Cannot map ${what}: no such range`;
      throw new VmError('BAD_RANGE', text, context);
    }
    const window = { base: Number(base), end: Number(end), handler, ioeventfds: new Map() };
    const other = this.#windows.find((w) => w.base < window.end && window.base < w.end);
    if (other !== undefined) {
      const text = `Cannot map ${what}: it overlaps the one at ${hex(other.base)}`;
      throw new VmError('RANGE_IN_USE', text, context);
    }
    return window;
  }

  /**
   * The window that holds a register, for wirings made elsewhere.
   *
   * @throws {VmError} NOT_MAPPED
   */
  windowOf(guestAddr: bigint, length: number): AddressRange {
    const { base, end } = this.#windowOf(guestAddr, length);
    return { space: this.space, base: BigInt(base), length: end - base };
  }

  #windowOf(guestAddr: bigint, length: number): Window {
    const window = this.#find(Number(guestAddr), length);
    if (window !== undefined) return window;
    const { window: kind, register } = SPACES[this.space];
    throw new VmError(
      'NOT_MAPPED',
      `Cannot wire ${register} ${hex(guestAddr)}: it is not in ${kind} that was mapped; map it first`,
      { space: this.space, guestAddr, length },
    );
  }

  /**
   * Signals an eventfd for matching writes instead of calling the handler.
   *
   * @returns undoes it; idempotent
   * @throws {VmError} NOT_MAPPED, IOEVENTFD_IN_USE
   */
  addIoeventfd(match: IoeventfdMatch, eventfd: EventFd): () => void {
    const { guestAddr, length, datamatch } = match;
    const window = this.#windowOf(guestAddr, length);
    const offset = Number(guestAddr) - window.base;
    const entry: Ioeventfd = { offset, length, datamatch, eventfd };
    const entries = window.ioeventfds.get(offset) ?? [];
    const collides = (other: Ioeventfd): boolean =>
      other.length === length &&
      (datamatch === undefined || other.datamatch === undefined || other.datamatch === datamatch);
    if (entries.some(collides)) {
      throw new VmError(
        'IOEVENTFD_IN_USE',
        `Cannot wire ${SPACES[this.space].register} ${hex(guestAddr)}: another ioeventfd takes these writes`,
        { space: this.space, guestAddr, length },
      );
    }
    entries.push(entry);
    window.ioeventfds.set(offset, entries);
    return () => {
      const at = entries.indexOf(entry);
      if (at >= 0) entries.splice(at, 1);
    };
  }

  /** The window that holds all of an access, if there is one. Its handler may have the access wait (`ready`). */
  windowAt(guestAddr: number, size: number): BusWindow | undefined {
    return this.#find(guestAddr, size);
  }

  /**
   * The guest reads.
   *
   * @param guestAddr - a safe integer
   * @param size - 1, 2, 4 or 8 bytes
   * @returns the value, in the low `size` bytes
   */
  read(guestAddr: number, size: number): bigint {
    return this.readAt(this.#find(guestAddr, size), guestAddr, size);
  }

  /** {@link read}, for who knows the window: what {@link windowAt} gives for this access. */
  readAt(window: BusWindow | undefined, guestAddr: number, size: number): bigint {
    if (window === undefined) return this.#unmatched(guestAddr, size);
    this.counters.reads++;
    try {
      return lowBytes(size, window.handler.read(guestAddr - window.base, size));
    } catch (error) {
      this.#failed('read', guestAddr, error);
      return allOnes(size);
    }
  }

  /**
   * The guest writes.
   *
   * @param value - in the low `size` bytes, the others zero
   * @returns what the guest is to wait for, if its handler wants that
   */
  write(guestAddr: number, size: number, value: bigint): Held | undefined {
    const window = this.#find(guestAddr, size);
    if (window === undefined) {
      this.#unmatched(guestAddr, size);
      return undefined;
    }
    this.counters.writes++;
    const offset = guestAddr - window.base;
    try {
      const entries = window.ioeventfds.get(offset);
      if (entries !== undefined && this.#signal(entries, size, value)) return undefined;
      return window.handler.write(offset, size, value);
    } catch (error) {
      this.#failed('write', guestAddr, error);
      return undefined;
    }
  }

  #signal(entries: readonly Ioeventfd[], size: number, value: bigint): boolean {
    for (const entry of entries) {
      if (entry.length !== size) continue;
      if (entry.datamatch !== undefined && entry.datamatch !== value) continue;
      this.counters.ioeventfds++;
      entry.eventfd.signal();
      return true;
    }
    return false;
  }

  #find(guestAddr: number, size: number): Window | undefined {
    const last = this.#lastHit;
    const end = guestAddr + size;
    if (last !== undefined && guestAddr >= last.base && end <= last.end) return last;
    let low = 0;
    let high = this.#windows.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#windows[middle] as Window).end <= guestAddr) low = middle + 1;
      else high = middle;
    }
    const window = this.#windows[low];
    if (window === undefined || guestAddr < window.base || end > window.end) return undefined;
    this.#lastHit = window;
    return window;
  }

  #unmatched(guestAddr: number, size: number): bigint {
    if (this.counters.unmatched++ === 0) {
      const context = { space: this.space, guestAddr: hex(guestAddr), size };
      this.#logger.warn(context, 'access to nothing, logged once of its address space');
    }
    return allOnes(size);
  }

  #failed(access: string, guestAddr: number, error: unknown): void {
    if (this.counters.handlerErrors++ > 0) return;
    const { space } = this;
    const context = { access, space, guestAddr: hex(guestAddr), error: errorMessage(error) };
    this.#logger.error(context, 'handler of a window failed, logged once of its address space');
  }
}
