import { Holds, MemoryLogger, RecordingSink, settle, until } from '@node-vmm/vhost-bridge/testing';
import { MainPoller } from '@node-vmm/vmm-sys-util';
import { XenStore } from '@node-vmm/xen-store';
import { FakeXenStored } from '@node-vmm/xen-store/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Domains } from '../../src/domains.ts';
import { VirtioDiskProtocol } from '../../src/virtio-disk-protocol.ts';
import {
  formatVirtioDiskRule,
  parseVirtioDiskRule,
  ruleSubject,
} from '../../src/virtio-disk-rule.ts';
import { XenbusSource } from '../../src/xenbus-source.ts';
import { Toolstack } from '../toolstack.ts';

const XVDA = 51_712;
const XVDB = 51_728;

let poller: MainPoller;
let stored: FakeXenStored;
let store: XenStore;
let toolstack: Toolstack;
let sink: RecordingSink;
let holds: Holds;
let book: MemoryLogger;
let source: XenbusSource | undefined;

beforeEach(async () => {
  poller = new MainPoller();
  stored = await FakeXenStored.start();
  store = XenStore.open({ path: stored.path, poller });
  toolstack = new Toolstack(stored);
  sink = new RecordingSink();
  holds = new Holds();
  book = new MemoryLogger();
});
afterEach(async () => {
  await source?.close();
  source = undefined;
  store.close();
  await stored.close();
  poller.close();
});

async function start(rules: readonly string[], blk = false): Promise<void> {
  const domains = new Domains(store, book);
  const protocol = new VirtioDiskProtocol({
    rules: rules.map(parseVirtioDiskRule),
    blk,
    domains,
  });
  source = new XenbusSource({ store, logger: book, hold: holds.hold, protocol });
  await source.start(sink);
}

const disk = (guest: number, devid = XVDA): string => `virtio_disk/${guest}/${devid}`;
const state = (key: string): string | undefined => toolstack.entry(key, 'state');

