import { setTimeout as sleep } from 'node:timers/promises';
import { VIRTIO_CONFIG_S_NEEDS_RESET, VIRTIO_ID_BLOCK } from '@node-vmm/virtio-bindings';
import { MainPoller } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Bridge } from '../../src/bridge.ts';
import type { BridgedVm } from '../../src/bridged-vm.ts';
import type { DeviceDescription } from '../../src/device-source.ts';
import type { KeptDevice } from '../../src/kept-device.ts';
import { SocketDirectory } from '../../src/socket-provider.ts';
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
  bridge = this.#make();

  #make(holdMs = 20_000): Bridge {
    return new Bridge({
      attachVm: (guest) => {
        const attached = attachLasting(this.machines.get(guest));
        this.attached.set(guest, attached);
        return attached;
      },
      sockets: new SocketDirectory(this.dir.path),
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
  async leave(): Promise<Map<number, readonly KeptDevice[]>> {
    const kept = new Map<number, readonly KeptDevice[]>();
    await this.bridge.keep((guest, devices) => kept.set(guest, structuredClone(devices)));
    return kept;
  }

  next(kept: ReadonlyMap<number, readonly KeptDevice[]>, holdMs?: number): void {
    this.bridge = this.#make(holdMs);
    for (const [guest, devices] of kept) this.bridge.takeUp(guest, devices);
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
    expect(kept.get(1)?.[0]?.description).toEqual(i2cDevice());
    expect(kept.get(1)?.[0]?.state?.registers.status).toBe(status);
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
    await bench.bridge.add(other);
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
    expect(bench.book.saying('guest cannot be kept')).toHaveLength(1);
    // Its machine serves it, without a device: nobody waits.
    const guest = bench.own(new GuestProcess(bench.machines.get(1), i2cDevice()));
    expect(await guest.ask('id')).toBe(0xffff_ffff);
    await Promise.all(adding);
  });

  it('makes a device anew whose kept registers cannot be', async () => {
    bench.start(new Daemon(bench.dir.join('i2c.sock0')));
    await bench.bridge.add(i2cDevice());
    const guest = bench.own(new GuestProcess(bench.machines.get(1), i2cDevice()));
    expect(await guest.ask('start')).toBe(true);
    const kept = await bench.leave();
    const spoilt = structuredClone(kept.get(1)?.[0]) as KeptDevice;
    const queue = spoilt.state?.registers.queues[0];
    if (queue !== undefined) Object.assign(queue, { size: 3 });
    bench.next(new Map([[1, [spoilt]]]));
    await bench.bridge.add(i2cDevice());
    expect(bench.troubles).toContain('cannot go on with the device, its driver must reset it');
    expect(await guest.ask('start')).toBe(true);
    expect(await guest.ask('pairs', 0, 5)).toEqual({ done: 5, repeated: 0 });
  });
});
