import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Adding,
  Holds,
  MemoryLogger,
  RecordingSink,
  settle,
  until,
} from '@node-vmm/vhost-bridge/testing';
import { MainPoller } from '@node-vmm/vmm-sys-util';
import { XenStore } from '@node-vmm/xen-store';
import { FakeXenStored } from '@node-vmm/xen-store/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VirtioProtocol } from '../../src/virtio-protocol.ts';
import { XenbusSource } from '../../src/xenbus-source.ts';
import { Toolstack } from '../toolstack.ts';

// xen/include/public/io/xs_wire.h
const XS_DIRECTORY = 1;
const XS_READ = 2;
const XS_TRANSACTION_START = 6;

let poller: MainPoller;
let stored: FakeXenStored;
let store: XenStore;
let toolstack: Toolstack;
let sink: RecordingSink;
let holds: Holds;
let book: MemoryLogger;
let source: XenbusSource;

beforeEach(async () => {
  poller = new MainPoller();
  stored = await FakeXenStored.start();
  store = XenStore.open({ path: stored.path, poller });
  toolstack = new Toolstack(stored);
  sink = new RecordingSink();
  holds = new Holds();
  book = new MemoryLogger();
  const protocol = new VirtioProtocol();
  source = new XenbusSource({ store, logger: book, hold: holds.hold, protocol });
});
afterEach(async () => {
  await source.close();
  store.close();
  await stored.close();
  poller.close();
});

const state = (key: string): string | undefined => toolstack.entry(key, 'state');

