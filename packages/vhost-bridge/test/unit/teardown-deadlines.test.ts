// What a toolstack waits for when all that a bridge works with takes as long as it may.
import { existsSync } from 'node:fs';
import type { ShareableMemory } from '@node-vmm/vm-memory';
import { MainPoller } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it, type MockInstance, vi } from 'vitest';
import { Bridge } from '../../src/bridge.ts';
import type { BridgedVm } from '../../src/bridged-vm.ts';
import { MemoryRenewal } from '../../src/memory-renewal.ts';
import type { MemorySharing } from '../../src/memory-sharing.ts';
import {
  FixedSockets,
  SocketDirectory,
  type SocketLease,
  type SocketProvider,
} from '../../src/socket-provider.ts';
import { SpawnedBackends } from '../../src/spawned-backends.ts';
import { MemoryLogger } from '../../src/testing/index.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { DrivenGuests, type Hang, HungBackends } from '../support/hung-backends.ts';
import { i2cDevice, Machines } from '../support/machine.ts';
import { TempDir } from '../support/temp-dir.ts';

const TIMEOUT = 120_000;
const MIB = 2 ** 20;
/** libxl takes a device away by force when it has not closed by then, milliseconds. */
const TOOLSTACK_MS = 10_000;
/** What all steps together may take, milliseconds; the rest is the xenstore's. */
const ALL_MS = 8_000;
/** VIRTIO 1.3 §5.3: it has two queues. */
const CONSOLE = 3;
const GUESTS = [1, 2];

const never = new Promise<never>(() => undefined);

let clock: FakeClock;
let dir: TempDir;
let poller: MainPoller;
let book: MemoryLogger;
let machines: Machines;
let backends: HungBackends;
let guests: DrivenGuests;
let renewals: Map<number, MemoryRenewal>;
let bridge: Bridge;
/** What the back-ends' process has mapped, bytes; undefined: it is gone. */
let mappedBy: () => number | undefined;
/** How often that was looked at. */
let looks: number;
/** A machine's memory. */
let memoryOf: (guest: number) => BridgedVm['memory'];
let extentsOf: (guest: number, signal: AbortSignal) => Promise<ShareableMemory>;
let largest: number;
let closeSockets: () => void;

function start(sockets: SocketProvider = new SocketDirectory(dir.path)): void {
  bridge = new Bridge({
    attachVm: (guest) => {
      const vm = machines.get(guest);
      guests.watch(guest);
      const renewal = new MemoryRenewal(book, () => undefined);
      renewals.set(guest, renewal);
      const sharing: MemorySharing = {
        trial: vm.memory,
        largestOnDemand: 2 * MIB,
        extents: (signal) => extentsOf(guest, signal),
        mappings: () => {
          looks++;
          const bytes = mappedBy();
          return bytes === undefined ? undefined : { bytes, largest };
        },
        checkRoom: () => undefined,
      };
      return { vm, memory: memoryOf(guest), sharing: () => sharing, renewal };
    },
    sockets,
    poller,
    logger: book,
  });
}

beforeEach(() => {
  clock = new FakeClock();
  dir = new TempDir();
  poller = new MainPoller();
  book = new MemoryLogger();
  machines = new Machines(poller);
  backends = new HungBackends(poller);
  guests = new DrivenGuests(machines);
  renewals = new Map();
  mappedBy = () => 16 * MIB;
  largest = 0;
  looks = 0;
  memoryOf = async (guest) => machines.get(guest).memory;
  extentsOf = async (guest) => machines.get(guest).memory;
  closeSockets = () => undefined;
});
afterEach(async () => {
  backends.close();
  mappedBy = () => undefined;
  await clock.timeOf(bridge.close(), 60_000);
  closeSockets();
  machines.close();
  poller.close();
  clock[Symbol.dispose]();
  dir[Symbol.dispose]();
});

/** Devices of two guests, so many each. */
function consoles(each: number) {
  return GUESTS.flatMap((guest) =>
    Array.from({ length: each }, (_, i) => ({ ...i2cDevice(i, guest), deviceId: CONSOLE })),
  );
}

function listen(count: number, hang: Hang): void {
  for (let i = 0; i < count; i++) backends.listen(dir.join(`console.sock${i}`), hang);
}

