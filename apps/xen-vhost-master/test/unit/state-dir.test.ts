import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { MemoryLogger } from '@node-vmm/vhost-bridge/testing';
import { guestAddress } from '@node-vmm/vm-memory';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { formatKeptGuest, type KeptGuest, parseKeptGuest } from '../../src/kept-guest.ts';
import { StateDir } from '../../src/state-dir.ts';
import { TempDir } from '../support.ts';

const GUEST: KeptGuest = {
  bootId: '4f3c',
  domid: 7,
  identity: '/vm/7c6f 1700000000.01',
  xen: {
    server: 1,
    vcpus: 4,
    windows: [{ space: 'memory', base: 0xffff_ffff_ffff_f000n, length: 0x200 }],
  },
  devices: [
    {
      description: {
        key: 'told/7/0x2000000',
        guest: 7,
        deviceId: 34,
        base: 0x200_0000n,
        irq: 33,
        trigger: 'level',
        memory: [{ guestAddr: guestAddress(0x4000_0000n), length: 2 ** 40 }],
        socket: '/run/own.sock0',
      },
      socket: '/run/own.sock0',
      state: {
        registers: {
          status: 15,
          deviceFeaturesSel: 1,
          driverFeaturesSel: 0xffff_ffff,
          driverFeatures: 0x1_0000_0001n,
          queueSel: 2,
          shmSel: 3,
          interruptStatus: 1,
          interruptStatusRead: true,
          configGeneration: 0xffff_ffff,
          queues: [
            {
              size: 64,
              ready: true,
              descTable: 0x4000_1000n,
              availRing: 0x4000_2000n,
              usedRing: 0x4000_3000n,
            },
          ],
        },
        queues: {
          rings: [{ index: 0, origin: { used: 65_535, avail: 0 }, stoppedAt: 9 }],
          inflight: {
            begun: true,
            record: { queues: 1, queueSize: 64, bytes: Uint8Array.of(0, 1, 254, 255) },
          },
        },
      },
    },
    { description: { key: 'virtio/7/1', guest: 7, deviceId: 4, base: 0x200_0200n, irq: 34 } },
  ],
  vacancies: [{ site: { key: 'virtio/7/2', guest: 7, base: 0x200_0400n }, ours: false }],
};

describe('what is kept of a guest', () => {
  it('reads as it was written', () => {
    expect(parseKeptGuest(formatKeptGuest(GUEST))).toEqual(GUEST);
  });

  it('is refused when it is cut off anywhere', () => {
    const whole = formatKeptGuest(GUEST).trimEnd();
    for (let length = 0; length < whole.length; length++) {
      expect(parseKeptGuest(whole.slice(0, length))).toBe('it is no JSON, or not all of it');
    }
  });

  it.each([
    ['"version":1', '"version":2', 'version'],
    ['"domid":7', '"domid":0', 'domid'],
    ['"domid":7', '"domid":"7"', 'domid'],
    ['"identity":"/vm/7c6f 1700000000.01"', '"identity":""', 'identity'],
    ['"vcpus":4', '"vcpus":129', 'xen.vcpus'],
    ['"server":1', '"server":1e99', 'xen.server'],
    ['0xfffffffffffff000', '0x1fffffffffffff000', 'xen.windows.0.base'],
    ['"status":15', '"status":-1', 'devices.0.state.registers.status'],
    ['"size":64', '"size":0.5', 'devices.0.state.registers.queues.0.size'],
    ['"used":65535', '"used":65536', 'devices.0.state.queues.rings.0.origin.used'],
    ['"AAH+/w=="', '"AAH+/w="', 'devices.0.state.queues.inflight.record.bytes'],
    ['"begun":true', '"begun":true,"more":1', 'devices.0.state.queues.inflight.more'],
    ['"ours":false', '"ours":0', 'vacancies.0.ours'],
    ['"irq":33', '"irq":null', 'devices.0.description.irq'],
  ])('is refused with %s as %s', (from, to, at) => {
    const text = formatKeptGuest(GUEST);
    expect(text).toContain(from);
    expect(parseKeptGuest(text.replace(from, to))).toBe(
      `its "${at}" is not what version 1 has there`,
    );
  });

  it.each(['null', '[]', '7', '"x"', '{}', '{"__proto__":{"version":1}}'])(
    'is refused when it is %s',
    (text) => {
      expect(parseKeptGuest(text)).toEqual(expect.stringContaining('is not what version 1 has'));
    },
  );

  it('is refused with a device of another guest', () => {
    const [device] = GUEST.devices;
    if (device === undefined) throw new Error('none');
    const description = { ...device.description, guest: 8 };
    const text = formatKeptGuest({ ...GUEST, devices: [{ description }] });
    expect(parseKeptGuest(text)).toBe('it has devices of another guest');
    const vacancies = [{ site: { key: 'virtio/8/1', guest: 8, base: 0x200_0000n }, ours: true }];
    const window = formatKeptGuest({ ...GUEST, vacancies });
    expect(parseKeptGuest(window)).toBe('it has devices of another guest');
  });
});

