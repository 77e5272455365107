import type { FaultMark } from '@node-vmm/vmm-sys-util';
import type { GuestAddress } from './guest-address.ts';
import type { GuestMemoryRegion } from './guest-memory.ts';
import { HostWindows, MAX_PIECE, type MemoryWindow, WINDOW_LENGTH } from './host-windows.ts';

/** A {@link GuestMemoryRegion} of mapped memory, shown where it is looked at. */
export class MappedRegion implements GuestMemoryRegion {
  readonly guestAddr: GuestAddress;
  readonly length: number;
  readonly hostAddress: number;
  readonly fault: FaultMark | undefined;
  /** `guestAddr` as a number; exact, see `GUEST_ADDRESS_LIMIT`. */
  readonly start: number;
  /** Longest piece of it that one window shows wherever it begins, bytes. */
  readonly maxPiece: number;
  #windows: HostWindows;
  #bytes: Uint8Array | undefined;
  #view: DataView | undefined;

  /**
   * @param windows - of the region's memory, whole; at most `MAX_VIEW_LENGTH` bytes. They may be those of
   * other regions, too, and are not closed with this one
   * @param fault - where its mark is, if it is guarded
   */
  constructor(guestAddr: GuestAddress, windows: HostWindows, fault?: FaultMark) {
    this.guestAddr = guestAddr;
    this.length = windows.length;
    this.hostAddress = windows.hostAddress;
    this.fault = fault;
    this.start = Number(guestAddr);
    this.maxPiece = windows.length <= WINDOW_LENGTH ? windows.length : MAX_PIECE;
    this.#windows = windows;
  }

  /** A region over an `ArrayBuffer` of its own. @param hostAddress - where `buffer` starts */
  static ofBuffer(guestAddr: GuestAddress, hostAddress: number, buffer: ArrayBuffer): MappedRegion {
    const show = (offset: number, length: number): Uint8Array =>
      new Uint8Array(buffer, offset, length);
    return new MappedRegion(guestAddr, new HostWindows(hostAddress, buffer.byteLength, show));
  }

  get bytes(): Uint8Array {
    this.#bytes ??= this.#windows.bytesAt(0, this.length);
    return this.#bytes;
  }

  get view(): DataView {
    const { buffer, byteOffset, byteLength } = this.bytes;
    this.#view ??= new DataView(buffer, byteOffset, byteLength);
    return this.#view;
  }

  windowAt(offset: number, length: number): MemoryWindow {
    return this.#windows.at(offset, length);
  }

  bytesAt(offset: number, length: number): Uint8Array {
    return this.#windows.bytesAt(offset, length);
  }

  /** @throws {VmMemoryError} CLOSED */
  checkLive(): void {
    this.#windows.checkLive();
  }

  /** From now on nothing is shown. Idempotent. */
  close(): void {
    this.#windows = HostWindows.CLOSED;
    this.#bytes = undefined;
    this.#view = undefined;
  }
}