describe('XenbusSource', () => {
  it('brings a device up that is announced and writes InitWait', async () => {
    await source.start(sink);
    toolstack.announce(['virtio/1/0']);
    await until(() => state('virtio/1/0') === '2');
    expect(sink.added).toEqual([
      { key: 'virtio/1/0', guest: 1, deviceId: 34, base: 0x200_0000n, irq: 33 },
    ]);
    expect(book.lines.filter(({ level }) => level === 'warn' || level === 'error')).toEqual([]);
  });

  it('leaves its devices to another bridge, which says nothing of those that it goes on with', async () => {
    await source.start(sink);
    toolstack.announce(['virtio/1/0', 'virtio/1/1', 'virtio/2/0']);
    await until(() => state('virtio/2/0') === '2');
    sink.removal = new Promise((resolve) => setTimeout(resolve, 50));
    toolstack.askToClose('virtio/1/1');
    await until(() => sink.removed.includes('virtio/1/1'));
    await source.leave();
    // What the toolstack wanted gone is gone.
    expect(['virtio/1/0', 'virtio/1/1', 'virtio/2/0'].map(state)).toEqual(['2', '6', '2']);
    expect(sink.present).toEqual(['virtio/1/0', 'virtio/2/0']);
    const next = new RecordingSink();
    const isKept = ({ key }: { readonly key: string }): boolean => key === 'virtio/1/0';
    const components = { store, logger: book, hold: holds.hold, protocol: new VirtioProtocol() };
    source = new XenbusSource(components);
    await source.start(Object.assign(next, { isKept }));
    await until(() => next.present.length === 2);
    const said = book.saying('taking over a device').map(({ context }) => context);
    expect(said).toEqual([expect.objectContaining({ device: 'virtio/2/0' })]);
    expect([holds.of(1), holds.of(2)]).toEqual([0, 0]);
  });

  it('closes what the toolstack wanted gone while no bridge was there, and nothing of others', async () => {
    const [kept, failed, others, unknown] = [0, 1, 2, 3].map((devid) => `virtio/1/${devid}`);
    const served = 'virtio/2/0';
    const keys = [kept, failed, others, unknown, served] as string[];
    toolstack.announce(keys.slice(0, 4), { state: '2' });
    toolstack.announce([served], { state: '2' });
    for (const key of keys.slice(0, 4)) toolstack.askToClose(key);
    await source.close();
    const left = new Map([
      [kept as string, true],
      [failed as string, false],
      [served, true],
      ['virtio/3/0', true],
      ['told/1/0x2000000', true],
    ]);
    // Of guest 1 somebody else serves devices, too, whichever those are.
    sink.shared.add(1);
    const protocol = new VirtioProtocol();
    source = new XenbusSource({ store, logger: book, hold: holds.hold, protocol, left });
    await source.start(sink);
    await until(() => state(kept as string) === '6');
    await until(() => sink.present.length === 1);
    await settle();
    expect(keys.map(state)).toEqual(['6', '5', '5', '5', '2']);
    expect(sink.removed).toEqual([kept]);
    expect(sink.present).toEqual([served]);
    // What is announced there later is another's.
    toolstack.announce(['virtio/3/0']);
    toolstack.askToClose('virtio/3/0');
    await settle();
    expect(state('virtio/3/0')).toBe('5');
  });

  it('closes a device that had failed under the bridge before, where nobody else serves its guest', async () => {
    toolstack.announce(['virtio/1/0']);
    toolstack.askToClose('virtio/1/0');
    await source.close();
    const left = new Map([['virtio/1/0', false]]);
    const protocol = new VirtioProtocol();
    source = new XenbusSource({ store, logger: book, hold: holds.hold, protocol, left });
    await source.start(sink);
    await until(() => state('virtio/1/0') === '6');
    expect(sink.removed).toEqual(['virtio/1/0']);
  });

  it('writes InitWait only when the device is up', async () => {
    sink.auto = false;
    await source.start(sink);
    toolstack.announce(['virtio/1/0']);
    await until(() => sink.adding.has('virtio/1/0'));
    await settle();
    expect(state('virtio/1/0')).toBe('1');
    sink.adding.get('virtio/1/0')?.succeed();
    await until(() => state('virtio/1/0') === '2');
  });

  it('closes a device that the toolstack wants gone, and serves it when announced anew', async () => {
    await source.start(sink);
    toolstack.announce(['virtio/1/0']);
    await until(() => state('virtio/1/0') === '2');
    toolstack.askToClose('virtio/1/0');
    await until(() => state('virtio/1/0') === '6');
    expect(sink.removed).toEqual(['virtio/1/0']);
    toolstack.remove('virtio/1/0');
    await settle();
    expect(sink.added).toHaveLength(1);
    toolstack.announce(['virtio/1/0'], { irq: '40' });
    await until(() => state('virtio/1/0') === '2');
    expect(sink.added.map(({ irq }) => irq)).toEqual([33, 40]);
  });

  it('makes no directory anew that is removed while its device goes', async () => {
    await source.start(sink);
    toolstack.announce(['virtio/1/0']);
    await until(() => state('virtio/1/0') === '2');
    toolstack.remove('virtio/1/0');
    await until(() => sink.removed.length === 1);
    await settle();
    expect(toolstack.has('virtio/1/0')).toBe(false);
  });

  it('makes no directory anew that is removed while its device comes up', async () => {
    sink.auto = false;
    await source.start(sink);
    toolstack.announce(['virtio/1/0']);
    await until(() => sink.adding.has('virtio/1/0'));
    const { succeed } = sink.adding.get('virtio/1/0') as Adding;
    stored.hold();
    toolstack.remove('virtio/1/0');
    succeed();
    await settle();
    stored.resume();
    await until(() => sink.removed.length === 1);
    await settle();
    expect(toolstack.has('virtio/1/0')).toBe(false);
  });

  it('does not take back the wish to close of a device that comes up', async () => {
    sink.auto = false;
    await source.start(sink);
    toolstack.announce(['virtio/1/0']);
    await until(() => sink.adding.has('virtio/1/0'));
    const { succeed } = sink.adding.get('virtio/1/0') as Adding;
    toolstack.askToClose('virtio/1/0');
    succeed();
    const seen: (string | undefined)[] = [];
    await until(() => {
      seen.push(state('virtio/1/0'));
      return state('virtio/1/0') === '6';
    });
    await settle();
    expect(seen).not.toContain('2');
    expect(state('virtio/1/0')).toBe('6');
  });

  it.each([
    ['grant_usage', '1', /grants are not supported yet, say grant_usage=0/],
    ['type', 'virtio,disk', /expected virtio,device<hexadecimal/],
    ['transport', 'pci', /its "transport" is pci, expected mmio/],
    ['base', '0x2000001', /its "base" is 0x2000001/],
    ['base', 'here', /its "base" is here/],
    ['irq', '4000', /its "irq" is 4000/],
    ['irq', '-1', /its "irq" is -1/],
  ])('logs a bad %s (%s) and serves the others', async (name, value, text) => {
    await source.start(sink);
    toolstack.announce(['virtio/1/0'], { [name]: value });
    toolstack.announce(['virtio/1/1', 'virtio/2/0']);
    await until(() => state('virtio/1/1') === '2' && state('virtio/2/0') === '2');
    await until(() => book.saying('device cannot be served').length > 0);
    const [line] = book.saying('device cannot be served');
    const message = expect.stringMatching(text);
    expect(line?.context).toMatchObject({
      device: 'virtio/1/0',
      err: { code: 'BAD_DEVICE', message },
    });
    expect(state('virtio/1/0')).toBe('1');
    expect(sink.added.map(({ key }) => key).sort()).toEqual(['virtio/1/1', 'virtio/2/0']);
    expect(holds.released.sort()).toEqual(holds.held.sort());
    // Where its guest looks for it is known or not.
    const placed = name !== 'transport' && name !== 'base';
    const site = { key: 'virtio/1/0', guest: 1, base: 0x200_0000n };
    expect(sink.claimed).toEqual(placed ? [site] : []);
    toolstack.askToClose('virtio/1/0');
    await until(() => sink.removed.includes('virtio/1/0'));
    await settle();
    expect(state('virtio/1/0')).toBe(placed ? '6' : '5');
  });

  it('serves several devices of several guests, each by itself', async () => {
    sink.auto = false;
    await source.start(sink);
    toolstack.announce(['virtio/1/0', 'virtio/1/1']);
    toolstack.announce(['virtio/2/0']);
    await until(() => sink.adding.size === 3);
    sink.adding.get('virtio/2/0')?.succeed();
    await until(() => state('virtio/2/0') === '2');
    sink.adding.get('virtio/1/1')?.fail(new Error('no back-end'));
    await until(() => book.saying('device cannot be served').length === 1);
    sink.adding.get('virtio/1/0')?.succeed();
    await until(() => state('virtio/1/0') === '2');
    expect(state('virtio/1/1')).toBe('1');
    toolstack.askToClose('virtio/2/0');
    await until(() => state('virtio/2/0') === '6');
    expect(state('virtio/1/0')).toBe('2');
    expect(sink.removed).toEqual(['virtio/2/0']);
  });

  it('warns when it takes over what another bridge served', async () => {
    toolstack.announce(['virtio/1/0'], { state: '2' });
    await source.start(sink);
    await until(() => sink.added.length === 1);
    expect(book.saying('its guest must reset it')).toMatchObject([
      { level: 'warn', context: { device: 'virtio/1/0' } },
    ]);
    await settle();
    expect(state('virtio/1/0')).toBe('2');
  });

  it('leaves alone what is closing when it starts', async () => {
    toolstack.announce(['virtio/1/0'], { state: '5', online: '0' });
    toolstack.announce(['virtio/1/1'], { state: '6' });
    await source.start(sink);
    await settle();
    expect(sink.added).toEqual([]);
  });

  it('closes every device, also those that are coming up, when it is closed', async () => {
    await source.start(sink);
    toolstack.announce(['virtio/1/0']);
    await until(() => state('virtio/1/0') === '2');
    sink.auto = false;
    toolstack.announce(['virtio/2/0']);
    await until(() => sink.adding.has('virtio/2/0'));
    await source.close();
    expect(sink.removed.sort()).toEqual(['virtio/1/0', 'virtio/2/0']);
    expect([state('virtio/1/0'), state('virtio/2/0')]).toEqual(['6', '6']);
    expect(stored.watches).toBe(0);
    toolstack.announce(['virtio/3/0']);
    await settle();
    expect(sink.added).toHaveLength(2);
  });

  it('goes on after an error of the xenstore, without a guest left standing', async () => {
    stored.failNext(XS_DIRECTORY, 'EIO');
    await source.start(sink);
    await until(() => book.saying('cannot read the devices').length === 1);
    await settle();
    stored.failNext(XS_READ, 'EIO');
    toolstack.announce(['virtio/1/0']);
    await until(() => book.saying("cannot read a guest's devices").length === 1);
    await settle();
    expect(holds.released).toEqual(holds.held);
    // Without any further event.
    await until(() => state('virtio/1/0') === '2');
  });

  it('tells the toolstack later what the xenstore would not take at once', async () => {
    await source.start(sink);
    stored.failNext(XS_TRANSACTION_START, 'ENOSPC');
    toolstack.announce(['virtio/1/0']);
    await until(() => book.saying('the toolstack could not be told').length === 1);
    await until(() => state('virtio/1/0') === '2');
    stored.failNext(XS_TRANSACTION_START, 'ENOSPC');
    toolstack.askToClose('virtio/1/0');
    await until(() => state('virtio/1/0') === '6');
    expect(book.saying('the toolstack could not be told')).toHaveLength(2);
    expect([sink.added.length, sink.removed.length]).toEqual([1, 1]);
  });

  it('makes as many requests for a device however many there are', async () => {
    const requests: number[] = [];
    await source.start(sink);
    for (let i = 0; i < 64; i++) {
      await settle();
      const before = stored.requests;
      const key = `virtio/${1 + (i >> 2)}/${i & 3}`;
      toolstack.announce([key]);
      await until(() => state(key) === '2');
      await settle();
      requests.push(stored.requests - before);
    }
    // Its entries, the handshake in a transaction, and the entry that it wrote.
    expect(Math.max(...requests)).toBeLessThanOrEqual(7 + 9 + 4 + 1);
    // What nobody asked for costs nothing, and an entry one read.
    const before = stored.requests;
    stored.write('/local/domain/0/backend/virtio/1/0/noise', 'x');
    stored.write('/local/domain/0/backend/virtio/1/0/state', '4');
    await until(() => stored.requests > before);
    await settle();
    expect(stored.requests - before).toBe(1);
  });

  it('ends when the xenstore has gone away', async () => {
    await source.start(sink);
    toolstack.announce(['virtio/1/0']);
    await until(() => state('virtio/1/0') === '2');
    stored.dropConnections();
    await store.ended;
    await source.close();
    expect(sink.removed).toEqual(['virtio/1/0']);
    expect(book.saying('the toolstack could not be told')).toHaveLength(1);
  });

  it('goes on when xenstored is started again and knows of the devices', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'xenbus-source-'));
    const path = join(directory, 'socket');
    const first = await FakeXenStored.start({ path });
    const returning = XenStore.open({ path, poller, reconnect: 60_000 });
    const logger = book;
    const protocol = new VirtioProtocol();
    const other = new XenbusSource({ store: returning, logger, hold: holds.hold, protocol });
    let second: FakeXenStored | undefined;
    try {
      await other.start(sink);
      const before = new Toolstack(first);
      before.announce(['virtio/1/0']);
      await until(() => before.entry('virtio/1/0', 'state') === '2');
      await first.close();
      second = await FakeXenStored.start({ path });
      const after = new Toolstack(second);
      after.announce(['virtio/1/0'], { state: '2' });
      after.announce(['virtio/2/0']);
      await until(() => after.entry('virtio/2/0', 'state') === '2');
      await settle();
      expect(sink.added.map(({ key }) => key)).toEqual(['virtio/1/0', 'virtio/2/0']);
      expect(sink.removed).toEqual([]);
    } finally {
      await other.close();
      returning.close();
      await second?.close();
      rmSync(directory, { recursive: true });
    }
  });

  it('survives a storm of events and ends in the state that is there', async () => {
    await source.start(sink);
    const keys = ['virtio/1/0', 'virtio/1/1', 'virtio/2/0', 'virtio/3/0'];
    for (let round = 0; round < 30; round++) {
      const key = keys[round % keys.length] as string;
      toolstack.announce([key]);
      if (round % 3 === 0) toolstack.askToClose(key);
      if (round % 2 === 0) toolstack.remove(key);
      for (let i = 0; i < 20; i++) stored.write(`/local/domain/0/backend/${key}/noise`, 'x');
      if (round % 5 === 0) await new Promise((resolve) => setImmediate(resolve));
      toolstack.remove(key);
    }
    // More paths than a watch remembers one by one.
    for (let i = 0; i < 2000; i++) stored.write(`/local/domain/0/backend/virtio/noise/${i}`, 'x');
    toolstack.announce(keys);
    await until(() => keys.every((key) => state(key) === '2'));
    for (const key of keys) toolstack.askToClose(key);
    await until(() => keys.every((key) => state(key) === '6'));
    for (const key of keys) toolstack.remove(key);
    await settle();
    for (const key of keys) expect(toolstack.has(key)).toBe(false);
    expect(stored.transactions).toBe(0);
    expect(holds.released.length).toBe(holds.held.length);
    const names = (list: readonly string[]): string[] => [...list].sort();
    expect(names(sink.removed)).toEqual(names(sink.added.map(({ key }) => key)));
  });
});

