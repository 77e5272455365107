import { ftruncateSync, openSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { SplitDriverQueue } from '@node-vmm/virtio-queue/driver';
import { GuestMemoryMmap, guestAddress } from '@node-vmm/vm-memory';
import { asFd, closeFd, EventFd, FaultGuard, type Fd } from '@node-vmm/vmm-sys-util';
import { GUEST_BASE, USER_BASE } from '../../src/testing/guest.ts';
import { EVENT_IDX, type FrontEnd, negotiate } from '../../src/testing/index.ts';

const SIZE = 0x20_0000;

/** What of a request, or of its ring, is in the last page. */
export type Place = 'ring' | 'table' | 'header' | 'payload' | 'answer' | 'nothing';

/** A guest whose memory is a file that it may truncate at any time, with one ring. */
export class FileGuest {
  readonly fd: Fd;
  readonly memory: GuestMemoryMmap;
  readonly driver: SplitDriverQueue;
  readonly kick: EventFd = EventFd.create();
  readonly call: EventFd = EventFd.create();
  readonly #layout;
  readonly #last: Place;
  readonly #size: number;

  /** @param directory - of the file, which has no name any more */
  constructor(directory: string, last: Place = 'nothing', size: number = SIZE) {
    const path = join(directory, 'guest-memory');
    this.fd = asFd(openSync(path, 'w+'));
    unlinkSync(path);
    ftruncateSync(this.fd, size);
    this.#size = size;
    this.#last = last;
    const region = { guestAddr: guestAddress(GUEST_BASE), length: size, fd: this.fd, fdOffset: 0 };
    // The driver of this test touches what is gone as well.
    this.memory = GuestMemoryMmap.fromRegions([region], { guard: FaultGuard.install() });
    this.#layout = SplitDriverQueue.layout(64, this.#at('ring', 0));
    this.driver = new SplitDriverQueue(this.memory, { ...this.#layout, features: EVENT_IDX });
  }

  get regions() {
    return [
      { guestAddr: GUEST_BASE, size: BigInt(this.#size), userAddr: USER_BASE, mmapOffset: 0n },
    ];
  }

  get fds(): Fd[] {
    return [this.fd];
  }

  /** Negotiates and enables the ring. */
  async start(frontEnd: FrontEnd): Promise<void> {
    await negotiate(frontEnd, this);
    const index = 0;
    const user = (guestAddr: bigint): bigint => guestAddr - GUEST_BASE + USER_BASE;
    frontEnd.send('VHOST_USER_SET_VRING_NUM', { index, num: this.#layout.size });
    frontEnd.send('VHOST_USER_SET_VRING_ADDR', {
      index,
      flags: 0,
      descTable: user(this.#layout.descTable),
      availRing: user(this.#layout.availRing),
      usedRing: user(this.#layout.usedRing),
      log: 0n,
    });
    frontEnd.send('VHOST_USER_SET_VRING_BASE', { index, num: 0 });
    frontEnd.send('VHOST_USER_SET_VRING_CALL', { index, hasFd: true }, [this.call.fd]);
    frontEnd.send('VHOST_USER_SET_VRING_KICK', { index, hasFd: true }, [this.kick.fd]);
    await frontEnd.tell('VHOST_USER_SET_VRING_ENABLE', { index, num: 1 });
  }

  /**
   * Prepares a request: a command, four bytes of data, and room for as many. It is not available yet: a look
   * at the ring that comes late, as the first one may, would have it served before anything is cut.
   */
  add(command: number): void {
    const header = this.#at('header', 1);
    const payload = this.#at('payload', 2);
    this.memory.write(header, Uint8Array.of(command, 0xaa, 0xbb, 0xcc));
    this.memory.write(payload, Uint8Array.of(1, 2, 3, 4));
    const buffers = [
      { guestAddr: header, length: 4, writable: false },
      { guestAddr: payload, length: 4, writable: false },
      { guestAddr: this.#at('answer', 3), length: 4, writable: true },
    ];
    this.driver.add(buffers, this.#last === 'table' ? this.#at('table', 4) : undefined);
  }

  /** Makes requests available, and kicks. */
  ask(): void {
    this.driver.publish();
    this.kick.signal();
  }

  /** Takes the last page away from the file. */
  cut(): void {
    ftruncateSync(this.fd, this.#size - 4096);
  }

  close(): void {
    this.memory.close();
    for (const event of [this.kick, this.call]) event.close();
    closeFd(this.fd);
  }

  #at(what: Place, page: number) {
    const offset = what === this.#last ? this.#size - 4096 : page * 0x1_0000;
    return guestAddress(GUEST_BASE + BigInt(offset));
  }
}
