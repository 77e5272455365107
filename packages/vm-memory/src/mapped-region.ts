import type { FaultMark } from '@node-vmm/vmm-sys-util';
import { VmMemoryError } from './errors.ts';
import type { GuestAddress } from './guest-address.ts';
import type { GuestMemoryRegion } from './guest-memory.ts';

/** A {@link GuestMemoryRegion} over an `ArrayBuffer` that shows mapped memory. */
export class MappedRegion implements GuestMemoryRegion {
  readonly guestAddr: GuestAddress;
  readonly length: number;
  readonly hostAddress: number;
  readonly fault: FaultMark | undefined;
  /** `guestAddr` as a number; exact, see `GUEST_ADDRESS_LIMIT`. */
  readonly start: number;
  #bytes: Uint8Array | undefined;
  #view: DataView | undefined;

  /**
   * @param buffer - the region's memory, whole
   * @param hostAddress - where `buffer` starts in this process
   * @param fault - where its mark is, if it is guarded
   */
  constructor(
    guestAddr: GuestAddress,
    hostAddress: number,
    buffer: ArrayBuffer,
    fault?: FaultMark,
  ) {
    this.guestAddr = guestAddr;
    this.length = buffer.byteLength;
    this.hostAddress = hostAddress;
    this.fault = fault;
    this.start = Number(guestAddr);
    this.#bytes = new Uint8Array(buffer);
    this.#view = new DataView(buffer);
  }

  get bytes(): Uint8Array {
    return this.#bytes ?? closed();
  }

  get view(): DataView {
    return this.#view ?? closed();
  }

  /** From now on `bytes` and `view` refuse. Idempotent. */
  close(): void {
    this.#bytes = undefined;
    this.#view = undefined;
  }
}

function closed(): never {
  throw new VmMemoryError('CLOSED', 'Cannot access guest memory: it is closed');
}
