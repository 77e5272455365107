import { protocolFeatureMask } from '@node-vmm/vhost-user';
import { FakeBackend } from '@node-vmm/vhost-user-master/testing';
import { MainPoller, UnixListener } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Bridge } from '../../src/bridge.ts';
import { MemoryRenewal } from '../../src/memory-renewal.ts';
import type { MemorySharing } from '../../src/memory-sharing.ts';
import { SocketDirectory, type SocketProvider } from '../../src/socket-provider.ts';
import { MemoryLogger, settle, until } from '../../src/testing/index.ts';
import { GuestProcess, i2cDevice, Machines } from '../support/machine.ts';
import { TempDir } from '../support/temp-dir.ts';

const TIMEOUT = 60_000;
const MIB = 2 ** 20;

let dir: TempDir;
let poller: MainPoller;
let book: MemoryLogger;
let machines: Machines;
let bridge: Bridge;
let listeners: UnixListener[];
let fakes: FakeBackend[];
/** What the back-ends' process has mapped, bytes; undefined: it is gone. */
let mapped: number | undefined;
let largest: number;
/** Ends what was started for a device. */
let stop: (() => void) | undefined;
let renewal: MemoryRenewal;
let onFake: (fake: FakeBackend) => void;

beforeEach(() => {
  dir = new TempDir();
  poller = new MainPoller();
  book = new MemoryLogger();
  machines = new Machines(poller);
  listeners = [];
  fakes = [];
  mapped = 16 * MIB;
  largest = 0;
  stop = undefined;
  onFake = () => undefined;
  renewal = new MemoryRenewal(book, () => undefined);
  const directory = new SocketDirectory(dir.path);
  const sockets: SocketProvider = {
    lease: (device) => {
      const lease = directory.lease(device);
      return { ...lease, stop: () => stop?.() };
    },
  };
  bridge = new Bridge({
    attachVm: (guest) => {
      const vm = machines.get(guest);
      const sharing: MemorySharing = {
        trial: vm.memory,
        largestOnDemand: 2 * MIB,
        extents: async () => vm.memory,
        mappings: () => (mapped === undefined ? undefined : { bytes: mapped, largest }),
        checkRoom: () => undefined,
      };
      return { vm, memory: Promise.resolve(vm.memory), sharing: () => sharing, renewal };
    },
    sockets,
    poller,
    logger: book,
  });
});
afterEach(async () => {
  for (const fake of fakes) {
    Reflect.deleteProperty(fake.connection, 'close');
    fake.close();
  }
  mapped = undefined;
  await bridge.close();
  for (const listener of listeners) listener.close();
  machines.close();
  poller.close();
  dir[Symbol.dispose]();
});

/** Back-ends that are scripted. */
function listen(index = 0): void {
  const listener = UnixListener.bind(dir.join(`i2c.sock${index}`));
  listeners.push(listener);
  poller.watch(listener.fd, { readable: true }, () => {
    for (let stream = listener.accept(); stream !== undefined; stream = listener.accept()) {
      const fake = new FakeBackend(stream, poller);
      fake.features |= 1n;
      onFake(fake);
      fakes.push(fake);
    }
  });
}

/** Whether something has ended, now and for some turns. */
function watch(work: Promise<unknown>): { done: boolean } {
  const state = { done: false };
  void work.then(() => {
    state.done = true;
  });
  return state;
}

