import { Holds, MemoryLogger, RecordingSink, settle, until } from '@node-vmm/vhost-bridge/testing';
import { MainPoller } from '@node-vmm/vmm-sys-util';
import { XenStore } from '@node-vmm/xen-store';
import { FakeXenStored } from '@node-vmm/xen-store/testing';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Domains } from '../../src/domains.ts';
import { parseToldDevice } from '../../src/told-device.ts';
import { ToldSource } from '../../src/told-source.ts';

let poller: MainPoller;
let stored: FakeXenStored;
let store: XenStore;
let sink: RecordingSink;
let holds: Holds;
let book: MemoryLogger;
let source: ToldSource | undefined;

beforeEach(async () => {
  poller = new MainPoller();
  stored = await FakeXenStored.start();
  store = XenStore.open({ path: stored.path, poller });
  sink = new RecordingSink();
  holds = new Holds();
  book = new MemoryLogger();
});
afterEach(async () => {
  vi.useRealTimers();
  await source?.close();
  source = undefined;
  store.close();
  await stored.close();
  poller.close();
});

const AT = 'base=0x2000000,irq=33';

async function start(...devices: string[]): Promise<void> {
  source = new ToldSource({
    domains: new Domains(store, book),
    logger: book,
    hold: holds.hold,
    devices: devices.map(parseToldDevice),
  });
  await source.start(sink);
}

function create(domid: number, name: string): void {
  stored.write(`/local/domain/${domid}/name`, name);
  stored.introduce(domid);
}

/** In libxl's order: Xen cannot free the memory of a domain that somebody has mapped. */
function destroy(domid: number): void {
  stored.rm(`/local/domain/${domid}`);
  stored.release(domid);
}

