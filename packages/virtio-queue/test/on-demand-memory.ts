import {
  type Access,
  type GuestAddress,
  type GuestMemory,
  type GuestMemoryRegion,
  type GuestSlice,
  LEND_FAULT,
  LEND_READY,
  type LendResult,
  MappedRegion,
  type SegmentTable,
  VmMemoryError,
} from '@node-vmm/vm-memory';

const PAGE = 4096;
/** Addresses of granted memory have bit 63 set, and a grant reference above the page offset. */
export const GRANT = 1n << 63n;

interface Page {
  region: MappedRegion;
  loans: number;
}

/**
 * Memory that is mapped page by page when it is borrowed and unmapped with the last loan, as Xen's
 * grants are: shows that borrowers need nothing else than `GuestMemory` says.
 */
export class OnDemandMemory implements GuestMemory {
  readonly regions: readonly GuestMemoryRegion[] = [];
  readonly faulted = false;
  readonly #granted: ReadonlyMap<bigint, ArrayBuffer>;
  readonly #mapped = new Map<bigint, Page>();

  /** @param granted - page by grant reference: what the guest granted */
  constructor(granted: ReadonlyMap<bigint, ArrayBuffer>) {
    this.#granted = granted;
  }

  /** Pages mapped now. */
  get mapped(): number {
    return this.#mapped.size;
  }

  contains(guestAddr: GuestAddress, length: number): boolean {
    return this.#pieces(guestAddr, length) !== undefined;
  }

  read(guestAddr: GuestAddress, target: Uint8Array): void {
    this.#copy(guestAddr, target, (own, guest) => own.set(guest));
  }

  write(guestAddr: GuestAddress, source: Uint8Array): void {
    this.#copy(guestAddr, source, (own, guest) => guest.set(own));
  }

  readU8 = (at: GuestAddress): number => this.#load(at, 1).getUint8(0);
  readU16 = (at: GuestAddress): number => this.#load(at, 2).getUint16(0, true);
  readU32 = (at: GuestAddress): number => this.#load(at, 4).getUint32(0, true);
  readU64 = (at: GuestAddress): bigint => this.#load(at, 8).getBigUint64(0, true);
  writeU8 = (at: GuestAddress, value: number): void => this.write(at, Uint8Array.of(value));
  writeU16 = (at: GuestAddress, value: number): void =>
    this.write(at, new Uint8Array(Uint16Array.of(value).buffer));
  writeU32 = (at: GuestAddress, value: number): void =>
    this.write(at, new Uint8Array(Uint32Array.of(value).buffer));
  writeU64 = (at: GuestAddress, value: bigint): void =>
    this.write(at, new Uint8Array(BigUint64Array.of(value).buffer));

  slice(guestAddr: GuestAddress, length: number, _access: Access): GuestSlice {
    const pieces = this.#pieces(guestAddr, length);
    if (pieces === undefined) throw new VmMemoryError('OUT_OF_RANGE', 'not granted');
    const [piece] = pieces;
    if (piece === undefined || pieces.length > 1) {
      throw new VmMemoryError('NOT_CONTIGUOUS', 'more than a page');
    }
    const region = this.#map(piece.ref);
    let out = true;
    const release = (): void => {
      if (out) this.#unmap(piece.ref);
      out = false;
    };
    return {
      guestAddr,
      length,
      hostAddress: region.hostAddress + piece.offset,
      bytes: region.bytes.subarray(piece.offset, piece.offset + length),
      view: new DataView(region.view.buffer, piece.offset, length),
      release,
      [Symbol.dispose]: release,
    };
  }

  lend(
    low: number,
    high: number,
    length: number,
    _access: Access,
    table: SegmentTable,
  ): LendResult {
    const pieces = this.#pieces((BigInt(high) << 32n) + BigInt(low), length);
    if (pieces === undefined || table.count + pieces.length > table.capacity) return LEND_FAULT;
    for (const { ref, offset, run } of pieces) table.push(this.#map(ref), offset, run);
    return LEND_READY;
  }

  whenReady(): void {}

  giveBack(table: SegmentTable, first: number, count: number): void {
    for (let i = first; i < first + count; i++) {
      this.#unmap((table.regionAt(i).guestAddr & ~GRANT) / BigInt(PAGE));
    }
  }

  [Symbol.dispose](): void {}

  #pieces(guestAddr: bigint, length: number) {
    const pieces: { ref: bigint; offset: number; run: number }[] = [];
    if ((guestAddr & GRANT) === 0n || length === 0) return undefined;
    let at = guestAddr & ~GRANT;
    for (let left = length; left > 0; ) {
      const ref = at / BigInt(PAGE);
      if (!this.#granted.has(ref)) return undefined;
      const offset = Number(at % BigInt(PAGE));
      const run = Math.min(left, PAGE - offset);
      pieces.push({ ref, offset, run });
      left -= run;
      at += BigInt(run);
    }
    return pieces;
  }

  #map(ref: bigint): MappedRegion {
    let page = this.#mapped.get(ref);
    if (page === undefined) {
      const buffer = this.#granted.get(ref) ?? new ArrayBuffer(0);
      const address = (GRANT | (ref * BigInt(PAGE))) as GuestAddress;
      page = { region: MappedRegion.ofBuffer(address, 0x10_0000, buffer), loans: 0 };
      this.#mapped.set(ref, page);
    }
    page.loans++;
    return page.region;
  }

  #unmap(ref: bigint): void {
    const page = this.#mapped.get(ref);
    if (page === undefined) throw new Error(`grant ${ref} is not mapped`);
    if (--page.loans > 0) return;
    page.region.close();
    this.#mapped.delete(ref);
  }

  #copy(at: GuestAddress, own: Uint8Array, move: (own: Uint8Array, guest: Uint8Array) => void) {
    const pieces = this.#pieces(at, own.length);
    if (pieces === undefined) throw new VmMemoryError('OUT_OF_RANGE', 'not granted');
    let done = 0;
    for (const { ref, offset, run } of pieces) {
      const { bytes } = this.#map(ref);
      move(own.subarray(done, done + run), bytes.subarray(offset, offset + run));
      this.#unmap(ref);
      done += run;
    }
  }

  #load(at: GuestAddress, length: number): DataView {
    const bytes = new Uint8Array(length);
    this.read(at, bytes);
    return new DataView(bytes.buffer);
  }
}
