import { setTimeout as sleep } from 'node:timers/promises';
import {
  VIRTIO_CONFIG_S_NEEDS_RESET,
  VIRTIO_ID_BLOCK,
  VIRTIO_ID_GPIO,
  VIRTIO_ID_SCMI,
} from '@node-vmm/virtio-bindings';
import { MainPoller } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Bridge } from '../../src/bridge.ts';
import { SocketDirectory } from '../../src/socket-provider.ts';
import { MemoryLogger, until } from '../../src/testing/index.ts';
import {
  type Daemon,
  type GuestProcess,
  Machines,
  shuffleDaemon,
  shuffleDevice,
  shuffleGuest,
} from '../support/machine.ts';
import { openFds } from '../support/processes.ts';
import { TempDir } from '../support/temp-dir.ts';

/** How often the back-end is killed under load: more where somebody has the time. */
const KILLS = Number(process.env['INFLIGHT_KILLS'] ?? 5);
const TIMEOUT = 120_000 + 20_000 * KILLS;
const ROUND = 150;

/** A bridge on a simulated machine, between a guest and back-ends that return requests in any order. */
class Bench {
  readonly dir = new TempDir();
  readonly poller = new MainPoller();
  readonly book = new MemoryLogger();
  readonly machines = new Machines(this.poller);
  readonly bridge = new Bridge({
    attachVm: (guest) => {
      const vm = this.machines.get(guest);
      return { vm, memory: Promise.resolve(vm.memory), counters: () => ({}) };
    },
    sockets: new SocketDirectory(this.dir.path),
    poller: this.poller,
    logger: this.book,
  });
  readonly #daemons: Daemon[] = [];
  readonly #name: string;
  guest: GuestProcess | undefined;
  lives = 0;

  constructor(name: string) {
    this.#name = name;
  }

  daemon(losesState = false): Daemon {
    const daemon = shuffleDaemon(this.dir.join(`${this.#name}.sock0`), losesState);
    this.#daemons.push(daemon);
    return daemon;
  }

  /** Starts a back-end, the device, and the guest's driver. */
  async start(daemon: Daemon, deviceId: number): Promise<GuestProcess> {
    const device = shuffleDevice(deviceId);
    daemon.start();
    await this.bridge.add(device);
    this.lives = 1;
    const guest = shuffleGuest(this.machines.get(device.guest), device);
    this.guest = guest;
    expect(await guest.ask('start')).toBe(true);
    return guest;
  }

  /** Kills a back-end and starts another. */
  async replace(old: Daemon, next: Daemon): Promise<void> {
    await old.kill();
    await until(() => this.book.saying('back-end lost').length === this.lives);
    next.start();
    this.lives++;
    await until(() => this.book.saying('back-end connected').length === this.lives);
  }

  get errors(): string[] {
    return this.book.lines.filter(({ level }) => level === 'error').map(({ message }) => message);
  }

