import { protocolFeatureMask } from '@node-vmm/vhost-user';
import { FakeBackend } from '@node-vmm/vhost-user-master/testing';
import { MmioDriverTransport } from '@node-vmm/virtio-driver';
import type { AddressRange, BusHandler } from '@node-vmm/vm-device';
import { type Poller, UnixListener } from '@node-vmm/vmm-sys-util';
import type { Machines } from './machine.ts';

/** The first address of a ring's parts: of each queue a page of its own. */
const RINGS = 0x4000_0000n;
const PAGE = 0x1000n;
const QUEUE_SIZE = 16;

/** What a back-end that was asked for something does not do; it does all else. */
export type Hang = 'SET_MEM_TABLE' | 'SET_VRING_NUM' | 'GET_VRING_BASE' | 'nothing';

/** Back-ends that hang at a message of theirs, never close, and keep what they have mapped. */
export class HungBackends {
  readonly fakes: FakeBackend[] = [];
  readonly #listeners: UnixListener[] = [];
  readonly #poller: Poller;

  constructor(poller: Poller) {
    this.#poller = poller;
  }

  /**
   * Takes connections.
   *
   * @param hang - where each of them ends
   */
  listen(path: string, hang: Hang): void {
    const listener = UnixListener.bind(path);
    this.#listeners.push(listener);
    this.#poller.watch(listener.fd, { readable: true }, () => {
      for (let stream = listener.accept(); stream !== undefined; stream = listener.accept()) {
        const acknowledged = protocolFeatureMask('VHOST_USER_PROTOCOL_F_REPLY_ACK');
        const queues = protocolFeatureMask('VHOST_USER_PROTOCOL_F_MQ');
        const fake = new FakeBackend(stream, this.#poller, acknowledged | queues);
        // The end of a connection that is theirs to close never comes.
        fake.connection.close = () => undefined;
        this.hang(fake, hang);
        this.fakes.push(fake);
      }
    });
  }

  /** From now on. */
  hang(fake: FakeBackend, at: Hang): void {
    if (at !== 'nothing') fake.script[`VHOST_USER_${at}`] = () => 'handled';
  }

  /** How many were asked for something. */
  asked(name: string): number {
    return this.fakes.filter(({ names }) => names.includes(name)).length;
  }

  close(): void {
    for (const fake of this.fakes) {
      Reflect.deleteProperty(fake.connection, 'close');
      fake.close();
    }
    for (const listener of this.#listeners) listener.close();
  }
}

/** The driver of a guest in this process: by the handlers that its machine's windows have. */
export class DrivenGuests {
  readonly #handlers = new Map<string, BusHandler>();
  readonly #machines: Machines;

  constructor(machines: Machines) {
    this.#machines = machines;
  }

  /** To be called before a guest's first device. */
  watch(guest: number): void {
    const vm = this.#machines.get(guest);
    const map = vm.map.bind(vm);
    vm.map = (range: AddressRange, handler: BusHandler) => {
      this.#handlers.set(`${guest} ${range.base}`, handler);
      return map(range, handler);
    };
  }

  /** Starts the driver of a device, with so many queues. */
  drive(guest: number, base: bigint, queues: number): void {
    const handler = this.#handlers.get(`${guest} ${base}`);
    if (handler === undefined) throw new Error(`no window at ${base}`);
    const transport = MmioDriverTransport.probe(
      {
        read: (address, size) => handler.read(Number(address - base), size),
        write: (address, size, value) => void handler.write(Number(address - base), size, value),
      },
      base,
    );
    transport.negotiate(0n);
    for (let queue = 0; queue < queues; queue++) {
      const at = RINGS + BigInt(3 * queue) * PAGE;
      transport.setUpQueue(queue, {
        size: QUEUE_SIZE,
        descTable: at,
        availRing: at + PAGE,
        usedRing: at + 2n * PAGE,
      });
    }
    transport.driverOk();
  }
}