describe('backend/virtio_disk', () => {
  it('serves the disk that a rule names, with decimal address and interrupt', async () => {
    await start(['xvdb=i2c']);
    toolstack.announce([disk(1, XVDB)]);
    await until(() => state(disk(1, XVDB)) === '2');
    expect(sink.added).toEqual([
      { key: disk(1, XVDB), guest: 1, deviceId: 34, base: 0x200_0200n, irq: 34 },
    ]);
    expect(holds.of(1)).toBe(0);
  });

  it('tells the toolstack, which waits, as soon as the window is claimed', async () => {
    sink.auto = false;
    await start(['xvda=i2c']);
    toolstack.announce([disk(1)]);
    await until(() => sink.adding.has(disk(1)));
    await settle();
    expect(state(disk(1))).toBe('1');
    sink.adding.get(disk(1))?.place();
    await until(() => state(disk(1)) === '2');
    sink.adding.get(disk(1))?.succeed();
    await settle();
    expect(state(disk(1))).toBe('2');
  });

  it("leaves another server's disks alone", async () => {
    await start(['xvdb=i2c', 'web:xvda=rng']);
    stored.write('/local/domain/1/name', 'web--incoming');
    toolstack.announce([disk(1), disk(2)]);
    // What would be an error, were it ours.
    toolstack.announce([disk(3)], { transport: 'pci', base: 'here' });
    toolstack.announce([disk(4)], { dev: '' });
    toolstack.announce([disk(5, XVDB)]);
    await until(() => state(disk(5, XVDB)) === '2');
    for (const guest of [1, 2, 3, 4]) toolstack.askToClose(disk(guest));
    await settle();
    expect(sink.added.map(({ key }) => key)).toEqual([disk(5, XVDB)]);
    expect(holds.held).toEqual([5]);
    for (const guest of [1, 2, 3, 4]) expect(state(disk(guest))).toBe('5');
    expect(book.lines.filter(({ level }) => level !== 'debug')).toEqual([]);
    await source?.close();
    expect(sink.removed).toEqual([disk(5, XVDB)]);
    for (const guest of [1, 2, 3, 4]) expect(state(disk(guest))).toBe('5');
  });

  it('prefers the rule for a guest, by number or name, to one for all, and to blk', async () => {
    stored.write('/local/domain/1/name', 'web');
    await start(['xvda=i2c', '2:xvda=rng', 'web:xvda=gpio'], true);
    toolstack.announce([disk(1), disk(2), disk(3), disk(3, XVDB)]);
    await until(() => sink.added.length === 4);
    const types = new Map(sink.added.map(({ key, deviceId }) => [key, deviceId]));
    expect(types).toEqual(
      new Map([
        [disk(1), 41],
        [disk(2), 4],
        [disk(3), 34],
        [disk(3, XVDB), 2],
      ]),
    );
  });

  it('serves a disk with one of the large numbers', async () => {
    const key = `virtio_disk/1/${(1 << 28) | (26 << 8)}`;
    await start(['xvdaa=blk']);
    toolstack.announce([key], { dev: 'xvdaa', base: '33554432', irq: '33' });
    await until(() => state(key) === '2');
    expect(sink.added[0]?.base).toBe(0x200_0000n);
  });

  it.each([
    ['specification', 'xen', /its "specification" is xen, expected virtio/],
    ['transport', 'pci', /its "transport" is pci, expected mmio/],
    ['grant_usage', '1', /say grant_usage=0/],
    ['base', '33554433', /its "base" is 33554433/],
    ['irq', '', /its "irq" is /],
  ])('says what is wrong with the %s of a disk of ours', async (name, value, message) => {
    await start(['xvda=i2c']);
    toolstack.announce([disk(1)], { [name]: value });
    await until(() => book.saying('device cannot be served').length === 1);
    const [line] = book.saying('device cannot be served');
    expect(line?.context).toMatchObject({
      device: disk(1),
      err: { code: 'BAD_DEVICE', message: expect.stringMatching(message) },
    });
    expect(state(disk(1))).toBe('1');
    toolstack.askToClose(disk(1));
    await until(() => state(disk(1)) === '6');
    expect(holds.held).toEqual([]);
  });

  it('closes a disk that the toolstack wants gone', async () => {
    await start(['xvda=i2c']);
    toolstack.announce([disk(1)]);
    await until(() => state(disk(1)) === '2');
    toolstack.askToClose(disk(1));
    await until(() => state(disk(1)) === '6');
    expect(sink.removed).toEqual([disk(1)]);
  });
});

describe('--virtio-disk', () => {
  it.each([
    ['xvda=i2c', 'xvda', 34],
    ['web:xvda=virtio-99', 'web:xvda', 99],
    ['7:xvdb=0x22', '7:xvdb', 34],
    ['a.b-c_d:51712=2', 'a.b-c_d:51712', 2],
  ])('reads %s', (text, subject, deviceId) => {
    const rule = parseVirtioDiskRule(text);
    expect(ruleSubject(rule)).toBe(subject);
    expect(rule.type.deviceId).toBe(deviceId);
    expect(parseVirtioDiskRule(formatVirtioDiskRule(rule))).toEqual(rule);
  });

  it.each([
    ['xvda', /expected \[DOMAIN:\]VDEV=TYPE, such as xvda=i2c/],
    ['=i2c', /expected \[DOMAIN:\]VDEV=TYPE/],
    ['xvda=i3c', /expected a device type, one of .*i2c/],
    ['xvda=virtio-0', /or virtio-<device ID>/],
    ['0:xvda=i2c', /its number from 1 to 32751/],
    ['a b:xvda=i2c', /expected a domain's name/],
  ])('refuses %s', (text, message) => {
    expect(() => parseVirtioDiskRule(text)).toThrow(message);
  });
});
