import { featureWord, VIRTIO_RING_F_EVENT_IDX } from '@node-vmm/virtio-queue';
import { type QueueLayout, SplitDriverQueue } from '@node-vmm/virtio-queue/driver';
import { GuestMemoryMmap, guestAddress } from '@node-vmm/vm-memory';
import { EventFd, type MainPoller } from '@node-vmm/vmm-sys-util';
import type { FrontEnd } from './front-end.ts';

/** Where guest memory appears in the front-end's address space, as its messages have it. */
export const USER_BASE = 0x7f00_0000_0000n;
export const GUEST_BASE = 0x4000_0000n;
export const GUEST_SIZE = 0x20_0000;
const DATA = 0x10_0000;

export const EVENT_IDX: bigint = featureWord(VIRTIO_RING_F_EVENT_IDX);

/** Guest memory in a memfd, for several rings and their data. */
export class Guest {
  readonly memory = GuestMemoryMmap.create([
    { guestAddr: guestAddress(GUEST_BASE), length: GUEST_SIZE },
  ]);

  /** Memory table payload and descriptors. */
  get regions() {
    return [
      { guestAddr: GUEST_BASE, size: BigInt(GUEST_SIZE), userAddr: USER_BASE, mmapOffset: 0n },
    ];
  }

  get fds() {
    return this.memory.sharedRegions.map(({ fd }) => fd);
  }

  close(): void {
    this.memory.close();
  }
}

/** One ring from the driver's side, with its descriptors. */
export class GuestRing {
  readonly index: number;
  readonly driver: SplitDriverQueue;
  readonly kick = EventFd.create();
  readonly call = EventFd.create();
  readonly err = EventFd.create();
  readonly layout: QueueLayout;
  readonly #guest: Guest;
  #nextData = 0;

  constructor(guest: Guest, index = 0, features = EVENT_IDX, size = 64, startIndex = 0) {
    this.#guest = guest;
    this.index = index;
    this.layout = SplitDriverQueue.layout(
      size,
      guestAddress(GUEST_BASE + BigInt(index * 0x1_0000)),
    );
    this.driver = new SplitDriverQueue(guest.memory, { ...this.layout, features }, startIndex);
  }

  /** Number of the last request, by which its data is found. */
  get lastData(): number {
    return (this.#nextData + 127) % 128;
  }

  get addr() {
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

/** Negotiates what rings need: features, REPLY_ACK and the others, memory. */
export async function negotiate(
  frontEnd: FrontEnd,
  guest: Guest,
  options: { features?: bigint; protocolFeatures?: bigint } = {},
): Promise<void> {
  frontEnd.send('VHOST_USER_SET_OWNER', undefined);
  const offered = await frontEnd.ask('VHOST_USER_GET_FEATURES', undefined);
  const protocol = await frontEnd.ask('VHOST_USER_GET_PROTOCOL_FEATURES', undefined);
  frontEnd.send('VHOST_USER_SET_PROTOCOL_FEATURES', options.protocolFeatures ?? protocol);
  frontEnd.send('VHOST_USER_SET_FEATURES', options.features ?? offered);
  frontEnd.send('VHOST_USER_SET_MEM_TABLE', guest.regions, guest.fds);
}
