import * as d from '@node-vmm/virtio-device';
import { DispatchPool, DispatchThread } from '@node-vmm/vm-dispatch';
import { KillableThreads, StuckThreads } from '@node-vmm/vm-dispatch/testing';
import { MainPoller } from '@node-vmm/vmm-sys-util';
import { MemoryLogger } from '@node-vmm/vmm-sys-util/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Driver, RUNNING } from '../driver.ts';
import { Bench, until } from '../harness.ts';

const IS_STUCK = 'a dispatch thread is stuck, it is ended';
const DOES_NOT_END = 'a dispatch thread that is stuck in a system call does not end';
/** Of `Patience` and `ThreadKill`, and a new thread on a machine that is busy. */
const DEADLINE_MS = 10_000;

describe('a guest whose dispatch thread is stuck', { timeout: 3 * DEADLINE_MS }, () => {
  const poller = new MainPoller();
  let logger: MemoryLogger;
  let stuck: StuckThreads;
  let threads: KillableThreads;

  beforeEach(() => {
    logger = new MemoryLogger();
    stuck = new StuckThreads();
    threads = new KillableThreads();
  });

  afterEach(() => {
    threads[Symbol.dispose]();
    stuck[Symbol.dispose]();
  });

  const startPool = (): Promise<DispatchPool> =>
    DispatchPool.start({ poller, logger }, { threads: 1, threadModule: stuck.module });

  it('is left to another process with its registers, and served by another thread if that does not come', async () => {
    await using pool = await startPool();
    using b = new Bench(pool, { config: new Uint8Array(4) });
    using driver = new Driver(b);
    using other = new Bench(pool);
    using otherDriver = new Driver(other);
    await driver.start();
    await otherDriver.start();
    const state = await b.dispatched.state();
    stuck.loopNext();
    const reading = driver.read(d.VIRTIO_MMIO_STATUS);
    await until(() => stuck.looping);
    const begun = performance.now();
    await b.vm.keep();
    expect(await b.dispatched.state()).toEqual(state);
    expect(performance.now() - begun).toBeLessThan(DEADLINE_MS);
    expect(logger.saying(IS_STUCK)).toMatchObject([
      { level: 'error', context: { thread: 'dispatch-0' } },
    ]);
    expect(threads.started).toBe(2);
    // It is nobody's to serve, but others are.
    expect(await otherDriver.read(d.VIRTIO_MMIO_STATUS)).toBe(RUNNING);
    b.vm.takeUp();
    expect(await reading).toBe(RUNNING);
    expect(await driver.read(d.VIRTIO_MMIO_STATUS)).toBe(RUNNING);
    expect(b.device.names).toEqual(['acceptFeatures', 'activate']);
  });

  it('of no pool is answered by nobody before it is to, and its registers are known', async () => {
    using thread = await DispatchThread.start({ poller, logger }, { threadModule: stuck.module });
    using b = new Bench(thread, {}, { vcpus: 2 });
    using driver = new Driver(b);
    await driver.start();
    const state = await b.dispatched.state();
    stuck.loopNext();
    void driver.read(d.VIRTIO_MMIO_STATUS).catch(() => undefined);
    await until(() => stuck.looping);
    let answered = false;
    const other = driver.read(d.VIRTIO_MMIO_STATUS, 1).then((status) => {
      answered = true;
      return status;
    });
    await b.vm.keep();
    expect(await b.dispatched.state()).toEqual(state);
    await thread.ended;
    await b.vm.keep();
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(answered).toBe(false);
    b.vm.takeUp();
    // There is no device any more.
    expect(await other).toBe(0);
  });

  it('in a system call that nothing ends is left all the same, and holds up nobody', async () => {
    const pool = await startPool();
    const b = new Bench(pool);
    const driver = new Driver(b);
    await driver.start();
    const state = await b.dispatched.state();
    stuck.blockNext();
    void driver.read(d.VIRTIO_MMIO_STATUS).catch(() => undefined);
    await until(() => stuck.blocking);
    const begun = performance.now();
    await b.vm.keep();
    expect(await b.dispatched.state()).toEqual(state);
    expect(logger.saying(DOES_NOT_END)).toHaveLength(1);
    // What its thread has is not waited for.
    const closing = performance.now();
    driver[Symbol.dispose]();
    b[Symbol.dispose]();
    expect(performance.now() - closing).toBeLessThan(1000);
    expect(performance.now() - begun).toBeLessThan(DEADLINE_MS);
    expect(pool.guests).toEqual([1]);
    stuck.free();
    // Another comes in its place, to which none of its guests goes.
    await until(() => threads.started === 2 && pool.guests[0] === 0);
    pool.close();
    await pool.ended;
  });

  it('whose device is asked for its registers only then is known, too', async () => {
    await using pool = await startPool();
    using b = new Bench(pool);
    using driver = new Driver(b);
    await driver.start();
    const state = await b.dispatched.state();
    stuck.loopNext();
    const reading = driver.read(d.VIRTIO_MMIO_STATUS);
    await until(() => stuck.looping);
    expect(await b.dispatched.state()).toEqual(state);
    expect(await reading).toBe(RUNNING);
  });

  it('may go away, and those that it shared the thread with are served by another', async () => {
    await using pool = await startPool();
    const b = new Bench(pool);
    const driver = new Driver(b);
    using other = new Bench(pool);
    using otherDriver = new Driver(other);
    await driver.start();
    await otherDriver.start();
    stuck.loopNext();
    void driver.read(d.VIRTIO_MMIO_STATUS).catch(() => undefined);
    await until(() => stuck.looping);
    driver[Symbol.dispose]();
    b[Symbol.dispose]();
    expect(pool.guests).toEqual([2]);
    expect(await otherDriver.read(d.VIRTIO_MMIO_STATUS)).toBe(RUNNING);
    expect(pool.guests).toEqual([1]);
    expect(logger.saying(IS_STUCK)).toHaveLength(1);
  });

  it('does not hold up the end of its pool', async () => {
    const pool = await startPool();
    using b = new Bench(pool);
    using driver = new Driver(b);
    await driver.start();
    stuck.loopNext();
    void driver.read(d.VIRTIO_MMIO_STATUS).catch(() => undefined);
    await until(() => stuck.looping);
    pool.close();
    await pool.ended;
    expect(logger.saying(IS_STUCK)).toHaveLength(1);
    expect(await b.dispatched.state()).toMatchObject({ status: RUNNING });
  });

  it('is not when only the main thread stood still', async () => {
    await using pool = await startPool();
    using b = new Bench(pool);
    using driver = new Driver(b);
    await driver.start();
    const paused = b.vm.keep();
    const still = new Int32Array(new SharedArrayBuffer(4));
    Atomics.wait(still, 0, 0, 3500);
    await paused;
    b.vm.takeUp();
    expect(await driver.read(d.VIRTIO_MMIO_STATUS)).toBe(RUNNING);
    expect(logger.saying(IS_STUCK)).toEqual([]);
  });
});
