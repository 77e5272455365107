import { SimulatedVm } from '@node-vmm/ioreq-eventfd/simulated';
import { SimulatedTestGuest } from '@node-vmm/ioreq-eventfd/testing';
import { protocolFeatureMask } from '@node-vmm/vhost-user';
import { FakeBackend } from '@node-vmm/vhost-user-master/testing';
import {
  VIRTIO_MMIO_DEVICE_ID,
  VIRTIO_MMIO_MAGIC,
  VIRTIO_MMIO_MAGIC_VALUE,
} from '@node-vmm/virtio-device';
import { MainPoller, UnixListener } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Bridge } from '../../src/bridge.ts';
import type { BridgedVm } from '../../src/bridged-vm.ts';
import { FixedSockets } from '../../src/socket-provider.ts';
import { deviceById } from '../../src/supported-devices.ts';
import { MemoryLogger, until } from '../../src/testing/index.ts';
import { i2cDevice } from '../support/machine.ts';
import { TempDir } from '../support/temp-dir.ts';

const GPIO = 41;
const MEM_SLOTS = protocolFeatureMask('VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS');
const ALL_ONES = 0xffff_ffffn;
const MAGIC = BigInt(VIRTIO_MMIO_MAGIC);

/** A bridge, one back-end of type i2c, and guests that are in this process. */
class Bench {
  readonly dir = new TempDir();
  readonly poller = new MainPoller();
  readonly book = new MemoryLogger();
  readonly vms: SimulatedVm[] = [];
  readonly guests: SimulatedTestGuest[] = [];
  readonly backends: FakeBackend[] = [];
  /** Guests that somebody else serves devices of. */
  readonly shared = new Set<number>();
  mapped = true;
  usable = true;
  readonly bridge: Bridge;
  #listener: UnixListener | undefined;
  readonly #watches: Disposable[] = [];

  constructor() {
    const path = this.dir.join('i2c.sock');
    this.bridge = new Bridge({
      attachVm: (guest) => this.#attach(guest),
      sockets: new FixedSockets(new Map([['i2c', path]])),
      poller: this.poller,
      logger: this.book,
    });
  }

  #attach(guest: number): BridgedVm {
    const { poller } = this;
    const vm = SimulatedVm.create({ poller });
    this.vms.push(vm);
    this.guests[guest] = new SimulatedTestGuest(vm.guestResources());
    const isMapped = (): boolean => this.mapped;
    return {
      vm,
      shared: () => this.shared.has(guest),
      get memory() {
        return isMapped() ? Promise.resolve(vm.memory) : Promise.reject(new Error('ENOMEM'));
      },
    };
  }

  listen(): void {
    const listener = UnixListener.bind(this.dir.join('i2c.sock'));
    this.#listener = listener;
    const watch = this.poller.watch(listener.fd, { readable: true }, () => {
      const stream = listener.accept();
      if (stream === undefined) return;
      const backend = new FakeBackend(stream, this.poller, MEM_SLOTS);
      backend.features |= 1n;
      if (!this.usable) backend.memSlots = 0n;
      this.backends.push(backend);
    });
    this.#watches.push(watch);
  }

  /** What a guest finds at a window: magic and device ID. */
  async found(guest = 1, base = i2cDevice().base): Promise<[bigint, bigint]> {
    const { guests } = this;
    const read = (offset: number): Promise<bigint> =>
      (guests[guest] as SimulatedTestGuest).read(base + BigInt(offset), 4);
    return [await read(VIRTIO_MMIO_MAGIC_VALUE), await read(VIRTIO_MMIO_DEVICE_ID)];
  }

  async close(): Promise<void> {
    await this.bridge.close();
    for (const backend of this.backends) backend.close();
    for (const watch of this.#watches) watch[Symbol.dispose]();
    this.#listener?.close();
    for (const guest of this.guests) guest?.close();
    this.poller.close();
    this.dir[Symbol.dispose]();
  }
}

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});
afterEach(() => bench.close());

