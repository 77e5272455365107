import type { GuestAddress } from './guest-address.ts';
import type { GuestMemory } from './guest-memory.ts';

/** The part of {@link GuestMemory} that numbers are. */
type Numbers = Pick<
  GuestMemory,
  | 'read'
  | 'write'
  | 'readU8'
  | 'readU16'
  | 'readU32'
  | 'readU64'
  | 'writeU8'
  | 'writeU16'
  | 'writeU32'
  | 'writeU64'
>;

/**
 * Little-endian numbers in guest memory: in one go where one view shows all of their bytes, so that nobody sees
 * half of one; else as bytes that are copied.
 */
export abstract class GuestNumbers implements Numbers {
  /** Where in the view that `shown` returned last the bytes begin. */
  protected at = 0;
  readonly #scratch = new Uint8Array(8);
  readonly #scratchView = new DataView(this.#scratch.buffer);

  abstract read(guestAddr: GuestAddress, target: Uint8Array): void;
  abstract write(guestAddr: GuestAddress, source: Uint8Array): void;

  /**
   * What shows `length` bytes, from `at` on.
   *
   * @returns undefined where no one view does, or there is nothing: `read` and `write` find out
   */
  protected abstract shown(guestAddr: GuestAddress, length: number): DataView | undefined;

  readU8(guestAddr: GuestAddress): number {
    return this.#readable(guestAddr, 1).getUint8(this.at);
  }

  readU16(guestAddr: GuestAddress): number {
    return this.#readable(guestAddr, 2).getUint16(this.at, true);
  }

  readU32(guestAddr: GuestAddress): number {
    return this.#readable(guestAddr, 4).getUint32(this.at, true);
  }

  readU64(guestAddr: GuestAddress): bigint {
    return this.#readable(guestAddr, 8).getBigUint64(this.at, true);
  }

  writeU8(guestAddr: GuestAddress, value: number): void {
    const view = this.#writable(guestAddr, 1);
    view.setUint8(this.at, value);
    this.#written(guestAddr, 1, view);
  }

  writeU16(guestAddr: GuestAddress, value: number): void {
    const view = this.#writable(guestAddr, 2);
    view.setUint16(this.at, value, true);
    this.#written(guestAddr, 2, view);
  }

  writeU32(guestAddr: GuestAddress, value: number): void {
    const view = this.#writable(guestAddr, 4);
    view.setUint32(this.at, value, true);
    this.#written(guestAddr, 4, view);
  }

  writeU64(guestAddr: GuestAddress, value: bigint): void {
    const view = this.#writable(guestAddr, 8);
    view.setBigUint64(this.at, value, true);
    this.#written(guestAddr, 8, view);
  }

  #readable(guestAddr: GuestAddress, length: number): DataView {
    const view = this.shown(guestAddr, length);
    if (view !== undefined) return view;
    this.read(guestAddr, this.#scratch.subarray(0, length));
    return this.#copied();
  }

  #writable(guestAddr: GuestAddress, length: number): DataView {
    return this.shown(guestAddr, length) ?? this.#copied();
  }

  #copied(): DataView {
    this.at = 0;
    return this.#scratchView;
  }

  #written(guestAddr: GuestAddress, length: number, view: DataView): void {
    if (view === this.#scratchView) this.write(guestAddr, this.#scratch.subarray(0, length));
  }
}
