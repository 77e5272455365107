import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { HostedGuest } from '@node-vmm/ioreq-eventfd';
import * as d from '@node-vmm/virtio-device';
import type { FakeVirtioDeviceOptions } from '@node-vmm/virtio-device/testing';
import { DispatchPool } from '@node-vmm/vm-dispatch';
import { KillableThreads } from '@node-vmm/vm-dispatch/testing';
import { MainPoller } from '@node-vmm/vmm-sys-util';
import { MemoryLogger } from '@node-vmm/vmm-sys-util/testing';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Driver, RUNNING } from '../driver.ts';
import { Bench, until } from '../harness.ts';

/** Threads of a place that may die within a minute. */
const MOST = 8;
/** Of them, those that one guest may end. */
const OF_ONE = 3;
/** What the threads wait in. */
const LOOP = new URL('../../../vmm-sys-util/dist/event-loop.js', import.meta.url);
const ENTRY = new URL('../../dist/thread/entry.js', import.meta.url);
const NOT_REPLACED = 'a dispatch thread is not replaced';
const GIVEN_UP = 'a guest has ended too many dispatch threads';

/** Something that no thread of ours can be told: it ends each that is. */
const wrong = (name: string, gone: () => void): HostedGuest => ({
  name,
  page: { pointer: 0n, length: 0 } as never,
  vcpus: 0,
  ends: { kind: 'eventfds', vcpus: [], lines: [] },
  spaces: [],
  answerLimit: 1,
  carrierOf: () => 'message',
  server: { run: () => undefined },
  gone,
});