describe('ToldSource', () => {
  it('tries a device that failed again after a while, without holding its guest for it', async () => {
    sink.auto = false;
    await start(`i2c,domain=web,${AT}`);
    create(1, 'web');
    const key = 'told/1/0x2000000';
    await until(() => sink.adding.has(key));
    sink.adding.get(key)?.fail(new Error('cannot map memory'));
    await until(() => book.saying('device cannot be served').length === 1);
    sink.adding.delete(key);
    const held = holds.held.length;
    await until(() => sink.adding.has(key));
    sink.adding.get(key)?.fail(new Error('cannot map memory'));
    sink.adding.delete(key);
    await until(() => sink.adding.has(key));
    sink.adding.get(key)?.succeed();
    await settle();
    const failures = book.saying('device cannot be served').map(({ level }) => level);
    expect(failures).toEqual(['error', 'debug']);
    expect(holds.held).toHaveLength(held);
    expect(holds.of(1)).toBe(0);
  });

  it('leaves its devices to another bridge, which says nothing of those that it goes on with', async () => {
    await start(`i2c,domain=web,${AT}`);
    create(5, 'web');
    await until(() => sink.present.length === 1);
    await source?.leave();
    expect(sink.removed).toEqual([]);
    expect(holds.of(5)).toBe(0);
    const there = (): unknown[] => book.saying('guest is there already');
    sink = Object.assign(new RecordingSink(), { isKept: () => true });
    await start(`i2c,domain=web,${AT}`);
    await until(() => sink.present.length === 1);
    expect(there()).toEqual([]);
    await source?.leave();
    sink = Object.assign(new RecordingSink(), { isKept: () => false });
    await start(`i2c,domain=web,${AT}`);
    await until(() => sink.present.length === 1);
    expect(there()).toHaveLength(1);
  });

  it('describes what it was told', async () => {
    await start(
      `i2c,domain=web,${AT}`,
      'virtio-99,domain=web,base=0xe0000200,irq=5,trigger=edge,memory=0x40000000+1G,socket=/tmp/x',
    );
    create(4, 'web');
    await until(() => sink.added.length === 2);
    const memory = [{ guestAddr: 0x4000_0000n, length: 1n << 30n }];
    expect(sink.added).toEqual([
      {
        key: 'told/4/0x2000000',
        guest: 4,
        deviceId: 34,
        base: 0x200_0000n,
        irq: 33,
        // The guest's memory is the same for all of its devices.
        memory,
      },
      {
        key: 'told/4/0xe0000200',
        guest: 4,
        deviceId: 99,
        base: 0xe000_0200n,
        irq: 5,
        trigger: 'edge',
        memory,
        socket: '/tmp/x',
      },
    ]);
    expect(book.lines).toEqual([]);
  });

  it('holds a guest as soon as it has its name, and takes it when it is built', async () => {
    sink.auto = false;
    await start(`i2c,domain=web,${AT}`);
    stored.write('/local/domain/4/name', 'web');
    await until(() => holds.of(4) === 1);
    await settle();
    expect(sink.added).toEqual([]);
    stored.introduce(4);
    await until(() => sink.adding.size === 1);
    expect(holds).toMatchObject({ held: [4], released: [] });
    sink.adding.get('told/4/0x2000000')?.place();
    expect(holds.released).toEqual([4]);
  });

  it('does not hold a guest for ever that is never introduced', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
    await start(`i2c,domain=web,${AT}`);
    stored.write('/local/domain/4/name', 'web');
    while (holds.of(4) === 0) await turn();
    vi.advanceTimersByTime(60_000);
    expect(holds.of(4)).toBe(0);
    expect(book.saying('not introduced to the xenstore')).toHaveLength(1);
    stored.introduce(4);
    while (sink.added.length === 0) await turn();
    expect(holds.held).toEqual([4, 4]);
    expect(holds.of(4)).toBe(0);
  });

  it('takes a guest that is there already, with a warning', async () => {
    create(4, 'web');
    await start(`i2c,domain=web,${AT}`);
    await until(() => sink.added.length === 1);
    expect(book.saying('guest is there already')).toMatchObject([
      { level: 'warn', context: { domid: 4, name: 'web' } },
    ]);
    expect(holds).toMatchObject({ held: [4], released: [4] });
    create(5, 'web');
    await until(() => sink.added.length === 2);
    expect(book.saying('guest is there already')).toHaveLength(1);
  });

  it('takes exact names only, and a guest that gets its name later', async () => {
    await start(`i2c,domain=web,${AT}`);
    create(4, 'web--incoming');
    create(5, 'Web');
    await settle();
    expect(holds.held).toEqual([]);
    stored.write('/local/domain/4/name', 'web');
    await until(() => sink.added.length === 1);
    expect(sink.added[0]?.guest).toBe(4);
  });

  it('keeps a guest that is given another name, until it is gone', async () => {
    await start(`i2c,domain=web,${AT}`);
    create(4, 'web');
    await until(() => sink.added.length === 1);
    stored.write('/local/domain/4/name', 'web--migratedaway');
    await settle();
    expect(sink.removed).toEqual([]);
    destroy(4);
    await until(() => sink.removed.length === 1);
  });

  it('lets go of a domain whose nodes are removed before it is dying', async () => {
    await start(`i2c,domain=web,${AT}`, `i2c,domain=4,base=0x2000200,irq=34`);
    create(4, 'web');
    await until(() => sink.added.length === 2);
    stored.rm('/local/domain/4');
    await until(() => sink.removed.length === 2);
    await settle();
    expect(sink.added).toHaveLength(2);
    stored.release(4);
    create(4, 'web');
    await until(() => sink.added.length === 4);
  });

  it('lets go of a dying domain before its nodes are removed, and does not take it again', async () => {
    await start(`i2c,domain=web,${AT}`);
    create(4, 'web');
    await until(() => sink.added.length === 1);
    stored.release(4);
    await until(() => sink.removed.length === 1);
    stored.write('/local/domain/4/name', 'web');
    await settle();
    expect(holds).toMatchObject({ held: [4], released: [4] });
    expect(sink.added).toHaveLength(1);
    stored.introduce(4);
    await until(() => sink.added.length === 2);
  });

  it('finds a guest again under its new number, once its old devices are gone', async () => {
    let removed: () => void = () => undefined;
    await start(`i2c,domain=web,${AT}`);
    create(4, 'web');
    await until(() => sink.added.length === 1);
    sink.removal = new Promise((resolve) => {
      removed = resolve;
    });
    destroy(4);
    create(5, 'web');
    await until(() => sink.removed.length === 1 && holds.of(5) === 1);
    await settle();
    expect(sink.added).toHaveLength(1);
    removed();
    await until(() => sink.added.length === 2);
    expect(sink.added[1]).toMatchObject({ key: 'told/5/0x2000000', guest: 5 });
    await until(() => holds.of(5) === 0);
  });

  it('tries again what another guest had when that is gone', async () => {
    await start(`i2c,domain=web,${AT}`);
    create(4, 'web');
    await until(() => sink.added.length === 1);
    sink.auto = false;
    create(5, 'web');
    await until(() => sink.adding.size === 1);
    sink.adding.get('told/5/0x2000000')?.fail(new Error('socket in use'));
    await until(() => book.saying('device cannot be served').length === 1);
    sink.auto = true;
    destroy(4);
    await until(() => sink.added.length === 3);
    expect(sink.added[2]?.guest).toBe(5);
    await until(() => holds.of(5) === 0);
  });

  it('refuses one device by number and by name', async () => {
    await start(`i2c,domain=web,${AT}`, `rng,domain=4,${AT}`);
    create(4, 'web');
    await until(() => book.saying('device cannot be served').length === 1);
    expect(sink.added.map(({ deviceId }) => deviceId)).toEqual([34]);
    const [line] = book.saying('device cannot be served');
    expect(line?.context['err']).toMatchObject({
      code: 'BAD_DEVICE',
      message: expect.stringContaining('both "web" and 4 name its guest'),
    });
    expect(holds.of(4)).toBe(0);
  });
});

describe('ToldSource in a domain that may not read the others', () => {
  beforeEach(async () => {
    store.close();
    await stored.close();
    stored = await FakeXenStored.start({ domid: 3 });
    store = XenStore.open({ path: stored.path, poller });
    stored.tree.setPermissions('/', [{ domid: 0, access: 'read' }], 0);
    stored.write('/local/domain', '');
    const secret = [{ domid: 0, access: 'none' }] as const;
    stored.write('/local/domain/4/name', 'web');
    for (const path of ['', '/4', '/4/name']) {
      stored.tree.setPermissions(`/local/domain${path}`, secret, 0);
    }
  });

  it('warns once, and finds guests by number', async () => {
    await start(`i2c,domain=web,${AT}`, `i2c,domain=4,base=0x2000200,irq=34`);
    stored.introduce(4);
    await until(() => sink.added.length === 1);
    expect(sink.added[0]?.key).toBe('told/4/0x2000200');
    expect(book.saying('cannot be read in the xenstore')).toMatchObject([{ level: 'warn' }]);
    expect(book.lines.filter(({ level }) => level === 'error')).toEqual([]);
    stored.release(4);
    await until(() => sink.removed.length === 1);
  });
});