describe('XenbusSource holds a guest', () => {
  it('at once, before anything is read, until its device is in place', async () => {
    sink.auto = false;
    await source.start(sink);
    await settle();
    stored.hold();
    toolstack.announce(['virtio/7/0']);
    await until(() => holds.held.length === 1);
    expect(holds.held).toEqual([7]);
    stored.resume();
    await until(() => sink.adding.has('virtio/7/0'));
    await settle();
    expect(holds.released).toEqual([]);
    sink.adding.get('virtio/7/0')?.place();
    expect(holds.released).toEqual([7]);
    // Neither the end of bringing up nor later events hold or release again.
    sink.adding.get('virtio/7/0')?.succeed();
    await until(() => state('virtio/7/0') === '2');
    await settle();
    expect(holds).toMatchObject({ held: [7], released: [7] });
  });

  it('and lets go when the device fails', async () => {
    sink.auto = false;
    await source.start(sink);
    toolstack.announce(['virtio/7/0']);
    await until(() => sink.adding.has('virtio/7/0'));
    sink.adding.get('virtio/7/0')?.fail(new Error('no back-end'));
    await until(() => holds.released.length === 1);
    await settle();
    expect(holds).toMatchObject({ held: [7], released: [7] });
  });

  it('and lets go when the node vanishes before it is read', async () => {
    await source.start(sink);
    await settle();
    stored.hold();
    toolstack.announce(['virtio/7/0']);
    await until(() => holds.held.length === 1);
    toolstack.remove('virtio/7/0');
    stored.resume();
    await until(() => holds.released.length === 1);
    await settle();
    expect(sink.added).toEqual([]);
    expect(holds).toMatchObject({ held: [7], released: [7] });
  });

  it('and lets go when the node vanishes while the device comes up', async () => {
    sink.auto = false;
    await source.start(sink);
    toolstack.announce(['virtio/7/0']);
    await until(() => sink.adding.has('virtio/7/0'));
    toolstack.remove('virtio/7/0');
    await until(() => holds.released.length === 1);
    await settle();
    expect(holds.released).toEqual([7]);
    expect(sink.removed).toEqual(['virtio/7/0']);
  });

  it('and lets go when it is closed', async () => {
    await source.start(sink);
    await settle();
    stored.hold();
    toolstack.announce(['virtio/7/0']);
    await until(() => holds.held.length === 1);
    const closed = source.close();
    stored.resume();
    await closed;
    expect(holds.released).toEqual([7]);
  });

  it('for each of its devices', async () => {
    sink.auto = false;
    await source.start(sink);
    toolstack.announce(['virtio/7/0', 'virtio/7/1', 'virtio/8/0']);
    await until(() => sink.adding.size === 3);
    expect(holds.held.sort()).toEqual([7, 7, 8]);
    sink.adding.get('virtio/7/1')?.place();
    expect(holds.released).toEqual([7]);
    sink.adding.get('virtio/7/0')?.place();
    sink.adding.get('virtio/8/0')?.place();
    expect(holds.released.sort()).toEqual([7, 7, 8]);
  });

  it('not, when one of its devices changes or goes', async () => {
    await source.start(sink);
    const keys = Array.from({ length: 16 }, (_, i) => `virtio/${1 + (i >> 2)}/${i & 3}`);
    toolstack.announce(keys);
    await until(() => keys.every((key) => state(key) === '2'));
    holds.held.length = 0;
    stored.write('/local/domain/0/backend/virtio/1/0/state', '4');
    toolstack.askToClose('virtio/1/0');
    await until(() => state('virtio/1/0') === '6');
    await settle();
    toolstack.remove('virtio/1/0');
    await until(() => !toolstack.has('virtio/1/0'));
    await settle();
    expect(holds.held).toEqual([]);
    // One that is new at the same place does.
    toolstack.announce(['virtio/1/0']);
    await until(() => state('virtio/1/0') === '2');
    expect(holds.held).toEqual([1]);
  });

  it('not, where that is not possible', async () => {
    holds.possible = false;
    await source.start(sink);
    toolstack.announce(['virtio/7/0']);
    await until(() => state('virtio/7/0') === '2');
    expect(holds.released).toEqual([]);
  });
});
