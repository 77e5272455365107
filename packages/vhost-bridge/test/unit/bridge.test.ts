import { existsSync, rmSync, symlinkSync } from 'node:fs';
import { protocolFeatureMask } from '@node-vmm/vhost-user';
import { FakeBackend } from '@node-vmm/vhost-user-master/testing';
import { guestAddress } from '@node-vmm/vm-memory';
import {
  MainPoller,
  readFd,
  setNonBlocking,
  UnixListener,
  type UnixStream,
  writeFd,
} from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Bridge } from '../../src/bridge.ts';
import { SocketDirectory } from '../../src/socket-provider.ts';
import { MemoryLogger, settle, until } from '../../src/testing/index.ts';
import { Daemon, GuestProcess, i2cDevice, Machines } from '../support/machine.ts';
import { openFds } from '../support/processes.ts';
import { Relay } from '../support/relay.ts';
import { TempDir } from '../support/temp-dir.ts';

const TIMEOUT = 120_000;

/** Everything around a bridge, real but for the machine. */
class Bench {
  readonly dir = new TempDir();
  readonly poller = new MainPoller();
  readonly book = new MemoryLogger();
  readonly machines = new Machines(this.poller);
  readonly bridge = new Bridge({
    attachVm: (guest) => {
      const vm = this.machines.get(guest);
      const counters = () => {
        const { interrupts } = vm;
        return { ...vm.counters, ...vm.memoryBus, interrupts };
      };
      return { vm, memory: Promise.resolve(vm.memory), counters, held: () => vm.held };
    },
    sockets: new SocketDirectory(this.dir.path),
    poller: this.poller,
    logger: this.book,
  });
  readonly #daemons: Daemon[] = [];
  readonly #guests: GuestProcess[] = [];
  readonly #listeners: Listener[] = [];
  readonly #fakes: FakeBackend[] = [];

  /** @param index - of the socket that it is reached by */
  daemon(index = 0): Daemon {
    const path = this.dir.join('daemon.sock0');
    const link = this.dir.join(`i2c.sock${index}`);
    rmSync(link, { force: true });
    symlinkSync(path, link);
    const daemon = new Daemon(path);
    this.#daemons.push(daemon);
    return daemon;
  }

  guest(device = i2cDevice()): GuestProcess {
    const guest = new GuestProcess(this.machines.get(device.guest), device);
    this.#guests.push(guest);
    return guest;
  }

  /** Back-ends that are scripted, one for each connection. */
  fakes(): FakeBackend[] {
    const fakes: FakeBackend[] = [];
    this.listener((stream) => {
      const fake = new FakeBackend(stream, this.poller);
      fake.features |= 1n;
      fakes.push(fake);
      this.#fakes.push(fake);
    });
    return fakes;
  }

  listener(
    onStream?: (stream: UnixStream) => void,
    path: string = this.dir.join('i2c.sock0'),
  ): Listener {
    const listener = new Listener(this.poller, path, onStream);
    this.#listeners.push(listener);
    return listener;
  }

