import { writeFileSync } from 'node:fs';
import { deviceByName, type SupportedDevice } from '@node-vmm/vhost-bridge/supported-devices';
import { Holds, MemoryLogger, RecordingSink, until } from '@node-vmm/vhost-bridge/testing';
import { MainPoller } from '@node-vmm/vmm-sys-util';
import { XenStore } from '@node-vmm/xen-store';
import { FakeXenStored } from '@node-vmm/xen-store/testing';
import { describe, expect, it } from 'vitest';
import type { BackendNode } from '../../src/backend-node.ts';
import { candidateTypes } from '../../src/candidates.ts';
import type { Settings } from '../../src/settings.ts';
import { VirtioProtocol } from '../../src/virtio-protocol.ts';
import { XenbusSource } from '../../src/xenbus-source.ts';
import { TempDir } from '../support.ts';
import { Toolstack } from '../toolstack.ts';

const node = (type: string): BackendNode => ({
  key: 'virtio/1/0',
  domid: 1,
  entries: new Map([
    ['type', type],
    ['transport', 'mmio'],
    ['base', '0x2000000'],
    ['irq', '33'],
    ['grant_usage', '0'],
  ]),
});
const types = (...names: string[]): SupportedDevice[] =>
  names.flatMap((name) => deviceByName(name) ?? []);

const settings = (given: Partial<Settings>): Settings => ({
  directory: undefined,
  sockets: new Map(),
  spawn: new Map(),
  notification: undefined,
  dispatchThreads: undefined,
  dispatchNice: undefined,
  hold: undefined,
  xenstore: undefined,
  keep: undefined,
  stateDir: undefined,
  controlSocket: undefined,
  metrics: undefined,
  logLevel: undefined,
  virtioDisks: [],
  devices: [],
  ...given,
});
const names = (given: Partial<Settings>): string[] =>
  candidateTypes(settings(given)).map(({ name }) => name);

describe('type=virtio,device without a number', () => {
  it('is the one type that there is a back-end for', async () => {
    const protocol = new VirtioProtocol(() => types('gpio'));
    expect(await protocol.describe(node('virtio,device'))).toEqual({
      key: 'virtio/1/0',
      guest: 1,
      deviceId: 41,
      base: 0x200_0000n,
      irq: 33,
    });
    expect(await protocol.describe(node('virtio,device22'))).toMatchObject({ deviceId: 34 });
  });

  it.each([
    [[], /its "type" is virtio,device, expected a number after it: there is no back-end here/],
    [
      ['i2c', 'gpio'],
      /back-ends of several types here: say type=virtio,device22 for i2c, or type=virtio,device29 for gpio/,
    ],
  ])('is refused where there are back-ends of %j, with what to write', async (given, message) => {
    const protocol = new VirtioProtocol(() => types(...given));
    const refused = { code: 'BAD_DEVICE', message: expect.stringMatching(message) };
    await expect(protocol.describe(node('virtio,device'))).rejects.toMatchObject(refused);
  });

  it.each(['virtio,device0', 'virtio,device0000', 'virtio,devicex', 'virtio'])(
    'is not %s',
    async (type) => {
      const protocol = new VirtioProtocol(() => types('i2c'));
      await expect(protocol.describe(node(type))).rejects.toMatchObject({ code: 'BAD_DEVICE' });
    },
  );

  it('has its window claimed meanwhile, and is served when a socket is there', async () => {
    using dir = new TempDir();
    using poller = new MainPoller();
    await using stored = await FakeXenStored.start();
    using store = XenStore.open({ path: stored.path, poller });
    const sink = new RecordingSink();
    const book = new MemoryLogger();
    const run = settings({ directory: dir.path });
    const protocol = new VirtioProtocol(() => candidateTypes(run));
    const source = new XenbusSource({ store, logger: book, hold: new Holds().hold, protocol });
    await source.start(sink);
    new Toolstack(stored).announce(['virtio/1/0'], { type: 'virtio,device' });
    await until(() => sink.claimed.length > 0);
    expect(sink.claimed[0]).toEqual({ key: 'virtio/1/0', guest: 1, base: 0x200_0000n });
    expect(book.saying('device cannot be served')).toHaveLength(1);
    writeFileSync(dir.join('rng.sock0'), '');
    await until(() => sink.added.length > 0);
    expect(sink.added).toMatchObject([{ key: 'virtio/1/0', deviceId: 4 }]);
    await source.close();
  });
});

describe('Types that there are back-ends for', () => {
  it('are those of --name and --spawn, each once', () => {
    expect(names({})).toEqual([]);
    expect(names({ sockets: new Map([['i2c', '/run/i2c.sock0']]) })).toEqual(['i2c']);
    const spawn = new Map([
      ['i2c', 'a'],
      ['gpio', 'b'],
    ]);
    expect(names({ sockets: new Map([['i2c', '/run/i2c.sock0']]), spawn })).toEqual([
      'i2c',
      'gpio',
    ]);
  });

  it('are those of the sockets in a directory', () => {
    using dir = new TempDir();
    expect(names({ directory: dir.path })).toEqual([]);
    for (const name of ['gpio.sock0', 'gpio.sock1', 'gpio.sock', 'x.sock0', 'i2c.pid']) {
      writeFileSync(dir.join(name), '');
    }
    expect(names({ directory: dir.path })).toEqual(['gpio']);
    writeFileSync(dir.join('virtio-63.sock0'), '');
    expect(names({ directory: dir.path })).toEqual(['gpio', 'virtio-63']);
    expect(names({ directory: dir.join('none') })).toEqual([]);
  });
});
