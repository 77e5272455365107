import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MainPoller, SysError } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  MAX_PENDING_PATHS,
  type Subscription,
  type WatchEvent,
  XenbusTransport,
  XenStore,
  XenStoreError,
  XS_READ,
  XS_TRANSACTION_END,
  XS_WATCH,
} from '../../src/index.ts';
import { FakeXenStored } from '../../src/testing/index.ts';

const code = async (promise: Promise<unknown>): Promise<string> => {
  try {
    await promise;
  } catch (error) {
    return XenStoreError.is(error) ? error.code : String(error);
  }
  return 'no error';
};

/** Waits for a round trip, so that everything sent before has been handled. */
const settle = async (store: XenStore): Promise<void> => {
  await store.getDomainPath(0);
  await new Promise((resolve) => setImmediate(resolve));
};

describe('XenStore', () => {
  let fake: FakeXenStored;
  let store: XenStore;

  beforeEach(async () => {
    fake = await FakeXenStored.start();
    store = XenStore.open({ path: fake.path });
  });
  afterEach(async () => {
    store.close();
    await fake.close();
  });

  describe('requests', () => {
    it('rejects all that are pending when the connection breaks, and tells watchers', async () => {
      const watch = await store.watch('/');
      await watch.next();
      fake.hold();
      const pending = Promise.all([1, 2, 3].map((i) => code(store.read(`/n${i}`))));
      const event = code(watch.next());
      while (fake.held < 3) await new Promise((resolve) => setImmediate(resolve));
      fake.dropConnections();
      expect(await pending).toEqual(['DISCONNECTED', 'DISCONNECTED', 'DISCONNECTED']);
      expect(await event).toBe('DISCONNECTED');
      expect(await code(store.read('/x'))).toBe('DISCONNECTED');
      expect((await store.ended)?.code).toBe('DISCONNECTED');
      expect(watch.live).toBe(false);
      expect(store.live).toBe(false);
    });

    it('ends the connection at a message that is too long', async () => {
      await store.write('/a', '1');
      fake.hold();
      const pending = code(store.read('/a'));
      while (fake.held < 1) await new Promise((resolve) => setImmediate(resolve));
      fake.sendOversized();
      expect(await pending).toBe('PROTOCOL');
    });

    it('gives up at a signal or a timeout, and goes on with later requests', async () => {
      await store.write('/a', '1');
      fake.hold();
      const controller = new AbortController();
      const aborted = store.read('/a', { signal: controller.signal });
      const late = code(store.read('/a', { timeout: 1 }));
      controller.abort(new Error('enough'));
      await expect(aborted).rejects.toThrow('enough');
      expect(await late).toBe('TIMEOUT');
      await expect(store.read('/a', { signal: AbortSignal.abort('no') })).rejects.toBe('no');
      fake.resume();
      expect(await store.read('/a')).toBe('1');
    });

    it('keeps more requests than may be in flight, in order', async () => {
      fake.hold();
      const writes = Array.from({ length: 300 }, (_, i) => store.write('/same', String(i)));
      while (fake.held < 64) await new Promise((resolve) => setImmediate(resolve));
      expect(fake.held).toBe(64);
      fake.resume();
      await Promise.all(writes);
      expect(await store.read('/same')).toBe('299');
    });

    it('passes error names on, and names action and path', async () => {
      fake.failNext(XS_READ, 'EQUOTA');
      expect(await code(store.read('/a'))).toBe('EQUOTA');
      await expect(store.read('/a/b')).rejects.toThrow('Cannot read /a/b: ENOENT');
      await expect(store.setPermissions('/', [])).rejects.toThrow(RangeError);
    });

    it('rejects with CLOSED after close', async () => {
      fake.hold();
      const pending = code(store.read('/a'));
      store.close();
      store.close();
      expect(await pending).toBe('CLOSED');
      expect(await code(store.read('/a'))).toBe('CLOSED');
      expect(await store.ended).toBeUndefined();
    });

    it('is refused what its domain may not do', async () => {
      fake.write('/local/domain/1/data', 'x');
      fake.write('/local/domain/2/data', 'y');
      const own = [{ domid: 1, access: 'none' }] as const;
      fake.tree.setPermissions('/local/domain/1', own, 0);
      fake.tree.setPermissions('/local/domain/1/data', own, 0);
      await using guestFake = await FakeXenStored.start({ domid: 1 });
      guestFake.adopt(fake.tree);
      using guest = XenStore.open({ path: guestFake.path });
      expect(await guest.read('data')).toBe('x');
      await guest.write('more/of/it', 'z');
      expect(await guest.getPermissions('/local/domain/1/more')).toEqual(own);
      expect(await code(guest.read('/local/domain/2/data'))).toBe('EACCES');
      expect(await code(guest.write('/local/domain/2/data', 'z'))).toBe('EACCES');
    });
  });

  describe('directories', () => {
    it('begins anew when the list changes while it is read', async () => {
      for (let i = 0; i < 200; i++) fake.write(`/d/${'n'.repeat(40)}${i}`, '');
      fake.hold();
      const listing = store.directory('/d');
      const step = async (): Promise<void> => {
        while (fake.held < 1) await new Promise((resolve) => setImmediate(resolve));
        fake.step();
      };
      await step();
      await step();
      // Between the first and the second part.
      fake.write('/d/a-late-one', '');
      await step();
      fake.resume();
      const names = await listing;
      expect(names).toContain('a-late-one');
      expect(names).toHaveLength(201);
      expect(new Set(names).size).toBe(201);
    });

    it('gives up on a list that never stands still', async () => {
      for (let i = 0; i < 200; i++) fake.write(`/d/${'n'.repeat(40)}${i}`, '');
      fake.hold();
      const listing = code(store.directory('/d'));
      let ended = false;
      void listing.then(() => {
        ended = true;
      });
      for (let i = 0; !ended; i++) {
        fake.write(`/d/${i}`, '');
        fake.step();
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect(await listing).toBe('EAGAIN');
    });

    it('says E2BIG when xenstored cannot list it in parts', async () => {
      await using old = await FakeXenStored.start({ directoryPart: false });
      for (let i = 0; i < 200; i++) old.write(`/d/${'n'.repeat(40)}${i}`, '');
      using client = XenStore.open({ path: old.path });
      expect(await code(client.directory('/d'))).toBe('E2BIG');
      expect(await client.directory('/')).toEqual(['d']);
    });
  });

  describe('watches', () => {
    it('makes one event of many changes of one path', async () => {
      await using watch = await store.watch('/guest');
      await watch.next();
      for (let i = 0; i < 5000; i++) fake.write('/guest/loop', String(i));
      fake.write('/guest/other', '1');
      await settle(store);
      expect(watch.pending).toBe(2);
      expect(await watch.next()).toEqual({
        done: false,
        value: { path: '/guest/loop', overflow: false },
      });
      expect((await watch.next()).value?.path).toBe('/guest/other');
    });

    it('makes one event for everything when too many paths change', async () => {
      await using watch = await store.watch('/guest');
      await watch.next();
      for (let i = 0; i < MAX_PENDING_PATHS + 10; i++) fake.write(`/guest/n${i}`, '');
      await settle(store);
      expect(watch.pending).toBe(1);
      expect((await watch.next()).value).toEqual({ path: '/guest', overflow: true });
      fake.write('/guest/again', '');
      expect((await watch.next()).value).toEqual({ path: '/guest/again', overflow: false });
    });

    it('calls back, coalesced, and survives a callback that throws', async () => {
      const events: WatchEvent[] = [];
      await using watch = await store.watch('/guest', {
        onEvent: (event) => {
          events.push(event);
          throw new Error('watcher');
        },
      });
      await settle(store);
      for (let i = 0; i < 100; i++) fake.write('/guest/a', String(i));
      fake.write('/guest/b', '1');
      await settle(store);
      await settle(store);
      const paths = events.map(({ path }) => path);
      expect(paths[0]).toBe('/guest');
      expect(new Set(paths)).toEqual(new Set(['/guest', '/guest/a', '/guest/b']));
      expect(paths.length).toBeLessThan(20);
      expect(watch.live).toBe(true);
    });

    it('ends by close, signal and leaving the loop, and xenstored knows', async () => {
      const controller = new AbortController();
      const ends: unknown[] = [];
      const onEnd = (error: unknown): void => {
        ends.push(error);
      };
      const one = await store.watch('/a', { signal: controller.signal, onEnd });
      const two = await store.watch('/a', { onEnd });
      const three = await store.watch('/a', { onEnd });
      expect(fake.watches).toBe(3);
      controller.abort();
      two.close();
      two.close();
      for await (const event of three) {
        expect(event.path).toBe('/a');
        break;
      }
      await settle(store);
      expect(fake.watches).toBe(0);
      expect(store.watches).toBe(0);
      expect(ends).toEqual([undefined, undefined, undefined]);
      expect((await one.next()).done).toBe(true);
    });

    it('undoes a watch and a transaction that were given up before they were answered', async () => {
      fake.hold();
      const controller = new AbortController();
      const { signal } = controller;
      const watch: Promise<Subscription> = store.watch('/a', { signal });
      const transaction = store.transaction(async () => 1, { signal });
      while (fake.held < 2) await new Promise((resolve) => setImmediate(resolve));
      controller.abort(new Error('enough'));
      await expect(watch).rejects.toThrow('enough');
      await expect(transaction).rejects.toThrow('enough');
      fake.resume();
      await settle(store);
      await settle(store);
      expect(fake.watches).toBe(0);
      expect(fake.transactions).toBe(0);
    });

    it('fails to be set as xenstored says', async () => {
      fake.failNext(XS_WATCH, 'E2BIG');
      expect(await code(store.watch('/a'))).toBe('E2BIG');
      expect(store.watches).toBe(0);
      expect(await code(store.watch('/a b'))).toBe('EINVAL');
    });

    it('hears of domains', async () => {
      await using watch = await store.watch('@introduceDomain');
      await watch.next();
      fake.introduce(5);
      expect((await watch.next()).value?.path).toBe('@introduceDomain');
      expect(await store.isDomainIntroduced(5)).toBe(true);
    });
  });

  describe('transactions', () => {
    it('gives up when others get in the way each time', async () => {
      fake.failNext(XS_TRANSACTION_END, 'EAGAIN', 1_000_000);
      let runs = 0;
      const attempt = store.transaction(
        async () => {
          runs++;
        },
        { attempts: 3 },
      );
      expect(await code(attempt)).toBe('EAGAIN');
      expect(runs).toBe(3);
    });

    it("get out of each other's way: forty at once on one node", async () => {
      fake.write('/count', '0');
      const add = (): Promise<void> =>
        store.transaction(async (t) => {
          await t.write('/count', String(Number(await t.read('/count')) + 1));
        });
      const all = await Promise.allSettled(Array.from({ length: 40 }, add));
      expect(all.filter(({ status }) => status === 'rejected')).toEqual([]);
      expect(await store.read('/count')).toBe('40');
    });

    it('are not tried again once they are given up', async () => {
      fake.failNext(XS_TRANSACTION_END, 'EAGAIN', 1_000_000);
      const giveUp = new AbortController();
      let runs = 0;
      const attempt = store.transaction(
        async () => {
          if (++runs === 5) giveUp.abort(new Error('enough'));
        },
        { signal: giveUp.signal },
      );
      await expect(attempt).rejects.toThrow('enough');
      expect(runs).toBe(5);
    });

    it('refuses use after its end', async () => {
      const transaction = await store.transaction(async (t) => t);
      expect(await code(transaction.write('/a', '1'))).toBe('CLOSED');
      expect(fake.transactions).toBe(0);
    });
  });
});

describe('a xenstored that is started again', () => {
  let directory: string;
  let path: string;
  let fake: FakeXenStored;
  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'xen-store-'));
    path = join(directory, 'socket');
    fake = await FakeXenStored.start({ path });
  });
  afterEach(async () => {
    await fake.close();
    rmSync(directory, { recursive: true });
  });

  it('has its clients back, with their watches', async () => {
    using store = XenStore.open({ path, reconnect: 60_000 });
    const seen: string[] = [];
    await store.watch('/a', { onEvent: (event) => seen.push(event.path) });
    await expect.poll(() => seen, { timeout: 15_000 }).toEqual(['/a']);
    await fake.close();
    await expect.poll(() => code(store.read('/a')), { timeout: 15_000 }).toBe('DISCONNECTED');
    expect(store.live).toBe(true);
    fake = await FakeXenStored.start({ path });
    await expect.poll(() => fake.watches, { timeout: 15_000 }).toBe(1);
    await expect.poll(() => seen, { timeout: 15_000 }).toEqual(['/a', '/a']);
    fake.write('/a/b', '1');
    await expect.poll(() => seen, { timeout: 15_000 }).toEqual(['/a', '/a', '/a/b']);
    expect(await store.read('/a/b')).toBe('1');
    // And once more.
    fake.dropConnections();
    await expect.poll(() => seen.length, { timeout: 15_000 }).toBe(4);
  });

  it('is given up when it does not come back, and at once where nobody asked to wait', async () => {
    using patient = XenStore.open({ path, reconnect: 100 });
    using hasty = XenStore.open({ path });
    await fake.close();
    expect((await hasty.ended)?.code).toBe('DISCONNECTED');
    expect((await patient.ended)?.code).toBe('DISCONNECTED');
    expect([patient.live, hasty.live]).toEqual([false, false]);
  });

  it('is not waited for by a client that is closed', async () => {
    const store = XenStore.open({ path, reconnect: 60_000 });
    await fake.close();
    await expect.poll(() => code(store.read('/a')), { timeout: 15_000 }).toBe('DISCONNECTED');
    store.close();
    expect(await store.ended).toBeUndefined();
    fake = await FakeXenStored.start({ path });
    expect(store.live).toBe(false);
    expect(await code(store.read('/a'))).not.toBe('no error');
    expect(fake.clients.size).toBe(0);
  });
});

describe('opening', () => {
  it('says what to do when nobody listens', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'xen-store-'));
    const path = join(directory, 'socket');
    expect(() => XenStore.open({ env: { XENSTORED_PATH: path } })).toThrow(
      /Cannot connect to xenstore at .*ENOENT \(start xenstored/,
    );
    try {
      XenStore.open({ path });
    } catch (error) {
      expect(XenStoreError.is(error) && error.code).toBe('NOT_RUNNING');
      expect(SysError.is((error as Error).cause)).toBe(true);
    }
    expect(() => XenbusTransport.open(path, new MainPoller())).toThrow(/run in a Xen domain/);
    rmSync(directory, { recursive: true });
  });

  it('uses XENSTORED_PATH', async () => {
    await using fake = await FakeXenStored.start();
    using store = XenStore.open({ env: { XENSTORED_PATH: fake.path } });
    expect(store.name).toBe(fake.path);
    expect(await store.directory('/')).toEqual([]);
  });
});
