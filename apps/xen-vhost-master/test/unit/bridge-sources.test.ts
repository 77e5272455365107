import { MainPoller, silentLogger } from '@node-vmm/vmm-sys-util';
import { XenStore } from '@node-vmm/xen-store';
import { FakeXenStored } from '@node-vmm/xen-store/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Bridge } from '../../src/bridge.ts';
import { CombinedSource } from '../../src/combined-source.ts';
import type { DeviceDescription, DeviceSource } from '../../src/device-source.ts';
import { Domains } from '../../src/domains.ts';
import { SocketDirectory } from '../../src/socket-provider.ts';
import { parseToldDevice } from '../../src/told-device.ts';
import { ToldSource } from '../../src/told-source.ts';
import { VirtioProtocol } from '../../src/virtio-protocol.ts';
import { XenbusSource } from '../../src/xenbus-source.ts';
import { Daemon, i2cDevice, Machines } from '../machine.ts';
import { Holds } from '../recording-sink.ts';
import { LogBook, TempDir, until } from '../support.ts';
import { Toolstack } from '../toolstack.ts';

let dir: TempDir;
let poller: MainPoller;
let machines: Machines;
let daemon: Daemon;
let bridge: Bridge;
let attached: (readonly [number, DeviceDescription['memory']])[];

beforeEach(() => {
  dir = new TempDir();
  poller = new MainPoller();
  machines = new Machines(poller);
  daemon = new Daemon(dir.join('own.sock0'));
  attached = [];
  bridge = new Bridge({
    attachVm: (guest, memory) => {
      attached.push([guest, memory]);
      const vm = machines.get(guest);
      return { vm, memory: Promise.resolve(vm.memory) };
    },
    sockets: new SocketDirectory(dir.path),
    poller,
    logger: silentLogger,
  });
});
afterEach(async () => {
  await bridge.close();
  await daemon.kill();
  machines.close();
  poller.close();
  dir[Symbol.dispose]();
});

describe('Bridge', { timeout: 60_000 }, () => {
  it('uses the socket that a device names, once at a time, and tells where RAM may be', async () => {
    daemon.start();
    const { memory = [] } = parseToldDevice(
      'i2c,domain=1,base=0x200,irq=5,memory=0x40000000+1G:0x80000000+1G',
    );
    const socket = dir.join('own.sock0');
    await bridge.add({ ...i2cDevice(0, 1), socket, memory });
    expect(attached).toEqual([[1, memory]]);
    await expect(bridge.add({ ...i2cDevice(0, 2), socket })).rejects.toMatchObject({
      code: 'NO_SOCKET',
      message: expect.stringContaining(
        `${socket} serves device 1/0; give each a socket of its own`,
      ),
    });
    await bridge.remove('1/0');
    await bridge.add({ ...i2cDevice(0, 2), socket });
    expect(bridge.devices).toEqual(['2/0']);
    expect(attached[1]).toEqual([2, undefined]);
  });

  it('refuses a second device at a place, without harm to the first', async () => {
    daemon.start();
    const socket = dir.join('own.sock0');
    const first = { ...i2cDevice(0, 1), socket };
    const up = bridge.add(first);
    const message = expect.stringContaining(
      'domain 1 has device 1/0 at 0x2000000; announce it once',
    );
    const refused = { code: 'BAD_DEVICE', message };
    const second = { ...first, key: 'told/1/0x2000000', irq: 40 };
    await expect(bridge.add(second)).rejects.toMatchObject(refused);
    await up;
    await expect(bridge.add(second)).rejects.toMatchObject(refused);
    await expect(bridge.add({ ...i2cDevice(1, 1), key: '1/0' })).rejects.toMatchObject(refused);
    await bridge.remove(second.key);
    expect(bridge.devices).toEqual(['1/0']);
  });
});

describe('several sources for a bridge', { timeout: 60_000 }, () => {
  it('serve side by side; what two announce is served once and the second is told', async () => {
    daemon.start();
    await using stored = await FakeXenStored.start();
    using store = XenStore.open({ path: stored.path, poller });
    const book = new LogBook();
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
    await until(() => bridge.devices.length === 2);
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

describe('CombinedSource', () => {
  it('closes every source, also when one of them fails to', async () => {
    const closed: string[] = [];
    const source = (name: string, error?: Error): DeviceSource => ({
      start: () => Promise.resolve(),
      close: () => {
        closed.push(name);
        return error === undefined ? Promise.resolve() : Promise.reject(error);
      },
    });
    const sources = [source('a', new Error('no')), source('b')];
    const combined = new CombinedSource(sources, silentLogger);
    await expect(combined.close()).rejects.toThrow('no');
    expect(closed).toEqual(['a', 'b']);
  });
});
