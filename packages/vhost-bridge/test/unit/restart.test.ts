import { setTimeout as sleep } from 'node:timers/promises';
import { VIRTIO_CONFIG_S_NEEDS_RESET, VIRTIO_ID_BLOCK } from '@node-vmm/virtio-bindings';
import { MainPoller } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Bridge } from '../../src/bridge.ts';
import type { BridgedVm } from '../../src/bridged-vm.ts';
import type { DeviceDescription } from '../../src/device-source.ts';
import type { KeptDevices } from '../../src/kept-device.ts';
import { FixedSockets, SocketDirectory } from '../../src/socket-provider.ts';
import { MemoryLogger, until } from '../../src/testing/index.ts';
import { attachLasting } from '../support/left-vm.ts';
import {
  Daemon,
  GuestProcess,
  i2cDevice,
  Machines,
  shuffleDaemon,
  shuffleDevice,
  shuffleGuest,
} from '../support/machine.ts';
import { openFds } from '../support/processes.ts';
import { TempDir } from '../support/temp-dir.ts';

const RESTARTS = Number(process.env['BRIDGE_RESTARTS'] ?? 20);
const TIMEOUT = 300_000 + 20_000 * RESTARTS;

/** Has an interrupt that its guest has not. */
const FAILS = { ...i2cDevice(), irq: 99 };
const SITE = { key: FAILS.key, guest: FAILS.guest, base: FAILS.base };

/** Bridges, one after the other, between machines and back-ends that outlive them. */
class Bench {
  readonly dir = new TempDir();
  readonly poller = new MainPoller();
  readonly book = new MemoryLogger();
  readonly machines = new Machines(this.poller);
  readonly #daemons: Daemon[] = [];
  readonly #guests: GuestProcess[] = [];
  /** What the bridge is attached to, by guest. */
  readonly attached = new Map<number, BridgedVm>();
  /** Somebody else serves devices of every guest, too. */
  shared = false;
  bridge = this.#make();

