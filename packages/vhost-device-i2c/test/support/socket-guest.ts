import { VhostUserFrontend } from '@node-vmm/vhost-user-master';
import { SplitDriverQueue } from '@node-vmm/virtio-queue/driver';
import { GuestMemoryMmap, guestAddress } from '@node-vmm/vm-memory';
import { EventFd, MainPoller } from '@node-vmm/vmm-sys-util';
import { GuestI2c } from './guest.ts';
import type { RequestShape } from './requests.ts';

const QUEUE_SIZE = 256;
const REQUESTS = 0x1_0000;

/** A guest that drives the daemon over its socket, as a VMM would let it. */
export class SocketGuest {
  readonly #driver: SplitDriverQueue;
  readonly #poller: MainPoller;
  readonly #kick = EventFd.create();
  readonly #call = EventFd.create();
  readonly #memory: GuestMemoryMmap;
  readonly #frontend: VhostUserFrontend;
  readonly #i2c: GuestI2c;
  #onCall: () => void = () => undefined;

  private constructor(
    poller: MainPoller,
    frontend: VhostUserFrontend,
    memory: GuestMemoryMmap,
    driver: SplitDriverQueue,
  ) {
    this.#poller = poller;
    this.#frontend = frontend;
    this.#memory = memory;
    this.#driver = driver;
    this.#i2c = new GuestI2c(memory, driver, REQUESTS);
    this.#poller.watch(this.#call.fd, { readable: true }, () => {
      this.#call.drain();
      this.#onCall();
    });
  }

  /** @param base - what another daemon has done of the queue already */
  static async connect(path: string, base = 0): Promise<SocketGuest> {
    const poller = new MainPoller();
    const frontend = await VhostUserFrontend.connect({ path, poller, waitMs: 60_000 });
    await frontend.negotiate();
    const features = frontend.deviceFeatures;
    await frontend.setFeatures(features);
    const memory = GuestMemoryMmap.create([{ guestAddr: guestAddress(0), length: 0x10_0000 }]);
    await frontend.setMemTable(memory);
    const layout = { ...SplitDriverQueue.layout(QUEUE_SIZE), features };
    const guest = new SocketGuest(
      poller,
      frontend,
      memory,
      new SplitDriverQueue(memory, layout, base),
    );
    const { descTable, availRing, usedRing } = layout;
    await frontend.startVring({
      ...{ index: 0, size: QUEUE_SIZE, base, descTable, availRing, usedRing },
      kick: guest.#kick,
      call: guest.#call,
    });
    return guest;
  }

  /** Makes all requests available at once and waits for their answers. */
  async exchange(...shapes: RequestShape[]): Promise<{ data: number[]; status: number }[]> {
    this.#i2c.recycle();
    const requests = shapes.map((shape) => this.#i2c.add(shape));
    if (this.#driver.publish()) this.#kick.signal();
    const heads: number[] = [];
    while (heads.length < requests.length) {
      const used = this.#driver.poll();
      if (used !== undefined) {
        heads.push(used.head);
        continue;
      }
      await new Promise<void>((resolve) => {
        this.#onCall = resolve;
      });
    }
    if (heads.some((head, i) => head !== requests[i]?.head)) throw new Error('out of order');
    return requests.map((request) => this.#i2c.answer(request));
  }

  /** One write and read as a group. */
  async read(address: number, register: number, length: number): Promise<number[] | undefined> {
    const [, answer] = await this.exchange(
      { address, write: [register], failNext: true },
      { address, read: length },
    );
    return answer?.status === 0 ? answer.data : undefined;
  }

  /** Makes more requests available than the queue can hold. */
  breakRing(): void {
    this.#driver.raw.availIndex = (this.#driver.raw.availIndex + QUEUE_SIZE + 1) & 0xffff;
    this.#kick.signal();
  }

  close(): void {
    this.#frontend.close();
    this.#driver[Symbol.dispose]();
    this.#memory.close();
    this.#poller.close();
    this.#kick.close();
    this.#call.close();
  }
}
