import { SimulatedVm } from '@node-vmm/ioreq-eventfd/simulated';
import { Bridge, CombinedSource, SocketDirectory } from '@node-vmm/vhost-bridge';
import { Holds, MemoryLogger, until } from '@node-vmm/vhost-bridge/testing';
import { FakeBackend } from '@node-vmm/vhost-user-master/testing';
import { MainPoller, silentLogger, UnixListener } from '@node-vmm/vmm-sys-util';
import { XenStore } from '@node-vmm/xen-store';
import { FakeXenStored } from '@node-vmm/xen-store/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Domains } from '../../src/domains.ts';
import { parseToldDevice } from '../../src/told-device.ts';
import { ToldSource } from '../../src/told-source.ts';
import { VirtioProtocol } from '../../src/virtio-protocol.ts';
import { XenbusSource } from '../../src/xenbus-source.ts';
import { TempDir } from '../support.ts';
import { Toolstack } from '../toolstack.ts';

let dir: TempDir;
let poller: MainPoller;
let bridge: Bridge;
let listener: UnixListener;
const backends: FakeBackend[] = [];

beforeEach(() => {
  dir = new TempDir();
  poller = new MainPoller();
  listener = UnixListener.bind(dir.join('own.sock0'));
  poller.watch(listener.fd, { readable: true }, () => {
    const stream = listener.accept();
    if (stream === undefined) return;
    const backend = new FakeBackend(stream, poller);
    backend.features |= 1n;
    backends.push(backend);
  });
  const vm = SimulatedVm.create({ poller });
  bridge = new Bridge({
    attachVm: () => ({ vm, memory: Promise.resolve(vm.memory) }),
    sockets: new SocketDirectory(dir.path),
    poller,
    logger: silentLogger,
  });
});
afterEach(async () => {
  await bridge.close();
  for (const backend of backends.splice(0)) backend.close();
  listener.close();
  poller.close();
  dir[Symbol.dispose]();
});

describe('several sources for a bridge', { timeout: 120_000 }, () => {
  it('serve side by side; what two announce is served once and the second is told', async () => {
    await using stored = await FakeXenStored.start();
    using store = XenStore.open({ path: stored.path, poller });
    const book = new MemoryLogger();
    const holds = new Holds();
    const components = { store, logger: book, hold: holds.hold, domains: new Domains(store, book) };
    const devices = [
      parseToldDevice(`i2c,domain=web,base=0x2000000,irq=33,socket=${dir.join('x')}`),
      parseToldDevice(`i2c,domain=web,base=0x2000200,irq=34,socket=${dir.join('own.sock0')}`),
    ];
    const source = new CombinedSource(
      [
        new XenbusSource({ ...components, protocol: new VirtioProtocol() }),
        new ToldSource({ ...components, devices }),
      ],
      book,
    );
    await source.start(bridge);
    expect(book.saying('watching for devices')).toHaveLength(1);
    // Nobody listens on its socket: it is in place and waits.
    new Toolstack(stored).announce(['virtio/1/0']);
    await until(() => bridge.devices.includes('virtio/1/0'));
    stored.write('/local/domain/1/name', 'web');
    stored.introduce(1);
    await until(() => book.saying('device cannot be served').length === 1);
    await until(() => bridge.status().devices.some(({ state }) => state === 'up'));
    expect(book.saying('device cannot be served')[0]?.context).toMatchObject({
      device: 'told/1/0x2000000',
      err: { code: 'BAD_DEVICE', message: expect.stringContaining('has device virtio/1/0 at') },
    });
    expect([...bridge.devices].sort()).toEqual(['told/1/0x2000200', 'virtio/1/0']);
    await until(() => holds.of(1) === 0);
    await source.close();
    expect(bridge.devices).toEqual([]);
  });
});
