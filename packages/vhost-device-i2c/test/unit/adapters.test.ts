import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SysError } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findHosts } from '../../src/hosts.ts';
import {
  checkAdapter,
  findAdapter,
  type LinuxPaths,
  listAdapters,
} from '../../src/linux/adapters.ts';
import type { I2cDevFile } from '../../src/linux/i2c-dev-file.ts';

let root: string;
let paths: LinuxPaths;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'i2c-'));
  paths = { sys: join(root, 'sys'), dev: join(root, 'dev') };
  mkdirSync(paths.dev);
  addAdapter(10, 'SMBus stub driver');
  addAdapter(2, 'twin');
  addAdapter(3, 'twin');
  mkdirSync(join(paths.sys, 'bus/i2c/devices/2-0050'));
});
afterEach(() => rmSync(root, { recursive: true }));

function addAdapter(bus: number, name: string): void {
  const directory = join(paths.sys, `bus/i2c/devices/i2c-${bus}`);
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, 'name'), `${name}\n`);
}

describe('listAdapters', () => {
  it('tells number and name, by number, and nothing but adapters', () => {
    expect(listAdapters(paths)).toEqual([
      { bus: 2, name: 'twin' },
      { bus: 3, name: 'twin' },
      { bus: 10, name: 'SMBus stub driver' },
    ]);
    expect(listAdapters({ ...paths, sys: '/nonexistent' })).toEqual([]);
  });
});

describe('findAdapter', () => {
  it('finds by number and by name', () => {
    expect(findAdapter({ bus: 3 }, paths)).toEqual({ bus: 3, name: 'twin' });
    expect(findAdapter({ name: 'SMBus stub driver' }, paths).bus).toBe(10);
  });

  it('finds a device file that /sys does not show', () => {
    writeFileSync(join(paths.dev, 'i2c-7'), '');
    expect(findAdapter({ bus: 7 }, paths).bus).toBe(7);
  });

  it('lists the adapters there are when none matches', () => {
    expect(() => findAdapter({ name: 'SMBus' }, paths)).toThrow(
      expect.objectContaining({
        code: 'NO_SUCH_ADAPTER',
        message:
          'Cannot use I2C adapter "SMBus": no such adapter; there are 2 (twin), 3 (twin), 10 (SMBus stub driver)',
      }),
    );
    expect(() => findAdapter({ bus: 0 }, { ...paths, sys: '/nonexistent' })).toThrow(
      /adapter 0: no such adapter; this host has none/,
    );
  });

  it('refuses a name that several adapters have', () => {
    expect(() => findAdapter({ name: 'twin' }, paths)).toThrow(
      expect.objectContaining({
        code: 'AMBIGUOUS_ADAPTER',
        message: expect.stringMatching(/number of one: 2, 3$/),
      }),
    );
  });
});

describe('checkAdapter', () => {
  const file = (overrides: Partial<I2cDevFile>): I2cDevFile => ({
    functions: () => 1,
    slave: () => undefined,
    rdwr: () => 0,
    smbus: () => undefined,
    [Symbol.dispose]: () => undefined,
    ...overrides,
  });

  it('closes what it opened', () => {
    let open = 1;
    checkAdapter(2, [1, 2], paths, () =>
      file({
        [Symbol.dispose]: () => {
          open--;
        },
      }),
    );
    expect(open).toBe(0);
  });

  it('names the driver that is bound to an address, and how to unbind it', () => {
    const client = join(paths.sys, 'bus/i2c/devices/2-0068');
    mkdirSync(client);
    symlinkSync('../../drivers/rtc-ds1307', join(client, 'driver'));
    const slave = (address: number): void => {
      if (address === 0x68) throw new SysError({ syscall: 'ioctl(I2C_SLAVE)', errno: 16 });
    };
    expect(() => checkAdapter(2, [0x50, 0x68], paths, () => file({ slave }))).toThrow(
      expect.objectContaining({
        code: 'ADDRESS_BUSY',
        message: expect.stringContaining(
          `rtc-ds1307 is bound to ${client}; unbind it (echo 2-0068 > ${paths.sys}/bus/i2c/drivers/rtc-ds1307/unbind)`,
        ),
      }),
    );
  });

  it.each([
    ['ENOENT', 'NO_SUCH_ADAPTER', /modprobe i2c-dev/],
    ['EACCES', 'PERMISSION', /run as root/],
    ['EIO', 'ADAPTER_UNUSABLE', /Cannot open/],
  ])('says what to do about %s', (code, expected, message) => {
    const open = (): never => {
      throw Object.assign(new Error('no'), { code });
    };
    expect(() => checkAdapter(2, [1], paths, open)).toThrow(
      expect.objectContaining({ code: expected, message: expect.stringMatching(message) }),
    );
  });

  it('wants of an adapter that it has the 10-bit addresses that are listed', () => {
    const open = (functions: number) => () => file({ functions: () => functions });
    expect(() => checkAdapter(2, [0x50, 0xa150], paths, open(1))).toThrow(
      expect.objectContaining({
        code: 'ADAPTER_UNUSABLE',
        message: expect.stringMatching(/address 0xa150 of .*no 10-bit addresses/),
      }),
    );
    checkAdapter(2, [0x50, 0xa150], paths, open(3));
    checkAdapter(2, [0x50], paths, open(1));
  });

  it('refuses adapters without a usable transfer, and files that are none', () => {
    expect(() => checkAdapter(2, [1], paths, () => file({ functions: () => 8 }))).toThrow(
      expect.objectContaining({ code: 'ADAPTER_UNUSABLE' }),
    );
    writeFileSync(join(paths.dev, 'i2c-2'), '');
    expect(() => checkAdapter(2, [1], paths)).toThrow(
      expect.objectContaining({
        code: 'ADAPTER_UNUSABLE',
        message: expect.stringContaining('it is no I2C adapter'),
      }),
    );
  });
});

describe('findHosts', () => {
  const board = [{ chip: 'ds1338', address: 0x20 }];

  it('refuses one adapter by name and number', () => {
    const devices = [
      { adapter: { bus: 10 }, addresses: [1] },
      { adapter: { name: 'SMBus stub driver' }, addresses: [2] },
    ];
    expect(() => findHosts({ board: undefined, devices }, paths)).toThrow(
      expect.objectContaining({ code: 'USAGE' }),
    );
  });

  it('allows the chips of a simulated board, or what the list says', () => {
    expect(findHosts({ board, devices: [] }, paths)).toEqual([
      { kind: 'simulated', board, addresses: [0x20] },
    ]);
    for (const adapter of [{ bus: 0 }, { name: 'simulated' }]) {
      expect(findHosts({ board, devices: [{ adapter, addresses: [1] }] }, paths)).toEqual([
        { kind: 'simulated', board, addresses: [1] },
      ]);
    }
  });

  it('knows one simulated adapter only', () => {
    const devices = [{ adapter: { bus: 0 }, addresses: [1] }];
    const more = { adapter: { bus: 1 }, addresses: [2] };
    expect(() => findHosts({ board, devices: [more] }, paths)).toThrow(/only adapter is 0/);
    expect(() => findHosts({ board, devices: [...devices, more] }, paths)).toThrow(/only adapter/);
  });
});
