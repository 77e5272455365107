import type { DriverBuffer, SplitDriverQueue } from '@node-vmm/virtio-queue/driver';
import { type GuestAddress, type GuestMemory, guestAddress } from '@node-vmm/vm-memory';
import { type RequestShape, requestParts, UNTOUCHED } from './requests.ts';

/** A request in guest memory. */
export interface GuestRequest {
  readonly head: number;
  readonly answer: { readonly guestAddr: GuestAddress; readonly length: number };
}

/**
 * The guest's i2c driver: lays requests out in memory and puts them into a queue.
 */
export class GuestI2c {
  readonly #memory: GuestMemory;
  readonly #driver: SplitDriverQueue;
  readonly #start: number;
  #next: number;

  /** @param start - guest address from where on requests may be laid out */
  constructor(memory: GuestMemory, driver: SplitDriverQueue, start: number) {
    this.#memory = memory;
    this.#driver = driver;
    this.#start = start;
    this.#next = start;
  }

  /** Forgets all requests: their memory is used again. */
  recycle(): void {
    this.#next = this.#start;
  }

  /**
   * Adds a request without publishing it.
   *
   * @param piece - bytes per descriptor; default one each for header, data and status
   * @param indirect - put the descriptors into an indirect table
   */
  add(shape: RequestShape, piece?: number, indirect = false): GuestRequest {
    const { out, inLength } = requestParts(shape);
    const outAddr = this.#place(out);
    const answer = this.#place(new Uint8Array(inLength).fill(UNTOUCHED));
    const cut = (from: number, length: number, at: number[], writable: boolean): DriverBuffer[] =>
      [0, ...at].map((start, i) => ({
        guestAddr: guestAddress(from + start),
        length: (at[i] ?? length) - start,
        writable,
      }));
    const cuts = (length: number): number[] =>
      Array.from(
        { length: Math.ceil(length / (piece ?? length)) - 1 },
        (_, i) => (i + 1) * (piece ?? 0),
      );
    const buffers = [
      ...cut(
        outAddr,
        out.length,
        piece === undefined ? ends(8, out.length) : cuts(out.length),
        false,
      ),
      ...cut(
        answer,
        inLength,
        piece === undefined ? ends(inLength - 1, inLength) : cuts(inLength),
        true,
      ),
    ];
    const table = indirect
      ? guestAddress(this.#place(new Uint8Array(16 * buffers.length)))
      : undefined;
    const head = this.#driver.add(buffers, table);
    if (head < 0) throw new Error('queue full');
    return { head, answer: { guestAddr: guestAddress(answer), length: inLength } };
  }

  /** Data and status that the device wrote. */
  answer({ answer }: GuestRequest): { data: number[]; status: number } {
    const bytes = new Uint8Array(answer.length);
    this.#memory.read(answer.guestAddr, bytes);
    return { data: [...bytes.subarray(0, -1)], status: bytes.at(-1) as number };
  }

  #place(bytes: Uint8Array): number {
    const at = this.#next;
    this.#memory.write(guestAddress(at), bytes);
    this.#next = (at + bytes.length + 15) & ~15;
    return at;
  }
}

/** Where to cut `[0, end)` so that one piece ends at `at`. */
function ends(at: number, end: number): number[] {
  return at > 0 && at < end ? [at] : [];
}