/** Whether back-ends have all queues of all devices. */
function allServed(): boolean {
  return bridge
    .status()
    .devices.every(({ queues }) => queues?.length === 2 && queues.every(({ started }) => started));
}

/** From when the toolstack wants devices gone until it is told that they are, milliseconds. */
async function timeToClose(keys: readonly string[]): Promise<number> {
  const spent = await clock.timeOf(Promise.all(keys.map((key) => bridge.remove(key))), 60_000);
  expect(bridge.devices).toEqual([]);
  expect(bridge.guests).toEqual([]);
  return spent;
}

describe('From Closing to Closed', { timeout: TIMEOUT }, () => {
  describe.each([1, 11])('with %i devices of each of two guests', (each) => {
    const devices = consoles(each);
    const keys = devices.map(({ key }) => key);

    it('whose daemons answer nothing, never close and keep their mappings, while memory is invalidated', async () => {
      start();
      listen(devices.length, 'nothing');
      const up = Promise.all(devices.map((device) => bridge.add(device)));
      await clock.timeOf(up, 5_000);
      for (const { guest, base } of devices) guests.drive(guest, base, 2);
      await clock.untilNow(allServed, 'rings');
      for (const fake of backends.fakes) {
        backends.hang(fake, 'GET_VRING_BASE');
        backends.hang(fake, 'SET_MEM_TABLE');
      }
      const waits = [...renewals.values()].map((renewal) => renewal.changed());
      expect(waits.every((wait) => wait !== undefined)).toBe(true);
      const spent = await timeToClose(keys);
      expect(spent).toBeLessThan(ALL_MS);
      // They were asked, and given the time for it.
      expect(backends.asked('GET_VRING_BASE')).toBe(devices.length);
      expect(spent).toBeGreaterThan(4_000);
      expect(book.saying('not let go of the guest')).toHaveLength(devices.length);
    });

    it('whose daemons take the time that they have for their first queue, and then for the second', async () => {
      start();
      listen(devices.length, 'nothing');
      await clock.timeOf(Promise.all(devices.map((device) => bridge.add(device))), 5_000);
      for (const { guest, base } of devices) guests.drive(guest, base, 2);
      await clock.untilNow(allServed, 'rings');
      for (const fake of backends.fakes) {
        // One message after another, as daemons handle them.
        let at = performance.now();
        fake.script.VHOST_USER_GET_VRING_BASE = (message) => {
          at = Math.max(at, performance.now()) + 3_000;
          setTimeout(() => fake.answer(message), at - performance.now());
          return 'handled';
        };
      }
      expect(await timeToClose(keys)).toBeLessThan(ALL_MS);
    });

    it('whose daemons were being given memory, for the first time', async () => {
      start();
      listen(devices.length, 'SET_MEM_TABLE');
      const up = Promise.allSettled(devices.map((device) => bridge.add(device)));
      await clock.untilNow(() => backends.asked('SET_MEM_TABLE') === devices.length, 'tables');
      expect(await timeToClose(keys)).toBeLessThan(ALL_MS);
      await up;
      expect(book.saying('not let go of the guest')).toHaveLength(devices.length);
    });

    it('whose daemons died and are being given memory anew', async () => {
      start();
      listen(devices.length, 'nothing');
      await clock.timeOf(Promise.all(devices.map((device) => bridge.add(device))), 5_000);
      for (const { guest, base } of devices) guests.drive(guest, base, 2);
      await clock.untilNow(allServed, 'rings');
      const first = backends.fakes.splice(0);
      const again = new HungBackends(poller);
      for (const fake of first) {
        Reflect.deleteProperty(fake.connection, 'close');
        fake.close();
      }
      await clock.turns();
      // Who connects from now on is asked for features, and never answers to a table.
      const hang = setInterval(() => {
        for (const fake of backends.fakes) again.hang(fake, 'SET_MEM_TABLE');
      }, 0);
      await clock.pass(200);
      await clock.untilNow(() => backends.asked('SET_MEM_TABLE') === devices.length, 'tables');
      clearInterval(hang);
      expect(await timeToClose(keys)).toBeLessThan(ALL_MS);
    });

    it('of which nobody knows yet where they have memory', async () => {
      memoryOf = () => never;
      start();
      const up = Promise.allSettled(devices.map((device) => bridge.add(device)));
      await clock.turns();
      expect(await timeToClose(keys)).toBeLessThan(ALL_MS);
      await up;
    });

    it('whose memory is being looked through, for daemons that map all of it', async () => {
      let begun = 0;
      extentsOf = (_, signal) => {
        begun++;
        return new Promise((_, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason), { once: true });
        });
      };
      largest = 4 * MIB;
      start();
      listen(devices.length, 'nothing');
      const up = Promise.allSettled(devices.map((device) => bridge.add(device)));
      await clock.untilNow(() => begun === devices.length, 'extents');
      expect(await timeToClose(keys)).toBeLessThan(ALL_MS);
      await up;
    });
  });

  it('looks at a process once for all of its devices', async () => {
    start();
    const devices = consoles(11);
    listen(devices.length, 'nothing');
    await clock.timeOf(Promise.all(devices.map((device) => bridge.add(device))), 5_000);
    // They close at once, and keep what they have mapped.
    for (const fake of backends.fakes) Reflect.deleteProperty(fake.connection, 'close');
    looks = 0;
    const spent = await timeToClose(devices.map(({ key }) => key));
    expect(spent).toBeLessThan(ALL_MS);
    expect(book.saying('not let go of the guest')).toHaveLength(devices.length);
    // Twenty times a second, however many wait.
    expect(looks).toBeGreaterThan(20);
    expect(looks).toBeLessThan((spent / 1000) * 20 + 10);
  });

  describe('with a back-end that the bridge started, and that ignores SIGTERM', () => {
    let lease: SocketLease | undefined;
    let spawned: SpawnedBackends;
    /** What the process has been sent. */
    let signals: string[];
    let kill: MockInstance<typeof process.kill>;

    beforeEach(() => {
      lease = undefined;
      signals = [];
      const ignores = `trap "" TERM; : >${dir.join('ignores')}; while :; do sleep 1; done`;
      const commands = new Map([['console', `/bin/sh -c '${ignores}'`]]);
      spawned = new SpawnedBackends(commands, new FixedSockets(new Map()), book);
      closeSockets = () => spawned.close();
      const real = process.kill.bind(process);
      kill = vi.spyOn(process, 'kill').mockImplementation((pid, signal) => {
        if (typeof signal === 'string') signals.push(signal);
        return real(pid, signal);
      });
      start({
        lease: (...args) => {
          lease = spawned.lease(...args);
          return lease;
        },
      });
    });
    afterEach(() => kill.mockRestore());

    /** The process, once it ignores SIGTERM. It has the guest's memory until it is gone. */
    async function spawnedProcess(): Promise<number> {
      while (!existsSync(dir.join('ignores'))) await clock.turns(1);
      const pid = spawned.status()[0]?.pid;
      if (pid === undefined) throw new Error('no process');
      mappedBy = () => (lives(pid) ? 16 * MIB : undefined);
      // It takes a while to go, of which the clock knows nothing.
      clock.stands = () => signals.includes('SIGKILL') && lives(pid);
      return pid;
    }

    it.each<[string, Hang, string]>([
      ['while it serves', 'nothing', 'SET_VRING_CALL'],
      ['while it is given memory', 'SET_MEM_TABLE', 'SET_MEM_TABLE'],
    ])('%s', async (_, hang, asked) => {
      const [device] = consoles(1) as [ReturnType<typeof i2cDevice>];
      const up = bridge.add(device).catch(() => undefined);
      await clock.untilNow(() => lease !== undefined, 'lease');
      backends.listen((lease as SocketLease).path, hang);
      const pid = await spawnedProcess();
      await clock.pass(500);
      if (hang === 'nothing') {
        await up;
        guests.drive(1, device.base, 2);
      }
      await clock.untilNow(() => backends.asked(asked) === 1, asked);
      for (const fake of backends.fakes) backends.hang(fake, 'GET_VRING_BASE');
      const spent = await timeToClose([device.key]);
      // Closed comes after it, which nobody has to wait for.
      expect(lives(pid)).toBe(false);
      expect(signals).toEqual(['SIGTERM', 'SIGKILL']);
      expect(book.saying('not let go of the guest')).toEqual([]);
      expect(spent).toBeLessThan(ALL_MS);
      await up;
    });
  });

  it('is less than the toolstack waits', () => {
    expect(ALL_MS).toBeLessThan(TOOLSTACK_MS);
  });
});

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
