import { VRING_DESC } from '@node-vmm/virtio-bindings';
import {
  ACCESS_READ,
  copyBytes,
  type GuestMemory,
  LEND_NOT_YET,
  LEND_READY,
  SegmentTable,
} from '@node-vmm/vm-memory';
import { MALFORMED, NOT_YET, TAKEN, type TakeResult } from './take-result.ts';

const { addr, len, flags, next } = VRING_DESC.OFFSETS;
const DESC_SIZE = VRING_DESC.SIZE;
/** `next` has 16 bits, so no chain reaches further. */
const MAX_ENTRIES = 0x1_0000;
// Pieces of a table of MAX_ENTRIES whose memory is mapped page by page.
const MAX_PIECES = (MAX_ENTRIES * DESC_SIZE) / 4096 + 1;

/**
 * Reads the indirect descriptor table of one chain (VIRTIO 1.3 §2.7.5.3). `load` puts a descriptor
 * into the fields, each read from guest memory once.
 */
export class IndirectTable {
  readonly #memory: GuestMemory;
  readonly #maxChain: number;
  readonly #loan = new SegmentTable(MAX_PIECES);
  readonly #copy = new Uint8Array(DESC_SIZE);
  readonly #copyView = new DataView(this.#copy.buffer);
  #view: DataView = this.#copyView;
  #offset = 0;
  #entries = 0;

  addrLow = 0;
  addrHigh = 0;
  length = 0;
  flags = 0;
  next = 0;

  /** @param maxChain - most descriptors that a chain may have in its table */
  constructor(memory: GuestMemory, maxChain: number) {
    this.#memory = memory;
    this.#maxChain = maxChain;
  }

  /**
   * Most descriptors to follow in the open table. Drivers are told not to exceed the queue size,
   * and Linux does (its limit is the device's segment limit), so the bound is what a chain may have
   * as segments; a loop is cut off by the number of entries.
   */
  get limit(): number {
    return Math.min(this.#entries, this.#maxChain);
  }

  /** @returns TAKEN, else `close` is not due */
  open(addrLow: number, addrHigh: number, length: number): TakeResult {
    if (length === 0 || length % DESC_SIZE !== 0 || length > MAX_ENTRIES * DESC_SIZE) {
      return MALFORMED;
    }
    const loan = this.#loan;
    const answer = this.#memory.lend(addrLow, addrHigh, length, ACCESS_READ, loan);
    if (answer !== LEND_READY) return answer === LEND_NOT_YET ? NOT_YET : MALFORMED;
    this.#entries = length / DESC_SIZE;
    const offset = loan.offsetAt(0);
    const window = loan.regionAt(0).windowAt(offset, loan.lengthAt(0));
    this.#view = window.view;
    this.#offset = offset - window.offset;
    return TAKEN;
  }

  /** @returns false when the table has no such entry */
  load(index: number): boolean {
    if (index >= this.#entries) return false;
    let view = this.#view;
    let at = this.#offset + index * DESC_SIZE;
    if (this.#loan.count > 1) {
      // The table crosses a region border: rare, so the plain way will do.
      this.#copyOut(index * DESC_SIZE);
      view = this.#copyView;
      at = 0;
    }
    this.addrLow = view.getUint32(at + addr, true);
    this.addrHigh = view.getUint32(at + addr + 4, true);
    this.length = view.getUint32(at + len, true);
    this.flags = view.getUint16(at + flags, true);
    this.next = view.getUint16(at + next, true);
    return true;
  }

  /** From the pieces that are on loan: the memory itself may have others there by now. */
  #copyOut(from: number): void {
    const loan = this.#loan;
    let skip = from;
    let done = 0;
    for (let i = 0; i < loan.count && done < DESC_SIZE; i++) {
      const length = loan.lengthAt(i);
      if (skip >= length) {
        skip -= length;
        continue;
      }
      const run = Math.min(length - skip, DESC_SIZE - done);
      const offset = loan.offsetAt(i) + skip;
      const window = loan.regionAt(i).windowAt(offset, run);
      copyBytes(window.bytes, offset - window.offset, this.#copy, done, run);
      done += run;
      skip = 0;
    }
  }

  /** Gives the table back. */
  close(): void {
    this.#memory.giveBack(this.#loan, 0, this.#loan.count);
    this.#loan.truncate(0);
  }
}