  async close(): Promise<void> {
    await this.guest?.end();
    for (const daemon of this.#daemons) await daemon.kill();
    await this.bridge.close();
    this.machines.close();
    this.poller.close();
    this.dir[Symbol.dispose]();
  }
}

describe.each([
  ['gpio', VIRTIO_ID_GPIO],
  ['blk', VIRTIO_ID_BLOCK],
])('A back-end of type %s that returns requests out of order', { timeout: TIMEOUT }, (name, id) => {
  let bench: Bench;
  beforeEach(() => {
    bench = new Bench(name);
  });
  afterEach(() => bench.close());

  it(`is killed ${KILLS} times under load, and each request comes back once`, async () => {
    const daemon = bench.daemon();
    const guest = await bench.start(daemon, id);
    let done = 0;
    let overtaken = 0;
    for (let kill = 0; kill < KILLS; kill++) {
      const load = guest.ask('load', done, ROUND);
      // Somewhere in the middle of it.
      await sleep(1 + ((kill * 7) % 23));
      await bench.replace(daemon, daemon);
      const result = (await load) as { done: number; overtaken: number };
      expect(result).toMatchObject({ done: ROUND });
      done += result.done;
      overtaken += result.overtaken;
    }
    expect(await guest.ask('load', done, ROUND)).toMatchObject({ done: ROUND });
    expect(overtaken).toBeGreaterThan(KILLS);
    expect(bench.errors).toEqual([]);
    expect(Number(await guest.ask('status')) & VIRTIO_CONFIG_S_NEEDS_RESET).toBe(0);
  });

  it('that comes back without a record makes the device ask for a reset where requests are unfinished', async () => {
    const daemon = bench.daemon();
    const guest = await bench.start(daemon, id);
    await guest.ask('load', 0, 10);
    await guest.ask('hold', 10);
    await bench.replace(daemon, bench.daemon(true));
    await until(() => bench.errors.length > 0);
    expect(Number(await guest.ask('status')) & VIRTIO_CONFIG_S_NEEDS_RESET).not.toBe(0);
    // The driver resets the device, and is served by the one that is there.
    expect(await guest.ask('start')).toBe(true);
    expect(await guest.ask('load', 0, ROUND)).toMatchObject({ done: ROUND });
  });

  it('leaves no descriptor of its records behind', async () => {
    const daemon = bench.daemon();
    const guest = await bench.start(daemon, id);
    await guest.ask('load', 0, 10);
    const before = openFds();
    for (let round = 0; round < 3; round++) {
      expect(await guest.ask('start')).toBe(true);
      expect(await guest.ask('load', 0, 10)).toMatchObject({ done: 10 });
      await bench.replace(daemon, daemon);
      expect(await guest.ask('load', 0, 10)).toMatchObject({ done: 10 });
    }
    await expect.poll(() => openFds(), { timeout: 10_000 }).toBeLessThanOrEqual(before);
  });
});

describe('A back-end of a device with state', { timeout: TIMEOUT }, () => {
  let bench: Bench;
  afterEach(() => bench.close());

  it.each([
    ['that keeps it, then one that loses it', false, true],
    ['that loses it, then one that keeps it', true, false],
    ['that loses it, twice', true, true],
  ])('%s: the device asks for a reset, with nothing unfinished', async (_, first, second) => {
    bench = new Bench('gpio');
    const daemon = bench.daemon(first);
    const guest = await bench.start(daemon, VIRTIO_ID_GPIO);
    await guest.ask('load', 0, 10);
    await bench.replace(daemon, bench.daemon(second));
    await until(() => bench.errors.length > 0);
    expect(bench.book.lines.map(({ context }) => context)).toContainEqual(
      expect.objectContaining({ err: expect.objectContaining({ code: 'STATE_LOST' }) }),
    );
    expect(Number(await guest.ask('status')) & VIRTIO_CONFIG_S_NEEDS_RESET).not.toBe(0);
    expect(await guest.ask('start')).toBe(true);
    expect(await guest.ask('load', 0, ROUND)).toMatchObject({ done: ROUND });
  });

  it('and none in its queues: one that loses its place goes on where nothing is unfinished', async () => {
    bench = new Bench('blk');
    const daemon = bench.daemon(true);
    const guest = await bench.start(daemon, VIRTIO_ID_BLOCK);
    await guest.ask('load', 0, 10);
    await bench.replace(daemon, bench.daemon(false));
    // What is sent earlier is unfinished, and nobody knows that no back-end has begun it.
    await until(() => bench.bridge.status().devices[0]?.queues?.[0]?.started === true);
    expect(await guest.ask('load', 10, ROUND)).toMatchObject({ done: ROUND });
    expect(bench.errors).toEqual([]);
  });
});

describe('A back-end of type scmi', { timeout: TIMEOUT }, () => {
  it('may return commands in any order: one that lost them makes the device ask for a reset', async () => {
    const bench = new Bench('scmi');
    try {
      const daemon = bench.daemon(true);
      const guest = await bench.start(daemon, VIRTIO_ID_SCMI);
      await guest.ask('load', 0, 10);
      await guest.ask('hold', 10);
      await bench.replace(daemon, bench.daemon(true));
      await until(() => bench.errors.length > 0);
      expect(bench.book.lines.map(({ context }) => context)).toContainEqual(
        expect.objectContaining({ err: expect.objectContaining({ code: 'UNKNOWN_ORDER' }) }),
      );
      expect(Number(await guest.ask('status')) & VIRTIO_CONFIG_S_NEEDS_RESET).not.toBe(0);
    } finally {
      await bench.close();
    }
  });
});
