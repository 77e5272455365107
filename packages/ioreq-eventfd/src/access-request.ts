import { type GuestMemory, guestAddress } from '@node-vmm/vm-memory';
import { TWO_32 } from '@node-vmm/vmm-sys-util';
import { IOREQ_TYPE_COPY } from './ioreq-layout.ts';
import type { IoreqRequest } from './ioreq-page.ts';
import { allOnes, isAccessSize, type MmioBus } from './mmio-bus.ts';

/**
 * Most repetitions of one request. Xen splits string instructions at page borders, so no honest
 * request has more than a page of single bytes.
 */
export const MAX_REPETITIONS = 4096;

/** What became of an IOREQ_TYPE_COPY request. */
export interface CopyResult {
  /** What a read gives in `data`. */
  value: bigint;
  /** What the answer must wait for. */
  held: Promise<unknown> | undefined;
  /** True when the request was not one that a hypervisor makes of an honest guest. */
  malformed: boolean;
}

/**
 * Carries out accesses to memory that a device serves: one access, or the repetitions of a string
 * instruction, whose other operand may be guest memory (`data_is_ptr`).
 */
export class CopyRequest {
  readonly #bus: MmioBus;
  readonly #memory: () => GuestMemory;
  readonly #result: CopyResult = { value: 0n, held: undefined, malformed: false };
  readonly #scratch = new DataView(new ArrayBuffer(8));

  /** @param memory - asked for when a request points into it */
  constructor(bus: MmioBus, memory: () => GuestMemory) {
    this.#bus = bus;
    this.#memory = memory;
  }

  /** What the request must wait for before it is run. */
  notReady(request: IoreqRequest): Promise<void> | undefined {
    if (request.type !== IOREQ_TYPE_COPY) return undefined;
    return this.#bus.notReady(request.addrHigh * TWO_32 + request.addrLow, request.size);
  }

  /** @returns a result that is valid until the next call */
  run(request: IoreqRequest): CopyResult {
    const result = this.#result;
    result.value = 0n;
    result.held = undefined;
    result.malformed = false;
    const { size, count } = request;
    if (!isAccessSize(size) || count === 0 || count > MAX_REPETITIONS) {
      result.value = allOnes(8);
      result.malformed = true;
    } else if (count === 1 && !request.dataIsPtr) {
      this.#once(request, request.addrHigh * TWO_32 + request.addrLow, result);
    } else {
      this.#repeat(request, result);
    }
    return result;
  }

  #once(request: IoreqRequest, guestAddr: number, result: CopyResult): void {
    const { size } = request;
    // Above 2^53 addresses are no longer exact, and no window is there.
    if (!Number.isSafeInteger(guestAddr + size)) {
      result.value = allOnes(size);
      this.#bus.read(Number.MAX_SAFE_INTEGER, size);
    } else if (request.isRead) {
      result.value = this.#bus.read(guestAddr, size);
    } else {
      this.#write(guestAddr, size, dataOf(request), result);
    }
  }

  #write(guestAddr: number, size: number, value: bigint, result: CopyResult): void {
    const held = this.#bus.write(guestAddr, size, value);
    if (held === undefined) return;
    result.held = result.held === undefined ? held : Promise.all([result.held, held]);
  }

  #repeat(request: IoreqRequest, result: CopyResult): void {
    const { size, count, isRead, dataIsPtr } = request;
    const step = request.backwards ? -size : size;
    const base = request.addrHigh * TWO_32 + request.addrLow;
    const pointer = request.dataHigh * TWO_32 + request.dataLow;
    const bytes = new Uint8Array(this.#scratch.buffer, 0, size);
    for (let i = 0; i < count; i++) {
      const guestAddr = base + step * i;
      const operand = pointer + step * i;
      if (!this.#inReach(guestAddr, size) || (dataIsPtr && !this.#inMemory(operand, size))) {
        result.value = allOnes(size);
        result.malformed = true;
        return;
      }
      if (!dataIsPtr) {
        this.#once(request, guestAddr, result);
      } else if (isRead) {
        this.#scratch.setBigUint64(0, this.#bus.read(guestAddr, size), true);
        this.#memory().write(guestAddress(operand), bytes);
      } else {
        this.#scratch.setBigUint64(0, 0n);
        this.#memory().read(guestAddress(operand), bytes);
        this.#write(guestAddr, size, this.#scratch.getBigUint64(0, true), result);
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