  #make(holdMs = 20_000, hasSockets = true): Bridge {
    return new Bridge({
      attachVm: (guest) => {
        const lasting = attachLasting(this.machines.get(guest));
        const attached = { ...lasting, shared: () => this.shared };
        this.attached.set(guest, attached);
        return attached;
      },
      sockets: hasSockets ? new SocketDirectory(this.dir.path) : new FixedSockets(new Map()),
      holdMs,
      poller: this.poller,
      logger: this.book,
    });
  }

  start(daemon: Daemon): Daemon {
    daemon.start();
    this.#daemons.push(daemon);
    return daemon;
  }

  own(guest: GuestProcess): GuestProcess {
    this.#guests.push(guest);
    return guest;
  }

  /** What the bridge leaves, by guest. The machines' vCPUs wait from then on. */
  async leave(): Promise<Map<number, KeptDevices>> {
    const kept = new Map<number, KeptDevices>();
    await this.bridge.keep((guest, left) => kept.set(guest, structuredClone(left)));
    return kept;
  }

  next(kept: ReadonlyMap<number, KeptDevices>, holdMs?: number, hasSockets?: boolean): void {
    this.bridge = this.#make(holdMs, hasSockets);
    for (const [guest, left] of kept) this.bridge.takeUp(guest, left);
  }

  async restart(devices: readonly DeviceDescription[]): Promise<void> {
    this.next(await this.leave());
    for (const device of devices) expect(this.bridge.isKept(device)).toBe(true);
    await Promise.all(devices.map((device) => this.bridge.add(device)));
  }

  get troubles(): string[] {
    const { lines } = this.book;
    const bad = lines.filter(({ level }) => level === 'error' || level === 'warn');
    return bad.map(({ message }) => message);
  }

  /** Troubles but that a back-end is not there yet, which depends on who is faster. */
  get losses(): string[] {
    return this.troubles.filter((message) => message !== 'waiting for back-end');
  }

  async close(): Promise<void> {
    for (const guest of this.#guests) await guest.end();
    for (const daemon of this.#daemons) await daemon.kill();
    await this.bridge.close();
    this.machines.close();
    this.poller.close();
    this.dir[Symbol.dispose]();
  }
}

describe('A bridge that is started again', { timeout: TIMEOUT }, () => {
  let bench: Bench;
  beforeEach(() => {
    bench = new Bench();
  });
  afterEach(() => bench.close());

  it(`goes on with two guests under load ${RESTARTS} times, and each transfer is answered`, async () => {
    const devices = [i2cDevice(0, 1), i2cDevice(0, 2)];
    const guests: GuestProcess[] = [];
    for (const [index, device] of devices.entries()) {
      bench.start(new Daemon(bench.dir.join(`i2c.sock${index}`)));
      await bench.bridge.add(device);
      const guest = bench.own(new GuestProcess(bench.machines.get(device.guest), device));
      expect(await guest.ask('start')).toBe(true);
      // A guest on a thread is answered before its queue has its descriptors; its first transfer is not.
      expect(await guest.ask('pairs', 0, 1)).toEqual({ done: 1, repeated: 0 });
      guests.push(guest);
    }
    const before = openFds();
    const troubles = bench.troubles.length;
    const PAIRS = 30;
    for (let restart = 0; restart < RESTARTS; restart++) {
      const load = guests.map((guest) => guest.ask('pairs', restart, PAIRS));
      // Somewhere in the middle of it.
      await sleep(1 + ((restart * 7) % 23));
      await bench.restart(devices);
      // The chip is in the back-end, which forgot nothing: a transfer that was lost or served late shows.
      for (const result of load) expect(await result).toEqual({ done: PAIRS, repeated: 0 });
    }
    for (const guest of guests) {
      expect(Number(await guest.ask('status')) & VIRTIO_CONFIG_S_NEEDS_RESET).toBe(0);
      expect(await guest.ask('start')).toBe(true);
      expect(await guest.ask('pairs', 0, PAIRS)).toEqual({ done: PAIRS, repeated: 0 });
    }
    expect(bench.troubles.slice(troubles)).toEqual([]);
    await expect.poll(() => openFds(), { timeout: 10_000 }).toBeLessThanOrEqual(before);
  });

  it('goes on with requests that return out of order, and each comes back once', async () => {
    const device = shuffleDevice(VIRTIO_ID_BLOCK);
    bench.start(shuffleDaemon(bench.dir.join('blk.sock0')));
    await bench.bridge.add(device);
    const guest = bench.own(shuffleGuest(bench.machines.get(device.guest), device));
    expect(await guest.ask('start')).toBe(true);
    const ROUND = 150;
    let done = 0;
    for (let restart = 0; restart < 5; restart++, done += ROUND) {
      const load = guest.ask('load', done, ROUND);
      await sleep(1 + ((restart * 7) % 23));
      await bench.restart([device]);
      expect(await load).toMatchObject({ done: ROUND });
    }
    expect(Number(await guest.ask('status')) & VIRTIO_CONFIG_S_NEEDS_RESET).toBe(0);
  });

  it('lets a guest wait that touches a register meanwhile, and finds the device as it was', async () => {
    bench.start(new Daemon(bench.dir.join('i2c.sock0')));
    await bench.bridge.add(i2cDevice());
    const guest = bench.own(new GuestProcess(bench.machines.get(1), i2cDevice()));
    expect(await guest.ask('start')).toBe(true);
    const status = await guest.ask('status');
    const kept = await bench.leave();
    let answered = false;
    const reading = guest.ask('status').finally(() => {
      answered = true;
    });
    await sleep(200);
    expect(answered).toBe(false);
    bench.next(kept);
    await bench.bridge.add(i2cDevice());
    expect(await reading).toBe(status);
    expect(await guest.ask('pairs', 0, 5)).toEqual({ done: 5, repeated: 0 });
  });

  it('passes on what nobody has announced, and gives it up in time', async () => {
    bench.start(new Daemon(bench.dir.join('i2c.sock0')));
    await bench.bridge.add(i2cDevice());
    const guest = bench.own(new GuestProcess(bench.machines.get(1), i2cDevice()));
    expect(await guest.ask('start')).toBe(true);
    const status = await guest.ask('status');
    bench.next(await bench.leave());
    const kept = await bench.leave();
    expect(kept.get(1)?.devices[0]?.description).toEqual(i2cDevice());
    expect(kept.get(1)?.devices[0]?.state?.registers.status).toBe(status);
    bench.next(kept, 100);
    await until(() => bench.book.saying('a device that was kept is given up').length === 1);
    expect(bench.bridge.guests).toEqual([]);
  });

  it('makes a device anew where another is announced in its place', async () => {
    bench.start(new Daemon(bench.dir.join('i2c.sock0')));
    await bench.bridge.add(i2cDevice());
    const guest = bench.own(new GuestProcess(bench.machines.get(1), i2cDevice()));
    expect(await guest.ask('start')).toBe(true);
    bench.next(await bench.leave());
    const other = { ...i2cDevice(), key: '1/other' };
    expect(bench.bridge.isKept(other)).toBe(false);
    // The window is handed over: an access that finds none is the end of a guest on Arm.
    const vm = bench.attached.get(1)?.vm;
    const mapped = vi.spyOn(vm as NonNullable<typeof vm>, 'map');
    await bench.bridge.add(other);
    expect(mapped).not.toHaveBeenCalled();
    expect(await guest.ask('status')).toBe(0);
    expect(await guest.ask('start')).toBe(true);
    expect(await guest.ask('pairs', 0, 5)).toEqual({ done: 5, repeated: 0 });
  });

  it('keeps each device its socket, whoever is announced first', async () => {
    const devices = [i2cDevice(0, 1), i2cDevice(0, 2)];
    // Nobody listens: they are in place and wait.
    const adding = devices.map((device) => bench.bridge.add(device).catch(() => 'aborted'));
    await until(() => bench.bridge.status().devices.length === 2);
    const socketOf = (guest: number): string | undefined =>
      bench.bridge.status().devices.find((device) => device.guest === guest)?.socket;
    const before = [socketOf(1), socketOf(2)];
    const kept = await bench.leave();
    expect(await Promise.all(adding)).toEqual(['aborted', 'aborted']);
    bench.next(kept);
    const again = [i2cDevice(1, 3), ...devices.reverse()].map((device) =>
      bench.bridge.add(device).catch(() => 'aborted'),
    );
    await until(() => bench.bridge.status().devices.length === 3);
    expect([socketOf(1), socketOf(2)]).toEqual(before);
    expect(socketOf(3)).toBe(bench.dir.join('i2c.sock2'));
    await bench.bridge.close();
    await Promise.all(again);
  });

  it('lets go of no guest before all are kept, since that takes long', async () => {
    const adding = [1, 2].map((guest) => bench.bridge.add(i2cDevice(0, guest)).catch(() => 'end'));
    await until(() => bench.attached.size === 2);
    const vms = [...bench.attached.values()].map(({ vm }) => vm as { live: boolean } & typeof vm);
    const live: boolean[][] = [];
    await bench.bridge.keep(() => live.push(vms.map((vm) => vm.live)));
    expect(live).toEqual([
      [true, true],
      [true, true],
    ]);
    expect(vms.map((vm) => vm.live)).toEqual([false, false]);
    expect(await Promise.all(adding)).toEqual(['end', 'end']);
  });

  it('costs a guest its devices when it cannot be saved, and no other', async () => {
    const adding = [1, 2].map((guest) => bench.bridge.add(i2cDevice(0, guest)).catch(() => 'end'));
    await until(() => bench.attached.size === 2);
    const saved: number[] = [];
    await bench.bridge.keep((guest) => {
      if (guest === 1) throw new Error('no room');
      saved.push(guest);
    });
    expect(saved).toEqual([2]);
    expect(bench.losses).toEqual(['guest cannot be kept, it loses its devices']);
    // Its machine serves it, without a device: nobody waits.
    const guest = bench.own(new GuestProcess(bench.machines.get(1), i2cDevice()));
    expect(await guest.ask('id')).toBe(0xffff_ffff);
    await Promise.all(adding);
  });

  it('leaves the window of a device that failed, where the guest finds none until it is served', async () => {
    bench.start(new Daemon(bench.dir.join('i2c.sock0')));
    await expect(bench.bridge.add(FAILS)).rejects.toThrow(/99/);
    const guest = bench.own(new GuestProcess(bench.machines.get(1), i2cDevice()));
    expect(await guest.ask('id')).toBe(0);
    const kept = await bench.leave();
    expect(kept.get(1)).toEqual({ devices: [], vacancies: [{ site: SITE, ours: true }] });
    bench.next(kept);
    expect(await guest.ask('id')).toBe(0);
    expect(bench.bridge.isKept(FAILS)).toBe(false);
    expect(bench.bridge.guests).toEqual([1]);
    // Neither announced nor claimed: it is passed on all the same.
    const again = await bench.leave();
    expect(again).toEqual(kept);
    bench.next(again);
    bench.shared = true;
    expect(bench.bridge.claim(SITE)).toBe(true);
    expect(bench.bridge.status().devices).toMatchObject([{ device: SITE.key, state: 'failed' }]);
    await bench.bridge.add(i2cDevice());
    expect(await guest.ask('start')).toBe(true);
    expect(await guest.ask('pairs', 0, 5)).toEqual({ done: 5, repeated: 0 });
  });

  it('gives the window of a device that failed back in time, where nobody announces that', async () => {
    await expect(bench.bridge.add(FAILS)).rejects.toThrow(/99/);
    bench.next(await bench.leave(), 100);
    await until(() => bench.bridge.guests.length === 0);
    expect(bench.losses).toEqual([]);
  });

  it('leaves a device that failed and is being tried again as one to be tried', async () => {
    await expect(bench.bridge.add(FAILS)).rejects.toThrow(/99/);
    // Nobody listens: it waits.
    const adding = bench.bridge.add(i2cDevice()).catch(() => 'aborted');
    await until(() => bench.bridge.status().devices.some(({ socket }) => socket !== undefined));
    const kept = await bench.leave();
    expect(await adding).toBe('aborted');
    const socket = bench.dir.join('i2c.sock0');
    expect(kept.get(1)).toEqual({
      devices: [{ description: i2cDevice(), socket }],
      vacancies: [],
    });
    bench.next(kept);
    bench.start(new Daemon(socket));
    await bench.bridge.add(i2cDevice());
  });

  it.each([false, true])(
    'keeps the window of a device that has no back-end any more (guest shared: %s)',
    async (shared) => {
      bench.shared = shared;
      bench.start(new Daemon(bench.dir.join('i2c.sock0')));
      await bench.bridge.add(i2cDevice());
      const guest = bench.own(new GuestProcess(bench.machines.get(1), i2cDevice()));
      expect(await guest.ask('start')).toBe(true);
      bench.next(await bench.leave(), 20_000, false);
      expect(bench.losses).toEqual(['a device that was kept has no back-end any more']);
      expect(bench.bridge.isKept(i2cDevice())).toBe(true);
      // Also when it is tried again.
      for (let round = 0; round < 2; round++) {
        await expect(bench.bridge.add(i2cDevice())).rejects.toThrow(/--name i2c/);
        expect(await guest.ask('id')).toBe(0);
        expect(bench.bridge.claim(SITE)).toBe(true);
      }
      const kept = await bench.leave();
      expect(kept.get(1)).toEqual({ devices: [], vacancies: [{ site: SITE, ours: true }] });
      bench.next(kept);
      await bench.bridge.add(i2cDevice());
      expect(await guest.ask('start')).toBe(true);
      expect(await guest.ask('pairs', 0, 5)).toEqual({ done: 5, repeated: 0 });
    },
  );

  it('makes a window without a device of a kept one that can no longer be described', async () => {
    bench.start(new Daemon(bench.dir.join('i2c.sock0')));
    await bench.bridge.add(i2cDevice());
    const guest = bench.own(new GuestProcess(bench.machines.get(1), i2cDevice()));
    expect(await guest.ask('start')).toBe(true);
    bench.next(await bench.leave());
    // Another's claim does not cost it its place.
    expect(bench.bridge.claim({ ...SITE, key: '1/other' })).toBe(false);
    expect(bench.bridge.isKept(i2cDevice())).toBe(true);
    expect(bench.bridge.claim(SITE)).toBe(true);
    expect(await guest.ask('id')).toBe(0);
    expect(bench.bridge.isKept(i2cDevice())).toBe(false);
    expect(bench.losses).toEqual(['a device that was kept is given up']);
    await bench.bridge.remove(SITE.key);
    expect(bench.bridge.guests).toEqual([]);
  });

  it('makes a device anew whose kept registers cannot be', async () => {
    bench.start(new Daemon(bench.dir.join('i2c.sock0')));
    await bench.bridge.add(i2cDevice());
    const guest = bench.own(new GuestProcess(bench.machines.get(1), i2cDevice()));
    expect(await guest.ask('start')).toBe(true);
    const kept = await bench.leave();
    const spoilt = structuredClone(kept.get(1)) as KeptDevices;
    const queue = spoilt.devices[0]?.state?.registers.queues[0];
    if (queue !== undefined) Object.assign(queue, { size: 3 });
    bench.next(new Map([[1, spoilt]]));
    await bench.bridge.add(i2cDevice());
    const trouble = 'cannot go on with the device, its driver must reset it';
    await until(() => bench.troubles.includes(trouble));
    expect(await guest.ask('start')).toBe(true);
    expect(await guest.ask('pairs', 0, 5)).toEqual({ done: 5, repeated: 0 });
  });
});
