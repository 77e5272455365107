import { guestAddress, type ShareableMemory } from '@node-vmm/vm-memory';
import { closeFd, EventFd, Mapping, memfdCreate } from '@node-vmm/vmm-sys-util';
import type { VringConfig } from '../../src/index.ts';

/** Where guest memory is, what is where in it, and the size of the one queue. */
const BASE = 0x4000_0000;
const AVAIL = 0x1000;
const USED = 0x2000;
export const DATA = 0x4000;
const MEMORY = 0x10000;
const SIZE = 256;
const VIRTQ_DESC_F_NEXT = 1;
const VIRTQ_DESC_F_WRITE = 2;

export interface Buffer {
  /** Offset in guest memory. */
  readonly at: number;
  readonly length: number;
  readonly writable: boolean;
}

/** The driver's side of one split ring of 256 in a memfd: as little of it as a request needs. */
export class Driver {
  readonly kick = EventFd.create();
  readonly call = EventFd.create();
  readonly #memfd = memfdCreate('guest', MEMORY);
  readonly #mapping = Mapping.create({ length: MEMORY, fd: this.#memfd });
  readonly view = new DataView(this.#mapping.buffer());
  readonly memory: ShareableMemory = {
    sharedRegions: [
      { guestAddr: guestAddress(BASE), length: BigInt(MEMORY), fd: this.#memfd, fdOffset: 0n },
    ],
  };
  #available = 0;
  #descriptor = 0;

  vring(base = 0): VringConfig {
    return {
      index: 0,
      size: SIZE,
      descTable: guestAddress(BASE),
      availRing: guestAddress(BASE + AVAIL),
      usedRing: guestAddress(BASE + USED),
      base,
      kick: this.kick,
      call: this.call,
    };
  }

  /** Makes a chain available, without a kick. */
  offer(...chain: readonly Buffer[]): void {
    const head = this.#descriptor;
    chain.forEach(({ at, length, writable }, i) => {
      const last = i === chain.length - 1;
      const next = (this.#descriptor + 1) % SIZE;
      const entry = 16 * this.#descriptor;
      this.view.setBigUint64(entry, BigInt(BASE + at), true);
      this.view.setUint32(entry + 8, length, true);
      const flags = (writable ? VIRTQ_DESC_F_WRITE : 0) | (last ? 0 : VIRTQ_DESC_F_NEXT);
      this.view.setUint16(entry + 12, flags, true);
      this.view.setUint16(entry + 14, next, true);
      this.#descriptor = next;
    });
    this.view.setUint16(AVAIL + 4 + 2 * (this.#available % SIZE), head, true);
    this.#available = (this.#available + 1) & 0xffff;
    this.view.setUint16(AVAIL + 2, this.#available, true);
  }

  /** The used ring's index. */
  get used(): number {
    return this.view.getUint16(USED + 2, true);
  }

  /** Bytes written into the last chain that came back. */
  get written(): number {
    return this.view.getUint32(USED + 4 + 8 * ((this.used - 1) % SIZE) + 4, true);
  }

  bytes(at: number, length: number): Uint8Array {
    return new Uint8Array(this.#mapping.buffer(at, length)).slice();
  }

  close(): void {
    this.#mapping.close();
    closeFd(this.#memfd);
    this.kick.close();
    this.call.close();
  }
}
