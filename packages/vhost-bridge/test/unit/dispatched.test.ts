// What holds of a bridge whose guests the main thread serves holds where a dispatch thread does.
import { DispatchPool, DispatchThread } from '@node-vmm/vm-dispatch';
import { KillableThreads } from '@node-vmm/vm-dispatch/testing';
import { MainPoller } from '@node-vmm/vmm-sys-util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Bridge } from '../../src/bridge.ts';
import type { KeptDevices } from '../../src/kept-device.ts';
import { SocketDirectory } from '../../src/socket-provider.ts';
import { MemoryLogger, until } from '../../src/testing/index.ts';
import { attachLasting } from '../support/left-vm.ts';
import { Daemon, GuestProcess, i2cDevice, Machines, serving } from '../support/machine.ts';
import { TempDir } from '../support/temp-dir.ts';

const poller = new MainPoller();
let thread: DispatchThread;

beforeAll(async () => {
  thread = await DispatchThread.start({ poller });
  serving.host = thread;
});
afterAll(async () => {
  delete serving.host;
  thread.close();
  await thread.ended;
  poller.close();
});

await import('./bridge.test.ts');
await import('./bridge-places.test.ts');
await import('./inflight.test.ts');
await import('./restart.test.ts');
await import('./teardown.test.ts');

describe('A bridge that is busy', () => {
  it('for two seconds delays no register, kick or interrupt of a guest', async () => {
    const dir = new TempDir();
    const machines = new Machines(poller);
    const bridge = new Bridge({
      attachVm: (guest) => {
        const vm = machines.get(guest);
        return { vm, memory: Promise.resolve(vm.memory) };
      },
      sockets: new SocketDirectory(dir.path),
      poller,
      logger: new MemoryLogger(),
    });
    const daemon = new Daemon(dir.join('i2c.sock0'));
    daemon.start();
    let guest: GuestProcess | undefined;
    try {
      await bridge.add(i2cDevice());
      guest = new GuestProcess(machines.get(1), i2cDevice());
      expect(await guest.ask('start')).toBe(true);
      // Its queue is a back-end's, and the guest has heard what to do.
      await guest.ask('pairs', 0, 1);
      const asked = guest.ask('pairs', 0, 5000);
      await until(() => machines.get(1).memoryBus.ioeventfds > 4);
      // From here on this thread's event loop does not turn; what another counts is seen all the same.
      const { memoryBus: before } = machines.get(1);
      const nobody = new Int32Array(new SharedArrayBuffer(4));
      Atomics.wait(nobody, 0, 0, 2000);
      const { memoryBus: after } = machines.get(1);
      // Each transfer is a kick, and an interrupt whose cause is read.
      expect(after.ioeventfds - before.ioeventfds).toBeGreaterThan(100);
      expect(after.reads - before.reads).toBeGreaterThan(100);
      expect(await asked).toEqual({ done: 5000, repeated: 0 });
    } finally {
      await guest?.end();
      await daemon.kill();
      await bridge.close();
      machines.close();
      dir[Symbol.dispose]();
    }
  }, 60_000);
});

describe('A bridge whose dispatch threads die', () => {
  it('loses no request of a guest that is busy, and leaves its device to the next bridge', async () => {
    const dir = new TempDir();
    const threads = new KillableThreads();
    const pool = await DispatchPool.start({ poller }, { threads: 1 });
    serving.host = pool;
    const machines = new Machines(poller);
    const vm = machines.get(1);
    const components = {
      attachVm: () => attachLasting(vm),
      sockets: new SocketDirectory(dir.path),
      poller,
      logger: new MemoryLogger(),
    };
    const daemon = new Daemon(dir.join('i2c.sock0'));
    daemon.start();
    const bridges = [new Bridge(components)];
    const guest = new GuestProcess(vm, i2cDevice());
    try {
      await bridges[0]?.add(i2cDevice());
      expect(await guest.ask('start')).toBe(true);
      let done = 0;
      for (const _ of [1, 2]) {
        const asked = guest.ask('pairs', done, 300);
        const { ioeventfds } = vm.memoryBus;
        await until(() => vm.memoryBus.ioeventfds > ioeventfds + 20);
        await threads.kill();
        expect(await asked).toEqual({ done: 300, repeated: 0 });
        done += 300;
      }
      expect(threads.started).toBe(3);
      // A third within the minute costs the guest its device, but not for the next bridge.
      pool.close();
      await pool.ended;
      const kept = new Map<number, KeptDevices>();
      await bridges[0]?.keep((id, devices) => void kept.set(id, devices));
      const next = new Bridge(components);
      bridges.push(next);
      next.takeUp(1, kept.get(1) as KeptDevices);
      await next.add(i2cDevice());
      expect(await guest.ask('pairs', done, 50)).toEqual({ done: 50, repeated: 0 });
    } finally {
      serving.host = thread;
      await guest.end();
      await daemon.kill();
      for (const bridge of bridges) await bridge.close();
      machines.close();
      pool.close();
      await pool.ended;
      threads[Symbol.dispose]();
      dir[Symbol.dispose]();
    }
  }, 120_000);
});
