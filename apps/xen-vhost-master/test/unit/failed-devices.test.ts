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

const KEY = 'virtio/1/0';
const SITE = { key: KEY, guest: 1, base: 0x200_0000n };

/** A bridge's source, and what it was told to do. */
class Server {
  readonly sink = new RecordingSink();
  readonly holds = new Holds();
  readonly book = new MemoryLogger();
  readonly source: XenbusSource;

  constructor(store: XenStore) {
    const { hold } = this.holds;
    const protocol = new VirtioProtocol();
    this.source = new XenbusSource({ store, logger: this.book, hold, protocol });
  }

  get failures(): number {
    return this.book.lines.filter(
      ({ level, message }) => level === 'error' && message === 'device cannot be served',
    ).length;
  }

  /** Waits for a device to be announced, and lets it fail. */
  async fail(key: string, text = 'no back-end'): Promise<void> {
    await until(() => this.sink.adding.has(key));
    const { fail } = this.sink.adding.get(key) as Adding;
    this.sink.adding.delete(key);
    fail(new Error(text));
  }
}

let poller: MainPoller;
let stored: FakeXenStored;
let store: XenStore;
let toolstack: Toolstack;
let server: Server;
let other: Server;

beforeEach(async () => {
  poller = new MainPoller();
  stored = await FakeXenStored.start();
  store = XenStore.open({ path: stored.path, poller });
  toolstack = new Toolstack(stored);
  server = new Server(store);
  other = new Server(store);
});
afterEach(async () => {
  await Promise.all([server.source.close(), other.source.close()]);
  store.close();
  await stored.close();
  poller.close();
});

const state = (key = KEY): string | undefined => toolstack.entry(key, 'state');
const write = (name: string, value: string): void =>
  stored.write(`/local/domain/0/backend/${KEY}/${name}`, value);

describe('A device that failed', { timeout: 60_000 }, () => {
  it('is served once its entries are there, which some write one by one', async () => {
    const { source, sink, holds } = server;
    await source.start(sink);
    for (const [name, value] of [
      ['state', '1'],
      ['type', 'virtio,device22'],
      ['transport', 'mmio'],
      ['base', '0x2000000'],
    ] as const) {
      write(name, value);
      await settle();
    }
    await until(() => sink.claimed.length > 0);
    expect(sink.claimed.at(-1)).toEqual(SITE);
    expect(sink.added).toEqual([]);
    write('irq', '33');
    await until(() => state() === '2');
    expect(sink.added).toMatchObject([{ ...SITE, deviceId: 34, irq: 33 }]);
    await until(() => holds.of(1) === 0);
    toolstack.askToClose(KEY);
    await until(() => state() === '6');
  });

  it('is left to the next bridge as it is: its window is not given back, and nothing is said of it', async () => {
    const { source, sink } = server;
    sink.auto = false;
    await source.start(sink);
    toolstack.announce([KEY]);
    await server.fail(KEY);
    await until(() => sink.claimed.length === 1);
    await source.leave();
    expect(sink.removed).toEqual([]);
    expect(state()).toBe('1');
    await other.source.start(other.sink);
    await until(() => state() === '2');
    expect(other.sink.added).toMatchObject([SITE]);
    expect(other.book.saying('taking over a device')).toEqual([]);
  });

  it('is tried again when another is gone, whose socket it may have lacked', async () => {
    const { source, sink } = server;
    sink.auto = false;
    await source.start(sink);
    toolstack.announce(['virtio/2/0']);
    await until(() => sink.adding.has('virtio/2/0'));
    sink.adding.get('virtio/2/0')?.succeed();
    await until(() => state('virtio/2/0') === '2');
    toolstack.announce([KEY]);
    await server.fail(KEY);
    await until(() => server.failures === 1);
    expect(sink.claimed).toEqual([SITE]);
    sink.auto = true;
    toolstack.remove('virtio/2/0');
    await until(() => state() === '2');
    expect(sink.removed).toEqual(['virtio/2/0']);
    expect(server.failures).toBe(1);
  });

  it('is tried again after a while, tells each reason once, and holds no guest for it', async () => {
    const { source, sink, holds } = server;
    sink.auto = false;
    await source.start(sink);
    toolstack.announce([KEY]);
    await server.fail(KEY);
    await until(() => holds.of(1) === 0);
    const held = holds.held.length;
    await server.fail(KEY);
    await until(() => sink.claimed.length === 2);
    expect(server.failures).toBe(1);
    sink.auto = true;
    await until(() => state() === '2');
    expect(holds.held).toHaveLength(held);
    expect(server.book.saying('taking over')).toEqual([]);
  });

  it('is not tried again when its source is closed', async () => {
    const { source, sink } = server;
    sink.auto = false;
    await source.start(sink);
    toolstack.announce([KEY]);
    await server.fail(KEY);
    await until(() => server.failures === 1);
    await source.close();
    expect(sink.removed).toEqual([KEY]);
    expect(state()).toBe('6');
    expect(sink.added).toHaveLength(1);
  });
});

