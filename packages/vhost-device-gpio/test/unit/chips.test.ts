import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EIO, ENOTTY, SysError } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseDeviceList } from '../../src/device-list.ts';
import { findHosts } from '../../src/hosts.ts';
import { findChip, listChips, type OpenChip } from '../../src/linux/chips.ts';
import type { GpioChipFile } from '../../src/linux/gpio-chip-file.ts';

let dev: string;
/** By path: what the chip says, or what opening it throws. */
const chips = new Map<string, { label: string; lines: number } | Error>();
let open = 0;

beforeEach(() => {
  dev = mkdtempSync(join(tmpdir(), 'gpio-'));
  chips.clear();
  open = 0;
  add(10, { label: 'expander', lines: 8 });
  add(2, { label: 'twin', lines: 4 });
  add(3, { label: 'twin', lines: 54 });
  writeFileSync(join(dev, 'gpio'), '');
});
afterEach(() => {
  rmSync(dev, { recursive: true });
  expect(open).toBe(0);
});

function add(number: number, chip: { label: string; lines: number } | Error): void {
  const path = join(dev, `gpiochip${number}`);
  writeFileSync(path, '');
  chips.set(path, chip);
}

const denied = Object.assign(new Error('EACCES: permission denied'), { code: 'EACCES' });

const openChip: OpenChip = (path): GpioChipFile => {
  const chip = chips.get(path);
  if (chip === undefined)
    throw Object.assign(new Error('ENOENT: no such file'), { code: 'ENOENT' });
  if (chip instanceof Error && !SysError.is(chip)) throw chip;
  open++;
  let live = true;
  return {
    info: () => {
      if (chip instanceof Error) throw chip;
      return { name: path, ...chip };
    },
    lineInfo: (line) => ({ name: line === 0 ? 'power' : '', consumer: '', flags: 0n }),
    request: () => {
      throw new Error('finding a chip takes no lines');
    },
    [Symbol.dispose]: () => {
      if (live) open--;
      live = false;
    },
  };
};

const thrown = (code: string, message: unknown) => expect.objectContaining({ code, message });

describe('listChips', () => {
  it('tells number, label and lines, by number, and nothing but chips', () => {
    expect(listChips(dev, openChip)).toEqual([
      { number: 2, label: 'twin', lines: 4 },
      { number: 3, label: 'twin', lines: 54 },
      { number: 10, label: 'expander', lines: 8 },
    ]);
    expect(listChips('/nonexistent', openChip)).toEqual([]);
  });

  it('tells one that cannot be opened, too', () => {
    add(5, denied);
    expect(listChips(dev, openChip)).toContainEqual({ number: 5, label: '', lines: undefined });
  });
});

describe('findChip', () => {
  it('finds by number, by name and by label', () => {
    expect(findChip({ number: 2 }, dev, openChip)).toEqual({
      number: 2,
      label: 'twin',
      names: ['power', '', '', ''],
    });
    expect(findChip({ name: 'gpiochip3' }, dev, openChip).names.length).toBe(54);
    expect(findChip({ name: 'expander' }, dev, openChip).number).toBe(10);
  });

  it('takes a name before a label', () => {
    add(7, { label: 'gpiochip2', lines: 1 });
    expect(findChip({ name: 'gpiochip2' }, dev, openChip).number).toBe(2);
  });

  it('lists the chips there are when none matches', () => {
    add(11, denied);
    const there =
      'there are 2 (twin, 4 lines), 3 (twin, 54 lines), 10 (expander, 8 lines), 11 (cannot be opened)';
    expect(() => findChip({ name: 'other' }, dev, openChip)).toThrow(
      thrown('NO_SUCH_CHIP', `Cannot use GPIO chip "other": no such chip; ${there}`),
    );
    expect(() => findChip({ number: 0 }, dev, openChip)).toThrow(
      thrown('NO_SUCH_CHIP', `Cannot use GPIO chip 0: no such chip; ${there}`),
    );
    expect(() => findChip({ number: 0 }, '/nonexistent', openChip)).toThrow(
      /chip 0: no such chip; this host has none \(is its GPIO driver loaded\?\)/,
    );
  });

  it('refuses a label that several chips have', () => {
    expect(() => findChip({ name: 'twin' }, dev, openChip)).toThrow(
      thrown('AMBIGUOUS_CHIP', expect.stringMatching(/give the number of one: 2, 3$/)),
    );
  });

  it.each([
    [denied, 'PERMISSION', /permission denied; run as root or as a member of the file's group$/],
    [
      Object.assign(new Error('EBUSY: busy'), { code: 'EBUSY' }),
      'CHIP_UNUSABLE',
      /it is busy; end the program that has it for itself$/,
    ],
    [
      new SysError({ syscall: 'ioctl', errno: ENOTTY }),
      'CHIP_UNUSABLE',
      /it is no GPIO chip \(ioctl failed: ENOTTY/,
    ],
    [new SysError({ syscall: 'ioctl', errno: EIO }), 'CHIP_UNUSABLE', /EIO/],
    [Object.assign(new Error('EIO: oops'), { code: 'EIO' }), 'CHIP_UNUSABLE', /EIO: oops$/],
  ])('says in one line why a chip cannot be used: %s', (error, code, message) => {
    add(4, error);
    expect(() => findChip({ number: 4 }, dev, openChip)).toThrow(
      thrown(code, expect.stringMatching(message)),
    );
    expect(() => findChip({ number: 4 }, dev, openChip)).not.toThrow(/\n/);
  });

  it.each([0, 65_536])('refuses a chip of %i lines', (lines) => {
    add(4, { label: 'odd', lines });
    expect(() => findChip({ number: 4 }, dev, openChip)).toThrow(
      thrown('CHIP_UNUSABLE', expect.stringMatching(`it has ${lines} lines`)),
    );
  });

  it('says of a file that is no chip that it is none', () => {
    expect(() => findChip({ number: 2 }, dev)).toThrow(
      thrown('CHIP_UNUSABLE', expect.stringMatching(/it is no GPIO chip/)),
    );
  });
});

describe('findHosts', () => {
  const hosts = (list: string, ...lineNames: string[]) =>
    findHosts({ devices: parseDeviceList(list), lineNames }, dev, openChip);

  it('finds the chip of each socket, and simulated lines', () => {
    expect(hosts('2:s2:expander', 'a', 'b,c')).toEqual([
      { kind: 'linux', number: 2, label: 'twin', names: ['a', '', '', ''] },
      { kind: 'simulated', lines: 2, names: ['b', 'c'] },
      { kind: 'linux', number: 10, label: 'expander', names: ['power', ...Array(7).fill('')] },
    ]);
  });

  it('refuses one chip for two sockets', () => {
    expect(() => hosts('10:expander')).toThrow(thrown('USAGE', expect.stringMatching(/same chip/)));
  });

  it('refuses more names than the chip has lines', () => {
    expect(() => hosts('2', 'a,b,c,d,e')).toThrow(
      thrown('USAGE', expect.stringMatching(/5 names for 4 lines/)),
    );
  });
});