describe('StateDir', () => {
  let dir: TempDir;
  let path: string;
  let book: MemoryLogger;
  beforeEach(() => {
    dir = new TempDir();
    path = dir.join('state/of/bridge');
    book = new MemoryLogger();
  });
  afterEach(() => dir[Symbol.dispose]());

  const reasons = (): unknown[] => book.saying('cannot be used').map(({ context }) => context);

  it('keeps guests until they are taken, for nobody else to read', () => {
    using states = StateDir.open(path, book);
    expect(states.take()).toEqual([]);
    states.write({ ...GUEST, identity: '/vm/before' });
    states.write(GUEST);
    states.write({ ...GUEST, domid: 8, devices: [], vacancies: [] });
    expect(readdirSync(path).sort()).toEqual(['7.json', '8.json']);
    expect(statSync(path).mode & 0o777).toBe(0o700);
    expect(statSync(`${path}/7.json`).mode & 0o777).toBe(0o600);
    const taken = states.take().sort((a, b) => a.domid - b.domid);
    expect(taken).toEqual([GUEST, { ...GUEST, domid: 8, devices: [], vacancies: [] }]);
    expect(readdirSync(path)).toEqual([]);
    expect(reasons()).toEqual([]);
  });

  it('has one bridge', () => {
    const states = StateDir.open(path, book);
    expect(() => StateDir.open(path, book)).toThrow(
      expect.objectContaining({
        code: 'STATE_DIR',
        message: `Cannot keep guests in ${path}: another bridge does; give --state-dir a directory of its own`,
      }),
    );
    states.close();
    states.close();
    StateDir.open(path, book).close();
  });

  it('is refused where others may write, and where it cannot be', () => {
    mkdirSync(path, { recursive: true });
    chmodSync(path, 0o777);
    expect(() => StateDir.open(path, book)).toThrow(/other users may write to it/);
    writeFileSync(dir.join('file'), '');
    expect(() => StateDir.open(dir.join('file'), book)).toThrow(
      expect.objectContaining({ code: 'STATE_DIR' }),
    );
  });

  it('takes each file once, and says what it leaves out', () => {
    using states = StateDir.open(path, book);
    const whole = formatKeptGuest(GUEST);
    writeFileSync(`${path}/7.json`, whole.slice(0, 100));
    writeFileSync(`${path}/8.json`, whole);
    writeFileSync(
      `${path}/9.json`,
      whole.replace('"domid":7', '"domid":9').replaceAll('"guest":7', '"guest":9'),
    );
    chmodSync(`${path}/9.json`, 0o666);
    mkdirSync(`${path}/10.json`);
    writeFileSync(dir.join('elsewhere'), whole);
    symlinkSync(dir.join('elsewhere'), `${path}/11.json`);
    // A bridge that ended while it wrote, and what is somebody else's.
    writeFileSync(`${path}/12.json.new`, whole.slice(0, 10));
    writeFileSync(`${path}/notes.txt`, 'mine');
    expect(states.take()).toEqual([]);
    expect(readFileSync(dir.join('elsewhere'), 'utf8')).toBe(whole);
    expect(existsSync(`${path}/12.json.new`)).toBe(false);
    expect(existsSync(`${path}/notes.txt`)).toBe(true);
    const said = reasons() as { path: string; reason: string }[];
    expect(said.map((one) => one.path.slice(path.length + 1)).sort()).toEqual([
      '10.json',
      '11.json',
      '7.json',
      '8.json',
      '9.json',
    ]);
    const reasonOf = (name: string): string | undefined =>
      said.find((one) => one.path.endsWith(name))?.reason;
    expect(reasonOf('/7.json')).toBe('it is no JSON, or not all of it');
    expect(reasonOf('/8.json')).toBe('it is of domain 7');
    expect(reasonOf('/9.json')).toBe('other users may have written it');
    expect(reasonOf('/11.json')).toMatch(/ELOOP/);
  });
});