describe('A device that cannot be served', { timeout: 60_000 }, () => {
  const failures: [string, () => [ReturnType<typeof i2cDevice>, RegExp]][] = [
    ['without a back-end for its type', () => [{ ...i2cDevice(), deviceId: GPIO }, /--name gpio/]],
    [
      'whose guest has memory that cannot be mapped',
      () => {
        bench.mapped = false;
        return [i2cDevice(), /ENOMEM/];
      },
    ],
    [
      'whose back-end cannot serve it',
      () => {
        bench.usable = false;
        bench.listen();
        return [i2cDevice(), /takes 0/];
      },
    ],
    ['with an interrupt that the guest does not have', () => [{ ...i2cDevice(), irq: 99 }, /99/]],
  ];
  it.each(failures)('%s keeps its window, at which its guest finds none', async (_, prepare) => {
    const [device, reason] = prepare();
    await expect(bench.bridge.add(device)).rejects.toThrow(reason);
    expect(await bench.found()).toEqual([MAGIC, 0n]);
    expect(bench.bridge.devices).toEqual([]);
    expect(bench.bridge.status()).toMatchObject({
      guests: [{ guest: 1, devices: 1 }],
      devices: [{ device: '1/0', state: 'failed', reason: expect.stringMatching(reason) }],
      totals: { devices: { [deviceById(device.deviceId).name]: { failures: 1 } } },
    });
    // A window, and nothing else: a new device of the guest has its place beside it.
    expect(await bench.found(1, i2cDevice(1).base)).toEqual([ALL_ONES, ALL_ONES]);
    await bench.bridge.remove(device.key);
    expect(bench.bridge.status()).toMatchObject({ guests: [], devices: [] });
  });

  it('is served when it is added again, from the window that it has', async () => {
    bench.mapped = false;
    await expect(bench.bridge.add(i2cDevice())).rejects.toThrow('ENOMEM');
    bench.mapped = true;
    bench.listen();
    let placed = 0;
    const added = bench.bridge.add(i2cDevice(), () => placed++);
    expect(placed).toBe(1);
    expect(await bench.found()).toEqual([MAGIC, 0n]);
    await added;
    expect(await bench.found()).toEqual([MAGIC, 34n]);
    expect(bench.vms).toHaveLength(1);
    expect(bench.bridge.status().devices).toMatchObject([{ state: 'up' }]);
  });

  it('leaves its place to another that is announced there', async () => {
    bench.listen();
    await expect(bench.bridge.add({ ...i2cDevice(), deviceId: GPIO })).rejects.toThrow(/gpio/);
    await bench.bridge.add({ ...i2cDevice(), key: 'told/1' });
    expect(await bench.found()).toEqual([MAGIC, 34n]);
    expect(bench.bridge.claim({ ...i2cDevice() })).toBe(false);
    await bench.bridge.remove('1/0');
    expect(await bench.found()).toEqual([MAGIC, 34n]);
  });

  it('waits for a socket that the last guest is giving back', async () => {
    bench.listen();
    await bench.bridge.add(i2cDevice(0, 1));
    const removed = bench.bridge.remove('1/0');
    let placed = false;
    const added = bench.bridge.add(i2cDevice(0, 2), () => {
      placed = true;
    });
    expect(placed).toBe(true);
    await removed;
    await added;
    expect(await bench.found(2)).toEqual([MAGIC, 34n]);
    expect(bench.bridge.devices).toEqual(['2/0']);
  });

  it('and waits for a socket can be removed meanwhile', async () => {
    bench.listen();
    await bench.bridge.add(i2cDevice(0, 1));
    const removed = bench.bridge.remove('1/0');
    const added = expect(bench.bridge.add(i2cDevice(0, 2))).rejects.toThrow(/abort/);
    await bench.bridge.remove('2/0');
    await added;
    await removed;
    expect(bench.bridge.status()).toMatchObject({ guests: [], devices: [] });
  });
});

describe('A window without a device', { timeout: 60_000 }, () => {
  const site = { key: '1/0', guest: 1, base: i2cDevice().base };

  it('is claimed once, and given back', async () => {
    expect(bench.bridge.claim(site)).toBe(true);
    expect(bench.bridge.claim(site)).toBe(true);
    expect(await bench.found()).toEqual([MAGIC, 0n]);
    expect(bench.bridge.status()).toMatchObject({
      devices: [{ device: '1/0', base: '0x2000000', state: 'failed' }],
    });
    await bench.bridge.remove('1/0');
    expect(bench.bridge.guests).toEqual([]);
    expect(bench.vms.map(({ live }) => live)).toEqual([false]);
  });

  it('moves with its device', async () => {
    bench.bridge.claim(site);
    const moved = site.base + 0x200n;
    expect(bench.bridge.claim({ ...site, base: moved })).toBe(true);
    await until(() => bench.guests.length > 0);
    expect(await bench.found(1, moved)).toEqual([MAGIC, 0n]);
    expect(bench.bridge.status().devices).toHaveLength(1);
  });

  it('is left to whoever else serves the guest, also when they come later', async () => {
    bench.shared.add(1);
    expect(bench.bridge.claim(site)).toBe(false);
    expect(bench.bridge.status()).toMatchObject({ guests: [], devices: [] });
    bench.shared.clear();
    expect(bench.bridge.claim(site)).toBe(true);
    bench.shared.add(1);
    expect(bench.bridge.claim(site)).toBe(false);
    expect(bench.bridge.status()).toMatchObject({ guests: [], devices: [] });
  });

  it('is left to them, too, where there is no back-end for the device; else it is ours', async () => {
    bench.shared.add(1);
    await expect(bench.bridge.add({ ...i2cDevice(), deviceId: GPIO })).rejects.toThrow(/gpio/);
    expect(bench.bridge.status()).toMatchObject({ guests: [], devices: [] });
    bench.mapped = false;
    await expect(bench.bridge.add(i2cDevice())).rejects.toThrow('ENOMEM');
    expect(bench.bridge.claim(site)).toBe(true);
    expect(await bench.found()).toEqual([MAGIC, 0n]);
  });
});
