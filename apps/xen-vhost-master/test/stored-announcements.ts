import type { Announcements } from '@node-vmm/vhost-bridge/testing';
import type { FakeXenStored } from '@node-vmm/xen-store/testing';

// xen/include/public/io/xs_wire.h
const XS_DIRECTORY = 1;
const XS_READ = 2;

/** The xenstore, as the place where sources hear of devices. */
export class StoredAnnouncements implements Announcements {
  readonly #stored: FakeXenStored;
  readonly #keys: (guest: number) => readonly string[];

  /** @param keys - of a guest's devices */
  constructor(stored: FakeXenStored, keys: (guest: number) => readonly string[]) {
    this.#stored = stored;
    this.#keys = keys;
  }

  noise(): void {
    const stored = this.#stored;
    for (let i = 0; i < 50; i++) stored.write(`/local/domain/1/noise/${i}`, 'x');
    for (const key of this.#keys(1)) stored.write(`/local/domain/0/backend/${key}/noise`, 'x');
    stored.introduce(9);
  }

  nonsense(): void {
    const stored = this.#stored;
    for (const root of ['backend/virtio', 'backend/virtio_disk']) {
      for (const name of ['01', '-1', '1e3', '0x1', 'x', '99999999999', '1/a', '7/99999999999']) {
        stored.write(`/local/domain/0/${root}/${name}/0/state`, '1');
      }
    }
    for (const name of ['01', '-1', '1e3', '0x1', 'x', '99999999999', '77777']) {
      stored.write(`/local/domain/${name}/name`, 'guest1');
    }
    for (let i = 0; i < 3000; i++) {
      stored.tree.write(`/local/domain/${'n'.repeat(40)}${i}`, new Uint8Array(), 0);
      stored.tree.write(`/local/domain/0/backend/${'n'.repeat(40)}${i}`, new Uint8Array(), 0);
    }
    stored.flush();
  }

  hold(): void {
    this.#stored.hold();
  }

  get held(): number {
    return this.#stored.held;
  }

  step(): void {
    this.#stored.step();
  }

  resume(): void {
    this.#stored.resume();
  }

  fail(): void {
    this.#stored.failNext(XS_DIRECTORY, 'EIO');
    this.#stored.failNext(XS_READ, 'EIO');
  }

  lose(): void {
    this.#stored.dropConnections();
  }

  get watches(): number {
    return this.#stored.watches;
  }
}
