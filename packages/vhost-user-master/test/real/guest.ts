import { featureWord, VIRTIO_F_VERSION_1, VIRTIO_RING_F_EVENT_IDX } from '@node-vmm/virtio-queue';
import { SplitDriverQueue, type UsedRequest } from '@node-vmm/virtio-queue/driver';
import { GuestMemoryMmap, guestAddress } from '@node-vmm/vm-memory';
import { EventFd } from '@node-vmm/vmm-sys-util';
import { RingPosition, type VhostUserFrontend, type VringConfig } from '../../src/index.ts';
import { until } from '../support/event-loop.ts';

/** Where guest memory begins, as on an arm64 guest of Xen. */
const BASE = 0x4000_0000;
const DATA = 0x8000;
const MEMORY = 0x1_0000;
const QUEUE_SIZE = 256;

/** A guest address behind the rings. */
export const data = (offset: number) => guestAddress(BASE + DATA + offset);

/** Memory and the driver of one queue. */
export class Guest {
  readonly memory = GuestMemoryMmap.create([{ guestAddr: guestAddress(BASE), length: MEMORY }]);
  readonly kick = EventFd.create();
  readonly call = EventFd.create();
  readonly #layout = SplitDriverQueue.layout(QUEUE_SIZE, guestAddress(BASE));
  #driver: SplitDriverQueue | undefined;
  #features = 0n;

  get driver(): SplitDriverQueue {
    if (this.#driver === undefined) throw new Error('the features are not negotiated yet');
    return this.#driver;
  }

  /** The driver's part of the negotiation, with the guest's memory. */
  async negotiate(front: VhostUserFrontend): Promise<void> {
    await front.setMemTable(this.memory);
    await this.setUp(front);
  }

  /** What a driver does after a reset: features, and a ring that is cleared. */
  async setUp(front: VhostUserFrontend): Promise<void> {
    const features = await this.#setFeatures(front);
    this.#driver?.[Symbol.dispose]();
    this.memory.write(guestAddress(BASE), new Uint8Array(DATA));
    this.#driver = new SplitDriverQueue(this.memory, { ...this.#layout, features });
  }

  /** What a back-end is told that comes in place of another: the driver knows nothing of it. */
  async goOn(front: VhostUserFrontend): Promise<void> {
    await front.setMemTable(this.memory);
    await this.#setFeatures(front);
  }

  /** To be made before the ring is given to a back-end. */
  position(): RingPosition {
    return new RingPosition(this.memory, { index: 0, ...this.#layout, features: this.#features });
  }

  get usedIndex(): number {
    return this.memory.readU16(guestAddress(this.#layout.usedRing + 2n));
  }

  vring(base = 0): VringConfig {
    return { index: 0, ...this.#layout, base, kick: this.kick, call: this.call };
  }

  async #setFeatures(front: VhostUserFrontend): Promise<bigint> {
    const features =
      front.deviceFeatures & featureWord(VIRTIO_F_VERSION_1, VIRTIO_RING_F_EVENT_IDX);
    this.#features = features;
    await front.setFeatures(features);
    return features;
  }

  /** Shows what was added to the device, and kicks it if it asks for that. */
  publish(): void {
    if (this.driver.publish()) this.kick.signal();
  }

  /** Waits for a request to come back. */
  async next(): Promise<UsedRequest> {
    let used: UsedRequest | undefined;
    await until(() => {
      used = this.driver.poll();
      return used !== undefined;
    });
    return used as UsedRequest;
  }

  close(): void {
    this.#driver?.[Symbol.dispose]();
    this.memory.close();
    this.kick.close();
    this.call.close();
  }
}