describe('a device that is taken down', { timeout: TIMEOUT }, () => {
  it('keeps its guest until the back-end has let go of its memory, after the connection ended', async () => {
    listen();
    await bridge.add(i2cDevice());
    const down = bridge.remove('1/0');
    const state = watch(down);
    await until(() => fakes[0]?.closed === 1);
    await settle();
    expect(state.done).toBe(false);
    expect(bridge.guests).toEqual([1]);
    mapped = 16 * MIB - 4096;
    await down;
    expect(bridge.guests).toEqual([]);
    expect(book.saying('not let go')).toEqual([]);
  });

  it('waits for a back-end that unmaps first and closes then', async () => {
    listen();
    await bridge.add(i2cDevice());
    const fake = fakes[0] as FakeBackend;
    mapped = 0;
    await bridge.remove('1/0');
    expect(fake.closed).toBe(1);
    expect(fake.names).toContain('SET_MEM_TABLE');
  });

  it('waits for all of several devices of one process, each for as much as it maps', async () => {
    largest = 4 * MIB;
    const length = Number(machines.get(1).memory.sharedRegions[0]?.length);
    mapped = 2 * length + 4096;
    for (const index of [0, 1]) listen(index);
    await bridge.add(i2cDevice(0));
    await bridge.add(i2cDevice(1));
    const state = watch(Promise.all([bridge.remove('1/0'), bridge.remove('1/1')]));
    await until(() => fakes.every(({ closed }) => closed === 1));
    mapped -= length;
    await settle();
    expect(bridge.guests).toEqual([1]);
    mapped -= length;
    await until(() => state.done);
    expect(book.saying('not let go')).toEqual([]);
  });

  it('is down in time where the back-end keeps the memory, and names the process', async () => {
    listen();
    await bridge.add(i2cDevice());
    await bridge.remove('1/0');
    expect(bridge.guests).toEqual([]);
    expect(book.saying('not let go')).toMatchObject([
      { level: 'warn', context: { pid: process.pid, comm: expect.stringMatching(/^.+$/) } },
    ]);
  });

  it('is down in time where the back-end answers nothing, as one that is stopped', async () => {
    listen();
    await bridge.add(i2cDevice());
    const guest = new GuestProcess(machines.get(1), i2cDevice());
    expect(await guest.ask('start')).toBe(true);
    const fake = fakes[0] as FakeBackend;
    await until(() => fake.names.includes('SET_VRING_CALL'));
    // Its socket stays open, and nobody reads from it.
    fake.connection.close = () => undefined;
    fake.script.VHOST_USER_GET_VRING_BASE = () => 'handled';
    await bridge.remove('1/0');
    expect(fake.names).toContain('GET_VRING_BASE');
    expect(bridge.guests).toEqual([]);
    expect(book.saying('not let go')).toHaveLength(1);
    await guest.end();
  });

  it('has what was started for it ended before it is waited for', async () => {
    listen();
    let stopped = 0;
    stop = () => {
      stopped++;
      mapped = undefined;
    };
    await bridge.add(i2cDevice());
    await bridge.remove('1/0');
    expect(stopped).toBe(1);
    expect(book.saying('not let go')).toEqual([]);
  });

  it('keeps its guest until the back-end has let go that was being given its memory', async () => {
    onFake = (fake) => {
      fake.protocolFeatures = protocolFeatureMask('VHOST_USER_PROTOCOL_F_REPLY_ACK');
      fake.script.VHOST_USER_SET_MEM_TABLE = () => 'handled';
      fake.connection.close = () => undefined;
    };
    listen();
    const up = expect(bridge.add(i2cDevice())).rejects.toThrow();
    await until(() => fakes[0]?.names.includes('SET_MEM_TABLE') === true);
    const state = watch(bridge.remove('1/0'));
    const fake = fakes[0] as FakeBackend;
    await until(() => fake.closed > 0);
    expect(state.done).toBe(false);
    Reflect.deleteProperty(fake.connection, 'close');
    fake.close();
    await until(() => state.done);
    await up;
  });

  it("is told of no change of its guest's memory any more", async () => {
    listen();
    await bridge.add(i2cDevice());
    mapped = 0;
    const tables = () => fakes[0]?.names.filter((name) => name === 'SET_MEM_TABLE').length;
    // A small part, and all.
    await until(() => tables() === 2);
    await renewal.changed();
    await until(() => tables() === 3);
    await bridge.remove('1/0');
    expect(renewal.changed()).toBeUndefined();
  });

  it('looks no further for a process that is gone', async () => {
    listen();
    await bridge.add(i2cDevice());
    mapped = undefined;
    await bridge.remove('1/0');
    expect(book.saying('not let go')).toEqual([]);
  });
});
