// What holds of a bridge whose guests the main thread serves holds where a dispatch thread does.
import type { SimulatedVm } from '@node-vmm/ioreq-eventfd/simulated';
import * as d from '@node-vmm/virtio-device';
import { DispatchPool, DispatchThread } from '@node-vmm/vm-dispatch';
import { KillableThreads, StuckThreads } from '@node-vmm/vm-dispatch/testing';
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

/** A bridge of one guest, with a pool of one thread, and the bridges that go on after it. */
class Line implements AsyncDisposable {
  readonly pool: DispatchPool;
  readonly guest: GuestProcess;
  readonly vm: SimulatedVm;
  readonly #machines = new Machines(poller);
  readonly #dir = new TempDir();
  readonly #daemon = new Daemon(this.#dir.join('i2c.sock0'));
  readonly #bridges: Bridge[] = [];

  static async start(options: { readonly threadModule?: URL } = {}): Promise<Line> {
    const line = new Line(await DispatchPool.start({ poller }, { threads: 1, ...options }));
    await line.#next().add(i2cDevice());
    expect(await line.guest.ask('start')).toBe(true);
    return line;
  }

  private constructor(pool: DispatchPool) {
    this.pool = pool;
    serving.host = pool;
    this.vm = this.#machines.get(1);
    this.guest = new GuestProcess(this.vm, i2cDevice());
    this.#daemon.start();
  }

  #next(): Bridge {
    const bridge = new Bridge({
      attachVm: () => attachLasting(this.vm),
      sockets: new SocketDirectory(this.#dir.path),
      poller,
      logger: new MemoryLogger(),
    });
    this.#bridges.push(bridge);
    return bridge;
  }

  /** Leaves the guest to another bridge. @returns what it was left as */
  async handOver(): Promise<KeptDevices> {
    const kept: KeptDevices[] = [];
    await this.#bridges.at(-1)?.keep((_, devices) => void kept.push(devices));
    const [devices] = kept;
    if (devices === undefined) throw new Error('the guest was not kept');
    const next = this.#next();
    next.takeUp(1, devices);
    await next.add(i2cDevice());
    return devices;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    serving.host = thread;
    await this.guest.end();
    await this.#daemon.kill();
    for (const bridge of this.#bridges) await bridge.close();
    this.#machines.close();
    this.pool.close();
    await this.pool.ended;
    this.#dir[Symbol.dispose]();
  }
}

describe('A bridge whose dispatch threads die', () => {
  it('loses no request of a guest that is busy, and leaves its device to the next bridge', async () => {
    using threads = new KillableThreads();
    await using line = await Line.start();
    const { guest, pool, vm } = line;
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
    await line.handOver();
    expect(await guest.ask('pairs', done, 50)).toEqual({ done: 50, repeated: 0 });
  }, 120_000);
});

describe('A bridge whose dispatch thread is stuck', () => {
  it('leaves a guest that is busy to the next bridge as it is, and that loses no request', async () => {
    using stuck = new StuckThreads();
    await using line = await Line.start({ threadModule: stuck.module });
    const { guest, vm } = line;
    const asked = guest.ask('pairs', 0, 300);
    await until(() => vm.memoryBus.ioeventfds > 20);
    stuck.loopNext();
    await until(() => stuck.looping);
    const begun = performance.now();
    const { devices } = await line.handOver();
    expect(performance.now() - begun).toBeLessThan(10_000);
    const [device] = devices;
    expect((device?.state?.registers.status ?? 0) & d.VIRTIO_CONFIG_S_DRIVER_OK).not.toBe(0);
    expect(device?.state?.queues.rings).toHaveLength(1);
    expect(await asked).toEqual({ done: 300, repeated: 0 });
    expect(await guest.ask('pairs', 300, 50)).toEqual({ done: 50, repeated: 0 });
  }, 120_000);
});