  async endProcesses(): Promise<void> {
    for (const process of this.#guests.splice(0)) await process.end();
    for (const daemon of this.#daemons.splice(0)) await daemon.kill();
  }

  async close(): Promise<void> {
    for (const listener of this.#listeners) listener.close();
    for (const fake of this.#fakes) fake.close();
    await this.endProcesses();
    await this.bridge.close();
    this.machines.close();
    this.poller.close();
    this.dir[Symbol.dispose]();
  }
}

/** A back-end that accepts, and does what the test says with each connection. */
class Listener {
  readonly streams: UnixStream[] = [];
  readonly #listener: UnixListener;
  readonly #watch: Disposable;
  #live = true;

  constructor(poller: MainPoller, path: string, onStream?: (stream: UnixStream) => void) {
    this.#listener = UnixListener.bind(path);
    this.#watch = poller.watch(this.#listener.fd, { readable: true }, () => {
      for (;;) {
        const stream = this.#listener.accept();
        if (stream === undefined) return;
        this.streams.push(stream);
        onStream?.(stream);
      }
    });
  }

  close(): void {
    if (!this.#live) return;
    this.#live = false;
    this.#watch[Symbol.dispose]();
    this.#listener.close();
    for (const stream of this.streams) stream.close();
  }
}

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});
afterEach(() => bench.close());

describe('Bridge with a daemon and a guest', { timeout: TIMEOUT }, () => {
  it('carries transfers, and those after the guest reset its device', async () => {
    bench.daemon().start();
    await bench.bridge.add(i2cDevice());
    const guest = bench.guest();
    expect(await guest.ask('start')).toBe(true);
    expect(await guest.ask('pairs', 0, 50)).toEqual({ done: 50, repeated: 0 });
    for (let round = 1; round <= 3; round++) {
      expect(await guest.ask('reset')).toBe(true);
      expect(await guest.ask('status')).toBe(0);
      expect(await guest.ask('start')).toBe(true);
      expect(await guest.ask('pairs', 50 * round, 20)).toEqual({ done: 20, repeated: 0 });
    }
    expect(bench.book.lines.filter(({ level }) => level === 'error')).toEqual([]);
  });

  it('shows guests, devices, queues and back-ends as its status', async () => {
    const daemon = bench.daemon();
    const device = i2cDevice();
    const adding = bench.bridge.add(device);
    await until(() => bench.book.saying('waiting for back-end').length === 1);
    const socket = bench.dir.join('i2c.sock0');
    const base = `0x${device.base.toString(16)}`;
    const same = { device: device.key, guest: device.guest, type: 'i2c', base, socket };
    expect(bench.bridge.status()).toMatchObject({
      guests: [{ guest: device.guest, devices: 1 }],
      devices: [{ ...same, state: 'coming up' }],
    });
    daemon.start();
    await adding;
    const guest = bench.guest();
    await guest.ask('start');
    await guest.ask('pairs', 0, 1);
    // A daemon may serve a ring before its answer to the ring's start has been read.
    await until(() => bench.bridge.status().devices[0]?.queues?.[0]?.started === true);
    expect(JSON.parse(JSON.stringify(bench.bridge.status()))).toMatchObject({
      guests: [{ counters: { requests: expect.any(Number), writes: expect.any(Number) } }],
      devices: [
        {
          ...same,
          state: 'up',
          backend: 'connected',
          driverStatus: 15,
          queues: [{ queue: 0, started: true }],
        },
      ],
    });
    await daemon.kill();
    await until(() => bench.bridge.status().devices[0]?.backend === 'away');
    expect(bench.bridge.status().devices).toMatchObject([{ queues: [{ started: false }] }]);
    const removing = bench.bridge.remove(device.key);
    expect(bench.bridge.status().devices).toMatchObject([{ state: 'going down' }]);
    await removing;
    expect(bench.bridge.status()).toMatchObject({ guests: [], devices: [] });
  });

  it('counts accesses, kicks, interrupts and back-ends, also when their guest has gone', async () => {
    const daemon = bench.daemon();
    const device = i2cDevice();
    const adding = bench.bridge.add(device);
    await until(() => bench.book.saying('waiting for back-end').length === 1);
    const guest = bench.guest();
    // Its first access waits for the back-end.
    const starting = guest.ask('start');
    await until(() => bench.bridge.status().totals.held.now === 1);
    daemon.start();
    await adding;
    await starting;
    // A guest on a dispatch thread may be answered before its queue has its descriptors.
    await guest.ask('pairs', 0, 1);
    await guest.ask('pairs', 1, 10);
    await daemon.kill();
    daemon.start();
    await until(() => bench.bridge.status().totals.devices['i2c']?.reconnects === 1);
    await guest.ask('pairs', 11, 10);
    const { totals, guests } = bench.bridge.status();
    expect(totals.counters).toEqual(guests[0]?.counters);
    expect(totals.counters.ioeventfds).toBeGreaterThanOrEqual(20);
    expect(totals.counters.interrupts).toBeGreaterThanOrEqual(20);
    expect(totals.counters.requests).toBeGreaterThan(totals.counters.ioeventfds ?? 0);
    expect(totals.held.counts.reduce((a, b) => a + b)).toBeGreaterThanOrEqual(1);
    expect(totals.held).toMatchObject({ now: 0, seconds: expect.any(Number) });
    await guest.end();
    await bench.bridge.remove(device.key);
    const left = bench.bridge.status();
    expect(left.guests).toEqual([]);
    expect(left.totals.counters).toEqual(totals.counters);
    expect(left.totals.devices['i2c']).toMatchObject({ reconnects: 1, failures: 0 });
  });

  it('lets a transfer wait for a daemon that was killed', async () => {
    const daemon = bench.daemon();
    daemon.start();
    await bench.bridge.add(i2cDevice());
    const guest = bench.guest();
    await guest.ask('start');
    await guest.ask('pairs', 0, 3);
    await daemon.kill();
    await until(() => bench.book.saying('back-end lost, reconnecting').length === 1);
    let answered = false;
    const waiting = guest.ask('pairs', 3, 1).finally(() => {
      answered = true;
    });
    await settle();
    expect(answered).toBe(false);
    daemon.start();
    expect(await waiting).toEqual({ done: 1, repeated: 0 });
    expect(await guest.ask('pairs', 4, 20)).toEqual({ done: 20, repeated: 0 });
  });

  it('loses no request of 100 pairs while the daemon is killed three times', async () => {
    const daemon = bench.daemon();
    daemon.start();
    await bench.bridge.add(i2cDevice());
    const guest = bench.guest();
    await guest.ask('start');
    const kills = 3;
    let done = 0;
    let repeated = 0;
    for (let kill = 1; kill <= kills; kill++) {
      const some = guest.ask('pairs', done, 25);
      await new Promise((resolve) => setTimeout(resolve, 1));
      await daemon.kill();
      await until(() => bench.book.saying('back-end lost').length === kill);
      daemon.start();
      const result = (await some) as { done: number; repeated: number };
      done += result.done;
      repeated += result.repeated;
      // The next kill is to hit a daemon that serves.
      await until(() => bench.book.saying('back-end connected').length === kill + 1);
    }
    expect(await guest.ask('pairs', done, 25)).toEqual({ done: 25, repeated: 0 });
    expect(done + 25).toBe(100);
    // A pair is repeated only where its daemon died between its write and its read.
    expect(repeated).toBeLessThanOrEqual(kills);
    expect(bench.book.lines.filter(({ level }) => level === 'error')).toEqual([]);
  });

  it('takes a reset and a new start of the guest while the daemon is away', async () => {
    const daemon = bench.daemon();
    daemon.start();
    await bench.bridge.add(i2cDevice());
    const guest = bench.guest();
    await guest.ask('start');
    await guest.ask('pairs', 0, 3);
    await daemon.kill();
    await until(() => bench.book.saying('back-end lost').length === 1);
    expect(await guest.ask('reset')).toBe(true);
    expect(await guest.ask('start')).toBe(true);
    const waiting = guest.ask('pairs', 0, 5);
    daemon.start();
    expect(await waiting).toEqual({ done: 5, repeated: 0 });
  });

  it('claims the window at once and holds accesses until the back-end is there', async () => {
    let placed = 0;
    const added = bench.bridge.add(i2cDevice(), () => placed++);
    expect(placed).toBe(1);
    const guest = bench.guest();
    let answered = false;
    const id = guest.ask('id').finally(() => {
      answered = true;
    });
    const vm = bench.machines.get(1);
    await until(() => vm.counters.deferred === 1);
    await until(() => bench.book.saying('waiting for back-end').length === 1);
    expect(answered).toBe(false);
    bench.daemon().start();
    await added;
    expect(await id).toBe(34);
    expect(await guest.ask('start')).toBe(true);
    expect(await guest.ask('pairs', 0, 5)).toEqual({ done: 5, repeated: 0 });
    expect(placed).toBe(1);
  });

  it('leaves no descriptor behind', async () => {
    // What the runtime opens once and keeps is opened by a first round.
    const round = async (): Promise<void> => {
      const daemon = bench.daemon();
      daemon.start();
      await bench.bridge.add(i2cDevice());
      const guest = bench.guest();
      await guest.ask('start');
      await guest.ask('pairs', 0, 5);
      await daemon.kill();
      await until(() => bench.book.saying('back-end lost').length > 0);
      daemon.start();
      await guest.ask('pairs', 5, 5);
      await guest.ask('reset');
      await bench.endProcesses();
      await bench.bridge.close();
      bench.machines.close();
      bench.book.lines.length = 0;
    };
    const before = openFds();
    await round();
    // What is closed late is closed a few turns later.
    await expect.poll(openFds).toBeLessThanOrEqual(before + 2);
    const first = openFds();
    await round();
    await expect.poll(openFds).toBeLessThanOrEqual(first);
    expect(bench.bridge.devices).toEqual([]);
    expect(bench.bridge.guests).toEqual([]);
  });
});

describe('Bridge without a daemon', { timeout: TIMEOUT }, () => {
  it('removes a device that is still coming up, and its guest', async () => {
    const added = bench.bridge.add(i2cDevice());
    const outcome = expect(added).rejects.toThrow(/aborted/);
    await until(() => bench.book.saying('waiting for back-end').length === 1);
    expect(bench.bridge).toMatchObject({ devices: ['1/0'], guests: [1] });
    await Promise.all([bench.bridge.remove('1/0'), bench.bridge.remove('1/0')]);
    await outcome;
    expect(bench.bridge).toMatchObject({ devices: [], guests: [] });
    expect(bench.machines.get(1).live).toBe(false);
    await bench.bridge.remove('1/0');
  });

  it('keeps a guest attached while it has another device', async () => {
    const outcomes = [0, 1].map((devid) =>
      expect(bench.bridge.add(i2cDevice(devid))).rejects.toThrow(/aborted/),
    );
    await bench.bridge.remove('1/0');
    expect(bench.bridge).toMatchObject({ devices: ['1/1'], guests: [1] });
    await bench.bridge.close();
    await Promise.all(outcomes);
    expect(bench.bridge.guests).toEqual([]);
  });

  it('lets the second of two devices at one address fail alone', async () => {
    const first = expect(bench.bridge.add(i2cDevice())).rejects.toThrow(/aborted/);
    const second = { ...i2cDevice(), key: '1/9', base: 0x200_0100n };
    await expect(bench.bridge.add(second)).rejects.toMatchObject({ code: 'RANGE_IN_USE' });
    expect(bench.bridge).toMatchObject({ devices: ['1/0'], guests: [1] });
    await bench.bridge.close();
    await first;
  });

  it('gives up a guest that cannot be attached to, and its socket', async () => {
    const sockets = new SocketDirectory('/nowhere');
    const { poller, book: logger } = bench;
    const attachVm = (): never => {
      throw new Error('no such domain');
    };
    const bridge = new Bridge({ attachVm, sockets, poller, logger });
    await expect(bridge.add(i2cDevice())).rejects.toThrow('no such domain');
    expect(bridge).toMatchObject({ devices: [], guests: [] });
    const type = {
      name: 'i2c',
      deviceId: 34,
      queues: 1,
      queueSize: 64,
      configSize: 0,
      inOrder: true,
    };
    expect(sockets.lease(type).path).toBe('/nowhere/i2c.sock0');
  });
});

describe('Bridge with a back-end that hangs', { timeout: TIMEOUT }, () => {
  it('serves others meanwhile, drops the connection and tries again', async () => {
    const hanging = bench.listener();
    const stuck = expect(bench.bridge.add(i2cDevice(0, 1))).rejects.toThrow(/aborted/);
    await until(() => hanging.streams.length === 1);
    bench.daemon(1).start();
    const other = i2cDevice(0, 2);
    await bench.bridge.add(other);
    const guest = bench.guest(other);
    await guest.ask('start');
    expect(await guest.ask('pairs', 0, 20)).toEqual({ done: 20, repeated: 0 });
    await until(() => hanging.streams.length >= 2);
    const lines = bench.book.saying('waiting for back-end');
    const line = lines.find(({ context }) => context['device'] === '1/0');
    expect(line?.context['reason']).toMatch(/no reply within/);
    // Not only when the next request times out.
    await bench.bridge.remove('1/0');
    await stuck;
    // One that was made just before may not have been accepted yet.
    await settle();
    const connections = hanging.streams.length;
    expect(await guest.ask('pairs', 20, 20)).toEqual({ done: 20, repeated: 0 });
    expect(hanging.streams).toHaveLength(connections);
  });

  it('answers the guest that resets, and serves it by the next back-end', async () => {
    const fakes: FakeBackend[] = [];
    const listener = bench.listener((stream) => {
      const fake = new FakeBackend(stream, bench.poller);
      fake.features |= 1n;
      fake.script.VHOST_USER_GET_VRING_BASE = () => 'handled';
      fakes.push(fake);
    });
    await bench.bridge.add(i2cDevice());
    const guest = bench.guest();
    await guest.ask('start');
    await until(() => fakes[0]?.names.includes('SET_VRING_KICK') === true);
    expect(await guest.ask('reset')).toBe(true);
    expect(await guest.ask('status')).toBe(0);
    expect(bench.book.saying('dropping back-end')).toHaveLength(1);
    await until(() => fakes[0]?.closed === 1);
    await until(() => fakes.length === 2);
    listener.close();
    for (const fake of fakes) fake.close();
    bench.daemon().start();
    expect(await guest.ask('start')).toBe(true);
    expect(await guest.ask('pairs', 0, 5)).toEqual({ done: 5, repeated: 0 });
  });
});

describe('Bridge with a back-end that cannot be reset', { timeout: TIMEOUT }, () => {
  it('connects again for each new start of the driver, and loses nothing', async () => {
    bench.daemon(9).start();
    await until(() => existsSync(bench.dir.join('daemon.sock0')));
    const relays: Relay[] = [];
    bench.listener((stream) => {
      relays.push(new Relay(stream, bench.dir.join('daemon.sock0'), bench.poller));
    });
    await bench.bridge.add(i2cDevice());
    const guest = bench.guest();
    expect(await guest.ask('start')).toBe(true);
    expect(await guest.ask('pairs', 0, 20)).toEqual({ done: 20, repeated: 0 });
    for (let round = 1; round <= 3; round++) {
      expect(await guest.ask('reset')).toBe(true);
      expect(await guest.ask('status')).toBe(0);
      // Its first kick may come before the back-end is there again.
      expect(await guest.ask('start')).toBe(true);
      expect(await guest.ask('pairs', 20 * round, 20)).toEqual({ done: 20, repeated: 0 });
      expect(relays).toHaveLength(round + 1);
    }
    expect(relays[0]?.names.at(-1)).toBe('VHOST_USER_GET_VRING_BASE');
    expect(bench.book.saying('connecting again to reset back-end')).toHaveLength(3);
    const loud = bench.book.lines.filter(({ level }) => level === 'error' || level === 'warn');
    expect(loud).toEqual([]);
    for (const relay of relays) relay.close();
  });

  it('lets go of it for good with the device', async () => {
    const fakes = bench.fakes();
    await bench.bridge.add(i2cDevice());
    await bench.guest().ask('start');
    await until(() => fakes[0]?.names.includes('SET_VRING_KICK') === true);
    await bench.bridge.remove('1/0');
    await until(() => fakes[0]?.closed === 1);
    await settle();
    expect(fakes).toHaveLength(1);
  });
});

describe('Bridge with a back-end that knows fewer fields of the configuration', () => {
  const CONFIG = protocolFeatureMask('VHOST_USER_PROTOCOL_F_CONFIG');
  const block = { ...i2cDevice(), deviceId: 2 };

  /** Gives up to so many bytes, as libvhost-user does. */
  function listen(known: number): FakeBackend[] {
    const fakes: FakeBackend[] = [];
    const path = bench.dir.join('blk.sock0');
    bench.listener((stream) => {
      const fake = new FakeBackend(stream, bench.poller, CONFIG);
      fake.config = new Uint8Array(known).fill(7);
      fake.script.VHOST_USER_GET_CONFIG = (message) => {
        if (message.name !== 'VHOST_USER_GET_CONFIG') return undefined;
        if (message.payload.data.length <= known) return undefined;
        const nothing = { offset: 0, flags: 0, data: new Uint8Array(0) };
        fake.connection.sendReply(message.name, nothing);
        return 'handled';
      };
      fakes.push(fake);
    }, path);
    return fakes;
  }

  it('takes what there is', async () => {
    const fakes = listen(60);
    await bench.bridge.add(block);
    const asked = fakes[0]?.received.flatMap((message) =>
      message.name === 'VHOST_USER_GET_CONFIG' ? [message.payload.data.length] : [],
    );
    expect(asked).toEqual([72, 68, 64, 60]);
    for (const fake of fakes) fake.close();
  });

  it('does not do without any', async () => {
    const fakes = listen(0);
    await expect(bench.bridge.add(block)).rejects.toMatchObject({ code: 'REQUEST_FAILED' });
    for (const fake of fakes) fake.close();
  });
});

describe('Bridge with a back-end that goes on at another index', { timeout: TIMEOUT }, () => {
  const NEEDS_RESET = 0x40;
  const IMPOSSIBLE = 'impossible used index';

  /** A guest whose device is started, with the indices of its ring at hand. */
  async function started(fakes: FakeBackend[]) {
    await bench.bridge.add(i2cDevice());
    const guest = bench.guest();
    await guest.ask('start');
    await until(() => fakes[0]?.names.includes('SET_VRING_KICK') === true);
    const rings = fakes[0]?.message('VHOST_USER_SET_VRING_ADDR')?.payload;
    if (rings === undefined) throw new Error('the fake saw no ring');
    const { memory } = bench.machines.get(1);
    const set = (used: number, avail: number): void => {
      memory.writeU16(guestAddress(rings.availRing + 2n), avail);
      memory.writeU16(guestAddress(rings.usedRing + 2n), used);
    };
    return { guest, set };
  }

  const statusOf = async (guest: GuestProcess): Promise<number> =>
    (await guest.ask('status')) as number;

  it('tells the guest, where a fresh ring is served on from another', async () => {
    const fakes = bench.fakes();
    const { guest, set } = await started(fakes);
    expect((await statusOf(guest)) & NEEDS_RESET).toBe(0);
    set(3, 1);
    await until(() => bench.book.saying(IMPOSSIBLE).length === 1);
    expect((await statusOf(guest)) & NEEDS_RESET).toBe(NEEDS_RESET);
    const [line] = bench.book.saying(IMPOSSIBLE);
    expect(line).toMatchObject({
      level: 'error',
      context: { queue: 0, base: 0, used: 3, avail: 1 },
    });
  });

  it('tells the guest, where the next back-end counts from 0 again', async () => {
    const fakes = bench.fakes();
    const { guest, set } = await started(fakes);
    set(5, 5);
    fakes[0]?.close();
    await until(() => fakes[1]?.names.includes('SET_VRING_KICK') === true);
    expect(fakes[1]?.message('VHOST_USER_SET_VRING_BASE')?.payload.num).toBe(5);
    set(1, 6);
    await until(() => bench.book.saying(IMPOSSIBLE).length === 1);
    expect((await statusOf(guest)) & NEEDS_RESET).toBe(NEEDS_RESET);
    // The reset makes a new connection, and all is well.
    await guest.ask('reset');
    await until(() => fakes.length === 3);
    await guest.ask('start');
    await until(() => fakes[2]?.names.includes('SET_VRING_KICK') === true);
    expect(fakes[2]?.message('VHOST_USER_SET_VRING_BASE')?.payload.num).toBe(0);
    expect((await statusOf(guest)) & NEEDS_RESET).toBe(0);
  });

  it('does not give a ring to the next back-end that none can go on with', async () => {
    const fakes = bench.fakes();
    const { guest, set } = await started(fakes);
    set(9, 6);
    fakes[0]?.close();
    await until(() => bench.book.saying('queues cannot be started').length === 1);
    const [line] = bench.book.saying('queues cannot be started');
    expect(line?.context['err']).toMatchObject({ code: 'IMPOSSIBLE_RING' });
    expect(fakes[1]?.names).not.toContain('SET_VRING_KICK');
    expect((await statusOf(guest)) & NEEDS_RESET).toBe(NEEDS_RESET);
  });
});

describe('Bridge with a back-end that makes a descriptor of both blocking', {
  timeout: TIMEOUT,
}, () => {
  const FULL = BigUint64Array.of(0xffff_ffff_ffff_fffen);

  it('does not wait for it: the kick that it filled', async () => {
    const fakes = bench.fakes();
    await bench.bridge.add(i2cDevice());
    const guest = bench.guest();
    await guest.ask('start');
    await until(() => fakes[0]?.names.includes('SET_VRING_KICK') === true);
    const [kick] = fakes[0]?.fdsOf('VHOST_USER_SET_VRING_KICK') ?? [];
    if (kick === undefined) throw new Error('the fake saw no kick');
    // Whoever serves the guest has the eventfd by now, and makes it non-blocking no more.
    await guest.ask('status');
    do readFd(kick, new Uint8Array(8), 8);
    while (writeFd(kick, FULL, 8) < 0);
    setNonBlocking(kick, false);
    // Nobody will answer it.
    void guest.ask('pairs', 0, 1).catch(() => undefined);
    await until(() => bench.book.saying('dropping back-end').length === 1);
    expect(bench.book.saying('dropping back-end')[0]?.context).toMatchObject({
      reason: expect.stringContaining('blocking'),
    });
    expect(fakes[0]?.closed).not.toBeUndefined();
  });

  it('does not wait for it: the call that it takes back', async () => {
    const fakes = bench.fakes();
    await bench.bridge.add(i2cDevice());
    const guest = bench.guest();
    await guest.ask('start');
    await until(() => fakes[0]?.names.includes('SET_VRING_KICK') === true);
    const [call] = fakes[0]?.fdsOf('VHOST_USER_SET_VRING_CALL') ?? [];
    if (call === undefined) throw new Error('the fake saw no call');
    setNonBlocking(call, false);
    for (let i = 0; i < 100; i++) {
      writeFd(call, BigUint64Array.of(1n), 8);
      // The bridge's poller has seen it; now there is nothing to read any more.
      await new Promise((resolve) => setImmediate(resolve));
      setNonBlocking(call, true);
      readFd(call, new Uint8Array(8), 8);
      setNonBlocking(call, false);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await guest.ask('status')).toBeTypeOf('number');
  });
});