describe('a place of a pool of dispatch threads that is given up', { timeout: 60_000 }, () => {
  const poller = new MainPoller();
  let logger: MemoryLogger;
  let threads: KillableThreads;
  let dir: string;
  let listeners: number;

  beforeEach(() => {
    listeners = process.listenerCount('exit');
    logger = new MemoryLogger();
    threads = new KillableThreads();
    dir = mkdtempSync(join(tmpdir(), 'dispatch-'));
  });
  afterEach(() => {
    threads[Symbol.dispose]();
    rmSync(dir, { recursive: true });
  });
  afterAll(() => poller.close());

  /** What every thread runs, until it is removed: none can be had from then on. */
  function removable(): { readonly threadModule: URL; remove(): void } {
    const file = join(dir, 'entry.mjs');
    writeFileSync(file, `import '${ENTRY.href}';`);
    return { threadModule: pathToFileURL(file), remove: () => rmSync(file) };
  }

  /** Guests one after the other, of which each ends threads of the place that has fewest until it is given up. */
  async function endThreads(pool: DispatchPool, guests: number): Promise<void> {
    for (let i = 0; i < guests; i++) {
      let gone = 0;
      pool.seat(wrong(`wrong-${i}`, () => void gone++));
      await until(() => gone === 1);
    }
  }

  /** A place with one guest, which is returned, and one with two: who comes next comes to the first. */
  function seats(
    pool: DispatchPool,
    options: FakeVirtioDeviceOptions = {},
  ): readonly [Bench, Bench, Bench] {
    const one = new Bench(pool, options, { vcpus: 2 });
    const another = new Bench(pool);
    using _passing = new Bench(pool);
    return [one, another, new Bench(pool)];
  }

  it('had as many threads as may die in a minute; its guests go on on another', async () => {
    await using pool = await DispatchPool.start({ poller, logger }, { threads: 2 });
    const [b, ...others] = seats(pool, { manual: true });
    using driver = new Driver(b);
    await driver.start();
    const state = await b.dispatched.state();
    let answered = false;
    const reset = driver.write(d.VIRTIO_MMIO_STATUS, 0).then(() => {
      answered = true;
    });
    await until(() => b.device.names.includes('reset'));
    // The third of each is its last, and the ninth the place's.
    await endThreads(pool, OF_ONE);
    expect(threads.started).toBe(2 + MOST);
    expect(logger.saying(NOT_REPLACED)).toMatchObject([
      { context: { thread: 'dispatch-0', reason: expect.stringMatching(/again and again/) } },
    ]);
    expect(logger.saying(GIVEN_UP).map(({ context }) => context['vm'])).toEqual([
      'wrong-0',
      'wrong-1',
      'wrong-2',
    ]);
    // With those that were on the other.
    expect(pool.guests).toEqual([3]);
    expect(await driver.read(d.VIRTIO_MMIO_STATUS, 1)).toBe(RUNNING);
    expect(await b.dispatched.state()).toEqual({ ...state, queueSel: 1 });
    expect(answered).toBe(false);
    b.device.finish();
    await reset;
    expect(b.device.names).toEqual(['acceptFeatures', 'activate', 'reset']);
    // Whoever comes has a thread.
    using late = new Bench(pool);
    using lateDriver = new Driver(late);
    await lateDriver.start();
    expect(pool.guests).toEqual([4]);
    for (const bench of [b, ...others]) bench[Symbol.dispose]();
  });

  it('leaves its guests to nobody where there is no other, and what their registers were is known', async () => {
    const pool = await DispatchPool.start({ poller, logger }, { threads: 1 });
    using b = new Bench(pool);
    using driver = new Driver(b);
    await driver.start();
    const state = await b.dispatched.state();
    await endThreads(pool, OF_ONE);
    await pool.ended;
    expect(pool.guests).toEqual([]);
    expect(await driver.read(d.VIRTIO_MMIO_STATUS)).toBe(0);
    expect(await b.dispatched.state()).toEqual(state);
    expect(() => pool.seat(wrong('late', () => undefined))).toThrow(
      expect.objectContaining({ code: 'CLOSED' }),
    );
    expect(threads.started).toBe(1 + MOST);
    pool.close();
  });

  it('is one that can have no thread, too', async () => {
    const { threadModule, remove } = removable();
    await using pool = await DispatchPool.start({ poller, logger }, { threads: 2, threadModule });
    const all = seats(pool);
    const drivers = all.map((bench) => new Driver(bench));
    for (const driver of drivers) await driver.start();
    remove();
    const killed = threads.kill(0);
    all[0].dispatched.queueInterrupt();
    await killed;
    expect(logger.saying(NOT_REPLACED)).toMatchObject([
      { context: { thread: 'dispatch-0', reason: expect.stringMatching(/is not there/) } },
    ]);
    expect(pool.guests).toEqual([3]);
    for (const driver of drivers) expect(await driver.read(d.VIRTIO_MMIO_STATUS)).toBe(RUNNING);
    const last = threads.kill();
    all[1].dispatched.queueInterrupt();
    await last;
    await pool.ended;
    expect(pool.guests).toEqual([]);
    for (const driver of drivers) expect(await driver.read(d.VIRTIO_MMIO_STATUS)).toBe(0);
    for (const bench of all) {
      expect(await bench.dispatched.state()).toMatchObject({ status: RUNNING });
      expect(bench.device.names).toEqual(['acceptFeatures', 'activate']);
    }
    for (const { guest } of drivers) guest.close();
    for (const bench of all) bench[Symbol.dispose]();
  });

  it('at one moment with all others gives up all guests, of which none moves in a circle', async () => {
    const { threadModule, remove } = removable();
    const pool = await DispatchPool.start({ poller, logger }, { threads: 3, threadModule });
    const all = [0, 1, 2].map(() => new Bench(pool));
    const drivers = all.map((bench) => new Driver(bench));
    for (const driver of drivers) await driver.start();
    remove();
    const killed = [0, 1, 2].map((at) => threads.kill(at));
    for (const bench of all) bench.dispatched.queueInterrupt();
    await Promise.all(killed);
    await pool.ended;
    for (const driver of drivers) expect(await driver.read(d.VIRTIO_MMIO_STATUS)).toBe(0);
    for (const bench of all) {
      expect(await bench.dispatched.state()).toMatchObject({ status: RUNNING });
    }
    expect(logger.saying(NOT_REPLACED)).toHaveLength(3);
    for (const { guest } of drivers) guest.close();
    for (const bench of all) bench[Symbol.dispose]();
  });

  it('has none of its guests left when its pool is closed while it waits for a thread', async () => {
    const pool = await DispatchPool.start({ poller, logger }, { threads: 1 });
    using b = new Bench(pool);
    using driver = new Driver(b);
    await driver.start();
    const killed = threads.kill();
    b.dispatched.queueInterrupt();
    await killed;
    pool.close();
    expect(await driver.read(d.VIRTIO_MMIO_STATUS)).toBe(0);
    await pool.ended;
    expect(logger.saying(NOT_REPLACED)).toEqual([]);
    expect(process.listenerCount('exit')).toBe(listeners);
  });

  it.each([1, 2])(
    'and threads that die as soon as they are up (%d of them) leave nothing behind',
    async (dying) => {
      const first = await nextThreadId();
      const { started } = threads;
      // Of a thread of this module: the loop of those that are to die ends at once, by an error.
      const threadModule = new URL(
        `data:text/javascript,${encodeURIComponent(`
          import { threadId } from 'node:worker_threads';
          import { EventLoop } from '${LOOP.href}';
          const { run } = EventLoop.prototype;
          EventLoop.prototype.run = function () {
            if (threadId < ${first + dying}) throw new Error('at once');
            run.call(this);
          };
          await import('${ENTRY.href}');
        `)}`,
      );
      const starting = DispatchPool.start({ poller, logger }, { threads: 1, threadModule });
      // That it is up and that it has ended are there when this thread looks.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1500);
      const pool = await starting;
      await until(() => threads.started - started > dying);
      expect(pool.guests).toEqual([0]);
      using b = new Bench(pool);
      using driver = new Driver(b);
      await driver.start();
      expect(b.dispatched.status).toBe(RUNNING);
      pool.close();
      await pool.ended;
      expect(process.listenerCount('exit')).toBe(listeners);
    },
  );
});

/** Of the thread that is started next. */
async function nextThreadId(): Promise<number> {
  const worker = new Worker('', { eval: true });
  const { threadId } = worker;
  await once(worker, 'exit');
  return threadId + 1;
}
