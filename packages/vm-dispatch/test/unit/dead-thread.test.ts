import * as d from '@node-vmm/virtio-device';
import { DispatchPool } from '@node-vmm/vm-dispatch';
import { KillableThreads } from '@node-vmm/vm-dispatch/testing';
import { EventFd, MainPoller } from '@node-vmm/vmm-sys-util';
import { MemoryLogger } from '@node-vmm/vmm-sys-util/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Driver, RUNNING } from '../driver.ts';
import { BASE, Bench, IRQ, until } from '../harness.ts';

describe('a guest whose dispatch thread dies', () => {
  const poller = new MainPoller();
  let logger: MemoryLogger;
  let threads: KillableThreads;
  let pool: DispatchPool;

  beforeEach(async () => {
    logger = new MemoryLogger();
    threads = new KillableThreads();
    pool = await DispatchPool.start({ poller, logger }, { threads: 1 });
  });

  afterEach(async () => {
    pool.close();
    await pool.ended;
    threads[Symbol.dispose]();
  });

  /** The thread blocks: what wakes it is an access, which it may have served or not. */
  async function killAt(access: () => Promise<unknown>): Promise<void> {
    const [killed, waiting] = [threads.kill(), access()];
    await killed;
    await waiting;
  }

  it('goes on with its device on another, and its driver notices nothing', async () => {
    using b = new Bench(pool, { config: Uint8Array.of(1, 2, 3, 4) });
    using driver = new Driver(b);
    using kick = EventFd.create();
    using call = EventFd.create();
    b.vm.ioeventfd({ guestAddr: BASE + 0x50n, length: 4, datamatch: 1n }, kick);
    const unwire = b.dispatched.irqfd(call);
    await driver.start();
    const state = await b.dispatched.state();
    const { requests } = b.vm.counters;
    await killAt(() => driver.read(d.VIRTIO_MMIO_STATUS));
    expect(threads.started).toBe(2);
    expect(await driver.read(d.VIRTIO_MMIO_STATUS)).toBe(RUNNING);
    expect(await driver.read(d.VIRTIO_MMIO_CONFIG)).toBe(0x0403_0201);
    expect(await b.dispatched.state()).toEqual(state);
    expect(b.dispatched.status).toBe(RUNNING);
    // Counts go on.
    expect(b.vm.counters.requests).toBeGreaterThan(requests + 2);
    await driver.write(d.VIRTIO_MMIO_QUEUE_NOTIFY, 1);
    expect(kick.drain()).toBe(true);
    b.guest.waitInterrupt(IRQ, 0);
    call.signal();
    expect(b.guest.waitInterrupt(IRQ, 30_000)).toBe(true);
    expect(await driver.read(d.VIRTIO_MMIO_INTERRUPT_STATUS)).toBe(d.VIRTIO_MMIO_INT_VRING);
    await driver.write(d.VIRTIO_MMIO_INTERRUPT_ACK, d.VIRTIO_MMIO_INT_VRING);
    // The device heard of everything once.
    expect(b.device.names).toEqual(['acceptFeatures', 'activate']);
    expect(logger.find('a dispatch thread has ended')?.context).toMatchObject({ guests: 1 });
    expect(logger.find('goes on for another')?.context).toMatchObject({ guests: 1 });
    await driver.write(d.VIRTIO_MMIO_QUEUE_READY, 0);
    await driver.write(d.VIRTIO_MMIO_STATUS, 0);
    expect(b.device.names.slice(2)).toEqual(['stopQueue', 'reset']);
    unwire();
  });

  it('that waits for a reset is answered when the device is done, which is reset once', async () => {
    using b = new Bench(pool, { manual: true }, { vcpus: 2 });
    using driver = new Driver(b);
    await driver.start();
    const reset = driver.write(d.VIRTIO_MMIO_STATUS, 0);
    await until(() => b.device.names.includes('reset'));
    await killAt(() => driver.read(d.VIRTIO_MMIO_STATUS, 1));
    expect(await driver.read(d.VIRTIO_MMIO_STATUS, 1)).toBe(RUNNING);
    b.device.finish();
    await reset;
    expect(await driver.read(d.VIRTIO_MMIO_STATUS)).toBe(0);
    expect(b.device.names).toEqual(['acceptFeatures', 'activate', 'reset']);
    await driver.start();
    expect(b.device.names.slice(3)).toEqual(['acceptFeatures', 'activate']);
  });

  it('that waits for the stop of a queue is answered when it has stopped, once', async () => {
    using b = new Bench(pool, { manual: true }, { vcpus: 2 });
    using driver = new Driver(b);
    await driver.start();
    const stop = driver.write(d.VIRTIO_MMIO_QUEUE_READY, 0);
    await until(() => b.device.names.includes('stopQueue'));
    await killAt(() => driver.read(d.VIRTIO_MMIO_STATUS, 1));
    expect(await driver.read(d.VIRTIO_MMIO_QUEUE_READY, 1)).toBe(1);
    b.device.finish();
    await stop;
    expect(await driver.read(d.VIRTIO_MMIO_QUEUE_READY)).toBe(0);
    expect(b.device.names).toEqual(['acceptFeatures', 'activate', 'stopQueue']);
    await driver.write(d.VIRTIO_MMIO_QUEUE_READY, 1);
    await until(() => b.device.names.includes('startQueue'));
  });

  it('has what its owner does for it done once', async () => {
    using b = new Bench(pool, {}, { vcpus: 2 });
    using driver = new Driver(b);
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const written: bigint[] = [];
    b.vm.map(
      { space: 'memory', base: BASE + 0x1000n, length: 0x200 },
      {
        read: () => 7n,
        write: (_offset, _size, value) => {
          written.push(value);
          return held;
        },
      },
    );
    let answered = false;
    const waiting = driver.guest.write(BASE + 0x1000n, 4, 5n).then(() => {
      answered = true;
    });
    await until(() => written.length === 1);
    await killAt(() => driver.read(d.VIRTIO_MMIO_STATUS, 1));
    expect(await driver.guest.read(BASE + 0x1000n, 4, { vcpu: 1 })).toBe(7n);
    expect(answered).toBe(false);
    release();
    await waiting;
    expect(written).toEqual([5n]);
    // The same once more is another.
    await driver.guest.write(BASE + 0x1000n, 4, 5n);
    expect(written).toEqual([5n, 5n]);
  });

  it('hears of what its device said while there was no thread', async () => {
    using b = new Bench(pool, { config: new Uint8Array(4) });
    using driver = new Driver(b);
    await driver.start();
    const before = await driver.read(d.VIRTIO_MMIO_CONFIG_GENERATION);
    const killed = threads.kill();
    b.device.config.fill(9);
    b.dispatched.configChanged();
    await killed;
    b.dispatched.needsReset();
    b.dispatched.setVringInterruptsAssisted(true);
    const state = b.dispatched.state();
    expect(await driver.read(d.VIRTIO_MMIO_CONFIG)).toBe(0x0909_0909);
    expect(await driver.read(d.VIRTIO_MMIO_CONFIG_GENERATION)).not.toBe(before);
    const status = RUNNING | d.VIRTIO_CONFIG_S_NEEDS_RESET;
    expect(await driver.read(d.VIRTIO_MMIO_STATUS)).toBe(status);
    expect(await state).toMatchObject({ status });
    expect(b.guest.waitInterrupt(IRQ, 30_000)).toBe(true);
    expect(await driver.read(d.VIRTIO_MMIO_INTERRUPT_STATUS)).toBe(
      d.VIRTIO_MMIO_INT_CONFIG | d.VIRTIO_MMIO_INT_VRING,
    );
  });

  it('takes nothing before it is to, where it was stopped', async () => {
    using b = new Bench(pool);
    using driver = new Driver(b);
    await driver.start();
    await b.vm.keep();
    await killAt(async () => b.dispatched.queueInterrupt());
    let answered = false;
    const read = driver.read(d.VIRTIO_MMIO_STATUS).then((status) => {
      answered = true;
      return status;
    });
    expect(await b.dispatched.state()).toMatchObject({ status: RUNNING });
    await b.vm.keep();
    expect(answered).toBe(false);
    b.vm.takeUp();
    expect(await read).toBe(RUNNING);
  });

  it('may come, go and be rewired while there is no thread', async () => {
    using b = new Bench(pool);
    using driver = new Driver(b);
    await driver.start();
    using kick = EventFd.create();
    const wiring = b.vm.ioeventfd({ guestAddr: BASE + 0x50n, length: 4, datamatch: 1n }, kick);
    await killAt(async () => b.dispatched.queueInterrupt());
    using late = new Bench(pool);
    using lateDriver = new Driver(late);
    const gone = new Bench(pool);
    expect(pool.guests).toEqual([3]);
    gone[Symbol.dispose]();
    wiring.close();
    expect(pool.guests).toEqual([2]);
    await lateDriver.start();
    await driver.write(d.VIRTIO_MMIO_QUEUE_NOTIFY, 1);
    expect(kick.drain()).toBe(false);
    await until(() => b.device.names.includes('notifyQueue'));
    expect(late.device.names).toEqual(['acceptFeatures', 'activate']);
  });

  it('is given up with the third within a minute, and what its registers were is known', async () => {
    using b = new Bench(pool);
    using driver = new Driver(b);
    await driver.start();
    for (const _ of [1, 2]) await killAt(() => driver.read(d.VIRTIO_MMIO_STATUS));
    expect(await driver.read(d.VIRTIO_MMIO_STATUS)).toBe(RUNNING);
    await killAt(() => driver.read(d.VIRTIO_MMIO_STATUS));
    expect(await driver.read(d.VIRTIO_MMIO_STATUS)).toBe(0);
    expect(await b.dispatched.state()).toMatchObject({ status: RUNNING });
    expect(logger.saying('a guest has ended too many dispatch threads')).toHaveLength(1);
    // Others have a thread.
    using other = new Bench(pool);
    using otherDriver = new Driver(other);
    await otherDriver.start();
    expect(other.dispatched.status).toBe(RUNNING);
  });

  it('goes on from whatever its driver was doing, and the device hears of each thing once', async () => {
    for (let round = 0; round < 2; round++) {
      using many = new KillableThreads();
      await using one = await DispatchPool.start({ poller, logger }, { threads: 1 });
      using b = new Bench(one, { config: new Uint8Array(8) });
      using driver = new Driver(b);
      let [sessions, killing] = [0, 2];
      const driving = (async () => {
        for (; killing > 0 || sessions < 3; sessions++) {
          await driver.start();
          expect(await driver.read(d.VIRTIO_MMIO_STATUS)).toBe(RUNNING);
          await driver.write(d.VIRTIO_MMIO_CONFIG, sessions);
          expect(await driver.read(d.VIRTIO_MMIO_CONFIG)).toBe(sessions);
          await driver.write(d.VIRTIO_MMIO_STATUS, 0);
        }
      })();
      for (; killing > 0; killing--) {
        const begun = sessions;
        await until(() => sessions > begun);
        await many.kill();
      }
      await driving;
      expect(many.started).toBe(3);
      const session = ['acceptFeatures', 'activate', 'writeConfig', 'reset'];
      expect(b.device.names).toEqual(Array.from({ length: sessions }, () => session).flat());
      b.vm.close();
    }
  });
});
