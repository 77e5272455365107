// A back-end that maps all of a Xen guest, which takes it a minute.
import { protocolFeatureMask } from '@node-vmm/vhost-user';
import { FakeBackend } from '@node-vmm/vhost-user-master/testing';
import { MainPoller, UnixListener } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Bridge } from '../../src/bridge.ts';
import type { MemorySharing } from '../../src/memory-sharing.ts';
import { SocketDirectory } from '../../src/socket-provider.ts';
import { MemoryLogger } from '../../src/testing/index.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { i2cDevice, Machines } from '../support/machine.ts';
import { TempDir } from '../support/temp-dir.ts';

const TIMEOUT = 60_000;
const MIB = 2 ** 20;
const PROTOCOL =
  protocolFeatureMask('VHOST_USER_PROTOCOL_F_REPLY_ACK') |
  protocolFeatureMask('VHOST_USER_PROTOCOL_F_XEN_MMAP');
/** What one may have for less than 1 GiB: a minute, and one for each GiB that is begun. */
const LIMIT_MS = 120_000;

describe('A back-end that takes long for its table', { timeout: TIMEOUT }, () => {
  let clock: FakeClock;
  let dir: TempDir;
  let poller: MainPoller;
  let book: MemoryLogger;
  let machines: Machines;
  let bridge: Bridge;
  let listener: UnixListener;
  let fakes: FakeBackend[];
  /** What it takes for the table that it maps whole, milliseconds. */
  let tableMs: number;

  beforeEach(() => {
    clock = new FakeClock(true);
    dir = new TempDir();
    poller = new MainPoller();
    book = new MemoryLogger();
    machines = new Machines(poller);
    fakes = [];
    bridge = new Bridge({
      attachVm: (guest) => {
        const vm = machines.get(guest);
        const xen = { mmapFlags: 1, domid: guest };
        const regions = vm.memory.sharedRegions.map((region) => ({ ...region, xen }));
        const sharing: MemorySharing = {
          trial: vm.memory,
          largestOnDemand: 2 * MIB,
          extents: async () => ({ sharedRegions: regions }),
          mappings: () => ({ bytes: 4 * MIB, largest: 4 * MIB }),
          checkRoom: () => undefined,
        };
        return { vm, memory: Promise.resolve(vm.memory), sharing: () => sharing };
      },
      sockets: new SocketDirectory(dir.path),
      poller,
      logger: book,
    });
    listener = UnixListener.bind(dir.join('i2c.sock0'));
    poller.watch(listener.fd, { readable: true }, () => {
      for (let stream = listener.accept(); stream !== undefined; stream = listener.accept()) {
        const fake = new FakeBackend(stream, poller, PROTOCOL);
        let tables = 0;
        fake.script.VHOST_USER_SET_MEM_TABLE = (message) => {
          // The first is of a small part.
          if (tables++ === 0) return undefined;
          setTimeout(() => fake.answer(message), tableMs);
          return 'handled';
        };
        fakes.push(fake);
      }
    });
  });
  afterEach(async () => {
    for (const fake of fakes) fake.close();
    await clock.timeOf(bridge.close(), 60_000);
    listener.close();
    machines.close();
    poller.close();
    clock[Symbol.dispose]();
    dir[Symbol.dispose]();
  });

  const tables = (): number =>
    fakes.flatMap(({ names }) => names).filter((name) => name === 'SET_MEM_TABLE').length;

  it('is given it once, and is spoken of while it is at it', async () => {
    tableMs = LIMIT_MS - 1000;
    const up = bridge.add(i2cDevice());
    const spent = await clock.timeOf(up, LIMIT_MS);
    await up;
    expect(spent).toBeGreaterThanOrEqual(tableMs);
    expect(spent).toBeLessThan(LIMIT_MS);
    expect([fakes.length, tables()]).toEqual([1, 2]);
    const progress = book.lines.filter(({ message }) => message.includes('has been mapping'));
    expect(progress.length).toBeGreaterThanOrEqual(23);
  });

  it('is left alone with it until the limit, and only then tried again', async () => {
    tableMs = 600_000;
    const up = bridge.add(i2cDevice()).catch(() => undefined);
    await clock.timeOf(up, LIMIT_MS - 2000);
    expect([fakes.length, tables()]).toEqual([1, 2]);
    await clock.timeOf(up, 10_000);
    expect([fakes.length, tables()]).toEqual([2, 4]);
    await clock.timeOf(up, LIMIT_MS - 15_000);
    expect([fakes.length, tables()]).toEqual([2, 4]);
  });
});
