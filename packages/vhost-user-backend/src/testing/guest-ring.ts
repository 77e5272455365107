import { featureWord, VIRTIO_RING_F_EVENT_IDX } from '@node-vmm/virtio-bindings';
import { type QueueLayout, SplitDriverQueue } from '@node-vmm/virtio-queue/driver';
import { guestAddress } from '@node-vmm/vm-memory';
import { EventFd, type MainPoller } from '@node-vmm/vmm-sys-util';
import type { FrontEnd } from './front-end.ts';
import { GUEST_BASE, type Guest, USER_BASE } from './guest.ts';

/** Distance of the places that rings have without another wish; room for 1024 entries. */
const RING_STRIDE = 0x1_0000;
/** Where `add` has its data, from the beginning of guest memory on: 128 requests of 8 KiB. */
const DATA = 0x10_0000;

/** §2.7.7: feature word of what a ring has without another wish. */
export const EVENT_IDX: bigint = featureWord(VIRTIO_RING_F_EVENT_IDX);

/** What a vring address message says. */
export interface RingAddresses {
  readonly index: number;
  readonly flags: number;
  readonly descTable: bigint;
  readonly availRing: bigint;
  readonly usedRing: bigint;
  readonly log: bigint;
}

/** One ring from the driver's side, with its descriptors. */
export class GuestRing {
  readonly index: number;
  readonly driver: SplitDriverQueue;
  readonly kick: EventFd = EventFd.create();
  readonly call: EventFd = EventFd.create();
  readonly err: EventFd = EventFd.create();
  readonly layout: QueueLayout;
  readonly #guest: Guest;
  #nextData = 0;

  /**
   * @param features - those that change the ring's layout
   * @param size - entries
   * @param startIndex - first value of both indices
   * @param base - guest address of the ring, 16-byte aligned
   */
  constructor(
    guest: Guest,
    index = 0,
    features: bigint = EVENT_IDX,
    size = 64,
    startIndex = 0,
    base: bigint = GUEST_BASE + BigInt(index * RING_STRIDE),
  ) {
    this.#guest = guest;
    this.index = index;
    this.layout = SplitDriverQueue.layout(size, guestAddress(base));
    this.driver = new SplitDriverQueue(guest.memory, { ...this.layout, features }, startIndex);
  }

  /** Number of the last request of `add`, by which its data is found. */
  get lastData(): number {
    return (this.#nextData + 127) % 128;
  }

  /** Bytes that a ring takes up. @param size - entries */
  static byteLength(size: number): number {
    return SplitDriverQueue.layout(size).byteLength;
  }

  get addr(): RingAddresses {
    const user = (guestAddr: bigint): bigint => guestAddr - GUEST_BASE + USER_BASE;
    return {
      index: this.index,
      flags: 0,
      descTable: user(this.layout.descTable),
      availRing: user(this.layout.availRing),
      usedRing: user(this.layout.usedRing),
      log: 0n,
    };
  }

  /** Adds a request with `data` for the device and room for as much; not published. */
  add(data: Uint8Array): void {
    const out = guestAddress(GUEST_BASE + BigInt(DATA + this.#nextData * 8192));
    this.#nextData = (this.#nextData + 1) % 128;
    const into = guestAddress(out + 4096n);
    this.#guest.memory.write(out, data);
    this.driver.add([
      { guestAddr: out, length: data.length, writable: false },
      { guestAddr: into, length: Math.max(4, data.length), writable: true },
    ]);
  }

  /** Adds, publishes and kicks if the device wants it. */
  submit(...requests: readonly (readonly number[])[]): void {
    for (const data of requests) this.add(Uint8Array.from(data));
    if (this.driver.publish()) this.kick.signal();
  }

  /** Waits until the device has returned `count` requests, by notifications alone. */
  async collect(poller: MainPoller, count: number): Promise<number[]> {
    const written: number[] = [];
    const poll = (): boolean => {
      for (let used = this.driver.poll(); used !== undefined; used = this.driver.poll()) {
        written.push(used.written);
      }
      return written.length >= count;
    };
    if (poll()) return written;
    await new Promise<void>((resolve) => {
      const watch = poller.watch(this.call.fd, { readable: true }, () => {
        this.call.drain();
        if (!poll()) return;
        watch.close();
        resolve();
      });
    });
    return written;
  }

  /** Tells the back-end everything but ENABLE. */
  setUp(frontEnd: FrontEnd, base = 0): void {
    const { index } = this;
    frontEnd.send('VHOST_USER_SET_VRING_NUM', { index, num: this.layout.size });
    frontEnd.send('VHOST_USER_SET_VRING_ADDR', this.addr);
    frontEnd.send('VHOST_USER_SET_VRING_BASE', { index, num: base });
    frontEnd.send('VHOST_USER_SET_VRING_ERR', { index, hasFd: true }, [this.err.fd]);
    frontEnd.send('VHOST_USER_SET_VRING_CALL', { index, hasFd: true }, [this.call.fd]);
    frontEnd.send('VHOST_USER_SET_VRING_KICK', { index, hasFd: true }, [this.kick.fd]);
  }

  enable(frontEnd: FrontEnd, on = true): Promise<number> {
    return frontEnd.tell('VHOST_USER_SET_VRING_ENABLE', { index: this.index, num: on ? 1 : 0 });
  }

  close(): void {
    for (const event of [this.kick, this.call, this.err]) event.close();
  }
}
