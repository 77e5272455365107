import { guestAddress } from '@node-vmm/vm-memory';
import { MainPoller, silentLogger } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Bridge } from '../../src/bridge.ts';
import type { DeviceDescription } from '../../src/device-source.ts';
import { SocketDirectory } from '../../src/socket-provider.ts';
import { Daemon, i2cDevice, Machines } from '../support/machine.ts';
import { TempDir } from '../support/temp-dir.ts';

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

describe('Bridge', { timeout: 120_000 }, () => {
  it('uses the socket that a device names, once at a time, and tells where RAM may be', async () => {
    daemon.start();
    const memory = [0x4000_0000, 0x8000_0000].map((base) => ({
      guestAddr: guestAddress(base),
      length: 0x4000_0000n,
    }));
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
      'guest 1 has device 1/0 at 0x2000000; announce it once',
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
