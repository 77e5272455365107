import {
  allOnes,
  type Bus,
  type Buses,
  type BusWindow,
  bothOver,
  Completion,
  type Held,
} from '@node-vmm/vm-device';
import { type GuestMemory, guestAddress } from '@node-vmm/vm-memory';
import { TWO_32 } from '@node-vmm/vmm-sys-util';
import { IOREQ_TYPE_COPY, IOREQ_TYPE_PIO } from './ioreq-layout.ts';
import type { IoreqRequest } from './ioreq-page.ts';

/**
 * Ours: most repetitions of one request. Xen splits string instructions at page borders, so no honest
 * request has more than a page of single bytes.
 */
export const MAX_REPETITIONS = 4096;

/** The value of a read that comes later; whoever waits for it is held by it. */
export class LateValue extends Completion {
  #value = 0n;

  get value(): bigint {
    return this.#value;
  }

  /** It is there. */
  give(value: bigint): void {
    if (!this.over) this.#value = value;
    this.complete();
  }
}

/** What became of an access. */
export interface AccessResult {
  /** What a read gives in `data`, unless `held` brings it ({@link LateValue}). */
  value: bigint;
  /** What the answer must wait for. */
  held: Held | undefined;
  /** Nothing was done, and the access is to be run again when this is over: its device is still being made. */
  notReady: Held | undefined;
  /** True when the request was not one that a hypervisor makes of an honest guest. */
  malformed: boolean;
}

/** Carries out what vCPUs ask for. */
export interface AccessServer {
  /** @returns a result that is valid until the next call; undefined for what is no access */
  run(request: IoreqRequest): AccessResult | undefined;
}

/** The result of an access that has not been carried out. */
export function accessResult(): AccessResult {
  return { value: 0n, held: undefined, notReady: undefined, malformed: false };
}

/**
 * Carries out accesses to memory and ports that a device serves: one access, or the repetitions of a
 * string instruction, whose other operand may be guest memory (`data_is_ptr`).
 */
export class AccessRequest implements AccessServer {
  readonly #buses: Buses;
  readonly #memory: () => GuestMemory;
  readonly #result = accessResult();
  readonly #scratch = new DataView(new ArrayBuffer(8));

  /** @param memory - asked for when a request points into it */
  constructor(buses: Buses, memory: () => GuestMemory) {
    this.#buses = buses;
    this.#memory = memory;
  }

  /** @returns a result that is valid until the next call; undefined for what is no access */
  run(request: IoreqRequest): AccessResult | undefined {
    const bus = this.busOf(request);
    return bus === undefined ? undefined : this.runAt(bus, windowOf(bus, request), request);
  }

  /** {@link run}, for who knows the bus of the request and the window that it hits first. */
  runAt(bus: Bus, window: BusWindow | undefined, request: IoreqRequest): AccessResult {
    const result = this.#result;
    result.value = 0n;
    result.held = undefined;
    result.malformed = false;
    result.notReady = window?.handler.ready;
    if (result.notReady !== undefined) return result;
    const { size, count } = request;
    if (!bus.isAccessSize(size) || count === 0 || count > MAX_REPETITIONS) {
      result.value = allOnes(size);
      result.malformed = true;
    } else if (count !== 1 || request.dataIsPtr) {
      this.#repeat(bus, request, result);
    } else if (window !== undefined && request.isRead) {
      result.value = bus.readAt(window, addressOf(request), size);
    } else {
      this.#once(bus, request, addressOf(request), result);
    }
    return result;
  }

  /** Of memory or ports, whichever the request is for. */
  busOf({ type }: IoreqRequest): Bus | undefined {
    if (type === IOREQ_TYPE_COPY) return this.#buses.memory;
    return type === IOREQ_TYPE_PIO ? this.#buses.port : undefined;
  }

  #once(bus: Bus, request: IoreqRequest, guestAddr: number, result: AccessResult): void {
    const { size } = request;
    // Above 2^53 addresses are no longer exact, and no window is there.
    if (!Number.isSafeInteger(guestAddr + size)) {
      result.value = allOnes(size);
      bus.read(Number.MAX_SAFE_INTEGER, size);
    } else if (request.isRead) {
      result.value = bus.read(guestAddr, size);
    } else {
      this.#write(bus.write(guestAddr, size, dataOf(request)), result);
    }
  }

  #write(held: Held | undefined, result: AccessResult): void {
    if (held === undefined) return;
    result.held = result.held === undefined ? held : bothOver(result.held, held);
  }

  #repeat(bus: Bus, request: IoreqRequest, result: AccessResult): void {
    const { size, count, isRead, dataIsPtr } = request;
    const step = request.backwards ? -size : size;
    // A string instruction on a port names the same port each time (INS and OUTS of x86).
    const stride = bus.space === 'port' ? 0 : step;
    const base = addressOf(request);
    const pointer = request.dataHigh * TWO_32 + request.dataLow;
    const bytes = new Uint8Array(this.#scratch.buffer, 0, size);
    for (let i = 0; i < count; i++) {
      const guestAddr = base + stride * i;
      const operand = pointer + step * i;
      if (!this.#inReach(guestAddr, size) || (dataIsPtr && !this.#inMemory(operand, size))) {
        result.value = allOnes(size);
        result.malformed = true;
        return;
      }
      if (!dataIsPtr) {
        this.#once(bus, request, guestAddr, result);
      } else if (isRead) {
        this.#scratch.setBigUint64(0, bus.read(guestAddr, size), true);
        this.#memory().write(guestAddress(operand), bytes);
      } else {
        this.#scratch.setBigUint64(0, 0n);
        this.#memory().read(guestAddress(operand), bytes);
        this.#write(bus.write(guestAddr, size, this.#scratch.getBigUint64(0, true)), result);
      }
    }
  }

  #inReach(guestAddr: number, size: number): boolean {
    return guestAddr >= 0 && Number.isSafeInteger(guestAddr + size);
  }

  #inMemory(guestAddr: number, size: number): boolean {
    return this.#inReach(guestAddr, size) && this.#memory().contains(guestAddress(guestAddr), size);
  }
}

/** Of the access, or of its first repetition; from 2^53 on not exact, and there is no window. */
function addressOf(request: IoreqRequest): number {
  return request.addrHigh * TWO_32 + request.addrLow;
}

/** The window that a request hits, or its first repetition. */
export function windowOf(bus: Bus, request: IoreqRequest): BusWindow | undefined {
  return bus.windowAt(addressOf(request), request.size);
}

function dataOf(request: IoreqRequest): bigint {
  switch (request.size) {
    case 1:
      return BigInt(request.dataLow & 0xff);
    case 2:
      return BigInt(request.dataLow & 0xffff);
    case 4:
      return BigInt(request.dataLow);
    default:
      return (BigInt(request.dataHigh) << 32n) | BigInt(request.dataLow);
  }
}
