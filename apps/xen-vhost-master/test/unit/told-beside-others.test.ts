import { XenVm } from '@node-vmm/ioreq-eventfd/xen';
import { Bridge, FixedSockets } from '@node-vmm/vhost-bridge';
import { Holds, MemoryLogger, until } from '@node-vmm/vhost-bridge/testing';
import { FakeBackend } from '@node-vmm/vhost-user-master/testing';
import { VIRTIO_MMIO_DEVICE_ID } from '@node-vmm/virtio-bindings';
import { GuestMemoryMmap, guestAddress } from '@node-vmm/vm-memory';
import { MainPoller, UnixListener } from '@node-vmm/vmm-sys-util';
import { XenStore } from '@node-vmm/xen-store';
import { FakeXenStored } from '@node-vmm/xen-store/testing';
import { asDomId } from '@node-vmm/xen-sys';
import { type FakeDomain, FakeXen } from '@node-vmm/xen-sys/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Domains } from '../../src/domains.ts';
import { parseToldDevice } from '../../src/told-device.ts';
import { ToldSource } from '../../src/told-source.ts';
import { TempDir } from '../support.ts';

const BASE = 0x200_0000n;

describe('a device that a bridge is told of, and has no back-end for', { timeout: 120_000 }, () => {
  let dir: TempDir;
  let poller: MainPoller;
  let stored: FakeXenStored;
  let store: XenStore;
  let fake: FakeXen;
  let domain: FakeDomain;
  let listener: UnixListener;
  const backends: FakeBackend[] = [];
  const open: (() => Promise<void>)[] = [];

  beforeEach(async () => {
    dir = new TempDir();
    poller = new MainPoller();
    stored = await FakeXenStored.start();
    store = XenStore.open({ path: stored.path, poller });
    fake = new FakeXen({ poller });
    domain = fake.addDomain(7);
    stored.write('/local/domain/7/name', 'guest');
    stored.introduce(7);
    listener = UnixListener.bind(dir.join('i2c.sock0'));
    poller.watch(listener.fd, { readable: true }, () => {
      const stream = listener.accept();
      if (stream === undefined) return;
      const backend = new FakeBackend(stream, poller);
      backend.features |= 1n;
      backends.push(backend);
    });
  });
  afterEach(async () => {
    for (const close of open.splice(0)) await close();
    for (const backend of backends.splice(0)) backend.close();
    listener.close();
    fake.close();
    store.close();
    await stored.close();
    poller.close();
    dir[Symbol.dispose]();
  });

  /** A bridge that is told of devices. @returns what ends it, and its log */
  async function start(
    sockets: ReadonlyMap<string, string>,
    devices: readonly string[],
  ): Promise<{ end: () => Promise<void>; logger: MemoryLogger }> {
    const logger = new MemoryLogger();
    const bridge = new Bridge({
      attachVm: (guest) => {
        const memory = GuestMemoryMmap.create([
          { guestAddr: guestAddress(0x4000_0000n), length: 65_536 },
        ]);
        const vm = XenVm.create(
          { xen: fake.host(), memory: () => memory, poller, logger },
          { domid: asDomId(guest), irqs: 'spi' },
        );
        return { vm, memory: Promise.resolve(memory), shared: () => vm.shared };
      },
      sockets: new FixedSockets(sockets),
      poller,
      logger,
    });
    const source = new ToldSource({
      domains: new Domains(store, logger),
      logger,
      hold: new Holds().hold,
      devices: devices.map(parseToldDevice),
    });
    await source.start(bridge);
    let ended: Promise<void> | undefined;
    const end = (): Promise<void> => {
      ended ??= source.close().then(() => bridge.close());
      return ended;
    };
    open.unshift(end);
    return { end, logger };
  }
  /** Windows of the guest by server, in the order in which the servers came. */
  const windows = (): number[] => [...domain.servers.values()].map(({ ranges }) => ranges.length);
  const deviceId = async (base: bigint): Promise<bigint> =>
    await domain.access({ address: base + BigInt(VIRTIO_MMIO_DEVICE_ID), size: 4 }).completed;

  const LACKING = [`i2c,domain=guest,base=${BASE}`, 'irq=33'].join(',');
  const served = (): ReadonlyMap<string, string> => new Map([['i2c', dir.join('i2c.sock0')]]);

  it('has its window claimed where nobody else serves the guest: it finds no device there', async () => {
    await start(new Map(), [LACKING]);
    await until(() => windows().length === 1);
    expect(windows()).toEqual([1]);
    expect(await deviceId(BASE)).toBe(0n);
  });

  it('is left to another bridge, and the other way round once that is gone', async () => {
    await start(new Map(), [LACKING]);
    await until(() => windows().length === 1);
    const { end } = await start(served(), [LACKING]);
    expect(await deviceId(BASE)).toBe(34n);
    // It is tried again, and then its window is given back.
    await until(() => windows().length === 1);
    expect(await deviceId(BASE)).toBe(34n);
    await end();
    await until(() => windows().length === 1);
    expect(await deviceId(BASE)).toBe(0n);
  });

  it('is left alone from the beginning where another bridge serves the guest', async () => {
    await start(served(), [LACKING]);
    await until(() => windows().length === 1);
    const other = LACKING.replace(`${BASE}`, `${BASE + 0x200n}`);
    const { logger } = await start(new Map(), [LACKING, other]);
    await until(() => logger.saying('device cannot be served').length >= 2);
    expect(windows()).toEqual([1]);
    expect(await deviceId(BASE)).toBe(34n);
  });
});