describe("Another server's device", { timeout: 60_000 }, () => {
  it.each([
    ['grant_usage', '1'],
    ['type', 'virtio,device'],
  ])('with %s=%s is left alone, also as it goes', async (name, value) => {
    const { source, sink, holds, book } = server;
    sink.shared.add(1);
    await source.start(sink);
    toolstack.announce([KEY], { [name]: value });
    await until(() => book.saying('is left to whoever else serves its guest').length === 1);
    await until(() => holds.of(1) === 0);
    const held = holds.held.length;
    // As QEMU, which tells nobody.
    write('noise', 'x');
    await settle();
    toolstack.askToClose(KEY);
    await settle();
    expect(state()).toBe('5');
    expect(sink).toMatchObject({ added: [], claimed: [], removed: [] });
    expect(holds.held).toHaveLength(held);
    await source.close();
    expect(state()).toBe('5');
    expect(book.saying('is left to')).toHaveLength(1);
  });

  it('has its time to close: a second bridge has no back-end for it', async () => {
    await server.source.start(server.sink);
    other.sink.auto = false;
    other.sink.shared.add(1);
    await other.source.start(other.sink);
    toolstack.announce([KEY]);
    await other.fail(KEY, 'no --socket-path was given for --name i2c');
    await until(() => state() === '2');
    await until(() => other.book.saying('is left to').length === 1);
    let closed: () => void = () => undefined;
    server.sink.removal = new Promise((resolve) => {
      closed = resolve;
    });
    toolstack.askToClose(KEY);
    await until(() => server.sink.removed.length === 1);
    await other.source.close();
    await settle();
    expect(state()).toBe('5');
    expect(other.sink.removed).toEqual([]);
    closed();
    await until(() => state() === '6');
  });

  it('that we took for ours until its server came has its time, too', async () => {
    const { source, sink } = server;
    sink.auto = false;
    await source.start(sink);
    toolstack.announce([KEY]);
    await server.fail(KEY);
    await until(() => sink.claimed.length === 1);
    sink.shared.add(1);
    toolstack.askToClose(KEY);
    await until(() => sink.removed.length === 1);
    await settle();
    expect(state()).toBe('5');
  });

  it.each(['close', 'leave'] as const)(
    'that is on its way down is not called closed by a bridge that ends (%s)',
    async (end) => {
      const { source, sink } = server;
      sink.auto = false;
      await source.start(sink);
      toolstack.announce([KEY]);
      await server.fail(KEY);
      await until(() => sink.claimed.length === 1);
      sink.shared.add(1);
      let removed = (): void => undefined;
      sink.removal = new Promise((resolve) => {
        removed = resolve;
      });
      toolstack.askToClose(KEY);
      await until(() => sink.removed.length === 1);
      const ended = source[end]();
      await settle();
      removed();
      await ended;
      expect(sink.removed).toEqual([KEY]);
      expect(state()).toBe('5');
    },
  );

  it('becomes ours when what is announced does', async () => {
    const { source, sink, book } = server;
    sink.shared.add(1);
    await source.start(sink);
    toolstack.announce([KEY], { grant_usage: '1' });
    await until(() => book.saying('is left to').length === 1);
    write('grant_usage', '0');
    await until(() => state() === '2');
    toolstack.askToClose(KEY);
    await until(() => state() === '6');
  });
});
